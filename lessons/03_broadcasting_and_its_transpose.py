# %% [markdown]
# # 03 · Broadcasting, and its transpose
# **Needs** 02 (Tensor, vjp) · **Builds** `unbroadcast` · **Paper** none; NumPy's broadcasting rules · **Runs in**
# a few seconds
#
# A *bias*, here 4 numbers, is added to each of 1,000 rows of 4. NumPy stretches the bias over the rows without being
# asked; that is *broadcasting*. On the way back, the array that was stretched must get *one* gradient for each of its
# own numbers. Forgetting this is the most common mistake in a hand-written backward pass.
# %%
import numpy as np
from _check import exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import ops, tensor
from tinyalbert.tensor import Tensor

NEEDS = ["02"]
TEACHES = ["tensor.unbroadcast", "ops.add", "ops.mul", "ops.sum", "ops.mean"]
rng = np.random.default_rng(3)

# %% [markdown]
# ## The rule
# Write both shapes one above the other, right-aligned. Two sizes fit if they are equal or one of them is 1; a size
# missing on the left counts as 1. A size of 1 is stretched.
#
#     rows  (1000, 4)         (2, 1, 5)
#     bias        (4)            (3, 1)
#     sum   (1000, 4)         (2, 3, 5)
# %%
print((np.zeros((1000, 4)) + np.zeros(4)).shape, (np.zeros((2, 1, 5)) + np.zeros((3, 1))).shape)
try:
    np.zeros((3, 4)) + np.zeros(3)
except ValueError as refusal:
    print("(3, 4) + (3,):", refusal)

# %%
of_the_bias = predict("A bias is added to 1,000 rows, and the loss is the sum of everything. What is the gradient of one number "
            "of the bias?", guess=None)

# %% [markdown]
# ## Build it: first with a loop
# Stretching is copying: the one bias number is used in 1,000 places. From lesson 01: a value used in several places
# gets the *sum* of the gradients.
# %%
def bias_gradient_loop(g):
    gradient = np.zeros(g.shape[1])
    for row in g:                                # every row used the same bias
        gradient += row
    return gradient


g = rng.standard_normal((1000, 4))
bias = Tensor(rng.standard_normal(4), requires_grad=True)
library = tensor.backward(Tensor(rng.standard_normal((1000, 4))) + bias, g)[bias]
same(bias_gradient_loop(g), library, "gradient of a bias, by a loop")
of_the_bias.reveal(bias_gradient_loop(np.ones((1000, 4)))[0])

# %% [markdown]
# ## Then for any shapes
# Undoing a stretch is a sum over the axes that were stretched: those that were missing on the left, and those that
# had size 1. In the language of matrices, copying multiplies by a matrix of ones and zeros, and the way back
# multiplies by its transpose (rows and columns exchanged), which sums. Hence the title.
# %%
def unbroadcast(g, shape):
    """Sum g down to `shape`."""
    missing = g.ndim - len(shape)
    g = g.sum(axis=tuple(range(missing)))                                    # axes that were missing
    ones = tuple(i for i, n in enumerate(shape) if n == 1)
    return g.sum(axis=ones, keepdims=True)                                   # axes of size 1


for shape, full in (((4,), (1000, 4)), ((3, 1), (2, 3, 5)), ((2, 1, 5), (2, 3, 5)), ((), (6, 2)), ((1, 1), (4, 7))):
    gradient = rng.standard_normal(full)
    same(unbroadcast(gradient, shape), tensor.unbroadcast(gradient, shape), f"{full} summed back to {shape}")

# %%
copy = np.zeros((6, 2))                          # (a, b) -> a b a b a b, as a matrix
copy[np.arange(6), np.arange(6) % 2] = 1
v = rng.standard_normal(6)
same(copy.T @ v, unbroadcast(v.reshape(3, 2), (2,)), "the transpose of copying is summing")

