"""Parameters and the modules that hold them: Linear, Embedding, LayerNorm, Dropout.

A Module is a named tree of Parameters and nothing more; the names are those of the released
checkpoints, so `state_dict()` needs no rename table.  Linear weights are [out, in].  Modules start
in evaluation mode; `model.train()` turns dropout on.  Taught in lessons 06, 07 and 09.
"""

import contextlib
import itertools

import numpy as np

from . import ops
from .backend import DEFAULT_DTYPE, device_of, to_device, to_host
from .errors import UserError
from .modes import mode, use_step
from .tensor import Tensor, kernel_for

_moments = itertools.count(1)


def moment():
    """A number for now, larger than those of all moments before, whatever thread asked."""
    return next(_moments)


class Parameter(Tensor):
    """A Tensor that training changes; optimisers write to its .data between two steps.

    changed: the `moment` when one did last.
    """

    __slots__ = ("changed",)

    def __init__(self, data):
        super().__init__(data, requires_grad=True)
        self.changed = 0


def truncated_normal(rng, shape, std):
    """Normal values of scale `std`; those beyond 2 * std are redrawn.

    As google-research/albert, create_initializer.  The resulting standard deviation is 0.8796 *
    std.  Drawn on the host, so every device starts the same.  With rng None the values are zeros
    that take no memory: enough to ask a model for its shapes.
    """
    if rng is None:
        return np.broadcast_to(np.zeros((), DEFAULT_DTYPE), shape)
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return (values * std).astype(DEFAULT_DTYPE)


KEY_STEP = 0x85EBCA6B  # from the key of a dropout call to that of the next


class DropoutRng:
    """Keys for the dropout calls of one forward pass, a new one for each call.

    The masks depend on (seed, number of the call, row of the whole batch), see ops.dropout_mask;
    first_row says which row of the whole batch is row 0 of the part at hand.
    """

    def __init__(self, seed, first_row=0):
        self.first_row, self._words = first_row, np.random.SeedSequence(seed)
        self.base, self._calls = int(self._words.generate_state(1)[0]), 0

    def next_key(self):
        """A 32-bit key for the next dropout call."""
        self._calls += 1
        return (self.base + self._calls * KEY_STEP) & 0xFFFFFFFF


class DrawnKey:
    """A key that a GPU adds up itself: `call`, the part that is the same in every step, and `draw`.

    draw (2,): the step's base and first row, on the device.
    """

    def __init__(self, call, draw):
        self.call = call
        self.draw = draw


class DeviceDropoutRng:
    """DropoutRng(seed, first_row) whose numbers lie on the device, so that a step can be replayed.

    draw (2,): the base of the keys and the first row, whole numbers of 64 bits.
    """

    first_row = 0  # what is added to the one on the device

    def __init__(self, draw):
        self._draw, self._calls = draw, 0

    def next_key(self):
        """A DrawnKey for the next dropout call."""
        self._calls += 1
        return DrawnKey(self._calls * KEY_STEP & 0xFFFFFFFF, self._draw)


_ALONE = contextlib.nullcontext()


class Turns:
    """Tells a thread that reads a model when another thread changes it by a step of training.

    What was computed then is of no use, since some parameters were old and others new.
    """

    def __init__(self):
        self.number = 0  # odd while a step is being taken

    def __deepcopy__(self, memo):
        """Nobody trains a copy yet."""

    def __reduce__(self):
        """Nor one in another process or a file."""
        return Turns, ()

    @contextlib.contextmanager
    def changing(self):
        """Context of a step; threads with its switches may read as they please."""
        if self.number % 2:
            raise UserError(
                "another thread is taking a step of training of this model; wait for it"
            )
        self.number += 1
        try:
            with use_step(self):
                yield
        finally:
            self.number += 1

    @contextlib.contextmanager
    def reading(self):
        """Context in which a thread reads; it is refused if a step is taken meanwhile."""
        if mode.step is self:
            yield
            return
        before = self.number
        try:
            if before % 2 == 0:
                yield
        finally:
            if before % 2 or before != self.number:
                raise UserError(
                    "this model took a step of training in another thread while it was read here; "
                    "read it between two steps (as evaluate= does), or a saved folder of it"
                )


