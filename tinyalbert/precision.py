"""Half precision: matrix products read and write 16-bit numbers, the rest is float32.

An op on 16-bit arrays is the op in float32, its result rounded to 16 bits: `rounded` is that
definition, the kernels compute it without the detour.  How a training step flows: parameters, their
gradients and the optimiser are float32; a matrix product reads 16-bit copies of the weights, made
once a step, and gives 16 bits, so that all activations behind the first product have 16; a loss is
float32 again.  Which numbers are small is decided here and nowhere else.

fp16 has 10 bits behind the point and ends at 65504 and 6e-8, so its losses are multiplied by a
`LossScale`; bf16 has 7 and float32's range.  tf32 stores float32 and rounds to 10 bits inside
products.  (Micikevicius et al. 2018.)

A GPU has units for all of them.  Some processors have units for bf16, which a library of products/
uses; on any other, "bf16-emulated" rounds the same numbers at the same places, slowly.
"""

import contextlib

import numpy as np

from . import products
from .backend import to_device, to_host, xp_of
from .errors import UserError
from .modes import use_precision
from .tensor import Sum, Tensor, call_vjp, kernel_for, selective, unbroadcast

# name: the activations' type, where it is not float32
PRECISIONS = {
    "fp32": None,
    "tf32": None,
    "fp16": "float16",
    "bf16": "bfloat16",
    "bf16-emulated": "bfloat16",
}
EMULATED = "bf16-emulated"
PRODUCTS = {  # 16-bit results of any operands
    *("matmul", "linear", "linear_gelu", "attention"),
    *("self_attention", "linear_add_norm"),
}
SUMS = {"cross_entropy", "mse", "bce_with_logits", "sum", "mean"}  # what has float32 results
MOVES = {"reshape", "transpose", "getitem", "concat"}  # what computes nothing


def bytes_kept(name):
    """Bytes of a number that is kept for the backward pass in this precision."""
    return 4 if PRECISIONS[name] is None else 2


def check_precision(name, device):
    """`name` if it can be computed in on `device`; otherwise a UserError with the reason."""
    if name not in PRECISIONS:
        raise UserError(f"precision {name!r} is unknown; expected one of {', '.join(PRECISIONS)}")
    if name != "fp32":
        (_check_gpu if device == "gpu" else _check_cpu)(name)
    if PRECISIONS[name] == "bfloat16":
        try:
            import ml_dtypes  # noqa: F401       # gives NumPy, and with it CuPy, the type
        except ImportError:
            raise UserError(
                f"precision {name!r} needs ml_dtypes, which can't be imported; "
                "pip install ml_dtypes, or use fp16 on a GPU, or fp32"
            ) from None
    return name


def _check_gpu(name):
    if name == EMULATED:
        raise UserError(f"precision {name!r} is for the CPU; on a GPU, use bf16")
    import cupy

    capability = int(cupy.cuda.Device().compute_capability)
    if name != "fp16" and capability < 80:
        raise UserError(
            f"precision {name!r} on a GPU of compute capability {capability / 10}; "
            "expected 8.0 (Ampere) or above: use fp16 or fp32"
        )


def _check_cpu(name):
    if name == EMULATED:
        return
    if name != "bf16":
        raise UserError(
            f"precision {name!r} on the CPU, which has no fast products of it; "
            "expected 'fp32' or 'bf16': leave --precision out, or use --device gpu"
        )
    try:
        products.sixteen_bits()
    except products.Unusable as reason:
        raise UserError(
            f"precision 'bf16' on the CPU: {reason}; expected 'fp32', which is faster then: leave "
            f"--precision out, or use --device gpu, or {EMULATED} for the same numbers, slowly"
        ) from None


def is_half(a):
    """Whether `a` is an array of 16-bit numbers."""
    return hasattr(a, "dtype") and a.dtype.name in ("float16", "bfloat16")


def rounded(raw):
    """The op `raw` on 16-bit arrays: computed in float32, the result rounded, except for a sum.

    Gradients are float32.
    """

    def run(*arrays, **static):
        half = next((a.dtype for a in arrays if is_half(a)), None)
        if half is None:
            return raw(*arrays, **static)
        out, vjp = raw(*(a.astype("float32") if is_half(a) else a for a in arrays), **static)
        if raw.__name__ not in SUMS:
            out = out.astype(half)

        @selective
        def in_float32(g, needs):
            return call_vjp(vjp, g.astype("float32", copy=False), needs)

        return out, in_float32

    return run


