"""The `tinyalbert` command: it parses, calls the library, prints.

Exit codes: 0, 2 for a mistake that a sentence on stderr explains; 130 after Ctrl-C, 143 after
SIGTERM, 129 after SIGHUP, which all save a training before it ends.
"""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from . import __version__
from .errors import UserError, advice_for
from .options import (
    WHOLE,
    add_arguments,
    flag_of,
    from_arguments,
    given_by,
    make,
    over,
    read_values,
)
from .pretraining.options import PrepareOptions, PretrainOptions, TokenizerOptions
from .tasks.options import (
    STANDARD_OUTPUT,
    AskOptions,
    EmbedOptions,
    EvaluateOptions,
    FillMaskOptions,
    FinetuneOptions,
    JudgeOptions,
    PredictOptions,
    ScoreOptions,
    SearchOptions,
    SentenceOrderOptions,
    ZeroShotOptions,
    options_of,
)
from .training.replicas import Single, launched_ranks
from .training.stopping import signals

WELCOME = """tinyalbert {version}: ALBERT, whole, in NumPy.

To understand it, start with the lessons (lessons/README.md has the map):
    python lessons/00_tour.py
  an afternoon     00 01 04 05 08 09 13
  a weekend        00 to 14
  the whole        00 to 14, then 20 21 22

To train one:      tinyalbert pretrain stories --preset tiny --minutes 2 --output runs/stories
To look inside it: tinyalbert explore runs/stories
To look around:    tinyalbert info base_v2        tinyalbert doctor
All commands:      tinyalbert --help
"""


def _epilog(*lines):
    return "example:\n" + "\n".join(f"  {line}" for line in lines)


# --- one function for each command ----------------------------------------------------------------


def _tokenizer(args):
    from .pretraining.corpus import Account
    from .pretraining.preparation import train_tokenizer

    account = Account()
    options = from_arguments(TokenizerOptions, args)
    tokenizer = train_tokenizer(
        options.corpus,
        options.vocab_size,
        options.output,
        options.format,
        account=account,
        keep_accents=options.keep_accents,
        do_lower_case=not options.cased,
    )
    text = "The old dog wasn't sleeping, it was waiting."
    if account.describe():
        print(account.describe())
    print(f"{tokenizer.vocab_size} pieces in {options.output}/spiece.model")
    print(f"{text!r} is {' '.join(tokenizer.tokenize(text))}")


def _prepare(args):
    from .pretraining.report import describe_corpus
    from .pretraining.shards import prepare
    from .text.tokenizer import AlbertTokenizer

    options = from_arguments(PrepareOptions, args)
    meta = prepare(
        options.corpus,
        AlbertTokenizer.from_pretrained(options.tokenizer),
        options.output,
        workers=options.workers,
        held_out=options.held_out,
        seed=options.seed,
        format=options.format,
        overwrite=options.overwrite,
    )
    if meta:  # of the first process
        folder = shlex.quote(options.output)
        print(f"{options.output}: {describe_corpus(meta)}")
        print(f"try: tinyalbert pretrain {folder} --minutes 10 --output runs/model")


def _pretrain(args):
    from .pretraining.pretrain import pretrain
    from .pretraining.report import what_next

    options = from_arguments(PretrainOptions, args)
    given = given_by(PretrainOptions, args)
    if not (options.steps or options.minutes or options.resume):
        given["minutes"] = 10.0
    pretrain(**given)
    print(what_next(options.output))


def _finetune(args):
    from .tasks.finetune import run
    from .tasks.outcome import behind_a_baseline
    from .tasks.registry import is_task

    words = list(args.words)
    if words and (len(words) == 2 or is_task(words[0])):
        args.task = words.pop(0)
    if len(words) > 1:
        raise UserError(f"finetune {' '.join(args.words)}; expected a task and one table")
    if words:
        args.train = words[0]
    given = given_by(args.options, args)
    result = run(given)
    _print_metrics(result["metrics"], result.get("confusion"))
    for name, value in result["baselines"].items():
        print(f"{'baseline ' + name:24s}{value:8.4f}  ({result['metric']})")
    print(f"model, predictions and eval_results.json in {given['output']}")
    behind = behind_a_baseline(result)
    if behind:
        print(behind)


