# %% [markdown]
# # 05 · Softmax and cross-entropy
# **Needs** 03 (broadcasting), 04 (vjps) · **Builds** `ops.softmax`, `ops.log_softmax`, `ops.cross_entropy`
# · **Paper** Devlin et al. 2019, §3.1 (the masked-word loss) · **Runs in** a few seconds
#
# A model ends in *scores*, one for every word of the vocabulary; a score can be any number, and larger means
# likelier. Training needs *probabilities*: positive numbers that sum to 1. Softmax turns scores into probabilities,
# and cross-entropy measures how far off these are. Every hidden (*masked*) word, every sentence pair and every other answer
# that ALBERT learns from passes through these two functions.
# %%
import numpy as np
from _check import exercise, figure, finish, here, predict, pyplot, same, show

from tinyalbert import ops

NEEDS = ["03", "04"]
TEACHES = ["ops.softmax", "ops.log_softmax", "ops.cross_entropy"]
rng = np.random.default_rng(5)

# %%
here("softmax")

# %%
shifted_scores = predict("Add 100 to every score of a row. By what factor does the largest probability change?",
            guess=None)

# %% [markdown]
# ## Build it: from scores to probabilities
# The exponential makes every number positive; dividing by the sum makes them add up to 1. First with a loop, one row
# at a time, so that nothing is hidden.
# %%
def softmax_loop(scores):
    rows = []
    for row in scores:                           # one row of scores
        positive = [np.exp(s) for s in row]      # e to the power of each
        rows.append([value / sum(positive) for value in positive])
    return np.array(rows)


scores = rng.standard_normal((3, 5))             # (3, 5): three rows of five scores
print(softmax_loop(scores).round(3))
print("each row sums to", softmax_loop(scores).sum(axis=1))

