"""Faster versions of some ops, equal to the plain ones in ops.py; delete this folder and nothing else changes.

kernel           step without   why
linear           1.01 x         aligned results, the bias added in cache, its gradient as a product
gelu             1.04 x         14 passes over the widest array of a head, in cache, not in memory
linear_gelu      1.13 x         the same over the widest array of the model, with the bias before it
layer_norm       1.05 x         the same, and sums over rows as products with a vector
add_layer_norm   1.05 x         that, and the residual sum never goes to memory
attention        1.06 x         scores never leave the cache, heads are never copied
cross_entropy    1.01 x         no second array of the size of the logits
dropout          1.02 x         hashes in cache; the mask is kept in one byte for each element
all of these     1.20 x

"step without" is the time of a training step with dropout (H 256, L 6, 32 x 128 tokens, 2 cores) without this kernel,
written here by `python scripts/benchmark.py --rows kernels --write`.

On a GPU (gpu_*.py, in CUDA C in *.cu) every launch has its price, so there these make one launch of many:

all of the above but linear                       1 to 3 launches for what takes 10 to 40 one after the other
linear                                            products of 16 bits into 32, sums over rows in 32
embedding                                         its gradient added up in integers: the same bits every time
AdamW, LAMB                                       all parameters in 1 launch, and in 3
collect                                           gradients into their sum, weights into their 16-bit copies: 1 launch
LossScale                                         fp16's loss scale is updated in 1 launch
"""

from ..backend import FIRST_USE
from ..tensor import KERNELS
from . import gpu_attention, gpu_elementwise, gpu_launch, gpu_loss, gpu_norm, gpu_optimizer, gpu_product
from .numpy_attention import attention
from .numpy_dropout import dropout
from .numpy_elementwise import gelu, linear_gelu
from .numpy_linear import linear
from .numpy_loss import cross_entropy
from .numpy_norm import add_layer_norm, layer_norm

for _kernel in (linear, gelu, linear_gelu, layer_norm, add_layer_norm, attention, cross_entropy, dropout):
    KERNELS[_kernel.__name__, "numpy"] = _kernel
for _kernel in (gpu_elementwise.gelu, gpu_elementwise.linear_gelu, gpu_elementwise.dropout,
                gpu_elementwise.embedding, gpu_norm.layer_norm, gpu_norm.add_layer_norm, gpu_attention.attention,
                gpu_loss.cross_entropy, gpu_product.linear):
    KERNELS[_kernel.__name__, "cupy"] = _kernel
KERNELS["AdamW", "cupy"], KERNELS["LAMB", "cupy"] = gpu_optimizer.adamw, gpu_optimizer.lamb
KERNELS["LossScale", "cupy"], KERNELS["collect", "cupy"] = gpu_optimizer.loss_scale, gpu_optimizer.collect
FIRST_USE.append(gpu_launch.probe)
