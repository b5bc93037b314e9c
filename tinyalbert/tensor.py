"""Autograd: a Tensor records how it was made; `backward` walks the record once, in reverse.

An op is a plain function of arrays that returns `(out, vjp)`.  `vjp(g)` takes the gradient of the
loss with respect to `out` and returns one gradient per array argument, None where there is none.
`@op` lifts such a function to Tensors.  What the closure `vjp` names is what is kept for the
backward pass; nothing is hidden.

Left out, on purpose: gradients of gradients (a vjp computes with arrays, not Tensors) and in-place
changes.  Taught in lessons 01 to 04.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .backend import DEFAULT_DTYPE, to_host, xp_of
from .errors import UserError
from .modes import mode, no_grad, use_kernels  # noqa: F401  # tensor.no_grad, for users

OPS = {}  # every differentiable op by name: raw functions; the tests sweep this table
# (op name, array module's name) -> a faster raw function; filled by tinyalbert.kernels
KERNELS = {}


# --- the reverse sweep ----------------------------------------------------------------------------


class Node(NamedTuple):
    """How a Tensor was made."""

    inputs: tuple  # one entry per argument of the op: the Tensor, or None where no gradient goes
    vjp: Callable  # from the gradient of the output to those of the inputs
    name: str  # of the op, for error messages


FREED = Node((), None, "freed")  # of a Tensor whose record a backward pass has already used up


class Sum:
    """Memory in which gradients of one Tensor are added up: `array`.

    The caller of `backward` has them for leaves.  A vjp returns one, in place of an array, to say
    that the array is nobody else's, so that others may add to it.
    add: whether what is there counts already, or is to be written over.  used: whether a gradient
    has arrived.  later: what takes gradients that are added up at the end of the sweep, or None.
    """

    __slots__ = ("array", "add", "used", "later")

    def __init__(self, array, add=False, later=None):
        self.array = array
        self.add = add
        self.later = later
        self.used = False

    def take(self, g):
        """Add a gradient."""
        if self.add:
            self.array += g
        else:
            self.array[...] = g
        self.written()

    def written(self):
        """Note that a gradient was added, by `take` or by a vjp itself."""
        self.add = self.used = True


def backward(loss, g=None, keep_graph=False, into=None):
    """Gradients of `loss` with respect to its leaves: {leaf: array}.

    g: the gradient of `loss` itself, of its shape; 1 if None, which only a scalar may leave out.
    Each node lets go of its saved arrays as soon as it is done, so memory falls during the sweep.
    The graph is gone afterwards, unless keep_graph.  Returning the gradients (instead of storing
    them) lets several threads differentiate the same parameters at once.  into: {leaf: Sum} for
    leaves whose gradients are to be added up elsewhere; they are not returned.
    """
    into = into or {}
    pending = Pending()
    pending.add(loss, first_gradient(loss, g))
    leaves = {}
    order = topological_order(loss)
    while order:
        tensor = order.pop()
        g = pending.pop(tensor)
        if g is None:  # no gradient reaches it
            continue
        if tensor.node is None:
            leaves[tensor] = g
            continue
        inputs = tensor.node.inputs
        gradients = input_gradients(tensor, g, {**pending.lent, **into})
        if not keep_graph:
            tensor.node = FREED
        del g
        for t, gt in zip(inputs, gradients):
            if t is None or gt is None:
                continue
            if t not in into:
                pending.add(t, gt)
            elif gt is not into[t]:  # else the vjp has added it itself
                into[t].take(gt.array if isinstance(gt, Sum) else gt)
    return leaves


class Pending:
    """Gradients of Tensors that the sweep has not reached yet, added up as they arrive."""

    def __init__(self):
        self.sums = {}
        self.owned = set()  # Tensors whose sum is an array made here, or given away
        self.lent = {}  # {Tensor: Sum} of those that were given away: a vjp may add to them

    def add(self, tensor, g):
        sums = self.sums
        if isinstance(g, Sum):
            if g is self.lent.get(tensor):  # the vjp has added it itself
                return
            if tensor not in sums:
                g.add = True
                self.lent[tensor] = g
                self.owned.add(tensor)
            g = g.array
        if tensor not in sums:
            sums[tensor] = g
            return
        # the first array may belong to another Tensor as well: not in place
        out = sums[tensor] if tensor in self.owned else None
        sums[tensor] = added(sums[tensor], g, out)
        self.owned.add(tensor)

    def pop(self, tensor):
        """The finished sum, or None if no gradient arrived."""
        self.owned.discard(tensor)
        self.lent.pop(tensor, None)
        return self.sums.pop(tensor, None)


def added(a, b, out=None):
    """a + b; in place if `out` is a."""
    kernel = kernel_for("added", a, b)
    if kernel:
        return kernel(a, b, out)
    if out is None:
        return a + b
    out += b
    return out


def first_gradient(loss, g):
    """The gradient that the sweep begins with: `g`, or 1 for a scalar loss."""
    if not loss.requires_grad:
        raise UserError(
            "backward() of a Tensor that depends on nothing with requires_grad=True; "
            "was it computed under no_grad()?"
        )
    if g is not None:
        return g
    if loss.data.size != 1:
        raise UserError(
            f"backward() of a Tensor of shape {loss.shape} needs the gradient g of that shape; "
            "without g only a scalar loss can be differentiated"
        )
    return xp_of(loss.data).ones_like(loss.data)


def input_gradients(tensor, g, into):
    """The gradients that the op which made `tensor` hands on, one for each of its inputs.

    In place of an array there may be a Sum, that of `into` if the vjp has added it there.  An error
    in there gets a note that says which op it was: the graph does not remember the line.
    """
    inputs, vjp, name = tensor.node
    try:
        gradients = call_vjp(vjp, g, tuple(t is not None and into.get(t, True) for t in inputs))
        return [
            d if t is None or d is None or isinstance(d, Sum) else unbroadcast(d, t.data.shape)
            for t, d in zip(inputs, gradients)
        ]
    except Exception as error:
        error.add_note(f"in the backward pass of {name}, whose output has shape {tensor.shape}")
        raise


def topological_order(root):
    """The Tensors that `root` was made from, each after everything it was made from.

    A depth-first search with a stack of its own: recursion would stop at a thousand ops.  The order
    is what makes one visit per node enough: in b = a + a, c = b + b the gradient of b is complete
    before it is used.
    """
    order = []
    seen = set()
    stack = [(root, False)]
    while stack:
        tensor, inputs_done = stack.pop()
        if inputs_done:
            order.append(tensor)
        elif tensor not in seen:
            seen.add(tensor)
            stack.append((tensor, True))
            if tensor.node is FREED:
                raise UserError(
                    "this graph was already differentiated and let go; compute the loss again, "
                    "or pass keep_graph=True to the first backward()"
                )
            if tensor.node:
                stack += [(t, False) for t in tensor.node.inputs if t is not None]
    return order


def unbroadcast(g, shape):
    """Sum g down to `shape`: the transpose of broadcasting."""
    if g.shape == shape:
        return g
    if g.ndim > len(shape):
        g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g


# --- ops ------------------------------------------------------------------------------------------


EVERY = (True,) * 16  # "all gradients are needed", for any op: none has more arguments


class selective:
    """Decorator of a vjp(g, needs) that computes only the gradients that are needed.

    needs: one bool per argument of the op, or a Sum in place of True, to which a vjp may add the
    gradient itself and return the Sum.  Every other vjp is a plain vjp(g); the sweep drops those of
    its gradients that nobody needs.  Asking first is worthwhile for products.
    """

    __slots__ = ("vjp",)

    def __init__(self, vjp):
        self.vjp = vjp

    def __call__(self, g, needs=EVERY):
        return self.vjp(g, needs)


def call_vjp(vjp, g, needs):
    """The gradients of one op, only those that are needed where the vjp is selective."""
    return vjp.vjp(g, needs) if isinstance(vjp, selective) else vjp(g)


def op(raw):
    """Lift raw(*arrays, **static) -> (out, vjp) from arrays to Tensors and enter it in OPS."""
    name = raw.__name__

    @functools.wraps(raw)
    def lifted(*args, **static):
        arrays = [a.data if isinstance(a, Tensor) else a for a in args]
        xp = xp_of(*arrays)
        run = KERNELS.get((name, xp.__name__), raw) if mode.kernels else raw
        if mode.precision is None:
            out, vjp = run(*arrays, **static)
        else:
            out, vjp = mode.precision.run(raw, run, args, arrays, static)
        if mode.recording and any(isinstance(a, Tensor) and a.requires_grad for a in args):
            inputs = tuple(a if isinstance(a, Tensor) and a.requires_grad else None for a in args)
            return Tensor(out, True, Node(inputs, vjp, name))
        return Tensor(out)

    OPS[name] = lifted.raw = raw
    return lifted


def kernel_for(name, *arrays):
    """The fused version of `name` for these arrays, or None.

    None means that there is no fused version, or that it's switched off.  Refuses arrays of which
    some are on the CPU and some on a GPU.
    """
    xp = xp_of(*arrays)
    return KERNELS.get((name, xp.__name__)) if mode.kernels else None


# --- the Tensor -----------------------------------------------------------------------------------


class Tensor:
    """An array, and the op that made it.

    data: the NumPy or CuPy array.  requires_grad: whether the loss is to be differentiated by it.
    grad: what `.backward()` has added up so far (leaves only).  node: the Node of the op that made
    it, or None.  Tensors are compared, and hashed, by identity.
    """

    __slots__ = ("data", "requires_grad", "grad", "node", "__weakref__")
    __array_ufunc__ = None  # so that `array * tensor` comes to Tensor.__rmul__

    def __init__(self, data, requires_grad=False, node=None):
        if isinstance(data, Tensor):
            data = data.data
        if xp_of(data) is np and not isinstance(data, np.ndarray):
            given = data
            data = np.asarray(given)
            if data.dtype == np.float64 and not isinstance(given, np.generic):
                data = data.astype(DEFAULT_DTYPE)  # a Python number or list: the default precision
        self.data = data
        self.requires_grad = requires_grad
        self.grad = None
        self.node = node

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)

    def numpy(self):
        """The values as a NumPy array on the host; bfloat16, which NumPy has not, as float32."""
        values = to_host(self.data)
        return values.astype(np.float32) if values.dtype.name == "bfloat16" else values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype=dtype)

    def item(self):
        """The value of a one-element Tensor as a Python number.

        On a GPU this waits for the device.
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
        """Add d(self)/d(leaf) to the .grad of every leaf.

        g: the gradient of self (ones if None).
        """
        for leaf, grad in backward(self, g, keep_graph).items():
            leaf.grad = grad if leaf.grad is None else leaf.grad + grad
