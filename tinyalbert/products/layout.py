"""Which layouts of a matrix in memory the libraries read."""

import numpy as np


def readable(x):
    """x (..., n, m) itself if its matrices lie row by row or column by column; otherwise a copy.

    CBLAS reads no others, and oneDNN is slow at them.
    """
    (n, m), size = x.shape[-2:], x.itemsize
    rows, columns = x.strides[-2:]
    by_rows = (columns == size or m == 1) and (rows >= m * size or n == 1)
    by_columns = (rows == size or n == 1) and (columns >= n * size or m == 1)
    whole = all(s > 0 and s % size == 0 for s, many in zip(x.strides, x.shape) if many > 1)
    return x if whole and (by_rows or by_columns) else np.ascontiguousarray(x)
