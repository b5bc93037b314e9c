"""Sums over rows that wait for the end of a backward pass, where one launch adds up all of them.

A layer's gradients of gamma, beta and biases come as what each strip of rows contributed.  Summed
at once they take a launch each, in every layer; what waits instead is small.
"""

import numpy as np

from .launch import COLUMNS, THREADS, computed_in, launch

MOST = 96  # partial sums of one launch, as in sums.cu: its arguments hold 4,096 bytes
GROUPS = 24  # of them, that differ in where they go

TABLE = np.dtype(
    [
        ("partial", np.uint64, MOST),
        ("strips", np.int64, MOST),
        ("to", np.uint64, (GROUPS, 3)),
        ("width", np.int64, GROUPS),
        ("each", np.int64, GROUPS),
        ("add", np.int64, GROUPS),
        ("last_partial", np.int64, GROUPS),
        ("last_block", np.int64, GROUPS),
    ]
)


class LaterSums:
    """Partial sums that wait, and the tensor.Sums that they go to."""

    def __init__(self):
        self.waiting = {}  # {one to three Sums: [partial sums (strips, their columns), ...]}

    def take(self, partial, needs):
        """Let partial sums wait; needs: the Sums that get as many columns each."""
        others = {need for group in self.waiting if group != needs for need in group}
        two_groups_write_it = not others.isdisjoint(needs)  # in one launch that would be a race
        too_many_groups = len({*self.waiting, needs}) > GROUPS
        too_many_partials = sum(map(len, self.waiting.values())) == MOST
        if two_groups_write_it or too_many_groups or too_many_partials:
            self.run()
        self.waiting.setdefault(needs, []).append(partial)
        for need in needs:
            need.used = True

    def run(self):
        """Add up all that waits, in the order in which it came."""
        if not self.waiting:
            return
        table = np.zeros((), TABLE)
        partials = [partial for group in self.waiting.values() for partial in group]
        table["partial"][: len(partials)] = [partial.data.ptr for partial in partials]
        table["strips"][: len(partials)] = [len(partial) for partial in partials]
        read = blocks = 0
        for i, (needs, group) in enumerate(self.waiting.items()):
            width = group[0].shape[1]
            read += len(group)
            blocks += -(-width // COLUMNS)
            table["to"][i, : len(needs)] = [need.array.data.ptr for need in needs]
            table["width"][i] = width
            table["each"][i] = width // len(needs)
            table["add"][i] = sum(need.add << j for j, need in enumerate(needs))
            table["last_partial"][i] = read
            table["last_block"][i] = blocks
        launch("sums", "later_sums", computed_in(partials[0].dtype), blocks, THREADS, table)
        for needs in self.waiting:
            for need in needs:
                need.written()
        self.waiting.clear()
