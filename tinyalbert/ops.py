"""Every differentiable operation: forward above backward, defined plainly for any array module.

Each function takes arrays and returns `(out, vjp)`; `@op` lifts it to Tensors (see tensor.py).
Letters: x, a, b inputs; y output; g the gradient that comes in; B batch, T tokens, H hidden, N
heads, D = H // N, V vocabulary.  Shapes are repaired after broadcasting by `unbroadcast` in the
sweep, so `add` returns (g, g).  Integer and mask arguments get None.  Constants are Python floats:
a NumPy scalar would turn float32 into float64.  Faster versions of some ops, never different ones,
are in kernels/.  Taught in lessons 03 to 08.
"""

import math

import numpy as np

from .backend import erf, scatter_add, xp_of
from .errors import UserError
from .tensor import Tensor, op, selective, unbroadcast

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
IGNORE = -100  # the label of what is no target


# --- arithmetic, elementwise and broadcasting -----------------------------------------------------


@op
def add(a, b):
    """a + b."""
    return a + b, lambda g: (g, g)


@op
def sub(a, b):
    """a - b."""
    return a - b, lambda g: (g, -g)


@op
def mul(a, b):
    """a * b, elementwise."""

    @selective
    def vjp(g, needs):
        ga = g * b if needs[0] else None
        gb = g * a if needs[1] else None
        return ga, gb

    return a * b, vjp


@op
def div(a, b):
    """a / b, elementwise."""
    y = a / b
    return y, lambda g: (g / b, -g * y / b)


@op
def neg(x):
    """-x."""
    return -x, lambda g: (-g,)


@op
def power(x, exponent):
    """x ** exponent for a constant exponent."""
    return x**exponent, lambda g: (g * exponent * x ** (exponent - 1), None)


@op
def exp(x):
    """e ** x."""
    y = xp_of(x).exp(x)
    return y, lambda g: (g * y,)


@op
def log(x):
    """Natural logarithm."""
    return xp_of(x).log(x), lambda g: (g / x,)


@op
def sqrt(x):
    """Square root."""
    y = xp_of(x).sqrt(x)
    return y, lambda g: (g / (2 * y),)


@op
def absolute(x):
    """|x|; the gradient at 0 is 0."""
    return abs(x), lambda g: (g * xp_of(g).sign(x),)


@op
def where(condition, a, b):
    """a where condition is true, else b."""
    xp = xp_of(condition, a, b)

    def vjp(g):
        return None, xp.where(condition, g, 0), xp.where(condition, 0, g)

    return xp.where(condition, a, b), vjp


# --- activations ----------------------------------------------------------------------------------


@op
def tanh(x):
    """Hyperbolic tangent."""
    y = xp_of(x).tanh(x)
    return y, lambda g: (g * (1 - y * y),)


@op
def sigmoid(x):
    """1 / (1 + exp(-x)), written with tanh so that no exponential overflows."""
    y = 0.5 * xp_of(x).tanh(0.5 * x) + 0.5
    return y, lambda g: (g * y * (1 - y),)


@op
def relu(x):
    """max(x, 0); the gradient at 0 is 0."""
    return xp_of(x).maximum(x, 0), lambda g: (g * (x > 0),)


@op
def gelu(x):
    """GELU in its tanh form (Hendrycks & Gimpel 2016, §2).

    y = x/2 (1 + tanh u), u = sqrt(2/π) (x + 0.044715 x³)

    It is Google's `gelu` and transformers' `gelu_new`.
    """
    t = xp_of(x).tanh(SQRT_2_OVER_PI * x * (1 + 0.044715 * (x * x)))

    def vjp(g):  # du/dx = sqrt(2/π) (1 + 3 * 0.044715 x²)
        slope = SQRT_2_OVER_PI * (1 + 3 * 0.044715 * (x * x))
        return (g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope),)

    return 0.5 * x * (1 + t), vjp


