# %% [markdown]
# # 20 · The same code on a GPU
# **Needs** 05 (softmax), 07 (embeddings), 12 (clipping), 13 (a training step) · **Builds** `xp_of`, a device that counts, the packed copy,
# `scatter_add` · **Source** CuPy's user guide, "Performance best practices" · **Runs in** a few seconds
#
# A *GPU* is a second computer with its own memory, very good at doing the same thing to many numbers. CuPy is NumPy
# for the GPU: the names are the same, but the arrays live in the GPU's memory. So one piece of code can serve both,
# and the library's does. What differs is not what is written but what it *costs*, and that can be counted without a
# GPU. This lesson runs anywhere; with CuPy and a device, `python lessons/20_gpu.py --device gpu` also computes the
# library's side of each comparison on the GPU.
# %%
import os
import subprocess
import sys

import numpy as np
from _check import DEVICE, HERE, exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import AlbertConfig, AlbertModel, Tensor, backend, backward, ops, transfer

NEEDS = ["05", "07", "12", "13"]
TEACHES = ["backend.xp_of", "backend.scatter_add", "transfer.to_device_together"]
rng = np.random.default_rng(20)


# %% [markdown]
# ## Who owns the array?
# A function that works on both asks its argument: which *array module* do you belong to, `numpy` or `cupy`? By
# convention the answer is called `xp`. There is no setting "we are on the GPU now" that could be wrong: the arrays
# decide.
# %%
def xp_of(x):
    """The module that x comes from; it has exp, sum and the like under NumPy's names."""
    return far if isinstance(x, FarArray) else np


def softmax(x):
    """(..., n) -> (..., n), and its vjp, on whichever device x is."""
    xp = xp_of(x)
    y = xp.exp(x - x.max(axis=-1, keepdims=True))
    y = y / y.sum(axis=-1, keepdims=True)

    def vjp(g):
        return y * (g - (g * y).sum(axis=-1, keepdims=True))
    return y, vjp


# %% [markdown]
# ## A device that counts
# To see what a GPU would have to do, here is a paper one: it computes with NumPy, but it records three things. A
# *launch*: the computer's own processor, the *CPU*, hands the GPU one operation and does not wait for it. A *copy*:
# numbers go to the GPU or come back. A *wait*: the CPU stands still until the GPU has finished everything it was
# given, because the program needs to *know* a number.
# %%
count = {"launches": 0, "copies": 0, "waits": 0}


class FarArray:
    """An array on the paper device; only what this lesson needs."""

    def __init__(self, near):
        self.near = np.asarray(near)

    def get(self):
        """Bring it back: one wait, one copy."""
        count["waits"] += 1
        count["copies"] += 1
        return self.near

    def __float__(self):
        return float(self.get())

    def __bool__(self):
        return bool(self.get())


def launched(function):
    """The same function on the device: one launch, and the result stays there."""
    def run(*arrays, **options):
        if any(isinstance(a, np.ndarray) for a in arrays):
            raise TypeError("a NumPy array met an array on the device; send it over with asarray first")
        count["launches"] += 1
        return FarArray(function(*(a.near if isinstance(a, FarArray) else a for a in arrays), **options))
    return run


# %% [markdown]
# What NumPy's functions do near by, launched functions do there. `counted` says what a call has cost.
# %%
for method, function in {"__add__": np.add, "__sub__": np.subtract, "__mul__": np.multiply, "__truediv__": np.divide,
                         "__rtruediv__": lambda a, b: b / a, "__gt__": np.greater, "max": np.max, "sum": np.sum,
                         "__rmul__": np.multiply, "__radd__": np.add}.items():
    setattr(FarArray, method, launched(function))


class far:
    """The paper device's module."""
    exp, tanh, sqrt, maximum = (launched(f) for f in (np.exp, np.tanh, np.sqrt, np.maximum))

    @staticmethod
    def asarray(near):
        count["copies"] += 1
        return FarArray(np.array(near))


def counted(function, *arguments):
    """The result, and what it cost."""
    count.update(launches=0, copies=0, waits=0)
    result = function(*arguments)
    return result, dict(count)


x, g = rng.standard_normal((4, 7)), rng.standard_normal((4, 7))
launches = predict("softmax on the device, as written above: how many launches?", guess=None)
(y, vjp), cost = counted(softmax, far.asarray(x))
launches.reveal(cost["launches"])
leaf = Tensor(put(x), requires_grad=True)
library = ops.softmax(leaf)
same(y.get(), library.data, "softmax on the paper device")
same(vjp(far.asarray(g)).get(), backward(library, put(g))[leaf], "its gradient")

