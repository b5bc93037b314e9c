# %% [markdown]
# # 02 · Tensors: recording, and the reverse sweep
# **Needs** 01 (order, sweep) · **Builds** `Tensor`, `@op`, `backward`, `no_grad` · **Paper** Griewank & Walther
# 2008, ch. 3 · **Runs in** a few seconds
#
# One Python object per number is far too slow: a single step of even a small ALBERT computes many millions of
# numbers. So the object that remembers holds a whole *array*, a box of numbers with a shape, and one entry in the
# record covers all of them. We call it a *Tensor*.
# %%
import contextlib
import tracemalloc
import weakref

import numpy as np
from _check import exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import backend, ops, tensor

NEEDS = ["01"]
TEACHES = ["Tensor", "backward", "no_grad", "tensor.op", "UserError"]
rng = np.random.default_rng(2)

# %% [markdown]
# ## An operation is a function with two results
# Here is the one idea of this library. An operation takes arrays and returns two things: its result, and a function
# for the way back, the vjp of lesson 01. (For a whole model, the way forward is the *forward pass* and the way back
# the *backward pass*.) The way back is written directly below the way forward, and it remembers exactly what it
# mentions, nothing else.
# %%
def multiply(a, b):
    def vjp(g):                                  # g: gradient with respect to the result
        return g * b, g * a                      # with respect to a and to b
    return a * b, vjp


a, b = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
y, vjp = multiply(a, b)
print("result", y.shape, "gradients", [d.shape for d in vjp(np.ones_like(y))])

# %% [markdown]
# Every gradient has the shape of the thing it belongs to: one derivative for each number.
#
# ## Build it: the Tensor and its record
# A Tensor holds the array and a record of how it was computed: its inputs and the vjp. `op` turns a function of
# arrays into a function of Tensors by keeping that record. Nine lines:
# %%
class Tensor:
    def __init__(self, data, requires_grad=False, node=None):
        self.data, self.requires_grad, self.node = data, requires_grad, node


def op(raw):
    def lifted(*args):
        out, vjp = raw(*(t.data for t in args))
        tracked = any(t.requires_grad for t in args)
        return Tensor(out, tracked, (args, vjp) if tracked else None)
    return lifted


@op
def mul(a, b):
    return a * b, lambda g: (g * b, g * a)


@op
def add(a, b):
    return a + b, lambda g: (g, g)


@op
def total(x):
    return x.sum(), lambda g: (np.broadcast_to(g, x.shape),)


# %% [markdown]
# ## The sweep
# As in lesson 01, the order is one in which each gradient is complete before it is passed on. Two things are new. The
# order is found with a list of our own instead of recursion. And the gradients of *intermediate* results live in a
# dictionary, `pending`, that belongs to the sweep, and are dropped once used; only the *leaves*, the Tensors that
# nothing computed, get a result. `requires_grad` marks the leaves whose gradients we ask for; where none is asked
# for, nothing is recorded.
# %%
def order_of(root):
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        t, inputs_done = stack.pop()
        if inputs_done:
            order.append(t)
        elif id(t) not in seen:
            seen.add(id(t))
            stack.append((t, True))
            stack += [(i, False) for i in (t.node[0] if t.node else ()) if i.requires_grad]
    return order


def backward(loss):
    pending, leaves = {id(loss): np.ones_like(loss.data)}, {}
    for t in reversed(order_of(loss)):
        g = pending.pop(id(t))
        if t.node is None:
            leaves[t] = g
            continue
        inputs, vjp = t.node
        for i, gi in zip(inputs, vjp(g)):
            if i.requires_grad:
                pending[id(i)] = pending[id(i)] + gi if id(i) in pending else gi
    return leaves


w, x = Tensor(rng.standard_normal((4, 3)), requires_grad=True), Tensor(rng.standard_normal((4, 3)))
loss = total(mul(mul(w, x), w))                  # sum of w² x
mine = backward(loss)[w]

lw = tensor.Tensor(w.data, requires_grad=True)
library = tensor.backward((lw * x.data * lw).sum())
same(loss.data, (lw * x.data * lw).sum().data, "the loss")
same(mine, library[lw], "the gradient of a Tensor that is used twice")
same(mine, 2 * w.data * x.data, "and on paper: 2 w x")

# %% [markdown]
# ## Break it: keep the gradients
# What if every Tensor kept its gradient in `.grad`, and a second sweep simply added to it?
# %%
doubled = predict("Sweep the same loss twice, adding into .grad everywhere. Is the leaf's .grad doubled?", guess=None)


def backward_keeping(loss, grads):
    grads[loss] = grads.get(loss, 0) + np.ones_like(loss.data)
    for t in reversed(order_of(loss)):
        if t.node is not None:
            inputs, vjp = t.node
            for i, gi in zip(inputs, vjp(grads[t])):
                if i.requires_grad:
                    grads[i] = grads.get(i, 0) + gi


