"""Faster versions of some ops, equal to the plain ones in ops.py.

Delete this folder and nothing else changes.

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

"step without" is the time of a training step with dropout (H 256, L 6, 32 x 128 tokens, 2 cores)
without this kernel, written here by `python scripts/benchmark.py --rows kernels --write`.

On a GPU (gpu/, in CUDA C in *.cu) every launch has its price, so there these make one launch of
many:

all but linear       1 to 3 launches for what takes 10 to 40 one after the other
linear               products of 16 bits into 32, sums over rows in 32
embedding            its gradient added up in integers: the same bits every time
AdamW, LAMB          all parameters in 1 launch, and in 3
collect              gradients into their sum, weights into their 16-bit copies: 1 launch
LossScale            fp16's loss scale is updated in 1 launch
self_attention       attention, and 1 product for its 3 linear maps
linear_add_norm      bias, dropout, residual and layer norm in 1 launch behind the product
LaterSums            gradients of gamma, beta and biases of all layers: 1 launch
clip_factor          the norm and what gradients are multiplied by: 1 launch
Graphs               a whole training step in 2 launches
"""

from ..tensor import KERNELS
from . import cpu, gpu

ON_NUMPY = (
    cpu.linear.linear,
    cpu.elementwise.gelu,
    cpu.elementwise.linear_gelu,
    cpu.norm.layer_norm,
    cpu.norm.add_layer_norm,
    cpu.attention.attention,
    cpu.loss.cross_entropy,
    cpu.dropout.dropout,
)
ON_CUPY = (
    gpu.elementwise.gelu,
    gpu.elementwise.linear_gelu,
    gpu.elementwise.dropout,
    gpu.elementwise.embedding,
    gpu.norm.layer_norm,
    gpu.norm.add_layer_norm,
    gpu.norm.linear_add_norm,
    gpu.attention.attention,
    gpu.attention.self_attention,
    gpu.loss.cross_entropy,
    gpu.product.linear,
)

for kernel in ON_NUMPY:
    KERNELS[kernel.__name__, "numpy"] = kernel
for kernel in ON_CUPY:
    KERNELS[kernel.__name__, "cupy"] = kernel
KERNELS["added", "numpy"] = cpu.sums.added
KERNELS["AdamW", "cupy"] = gpu.optimizer.adamw
KERNELS["LAMB", "cupy"] = gpu.optimizer.lamb
KERNELS["LossScale", "cupy"] = gpu.optimizer.loss_scale
KERNELS["collect", "cupy"] = gpu.optimizer.collect
KERNELS["Graphs", "cupy"] = gpu.graphs.Graphs
KERNELS["LaterSums", "cupy"] = gpu.later.LaterSums
KERNELS["clip_factor", "cupy"] = gpu.optimizer.clip_factor
KERNELS["note_loss", "cupy"] = gpu.optimizer.note_loss
KERNELS["note_step", "cupy"] = gpu.optimizer.note_step
