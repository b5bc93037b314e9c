"""The record of a training run: log, evaluations, best and last checkpoint, progress bar, resuming,
stopping.

In the output folder: the kept model in the Hugging Face layout; `log.jsonl`, one line for each
logged step and each evaluation; `last/`, the whole state of the training, from which a run goes on
bit for bit."""

import contextlib
import errno
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..backend import to_host, xp_of
from ..errors import UserError
from ..files.checkpoint import STATE_FILE, load_state, load_training_state, save_training_state


def check_output(folder):
    """Refuse, before any work, an output folder that can't be written, or holds a run or a model
    already.
    """
    if (Path(folder) / "last" / STATE_FILE).exists():
        raise UserError(
            f"{folder} already holds a training run; go on with it with --resume, or choose "
            f"another "
            "output folder"
        )
    if (Path(folder) / "model.safetensors").exists():
        raise UserError(f"{folder} already holds a model; choose another output folder")
    check_writable(folder)


def check_writable(folder):
    """Refuse a folder in which no file can be made; nothing is made yet."""
    there = Path(folder).resolve()
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = "not yours to write" if there.is_dir() else "a file"
        raise UserError(
            f"{folder} can't be written: {there} is {why}; choose another output folder"
        )


def read_settings(path, kind, names):
    """What a run was begun with, for resuming it: a dict with at least these names."""
    try:
        settings = json.loads(path.read_text())
        if set(names) <= settings.keys():
            return settings
    except FileNotFoundError:
        raise UserError(
            f"there is no {kind} run in {path.parent} to resume; start it without --resume"
        ) from None
    except (ValueError, AttributeError):
        pass
    raise UserError(f"{path} is damaged; start the run anew in another folder")


def say_what_counts(asked, settings, defaults, say):
    """Say which of the options beside --resume are not followed, since the run has its own."""
    for name, value in json.loads(json.dumps(asked)).items():
        if value not in (None, defaults.get(name), settings.get(name, value)):
            say(f"resumed with {name} {settings[name]}, as the run began, not {value}")


class TrainingDiverged(UserError):
    """The loss or a gradient is not finite; the parameters are still those of the step before."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after the checkpoint was written; the message says how to resume."""


class StepMetrics(Mapping):
    """The metrics of one step, {"loss", "<term>_loss", "grad_norm", "lr", "tokens"}; in fp16 two
    more.

    "loss_scale", and "skipped": 1 if the gradient overflowed in 16 bits, so that the step was left
    out; its norm counts as 0.  On a GPU the numbers are fetched when one of them is first read,
    which waits for the device."""

    def __init__(self, step, terms, numbers, lr, tokens):
        self.step, self.terms, self.numbers, self._known = (
            step,
            terms,
            numbers,
            {"lr": lr, "tokens": tokens},
        )
        self.fetched, self.scaled = False, numbers.size == len(terms) + 2

    def __getitem__(self, name):
        fetch([self])
        return self._known[name]

    def __iter__(self):
        return iter(
            (
                "loss",
                *(f"{term}_loss" for term in self.terms),
                "grad_norm",
                "lr",
                "tokens",
                *(("loss_scale", "skipped") if self.scaled else ()),
            )
        )

    def __len__(self):
        return len(self.terms) + 4 + 2 * self.scaled

    def _take(self, numbers):
        *losses, norm, scale = numbers if self.scaled else (*numbers, None)
        skipped = self.scaled and not math.isfinite(norm)
        bad = [f"{name} loss {x}" for name, x in zip(self.terms, losses) if not math.isfinite(x)]
        bad += (
            [f"gradient norm {norm}"]
            if not math.isfinite(norm) and (scale is None or scale <= 1)
            else []
        )
        if bad:
            kept = isinstance(self.numbers, np.ndarray) or self.scaled
            taken = "The step was not taken" if kept else "The parameters are lost"
            raise TrainingDiverged(
                f"step {self.step} gave {' and '.join(bad)} at learning rate "
                f"{self._known['lr']:.3g}; expected finite "
                f"numbers. {taken}. Try a lower learning rate, a longer warm-up or a smaller clip"
            )
        self._known |= {"loss": sum(losses), "grad_norm": 0.0 if skipped else norm}
        self._known |= {"loss_scale": scale, "skipped": float(skipped)} if self.scaled else {}
        self._known |= {f"{term}_loss": x for term, x in zip(self.terms, losses)}
        self.fetched = True


