#!/usr/bin/env python3
"""Kill every command in the middle, let every file operation fail, start two commands at once.

    python scripts/faults.py                  everything (an hour on one core)
    python scripts/faults.py --quick          a sample of each kind (a minute)
    python scripts/faults.py kills --only finetune --kills 100
    python scripts/faults.py errors --only prepare --seed 7

kills   the process dies at a file operation (before it, half way through, after it) or at any
        moment, up to three times.  Then the command is given again, and what it advises is done.
errors  every file operation fails once with ENOSPC, EIO and EACCES, or from there on with ENOSPC.
pairs   two commands begin at once in one folder.

Each time the command has to end well, with the same files as a run that nothing happened to, bit
for bit, and no other file; no process may be left.  Times in logs are left out.

A trial is a process forked from this one, which has imported all that a command needs: ten times
faster than a start of Python.  It needs fork, and /dev/fd as Linux has it.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from pathlib import Path

import environment
from file_faults import Fault, Operations, install

ERRORS = [("ENOSPC", False), ("ENOSPC", True), ("EIO", False), ("EACCES", False)]
MOMENTS = ("before", "half", "after")
PATIENCE = 600  # seconds that a command may take
NEEDED = (  # imported before the first fork
    "tinyalbert.cli",
    "tinyalbert.convert",
    "tinyalbert.plots",
    "tinyalbert.pretraining.pretrain",
    "tinyalbert.pretraining.shards",
    "tinyalbert.tasks.finetune",
    "tinyalbert.tasks.inference",
    "sentencepiece",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
)

# --- the commands, all of which write into the folder `out` ---------------------------------------

STORIES = {  # tasks that read built-in rows
    "classification": "stories:topic",
    "ner": "stories:ner",
    "multiple-choice": "stories:choice",
    "embedding": "stories:retrieval",
    "translation": "stories:translation",
    "summary": "stories:summary",
    "squad": "stories:qa",
    "squad2": "stories:qa",
    "mnli": "stories:nli",
}
TABLES = {  # the others: columns, and two values that a label may have
    "multi-label": ("text,label", ("good, old", "bad")),
    "regression": ("text,label", ("0.5", "2")),
    "cola": ("sentence,label", ("0", "1")),
    "sst2": ("sentence,label", ("0", "1")),
    "mrpc": ("#1 String,#2 String,Quality", ("0", "1")),
    "stsb": ("sentence1,sentence2,score", ("1.5", "4")),
    "qqp": ("question1,question2,is_duplicate", ("0", "1")),
    "qnli": ("question,sentence,label", ("entailment", "not_entailment")),
    "rte": ("sentence1,sentence2,label", ("entailment", "not_entailment")),
    "wnli": ("sentence1,sentence2,label", ("0", "1")),
}
WHOLE = {"squad", "squad2", "multiple-choice"}  # tasks of which one text stands whole in a row
SHORT = ["--threads", "1", "--max-length", "32", "--batch-size", "4"]


def commands(inputs):
    """{name: words} of the command lines; `inputs`: the folder of what they read."""
    text, base, tuned = (str(inputs / name) for name in ("text.txt", "base", "tuned"))
    prepared = str(inputs / "prepared")
    pretrain = ["--preset", "tiny", "--steps", "6", "--eval-every", "3", "--save-every", "2"]
    pretrain += [*SHORT, "--stages"]
    known = {
        "tokenizer": ["tokenizer", text, "--vocab-size", "120"],
        "prepare": ["prepare", text, "--tokenizer", base, "--workers", "1"],
        "prepare --workers": ["prepare", "stories:300", "--tokenizer", base, "--workers", "2"],
        "pretrain TEXT": ["pretrain", text, "--vocab-size", "120", "--workers", "1", *pretrain],
        "pretrain FOLDER": ["pretrain", prepared, *pretrain],
        "convert": ["convert", base],
        "predict": ["predict", tuned, "stories:topic:200"],
        "embed": ["embed", str(inputs / "vectors"), text, "--skip-bad-rows"],
    }
    for task in [*STORIES, *TABLES]:
        table = f"{STORIES[task]}:24" if task in STORIES else str(inputs / f"{task}.tsv")
        words = ["finetune", task, table, "--dev", table, "--model", base, "--steps", "4", *SHORT]
        longer = ["--max-length", "96"] if task in WHOLE else []
        known[f"finetune {task}"] = [*words, *longer]
    files = {"predict": "out/predictions.tsv", "embed": "out/vectors.npy"}
    return {name: [*words, "--output", files.get(name, "out")] for name, words in known.items()}


def make_inputs(folder):
    """What the commands read."""
    from tinyalbert.stories.corpus import write_corpus

    folder.mkdir(parents=True)
    write_corpus(folder / "text.txt", 100)
    for task, (columns, labels) in TABLES.items():
        texts = len(columns.split(",")) - 1
        rows = [
            [
                *(f"The {'good' if i % 2 else 'bad'} dog {i + k}" for k in range(texts)),
                labels[i % 2],
            ]
            for i in range(24)
        ]
        table = [columns.split(","), *rows]
        if task == "cola":  # source, label, author, sentence, without a header
            table = [["x", label, "", text] for text, label in rows]
        (folder / f"{task}.tsv").write_text("".join("\t".join(row) + "\n" for row in table))
    base, short = str(folder / "base"), [*SHORT, "--output"]
    sizes = ["--preset", "tiny", "--vocab-size", "300", "--steps", "2"]
    finetune = ["--model", base, "--steps", "2", *short]
    for words in (
        ["pretrain", "stories:60", *sizes, *short, base],
        ["prepare", base + "/../text.txt", "--tokenizer", base, "--output", f"{folder}/prepared"],
        ["finetune", "stories:topic:24", "--dev", "stories:topic:24", *finetune, f"{folder}/tuned"],
        ["finetune", "embedding", "stories:retrieval:24", *finetune, f"{folder}/vectors"],
    ):
        ended = Process(words, folder).wait()
        if ended.code:
            sys.exit(f"{' '.join(words)} failed:\n{ended.said}")


# --- one process ----------------------------------------------------------------------------------


@dataclass
class Ended:
    """How a process ended."""

    code: int  # its exit code; of a killed one -9
    said: str  # stdout and stderr
    left: list = field(default_factory=list)  # commands of processes that it left behind


class Process:
    """A command in a process of its own, in `folder`, with a Fault or None.

    trace: a file for the operations seen below folder/out, as JSON.
    """

    def __init__(self, words, folder, fault=None, trace=None):
        self.words = words
        self.folder = folder
        self.said = tempfile.TemporaryFile("w+b")
        sys.stdout.flush()
        self.number = os.fork()
        if self.number == 0:
            try:
                os._exit(self._run(fault, trace))
            finally:
                os._exit(1)
        with contextlib.suppress(OSError):
            os.setpgid(self.number, self.number)

    def _run(self, fault, trace):
        """In the child: the command; returns its exit code."""
        from tinyalbert.cli import main

        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        for stream in (1, 2):
            os.dup2(self.said.fileno(), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(self.folder)
        operations = Operations(self.folder / "out", fault)
        install(operations)
        try:
            code = main(self.words)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        if trace:
            trace.write_text(json.dumps(operations.seen))
        return code or 0

    def kill(self):
        """End it at once."""
        os.kill(self.number, signal.SIGKILL)

    def wait(self, seconds=PATIENCE):
        """Its Ended; it is killed after so many seconds."""
        limit = time.monotonic() + seconds
        while True:
            number, status = os.waitpid(self.number, os.WNOHANG)
            if number:
                break
            if time.monotonic() > limit:
                self.kill()
            time.sleep(0.002)
        self.said.seek(0)
        said = self.said.read().decode(errors="replace").replace("\r", "\n")
        self.said.close()
        return Ended(os.waitstatus_to_exitcode(status), said, self._left())

    def _left(self):
        """Processes of its group that are still there after some seconds; they are ended."""
        for _ in range(50):
            listed = subprocess.run(
                ["ps", "-A", "-ww", "-o", "pgid=,stat=,args="], capture_output=True
            )
            left = [
                line.split(None, 2)[2]
                for line in listed.stdout.decode(errors="replace").splitlines()
                if line.split()[0] == str(self.number) and not line.split()[1].startswith("Z")
            ]
            if not left:
                return []
            time.sleep(0.1)
        with contextlib.suppress(OSError):
            os.killpg(self.number, signal.SIGKILL)
        return left


def finished(words, folder):
    """Give a command until it is done, as its own advice says; returns (attempts, problem or None).

    attempts: [(words, Ended), ...].
    """
    attempts = []
    for _ in range(4):
        ended = Process(words, folder).wait()
        attempts.append((words, ended))
        if ended.code == 0 or "is complete" in ended.said:
            return attempts, None
        if ended.code != 2 or "Traceback" in ended.said:
            return attempts, f"ended with {ended.code}: {ended.said[-600:]}"
        advised = advice(words, ended.said)
        if advised in [tried for tried, _ in attempts]:
            return attempts, f"dead end: {ended.said.strip().splitlines()[-1]}"
        words = advised
    return attempts, "no end of advice"


def advice(words, said):
    """The command line that a refusal advises."""
    said = said.strip().splitlines()[-1]
    output = words[words.index("--output") :]
    if "without --resume" in said or "start again" in said or "start the run anew" in said:
        return [word for word in words if word not in ("--resume", "--overwrite")]
    if "--resume" in said and words[0] in ("pretrain", "finetune"):
        return [words[0], "--resume", "--threads", "1", *output]
    if "--overwrite" in said and "--overwrite" not in words:
        return [*words, "--overwrite"]
    return words


# --- what a folder holds --------------------------------------------------------------------------


def contents(folder):
    """{path: digest} of the files of a folder; what a clock measured is left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _digest(path) for path in files}