def _print_metrics(metrics, confusion):
    for name, value in metrics.items():
        print(f"{name:24s}{value:8,d}" if isinstance(value, int) else f"{name:24s}{value:8.4f}")
    if confusion:
        print(f"\n{confusion}\n")


def _note(text):
    """Say something beside the results."""
    print(f"note: {text}", file=sys.stderr)


def _evaluate(args):
    from .tasks.inference import evaluate_file
    from .tasks.text_loss import evaluate_text, is_labelled, is_pretrained

    options = make(args.options, over(args.options, args.saved, given_by(args.options, args)))
    text = options.task is None and not is_labelled(options.table)
    if text and is_pretrained(options.model):
        how = dict(length=options.max_length, threads=options.threads, device=options.device)
        _print_metrics(evaluate_text(options.model, options.table, **how, say=_note), None)
        return
    _print_metrics(*evaluate_file(options, _note))


def _predict(args):
    from .tasks.inference import predict_file

    options = make(args.options, over(args.options, args.saved, given_by(args.options, args)))
    count = predict_file(options, _note)
    if options.output != STANDARD_OUTPUT:
        print(f"{count} predictions in {options.output}")


def _embed(args):
    from .tasks.inference import predict_file
    from .tasks.search import say_if_untrained

    options = make(args.options, over(args.options, args.saved, given_by(args.options, args)))
    say_if_untrained(options.model, _note)
    count = predict_file(options, _note)
    if options.output != STANDARD_OUTPUT:
        print(f"{count} vectors in {options.output}")


def _texts_command(name, Class):
    """(what runs a command of answers.py, its arguments); name: of the function there."""

    def run(args):
        from . import answers

        answers.run(getattr(answers, name), from_arguments(Class, args), _note)

    return run, _options(Class)


def _judge(args):
    from .tasks.judging import judge_folder
    from .tasks.minimal_pairs import behind, shown

    rows = judge_folder(from_arguments(JudgeOptions, args), _note)
    print(shown(rows))
    if behind(rows):
        print(behind(rows))


def _explore(args):
    from .explore.explorer import Explorer, folder_to_explore
    from .explore.page import save
    from .explore.server import serve

    explorer = Explorer(folder_to_explore(args.model))
    if args.save:
        size = save(explorer, args.text or [], args.save)
        print(f"{args.save}: {size / 1e6:.1f} MB, opens without a server or a network")
        return
    if args.text:
        raise UserError("--text is for --save; without it, type the text on the page")
    with contextlib.suppress(KeyboardInterrupt):
        serve(explorer, args.port, browser=not args.no_browser)


def _info(args):
    from .info import describe

    print(describe(args.model))


def _convert(args):
    from .convert import convert
    from .text.tokenizer import has_tokenizer

    print(convert(args.source, args.output, args.config))
    print(f"written to {args.output}")
    if not has_tokenizer(args.output):
        _note(
            "there is no tokenizer beside the weights, and commands that read text need one: put "
            "ALBERT's spiece.model or tokenizer.json into the folder"
        )


def _export(args):
    from .export.command import export

    export(args.model, args.output, onnx=args.onnx, int8=args.int8, table=args.table)


def _doctor(args):
    from .doctor import report

    text, fine = report(args.device)
    print(text)
    return 0 if fine else 2


# --- the options ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command: what it does, how it is told, and examples that work as typed."""

    run: Callable  # (parsed arguments) -> exit code or None
    arguments: Callable  # (parser, the words of the command line) -> None
    help: str
    examples: tuple


def _options(Class):
    """The arguments of a command that is told by one dataclass."""
    return lambda parser, words: add_arguments(parser, Class)


