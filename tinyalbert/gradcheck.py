"""Gradient check: a vjp against finite differences, by one dot product in a random direction.

For y = f(x), a random cotangent g and a random direction v, the numbers <vjp(g), v> and <g, (f(x +
h v) - f(x - h v)) / 2h> are the same derivative.  Both g and v must be random: a check that
differentiates sum(f(x)) instead has g = 1 and can't see a wrong softmax, whose rows always sum to
1.  Taught in lesson 04.
"""

import numpy as np

from .tensor import call_vjp, unbroadcast


def gradcheck(fn, *arrays, rng, h=1e-5, rtol=1e-7, **static):
    """Raise AssertionError unless the vjp of `fn` agrees with finite differences.

    fn: a raw op, or a lifted one (its .raw is used): fn(*arrays, **static) -> (out, vjp).  arrays:
    every float64 array is differentiated, all others are held fixed.  The tolerance is relative to
    the sum of the absolute terms, so that it means the same for large and small arrays; the floor
    of the scale is 1e-3.
    """
    raw = getattr(fn, "raw", fn)
    y, vjp = raw(*arrays, **static)
    g = rng.standard_normal(y.shape)
    floats = [isinstance(a, np.ndarray) and a.dtype == np.float64 for a in arrays]
    gradients = call_vjp(vjp, g, tuple(floats))
    for i, (a, gradient) in enumerate(zip(arrays, gradients)):
        if not floats[i]:
            continue
        name = f"{raw.__name__}, argument {i} of shapes {[np.shape(b) for b in arrays]}"
        assert gradient is not None, f"{name}: the vjp returned no gradient"
        gradient = unbroadcast(gradient, a.shape)
        assert gradient.shape == a.shape, f"{name}: gradient of shape {gradient.shape}"
        v = rng.standard_normal(a.shape)
        plus, minus = ([*arrays[:i], a + s * h * v, *arrays[i + 1 :]] for s in (1, -1))
        terms = g * (raw(*plus, **static)[0] - raw(*minus, **static)[0]) / (2 * h)
        analytic, numeric = float((gradient * v).sum()), float(terms.sum())
        scale = float(abs(terms).sum() + abs(gradient * v).sum()) + 1e-3
        ratio = analytic / numeric if numeric else float("nan")
        assert abs(analytic - numeric) <= rtol * scale, (
            f"{name}: analytic {analytic:.10g}, numeric {numeric:.10g}, ratio {ratio:.6g}"
        )
