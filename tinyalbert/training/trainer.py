"""Training: `Trainer.step` is one optimiser step, `train` the loop around it.

`Trainer.step` is the whole of it: accumulate -> reduce -> clip -> step.  A batch may be cut into
micro-batches (accumulation), threads and processes; every mean loss is weighted by the number of
its targets, so the result is that of the whole batch in one piece, to rounding.  `train` adds what
a run needs: evaluation, log, progress bar, checkpoints, resuming, a clean end on Ctrl-C.  The batch
of a step, its dropout and its learning rate are functions of (seed, step), so a resumed run is the
uninterrupted one.  Taught in lessons 12 to 14."""

import functools
import math

import numpy as np

from .. import ops
from ..backend import xp_of
from ..errors import UserError
from ..nn import DropoutRng
from ..optim import LAMB, AdamW, clip_by_global_norm, google_schedule, linear_warmup_decay
from ..precision import Precision, check_precision
from ..tensor import backward
from .memory import keep_freed_memory
from .replicas import GradientSum, Single, Threads, batch_size, split
from .run import StepMetrics, fetch

OPTIMIZERS = {"adamw": AdamW, "lamb": LAMB}
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
    one a core. precision: "fp32", or on a GPU also "tf32", "fp16", "bf16", of which precision.py
    tells."""

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
        self.model, self.lr, self.warmup, self.schedule, self.seed = (
            model,
            lr,
            warmup,
            schedule,
            seed,
        )
        self.total_steps, self.accumulation, self.clip = total_steps, accumulation, clip or math.inf
        if optimizer is None or isinstance(optimizer, str):
            optimizer = OPTIMIZERS[optimizer or "adamw"](list(model.named_parameters()), lr)
        self.optimizer = optimizer
        self.ranks, self.replicas = (
            ranks or Single(),
            Threads(1 if model.device() == "gpu" else threads),
        )
        self.gradients = GradientSum(model.named_parameters())
        self.steps_done = 0
        keep_freed_memory()  # each step asks for the arrays that the last one let go

    def step(self, batch):
        """One optimiser step on `batch`, this process's rows of the global batch; returns its
        metrics.
        """
        self.model.train()
        totals, tokens, first_row = self._totals(batch)
        losses = self._accumulate(batch, totals, first_row)
        gradients = self.gradients.reduced(self.ranks)
        lr, xp, scale = self.lr_at(self.steps_done), xp_of(losses), self.precision.loss_scale
        norm = clip_by_global_norm(
            gradients if xp is np else {"all": self.gradients.flat},
            self.clip,  # one launch
            scale and scale.value,
        )
        numbers = [
            losses,
            xp.asarray(norm).reshape(1),
            *([scale.value.reshape(1)] if scale else []),
        ]
        metrics = StepMetrics(
            self.steps_done + 1, list(totals), xp.concatenate(numbers), lr, tokens
        )
        if xp is np:
            fetch([metrics])  # refuses before the step; looking at a GPU would mean waiting
        self.optimizer.step(gradients, lr=lr, **({"finite": scale.update(norm)} if scale else {}))
        self.steps_done += 1
        return metrics

    def _accumulate(self, batch, totals, first_row):
        """Sum the gradients of all parts of the batch in self.gradients; returns the mean losses
        (terms,).
        """
        self.gradients.clear()
        losses = 0.0
        with self.precision.active():
            for micro_batch, row in split(batch, self.accumulation, first_row):
                parts = split(micro_batch, self.replicas.n, row)
                results = self.replicas.run(
                    functools.partial(self._forward_backward, totals), parts
                )
                self.gradients.add([gradients for _, gradients in results], self.replicas)
                losses = losses + sum(part_losses for part_losses, _ in results)
        self.ranks.all_reduce(losses)
        return losses

    def _forward_backward(self, totals, part):
        """This part's share of each mean loss, and the gradients of their sum."""
        batch, first_row = part
        counts = self.model.loss_counts(**batch)
        shares = {name: counts[name] / totals[name] if totals[name] else 0.0 for name in totals}
        losses = self.model(**batch, rng=DropoutRng((self.seed, self.steps_done), first_row)).losses
        terms = [losses[name] * share for name, share in shares.items() if share]
        scale = self.precision.loss_scale  # the gradients are those of the losses times this
        gradients = (
            backward(functools.reduce(ops.add, terms), scale and scale.value) if terms else {}
        )
        values = [losses[name].data.astype(np.float64) * share for name, share in shares.items()]
        return xp_of(*values).stack(values), gradients

    def _totals(self, batch):
        """({loss term: targets}, tokens) of the global batch, and the global number of this
        process's first row.
        """
        counts, ranks = self.model.loss_counts(**batch), self.ranks
        if not counts:
            raise UserError(
                f"a batch of {', '.join(batch)} has nothing to learn from; it needs labels"
            )
        tokens = (
            batch["attention_mask"].sum()
            if "attention_mask" in batch
            else np.size(batch["input_ids"])
        )
        sums = np.zeros(len(counts) + 1 + ranks.size)
        sums[: len(counts) + 1] = *counts.values(), int(tokens)
        sums[len(counts) + 1 + ranks.rank] = batch_size(batch)
        ranks.all_reduce(sums)
        *totals, tokens = sums[: len(counts) + 1].astype(int).tolist()
        rows = sums[len(counts) + 1 :]
        return dict(zip(counts, totals)), tokens, int(rows[: ranks.rank].sum())

    def lr_at(self, step):
        """The learning rate of step `step`, counted from 0."""
        if callable(self.schedule):
            return self.schedule(step)
        schedule = SCHEDULES[self.schedule if self.total_steps else "constant"]
        return schedule(step, self.lr, self.warmup_steps, self.total_steps)

    @property
    def warmup_steps(self):
        """The warm-up in steps."""
        return round(self.warmup * (self.total_steps or 0)) if self.warmup < 1 else int(self.warmup)

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
        }