def _finetune_arguments(parser, words):
    """The options of every run, and those of the task that is asked for."""
    from .tasks.registry import TASKS, find_task

    task = _asked_task(words)
    Task = find_task(task or "classification")
    Class = options_of(Task, FinetuneOptions)
    names = "\n".join(f"  {name:20s}{about}" for name, (_, about) in TASKS.items())
    parser.epilog += (
        f"\n\ntasks (tinyalbert finetune TASK --help tells the options of each):\n{names}"
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[TASK] SOURCE",
        help="what to train for: one of the tasks below (default: classification), or "
        "FILE.py:CLASS for a task of your own; then what it reads, for example a table (.tsv, "
        ".csv, .jsonl) or a built-in `stories:TASK[:N]`",
    )
    parser.set_defaults(options=Class)
    add_arguments(parser, Class, defaults=Task.recipes.get("laptop"))


def _asked_task(words):
    """The task that a `finetune` command line names, itself, in its file or by its run; or None."""
    from .tasks.registry import TASKS, is_task

    valued = {flag_of(each) for each in fields(FinetuneOptions) if each.default is not False}
    free = [word for before, word in zip([None, *words], words) if before not in valued]
    named = next((word for word in free if is_task(word)), None)
    if named:
        return named
    if "--regression" in words:
        return "regression"
    try:
        if "--config" in words:
            return read_values(_value(words, "--config")).get("task")
        if "--resume" in words:
            task = read_values(Path(_value(words, "--output")) / "finetune.json").get("task")
            return task if task in TASKS else None  # a file is run only if a person names it
    except (UserError, TypeError):  # who reads the file in earnest says what is wrong with it
        pass
    return None


def _value(words, flag):
    """The word behind a flag; None without."""
    return next((after for word, after in zip(words, words[1:]) if word == flag), None)


def _finetuned_arguments(Class, task=None):
    """The arguments of a command on a fine-tuned folder: with the settings of its task.

    task: the only one that the command is for.
    """

    def arguments(parser, words):
        from .tasks.inference import task_of
        from .tasks.text_files import is_file

        asked = task or _value(words, "--task")
        folder = next((word for word in words if is_file(Path(word) / "config.json")), None)
        combined, saved = Class, {}
        try:
            if folder:
                Task, saved = task_of(folder, asked)
                combined = options_of(Task, Class)
        except UserError:  # the command itself says it, with what else is wrong
            pass
        parser.set_defaults(options=combined, saved=saved)
        add_arguments(parser, combined, defaults=saved)

    return arguments


def _explore_arguments(parser, words):
    parser.add_argument(
        "model",
        nargs="?",
        help="pretrained or fine-tuned folder (default: the quickstart's model, quickstart/model)",
    )
    parser.add_argument(
        "--port",
        type=WHOLE,
        default=8765,
        help="of 127.0.0.1, where the page is; 0 takes any that is free (default: 8765)",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address and open no browser"
    )
    parser.add_argument(
        "--save",
        metavar="FILE.html",
        help="write one file with the views of the given texts, which opens anywhere",
    )
    parser.add_argument(
        "--text", nargs="+", help="texts for --save; a pair has a TAB between its texts"
    )


def _info_arguments(parser, words):
    parser.add_argument("model", help="a folder, a config.json, or a preset")


def _convert_arguments(parser, words):
    parser.add_argument("source", help="folder, file, or the prefix of a TensorFlow checkpoint")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--config", help="config.json, if it does not lie beside the weights")


def _export_arguments(parser, words):
    parser.add_argument("model", help="pretrained or fine-tuned folder")
    parser.add_argument(
        "--output", required=True, help="file to write (with --onnx), else the folder"
    )
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="an ONNX file, with the shared layer's weights once (extra: onnx)",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="matrices in 8 bits, a scale for each row: a quarter of the size; sums stay float32",
    )
    parser.add_argument(
        "--table", help="labelled rows on which the folder with 8-bit weights is scored as well"
    )


def _doctor_arguments(parser, words):
    parser.add_argument(
        "--device", choices=("cpu", "gpu"), help="gpu: also run one training step there and compare"
    )


