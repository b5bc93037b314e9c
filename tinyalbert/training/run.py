"""What happens beside the steps of a run: means for the log, evaluation, the best model.

In the output folder: the kept model in the Hugging Face layout; `log.jsonl` (log.py); `last/`, the
whole state of the training (checkpoints.py).
"""

import contextlib
import math
import time
from typing import Protocol

from ..errors import UserError
from .metrics import TrainingDiverged, better_sign, fetch
from .plan import evaluated, told_by_the_first
from .progress import Progress, in_words, say

EXPLODED = 10  # times the first loss, or 1: no model that learns comes near it
PATIENCE = 5  # steps in a row
USUAL_LR = 1e-3  # at most


class Watch(Protocol):
    """Somebody who looks at every logged line of a run and may have something to say about it."""

    state: dict  # what it remembers, in JSON types; saved and restored with the run

    def __call__(self, step, metrics):
        """A sentence for the user, or None.  metrics: {name: mean} since the line before."""


def new_state():
    """What a resumed run must know beside the model: also the sums behind the log's next line."""
    return {
        "seconds": 0.0,  # that the run took until the checkpoint
        "saved_step": None,
        "best": None,  # value of the metric by which the best model is chosen
        "length": None,  # the max_seq_length at which it was measured
        "unimproved": 0,  # evaluations since then
        "evaluated": 0,  # the step of the last evaluation
        "eval_every": None,  # steps between evaluations, where minutes left no time for the usual
        "sums": {},  # of the metrics since the last line of the log
        "summed": 0,  # over so many steps
        "watch": {},  # what the watch remembers
        "metrics": {},  # of the last evaluation
        "log_lines": None,  # that the log had
        "first_loss": None,
        "exploded": 0,  # steps in a row whose loss is far above the first
    }


