"""Weights of 8 bits on disk: a quarter of the bytes, each row of a matrix with a scale of its own.

A matrix W (rows, columns) is stored as whole numbers from -127 to 127 and, under its name with
SCALE behind it, a float32 for each row: W[i] is about q[i] * scale[i], wrong by at most half a
scale.  Vectors stay float32.  What is loaded is float32 again, so results are sums of floats, as on
any machine (Jacob et al. 2018, §2.1, symmetric).
"""

import numpy as np

from ..errors import UserError

SCALE = ".scale"
MOST = 127


def quantized(state):
    """{name: array} with matrices as int8 and their scales; the opposite of `dequantized`."""
    small = {}
    for name, array in state.items():
        if array.ndim != 2:
            small[name] = array
            continue
        small[name], small[name + SCALE] = rows_in_int8(array)
    return small


def rows_in_int8(matrix):
    """(whole numbers (rows, columns) int8, scales (rows,) float32) of a matrix."""
    largest = abs(matrix).max(axis=1, initial=0).astype(np.float32)
    scales = np.where(largest > 0, largest / MOST, 1).astype(np.float32)  # a row of zeros: any
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales


def dequantized(state):
    """{name: array}, in which int8 matrices that have scales are float32 again."""
    scaled = {name for name, a in state.items() if a.dtype == np.int8 and name + SCALE in state}
    for name in scaled:
        shape, scales = state[name].shape, state[name + SCALE]
        if len(shape) != 2 or scales.shape != shape[:1] or scales.dtype != np.float32:
            raise UserError(
                f"{name} has 8-bit numbers of shape {shape} and scales of shape {scales.shape}; "
                "expected a matrix and a float32 for each of its rows"
            )
    scales = {name + SCALE for name in scaled}
    return {
        name: array.astype(np.float32) * state[name + SCALE][:, None] if name in scaled else array
        for name, array in state.items()
        if name not in scales
    }
