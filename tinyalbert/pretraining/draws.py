"""Random numbers as a function of (seed, stream, row, column).

No value depends on earlier ones.  Segment pairs and masks of an example are drawn from its number
in the run alone.  So threads, ranks and a resumed run see the same examples, whichever part of a
batch they draw and in whatever order.
"""

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: the step of splitmix64


def _mix(x):
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014), in place: a bijection of uint64."""
    x ^= x >> 30
    x *= 0xBF58476D1CE4E5B9
    x ^= x >> 27
    x *= 0x94D049BB133111EB
    x ^= x >> 31
    return x


def uniforms(seed, stream, rows, columns):
    """Uniform numbers in [0, 1), float64 (R, columns), for the examples numbered `rows` (R,)."""
    key = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)
    row_keys = _mix(key + np.asarray(rows).astype(np.uint64) * GOLDEN)  # (R,)
    bits = _mix(row_keys[:, None] + np.arange(1, columns + 1, dtype=np.uint64) * GOLDEN)
    return (bits >> 11) * 2.0**-53


def integers(u, low, high):
    """Uniform numbers u in [0, 1) -> integers in [low, high); low and high broadcast."""
    return (low + u * (np.asarray(high) - low)).astype(np.int64)