class Run:
    """One call of `train`, once its plan is fixed.

    best: the metric by which the kept model is chosen, or None for the last model.  state: a
    new_state(), or the one of the checkpoint that is resumed.  watch: a Watch or None.
    """

    def __init__(self, trainer, plan, evaluate, checkpoints, log, best, state, watch, shown):
        self.trainer = trainer
        self.plan = plan
        self.evaluator = evaluate
        self.checkpoints = checkpoints
        self.log = log
        self.best = best
        self.keeps_best = best is not None and evaluate is not None
        self.state = {**new_state(), **state}
        self.watch = watch
        if watch is not None:
            watch.state.update(self.state["watch"])
        self.shown = shown  # whether this process speaks
        self.progress = Progress(plan, trainer.steps_done, shown)
        self.sound = False  # whether a step since the checkpoint had a loss as it should be
        self.unread = []  # (metrics, seconds) of the steps that are not in the sums yet
        self.clock = time.perf_counter()  # the end of the last step

    @property
    def metrics(self):
        """Of the last evaluation."""
        return self.state["metrics"]

    # --- every step -------------------------------------------------------------------------------

    def record(self, metrics):
        """Add one step's metrics to the sums; the means of several steps go into the log.

        A GPU is asked for its numbers only when the log, an evaluation or a checkpoint needs them.
        """
        now = time.perf_counter()
        self.unread.append((metrics, now - self.clock))
        self.clock = now
        done = self.trainer.steps_done
        self.progress.advance(done)
        logs = self.plan.logs_at(done)
        if not (logs or metrics.fetched):
            return
        self.read()
        sums, count = self.state["sums"], self.state["summed"]
        rate = sums["tokens"] / sums["elapsed"]
        losses = {term: sums[f"{term}_loss"] / count for term in metrics.terms}
        self.progress.tell(losses, rate)
        if logs:
            self.write_means(metrics, rate)

    def write_means(self, metrics, rate):
        """A line of the log: means since the line before, beside the last step's `metrics`."""
        sums, count = self.state["sums"], self.state["summed"]
        last = {name: metrics[name] for name in ("lr", "loss_scale") if name in metrics}
        summed = {name: x for name, x in sums.items() if name not in ("elapsed", *last)}
        tokens = summed.pop("tokens")
        means = {name: x / count for name, x in summed.items()}
        step = self.trainer.steps_done
        self.log.add("train", step, **means, **last, tokens=tokens, tokens_per_second=rate)
        self.state["sums"] = {}
        self.state["summed"] = 0
        remark = self.watch(step, means) if self.watch else None
        if remark:
            self.note(remark)

    def read(self):
        """Fetch the metrics not yet read, in one copy, and add them to the sums.

        A run that diverged stops here.
        """
        fetch([metrics for metrics, _ in self.unread])
        sums = self.state["sums"]
        for metrics, elapsed in self.unread:
            metrics.check_finite()
            self.check_exploded(metrics)
            for name, value in {**metrics, "elapsed": elapsed}.items():
                sums[name] = sums.get(name, 0.0) + value
            self.state["summed"] += 1
        self.unread = []

    def check_exploded(self, metrics):
        """Refuse to go on if the loss has been far above the first one for some steps."""
        if self.state["first_loss"] is None:
            self.state["first_loss"] = metrics.loss
        first = self.state["first_loss"]
        if metrics.loss <= EXPLODED * max(first, 1.0):
            self.state["exploded"] = 0
            self.sound = True
            return
        self.state["exploded"] += 1
        at_end = metrics.step == self.plan.total_steps
        patience = min(PATIENCE, self.plan.total_steps - 1) if at_end else PATIENCE
        if self.state["exploded"] >= patience:
            raise TrainingDiverged(
                f"step {metrics.step} gave a loss of {metrics.loss:.4g} at learning rate "
                f"{self.trainer.lr:.3g}, the first step {first:.4g}; expected it to fall"
            )

    # --- evaluation and checkpoints ---------------------------------------------------------------

    def evaluate(self):
        """Evaluate, log, and keep the model if it is the best so far."""
        step = self.trainer.steps_done
        if self.evaluator is None or self.state["evaluated"] == step:
            return
        self.read()
        if self.keeps_best and self.state["saved_step"] is None:
            self.save()  # a model without a checkpoint could neither be resumed nor replaced
        with self.averaged():
            self._evaluate(step)

    def averaged(self):
        """Context in which the model has the weights that are evaluated and kept."""
        average = self.checkpoints.average
        if average is None:
            return contextlib.nullcontext()
        average.note()
        return average.in_use()

    def _evaluate(self, step):
        begun = time.perf_counter()
        self.state["metrics"] = evaluated(self.trainer, self.evaluator)
        self.state["evaluated"] = step
        self.say(f"step {step}, held out: {in_words(self.metrics)}")
        self.clock += time.perf_counter() - begun  # left out of the log's tokens per second
        self.log.add("eval", step, **self.metrics)
        if not self.keeps_best:
            return
        better = bool(told_by_the_first(self.trainer.ranks, float(self.is_best())))
        if better:
            self.checkpoints.save_model()
        better &= not math.isnan(self.metrics[self.best])
        self.state["unimproved"] = 0 if better else self.state["unimproved"] + 1

    def is_best(self):
        """Whether the last evaluation is the best so far; if so, it is noted.

        Only values with the same max_seq_length are compared, if the evaluation gives it.
        """
        if self.best not in self.metrics:
            raise UserError(
                f"evaluate() gave {', '.join(self.metrics)}; expected {self.best} as well, "
                "by which the best model is to be chosen"
            )
        value, length = self.metrics[self.best], self.metrics.get("max_seq_length")
        before = self.state["best"] if length == self.state["length"] else None
        sign = better_sign(self.best)
        if math.isnan(value):
            return before is None  # no number at all is only better than nothing
        if before is not None and sign * value <= sign * before:
            return False
        self.state.update(best=value, length=length)
        return True

    @property
    def gives_up(self):
        """Whether the evaluations have not got better for so long that the run ends early."""
        return self.plan.gives_up(self.state["unimproved"])

    def save(self, last_chance=False):
        """Write a checkpoint.

        last_chance: the process ends with it.
        """
        step = self.trainer.steps_done
        if self.checkpoints.folder:
            self.read()
        if self.state["exploded"] and self.state["saved_step"] and not last_chance:
            return  # the checkpoint before is a better one
        lines = self.log.lines
        self.state.update(seconds=self.log.seconds(), saved_step=step, log_lines=lines)
        if self.watch is not None:
            self.state["watch"] = dict(self.watch.state)
        self.checkpoints.save(run_settings(self.trainer, self.plan.total_steps), self.state)
        self.sound = False
        self.clock = time.perf_counter()

    # --- around it --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def active(self):
        """Context manager around the steps, which closes the bar and the threads at the end.

        A run that diverges says where its checkpoint is.
        """
        self.clock = time.perf_counter()
        try:
            yield
        except TrainingDiverged as error:
            raise TrainingDiverged(f"{error}. {self.after_divergence()}") from None
        finally:
            self.progress.close()
            self.trainer.replicas.close()

    def after_divergence(self):
        """What to do about a run that diverged, so that it does not do the same again."""
        lower = f"a lower learning rate (--lr {min(self.trainer.lr / 10, USUAL_LR):.1g})"
        if self.trainer.steps_done == 0:
            return (
                "No step was taken yet, so the learning rate is not to blame: look at the weights "
                "that it starts from and at the dropout"
            )
        saved = self.state["saved_step"]
        if saved is None or not self.checkpoints.exist():
            return f"There was no checkpoint yet: start again with {lower}"
        if not self.sound:
            return (
                f"The last checkpoint, of step {saved}, may be no better, since no step after it "
                f"went well: start anew in another folder with {lower}"
            )
        return (
            f"The last good checkpoint, of step {saved}, is in {self.checkpoints.last}: --resume "
            f"goes on from there, with {lower}"
        )

    def finish(self, make_use=None):
        """Leave the kept model in memory and in its folder; returns the last evaluation's metrics.

        make_use: what is done with it before the run counts as complete, called with the metrics.
        """
        if self.keeps_best:
            self.checkpoints.load_model()
        else:
            self.checkpoints.save_model()
        self.trainer.model.eval()
        if make_use:
            make_use(self.metrics)
        self.log.add("end", self.trainer.steps_done)
        return self.metrics

    def note(self, text):
        """Print a line, which is also kept in the log."""
        self.say(text)
        self.log.add("note", self.trainer.steps_done, text=text)

    def say(self, text):
        """Print a line above the progress bar."""
        if self.shown:
            say(text)


def run_settings(trainer, total_steps):
    """What a resumed run should share with the run that it continues."""
    return {**trainer.settings(), "total_steps": total_steps}