def _digest(path):
    data = path.read_bytes()
    if path.name == "log.jsonl":
        data = "\n".join(map(_without_times, data.decode().splitlines())).encode()
    if path.name == "training_state.safetensors":
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        extra = json.loads(header["__metadata__"].pop("extra"))
        extra["state"].pop("seconds")
        extra["state"]["sums"].pop("elapsed", None)
        data = json.dumps([header, extra], sort_keys=True).encode() + data[8 + size :]
    return hashlib.sha256(data).hexdigest()[:16]


def _without_times(line):
    try:
        values = json.loads(line)
    except ValueError:  # half a line, on a disk that stayed full
        return line
    clock = ("seconds", "tokens_per_second")
    return json.dumps({name: value for name, value in values.items() if name not in clock})


def _that_counts(files):
    """Without the files that no training may fail for."""
    beside = ("out/loss.png", "out/log.jsonl")
    return {name: digest for name, digest in files.items() if name not in beside}


def differences(got, expected):
    """What is unlike in two results of `contents`, in words; "" if nothing is."""
    parts = {
        "missing": sorted(expected.keys() - got.keys()),
        "not needed": sorted(got.keys() - expected.keys()),
        "different": sorted(n for n in got.keys() & expected.keys() if got[n] != expected[n]),
    }
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


