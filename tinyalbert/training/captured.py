"""Trainer.step on a GPU, in a form that can be captured as a CUDA graph and replayed.

The numbers are those of the step in trainer.py.  What differs from one step to the next lies in one
piece of memory on the GPU (`Place`): a block of numbers (learning rate, dropout keys, ...), behind
it the batch.  It is filled by one copy a step; batches of other shapes have another place.  The
work on it is two functions that compute on the device alone and change nothing in Python,
`_forward_backward` and `_update`.  They are run as they are, or, once they are captured, replayed
(kernels/gpu/graphs.py).
"""

import functools
import weakref

import numpy as np

from .. import ops
from ..errors import UserError
from ..modes import mode, use_place
from ..nn import DeviceDropoutRng, Dropout, DropoutRng
from ..optim import AdamW, clip_by_global_norm, unscale
from ..tensor import Tensor, backward, kernel_for
from ..transfer import sender, starts_of, views_of
from .metrics import StepMetrics
from .progress import say
from .replicas import split

MOST_TERMS = 8  # terms of a loss
ROWS = 64  # of the ring of metrics

# What differs from step to step, at the head of a batch's memory, in numbers of 8 bytes.
BLOCK = np.dtype(
    [
        ("draw", np.int64, 2),  # the base of the dropout keys, and the first row of the part
        ("row", np.int64, 1),  # of the ring, that the metrics go to
        ("rates", np.float64, 3),  # learning rate, and the optimiser's bias corrections
        ("shares", np.float64, MOST_TERMS),  # of each loss term's mean that this part makes up
    ]
)


class Unfit(Exception):
    """This batch, model or trainer has no step that could be captured."""


class _Sent(Exception):
    """The arrays that a forward pass would send to the GPU."""


class _Stop:
    """A mode.place that ends a forward pass at its batch: all before it is the host's part."""

    def take(self, arrays):
        raise _Sent(arrays)


def host_part(model, batch):
    """The arrays (or None) that model(**batch) sends to the GPU, checked and filled up."""
    try:
        with use_place(_Stop()):
            model(**batch)
    except _Sent as sent:
        return sent.args[0]
    raise Unfit("the model sends no batch to the GPU")


class Place:
    """Memory on the GPU for a block of numbers and a batch of certain shapes, and its graphs.

    arrays: of such a batch, or None; the first is the block.
    """

    def __init__(self, cupy, arrays, Part):
        given = [a for a in arrays if a is not None]
        self.starts = starts_of(given)
        self.memory = cupy.empty((self.starts[-1],), dtype=np.uint8)
        views = iter(views_of(self.memory, given, self.starts))
        block, *self.views = [None if a is None else next(views) for a in arrays]
        for name, (dtype, start) in BLOCK.fields.items():
            end = start + dtype.itemsize
            setattr(self, name, block[start:end].view(dtype.base))
        self.parts = {}  # {what is captured: Part}
        self._Part = Part

    def part(self, key):
        """The Part under this key."""
        return self.parts.setdefault(key, self._Part())

    def fill(self, arrays):
        """Send a batch: one copy, for which nobody waits."""
        sender().send([a for a in arrays if a is not None], self.starts, into=self.memory)

    def take(self, arrays):
        """The views of a batch whose arrays the forward pass would send."""
        for view, a in zip(self.views, arrays, strict=True):
            if (view is None) != (a is None) or (a is not None and view.shape != a.shape):
                raise Unfit("the batch has other arrays than were sent")
        return self.views


class Ring:
    """The metrics of the last steps on the GPU, a row for each; replays write to it.

    A row that somebody still wants to read is copied before it is used again.
    """

    def __init__(self, xp, numbers):
        self.numbers = xp.zeros((ROWS, numbers), dtype=np.float64)
        self.readers = [lambda: None] * ROWS  # references to the rows' StepMetrics
        self.row = 0

    def next_row(self):
        """The number of the row for the next step."""
        self.row = (self.row + 1) % ROWS
        reader = self.readers[self.row]()
        if reader is not None and not reader.fetched:
            reader.numbers = reader.numbers.copy()
        return self.row

    def metrics(self, *what):
        """The StepMetrics of the row that was written last; what: all but its numbers."""
        metrics = StepMetrics.of_numbers(self.numbers[self.row], *what)
        self.readers[self.row] = weakref.ref(metrics)
        return metrics