@op
def gelu_erf(x):
    """GELU, exact: x Φ(x) with the normal distribution function Φ; transformers' `gelu`."""
    phi = 0.5 * (1 + erf(x * math.sqrt(0.5)))

    def vjp(g):  # Φ' is the normal density
        return (g * (phi + x * xp_of(x).exp(-0.5 * (x * x)) * (1 / math.sqrt(2 * math.pi))),)

    return x * phi, vjp


# --- sums and shapes ------------------------------------------------------------------------------


def _spread(g, x, axis, keepdims):
    """A reduction's gradient, repeated over the reduced axes: a view, which nobody writes to."""
    xp = xp_of(g)
    if axis is not None and not keepdims:
        g = xp.expand_dims(g, axis)
    return xp.broadcast_to(g, x.shape)


@op
def sum(x, axis=None, keepdims=False):
    """Sum over `axis` (all axes if None)."""
    y = xp_of(x).asarray(x.sum(axis=axis, keepdims=keepdims))
    return y, lambda g: (_spread(g, x, axis, keepdims),)


def refuse_empty(what, x, axis):
    """Refuse what has no meaning over an axis without entries; axis None: all axes."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if any(x.shape[each] == 0 for each in axes):
        raise UserError(
            f"{what} over an axis without entries, of an array of shape {x.shape}; expected at "
            "least one entry"
        )


@op
def mean(x, axis=None, keepdims=False):
    """Mean over `axis` (all axes if None)."""
    refuse_empty("the mean", x, axis)
    y = xp_of(x).asarray(x.mean(axis=axis, keepdims=keepdims))
    return y, lambda g: (_spread(g * (y.size / (x.size or 1)), x, axis, keepdims),)


@op
def max(x, axis=None, keepdims=False):
    """Largest value over `axis`; equal largest values share the gradient."""
    refuse_empty("the largest", x, axis)
    y = xp_of(x).asarray(x.max(axis=axis, keepdims=keepdims))

    def vjp(g):
        hit = x == _spread(y, x, axis, keepdims)
        share = hit / hit.sum(axis=axis, keepdims=True)
        return (_spread(g, x, axis, keepdims) * share.astype(x.dtype),)

    return y, vjp


@op
def reshape(x, shape):
    """The same values in another shape; one entry may be -1."""
    return x.reshape(shape), lambda g: (g.reshape(x.shape), None)


@op
def transpose(x, axes):
    """Permute the axes: out.shape[i] = x.shape[axes[i]]."""
    return x.transpose(axes), lambda g: (g.transpose(np.argsort(axes).tolist()), None)


@op
def getitem(x, key):
    """x[key] for integers, slices, None and `...`; rows by an array of ids are `embedding`."""

    def vjp(g):
        gx = xp_of(g).zeros_like(x)
        gx[key] = g
        return gx, None

    return x[key], vjp


@op
def concat(*arrays, axis=-1):
    """Join arrays along an existing axis."""
    xp = xp_of(*arrays)
    ends = np.cumsum([a.shape[axis] for a in arrays])[:-1].tolist()
    return xp.concatenate(arrays, axis=axis), lambda g: tuple(xp.split(g, ends, axis=axis))


@op
def embedding(table, ids):
    """Rows of a table: (V, E), int (...) -> (..., E); the gradients of a repeated row add up."""

    def vjp(g):
        gtable = xp_of(g).zeros_like(table)
        scatter_add(gtable, ids.reshape(-1), g.reshape(ids.size, table.shape[1]))
        return gtable, None

    return table[ids], vjp


# --- products -------------------------------------------------------------------------------------


@op
def matmul(a, b):
    """(..., n, k) @ (..., k, m) -> (..., n, m); leading axes broadcast."""

    @selective
    def vjp(g, needs):
        ga = g @ b.swapaxes(-1, -2) if needs[0] else None
        gb = a.swapaxes(-1, -2) @ g if needs[1] else None
        return ga, gb

    return a @ b, vjp


@op
def linear(x, weight, bias=None):
    """x weightᵀ + bias: (..., I), (O, I), (O,) -> (..., O), as one two-dimensional product."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # (R, I)
    y = rows @ weight.T
    if bias is not None:
        y += bias

    @selective
    def vjp(g, needs):
        g = g.reshape(len(rows), len(weight))  # (R, O)
        gx = (g @ weight).reshape(x.shape) if needs[0] else None
        gweight = g.T @ rows if needs[1] else None
        gbias = g.sum(axis=0) if bias is not None and needs[2] else None
        return gx, gweight, gbias

    return y.reshape(*x.shape[:-1], weight.shape[0]), vjp


