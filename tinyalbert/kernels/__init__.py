"""Faster versions of some ops, equal to the plain ones in ops.py; delete this folder and nothing else changes.

kernel                                            why
linear                                            aligned results, the bias added in cache, its gradient as a product
gelu, linear_gelu                                 14 passes over the widest array of the model, in cache, not in memory
layer_norm, add_layer_norm                        the same, and sums over rows as products with a vector
attention                                         scores never leave the cache, heads are never copied
cross_entropy                                     no second array of the size of the logits
dropout                                           hashes in cache; the mask is kept in one byte for each element

What each earns: `python scripts/benchmark.py --rows kernels`.
"""

from ..tensor import KERNELS
from .numpy_attention import attention
from .numpy_dropout import dropout
from .numpy_elementwise import gelu, linear_gelu
from .numpy_linear import linear
from .numpy_loss import cross_entropy
from .numpy_norm import add_layer_norm, layer_norm

for _kernel in (linear, gelu, linear_gelu, layer_norm, add_layer_norm, attention, cross_entropy, dropout):
    KERNELS[_kernel.__name__, "numpy"] = _kernel
