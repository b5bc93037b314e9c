"""Kernels for NumPy arrays."""

from . import attention, blocks, dropout, elementwise, linear, loss, norm

__all__ = ["attention", "blocks", "dropout", "elementwise", "linear", "loss", "norm"]
