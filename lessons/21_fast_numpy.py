# %% [markdown]
# # 21 · Making NumPy fast
# **Needs** 06 (GELU), 09 (the layer), 13 (a training step) · **Builds** a GELU and a layer norm that stay in the
# cache, in pieces and with their gradients, and a 16-bit product · **Source** measured here · **Runs in** about 10 seconds
#
# The matrix products in a training step already run as fast as the machine allows: NumPy hands them to a *BLAS*, a
# library of such products tuned for the processor. Most of what can still be gained lies in the rest, the
# *elementwise* work: GELU, layer norm, softmax, dropout. Its arithmetic is cheap. The expensive part is moving
# numbers between memory and processor.
#
# All times below are measured on this machine, as the lesson runs. Run it twice: the times change, their order rarely
# does.
# %%
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _check import exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import (
    AlbertConfig,
    AlbertForPreTraining,
    Tensor,
    Trainer,
    backward,
    ops,
    products,
    use_kernels,
)
from tinyalbert.kernels.cpu import elementwise, norm
from tinyalbert.kernels.cpu.blocks import row_blocks
from tinyalbert.optim import AdamW
from tinyalbert.products import rates
from tinyalbert.tensor import KERNELS, OPS

NEEDS = ["06", "09", "13"]
TEACHES = ["use_kernels"]
rng = np.random.default_rng(21)
C, A = float(np.sqrt(2 / np.pi)), 0.044715        # Python floats, so that float32 stays float32