class Module:
    """A tree of Parameters, named by the attributes that hold them, in order of assignment."""

    training = False
    turns = None  # the Turns of a model that a Trainer trains, and of all its parts

    def __call__(self, *args, **kwargs):
        if self.turns is None or mode.step is self.turns:
            return self.forward(*args, **kwargs)
        with self.turns.reading():
            return self.forward(*args, **kwargs)

    def take_turns(self):
        """Have who reads this module, or a part of it, told of steps by other threads."""
        turns = next((module.turns for module in self.modules() if module.turns), None) or Turns()
        for module in self.modules():
            module.turns = turns

    def reading(self):
        """Context for who reads the parameters, while another thread may train the model."""
        return _ALONE if self.turns is None else self.turns.reading()

    def _children(self):
        """(name, Parameter or Module) of this node; the members of a list are named 0, 1, ..."""
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Module)):
                yield name, value
            elif isinstance(value, list):
                yield from (
                    (f"{name}.{i}", m)
                    for i, m in enumerate(value)
                    if isinstance(m, (Parameter, Module))
                )

    def modules(self):
        """This module and all below it."""
        yield self
        for _, child in self._children():
            if isinstance(child, Module):
                yield from child.modules()

    def _paths(self, prefix=""):
        """(name, Parameter) for every path, a shared Parameter once for each of its names."""
        for name, child in self._children():
            if isinstance(child, Parameter):
                yield prefix + name, child
            else:
                yield from child._paths(f"{prefix}{name}.")

    def named_parameters(self):
        """(name, Parameter) in order, each Parameter once, under its first name."""
        seen = set()
        for name, parameter in self._paths():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self):
        """The Parameters, each once."""
        return [p for _, p in self.named_parameters()]

    def num_parameters(self):
        """How many numbers training can change; shared ones count once."""
        return int(np.sum([p.size for p in self.parameters()], dtype=np.int64))

    def state_dict(self):
        """{name: array}, a view of the parameters, in the names of the released checkpoints."""
        return {name: p.data for name, p in self._paths()}

    def load_state_dict(self, state, strict=True):
        """Copy arrays into the parameters; returns (missing names, unexpected names).

        strict: refuse, before anything is changed, if there are any.  Wrong shapes and
        whole numbers are always refused.
        """
        own = dict(self._paths())
        missing, unexpected = [n for n in own if n not in state], [n for n in state if n not in own]
        arrays = {n: to_host(state[n]) for n in own if n in state}
        wrong = [
            f"{n}: got {a.shape}, expected {own[n].shape}"
            for n, a in arrays.items()
            if a.shape != own[n].shape
        ]
        whole = [f"{n}: {a.dtype}" for n, a in arrays.items() if a.dtype.kind != "f"]
        if wrong or whole or (strict and (missing or unexpected)):
            raise UserError(
                "this state does not fit the model; "
                + "; ".join(
                    f"{what}: {', '.join(names)}"
                    for what, names in (
                        ("missing", missing),
                        ("unexpected", unexpected),
                        ("wrong shape", wrong),
                        ("no floating-point numbers", whole),
                    )
                    if names
                )
            )
        for name, a in arrays.items():
            p = own[name].data
            p[...] = to_device(a.astype(p.dtype, copy=False), device_of(p))
            own[name].changed = moment()
        return missing, unexpected

    def train(self, mode=True):
        """Turn dropout on (off with mode=False) in this module and all below; returns self."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Turn dropout off; returns self."""
        return self.train(False)

    def to(self, device):
        """Move the parameters to "cpu" or "gpu"; returns self."""
        for p in self.parameters():
            p.data = to_device(p.data, device)
        return self

    def astype(self, dtype):
        """Change the parameters' precision (float64 for gradient checks); returns self."""
        for p in self.parameters():
            p.data = p.data.astype(dtype)
        return self


class Linear(Module):
    """x Wᵀ + b: (..., I) -> (..., O)."""

    def __init__(self, rng, inputs, outputs, std=0.02):
        self.weight = Parameter(truncated_normal(rng, (outputs, inputs), std))  # (O, I)
        self.bias = Parameter(np.zeros(outputs, DEFAULT_DTYPE))  # (O,)

    def forward(self, x):
        return ops.linear(x, self.weight, self.bias)