@op
def linear_gelu(x, weight, bias):
    """gelu(linear(x, weight, bias)): one op, because a kernel can fuse this widest step."""
    z, linear_vjp = linear.raw(x, weight, bias)
    y, gelu_vjp = gelu.raw(z)

    @selective
    def vjp(g, needs):
        (gz,) = gelu_vjp(g)
        return linear_vjp(gz, needs)

    return y, vjp


# --- normalisation and losses ---------------------------------------------------------------------


@op
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)): rows sum to 1."""
    refuse_empty("softmax", x, axis)
    y = xp_of(x).exp(x - x.max(axis=axis, keepdims=True))
    y /= y.sum(axis=axis, keepdims=True)

    def vjp(g):  # J = diag(y) - y yᵀ, never formed
        return (y * (g - (g * y).sum(axis=axis, keepdims=True)),)

    return y, vjp


@op
def log_softmax(x, axis=-1):
    """log(softmax(x)) without ever taking the logarithm of a rounded 0."""
    refuse_empty("log_softmax", x, axis)
    xp = xp_of(x)
    y = x - x.max(axis=axis, keepdims=True)
    y = y - xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y, lambda g: (g - xp.exp(y) * g.sum(axis=axis, keepdims=True),)


@op
def layer_norm(x, gamma, beta, eps=1e-12):
    """(x - mean) / sqrt(var + eps) * gamma + beta over the last axis (Ba et al. 2016).

    (..., H), (H,), (H,) -> (..., H).
    """
    refuse_empty("layer_norm", x, -1)
    centred = x - x.mean(axis=-1, keepdims=True)
    rstd = 1 / xp_of(x).sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    xhat = centred * rstd  # mean 0, variance 1 over the last axis

    def vjp(g):
        gxhat = g * gamma
        mean = gxhat.mean(axis=-1, keepdims=True)
        along = (gxhat * xhat).mean(axis=-1, keepdims=True)
        gx = rstd * (gxhat - mean - xhat * along)
        return gx, g * xhat, g  # gamma and beta: summed to (H,) by unbroadcast

    return xhat * gamma + beta, vjp


@op
def add_layer_norm(x, residual, gamma, beta, eps=1e-12):
    """layer_norm(x + residual): the end of both halves of an ALBERT layer, post-LN as released."""
    y, inner = layer_norm.raw(x + residual, gamma, beta, eps)

    def vjp(g):
        gx, ggamma, gbeta = inner(g)
        return gx, gx, ggamma, gbeta

    return y, vjp


@op
def cross_entropy(logits, labels, ignore_index=IGNORE):
    """Mean of -log softmax(logits)[label] over the rows with a label.

    (..., V), int (...) -> ().  Rows labelled `ignore_index` add nothing; with no row left the loss
    is 0.
    """
    xp = xp_of(logits, labels)
    flat = logits.reshape(-1, logits.shape[-1])  # rows, V
    labels = labels.reshape(-1)
    counts = (labels != ignore_index).astype(flat.dtype)  # (R,) 1 or 0
    picked = xp.where(labels != ignore_index, labels, 0)
    rows = xp.arange(len(labels))
    share = counts / xp.maximum(counts.sum(), 1)  # (R,) weight of each row in the mean
    logp, back = log_softmax.raw(flat)

    def vjp(g):  # softmax - one-hot, times the row's weight
        glogp = xp.zeros_like(flat)
        glogp[rows, picked] = -g * share
        return back(glogp)[0].reshape(logits.shape), None

    return xp.asarray(-(logp[rows, picked] * share).sum()), vjp


@op
def mse(predictions, targets):
    """Mean squared error, the loss of regression tasks such as STS-B."""
    difference = predictions - targets
    y = xp_of(predictions).asarray((difference * difference).mean())

    def vjp(g):
        gpredictions = 2 / difference.size * g * difference
        return gpredictions, -gpredictions

    return y, vjp


@op
def bce_with_logits(logits, targets):
    """Mean cross-entropy of sigmoid(logits) and targets in [0, 1]; for tasks with many labels."""
    xp = xp_of(logits, targets)
    losses = xp.maximum(logits, 0) - logits * targets + xp.log1p(xp.exp(-xp.abs(logits)))

    def vjp(g):
        glogits = (
            g * (0.5 * xp.tanh(0.5 * logits) + 0.5 - targets) / logits.size
        )  # sigmoid - target
        gtargets = -g * logits / logits.size
        return glogits, gtargets

    return xp.asarray(losses.mean()), vjp


# --- dropout --------------------------------------------------------------------------------------


def _mix(x):
    """A 32-bit integer hash, elementwise, in place (two multiply-xorshift rounds)."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> shift
        x *= factor
    x ^= x >> 16
    return x