# --- the three kinds of trials --------------------------------------------------------------------


class Suite:
    """Trials in a folder of their own, and what came out of them."""

    def __init__(self, folder, seed, show):
        self.folder = folder
        self.trial = folder / "trial"
        self.random = random.Random(seed)
        self.show = show
        self.commands = commands(folder / "inputs")
        self.expected = {}  # {command: contents}
        self.operations = {}  # {command: [(operation, path), ...]}
        self.seconds = {}
        self.counts = Counter()
        self.problems = []

    def clear(self):
        """An empty folder for a trial: always the same one, since runs note where they are."""
        shutil.rmtree(self.trial, ignore_errors=True)
        self.trial.mkdir(parents=True)

    def reference(self, name):
        """Run a command undisturbed and remember what it does and leaves."""
        if name in self.expected:
            return
        self.clear()
        trace = self.folder / "trace.json"
        begun = time.monotonic()
        ended = Process(self.commands[name], self.trial, trace=trace).wait()
        if ended.code or ended.left:
            sys.exit(f"{name} fails undisturbed: {ended.said[-2000:]} {ended.left}")
        self.seconds[name] = time.monotonic() - begun
        self.expected[name] = contents(self.trial)
        self.operations[name] = [tuple(each) for each in json.loads(trace.read_text())]

    def note(self, kind, name, what, problem, history=""):
        """Count a trial, and tell what was wrong with it."""
        self.counts[kind, name] += 1
        if problem:
            self.problems.append((kind, name, what, problem))
            print(f"\n{kind}, {name}, {what}: {problem}\n{history}", flush=True)

    # --- kills

    def killed(self, name):
        """One trial: up to three kills, then to the end; returns the number of kills."""
        self.reference(name)
        self.clear()
        words, kills, told, problem = self.commands[name], 0, [], None
        wanted = self.random.choice((1, 1, 2, 3))
        for _ in range(8):
            if kills == wanted or problem:
                break
            what, ended = self._killed_once(name, words)
            told.append(f"  {' '.join(words[:2])} {what}: {ended.code}")
            if ended.left:
                problem = f"left behind after {what}: {ended.left}"
            if ended.code == -signal.SIGKILL:
                kills += 1
            elif ended.code == 2 and "Traceback" not in ended.said:
                words = advice(words, ended.said)
            elif ended.code:
                problem = f"ended with {ended.code}: {ended.said[-600:]}"
            else:
                break
        if not problem:
            attempts, problem = finished(words, self.trial)
            told += [f"  {' '.join(w)}: {e.code} {e.said[-200:]!r}" for w, e in attempts]
        problem = problem or differences(contents(self.trial), self.expected[name])
        self.note("kills", name, f"{kills} kills", problem, "\n".join(told))
        self.counts["kill", name] += kills
        return kills

    def _killed_once(self, name, words):
        """Start a command that is killed at an operation or a moment; (what was done, Ended)."""
        if self.random.random() < 0.35:
            seconds = self.random.uniform(0, self.seconds[name])
            process = Process(words, self.trial)
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return f"killed after {seconds:.2f} s", process.wait()
        when = self.random.choice(MOMENTS)
        at = self.random.randint(1, len(self.operations[name]))
        ended = Process(words, self.trial, Fault(at, "killed", when)).wait()
        return f"killed {when} operation {at}", ended

    # --- errors

    def places(self, name, sample=None):
        """Numbers of the operations of a command; of a sample, each kind of operation once."""
        self.reference(name)
        operations = self.operations[name]
        if sample is None:
            return list(range(1, len(operations) + 1))
        kinds = {}
        for number, (what, path) in enumerate(operations, 1):
            kinds.setdefault((what, re.sub(r"\d+", "N", path)), []).append(number)
        chosen = [self.random.choice(numbers) for numbers in kinds.values()]
        return sorted(self.random.sample(chosen, min(sample, len(chosen))))

    def failed(self, name, at, how, lasting):
        """One trial: a file operation fails; then the command is given again."""
        self.clear()
        operation = " ".join(self.operations[name][at - 1])
        what = f"{how}{' from' if lasting else ' at'} operation {at}, {operation}"
        when = "half" if at % 2 else "before"
        fault = Fault(at, how, when, lasting)
        ended = Process(self.commands[name], self.trial, fault).wait()
        told = f"  {ended.code} {ended.said[-300:]!r}"
        left = contents(self.trial)
        # what can't be removed stays
        stays = {path: left[path] for path in left if operation == f"unlink {Path(path).name}"}
        if ended.code not in (0, 2) or "Traceback" in ended.said:
            problem = f"ended with {ended.code}: {ended.said[-900:]}"
        elif ended.left:
            problem = f"left behind: {ended.left}"
        elif ended.code == 0:
            problem = differences(*map(_that_counts, (left, self.expected[name] | stays)))
        else:
            problem = not_whole(self.trial) or self._after(name, ended.said)
        self.note("errors", name, what, problem, told)

    def _after(self, name, said):
        """Do what the refusal advises: the problem, or None."""
        words = self.commands[name]
        _, problem = finished(advice(words, said), self.trial)
        return problem or differences(contents(self.trial), self.expected[name])

    # --- pairs

    def pair(self, first, second):
        """One trial: two commands at once; as good as one after the other, or one refused."""
        sequences = [(first, second), (second, first)]
        allowed = [self._one_after_the_other(*names) for names in dict.fromkeys(sequences)]
        self.clear()
        processes = []
        for name in (first, second):
            processes.append(Process(self.commands[name], self.trial))
            time.sleep(self.random.choice((0, 0, 0.05, 0.3)))
        ends = [process.wait() for process in processes]
        codes = {(first, 0): ends[0].code, (second, 1): ends[1].code}
        state = contents(self.trial)
        problem = None
        if any("Traceback" in end.said or end.code not in (0, 2) for end in ends):
            problem = f"ended with {[end.code for end in ends]}"
        elif all(end.code for end in ends):
            problem = "both refused"
        elif any(end.code for end in ends):
            winner = next(name for (name, _), code in codes.items() if code == 0)
            states = [self.expected[winner], *(state for _, state in allowed)]
            if state not in states:
                problem = differences(state, self.expected[winner])
        elif (0, state) not in [(sum(codes), state) for codes, state in allowed]:
            problem = "both went on: " + differences(state, allowed[0][1])
        told = "\n".join(f"  {end.code} {end.said[-300:]!r}" for end in ends)
        self.note("pairs", f"{first} + {second}", "at once", problem, told)

    def _one_after_the_other(self, *names):
        """(exit codes, contents) of commands that follow each other."""
        self.clear()
        codes = []
        for name in names:
            self.reference_kept(name)
            codes.append(Process(self.commands[name], self.trial).wait().code)
        return tuple(codes), contents(self.trial)

    def reference_kept(self, name):
        """As `reference`; what lies in the trial's folder stays there."""
        if name in self.expected:
            return
        aside = self.folder / "aside"
        os.rename(self.trial, aside)
        self.reference(name)
        shutil.rmtree(self.trial)
        os.rename(aside, self.trial)


