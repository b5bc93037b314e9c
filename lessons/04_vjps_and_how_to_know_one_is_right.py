# %% [markdown]
# # 04 · Vjps, and how to know that one is right
# **Needs** 02 (vjp), 03 (unbroadcast) · **Builds** `gradcheck`, `ops.matmul`, `ops.linear` · **Paper** Griewank &
# Walther 2008, ch. 3.2 · **Runs in** a few seconds
#
# A wrong backward pass rarely crashes. The loss still falls, only more slowly, and nobody notices. This lesson builds
# a check that finds such faults, and shows why the check that most people write does not.
# %%
import numpy as np
from _check import exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import gradcheck as library
from tinyalbert import ops, tensor

NEEDS = ["02", "03"]
TEACHES = ["gradcheck.gradcheck", "ops.matmul", "ops.linear"]
rng = np.random.default_rng(4)

# %% [markdown]
# ## What the three letters mean
# A function of n numbers with m results has n·m derivatives, dy_i/dx_j: the *Jacobian*, a table J with m rows and n
# columns. A matrix product can have a million inputs and a million results, so its table has a million times a
# million entries. Nobody needs that table. The sweep needs only *vector times Jacobian*, gᵀJ, which turns the
# gradient with respect to the results into the gradient with respect to the inputs. That is the
# **v**ector-**J**acobian **p**roduct, or vjp.
#
# Take y = a b for two matrices of 2 × 2, entry by entry, and ask where a's first number, a₁₁, turns up:
#
#     y₁₁ = a₁₁ b₁₁ + a₁₂ b₂₁        y₁₂ = a₁₁ b₁₂ + a₁₂ b₂₂
#     y₂₁ = a₂₁ b₁₁ + a₂₂ b₂₁        y₂₂ = a₂₁ b₁₂ + a₂₂ b₂₂
#
# In the first row only: a nudge of a₁₁ moves y₁₁ by b₁₁ and y₁₂ by b₁₂. With g the gradient of y, the gradient of a₁₁ is
# g₁₁ b₁₁ + g₁₂ b₁₂: row 1 of g times row 1 of b. In the same way the gradient of a_ij is row i of g times row j of b, and
# all of them together are one product, g bᵀ. For b, go down columns in place of rows: b₁₁ turns up in y₁₁, times a₁₁, and in
# y₂₁, times a₂₁. So its gradient is a₁₁ g₁₁ + a₂₁ g₂₁, column 1 of a times column 1 of g, and together aᵀ g.
# %%
def matmul(a, b):                                # (..., n, k) @ (..., k, m) -> (..., n, m)
    def vjp(g):
        return g @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ g
    return a @ b, vjp


# %% [markdown]
# How to remember this: the gradient of a has the shape of a, (n, k). Only one product of g, (n, m), and b, (k, m),
# has that shape: g times b transposed. The shapes almost dictate the formula; a check must do the rest.
#
# ## The check that everyone writes, and what it cannot see
# Nudge an input, see how the sum of all results moves, and compare with a backward pass that starts from ones:
# %%
def check_by_sum(f, x, h=1e-5):
    y, vjp = f(x)
    analytic = vjp(np.ones_like(y))[0]           # the gradient of y.sum()
    numeric = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        e = np.zeros_like(x)
        e[i] = h
        numeric[i] = (f(x + e)[0].sum() - f(x - e)[0].sum()) / (2 * h)
    return np.allclose(analytic, numeric, atol=1e-6)


def softmax_with_wrong_vjp(x):
    return ops.softmax.raw(x)[0], lambda g: (np.zeros_like(x),)


zeros_pass = predict("Softmax (lesson 05) makes positive numbers that sum to 1. Give it a backward pass that always returns "
            "zeros. Does the check above pass it?", guess=None)
two_rows = rng.standard_normal((2, 5))
zeros_pass.reveal(check_by_sum(softmax_with_wrong_vjp, two_rows))
assert check_by_sum(softmax_with_wrong_vjp, two_rows)