# %% [markdown]
# Arrays of the two sides never mix by accident:
# %%
try:
    far.asarray(x) * x
except TypeError as error:
    print(f"   refused: {error}")
else:
    raise AssertionError("a mixture went through")


# %% [markdown]
# ## Break it: the hidden wait
# Clipping (lesson 12) scales a gradient down if it is longer than a limit. The natural way to write this has an `if`.
# To decide it, the CPU must know the number, so it waits until every earlier launch is done; and while it waits, it
# launches nothing.
# %%
def clip_with_an_if(g, limit):
    xp = xp_of(g)
    norm = xp.sqrt((g * g).sum())
    if norm > limit:                             # here
        g = g * (limit / norm)
    return g


gradient = rng.standard_normal(50)
clipped, cost_of_if = counted(clip_with_an_if, far.asarray(gradient), 1.0)
print(f"   with an if: {cost_of_if['waits']} wait")
assert cost_of_if["waits"] == 1


# %%
@exercise(trials=[(np.array(0.5), 1.0), (np.array(3.0), 1.0), (np.array([0.1, 1.0, 7.0]), 2.0)])
def clip_factor(norm, limit):
    """The factor for a gradient; norm may be an array, and no `if` may look at it."""
    ...


def clip(g, limit):
    xp = xp_of(g)
    norm = xp.sqrt((g * g).sum())
    return g * (limit / xp.maximum(norm, limit))


same(clip(gradient, 1.0), clipped.near, "the same without an if")
_, cost_without = counted(clip, far.asarray(gradient), 1.0)
print(f"   without: {cost_without['waits']} waits, {cost_without['launches']} launches")
assert cost_without["waits"] == 0

# %% [markdown]
# That is why what `Trainer.step` returns (the loss and the like) stays on the GPU until somebody reads it: the
# library's tests check that a step waits 0 times, and once if its loss is printed.
#
# ## One copy for a batch
# A batch is several arrays of whole numbers: ids, mask, segments, labels. Each copy has a fixed price, however small
# it is. So put the arrays one after another, send them once, and cut them apart on the device, which costs nothing: a
# slice of an array is only another view of it. In the library this is `transfer.to_device_together`.
# %%
@exercise(trials=[([np.arange(6).reshape(2, 3), np.arange(2)],), ([np.ones((1, 2), int), np.zeros((3, 1), int), np.arange(4)],)])
def pack(arrays):
    """[(2, 3), (4,), ...] -> one array with all numbers, in order."""
    ...


def unpack(packed, shapes):
    parts, start = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        parts.append(packed[start:start + size].reshape(shape))
        start += size
    return parts


batch = [rng.integers(0, 100, (8, 16)), np.ones((8, 16), int), rng.integers(0, 2, 8)]
_, apart = counted(lambda: [far.asarray(a) for a in batch])
sent, together = counted(lambda: far.asarray(pack(batch)))
arrived = unpack(sent.near, [a.shape for a in batch])
for name, mine, theirs in zip(("ids", "mask", "labels"), arrived, transfer.to_device_together(batch, DEVICE)):
    same(mine, theirs, f"the {name} of a packed batch")
print(f"   one by one {apart['copies']} copies, packed {together['copies']}")
assert together["copies"] == 1

# %% [markdown]
# ## Many writers, one row
# The gradient of a word's vector is the sum over all places where the word occurs (lesson 07). A GPU adds thousands
# of these terms at once, and when two are added to the same row at the same moment, neither may be lost. Plain
# indexing does lose them, in NumPy and in CuPy:
# %%
table, ids, rows = np.zeros((5, 3)), np.array([1, 1, 4]), np.ones((3, 3))
lost = table.copy()
lost[ids] += rows
print(f"   row 1 after table[ids] += rows: {lost[1]}, expected {rows[0] + rows[1]}")
assert lost[1, 0] == 1


# %%
@exercise(trials=[(5, ids, rows), (3, np.array([0, 2, 0, 0]), rng.standard_normal((4, 2))), (4, np.array([3]), np.ones((1, 2)))])
def scatter_add(V, ids, rows):
    """(V, E): row v is the sum of rows[i] over all i with ids[i] == v."""
    ...


words, weight = rng.integers(0, 5, 12), Tensor(put(rng.standard_normal((5, 3))), requires_grad=True)
g_rows = rng.standard_normal((12, 3))
same(scatter_add(5, words, g_rows), backward(ops.embedding(weight, put(words)), put(g_rows))[weight], "the gradient of an embedding")
filled = put(np.zeros((5, 3)))
backend.scatter_add(filled, put(words), put(g_rows))
same(scatter_add(5, words, g_rows), filled, "backend.scatter_add")