def seconds(function, rounds=5):
    """The median time of a call, after a first one that is not counted."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


# %% [markdown]
# ## Temporaries
# Here is GELU as lesson 06 wrote it. NumPy does not see the line as a whole: it computes each product or sum into a
# new array, uses that to compute another new array, and so on. Such an array, which nobody asked for, is a
# *temporary*.
# %%
def gelu_as_written(x):
    return 0.5 * x * (1 + np.tanh(C * (x + A * x * x * x)))


def peak_bytes(function, *arguments):
    """The most memory that was in use at any moment of the call."""
    tracemalloc.start()
    function(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


x = rng.standard_normal((2048, 1024)).astype(np.float32)
peak = predict("GELU of an array of 8 MiB, with a result of 8 MiB: how many MiB are in use at the peak, not counting the input?", guess=None)
peak.reveal(peak_bytes(gelu_as_written, x) / 2**20, "{:.0f}")


# %% [markdown]
# NumPy functions take `out=`, the array to put the result into. With two arrays that are used again and again, no
# others are allocated.
# %%
def gelu_into(x, y, u):
    """gelu(x) into y; u is scratch of the same shape."""
    np.multiply(x, x, out=u)
    u *= A * C
    u += C
    u *= x                                       # C (x + A x³)
    np.tanh(u, out=u)
    u += 1
    u *= 0.5
    np.multiply(x, u, out=y)


y, u = np.empty_like(x), np.empty_like(x)
print(f"   with out=: {peak_bytes(gelu_into, x, y, u) / 2**20:.2f} MiB allocated during the call")
assert peak_bytes(gelu_into, x, y, u) < x.nbytes / 100
np.testing.assert_allclose(y, gelu_as_written(x), rtol=1e-5, atol=1e-6)


# %%
@exercise(trials=[(3, 1024 * 1024), (18, 2048 * 1024), (1, 256)])
def mebibytes_moved(passes, elements):
    """MiB moved by a chain that reads or writes a float32 array of `elements` numbers `passes` times."""
    ...


reads_and_writes = 2 + 2 + 2 + 3 + 2 + 2 + 2 + 3              # arrays read and written by the lines of gelu_into, in order
print(f"   gelu_into moves about {mebibytes_moved(reads_and_writes, x.size)} MiB; reading x and writing y once would be "
      f"{mebibytes_moved(2, x.size)} MiB")

# %% [markdown]
# ## Blocks
# A processor has a small, fast memory of its own, the *cache*. An array of 8 MiB does not fit into it, so each line
# of `gelu_into` fetches the whole array from main memory and sends it back. Cut the rows into blocks and run *all*
# lines on one block before moving to the next: after the first line, the block is in the cache.
# %%
@exercise(trials=[(10, 4), (8, 4), (3, 5), (1, 1)])
def blocks(rows, step):
    """[(first row, row after the last), ...]: blocks of `step` rows that cover all rows."""
    ...


def gelu_in_blocks(x, step):
    y, u = np.empty_like(x), np.empty_like(x[:step])
    for first, last in blocks(len(x), step):
        gelu_into(x[first:last], y[first:last], u[:last - first])
    return y


steps = [1, 4, 16, 64, 256, 1024, 2048]
fastest = predict("Blocks of 1, 4, 16, 64, 256, 1024 or 2048 (all) rows of 4 KiB: which is fastest?", guess=None)
by_step = [seconds(lambda step=step: gelu_in_blocks(x, step), rounds=15) for step in steps]
best = steps[int(np.argmin(by_step))]
fastest.reveal(best)
written, into = seconds(lambda: gelu_as_written(x), 15), seconds(lambda: gelu_into(x, y, u), 15)
print(f"   as written {written * 1e3:.1f} ms, with out= {into * 1e3:.1f} ms, in blocks of {best} rows {min(by_step) * 1e3:.1f} ms")
np.testing.assert_array_equal(gelu_in_blocks(x, 64), gelu_in_blocks(x, 2048))

plt = pyplot()
fig, ax = plt.subplots()
ax.semilogx(steps, np.array(by_step) * 1e3, "o-", color="0.0")
ax.axhline(written * 1e3, color="0.5", ls="--", lw=1)
ax.text(steps[-1], written * 1e3 * 1.03, "as written, with temporaries", color="0.4", fontsize=8, ha="right")
ax.set(xlabel="rows in a block (4 KiB each)", ylabel="time of one GELU, ms", xticks=steps, xticklabels=steps,
       ylim=(0, None), title=f"Here {best} rows in a block are best, {written / min(by_step):.1f} times as fast as GELU as written")
ax.minorticks_off()
figure(fig, "rows_in_a_block")

# %% [markdown]
# Small blocks lose time to the cost of each call from Python, large ones to main memory.
#
# ## Build it: the op with its gradient
# The backward pass needs the derivative at every x. Written with s = (1 + tanh u) / 2, it is s + x s', and everything
# in it is at hand during the forward pass, in the cache. So the forward pass stores one array, the *slope*, instead
# of two, x and tanh(u). The backward pass is then a single product.
# %%
@exercise(trials=[(np.array([0.0, 1.0, -2.0]),), (rng.standard_normal(50),)])
def gelu_slope(x):
    """The derivative of tanh-GELU."""
    ...


def gelu(x, step=64):
    """(y, vjp) as in ops.py, in blocks."""
    y, slope = np.empty_like(x), np.empty_like(x)
    for first, last in blocks(len(x), step):
        gelu_into(x[first:last], y[first:last], slope[first:last])     # slope as scratch: not yet needed
        slope[first:last] = gelu_slope(x[first:last])

    def vjp(g):
        return (g * slope,)
    return y, vjp


small = rng.standard_normal((300, 40))
mine, vjp = gelu(small)
with use_kernels(True):
    leaf = Tensor(small, requires_grad=True)
    library = ops.gelu(leaf)
    g = rng.standard_normal(small.shape)
    theirs = backward(library, g)[leaf]
same(mine, library.numpy(), "GELU in blocks")
same(vjp(g)[0], theirs, "its gradient")
with use_kernels(False):
    same(mine, ops.gelu(Tensor(small)).numpy(), "GELU with the kernels switched off")

# %% [markdown]
# `use_kernels(False)` switches to the plain definitions of `ops.py`, here for the lines under `with`. Both agree,
# which is the one condition for a kernel to be in the library. (You can also delete the folder `kernels/`.)
#
# ## A second one: layer norm
# Now the same for the layer norm of lesson 06, where a block has one more thing to do: the gradients of gain and
# shift are sums over *all* rows, so each block adds its part. No line allocates a temporary of the size of the input.
# What is kept for the backward pass is the normalised x and one number per row.
# %%
def layer_norm(x, gamma, beta, step=64, eps=1e-12):
    """(y, vjp) as in ops.py: x (R, H), gamma and beta (H,)."""
    y, xhat, rstd = np.empty_like(x), np.empty_like(x), np.empty((len(x), 1), x.dtype)
    for first, last in blocks(len(x), step):
        block, out = xhat[first:last], y[first:last]
        np.subtract(x[first:last], x[first:last].mean(axis=-1, keepdims=True), out=block)
        np.multiply(block, block, out=out)       # y as scratch: not yet needed
        rstd[first:last] = 1 / np.sqrt(out.mean(axis=-1, keepdims=True) + eps)
        block *= rstd[first:last]
        np.multiply(block, gamma, out=out)
        out += beta

    def vjp(g):
        gx, u = np.empty_like(g), np.empty_like(g[:step])
        ggamma, gbeta = np.zeros_like(gamma), np.zeros_like(beta)
        for first, last in blocks(len(g), step):
            block, normal, product = gx[first:last], xhat[first:last], u[:last - first]
            ggamma += np.multiply(g[first:last], normal, out=product).sum(axis=0)
            gbeta += g[first:last].sum(axis=0)
            np.multiply(g[first:last], gamma, out=block)
            along = np.multiply(block, normal, out=product).mean(axis=-1, keepdims=True)
            block -= block.mean(axis=-1, keepdims=True)
            block -= np.multiply(normal, along, out=product)
            block *= rstd[first:last]
        return gx, ggamma, gbeta
    return y, vjp


# %%
gamma, beta = rng.standard_normal(40), rng.standard_normal(40)
my_norm, norm_vjp = layer_norm(small, gamma, beta)
with use_kernels(True):
    leaves = [Tensor(a, requires_grad=True) for a in (small, gamma, beta)]
    library_norm = ops.layer_norm(*leaves)
    gradients = backward(library_norm, g)
same(my_norm, library_norm.numpy(), "layer norm in blocks")
for what, a, leaf in zip(("x", "gain", "shift"), norm_vjp(g), leaves):
    same(a, gradients[leaf], f"its gradient of {what}")


def there_and_back(norm):
    return norm(x, np.ones(1024, np.float32), np.zeros(1024, np.float32))[1](x)


there_and_back_peak = predict("Layer norm and its gradient, with an input of 8 MiB: how many MiB at the peak, plain (ops.py) and in blocks?", guess=None)
plain_bytes, block_bytes = (peak_bytes(there_and_back, norm) for norm in (ops.layer_norm.raw, layer_norm))
there_and_back_peak.reveal((plain_bytes / 2**20, block_bytes / 2**20), "{0[0]:.0f} and {0[1]:.0f}")
assert block_bytes < plain_bytes
plain_time, block_time = (seconds(lambda norm=norm: there_and_back(norm)) for norm in (ops.layer_norm.raw, layer_norm))
print(f"   plain {plain_time * 1e3:.1f} ms, in blocks {block_time * 1e3:.1f} ms")

# %% [markdown]
# ## Break it
# Working in place is dangerous. Suppose that GELU overwrites its input to save one more array, and only then computes
# the slope.
# %%
overwritten = small.copy()
gelu_into(overwritten, overwritten, np.empty_like(small))
wrong = g * gelu_slope(overwritten)
print(f"   the slope from what GELU left behind: off by up to {np.abs(wrong - theirs).max():.2f}")
assert np.abs(wrong - theirs).max() > 0.05

# %% [markdown]
# Nothing crashes; the loss even falls for a while. Only a gradient check (lesson 04) notices. Every kernel of the
# library passes the same check as its plain op.
#
# ## Threads
# Python runs one line at a time, but NumPy lets other threads run while it is inside a large call. Here are two
# threads, each with half of the rows:
# %%
halves = [x[:1024], x[1024:]]
for step in (16, 256):
    def work(half, step=step):
        return gelu_in_blocks(half, step)

    with ThreadPoolExecutor(2) as pool:
        two = seconds(lambda: list(pool.map(work, halves)), 15)
    one = seconds(lambda: [work(half) for half in halves], 15)
    print(f"   blocks of {step} rows: one thread {one * 1e3:.1f} ms, two threads {two * 1e3:.1f} ms: {one / two:.2f} times as fast")

# %% [markdown]
# Between two NumPy calls a thread needs Python's lock, and there is only one. Short calls queue for it; long ones
# overlap. (If other programs keep the machine busy, the second thread may gain nothing at all.)


# %%
@exercise(trials=[(0.9, 2), (0.5, 8), (1.0, 4), (0.0, 16)])
def speed_up(share, threads):
    """How many times as fast a program becomes if this share of its time is split among threads (Amdahl's law)."""
    ...


print(f"   if nine tenths of a step can be split up: {speed_up(0.9, 2):.2f} times as fast on 2 threads, {speed_up(0.9, 64):.1f} on 64")

# %% [markdown]
# So as much of the step as possible has to run inside the threads. The library gives each thread *whole sequences*:
# it runs forward, loss and backward, and only the sum of the gradients at the end is shared work (lesson 22 does the
# same with machines).

# %% [markdown]
# ## Half the bits
# A float32 is 32 *bits*, zeros and ones, or 4 *bytes* of eight bits each. A *bfloat16* is its upper half: the sign, all 8
# bits of the exponent, 7 bits of the fraction. It reaches as far as float32 (3e38) and tells apart two to three decimal
# digits. Rounding to it takes three operations on the bits. (Here the lower half is filled with zeros again, so that
# NumPy can go on computing.)
# %%
def to_bfloat16(numbers):
    """float32 rounded to the nearest bfloat16, and of two nearest to the one whose last bit is 0."""
    bits = numbers.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + (bits >> 16 & 1)
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


rounded_pi = predict("What is pi in bfloat16?", guess=None)
rounded_pi.reveal(float(to_bfloat16(np.array([np.pi], np.float32))[0]), "{:.6f}")
counted = predict("Start at 0 and add 1 a thousand times, rounding each sum to bfloat16. Where does it end?", guess=None)
total = np.zeros(1, np.float32)
for _ in range(1000):
    total = to_bfloat16(total + 1)
counted.reveal(float(total[0]), "{:.0f}")
assert total[0] == 256                           # 257 would need 8 bits of fraction

# %% [markdown]
# So sums must not have 16 bits. Factors may: a *16-bit product* reads two matrices of bfloat16 and adds up in float32.
# Rounding changes a factor by at most 1 part in 256, up as often as down, and in a long sum most of that cancels.
# %%
left, right = (rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
exact = left.astype(float) @ right
for what, product in {"float32": left @ right, "16-bit factors": to_bfloat16(left) @ to_bfloat16(right)}.items():
    error = np.abs(product - exact).max()
    print(f"   {what:15s} off by at most {error:.1e}; the results are around {exact.std():.0f}")
    assert error < 0.02 * exact.std()

# %% [markdown]
# What is gained? Half the bytes are moved, and some processors have units that multiply twice as many such pairs at
# once (AVX512-BF16), or sixteen times as many (AMX). NumPy does not use them. A library that `products/` finds does,
# and with it `--precision bf16` trains on the CPU. Weights, their gradients and the optimiser stay float32.
# %%
measured = rates.rates()
for (library, kind), speed in measured.items():
    print(f"   {library:8s} {kind:9s} {speed:5.0f} GFLOP/s on one thread")
try:
    gain = measured[products.sixteen_bits().name, "bfloat16"] / measured["numpy", "float32"]
    print(f"   a 16-bit product is {gain:.1f} times as fast here as NumPy's of float32")
except products.Unusable as reason:
    print(f"   no 16-bit product here: {reason}")

# %% [markdown]
# ## What each kernel earns
# One training step of a small ALBERT: with all kernels, with one of them missing, and with none.
# %%
config = AlbertConfig(vocab_size=2000, embedding_size=64, hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
                      intermediate_size=512, hidden_dropout_prob=0.1)
ids = rng.integers(5, 2000, (16, 64)).astype(np.int32)
batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids),
         "labels": np.where(rng.random(ids.shape) < 0.15, ids, -100).astype(np.int32),
         "sentence_order_label": rng.integers(0, 2, 16).astype(np.int32)}