# %% [markdown]
# It does: the results sum to 1 whatever the input. So the derivative of the *sum* is 0, and zeros are right; a
# gradient seven times too large would pass as well. Starting the sweep from ones asks only one question, and softmax
# always gives the same answer.
#
# ## Build it: two random directions, one number
# Draw a random g, as if it came from some loss, and a random direction v in which all inputs move at once. Then the
# same derivative can be computed in two ways:
#
#     backward:  <vjp(g), v>                          the gradient, along v
#     forward:   <g, (f(x + h v) - f(x - h v)) / 2h>  how the result moves, along g
#
# <a, b> is the *inner product*: multiply number by number and add everything up; in code, (a * b).sum(). The two must
# agree. There is no loop over the inputs, and a random g hides nothing.
#
# Why they agree: both differentiate the same single number, s(t) = <g, f(x + t v)>, at t = 0. A nudge along v moves y by
# J v, so s moves by gᵀ (J v): the forward line. And gᵀ (J v) = (gᵀ J) v, where gᵀ J is what the vjp returns: the backward
# line. A wrong vjp is one that differs from gᵀ J, and a random v sees the difference.
# %%
def gradcheck(f, *arrays, rng, h=1e-5, rtol=1e-7):
    y, vjp = f(*arrays)
    g = rng.standard_normal(y.shape)
    for i, (a, gradient) in enumerate(zip(arrays, vjp(g))):
        if a.dtype.kind != "f":                  # labels, ids, masks: whole numbers can't be nudged
            continue
        gradient = tensor.unbroadcast(gradient, a.shape)
        v = rng.standard_normal(a.shape)
        plus, minus = ([*arrays[:i], a + s * h * v, *arrays[i + 1:]] for s in (1, -1))
        terms = g * (f(*plus)[0] - f(*minus)[0]) / (2 * h)
        backward, forward = (gradient * v).sum(), terms.sum()
        scale = abs(terms).sum() + abs(gradient * v).sum() + 1e-3
        assert abs(backward - forward) <= rtol * scale, f"argument {i}: ratio {backward / forward:.6g}"


# %% [markdown]
# Line by line: the loop takes one input after the other. `v` is the direction for it, `plus` and `minus` are all inputs with
# this one nudged by h along v, to either side. `terms` is the forward line before it is summed, so that `scale` can say how
# large the terms were: what agrees to 7 digits of *that* agrees.
# %%
gradcheck(matmul, rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), rng=rng)
gradcheck(matmul, rng.standard_normal((5, 3, 4)), rng.standard_normal((4, 2)), rng=rng)        # b is stretched over 5
library.gradcheck(ops.matmul, rng.standard_normal((5, 3, 4)), rng.standard_normal((4, 2)), rng=rng)
print("matmul passes both checks, with stretched axes too")


def caught(f, *arrays):
    try:
        gradcheck(f, *arrays, rng=rng)
        return "passes"
    except AssertionError as error:
        return f"caught ({error})"


print("softmax with zeros:", caught(softmax_with_wrong_vjp, two_rows))

# %%
a, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))
g_product = rng.standard_normal((3, 2))
mine, theirs = matmul(a, b), ops.matmul.raw(a, b)
same(mine[0], theirs[0], "matmul forward")
for i in range(2):
    same(mine[1](g_product)[i], theirs[1](g_product)[i], f"matmul gradient of argument {i}")

# %% [markdown]
# ## Break it, on purpose, in many ways
# A test that has never failed proves little. So we feed it wrong backward passes and expect it to catch every one.
# %%
def spoiled(f, change):
    def wrong(*arrays):
        y, vjp = f(*arrays)
        return y, lambda g: change(vjp(g))
    return wrong


square = (rng.standard_normal((4, 4)), rng.standard_normal((4, 4)))
for what, change in {"0.1 % too small": lambda d: [0.999 * e for e in d], "7 times too large": lambda d: [7 * e for e in d],
                     "sign flipped": lambda d: [-e for e in d], "second argument forgotten": lambda d: [d[0], 0 * d[1]],
                     "transposed": lambda d: [d[0].T, d[1].T], "right": lambda d: d}.items():
    print(f"{what:28s}{caught(spoiled(matmul, change), *square)}")

# %% [markdown]
# What the check is not fed, it can't catch. Feed it every *option* of an operation (each axis; dropout, lesson 08, with its mask held
# fixed), integers that stay as they are, a single row (a mean over rows is hidden where there is one), and no ties: where
# two values are equal, as in max(x, x), the slope jumps, and a nudge sees both sides of the jump.
# %%
def sum_of_rows(x, axis):
    def vjp(g):
        return (np.broadcast_to(np.expand_dims(g, 0), x.shape),)     # planted: right for axis=0 only
    return x.sum(axis=axis), vjp


three_rows = rng.standard_normal((3, 3))
for axis in (0, 1):
    print(f"sum along axis {axis}: {caught(lambda a, axis=axis: sum_of_rows(a, axis), three_rows)}")
assert caught(lambda a: sum_of_rows(a, 0), three_rows) == "passes" != caught(lambda a: sum_of_rows(a, 1), three_rows)
logits, labels = rng.standard_normal((4, 5)), np.array([2, 0, 4, 4])
print("cross-entropy (lesson 05), its labels held fixed:", caught(ops.cross_entropy.raw, logits, labels))


def mean_without_its_share(x):
    return x.mean(axis=0), lambda g: (np.broadcast_to(g, x.shape),)  # planted: not divided by the number of rows


one, four = rng.standard_normal((1, 3)), rng.standard_normal((4, 3))
print(f"a mean whose gradient is not divided: one row {caught(mean_without_its_share, one)}; "
      f"four rows {caught(mean_without_its_share, four)}")
tie = np.zeros((1, 3))
print("relu where all is 0, at its corner:", caught(ops.relu.raw, tie))
assert caught(mean_without_its_share, one) == "passes" != caught(mean_without_its_share, four)
assert caught(ops.cross_entropy.raw, logits, labels) == "passes" != caught(ops.relu.raw, tie)

