"""What a run will do at which step, fixed before its first one."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..backend import to_host
from ..errors import UserError

TIMED_BATCHES = 21  # at most, of each kind
MEASURING_SHARE = 0.03  # of the time that there is, at most, after four batches of each kind,
MEASURING_SECONDS = 120.0  # and so long at most
SAVING_SECONDS = 600.0  # that a kill may cost a run of some minutes or hours
UPDATE_COST = 1.03  # forward and backward are timed; the optimiser's update takes about 3 % more
DEFAULT_EVALUATIONS = 10  # of a run whose interval is not given
IDLE_SHARE = 1e-3  # of the weights' size: a run that moves them less has no effect
LARGE = 10.0  # no model's weights are of this size
EVALUATING_SHARE = 0.5  # of a run of some minutes goes into evaluations, at most


@dataclass(frozen=True)
class Plan:
    """Pure functions of the step, counted from 0, and how often things happen."""

    total_steps: int
    lr: Callable  # step -> learning rate
    tokens: Callable  # step -> tokens in the first `step` batches
    eval_every: int
    save_every: int
    log_every: int
    patience: int | None = None  # evaluations in a row without a better one that end the run

    def evaluates_at(self, done):
        """Whether the model is evaluated after `done` steps."""
        return done % self.eval_every == 0 or done == self.total_steps

    def saves_at(self, done):
        """Whether a checkpoint is written after `done` steps."""
        return done % self.save_every == 0 or done == self.total_steps

    def logs_at(self, done):
        """Whether the log gets a line after `done` steps."""
        return done % self.log_every == 0 or done == self.total_steps

    def gives_up(self, unimproved):
        """Whether a run ends before its last step: after so many evaluations without a better one.

        The learning rate stays what it is without that.
        """
        return self.patience is not None and unimproved >= self.patience


def plan_run(
    trainer, data, total_steps, eval_every=None, save_every=None, log_every=10, patience=None
):
    """The Plan of a run of so many steps; by default it is evaluated, and saved, ten times."""
    if not total_steps or total_steps < trainer.steps_done:
        raise UserError(
            f"{total_steps} steps to train, {trainer.steps_done} done; expected steps= above that, "
            "or minutes="
        )
    eval_every = eval_every or evaluation_interval(total_steps)
    return Plan(
        total_steps,
        lr=trainer.schedule_over(total_steps),
        tokens=data.tokens,
        eval_every=eval_every,
        save_every=save_every or eval_every,
        log_every=log_every,
        patience=patience,
    )


def evaluation_interval(total_steps):
    """Steps from one evaluation to the next, unless they are given."""
    return -(-total_steps // DEFAULT_EVALUATIONS)


def hardly_moves(trainer, plan):
    """A remark if all steps that are left can't change the weights to speak of; else None.

    A step of Adam moves a weight by about the learning rate at most.
    """
    left = range(trainer.steps_done, plan.total_steps)
    looked_at = left[:: max(1, len(left) // 1000)]
    if not looked_at:
        return None
    mean_rate = sum(map(plan.lr, looked_at)) / len(looked_at)
    if mean_rate * len(left) > IDLE_SHARE * LARGE:
        return None  # without a look at the weights, which may be on a GPU
    arrays = [parameter.data for parameter in trainer.model.parameters()]
    squares = sum(float((array.astype("float32") ** 2).sum()) for array in arrays)
    size = math.sqrt(squares / sum(array.size for array in arrays))
    share = mean_rate * len(left) / size if size else 1.0
    if share > IDLE_SHARE:
        return None
    return (
        f"the learning rate, {trainer.lr:.3g} at its peak, is so low that {len(left):,} steps can "
        f"move the weights by {share:.1g} of their size at most: the model will hardly change; "
        "usual are 1e-5 to 1e-3 (--lr)"
    )


# --- how many steps fit into some minutes ---------------------------------------------------------


@dataclass(frozen=True)
class FittedSteps:
    """A number of steps that fits into a time, and what it was computed from; times in seconds."""

    steps: int
    step_seconds: float
    evaluation_seconds: float  # of all evaluations together
    untrained: dict | None = None  # metrics of the model before training
    eval_every: int | None = None  # where there is no time for as many evaluations as usual

    def save_every(self, eval_every):
        """Steps from one checkpoint to the next, where evaluations are too far apart for them."""
        eval_every = eval_every or evaluation_interval(self.steps)
        return max(1, min(eval_every, int(SAVING_SECONDS / self.step_seconds)))

    def __str__(self):
        return (
            f"{self.steps:,} steps: measured {1000 * self.step_seconds:,.0f} ms a step, "
            f"{self.evaluation_seconds:,.0f} s kept for evaluation"
        )


def steps_for_minutes(trainer, data, minutes, evaluate=None, eval_every=None):
    """FittedSteps of a run of about `minutes`, in which one evaluation was timed as well.

    Nothing is changed by it, so the number can be fixed before the first step, as the schedule
    needs it.
    """
    begun = time.perf_counter()
    untrained = evaluated(trainer, evaluate)
    evaluation_seconds = time.perf_counter() - begun
    left = 60 * minutes - evaluation_seconds
    return fit_steps(trainer, data, left, evaluation_seconds, eval_every, untrained)


def evaluated(trainer, evaluate):
    """What `evaluate` says of the trainer's model, as {metric: float}; {} if it is None."""
    if evaluate is None:
        return {}
    metrics = evaluate(trainer.model.eval(), trainer.replicas)
    return {name: float(value) for name, value in metrics.items()}