class Precision:
    """What a model computes in: the 16-bit copies of the weights, and how an op is run.

    loss_scale: a LossScale for fp16, else None.
    """

    def __init__(self, name, named_parameters):
        self.name = name
        self.dtype = None
        self.loss_scale = None
        self.products = None  # the library that multiplies 16 bits on the CPU, if it's not NumPy
        if PRECISIONS[name] is None:
            return
        if PRECISIONS[name] == "bfloat16":
            import ml_dtypes  # noqa: F401
        # weights of products have two axes; biases, gains and shifts are read as float32
        self.weights = [p for _, p in named_parameters if p.ndim == 2]
        self.dtype = np.dtype(PRECISIONS[name])
        xp = xp_of(*(p.data for p in self.weights))
        self.bounds = np.cumsum([0] + [p.size for p in self.weights]).tolist()
        self.flat = xp.empty(self.bounds[-1], dtype=self.dtype)
        if name == "bf16" and xp is np:
            self.products = products.sixteen_bits()
        self.copies = {
            p: self.flat[low:high].reshape(p.shape)
            for p, low, high in zip(self.weights, self.bounds, self.bounds[1:])
        }
        self.loss_scale = LossScale(xp) if name == "fp16" else None

    @contextlib.contextmanager
    def active(self, copy=True):
        """Context of forward and backward passes in this precision.

        At its start the weights are copied anew, unless copy is False.
        """
        if self.dtype is not None and copy:
            kernel = kernel_for("collect", self.flat)
            if kernel:
                kernel([p.data for p in self.weights], self.flat, self.bounds)
            else:
                for p, copy in self.copies.items():
                    copy[...] = p.data
        with use_precision(None if self.name == "fp32" else self):
            yield

    def run(self, raw, kernel, args, arrays, static):
        """(out, vjp) of an op in this precision; gradients have the Tensors' types.

        args: the op's arguments, Tensors or not, which hold `arrays`.  kernel: the op's fused
        version, or `raw` itself.
        """
        if raw.__name__ in PRODUCTS and self.dtype is not None:
            arrays = [self._narrow(t, a) for t, a in zip(args, arrays)]
        if not any(map(is_half, arrays)):
            return kernel(*arrays, **static)
        if kernel is raw and raw.__name__ not in MOVES:
            kernel = rounded(raw)
        out, vjp = kernel(*arrays, **static)

        def as_input(t, d):
            """The gradient `d` in the shape and type of the input `t`."""
            if d is None or not isinstance(t, Tensor):
                return d
            if isinstance(d, Sum):
                return d if d.array.dtype == t.dtype else d.array.astype(t.dtype)
            return unbroadcast(d, t.shape).astype(t.dtype, copy=False)

        @selective
        def typed(g, needs):
            return tuple(map(as_input, args, call_vjp(vjp, g, needs)))

        return out, typed

    def _narrow(self, t, array):
        """What a product reads of `t`: a weight's copy, a 16-bit activation, a bias as it is."""
        if not isinstance(t, Tensor) or t.ndim < 2:
            return array
        return self.copies[t] if t in self.copies else array.astype(self.dtype, copy=False)

    def multiplies(self, model):
        """The name of the library that multiplies: other bits come from another."""
        if model.device() == "gpu":
            return "cupy"
        return self.products.name if self.products else products.library_for(np.dtype("f4")).name

    def state(self):
        """What a checkpoint keeps, in numbers, or None without a loss scale.

        The numbers are those of LossScale.state.
        """
        return None if self.loss_scale is None else to_host(self.loss_scale.state).tolist()

    def load(self, state):
        """Go on from a state(); one of another precision is left aside."""
        if state is not None and self.loss_scale is not None:
            self.loss_scale.state[...] = to_device(np.array(state, dtype=np.float32), "gpu")


class LossScale:
    """What fp16's loss is multiplied by, so that small gradients do not become 0.

    Source: Micikevicius et al. 2018, §3.2.  A step whose gradient overflows is skipped and halves
    the scale; `interval` steps without an overflow double it.  It lives on the device, since
    reading it would mean waiting: state (3,) is the scale, the steps since it changed, and whether
    the last gradient was finite, 1 or 0.
    """

    def __init__(self, xp, start=2.0**16, interval=2000):
        self.state = xp.asarray(np.array([start, 0, 1], dtype=np.float32))
        self.value = self.state[:1].reshape(())  # a view
        self.finite = self.state[2:].reshape(())  # a view
        self.interval = interval

    def update(self, norm):
        """Take note of the norm of a gradient, () on the device; returns `finite`."""
        xp = xp_of(norm)
        kernel = kernel_for("LossScale", norm)
        if kernel:
            kernel(self, norm)
        else:
            finite, steps = xp.isfinite(norm), self.state[1] + 1
            grown = finite & (steps >= self.interval)
            scale = xp.where(finite, xp.where(grown, 2 * self.value, self.value), 0.5 * self.value)
            steps = xp.where(finite & ~grown, steps, 0)
            self.state[...] = xp.stack([xp.maximum(scale, 1), steps, finite.astype("float32")])
        return self.finite
