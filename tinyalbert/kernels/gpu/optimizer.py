"""AdamW, LAMB, the loss scale, and sums and copies of many arrays on a GPU.

AdamW takes one launch for all parameters, LAMB three, the loss scale one (optimizer.cu); sums and
copies of many arrays take one (collect.cu).

The parameters, moments and gradients stay where they are.  The kernels get a table of their
addresses, which is sent to the device again only when an address changes: never, while the
gradients are those of one GradientSum.
"""

import functools
import math

import numpy as np

from ...backend import xp_of
from .launch import THREADS, contiguous, launch, launch_over, name_of

PIECE = 8192  # elements of a parameter that one block works on
MOST_TABLES = 8  # are kept: steps may differ in the parameters that a loss uses
MOST = 128  # addresses in the arguments of one launch, as in collect.cu


def _of_one_precision(step):
    """`step` if all numbers are float32 or all float64; otherwise parameter by parameter."""

    @functools.wraps(step)
    def run(optimizer, arrays, lr, finite):
        found = {name_of(a.dtype) for group in arrays.values() for a in group}
        fits = found in ({"float32"}, {"float64"})
        if fits:
            step(optimizer, arrays, lr, finite)
        else:
            optimizer.update_each(arrays, lr, finite)

    return run


@_of_one_precision
def adamw(optimizer, arrays, lr, finite):
    """One step of optim.AdamW, `finite` as there; arrays {name: (w, gradient, m, v)}, flat.

    lr: a number, or, for a step that is replayed, (3,) float64 on the device: the rate and the two
    bias corrections.
    """
    parameters, pieces = _table(optimizer, arrays)
    _launch(
        "adamw",
        arrays,
        len(pieces),
        parameters,
        pieces,
        finite,
        *map(float, optimizer.betas),
        *_direction(optimizer, lr),
        *_rates(lr),
    )


@_of_one_precision
def lamb(optimizer, arrays, lr, finite):
    """One step of optim.LAMB: moments and lengths, trust ratios, parameters."""
    parameters, pieces = _table(optimizer, arrays)
    first = next(iter(arrays.values()))[0]
    direction = _direction(optimizer, lr)
    squares = xp_of(first).empty(2 * len(pieces), dtype=first.dtype)
    ratios = xp_of(first).empty(len(parameters), dtype=first.dtype)
    _launch(
        "lamb_squares",
        arrays,
        len(pieces),
        parameters,
        pieces,
        finite,
        squares,
        *map(float, optimizer.betas),
        *direction,
        _rates(lr)[1],
    )
    _launch("lamb_ratios", arrays, len(parameters), parameters, squares, ratios)
    _launch(
        "lamb", arrays, len(pieces), parameters, pieces, finite, ratios, *direction, *_rates(lr)
    )


def _launch(name, arrays, blocks, *args):
    launch("optimizer", name, next(iter(arrays.values()))[0].dtype, blocks, THREADS, *args)


def _direction(optimizer, lr):
    """eps, decay and the two bias corrections of this step, as the kernels take them."""
    corrections = optimizer.corrections(optimizer.steps) if isinstance(lr, float) else (1.0, 1.0)
    return float(optimizer.eps), float(optimizer.weight_decay), *corrections


def _rates(lr):
    """The learning rate as a number, and as an array, of which the kernels read one."""
    return (lr, None) if isinstance(lr, float) else (0.0, lr)


def clip_factor(squares, limit):
    """optim.norm_and_factor in one launch."""
    xp = xp_of(squares)
    norm = xp.empty((), dtype=squares.dtype)
    factor = xp.empty((), dtype=squares.dtype)
    launch("step", "clip_factor", squares.dtype, 1, 32, squares, norm, factor, float(limit))
    return norm, (factor if limit < math.inf else None)


def note_loss(loss, share, total, add):
    """total = loss share, or += if `add`: all () on the device, the last two float64."""
    launch("step", "note_loss", loss.dtype, 1, 32, loss, share, total, int(add))


def note_step(losses, norm, loss_scale, ring, row):
    """The numbers of a step, all on the device, into row `row` (1,) of ring (rows, numbers)."""
    launch("step", "note_step", norm.dtype, 1, 32, losses, norm, loss_scale, ring, row, losses.size)


def _table(optimizer, arrays):
    """(parameters, pieces) on the device, the structs of optimizer.cu as rows of integers."""
    known = [(name, group[0].size, *(a.data.ptr for a in group)) for name, group in arrays.items()]
    tables = optimizer.scratch.setdefault("tables", {})
    if tuple(known) not in tables:
        if len(tables) >= MOST_TABLES:
            tables.clear()
        parameters, pieces = [], []
        for i, (name, size, *pointers) in enumerate(known):
            begins = range(0, size, PIECE)
            parameters.append(
                [*pointers, size, name in optimizer.excluded, len(pieces), len(begins)]
            )
            pieces += [[i, begin, min(begin + PIECE, size)] for begin in begins]
        numbers = [n for row in parameters + pieces for n in row]
        middle = 8 * len(parameters)
        sent = xp_of(next(iter(arrays.values()))[0]).asarray(np.array(numbers, dtype=np.int64))
        tables[tuple(known)] = sent[:middle].reshape(-1, 8), sent[middle:].reshape(-1, 3)
    return tables[tuple(known)]


def loss_scale(scale, norm):
    """precision.LossScale.update in one launch, of one thread."""
    launch("optimizer", "loss_scale", norm.dtype, 1, 32, norm, scale.state, scale.interval)


def collect(arrays, flat, bounds, add=False):
    """flat[bounds[i]:bounds[i + 1]] = arrays[i] (float32, None is 0), or += if `add`.

    The addresses travel with the launch, in its arguments: nothing is sent.  MOST of them fit.
    """
    for first in range(0, len(arrays), MOST):
        some = [a if a is None else contiguous(a) for a in arrays[first : first + MOST]]
        low, *ends = bounds[first : first + len(some) + 1]
        table = np.zeros((), dtype=[("address", np.uint64, MOST), ("end", np.int64, MOST)])
        table["address"][: len(some)] = [0 if a is None else a.data.ptr for a in some]
        table["end"][:] = ends + [ends[-1]] * (MOST - len(some))
        launch_over("collect", "collect", flat.dtype, ends[-1] - low, table, flat, low, int(add))