def dropout_mask(shape, p, key, first_row, xp):
    """Booleans of `shape`, True = keep, False with probability p (to within 2**-16).

    The mask is a hash of (key, row, column), row 0 being row `first_row` of the whole batch: it is
    the same on every device, and however a batch is split over threads, ranks or accumulation
    steps.
    """
    row_size = math.prod(shape[1:])
    rows = xp.arange(first_row, first_row + shape[0], dtype="uint32")
    columns = xp.arange((row_size + 1) // 2, dtype="uint32")
    bits = _mix(rows * 0x9E3779B9 + (key & 0xFFFFFFFF))[:, None] + columns
    halves = _mix(bits).view("uint16")[:, :row_size]  # two 16-bit numbers from each hash
    return (halves >= round(p * 65536)).reshape(shape)


@op
def dropout(x, p, key, first_row=0):
    """Zero a share p of x and scale the rest by 1 / (1 - p) (Srivastava et al. 2014)."""
    if not 0 <= round(p * 65536) < 65536:
        raise UserError(f"dropout of {p}; expected a share from 0 to below 1")
    gain = 1 / (1 - round(p * 65536) / 65536)  # of the p that the 16-bit hash can tell
    keep = dropout_mask(x.shape, p, key, first_row, xp_of(x))
    scaled = keep.astype(x.dtype) * gain
    return x * scaled, lambda g: (g * scaled, None, None)


# --- attention ------------------------------------------------------------------------------------


def split_heads(x, num_heads):
    """(B, T, H) -> (B, N, T, D), arrays or Tensors: D = H / N features per head."""
    B, T, H = x.shape
    return x.reshape(B, T, num_heads, H // num_heads).transpose(0, 2, 1, 3)


def merge_heads(x):
    """(B, N, T, D) -> (B, T, H)."""
    B, N, T, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, N * D)


@op
def attention(q, k, v, bias, num_heads, p=0.0, key=0, first_row=0):
    """softmax(q kᵀ / sqrt(D) + bias) v in each head (Vaswani et al. 2017, §3.2).

    q (B, M, H), k and v (B, T, H) -> (B, M, H); M is T, or less where only some rows are read.
    bias: (B, 1, 1, T), or (1, 1, M, T) for a decoder, 0 for a key that may be seen and -10000 for
    one that may not, or None.  p: dropout on the weights.  attention.py spells out the same with
    single ops; here the weights are the one (B, N, M, T) array that is kept.
    """
    q = split_heads(q, num_heads)  # (B, N, M, D)
    k = split_heads(k, num_heads)  # (B, N, T, D)
    v = split_heads(v, num_heads)  # (B, N, T, D)
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.swapaxes(-1, -2) * scale  # (B, N, M, T)
    if bias is not None:
        scores = scores + bias
    weights, softmax_vjp = softmax.raw(scores)
    if p:
        dropped, dropout_vjp = dropout.raw(weights, p, key, first_row)
    else:
        dropped = weights

    def vjp(g):
        g = split_heads(g, num_heads)
        gv = dropped.swapaxes(-1, -2) @ g
        gweights = g @ v.swapaxes(-1, -2)
        if p:
            gweights = dropout_vjp(gweights)[0]
        (gscores,) = softmax_vjp(gweights)
        gq = gscores @ k * scale
        gk = gscores.swapaxes(-1, -2) @ q * scale
        gbias = None if bias is None else unbroadcast(gscores, bias.shape)
        return merge_heads(gq), merge_heads(gk), merge_heads(gv), gbias, None, None, None, None

    return merge_heads(dropped @ v), vjp


# --- several ops as one, which kernels on a GPU can fuse ------------------------------------------


@op
def self_attention(x, wq, wk, wv, bq, bk, bv, bias, num_heads, p=0.0, key=0, first_row=0):
    """attention(q, k, v, ...) of three linear maps of the same x.

    (B, T, H), weights (H, H), biases (H,) -> (B, T, H); the rest as in attention.
    """
    maps = [linear.raw(x, *pair) for pair in ((wq, bq), (wk, bk), (wv, bv))]
    q, k, v = (y for y, _ in maps)
    context, attention_vjp = attention.raw(q, k, v, bias, num_heads, p, key, first_row)

    def vjp(g):
        *inner, gbias, _, _, _, _ = attention_vjp(g)
        xs, weights, biases = zip(*(back(gy) for (_, back), gy in zip(maps, inner)))
        return xs[0] + xs[1] + xs[2], *weights, *biases, gbias, None, None, None, None

    return context, vjp


@op
def linear_add_norm(x, weight, residual, bias, gamma, beta, eps=1e-12, p=0.0, key=0, first_row=0):
    """layer_norm(dropout(linear(x, weight, bias)) + residual).

    (..., I), (O, I), (..., O), (O,) x 3 -> (..., O): the end of both halves of an ALBERT layer.
    """
    y, linear_vjp = linear.raw(x, weight, bias)
    if p:
        y, dropout_vjp = dropout.raw(y, p, key, first_row)
    z, norm_vjp = add_layer_norm.raw(y, residual, gamma, beta, eps)

    def vjp(g):
        gy, gresidual, ggamma, gbeta = norm_vjp(g)
        if p:
            gy = dropout_vjp(gy)[0]
        gx, gweight, gbias = linear_vjp(gy)
        return gx, gweight, gresidual, gbias, ggamma, gbeta, None, None, None, None

    return z, vjp


# --- operators on Tensors -------------------------------------------------------------------------


def _install_operators():
    """a + b, a @ b, x[key], x.reshape(...) and so on, for Tensors, all through the ops above."""
    for name, f in {"add": add, "sub": sub, "mul": mul, "truediv": div, "matmul": matmul}.items():
        setattr(Tensor, f"__{name}__", lambda self, other, f=f: f(self, other))
        setattr(Tensor, f"__r{name}__", lambda self, other, f=f: f(other, self))
    Tensor.__neg__ = lambda self: neg(self)
    Tensor.__pow__ = lambda self, exponent: power(self, exponent)
    Tensor.__getitem__ = lambda self, key: getitem(self, key)
    Tensor.reshape = lambda self, *shape: reshape(self, shape)
    Tensor.transpose = lambda self, *axes: transpose(self, axes)
    Tensor.sum = lambda self, axis=None, keepdims=False: sum(self, axis=axis, keepdims=keepdims)
    Tensor.mean = lambda self, axis=None, keepdims=False: mean(self, axis=axis, keepdims=keepdims)
    Tensor.T = property(lambda self: transpose(self, tuple(reversed(range(self.ndim)))))


_install_operators()