def fit_steps(trainer, data, seconds, evaluation_seconds, eval_every=None, untrained=None):
    """How many steps fit into `seconds`, evaluations included.

    An evaluation takes `evaluation_seconds`; there is one every `eval_every` steps, or ten in all,
    fewer where they would take more than EVALUATING_SHARE of the time.
    All processes get the same answer.
    """
    begun = time.perf_counter()
    step_seconds = seconds_per_step(trainer, data, seconds)
    left = seconds - (time.perf_counter() - begun)
    if eval_every:
        steps = left / (step_seconds + evaluation_seconds / eval_every)
        steps = int(told_by_the_first(trainer.ranks, max(1.0, steps)))
        return FittedSteps(steps, step_seconds, steps / eval_every * evaluation_seconds, untrained)
    evaluations = DEFAULT_EVALUATIONS
    if evaluation_seconds and evaluations * evaluation_seconds > EVALUATING_SHARE * left:
        evaluations = max(1, int(EVALUATING_SHARE * left / evaluation_seconds))
    evaluations = int(told_by_the_first(trainer.ranks, float(evaluations)))
    steps = (left - evaluations * evaluation_seconds) / step_seconds
    steps = int(told_by_the_first(trainer.ranks, max(1.0, steps)))
    rarer = -(-steps // evaluations) if evaluations < DEFAULT_EVALUATIONS else None
    return FittedSteps(steps, step_seconds, evaluations * evaluation_seconds, untrained, rarer)


def seconds_per_step(trainer, data, seconds):
    """The mean time of a step over all kinds of batches; their gradients are thrown away.

    At most about 3 % of `seconds`, and two minutes, are spent on it.
    """
    kinds = data.kinds()
    trainer.model.train()
    mean = 0.0
    for share, draw in kinds:
        limit = min(MEASURING_SHARE * seconds, MEASURING_SECONDS) / len(kinds)
        mean += UPDATE_COST * share * _median_seconds(trainer, draw, limit)
    return mean


def _median_seconds(trainer, draw, limit):
    """Median time of the first batches' forward and backward passes, without the very first.

    Ends after at least four batches when `limit` seconds are over.
    """
    times = []
    for step in range(TIMED_BATCHES):
        batch = draw(step)
        begun = time.perf_counter()
        to_host(trainer.forward_backward(batch))  # to_host waits for a GPU
        times.append(time.perf_counter() - begun)
        slow = len(times) >= 4 and sum(times) > limit
        if told_by_the_first(trainer.ranks, float(slow)):  # all processes stop together
            break
    return float(np.median(times[1:]))


def told_by_the_first(ranks, number):
    """The first process's number, in every process."""
    told = np.array([number if ranks.rank == 0 else 0.0])
    ranks.all_reduce(told)
    return float(told[0])