grads = {}
for _ in range(2):
    backward_keeping(loss, grads)
doubled.reveal(float((grads[w] / mine).flat[0]), "no: it is {:.1f} times that of one sweep, because leftover intermediate gradients are passed on again")
assert not np.allclose(grads[w], 2 * mine)

lw.grad = None
for _ in range(2):
    (lw * x.data * lw).sum().backward()
same(lw.grad, 2 * mine, "two sweeps of the library: exactly twice")


# %% [markdown]
# ## Break it: change a Tensor in place
# The vjp of `mul` remembers its inputs. If someone overwrites one afterwards, the way back silently uses the wrong
# numbers. So the library forbids it.
# %%
trap = Tensor(np.array([1.0, 2.0]), requires_grad=True)
trapped = total(mul(trap, trap))
trap.data[:] = 0.0
print("gradient after the overwrite:", backward(trapped)[trap], " right: [2. 4.]")
try:
    lw[0] = 1.0
except TypeError as refusal:
    print("the library says:", refusal)

# %% [markdown]
# ## Measure: memory falls during the sweep
# The record keeps every array that some vjp mentions. A sweep that drops each entry as soon as it is used frees
# memory as it goes: its own gradients take the space that the record has just given up.
# %%
def memory_during(keep_graph, layers=40, size=60_000):
    """Memory in MB, seen from inside each vjp of a chain of products."""
    seen = []

    @tensor.op
    def watch(x):
        def vjp(g):
            seen.append(tracemalloc.get_traced_memory()[0] / 1e6)
            return (g,)
        return x, vjp
    tracemalloc.start()
    h = tensor.Tensor(np.ones(size), requires_grad=True)
    for _ in range(layers):
        h = ops.exp(watch(h) * -1.0)             # each exp keeps its own result
    tensor.backward(h.sum(), keep_graph=keep_graph)
    tracemalloc.stop()
    del tensor.OPS["watch"]
    return seen


kept, freed = memory_during(True), memory_during(False)
plt = pyplot()
fig, ax = plt.subplots()
ax.plot(kept, color="0.6")
ax.plot(freed, color="0.0")
ax.text(len(kept) - 1, kept[-1] * 1.02, "record kept", ha="right", va="bottom", color="0.4")
ax.text(len(freed) / 2, freed[len(freed) // 2] + 0.02 * max(kept), "record dropped", va="bottom")
ax.set(xlabel="steps of the reverse sweep", ylabel="memory in use (MB)", ylim=(0, max(kept) * 1.15),
       title="A sweep that drops what it has used needs less and less memory")
figure(fig, "memory_over_the_sweep")
assert freed[-1] < 0.5 * freed[0]

# %% [markdown]
# ## Not recording
# When a model only answers, nobody will ask for gradients. Inside `no_grad` nothing is kept, and each intermediate
# array disappears as soon as the next one has been computed.
# %%
def survives(record):
    with contextlib.nullcontext() if record else tensor.no_grad():
        middle = lw * 2.0
        alive = weakref.ref(middle)
        end = middle * 3.0
        del middle
    return alive() is not None and end is not None


print("kept while recording:", survives(True), "  kept inside no_grad:", survives(False))
assert survives(True) and not survives(False)
try:
    with tensor.no_grad():
        forgotten = (lw * 2.0).sum()
    tensor.backward(forgotten)
except backend.UserError as refusal:
    print("the library says:", refusal)


# %% [markdown]
# ## Exercises
# Write the way back of three operations: from the inputs and the gradient g of the result to the gradients of the
# inputs.
# %%
@exercise(trials=[tuple(rng.uniform(1, 2, (3, 2)) for _ in range(3)) for _ in range(3)])
def divide_backward(a, b, g):
    """Gradients of a / b: stack that of a above that of b."""
    ...


@exercise(trials=[(rng.standard_normal((2, 5)), rng.standard_normal((5, 2))),
                  (rng.standard_normal((3, 3)), rng.standard_normal((3, 3)))])
def transpose_backward(x, g):
    """Gradient of x.T, the transpose (rows become columns): every number moves, so every gradient moves back."""
    ...


@exercise(trials=[(rng.standard_normal(6), (1, 4), rng.standard_normal(3)),
                  (rng.standard_normal((4, 2)), (0, 2), rng.standard_normal((2, 2)))])
def slice_backward(x, key, g):
    """Gradient of x[key[0]:key[1]], in the shape of x."""
    ...


# %% [markdown]
# ## In the library
# The same sweep, with three additions: each gradient is summed back to the shape of what it belongs to (lesson 03), a
# sum that nothing else refers to is updated in place, and several threads may sweep at once, since the gradients are
# returned rather than stored.
# %%
show(tensor.op)
show(tensor.backward)

# %% [markdown]
# **What to keep.** An operation returns its result and its way back. A Tensor remembers both. The sweep keeps
# gradients in a dictionary of its own and returns results only for leaves. Next: 03, shapes that stretch.
# %%
finish()
