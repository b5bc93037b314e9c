"""Training: `Trainer.step` is one optimiser step, `train` the loop around it.

`Trainer.step` is the whole of it: forward and backward -> reduce -> unscale -> clip -> step.  A
batch may be cut into micro-batches (accumulation), threads and processes; every mean loss is
weighted by the number of its targets, so the result is that of the whole batch in one piece, to
rounding.  `train` adds what a run needs: evaluation, log, progress bar, checkpoints, resuming, a
clean end on Ctrl-C.  The batch of a step, its dropout and its learning rate are functions of (seed,
step), so a resumed run is the uninterrupted one.  Taught in lessons 12 to 14.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..backend import xp_of
from ..errors import UserError
from ..nn import DropoutRng
from ..optim import (
    OPTIMIZERS,
    clip_by_global_norm,
    google_schedule,
    linear_warmup_decay,
    unscale,
)
from ..precision import Precision, bytes_kept, check_precision
from ..tensor import backward
from .captured import CapturedStep
from .memory import check_room, keep_freed_memory
from .metrics import StepMetrics
from .replicas import GradientSum, Single, Threads, batch_size, split

SCHEDULES = {
    "linear": linear_warmup_decay,
    "google": google_schedule,
    "constant": lambda step, peak, warmup, total: peak * min(1.0, (step + 1) / max(warmup, 1)),
}


class Trainer:
    """A model and what changes it: optimiser, schedule, replicas.

    optimizer: "adamw", "lamb" or an optimiser object.  lr: the peak, by default the object's, or
    1e-3. warmup: steps, or a share of total_steps if below 1.  schedule: "linear" decay to 0 after
    the warm-up, "google" (google-research/albert, with its jump), "constant", or a function of the
    step; without total_steps the rate is constant.  clip: largest global gradient norm, None for no
    limit. accumulation: micro-batches of a batch, worked on one after the other.  threads: None is
    one a core. precision: "fp32", or on a GPU also "tf32", "fp16", "bf16", or on a CPU "bf16" if it
    has units for it, and "bf16-emulated"; precision.py tells more.  graphs: whether the steps of a
    GPU become CUDA graphs, of which captured.py tells.
    """

    def __init__(
        self,
        model,
        optimizer=None,
        lr=None,
        total_steps=None,
        warmup=0.06,
        schedule="linear",
        clip=1.0,
        accumulation=1,
        threads=None,
        seed=0,
        ranks=None,
        precision="fp32",
        graphs=True,
    ):
        if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
            raise UserError(
                f"optimizer {optimizer!r} is unknown; expected one of {', '.join(OPTIMIZERS)}"
            )
        if not callable(schedule) and schedule not in SCHEDULES:
            raise UserError(
                f"schedule {schedule!r} is unknown; expected one of {', '.join(SCHEDULES)} or a "
                f"function"
            )
        lr = getattr(optimizer, "lr", 1e-3) if lr is None else lr
        for name, value in (("lr", lr), ("accumulation", accumulation), ("clip", clip or 1.0)):
            if not value > 0:
                raise UserError(f"{name} is {value}; expected a number above 0")
        self.precision = Precision(
            check_precision(precision, model.device()), model.named_parameters()
        )
        self.model = model
        model.take_turns()
        self.lr = lr
        self.total_steps = total_steps
        self.warmup = warmup
        self.schedule = schedule
        self.clip = clip or math.inf
        self.accumulation = accumulation
        self.seed = seed
        if optimizer is None or isinstance(optimizer, str):
            optimizer = OPTIMIZERS[optimizer or "adamw"](list(model.named_parameters()), lr)
        self.optimizer = optimizer
        self.ranks = ranks or Single()
        self.replicas = Threads(1 if model.device() == "gpu" else threads)
        self.gradients = GradientSum(model.named_parameters())
        self.graphs = graphs
        self.captured = CapturedStep.of(self)  # None on a CPU
        self.steps_done = 0
        keep_freed_memory()  # each step asks for the arrays that the last one let go

    def step(self, batch, lr=None):
        """One optimiser step on `batch`; returns its metrics.

        batch: this process's rows of the global batch.  lr: the learning rate, by default the
        schedule's at this step.  A loss or gradient that is not finite is refused before the step
        on the CPU; looking at a GPU would mean waiting.
        """
        lr = self.lr_at(self.steps_done) if lr is None else lr
        with self.model.turns.changing():
            return self._step(batch, lr)

    def _step(self, batch, lr):
        scale = self.precision.loss_scale
        totals = batch_totals(self.model, batch, self.ranks)

        self.model.train()
        metrics = self.captured and self.captured.step(batch, totals, lr)
        if metrics is not None:
            self.steps_done += 1
            return metrics
        losses = self._sum_of_parts(batch, totals)
        gradients = self.gradients.reduced(self.ranks)
        on_cpu = xp_of(losses) is np
        # on a GPU the flat buffer behind the gradients: one launch instead of one a parameter
        summed = gradients if on_cpu else {"all": self.gradients.flat}
        unscale(summed, scale and scale.value)
        norm = clip_by_global_norm(summed, self.clip)
        metrics = StepMetrics(
            self.steps_done + 1,
            totals.targets,
            losses,
            norm,
            lr,
            totals.tokens,
            scale and scale.value,
        )
        if on_cpu:
            metrics.check_finite()
        self.optimizer.step(gradients, lr=lr, finite=scale and scale.update(norm))
        self.steps_done += 1
        return metrics

    def forward_backward(self, batch, totals=None):
        """The mean losses (terms,) of the global batch; their gradients go into self.gradients.

        The batch is cut into micro-batches, one after the other, and each of these into parts, side
        by side.
        """
        totals = totals or batch_totals(self.model, batch, self.ranks)
        losses = self.captured and self.captured.forward_backward(batch, totals)
        return self._sum_of_parts(batch, totals) if losses is None else losses

    def _sum_of_parts(self, batch, totals):
        work = functools.partial(self._forward_backward_part, totals.targets)
        self.gradients.clear()
        losses = 0.0
        with self.precision.active():
            for micro_batch, first_row in split(batch, self.accumulation, totals.first_row):
                if self.model.device() == "cpu":
                    self._check_room(micro_batch["input_ids"])
                parts = split(micro_batch, self.replicas.n, first_row)
                results = self.replicas.run(work, parts)
                self.gradients.add([gradients for _, gradients in results], self.replicas)
                losses = losses + sum(part_losses for part_losses, _ in results)
        self.ranks.all_reduce(losses)
        return losses

    def _check_room(self, ids):
        """Refuse ids (rows, ..., tokens) whose step has no room in memory."""
        length = ids.shape[-1]
        texts = ids.size // length  # a row may have several
        kept = bytes_kept(self.precision.name)
        check_room(self.model.config, texts, length, kept, batch_size=len(ids))

    def _forward_backward_part(self, targets, part):
        """This part's share of each mean loss, and the gradients of their sum.

        targets: {loss term: how many the global batch has}.
        """
        batch, first_row = part
        counts = self.model.loss_counts(**batch)
        shares = {name: counts[name] / n if n else 0.0 for name, n in targets.items()}
        rng = DropoutRng((self.seed, self.steps_done), first_row)
        losses = self.model(**batch, rng=rng).losses
        terms = [losses[name] * share for name, share in shares.items() if share]
        scale = self.precision.loss_scale  # the gradients are those of the losses times this
        gradients = {}
        if terms:
            gradients = backward(functools.reduce(ops.add, terms), scale and scale.value)
        values = [losses[name].data.astype(np.float64) * share for name, share in shares.items()]
        return xp_of(*values).stack(values), gradients

    def lr_at(self, step, total_steps=None):
        """The learning rate of step `step`, counted from 0.

        total_steps: of the run, by default the trainer's.
        """
        if callable(self.schedule):
            return self.schedule(step)
        total = total_steps or self.total_steps
        schedule = SCHEDULES[self.schedule if total else "constant"]
        return schedule(step, self.lr, self._warmup_steps(total), total)

    def schedule_over(self, total_steps):
        """step -> learning rate, of a run of `total_steps`."""
        return functools.partial(self.lr_at, total_steps=total_steps)

    def _warmup_steps(self, total_steps):
        return round(self.warmup * (total_steps or 0)) if self.warmup < 1 else int(self.warmup)

    @property
    def warmup_steps(self):
        """The warm-up in steps."""
        return self._warmup_steps(self.total_steps)

    def settings(self):
        """What a resumed run should share with the run that it continues."""
        return {
            "optimizer": type(self.optimizer).__name__,
            "lr": self.lr,
            "total_steps": self.total_steps,
            "warmup": self.warmup,
            "schedule": getattr(self.schedule, "__name__", self.schedule),
            "clip": None if self.clip == math.inf else self.clip,
            "accumulation": self.accumulation,
            "seed": self.seed,
            "threads": self.replicas.n,
            "ranks": self.ranks.size,
            "precision": self.precision.name,
            "products": self.precision.multiplies(self.model),
        }


@dataclass(frozen=True)
class BatchTotals:
    """Sizes of a global batch, whose rows are dealt to several processes."""

    targets: dict  # {loss term: how many targets its mean is over}
    tokens: int  # padding left out, if the batch has an attention mask
    first_row: int  # the global number of this process's first row


def batch_totals(model, batch, ranks):
    """The BatchTotals of a batch, of which each process gives its own rows; one message."""
    counts = model.loss_counts(**batch)
    if not counts:
        raise UserError(f"a batch of {', '.join(batch)} has nothing to learn from; it needs labels")
    if "attention_mask" in batch:
        tokens = int(batch["attention_mask"].sum())
    else:
        tokens = np.size(batch["input_ids"])
    rows = np.zeros(ranks.size)  # of each process
    rows[ranks.rank] = batch_size(batch)
    message = np.array([*counts.values(), tokens, *rows], dtype=np.float64)
    ranks.all_reduce(message)
    *targets, tokens = message[: len(counts) + 1].astype(int).tolist()
    rows = message[len(counts) + 1 :]
    first_row = int(rows[: ranks.rank].sum())
    return BatchTotals(dict(zip(counts, targets)), tokens, first_row)