class CapturedStep:
    """The steps of one Trainer on a GPU.  `of` makes it where it is possible."""

    def __init__(self, trainer, Graphs, cupy):
        self.trainer = trainer
        self.graphs = Graphs(cupy, trainer.graphs)
        self.cupy = cupy
        self.rings = {}  # {how many numbers a step has: Ring}
        self.losses = {}  # {number of loss terms: their means so far (terms,), float64}
        self.dropouts = [m for m in trainer.model.modules() if isinstance(m, Dropout)]
        self.told = False

    @classmethod
    def of(cls, trainer):
        """The CapturedStep of a trainer, or None: on a CPU, or for want of kernels."""
        flat = trainer.gradients.flat
        Graphs = kernel_for("Graphs", flat)
        optimizer = trainer.optimizer
        types = {p.dtype for p in trainer.gradients.parameters.values()}
        if Graphs is None or types != {np.dtype(np.float32)}:
            return None
        # one of our own, whose step is its kernel's and nothing else
        if getattr(type(optimizer), "step", None) is not AdamW.step:
            return None
        if kernel_for(optimizer.kernel, flat) is None:
            return None
        import cupy

        trainer.gradients.gather()
        return cls(trainer, Graphs, cupy)

    def step(self, batch, totals, lr):
        """The StepMetrics of a step, or None if it has to be taken in the plain way.

        totals: the BatchTotals of the batch.
        """
        trainer = self.trainer
        optimizer = trainer.optimizer
        scaled = trainer.precision.loss_scale is not None
        rates = (lr, *optimizer.corrections(optimizer.steps + 1))
        with self._turn():
            losses = self._losses(len(totals.targets))
            ring = self._ring(losses.size + (2 if scaled else 1))
            place = self._gradients(batch, totals, losses, rates, ring.next_row())
            if place is None:
                return None
            gradients = trainer.gradients.reduced(trainer.ranks)
            work = functools.partial(self._update, place, gradients, losses, ring)
            moments = [a.data.ptr for pair in optimizer.moments.values() for a in pair]
            part = place.part(("update", *gradients, *moments))
            self.graphs.run(part, work, lasting=True)
        optimizer.note_step(gradients)
        self._tell(self.graphs.reason)
        return ring.metrics(trainer.steps_done + 1, totals.targets, lr, totals.tokens, scaled)

    def forward_backward(self, batch, totals):
        """The mean losses (terms,), or None as `step`; gradients go into trainer.gradients."""
        with self._turn():
            losses = self._losses(len(totals.targets))
            place = self._gradients(batch, totals, losses, (0.0, 1.0, 1.0), 0)
            return place and losses.copy()

    def _gradients(self, batch, totals, losses, rates, row):
        """Sum the gradients and losses over the parts, the losses over the processes as well.

        Returns the Place of the last part, or None where the step has to be taken the plain way.
        """
        trainer = self.trainer
        try:
            if not mode.kernels:
                raise Unfit("the kernels are switched off")
            if losses.size > MOST_TERMS:
                raise Unfit(f"{losses.size} loss terms")
            place = self._sum_of_parts(batch, totals, losses, rates, row)
        except Unfit:
            return None
        except UserError:
            raise
        except Exception as error:  # nothing is changed yet: the plain way begins anew
            trainer.captured = None
            self._tell(f"{type(error).__name__}: {error}")
            return None
        trainer.ranks.all_reduce(losses)
        return place

    def _sum_of_parts(self, batch, totals, losses, rates, row):
        """_gradients of this process."""
        trainer = self.trainer
        base = DropoutRng((trainer.seed, trainer.steps_done)).base
        trainer.gradients.clear()
        parts = split(batch, trainer.accumulation, totals.first_row)
        for i, (part, first_row) in enumerate(parts):
            counts = trainer.model.loss_counts(**part)
            shares = [counts[name] / n if n else 0.0 for name, n in totals.targets.items()]
            block = np.zeros((), BLOCK)
            block["draw"] = base, first_row
            block["row"] = row
            block["rates"] = rates
            block["shares"][: len(shares)] = shares
            arrays = [block.reshape(1).view(np.uint8), *host_part(trainer.model, part)]
            if any(a is not None and not isinstance(a, np.ndarray) for a in arrays):
                raise Unfit("a part of the batch is on the GPU already")
            place = self._place(arrays)
            place.fill(arrays)
            # 1 is left out, 0 is no term, any other number is read from the block
            kinds = tuple(share if share in (0.0, 1.0) else None for share in shares)
            names = tuple(totals.targets)
            work = functools.partial(
                self._forward_backward, place, part, names, kinds, losses, i > 0
            )
            used = self.graphs.run(place.part(("gradients", names, kinds, i > 0)), work)
            trainer.gradients.note(used)
        return place

    def _forward_backward(self, place, batch, names, kinds, losses, add):
        """Captured: gradients of a part into the sum, its losses into `losses` (terms,) float64.

        Returns, for each parameter, whether it got a gradient.
        """
        trainer = self.trainer
        with use_place(place), trainer.precision.active(copy=not add):
            found = trainer.model(**batch, rng=DeviceDropoutRng(place.draw)).losses
            terms = []
            for i, (name, kind) in enumerate(zip(names, kinds)):
                share = place.shares[i : i + 1].reshape(())
                kernel_for("note_loss", losses)(found[name].data, share, losses[i : i + 1], add)
                if kind == 1.0:
                    terms.append(found[name])
                elif kind is None:
                    terms.append(found[name] * Tensor(share.astype(np.float32)))
            scale = trainer.precision.loss_scale
            sums = trainer.gradients.sums(add)
            if terms:
                loss = functools.reduce(ops.add, terms)
                backward(loss, scale and scale.value, into=sums)
        return trainer.gradients.finish(sums, add)

    def _update(self, place, gradients, losses, ring):
        """Captured: unscale, clip, note the metrics, step.

        Returns what a replay reads and nobody else may keep alive.
        """
        trainer = self.trainer
        scale = trainer.precision.loss_scale
        summed = {"all": trainer.gradients.flat}
        unscale(summed, scale and scale.value)
        norm = clip_by_global_norm(summed, trainer.clip)
        note = kernel_for("note_step", norm)
        note(losses, norm, scale and scale.value, ring.numbers, place.row)
        trainer.optimizer.apply(gradients, place.rates, scale and scale.update(norm))
        return dict(trainer.optimizer.scratch.get("tables", {}))

    # --- around it --------------------------------------------------------------------------------

    def _turn(self):
        return _Turn(self.graphs.stream, self.cupy.cuda.get_current_stream())

    def _ring(self, numbers):
        """The Ring for steps of so many numbers."""
        if numbers not in self.rings:
            self.rings[numbers] = Ring(self.cupy, numbers)
        return self.rings[numbers]

    def _losses(self, terms):
        """The array (terms,) that the losses of a step are added up in."""
        if terms not in self.losses:
            self.losses[terms] = self.cupy.zeros(terms, dtype=np.float64)
        return self.losses[terms]

    def _place(self, arrays):
        """The Place for such arrays, under all that a captured step has in it besides."""
        shapes = tuple(None if a is None else (a.shape, a.dtype.str) for a in arrays)
        make = functools.partial(Place, self.cupy, arrays, self.graphs.Part)
        return self.graphs.kind((shapes, self._constants()), make)

    def _constants(self):
        """What is frozen into a graph: addresses, switches and settings that a user may change."""
        trainer = self.trainer
        optimizer = trainer.optimizer
        return (
            tuple((p.data.data.ptr, p.requires_grad) for p in trainer.model.parameters()),
            tuple(d.p for d in self.dropouts),
            mode.readout,
            trainer.clip,
            optimizer.betas,
            optimizer.eps,
            optimizer.weight_decay,
            optimizer.bias_correction,
        )

    def _tell(self, reason):
        """Say once why there are no graphs."""
        if reason and not self.told:
            self.told = True
            if self.trainer.ranks.rank == 0:
                say(f"training goes on without CUDA graphs, more slowly: {reason}")


class _Turn:
    """Context in which work goes to `stream`, after what was asked of `before` and before the rest.

    Both are CuPy streams.
    """

    def __init__(self, stream, before):
        self.stream, self.before = stream, before

    def __enter__(self):
        self.stream.wait_event(self.before.record())
        self.stream.__enter__()

    def __exit__(self, *error):
        self.stream.__exit__(*error)
        self.before.wait_event(self.stream.record())
