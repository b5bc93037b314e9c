"""Encoded examples, and the batches that are drawn from them: the same for every task."""

import hashlib
import math

import numpy as np


def together(rows):
    """Rows of one sequence each as one row of several: fields (T,) to (N, T), filled with 0."""
    width = max(len(row["input_ids"]) for row in rows)
    return {
        name: np.stack([np.pad(row[name], (0, width - len(row[name]))) for row in rows])
        for name in rows[0]
    }


class Features:
    """The rows of all examples of a task, one or more (windows) for each example.

    Each batch is padded to its own longest row, and rows of about the same length meet in a batch,
    so that little is spent on padding.  A row may have several sequences, such as the choices of a
    question; rows of one batch have equally many.
    """

    def __init__(self, task, examples, encoder):
        self.padding = task.padding
        self.arrange = task.arrange
        self.examples = examples
        self.rows = []
        self.places = []  # of each example: the numbers of its rows
        for example in examples:
            rows = task.encode(example, encoder)
            self.places.append(range(len(self.rows), len(self.rows) + len(rows)))
            self.rows += rows
        shapes = [row["input_ids"].shape for row in self.rows]
        self.lengths = np.array([shape[-1] for shape in shapes])
        sequences = np.array([math.prod(shape[:-1]) for shape in shapes])  # of each row
        self.alike = [np.flatnonzero(sequences == count) for count in np.unique(sequences)]

    def __len__(self):
        return len(self.rows)

    def fingerprint(self):
        """[how many examples, sha256 of what a model sees of their rows]."""
        digest = hashlib.sha256()
        for row in self.rows:
            for name in sorted(row.keys() - {"about"}):
                value = np.asarray(row[name])
                digest.update(f"{name} {value.dtype} {value.shape}".encode())
                digest.update(value.tobytes())
        return [len(self.examples), digest.hexdigest()]

    def take(self, indices):
        """The batch of these rows: fields of tokens (B, T), one value a row (B,)."""
        rows = [self.rows[i] for i in indices]
        names = [name for name in rows[0] if name != "about"]
        return {name: self._field(name, [row[name] for row in rows]) for name in names}

    def _field(self, name, values):
        """The values of one field in one array, filled up to the longest."""
        if np.ndim(values[0]) == 0:
            return np.stack(values)
        width = max(value.shape[-1] for value in values)
        shape = (len(values), *values[0].shape[:-1], width)
        field = np.full(shape, self.padding.get(name, 0), dtype=values[0].dtype)
        for row, value in zip(field, values):
            row[..., : value.shape[-1]] = value
        return field

    def steps_per_epoch(self, batch_size):
        """Batches in one pass over the rows; the last may be smaller."""
        return sum(-(-len(rows) // batch_size) for rows in self.alike)

    def in_order(self, batch_size):
        """The numbers of all rows in batches of like length, for prediction."""
        return [part for rows in self.alike for part in self.by_length(rows, batch_size)]

    def by_length(self, rows, batch_size):
        """The numbers of rows, sorted by length and cut into batches."""
        rows = rows[np.argsort(self.lengths[rows], kind="stable")]
        return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]

    def batch(self, step, batch_size, seed=0, pool=32):
        """Training batch number `step`, a pure function of (seed, step).

        A resumed run therefore draws the same batches.  Every epoch is a new order of the rows.
        Within pools of `pool` batches rows are sorted by length, then the pool's batches are
        shuffled.
        """
        epoch, place = divmod(step, self.steps_per_epoch(batch_size))
        return self.arrange(self.take(self._epoch_order(epoch, batch_size, seed, pool)[place]))

    def _epoch_order(self, epoch, batch_size, seed, pool):
        if getattr(self, "_cached", (None,))[0] != (epoch, batch_size, seed, pool):
            rng = np.random.default_rng((seed, epoch))
            batches = []
            for alike in self.alike:
                order = alike[rng.permutation(len(alike))]
                for start in range(0, len(order), pool * batch_size):
                    rows = order[start : start + pool * batch_size]
                    batches += self.by_length(rows, batch_size)
            self._cached = (
                (epoch, batch_size, seed, pool),
                [batches[i] for i in rng.permutation(len(batches))],
            )
        return self._cached[1]
