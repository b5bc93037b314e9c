"""Kernels for CuPy arrays, in CUDA C (*.cu)."""

from . import attention, elementwise, launch, loss, norm, optimizer, product

__all__ = ["attention", "elementwise", "launch", "loss", "norm", "optimizer", "product"]