def not_whole(folder):
    """Files of a folder that are there in part, in words; "" if none is."""
    bad = []
    for path in sorted(folder.rglob("*")):
        if ".partial" in str(path) or not path.is_file():
            continue
        data = path.read_bytes()
        if path.suffix == ".json":
            try:
                json.loads(data)
            except ValueError:
                bad.append(path.name)
        elif path.suffix in (".tsv", ".jsonl") and path.name != "log.jsonl" and data[-1:] != b"\n":
            bad.append(path.name)
        elif path.name.endswith(".tmp"):
            bad.append(path.name)
    return f"left in part: {', '.join(bad)}" if bad else ""


# --- the suite ------------------------------------------------------------------------------------


def run(suite, options, names):
    """All trials that were asked for."""
    kinds = [options.kind] if options.kind else ["kills", "errors", "pairs"]
    if "kills" in kinds:
        wanted = options.kills or (16 if options.quick else 400)
        kills = 0
        while kills < wanted:
            for name in suite.random.sample(names, len(names)):
                kills += suite.killed(name)
                suite.show(f"{kills} of {wanted} kills, {len(suite.problems)} problems")
                if kills >= wanted:
                    break
    if "errors" in kinds:
        errors = [suite.random.choice(ERRORS)] if options.quick else ERRORS
        for name in names:
            for at in suite.places(name, 3 if options.quick else options.sample):
                for how, lasting in errors:
                    suite.failed(name, at, how, lasting)
                    suite.show(f"{name}: operation {at}, {len(suite.problems)} problems")
    if "pairs" in kinds:
        short = ("tokenizer", "prepare", "pretrain TEXT", "finetune classification")
        short += ("convert", "predict")
        pairs = list(combinations_with_replacement([n for n in short if n in names], 2))
        for first, second in suite.random.sample(pairs, 3) if options.quick else pairs:
            suite.pair(first, second)
            suite.show(f"{first} + {second}, {len(suite.problems)} problems")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", nargs="?", choices=("kills", "errors", "pairs"), help="only these")
    parser.add_argument("--quick", action="store_true", help="a sample of each kind")
    parser.add_argument("--only", help="only commands whose name holds this")
    parser.add_argument("--kills", type=int, help="how many (default: 400)")
    parser.add_argument("--sample", type=int, help="so many operations of each command may fail")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    parser.add_argument("--keep", help="an empty folder for the trials, which stays")
    options = parser.parse_args()
    if not hasattr(os, "fork"):
        sys.exit("this needs fork (Linux, macOS)")
    environment.enter(["baselines", "summary", "translation"])
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # no threads before a fork
    for name in NEEDED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

    begun = time.monotonic()
    folder = Path(options.keep or tempfile.mkdtemp(prefix="faults-")).resolve()

    told = [begun]

    def show(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - told[0] > 60:
            told[0] = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    try:
        make_inputs(folder / "inputs")
        suite = Suite(folder, options.seed, show)
        names = [name for name in suite.commands if (options.only or "") in name]
        if not names:
            sys.exit(f"no command has {options.only} in its name: {', '.join(suite.commands)}")
        if options.quick and not options.only:
            kept = ("finetune classification", "finetune squad")
            names = [name for name in names if "finetune" not in name or name in kept]
        run(suite, options, names)
    except KeyboardInterrupt:
        print("\nstopped; until here:")
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    kinds = Counter()
    for (kind, _), count in suite.counts.items():
        kinds[kind] += count
    print(
        f"\n{kinds['kill']} kills in {kinds['kills']} runs, {kinds['errors']} failed operations, "
        f"{kinds['pairs']} pairs, {time.monotonic() - begun:.0f} s: {len(suite.problems)} problems"
    )
    return 1 if suite.problems else 0


if __name__ == "__main__":
    sys.exit(main())