# %% [markdown]
# With arrays this takes two lines, and `axis=-1` means "along the last axis", whatever comes before it.
# %%
def softmax_overflowing(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


same(softmax_loop(scores), ops.softmax.raw(scores)[0], "softmax of small scores")

# %%
before, after = softmax_overflowing(scores)[0].max(), softmax_overflowing(scores + 100)[0].max()
shifted_scores.reveal(after / before, "{:.6f}")

# %% [markdown]
# Adding the same number c to a row multiplies every exponential by e^c, both in the numerator and in the sum, so it
# cancels. Only *differences* between scores matter.
#
# ## Break it: large scores
# The definition is right, but the code is not good yet. `exp` grows fast: in float32, the numbers with 7 digits that models compute with, it overflows to infinity for
# scores below one hundred, and infinity divided by infinity is not a number.
# %%
with np.errstate(over="ignore", invalid="ignore"):
    broken = softmax_overflowing(np.array([[10.0, 50.0, 100.0]], dtype=np.float32))
print("scores 10, 50, 100 give", broken)
assert np.isnan(broken).any()

# %% [markdown]
# Since only differences matter, we may subtract the largest score first. Then the largest exponent is 0 and nothing
# can overflow; whatever underflows to 0 is a probability too small to matter.
# %%
def softmax(x, axis=-1):
    y = np.exp(x - x.max(axis=axis, keepdims=True))
    return y / y.sum(axis=axis, keepdims=True)


huge = np.array([[1e4, 0.0, -1e4], [3.0, 3.0, 3.0]])
same(softmax(huge), ops.softmax.raw(huge)[0], "softmax of huge scores")

# %%
plt = pyplot()
largest = np.linspace(0, 200, 201, dtype=np.float32)
with np.errstate(over="ignore", invalid="ignore"):
    plain = np.array([softmax_overflowing(np.array([s, s - 1], dtype=np.float32))[0] for s in largest])
    exponentials = np.exp(largest)                               # float32: infinite where it's too large
limit = float(largest[np.isnan(plain)][0])
fig, ax = plt.subplots()
ax.semilogy(largest[largest < limit], exponentials[largest < limit], color="0.0")
ax.semilogy(largest, np.exp(largest - largest), color="0.5", lw=3)
ax.axhline(np.finfo(np.float32).max, color="0.3", ls=":", lw=1)
ax.axvspan(limit, 200, color="0.92", zorder=0)
ax.text(2, 3e39, "the largest number in float32")
ax.text(36, 1e12, "exp of the score")
ax.text(limit + 6, 1e20, "here it is infinite,\nand softmax ∞ / ∞")
ax.text(limit + 6, 1e2, "exp, the largest score subtracted", color="0.4")
ax.set(xlabel="larger of two scores; the other is 1 less", ylabel="exponential of the larger one", xlim=(0, 200), ylim=(1e-3, 1e43),
       title=f"Plain softmax breaks at a score of {limit:.0f}; less the largest score, nothing can overflow")
figure(fig, "overflow")

# %% [markdown]
# ## The backward pass
# Let y = softmax(x) and let g be the gradient of the loss with respect to y. Raising one score takes probability from
# all the others, so the *Jacobian*, the table of all derivatives dy_i/dx_j, is full. Write S for the sum of all the
# exponentials, so y_i = e^x_i / S. The derivative of e^x is e^x itself, so a nudge of x_j moves the exponential of x_j,
# and with it S, by e^x_j each. By the quotient rule, (u/S)' = u'/S - u S'/S²:
#
#     i ≠ j:   u = e^x_i stays:     dy_i / dx_j =             - e^x_i e^x_j / S²  =       - y_i y_j
#     i = j:   u moves as well:     dy_j / dx_j = e^x_j / S   - e^x_j e^x_j / S²  =  y_j  - y_j y_j
#
# Both in one line, with δ_ij = 1 where i = j, else 0: dy_i / dx_j = y_i (δ_ij - y_j). With three scores, in numbers:
# %%
three = softmax(np.array([[2.0, 1.0, 0.0]]))[0]
print("y =", three.round(3))
print("the Jacobian, row i, column j:")
print((np.diag(three) - np.outer(three, three)).round(3))
h = 1e-6
nudged = [(softmax(np.array([[2.0, 1.0, 0.0]]) + h * e) - softmax(np.array([[2.0, 1.0, 0.0]]) - h * e))[0] / (2 * h) for e in np.eye(3)]
same(np.diag(three) - np.outer(three, three), np.stack(nudged, axis=1), "the Jacobian, by nudges", rtol=1e-8)

# %% [markdown]
# Each column adds up to 0: what one probability gains, the others lose. Multiply by g from the left, and the table never
# needs to exist:
#
#     (gᵀ J)_j = Σ_i g_i y_i (δ_ij - y_j) = g_j y_j - y_j Σ_i g_i y_i = y_j (g_j - Σ_i g_i y_i)
# %%
of_the_sum = predict("A loss that is the sum of all probabilities: what is its gradient with respect to the scores?", guess=None)
x, g = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
y, vjp = ops.softmax.raw(x)
jacobian = np.array([np.diag(row) - np.outer(row, row) for row in softmax(x)])   # (4, 6, 6)
by_table = np.einsum("bi,bij->bj", g, jacobian)                                 # (4, 6): in each row b, sum over i
same(by_table, vjp(g)[0], "softmax gradient, from the full Jacobian")
of_the_sum.reveal(float(abs(vjp(np.ones_like(g))[0]).max()), "0, up to rounding (largest entry here: {:.1e})")

# %% [markdown]
# The sum of probabilities is always 1, so nothing changes it. A test that differentiates `softmax(x).sum()`
# therefore accepts any backward pass that returns zeros. That is why lesson 04 checks with a random g.
# %%
@exercise(trials=[(rng.standard_normal(s), softmax(rng.standard_normal(s))) for s in [(2, 3), (4, 5), (2, 3, 4)]])
def softmax_backward(g, y):
    """Gradient of the scores, from g, the gradient of y = softmax(scores)."""
    ...


same(softmax_backward(g, softmax(x)), vjp(g)[0], "softmax gradient, without the Jacobian")

# %% [markdown]
# ## Cross-entropy
# The right word is known in training; its number is the *label*. The *loss* of one prediction is -log(probability of the right word): 0 if the model was certain and right, large if
# it was certain and wrong. Cross-entropy is the mean loss over all predictions.
#
# Taking the logarithm *after* softmax fails when the probability has underflowed to 0. But log(e^a / Σ e^b) is
# a - log Σ e^b, which needs no small number at all.
# %%
def log_softmax(x, axis=-1):
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


same(log_softmax(huge), ops.log_softmax.raw(huge)[0], "log_softmax of huge scores")


def cross_entropy(logits, labels):                               # logits: another word for scores
    logp = log_softmax(logits)                                   # (R, V): R predictions, V words
    return -logp[np.arange(len(labels)), labels].mean()          # ()


R, V = 6, 11
logits, labels = rng.standard_normal((R, V)), rng.integers(0, V, R)
loss, loss_vjp = ops.cross_entropy.raw(logits, labels)
same(cross_entropy(logits, labels), loss, "cross-entropy")

# %%
untrained_loss = predict("Before training, a model knows nothing: all 8,000 words are equally likely. What is its loss?", guess=None)
untrained_loss.reveal(cross_entropy(np.zeros((1, 8000)), np.array([17])), "log(8000) = {:.3f}")

# %% [markdown]
# That number, the logarithm of the vocabulary size V, is the upper of the two lines in every loss plot of this
# project. A model that starts far above it was badly initialised.
#
# ## The most famous gradient of all
# Combine softmax and the logarithm, and nearly everything cancels. Let r be the right word; the loss is -log y_r. Its
# derivative by y_r is -1/y_r, and 0 by every other y. Send that through softmax's Jacobian:
#
#     d loss / dx_j = (-1/y_r) · dy_r/dx_j = (-1/y_r) · y_r (δ_rj - y_j) = y_j - δ_rj
#
# The small number y_r, by which we would have divided, is gone. What is left is *probability minus truth*: by how much
# each word's probability was too high.
# %%
@exercise(trials=[(rng.standard_normal((r, v)), rng.integers(0, v, r)) for r, v in [(1, 3), (4, 5), (7, 2)]])
def cross_entropy_backward(logits, labels):
    """Gradient of the loss with respect to the scores, (R, V); labels (R,)."""
    ...


same(cross_entropy_backward(logits, labels), loss_vjp(np.ones(()))[0], "cross-entropy gradient")

# %%
example = np.array([[2.0, 1.0, 0.5, -1.0, 0.0]])
gradient = cross_entropy_backward(example, np.array([1]))[0]
fig, ax = plt.subplots()
ax.bar(np.arange(5) - 0.2, softmax(example)[0], width=0.4, color="0.75")
ax.bar(np.arange(5) + 0.2, -gradient, width=0.4, color="0.2")
ax.axhline(0, color="black", lw=0.8)
ax.text(-0.35, softmax(example)[0, 0] + 0.02, "probability now")
ax.text(1.05, -gradient[1] + 0.02, "which way the step pushes the score")
ax.set(xlabel="word (1 is the right one)", ylabel="probability, or minus the gradient", ylim=(-0.7, 1.0),
       title="A step lifts the right word and pushes each other word down by its own probability")
figure(fig, "probability_minus_truth")
assert gradient[1] < 0 and (np.delete(gradient, 1) > 0).all()

# %% [markdown]
# ## Positions that don't count
# In a batch of *sequences* (texts, as rows of ids) most positions are not masked, so there is nothing to predict
# there. They carry the label -100 and must neither add to the loss nor receive a gradient. The mean is taken over the
# others.
# %%
@exercise(trials=[(rng.standard_normal((5, 4)), np.array(l)) for l in ([0, -100, 3, -100, 1], [-100, 2, 2, 2, 2])])
def cross_entropy_ignoring(logits, labels):
    """The mean loss of the rows whose label is not -100."""
    ...


gap = np.array([3, -100, 5, -100, 0, 1])
library_loss, library_vjp = ops.cross_entropy.raw(logits, gap)
same(cross_entropy_ignoring(logits, gap), library_loss, "cross-entropy with positions that don't count")
assert float(abs(library_vjp(np.ones(()))[0][1]).max()) == 0.0

# %% [markdown]
# ## In the library
# The same two functions, forward above backward:
# %%
show(ops.softmax)
show(ops.cross_entropy)

# %% [markdown]
# **What to keep.** Only differences between scores matter, so subtract the largest. The gradient of softmax is y (g -
# Σ g y), never a table. The gradient of cross-entropy is probability minus truth. Next: 06, layer norm and GELU.
# %%
finish()