COMMANDS = {
    "tokenizer": Command(
        _tokenizer,
        _options(TokenizerOptions),
        "learn a SentencePiece vocabulary with ALBERT's settings",
        ("tinyalbert tokenizer stories:2000 --vocab-size 1200 --output runs/vocabulary",),
    ),
    "prepare": Command(
        _prepare,
        _options(PrepareOptions),
        "turn text into a folder of token ids that pretraining reads",
        (
            "tinyalbert tokenizer stories:2000 --vocab-size 1200 --output runs/vocabulary",
            "tinyalbert prepare stories:2000 --tokenizer runs/vocabulary --output runs/data",
        ),
    ),
    "pretrain": Command(
        _pretrain,
        _options(PretrainOptions),
        "pretrain on masked words and sentence order; vocabulary and data are made on "
        "the way unless given",
        (
            "tinyalbert pretrain stories:4000 --preset tiny --minutes 1 --output runs/stories",
            "tinyalbert pretrain my_book.txt --minutes 30 --output runs/book",
            "tinyalbert pretrain --resume --output runs/book",
        ),
    ),
    "finetune": Command(
        _finetune,
        _finetune_arguments,
        "train a model for a task on labelled rows, from a pretrained folder",
        (
            "tinyalbert pretrain stories:4000 --preset tiny --minutes 1 --output runs/stories",
            "tinyalbert finetune stories:topic --dev stories:topic --model runs/stories --output "
            "runs/topic",
        ),
    ),
    "evaluate": Command(
        _evaluate,
        _finetuned_arguments(EvaluateOptions),
        "score a fine-tuned folder on labelled rows, or a pretrained one on text, in nats a word",
        (
            "tinyalbert evaluate runs/topic stories:topic:200",
            "tinyalbert evaluate runs/stories stories:50",
        ),
    ),
    "predict": Command(
        _predict,
        _finetuned_arguments(PredictOptions),
        "write a fine-tuned folder's predictions for rows, plain lines or a text",
        (
            "tinyalbert predict runs/topic stories:topic:20 --output runs/predictions.tsv",
            "tinyalbert predict runs/topic 'The bread was warm.' --output -",
            "cat lines.txt | tinyalbert predict runs/topic - --output answers.jsonl",
        ),
    ),
    "embed": Command(
        _embed,
        _finetuned_arguments(EmbedOptions, "embedding"),
        "write the vectors of texts",
        (
            "tinyalbert finetune embedding stories:retrieval --model runs/stories --output "
            "runs/vectors",
            "tinyalbert embed runs/vectors my_book.txt --skip-bad-rows --output runs/vectors.npy",
        ),
    ),
    "search": Command(
        *_texts_command("search", SearchOptions),
        "find the paragraphs of a folder of texts that are closest in meaning",
        (
            "tinyalbert finetune embedding stories:retrieval --model runs/stories --output "
            "runs/vectors",
            'tinyalbert search runs/vectors my_book.txt "Who found a clock?"',
        ),
    ),
    "fill-mask": Command(
        *_texts_command("fill_masks", FillMaskOptions),
        "say which words fit at [MASK]",
        (
            'tinyalbert fill-mask runs/stories "She looked for the [MASK] everywhere."',
            "cat lines.txt | tinyalbert fill-mask runs/stories - --output words.jsonl",
        ),
    ),
    "sentence-order": Command(
        *_texts_command("sentence_order", SentenceOrderOptions),
        "say how likely neighbouring sentences stand in the order in which they were written",
        (
            'tinyalbert sentence-order runs/stories "She lost the key. She looked for it."',
            "tinyalbert sentence-order runs/stories stories:order:20 --output runs/order.tsv",
        ),
    ),
    "zero-shot": Command(
        *_texts_command("zero_shot", ZeroShotOptions),
        "say which of some labels fits a text, by a model of premises and hypotheses",
        (
            "tinyalbert finetune mnli stories:nli --epochs 1 --model runs/stories --output "
            "runs/nli",
            'tinyalbert zero-shot runs/nli "They met in the garden." --labels "in the garden,at '
            'sea" --template "They are {}."',
        ),
    ),
    "ask": Command(
        *_texts_command("ask", AskOptions),
        "answer questions from a folder of texts: which words of which file",
        (
            "tinyalbert finetune squad stories:qa:3000 --model runs/stories --output runs/answers",
            'tinyalbert ask runs/answers "Who found a kite?" --documents my_book.txt',
        ),
    ),
    "score": Command(
        *_texts_command("score", ScoreOptions),
        "say how likely sentences are (pseudo-log-likelihood: every piece masked in turn)",
        ('tinyalbert score runs/stories "The dog was old." "The old was dog."',),
    ),
    "judge": Command(
        _judge,
        _options(JudgeOptions),
        "say how much grammar a model knows, by minimal pairs, without fine-tuning (Zorro: "
        "RoBERTa-base 82.5)",
        ("tinyalbert judge runs/stories pairs.tsv",),
    ),
    "explore": Command(
        _explore,
        _explore_arguments,
        "open a page that shows what a model sees: pieces, masks, attention, gradients",
        (
            "tinyalbert explore runs/stories",
            "tinyalbert explore runs/stories --save page.html --text 'The [MASK] was old.'",
        ),
    ),
    "info": Command(
        _info,
        _info_arguments,
        "show where a model's parameters are, and what sharing and factorising save",
        ("tinyalbert info base_v2",),
    ),
    "convert": Command(
        _convert,
        _convert_arguments,
        "turn released weights (TensorFlow checkpoint, PyTorch .bin, safetensors) into a folder",
        ("tinyalbert convert albert_base/model.ckpt-best --output runs/albert_base",),
    ),
    "export": Command(
        _export,
        _export_arguments,
        "write a model for small machines: an ONNX file, or 8-bit weights",
        (
            "tinyalbert export runs/topic --onnx --output runs/topic.onnx",
            "tinyalbert export runs/topic --int8 --output runs/topic-8 --table stories:topic:200",
        ),
    ),
    "doctor": Command(
        _doctor,
        _doctor_arguments,
        "say what this machine has and what would be used",
        ("tinyalbert doctor",),
    ),
}


