"""The numbers of one training step, which stay on a GPU until somebody asks for them."""

import math
from collections.abc import Mapping

import numpy as np

from ..backend import to_host, xp_of
from ..errors import UserError

LOWER_IS_BETTER = ("loss", "mse", "mae", "rmse", "perplexity", "error")  # what such names end in


class TrainingDiverged(UserError):
    """The loss, a gradient or a weight is not finite, or the loss has exploded."""


class StepMetrics(Mapping):
    """The metrics of one step, by attribute or by the name that the log uses.

    step: counted from 1.  losses: {term: mean loss}, and `loss` their sum.  grad_norm: before
    clipping.  lr, tokens: of this step.  loss_scale: fp16's, else None.  skipped: 1.0 if fp16's
    gradient overflowed, so that the step was left out (its norm then counts as 0), else 0.0.
    As a mapping: "loss", "<term>_loss", "grad_norm", "lr", "tokens", in fp16 also "loss_scale" and
    "skipped".

    On a GPU the numbers are fetched when one of them is first read, which waits for the device;
    `fetch` brings those of several steps in one copy.  Reading never refuses: `check_finite` does.
    """

    def __init__(self, step, terms, losses, norm, lr, tokens, loss_scale=None):
        """Join the numbers of a step in one array on their device.

        terms: names of the losses (terms,).  norm: a float, or an array () on their device, as is
        loss_scale.
        """
        xp = xp_of(losses)
        numbers = [losses, xp.asarray(norm).reshape(1)]
        if loss_scale is not None:
            numbers.append(loss_scale.reshape(1))
        # on the device: a copy, the scale changes later
        self._keep(xp.concatenate(numbers), step, terms, lr, tokens, loss_scale is not None)

    @classmethod
    def of_numbers(cls, numbers, step, terms, lr, tokens, scaled):
        """From the numbers themselves, in the order of __init__, which are not copied."""
        metrics = cls.__new__(cls)
        metrics._keep(numbers, step, terms, lr, tokens, scaled)
        return metrics

    def _keep(self, numbers, step, terms, lr, tokens, scaled):
        self.step, self.lr, self.tokens = step, lr, tokens
        self.terms = tuple(terms)
        self.scaled = scaled
        self.guarded = xp_of(numbers) is np or scaled  # is a step that isn't finite left out?
        self.numbers = numbers
        self._fetched = None

    # --- the numbers, by name ---------------------------------------------------------------------

    @property
    def fetched(self):
        """Whether the numbers are on the host, so that reading them waits for nothing."""
        return self._fetched is not None

    @property
    def losses(self):
        """{term: mean loss}."""
        return dict(zip(self.terms, self._values()))

    @property
    def loss(self):
        """The sum of the terms."""
        return sum(self.losses.values())

    @property
    def raw_norm(self):
        """The gradient's norm as computed: infinite or not a number if it overflowed."""
        return self._values()[len(self.terms)]

    @property
    def loss_scale(self):
        """What the losses were multiplied by in fp16, else None."""
        return self._values()[-1] if self.scaled else None

    @property
    def skipped(self):
        """1.0 if the step was left out because fp16 overflowed, else 0.0."""
        return float(self.scaled and not math.isfinite(self.raw_norm))

    @property
    def grad_norm(self):
        """The gradient's norm before clipping; 0.0 of a step that was left out."""
        return 0.0 if self.skipped else self.raw_norm

    def _values(self):
        fetch([self])
        return self._fetched

    # --- as a mapping, in the names of the log ----------------------------------------------------

    def __iter__(self):
        yield "loss"
        for term in self.terms:
            yield f"{term}_loss"
        yield from ("grad_norm", "lr", "tokens")
        if self.scaled:
            yield from ("loss_scale", "skipped")

    def __len__(self):
        return len(list(iter(self)))

    def __getitem__(self, name):
        if name not in list(self):
            raise KeyError(name)
        term = name.removesuffix("_loss")
        return self.losses[term] if term in self.terms else getattr(self, name)

    # --- the check --------------------------------------------------------------------------------

    def check_finite(self):
        """Refuse a step whose loss or gradient is not finite.

        In fp16 a norm that is not finite is no error as long as the loss scale can still fall.
        """
        bad = [f"{term} loss {x}" for term, x in self.losses.items() if not math.isfinite(x)]
        overflow_is_normal = self.scaled and self.loss_scale > 1
        if not math.isfinite(self.raw_norm) and not overflow_is_normal:
            bad.append(f"gradient norm {self.raw_norm}")
        if bad:
            taken = "The step was not taken" if self.guarded else "The parameters are lost"
            raise TrainingDiverged(
                f"step {self.step} gave {' and '.join(bad)} at learning rate {self.lr:.3g}; "
                f"expected finite numbers. {taken}"
            )


def better_sign(metric):
    """1 if a higher value of a metric is the better one, -1 if a lower one is."""
    return -1 if metric.lower().endswith(LOWER_IS_BETTER) else 1


def fetch(several):
    """Bring the numbers of several steps' metrics to the host, in one copy."""
    waiting = [metrics for metrics in several if not metrics.fetched]
    if not waiting:
        return
    xp = xp_of(waiting[0].numbers)
    numbers = to_host(xp.concatenate([metrics.numbers for metrics in waiting])).tolist()
    for metrics in waiting:
        metrics._fetched = [numbers.pop(0) for _ in range(metrics.numbers.size)]
