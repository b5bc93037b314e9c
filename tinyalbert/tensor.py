"""Autograd: a Tensor remembers how it was made, and `backward` walks that record once, in reverse.

An op is a plain function of arrays that returns `(out, vjp)`.  `vjp(g)` takes the gradient of the
loss with respect to `out` and returns one gradient per array argument, None where there is none.
`@op` lifts such a function to Tensors.  What the closure `vjp` names is what is kept for the
backward pass; nothing is hidden.

Left out, on purpose: gradients of gradients (a vjp computes with arrays, not Tensors) and in-place
changes. Taught in lessons 01 to 04."""

import contextlib
import functools
import threading

import numpy as np

from .backend import DEFAULT_DTYPE, to_host, xp_of
from .errors import UserError

FREED = object()  # the node of a Tensor whose record a backward pass has already used up
OPS = {}  # every differentiable op by name: raw functions; the tests sweep this table
# (op name, array module's name) -> a faster raw function; filled by tinyalbert.kernels
KERNELS = {}


class _Mode(threading.local):
    """Switches that belong to one thread: replicas run forward and backward side by side."""

    recording = True
    kernels = True
    precision = None  # a precision.Precision other than fp32 while a step computes in it


_mode = _Mode()


@contextlib.contextmanager
def _switched(name, value):
    before = getattr(_mode, name)
    setattr(_mode, name, value)
    try:
        yield
    finally:
        setattr(_mode, name, before)


def no_grad():
    """Context in which ops record nothing: evaluation and prediction need no backward pass."""
    return _switched("recording", False)


def use_kernels(on):
    """Context in which the fused versions of kernels/ are used (True) or only the plain ops
    (False).
    """
    return _switched("kernels", on)


class Tensor:
    """An array, and the op that made it.

    data: the NumPy or CuPy array.  requires_grad: whether the loss is to be differentiated by it.
    grad: what `.backward()` has added up so far (leaves only).  node: (inputs, vjp) of the op, or
    None."""

    __slots__ = ("data", "requires_grad", "grad", "node", "__weakref__")
    __array_ufunc__ = None  # so that `array * tensor` comes to Tensor.__rmul__

    def __init__(self, data, requires_grad=False, node=None):
        if isinstance(data, Tensor):
            data = data.data
        if xp_of(data) is np and not isinstance(data, np.ndarray):
            given, data = data, np.asarray(data)
            if data.dtype == np.float64 and not isinstance(given, np.generic):
                data = data.astype(DEFAULT_DTYPE)  # a Python number or list: the default precision
        self.data, self.requires_grad, self.grad, self.node = data, requires_grad, None, node

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)

    def numpy(self):
        """The values as a NumPy array on the host."""
        return to_host(self.data)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype=dtype)

    def item(self):
        """The value of a one-element Tensor as a Python number (on a GPU this waits for the
        device).
        """
        return self.data.item()

    def detach(self):
        """The same values, cut off from how they were made."""
        return Tensor(self.data)

    def __len__(self):
        return len(self.data)

    def __repr__(self):
        return f"Tensor({self.data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def __setitem__(self, key, value):
        raise TypeError(
            "a Tensor can't be changed in place: the backward pass needs the old values; "
            "build a new one with ops.where or ops.concat, or write to .data outside the graph"
        )

    def __bool__(self):
        return bool(self.data)

    def backward(self, g=None, keep_graph=False):
        """Add d(self)/d(leaf) to the .grad of every leaf; `g` is the gradient of self (ones if
        None).
        """
        for leaf, grad in backward(self, g, keep_graph).items():
            leaf.grad = grad if leaf.grad is None else leaf.grad + grad

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other


def op(raw):
    """Lift raw(*arrays, **static) -> (out, vjp) from arrays to Tensors and enter it in OPS.

    A vjp with a second parameter `needs` is told which gradients are expected (a tuple of bools)
    and may leave out the others; for the rest the reverse sweep throws away what nobody asked for.
    """

    @functools.wraps(raw)
    def lifted(*args, **static):
        arrays = [a.data if isinstance(a, Tensor) else a for a in args]
        xp = xp_of(*arrays)
        run = KERNELS.get((raw.__name__, xp.__name__), raw) if _mode.kernels else raw
        if _mode.precision is None:
            out, vjp = run(*arrays, **static)
        else:
            out, vjp = _mode.precision.run(raw, run, args, arrays, static)
        if _mode.recording and any(isinstance(a, Tensor) and a.requires_grad for a in args):
            inputs = tuple(a if isinstance(a, Tensor) and a.requires_grad else None for a in args)
            return Tensor(out, True, (inputs, vjp))
        return Tensor(out)

    OPS[raw.__name__] = lifted.raw = raw
    return lifted


def call_vjp(vjp, g, needs):
    """The gradients of one op, computing only those that are needed where the vjp knows how."""
    return vjp(g, needs) if vjp.__code__.co_argcount == 2 else vjp(g)


def topological_order(root):
    """The Tensors that `root` was made from, each after everything it was made from.

    A depth-first search with a stack of its own: recursion would stop at a thousand ops.  The order
    is what makes one visit per node enough: in b = a + a, c = b + b the gradient of b is complete
    before it is used."""
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        tensor, inputs_done = stack.pop()
        if inputs_done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            if tensor.node is FREED:
                raise UserError(
                    "this graph was already differentiated and let go; compute the loss again, "
                    "or pass keep_graph=True to the first backward()"
                )
            if tensor.node:
                stack += [(t, False) for t in tensor.node[0] if t is not None]
    return order


def unbroadcast(g, shape):
    """Sum g down to `shape`: the transpose of broadcasting."""
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape)))) if g.ndim > len(shape) else g
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g


def backward(loss, g=None, keep_graph=False):
    """Gradients of `loss` with respect to its leaves: {leaf: array}.

    Gradients of intermediates live in `pending` and are popped when used, and each node lets go of
    its saved arrays as soon as it is done, so memory falls during the sweep.  The graph is gone
    afterwards, unless keep_graph.  Returning the gradients (instead of storing them) lets several
    threads differentiate the same parameters at once."""
    if not loss.requires_grad:
        raise UserError(
            "backward() of a Tensor that depends on nothing with requires_grad=True; "
            "was it computed under no_grad()?"
        )
    if g is None:
        if loss.data.size != 1:
            raise UserError(
                f"backward() of a Tensor of shape {loss.shape} needs the gradient g of that shape; "
                "without g only a scalar loss can be differentiated"
            )
        g = xp_of(loss.data).ones_like(loss.data)
    order = topological_order(loss)
    pending, owned, leaves = {id(loss): g}, set(), {}
    while order:
        tensor = order.pop()
        g = pending.pop(id(tensor), None)
        owned.discard(id(tensor))
        if g is None:
            continue
        if tensor.node is None:
            leaves[tensor] = g
            continue
        inputs, vjp = tensor.node
        if not keep_graph:
            tensor.node = FREED
        gradients = call_vjp(vjp, g, tuple(t is not None for t in inputs))
        del vjp, g
        for t, gt in zip(inputs, gradients):
            if t is None or gt is None:
                continue
            gt = unbroadcast(gt, t.data.shape)
            key = id(t)
            if key not in pending:
                pending[key] = gt
            elif key in owned:  # the sum is ours alone: add in place
                pending[key] += gt
            else:  # the first array may belong to another input as well
                pending[key] = pending[key] + gt
                owned.add(key)
    return leaves