network = AlbertForPreTraining(config)
trainer = Trainer(network, AdamW(list(network.named_parameters()), 1e-4), total_steps=10_000, threads=1)
every = dict(KERNELS)
names_here = [name for name, module in every if module == "numpy" and name in OPS]


def step_without(names):
    """Seconds of one training step without these kernels."""
    for name in names:
        KERNELS.pop((name, "numpy"))
    start = time.perf_counter()
    trainer.step(batch)
    KERNELS.update(every)
    return time.perf_counter() - start


sides = {"nothing": [], **{name: [name] for name in names_here}, "all of them": names_here}
rounds = [[step_without(names) for names in sides.values()] for _ in range(10)]     # interleaved, because a machine's speed drifts
times = dict(zip(sides, np.median(rounds[1:], axis=0)))
slower = {name: seconds / times["nothing"] for name, seconds in times.items()}
for name, factor in slower.items():
    print(f"   without {name:18s}{factor:5.2f} times the time")
assert KERNELS == every

# %%
fig, ax = plt.subplots()
order = sorted(slower, key=slower.get)
ax.barh(order, [slower[name] for name in order], color=["0.2" if name == "all of them" else "0.6" for name in order])
ax.axvline(1, color="0.0", lw=0.8)
ax.set(xlabel="time of a step (1 = with all kernels)", ylabel="missing",
       title=f"Without its kernels a step takes {slower['all of them']:.1f} times as long here")
figure(fig, "what_kernels_earn")

# %% [markdown]
# ## In the library
# %%
show(row_blocks)
show(elementwise.gelu)
show(norm.layer_norm)
show(norm.add_layer_norm)

# %% [markdown]
# **What to keep.** Count passes over memory, not operations. Use `out=` instead of temporaries, blocks instead of
# whole arrays, one array kept for the gradient instead of two, 16 bits for factors but not for sums, and threads around
# all of it. Then measure whether the gain was worth the extra lines. Next: 22, many machines.
# %%
finish()