# %%
plt = pyplot()
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.5))
grid = np.arange(12).reshape(3, 4) % 5
shapes = {"x was (3, 4): no sum": (3, 4), "x was (4,): sum axis 0": (4,), "x was (3, 1): sum axis 1": (3, 1)}
for ax, (title, shape) in zip(axes, shapes.items()):
    summed = tensor.unbroadcast(grid, shape)
    for (row, column), number in np.ndenumerate(grid):
        ax.text(column, row, number, ha="center", va="center", bbox={"boxstyle": "square,pad=0.5", "fc": "0.93", "ec": "none"})
    down, across = {(3, 4): (0, 0), (4,): (3.4, 0), (3, 1): (0, 4.4)}[shape]
    for i, number in enumerate(summed.ravel() if down or across else ()):
        place = (i, down) if down else (across, i)
        start = (i, 2.45) if down else (3.45, i)
        ax.text(*place, number, ha="center", va="center", color="white", bbox={"boxstyle": "square,pad=0.5", "fc": "0.2", "ec": "none"})
        ax.annotate("", place, start, arrowprops={"arrowstyle": "->", "shrinkB": 9, "shrinkA": 0})
    ax.set(title=title, xticks=[], yticks=[], xlim=(-0.6, 5), ylim=(4, -0.6))
    ax.spines[:].set_visible(False)
    ax.title.set_fontsize(9)
axes[1].set_xlabel("light: the gradient of the result, (3, 4); dark: the gradient of x")
fig.suptitle("What was stretched on the way forward is summed on the way back", fontsize=11, y=1.08)
figure(fig, "which_axes_are_summed")

# %% [markdown]
# ## Break it
# A program that forgets the sum often still runs. Here the gradient of a *gain*, a (1, 4) array that multiplies rows of
# 4, comes back as (3, 4). An update written `gain = gain - step * gradient` does not complain: it broadcasts, and the
# gain has quietly become a (3, 4) array.
# %%
row_gain, rows = rng.standard_normal((1, 4)), rng.standard_normal((3, 4))
forgotten = np.ones((3, 4)) * rows                  # d(row_gain * rows)/d row_gain, without the sum
print("gain", row_gain.shape, "becomes", (row_gain - 0.1 * forgotten).shape, "after one careless update")
assert (row_gain - 0.1 * forgotten).shape != row_gain.shape


# %% [markdown]
# ## One place for all operations
# Should `add`, `mul`, `where` and all others each repair their gradients? Here an operation returns gradients in
# whatever shape they come, and the sweep sums them down, in one place. That is why `add` is a single line:
# %%
show(ops.add)

# %% [markdown]
# Sums and means are the other side of the same coin: a sum's way back is a stretch.
# %%
@exercise(trials=[(rng.standard_normal((3, 5)), rng.standard_normal(3)),
                  (rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 3)))])
def mean_backward(x, g):
    """Gradient of x.mean(axis=1), in the shape of x."""
    ...


@exercise(trials=[(rng.standard_normal(4), rng.standard_normal((3, 4)), rng.standard_normal((3, 4))),
                  (rng.standard_normal((3, 1)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4))),
                  (rng.standard_normal((2, 1, 5)), rng.standard_normal((3, 1)), rng.standard_normal((2, 3, 5)))])
def gain_backward(gain, x, g):
    """Gradient of gain in gain * x, whatever their shapes."""
    ...


@exercise(trials=[((4,), (1000, 4)), ((3, 1), (2, 3, 5)), ((2, 1, 5), (2, 3, 5)), ((3, 4), (3, 4))])
def summed_axes(shape, full):
    """Which axes of `full` are summed on the way back to `shape`, as a tuple of axis numbers of `full`."""
    ...


# %%
x, gain = rng.standard_normal((3, 4)), rng.standard_normal((3, 1))
g_product = rng.standard_normal((3, 4))
lx, lgain = Tensor(x, requires_grad=True), Tensor(gain, requires_grad=True)
result = lx * lgain
same(x * gain, result.data, "a stretched product")
same(gain_backward(gain, x, g_product), tensor.backward(result, g_product)[lgain], "and the gradient of its gain")

# %% [markdown]
# ## In the library
# %%
show(tensor.unbroadcast)

# %% [markdown]
# **What to keep.** Copying forward is summing backward, and summing forward is copying backward. The sweep does this
# in one place for all operations. Next: 04, how to know that a way back is right.
# %%
finish()
