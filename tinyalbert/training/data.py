"""What a model is trained on: the batch of every step.  Taught in lesson 13."""

from typing import Protocol


class TrainingData(Protocol):
    """The batches of a run.

    All three methods are pure: the same arguments give the same answer.  `batch` is called in a
    second thread, one step ahead of the one in use.
    """

    def batch(self, step):
        """The batch of step `step`, counted from 0: a dict of arrays, this process's rows."""

    def tokens(self, step):
        """How many tokens the first `step` batches hold, over all processes: how far the run is."""

    def kinds(self):
        """What batches there are, for measuring what a step costs.

        [(share of the steps, function step -> batch), ...]; the shares sum to 1.
        """


class FunctionData:
    """TrainingData from a function step -> batch, whose batches are about equally large.

    `tokens` counts every batch as one, since their size is not known before they are drawn.
    """

    def __init__(self, batch):
        self.batch = batch

    def tokens(self, step):
        """The first `step` batches, each counted as one."""
        return step

    def kinds(self):
        """One kind of batch, in all steps."""
        return [(1.0, self.batch)]


def as_training_data(data):
    """`data` itself, or FunctionData if it is a plain function of the step."""
    return data if hasattr(data, "batch") else FunctionData(data)
