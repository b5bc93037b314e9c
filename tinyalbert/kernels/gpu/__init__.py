"""Kernels for CuPy arrays, in CUDA C (*.cu)."""

from . import attention, cublas, elementwise, graphs, later, launch, loss, norm, optimizer, product

__all__ = [
    "attention",
    "cublas",
    "elementwise",
    "graphs",
    "later",
    "launch",
    "loss",
    "norm",
    "optimizer",
    "product",
]
