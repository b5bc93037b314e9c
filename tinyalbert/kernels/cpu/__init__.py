"""Kernels for NumPy arrays."""

from . import attention, blocks, dropout, elementwise, linear, loss, norm, sums

__all__ = ["attention", "blocks", "dropout", "elementwise", "linear", "loss", "norm", "sums"]