class CommandParser(argparse.ArgumentParser):
    """A parser of one command, whose files may stand before, between or behind its options."""

    mixing = False

    def parse_known_args(self, args=None, namespace=None):
        """argparse's own, which takes files in one run only, called as it is for mixed ones."""
        if self.mixing:
            return super().parse_known_args(args, namespace)
        self.mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.mixing = False


def build_parser(words=()):
    """The argument parser for the words of a command line: what arguments a command has depends
    on its task.

    Without words every command gets the arguments that it has in any case.
    """
    parser = argparse.ArgumentParser(
        prog="tinyalbert",
        description="ALBERT, whole, in NumPy: pretraining, fine-tuning, filling masks.",
        epilog="Every command explains itself: tinyalbert pretrain --help",
    )
    parser.add_argument("--version", action="version", version=f"tinyalbert {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=CommandParser
    )
    for name, about in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=about.help,
            description=about.help[0].upper() + about.help[1:] + ".",
            epilog=_epilog(*about.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=about.run)
        if not words or name == words[0]:
            about.arguments(sub, words[1:])
    return parser


def main(argv=None):
    """Run the command line; returns the exit code.

    Of several processes, the first one prints for all.
    """
    _prepare_streams()
    with contextlib.redirect_stderr(Output(sys.stderr, lasts=True)):
        return _main(argv)


def _main(argv):
    ranks = Single()
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        args = build_parser(words).parse_args(words)
        _allow_open_files()
        ranks = launched_ranks()
        with _ended_by_signals(for_good=argv is None), _output(sys.stdout, args, ranks) as stdout:
            warnings.showwarning = lambda message, *_: (
                ranks.rank or print(f"note: {message}", file=sys.stderr)
            )
            code = (
                args.run(args)
                if hasattr(args, "run")
                else print(WELCOME.format(version=__version__))
            )
            stdout.flush()
        return code or 0
    except KeyboardInterrupt as error:  # all processes stop at the same step
        if argv is None:  # this process ends now
            _end_silently_from_now()
        if ranks.rank == 0:
            print(f"\ntinyalbert: {str(error) or 'stopped'}", file=sys.stderr)
        code = 128 + getattr(error, "signal", signal.SIGINT)
        if argv is None and ranks.size == 1:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(code)  # on its way out Python would wait for threads, and die of a Ctrl-C
        return code
    except BrokenPipeError:  # `tinyalbert info base_v2 | head`; 141 is what a shell makes of it
        return 141
    except Exception as error:
        message = _explained(error)
        if message:
            return ranks.fail(f"tinyalbert: {message}", 2)
        if ranks.size == 1:
            raise
        return ranks.fail(traceback.format_exc(), 1)