class GroupedLinear(Module):
    """A linear map of each of G groups of features by itself: (..., I) -> (..., O).

    One part in G of the products of a Linear; a 1 x 1 convolution in groups (Iandola et al. 2020,
    SqueezeBERT, §3).  The weight is [O, I / G], as a convolution's.
    """

    def __init__(self, rng, inputs, outputs, groups, std=0.02):
        self.groups = groups
        self.weight = Parameter(truncated_normal(rng, (outputs, inputs // groups), std))
        self.bias = Parameter(np.zeros(outputs, DEFAULT_DTYPE))  # (O,)

    def forward(self, x):
        G = self.groups
        *shape, inputs = x.shape
        outputs = self.weight.shape[0]
        rows = x.reshape(-1, G, inputs // G).transpose(1, 0, 2)  # (G, N, I / G)
        maps = self.weight.reshape(G, outputs // G, inputs // G).transpose(0, 2, 1)
        y = (rows @ maps).transpose(1, 0, 2)  # (N, G, O / G)
        return y.reshape(*shape, outputs) + self.bias


def projection(rng, inputs, outputs, std, groups=1):
    """A Linear, or a GroupedLinear if there are groups."""
    if groups == 1:
        return Linear(rng, inputs, outputs, std)
    return GroupedLinear(rng, inputs, outputs, groups, std)


class Embedding(Module):
    """A table of vectors, looked up by id: int (...) -> (..., E)."""

    def __init__(self, rng, rows, width, std=0.02):
        self.weight = Parameter(truncated_normal(rng, (rows, width), std))  # (V, E)

    def forward(self, ids):
        return ops.embedding(self.weight, ids)


class LayerNorm(Module):
    """Layer norm over the last axis, gain 1 and shift 0 at the start.

    With a residual, it is the norm of the sum.
    """

    def __init__(self, width, eps=1e-12):
        self.weight = Parameter(np.ones(width, DEFAULT_DTYPE))  # (H,) gamma
        self.bias = Parameter(np.zeros(width, DEFAULT_DTYPE))  # (H,) beta
        self.eps = eps

    def forward(self, x, residual=None):
        if residual is None:
            return ops.layer_norm(x, self.weight, self.bias, eps=self.eps)
        return ops.add_layer_norm(x, residual, self.weight, self.bias, eps=self.eps)


class ResidualNorm(LayerNorm):
    """The layer norm around f, which is attention or feed-forward.

    LN(f(x) + x), after the sum, as BERT and ALBERT have it; or, with pre, x + f(LN(x)), before f.
    """

    def __init__(self, width, eps, pre=False):
        super().__init__(width, eps)
        self.pre = pre

    def before(self, x):
        """What f reads."""
        return self(x) if self.pre else x

    def after(self, y, x):
        """What goes on, of y = f(before(x)) and x."""
        return y + x if self.pre else self(y, x)

    def around(self, y, linear, dropout, x, rng=None):
        """after(dropout(linear(y)), x): the end of f; a kernel makes one op of it on a GPU.

        (..., I), x (..., O) -> (..., O).
        """
        fused = not self.pre and isinstance(linear, Linear)
        if not fused or kernel_for("linear_add_norm", y.data) is None:
            return self.after(dropout(linear(y), rng), x)
        static = dropout.key(rng) or {}
        parameters = (linear.weight, x, linear.bias, self.weight, self.bias)
        return ops.linear_add_norm(y, *parameters, eps=self.eps, **static)


class Dropout(Module):
    """Dropout with probability p while training; otherwise x itself."""

    def __init__(self, p):
        if not 0 <= round(p * 65536) < 65536:  # the steps in which masks tell it
            raise UserError(f"dropout of {p}; expected a share from 0 to below 1")
        self.p = p

    def key(self, rng):
        """Static arguments of this call's mask, or None when nothing is dropped."""
        # in a step it is on, even if another thread has called model.eval() meanwhile
        if not (self.p and (self.training or mode.step)):
            return None
        if rng is None:
            raise UserError(
                f"a model in training mode with dropout {self.p} was called without rng; pass "
                "rng=DropoutRng(seed), or switch dropout off with model.eval()"
            )
        return {"p": self.p, "key": rng.next_key(), "first_row": rng.first_row}

    def forward(self, x, rng=None):
        static = self.key(rng)
        return ops.dropout(x, **static) if static else x