def fetch(several):
    """Bring the numbers of several steps' metrics to the host, in one copy; refuses those that
    aren't finite.
    """
    waiting = [metrics for metrics in several if not metrics.fetched]
    if waiting:
        xp = xp_of(waiting[0].numbers)
        numbers = to_host(xp.concatenate([metrics.numbers for metrics in waiting])).tolist()
        for metrics in waiting:
            metrics._take([numbers.pop(0) for _ in range(metrics.numbers.size)])


def _step(line):
    """The step of a line of the log; infinite if the line is damaged, as a power cut may leave the
    last.
    """
    try:
        return json.loads(line)["step"] if line.endswith("\n") else math.inf
    except (ValueError, TypeError, KeyError):
        return math.inf


class Run:
    """One call of `train`: its numbers so far, its log, its checkpoints, its progress bar."""

    def __init__(
        self, trainer, evaluate, output_dir, best, log_every, tokenizer, unigram_entropy, progress
    ):
        self.trainer, self.evaluator, self.best_name, self.log_every = (
            trainer,
            evaluate,
            best,
            log_every,
        )
        self.unread = []  # (metrics, seconds) of the steps that are not in the sums yet
        self.tokenizer, self.unigram_entropy = tokenizer, unigram_entropy
        self.keeps_best = best is not None and evaluate is not None
        self.folder = Path(output_dir) if output_dir is not None else None
        self.last = self.folder / "last" if self.folder else None
        self.leads = trainer.ranks.rank == 0
        self.progress, self.bar = progress and self.leads, None
        self.metrics, self.begun = {}, time.perf_counter()
        # what a resumed run must know: also the sums behind the next line of the log
        self.state = {
            "seconds": 0.0,
            "best": None,
            "length": None,
            "evaluated": 0,
            "sums": {},
            "summed": 0,
            "plateau_since": None,
            "hinted": False,
        }
        self.evaluation_seconds = 0.0

    # --- the start --------------------------------------------------------------------------------

    def begin(self):
        """A new run: refuse to write over an old one, make the folder, evaluate the untrained
        model.
        """
        if self.folder:
            check_output(self.folder)
        self.trainer.ranks.barrier()
        if self.folder and self.leads:
            with self.writing("the output folder"):
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / "log.jsonl").write_text("")
        return self.call_evaluator()

    def log_start(self, untrained):
        """The first lines of the log: what is trained and how, and the evaluation of the untrained
        model.
        """
        trainer = self.trainer
        self.log(
            "start",
            vocab_size=trainer.model.config.vocab_size,
            unigram_entropy=self.unigram_entropy,
            parameters=trainer.model.num_parameters(),
            **trainer.settings(),
        )
        if untrained:
            self.log("eval", **untrained)

    def restore(self, steps):
        """Take up the run in `last/` where it was saved."""
        trainer = self.trainer
        if not self.saved():
            raise UserError(
                f"there is no training run to resume in {self.folder}; start it without --resume"
            )
        progress = load_training_state(self.last, trainer.model, trainer.optimizer)
        trainer.steps_done, self.state = progress["steps_done"], progress["state"]
        trainer.precision.load(progress.get("loss_scale"))
        self.begun = time.perf_counter() - self.state["seconds"]
        saved = progress["settings"]
        trainer.total_steps = steps or saved["total_steps"]
        for name, now in trainer.settings().items():
            if now != saved.get(name, now):
                self.say(f"resumed with {name} {now}; the run had {saved[name]}")
        if trainer.steps_done >= trainer.total_steps:
            raise UserError(
                f"the run in {self.folder} is complete ({trainer.steps_done} steps); ask for more "
                f"steps, "
                "or start another run in another folder"
            )
        if self.leads:  # what was logged after the checkpoint will be logged again
            path = self.folder / "log.jsonl"
            lines = path.read_text().splitlines(keepends=True) if path.exists() else []
            kept = [line for line in lines if _step(line) <= trainer.steps_done]
            with self.writing("the log"):
                path.with_suffix(".tmp").write_text("".join(kept))
                path.with_suffix(".tmp").replace(path)
        trainer.ranks.barrier()

    # --- every step -------------------------------------------------------------------------------

    def record(self, metrics):
        """Add one step's metrics to the sums; every `log_every` steps their means go into the log.

        A GPU is asked for its numbers only when the log, an evaluation or a checkpoint needs them.
        """
        state, now = self.state, time.perf_counter()
        self.unread.append((metrics, now - self.clock))
        self.clock = now
        if self.bar is not None:
            self.advance()
        logs = (
            self.trainer.steps_done % self.log_every == 0
            or self.trainer.steps_done == self.trainer.total_steps
        )
        if not (logs or metrics.fetched):
            return
        self.read()
        rate = state["sums"]["tokens"] / state["sums"]["elapsed"]
        if self.bar is not None:
            self.bar.set_postfix_str(
                f"loss {state['sums']['loss'] / state['summed']:.3f}, {rate:,.0f} tokens/s", False
            )
        if logs:
            last = {k: metrics[k] for k in ("lr", "loss_scale") if k in metrics}
            means = {
                k: v / state["summed"]
                for k, v in state["sums"].items()
                if k not in ("tokens", "elapsed", *last)
            }
            self.log(
                "train", **means, **last, tokens=state["sums"]["tokens"], tokens_per_second=rate
            )
            self.watch_plateau(means.get("mlm_loss"))
            state["sums"], state["summed"] = {}, 0

    def read(self):
        """Add what was not read yet to the sums, fetched in one copy; a run that diverged stops
        here.
        """
        fetch([metrics for metrics, _ in self.unread])
        for metrics, elapsed in self.unread:
            for name, value in {**metrics, "elapsed": elapsed}.items():
                self.state["sums"][name] = self.state["sums"].get(name, 0.0) + value
            self.state["summed"] += 1
        self.unread = []

    def watch_plateau(self, mlm_loss):
        """Explain, once, a masked-word loss that stays at the unigram entropy."""
        state, trainer = self.state, self.trainer
        if (
            mlm_loss is None
            or self.unigram_entropy is None
            or trainer.steps_done <= trainer.warmup_steps
        ):
            return
        if mlm_loss < self.unigram_entropy - 0.1:
            state["plateau_since"] = None
        elif state["plateau_since"] is None:
            state["plateau_since"] = trainer.steps_done
        elif not state["hinted"] and trainer.steps_done - state["plateau_since"] >= max(
            300, trainer.total_steps // 20
        ):
            state["hinted"] = True
            text = (
                f"the masked-word loss has stood near {self.unigram_entropy:.2f}, the unigram "
                f"entropy, since step "
                f"{state['plateau_since']}: the model knows how frequent each word is and does not "
                f"use the "
                "context yet. Every ALBERT rests there for a while. If it stays: shorter sequences "
                "at first (16 "
                "to 64 tokens), AdamW with beta2 0.98 or LAMB, a lower learning rate for wider "
                "models"
            )
            self.say(text)
            self.log("note", text=text)

    def evaluate(self):
        """Evaluate, log, and keep the model if it is the best so far."""
        if self.evaluator is None or self.state["evaluated"] == self.trainer.steps_done:
            return
        self.read()
        self.metrics, self.state["evaluated"] = self.call_evaluator(), self.trainer.steps_done
        self.log("eval", **self.metrics)
        if self.best_name is None:
            return
        if self.best_name not in self.metrics:
            raise UserError(
                f"evaluate() gave {', '.join(self.metrics)}; expected {self.best_name} as well, "
                "by which the best model is to be chosen"
            )
        value, length = self.metrics[self.best_name], self.metrics.get("max_seq_length")
        before = (
            self.state["best"] if length == self.state.get("length") else None
        )  # values of one length compare
        sign = -1 if self.best_name.endswith("loss") else 1
        if before is None or sign * value > sign * before:
            self.state.update(best=value, length=length)
            self.save_model()

    def call_evaluator(self):
        """The evaluation's metrics; its time is left out of the log's tokens per second."""
        if self.evaluator is None:
            return {}
        begun = time.perf_counter()
        metrics = {
            name: float(value)
            for name, value in self.evaluator(
                self.trainer.model.eval(), self.trainer.replicas
            ).items()
        }
        self.evaluation_seconds = time.perf_counter() - begun
        if self.bar is not None:
            self.say(
                f"step {self.trainer.steps_done}: "
                + ", ".join(f"{k} {v:.4g}" for k, v in metrics.items())
            )
        return metrics

    # --- what is written --------------------------------------------------------------------------

    def save(self):
        """Write last/: parameters, moments of the optimiser, step, settings, and this run's sums.

        At the end of a run without a best model, the last one is written first: a complete last/
        means that the model is there."""
        if self.last:
            self.read()
        if not self.keeps_best and self.trainer.steps_done == self.trainer.total_steps:
            self.save_model()
        if self.last and self.leads:
            self.state.update(seconds=self.seconds(), saved_step=self.trainer.steps_done)
            with self.writing("the checkpoint"):
                save_training_state(
                    self.last,
                    self.trainer.model,
                    self.trainer.optimizer,
                    {
                        "steps_done": self.trainer.steps_done,
                        "settings": self.trainer.settings(),
                        "loss_scale": self.trainer.precision.state(),
                        "state": self.state,
                    },
                )
        self.trainer.ranks.barrier()
        self.clock = time.perf_counter()

    def saved(self):
        """Whether there is a checkpoint to go on from."""
        return self.last is not None and (self.last / STATE_FILE).exists()

    def save_model(self):
        """Write the model (and tokenizer) in the Hugging Face layout into the output folder."""
        if self.folder and self.leads:
            with self.writing("the model"):
                self.trainer.model.save_pretrained(self.folder, tokenizer=self.tokenizer)

    def finish(self):
        """Leave the kept model, in evaluation mode, in memory; returns the last evaluation's
        metrics.
        """
        if self.keeps_best and self.folder:
            self.trainer.model.load_state_dict(load_state(self.folder))
        self.trainer.model.eval()
        return self.metrics

    def log(self, kind, **values):
        """One line of log.jsonl, on disk when this returns."""
        if self.folder and self.leads:
            line = {
                "kind": kind,
                "step": self.trainer.steps_done,
                "seconds": round(self.seconds(), 2),
                **values,
            }
            with (
                self.writing("the log"),
                open(self.folder / "log.jsonl", "a", encoding="utf-8") as file,
            ):
                file.write(json.dumps(line) + "\n")

    @contextlib.contextmanager
    def writing(self, what):
        """Turn a full disk into a sentence that says what to do."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(
                f"no space left on the disk of {self.folder} while writing {what}, at step "
                f"{self.trainer.steps_done}; free some, then "
                + (
                    "resume with --resume from the last checkpoint, which is whole"
                    if self.saved()
                    else "start again: there was no checkpoint yet"
                )
            ) from error

    def seconds(self):
        """Time since the run began, interruptions left out."""
        return time.perf_counter() - self.begun

    def say(self, text):
        """Print a line above the progress bar."""
        if self.progress:
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)

    def advance(self):
        """Move the progress bar to the step that is done."""
        self.bar.set_description_str(self.where(), refresh=False)
        self.bar.update(self.work(self.trainer.steps_done) - self.bar.n)

    def where(self):
        """The words beside the bar."""
        return f"step {self.trainer.steps_done}/{self.trainer.total_steps}"

    @contextlib.contextmanager
    def display(self, work):
        """Show the progress bar, which is full at work(steps); let a run that diverges say where
        its checkpoint is.
        """
        from tqdm import tqdm

        self.work, self.clock = work, time.perf_counter()
        try:
            with tqdm(
                desc=self.where(),
                total=work(self.trainer.total_steps),
                initial=work(self.trainer.steps_done),
                bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
                disable=not self.progress,
                mininterval=0.5 if sys.stderr.isatty() else 60,
            ) as self.bar:
                yield
        except TrainingDiverged as error:
            if not self.saved():
                raise TrainingDiverged(
                    f"{error}. There was no checkpoint yet: start again"
                ) from None
            raise TrainingDiverged(
                f"{error}. The last good checkpoint, of step {self.state['saved_step']}, is in "
                f"{self.last}: --resume goes on from there"
            ) from None
        finally:
            self.bar = None
            self.trainer.replicas.close()

    def anywhere(self, received):
        """Whether this or any other process was told to stop, so that all stop at the same step."""
        flag = np.array([float(bool(received))])
        self.trainer.ranks.all_reduce(flag)
        return flag[0] > 0


@contextlib.contextmanager
def stop_signals():
    """A list that gets an entry on Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""
    received = []

    def note(number, frame):
        received.append(number)
        signal.signal(number, signal.default_int_handler)

    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread may set handlers
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