def _prepare_streams():
    """Make stdout and stderr safe to print to.

    A closed stream becomes one that goes nowhere, or from which nothing comes; a character that a
    stream can't encode is written as an escape such as \\u2581.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class Output:
    """stdout or stderr, where writing fails when the reader has gone or the disk is full.

    lasts: whether the command goes on then, and what it prints goes nowhere; else it is refused.
    failure: the error by which the stream was lost, or None.
    """

    def __init__(self, stream, lasts):
        self.stream = stream
        self.lasts = lasts
        self.failure = None

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        self._attempt(lambda: self.stream.write(text))
        return len(text)

    def flush(self):
        self._attempt(self.stream.flush)

    def _attempt(self, act):
        if self.failure is not None:
            return
        try:
            act()
        except (OSError, ValueError) as error:  # ValueError: closed
            self.failure = error
            _to_nowhere(self.stream)
            if isinstance(error, BrokenPipeError) and not self.lasts:
                raise
            if not self.lasts:
                raise UserError(f"standard output could not be written ({error})") from None


def _to_nowhere(stream):
    """Lead a stream to the null device, or Python complains when it flushes it at the end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _output(stdout, args, ranks):
    """stdout for a command: nowhere on all processes but the first.

    Where a model is trained it may be lost on the way, since the model is what counts.
    """
    if ranks.rank:
        stdout = open(os.devnull, "w", encoding="utf-8")
    trains = getattr(args, "run", None) in (_pretrain, _finetune)
    stdout = Output(stdout, lasts=trains)
    with contextlib.redirect_stdout(stdout):
        yield stdout
    if stdout.failure:
        print(f"note: standard output could not be written ({stdout.failure})", file=sys.stderr)


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end; `signal` is its number."""

    def __init__(self, number):
        super().__init__()
        self.signal = number


@contextlib.contextmanager
def _ended_by_signals(for_good):
    """SIGTERM and SIGHUP end a command as Ctrl-C does; the next one ends it at once.

    A signal that is ignored, as SIGHUP is by nohup, stays so.
    for_good: whether the process ends with the command, so that a third signal is heeded as well.
    """
    stopped = []

    def stop(number, frame):
        stopped.append(number)
        for each in heard:
            signal.signal(each, stop_at_once)
        raise Stopped(number)

    def stop_at_once(number, frame):
        for each in heard:
            signal.signal(each, signal.SIG_IGN)  # it is said once
        with contextlib.suppress(OSError):
            os.write(2, b"\ntinyalbert: stopped at once\n")
        os._exit(128 + number)

    # only the main thread may set handlers
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = signals()
    before = {each: signal.getsignal(each) for each in heard}
    for each in heard:
        signal.signal(each, stop)
    try:
        yield
    finally:
        if not (for_good and stopped):
            for each, handler in before.items():
                signal.signal(each, handler)


def _end_silently_from_now():
    """The next signal ends the process where it is: all that there is to say has been said."""
    for each in signals():
        signal.signal(each, lambda number, frame: os._exit(128 + number))


MANY_FILES = 1024  # more than a command ever has open at once


def _allow_open_files():
    """Ask for as many open files as there may be, where this shell allows fewer than usual."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(MANY_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _explained(error):
    """The sentence for a mistake that the user can mend; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{advice_for(error)}"
    if isinstance(error, ImportError) and "failed to map segment" in str(error):
        return f"not enough memory to load a library ({error}); end other programs"
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); lower --batch-size, --max-length or --preset"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "no more threads can be started; lower --threads, or raise the limit (ulimit -u)"
    return None