# %% [markdown]
# A GPU adds in whatever order the writers arrive. Sums of rounded numbers depend on the order, so two runs would
# differ in the last digits. Sums of whole numbers do not: `kernels/gpu/scatter.cu` expresses every term in one small
# unit as a 64-bit integer, so a run can be repeated bit for bit on the GPU too. On the CPU the library adds in a
# fixed order.
#
# ## When is it worth it?
# A launch costs the CPU some ten millionths of a second, however small the arrays. A GPU does some 10¹³ operations
# per second if the arrays are large. A step takes the longer of the two times. The figure below is **computed from
# these two round numbers, not measured**. How many launches a layer costs can be counted: `tests/fakecupy.py` is a
# stricter paper device than ours, on which the whole library runs. We go forward and backward through one layer, then
# through two: the difference is what a layer costs. The library has *fused* many of its ops for the GPU
# (`kernels/gpu/*.cu`): several ops in one launch, written in the GPU's own language. `use_kernels(False)` switches
# that off.
# %%
LAUNCH, RATE = 10e-6, 1e13                       # seconds per launch; operations per second
COUNT = """
import fakecupy
fakecupy.install()                               # from here on `import cupy` gives the paper device
import numpy as np
from tinyalbert import AlbertConfig, AlbertModel, backward, use_kernels
for fused in (False, True):
    for layers in (1, 2):
        model = AlbertModel(AlbertConfig.preset("tiny", num_hidden_layers=layers)).to("gpu")
        fakecupy.reset_counts()
        with use_kernels(fused):
            out = model(fakecupy.cupy.asarray(np.ones((2, 8), np.int64))).last_hidden_state
            backward(out, out.data)
        print(fakecupy.counts["launch"])
"""
done = subprocess.run([sys.executable, "-c", COUNT], cwd=HERE.parent / "tests", capture_output=True, text=True, check=True,
                      env={**os.environ, "PYTHONPATH": str(HERE.parent)})
plain_1, plain_2, fused_1, fused_2 = map(int, done.stdout.split())
PLAIN, FUSED = plain_2 - plain_1, fused_2 - fused_1
print(f"   launches per layer: {PLAIN} with one launch per op, {FUSED} with fused ops")
assert FUSED < PLAIN


# %% [markdown]
# From the two counts to seconds:
# %%
@exercise(trials=[(1000, 1e12), (1000, 1e9), (10, 1e8)])
def step_seconds(launches, operations):
    """Seconds of a step on a GPU: 10 µs per launch, 10¹³ operations per second, both at the same time."""
    ...


def operations(H, L=12, tokens=32 * 128):
    """Forward and backward of L layers of width H.

    Each weight of a layer meets each token in three products (lesson 04: y, gx and gw), with one multiplication and one addition each.
    """
    model = AlbertModel(AlbertConfig(hidden_size=H, num_attention_heads=max(1, H // 64), intermediate_size=4 * H), seed=None)
    layer = sum(q.data.size for n, q in model.named_parameters() if "albert_layers" in n)
    return 6 * layer * L * tokens


# %%
widths = np.array([64, 128, 256, 512, 768, 1024, 2048])
work = np.array([operations(int(H)) for H in widths])
plain = [1e3 * step_seconds(12 * PLAIN, w) for w in work]
fused = [1e3 * step_seconds(12 * FUSED, w) for w in work]
turn = widths[np.argmax(work / RATE > 12 * PLAIN * LAUNCH)]
plt = pyplot()
fig, ax = plt.subplots()
ax.loglog(widths, plain, "o-", color="0.0")
ax.loglog(widths, fused, "s--", color="0.55")
ax.text(widths[0], plain[0] * 1.25, "one launch per op", fontsize=8)
ax.text(widths[0], fused[0] * 1.12, "fused ops", fontsize=8, color="0.3")
ax.set(xlabel="hidden size H (12 layers, 32 x 128 tokens)", ylabel="computed time of a step, ms", xticks=widths, xticklabels=widths,
       title=f"An estimate: up to H = {widths[np.argmax(widths == turn) - 1]} launches set the pace of a GPU, from H = {turn} on arithmetic does")
ax.minorticks_off()
figure(fig, "launches_or_arithmetic")

# %% [markdown]
# Below the bend, a wider model costs nothing extra, and only fewer launches help.
#
# ## In the library
# %%
show(backend.xp_of)
show(backend.scatter_add)

# %% [markdown]
# **What to keep.** The arrays decide where to compute. Do not ask a GPU for numbers unless a person wants to read
# them, send a batch in one piece, and count launches. Next: 21, making NumPy fast.
# %%
finish()