# %% [markdown]
# relu, which is max(x, 0) (lesson 06), is right, and fails at its corner; the planted faults are wrong, and pass where the question is too easy. So the
# library's tests draw shapes and options at random, and keep away from corners.
#
# The ratio is a diagnosis: 0.999 points to a constant with a digit missing, -1 to a sign, 2 to a use counted twice.
#
# ## How small a nudge?
# A large h does not give a derivative yet; with a tiny h the two values differ only in their last digits, and those
# are rounding error. Between the two lies a valley. (A number has about 16 digits in NumPy's float64 and 7 in
# float32. The function in this cell, gelu, comes from lesson 06.)
# %%
hs = 10.0 ** -np.arange(0.5, 12.5, 0.5)
errors = {"float64": [], "float32": []}
x, g, v = (rng.standard_normal((4, 6)) for _ in range(3))
for name, dtype in (("float64", np.float64), ("float32", np.float32)):
    gradient = ops.gelu.raw(x)[1](g)[0]
    for h in hs:
        plus, minus = ((x + s * h * v).astype(dtype) for s in (1, -1))
        terms = g * (ops.gelu.raw(plus)[0] - ops.gelu.raw(minus)[0]) / (2 * h)
        errors[name].append(abs(terms.sum() - (gradient * v).sum()) / abs(gradient * v).sum())
plt = pyplot()
fig, ax = plt.subplots()
for (name, e), color, place, lift in zip(errors.items(), ("0.0", "0.5"), (14, 19), (0.05, 4)):
    ax.loglog(hs, e, color=color)
    ax.text(hs[place], e[place] * lift, name, color=color, ha="right")
ax.axhline(1e-7, color="0.3", lw=0.8, ls=":")
ax.text(0.5, 0.7e-7, "tolerance of\nthe library", va="top", ha="right")
best = hs[int(np.argmin(errors["float64"]))]
ax.set(xlabel="size of the nudge h", ylabel="relative error of the estimate",
       title=f"In float64 a nudge near {best:.0e} is right to many digits; float32 never gets there")
figure(fig, "how_small_a_nudge")
assert min(errors["float64"]) < 1e-9 < 1e-7 < min(errors["float32"])

# %% [markdown]
# Hence the library's rules: checks run in float64 with h = 1e-5, and the tolerance is one number, 1e-7, relative to
# the size of the terms. It has never been raised.
#
# ## The linear layer
# Most of ALBERT's arithmetic is this: y = x Wᵀ + b, with W stored as [out, in]. x has the shape (..., in): the axes
# before the last one only number the rows, and a single two-dimensional product handles all rows.
# %%
@exercise(trials=[tuple(rng.standard_normal(s) for s in t) for t in (((3, 4), (2, 4), (3, 2)), ((2, 3, 5), (5, 5), (2, 3, 5)))])
def linear_backward_x(x, w, g):
    """Gradient of x in y = x @ w.T + b, in the shape of x; g is the gradient of y."""
    ...


@exercise(trials=[tuple(rng.standard_normal(s) for s in t) for t in (((3, 4), (2, 4), (3, 2)), ((2, 3, 5), (5, 5), (2, 3, 5)))])
def linear_backward_w(x, w, g):
    """Gradient of w in y = x @ w.T + b, in the shape of w."""
    ...


@exercise(trials=[tuple(rng.standard_normal(s) for s in t) for t in (((3, 4), (2, 4), (3, 2)), ((2, 3, 5), (5, 5), (2, 3, 5)))])
def linear_backward_bias(x, w, g):
    """Gradient of b in y = x @ w.T + b: (out,)."""
    ...


def linear(x, weight, bias):
    def vjp(g):
        return linear_backward_x(x, weight, g), linear_backward_w(x, weight, g), linear_backward_bias(x, weight, g)
    return x @ weight.T + bias, vjp


arrays = tuple(rng.standard_normal(s) for s in ((2, 3, 4), (5, 4), (5,)))
gradcheck(linear, *arrays, rng=rng)
my_linear, library_linear = linear(*arrays), ops.linear.raw(*arrays)
g_linear = rng.standard_normal((2, 3, 5))
same(arrays[0] @ arrays[1].T + arrays[2], library_linear[0], "linear forward")
for i, name in enumerate(("x", "weight", "bias")):
    same(my_linear[1](g_linear)[i], library_linear[1](g_linear)[i], f"linear gradient of {name}")

# %% [markdown]
# ## In the library
# The check is public, and the tests call this very function for every operation, with shapes drawn at random. Write
# an operation of your own and check it the same way.
# %%
show(ops.matmul)
show(library.gradcheck)

# %% [markdown]
# **What to keep.** A vjp is a vector times the Jacobian, which is never built. Check it in float64 with a random
# vector on each side, and check the check by breaking what it tests. Next: 05, softmax and cross-entropy.
# %%
finish()
