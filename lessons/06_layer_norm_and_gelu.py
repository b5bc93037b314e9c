# %% [markdown]
# # 06 · Layer norm, GELU, and a backward pass worth deriving by hand
# **Needs** 03 (broadcasting), 04 (vjps) · **Builds** `ops.layer_norm`, `ops.gelu` · **Paper** Ba et al. 2016;
# Hendrycks & Gimpel 2016 · **Runs in** a few seconds
#
# ALBERT is a stack of *layers* (lesson 09), each in two halves. Each half ends with a *layer norm*: the vector of
# each *token* (a piece at its place in a text) is shifted to mean 0 and scaled to *variance* 1 (the mean squared
# distance from the mean). The second half consists of two matrices with *GELU* between them: a bend, without which
# the two would be no more than one matrix, their product. Layer norm and GELU both have backward passes in which a
# term is easily lost.
# %%
import math
import re

import numpy as np
from _check import answers_to, exercise, figure, finish, here, predict, pyplot, same, show

from tinyalbert import nn, ops
from tinyalbert.gradcheck import gradcheck
from tinyalbert.stories import corpus

NEEDS = ["03", "04"]
TEACHES = ["ops.layer_norm", "ops.add_layer_norm", "ops.gelu", "ops.gelu_erf", "ops.relu", "ops.tanh", "nn.LayerNorm"]
rng = np.random.default_rng(6)
B, T, H = 2, 3, 8
x = rng.standard_normal((B, T, H)) * 5 + 40      # B sequences of T tokens, vectors of H numbers, far from 0

# %%
here("norm and GELU")

# %%
scaled = predict("Multiply x by 1000. By what factor does the gradient of layer_norm(x) with respect to x change?", guess=None)

# %% [markdown]
# ## Build it: from the definition
# For one vector of H numbers: subtract the mean, divide by the *standard deviation* (the root of the variance), then
# apply a gain gamma and a shift beta, both learned, at each of the H places. The small eps prevents a division by
# zero when all H numbers are equal.
# %%
def layer_norm_loop(x, gamma, beta, eps=1e-12):
    y = np.empty_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):              # each token by itself: no other token or sequence matters
            mean = sum(x[b, t]) / len(x[b, t])
            variance = sum((value - mean) ** 2 for value in x[b, t]) / len(x[b, t])
            y[b, t] = (x[b, t] - mean) / math.sqrt(variance + eps) * gamma + beta
    return y


def layer_norm(x, gamma, beta, eps=1e-12):
    mean = x.mean(axis=-1, keepdims=True)                        # (B, T, 1)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)    # (B, T, 1)
    return (x - mean) / np.sqrt(variance + eps) * gamma + beta   # (B, T, H)


gamma, beta = rng.standard_normal(H), rng.standard_normal(H)
y, vjp = ops.layer_norm.raw(x, gamma, beta)
same(layer_norm_loop(x, gamma, beta), y, "layer_norm, by loops")
same(layer_norm(x, gamma, beta), y, "layer_norm, with arrays")

# %%
g = rng.standard_normal(y.shape)
norms = [np.linalg.norm(ops.layer_norm.raw(s * x, gamma, beta)[1](g)[0]) for s in (1, 1000)]
scaled.reveal(norms[1] / norms[0], "{:.2e}: the scale is divided out again, so the same nudge has a thousandth of the effect")

# %% [markdown]
# ## The backward pass
# Write xhat for the normalised vector (before gain and shift) and rstd for 1/standard deviation. Nudging one x does
# three things: it moves its own xhat, it moves the mean and with it all the others, and it moves the variance and
# with it all the others again. With gy = g * gamma, the gradient of xhat, a nudge of x_j
#
#     moves xhat_j by rstd                                                   -> rstd * gy_j
#     moves the mean by 1/H, so every xhat_i by -rstd/H                      -> -rstd * mean(gy)
#     moves the variance by 2 (x_j - mean)/H; 1/root has the slope
#     -rstd³/2; so it moves every xhat_i by -rstd * xhat_i * xhat_j / H      -> -rstd * xhat_j * mean(gy * xhat)
#
# where each move of an xhat_i is weighted by gy_i, and Σ_i gy_i / H is mean(gy).
#
# The third line in small steps. The variance is v = Σ_i (x_i - mean)² / H, so dv/dx_j = 2 (x_j - mean) / H; that x_j also
# moves the mean adds nothing, because Σ_i (x_i - mean) is 0. And rstd = v^(-1/2) has the derivative -1/2 v^(-3/2) =
# -rstd³/2. So drstd/dx_j = -rstd³ (x_j - mean) / H = -rstd² xhat_j / H, since (x_j - mean) rstd = xhat_j. Each
# xhat_i = (x_i - mean) rstd then moves by (x_i - mean) · (-rstd² xhat_j / H) = -rstd xhat_i xhat_j / H. Together:
#
#     gx = rstd * ( gy - mean(gy) - xhat * mean(gy * xhat) )
#
# gamma and beta are easier: y = gamma * xhat + beta at every token, so a nudge of gamma moves y by xhat, and a nudge of
# beta moves y by 1. All tokens use the same gamma and beta (lesson 03), so the gradients are sums over the tokens: of
# g * xhat for gamma, of g for beta.
#
# Read it as geometry. Shifting all H numbers changes nothing, so the gradient has no part along (1, 1, ..., 1). Scaling
# them changes nothing, so it has no part along xhat. The two subtractions remove exactly these two parts.
# %%
@exercise(trials=[tuple(rng.standard_normal(s) for s in [(2, 4), (2, 4), (2, 1)]) for _ in range(3)])
def layer_norm_backward(g, xhat, rstd):
    """Gradient of x, with gamma = 1 (so gy = g)."""
    ...


centred = x - x.mean(-1, keepdims=True)
rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
xhat = centred * rstd
gx = layer_norm_backward(g * gamma, xhat, rstd)
same(gx, vjp(g)[0], "layer_norm gradient of x")
same((g * xhat).sum((0, 1)), vjp(g)[1].sum((0, 1)), "layer_norm gradient of gamma")
same(g.sum((0, 1)), vjp(g)[2].sum((0, 1)), "layer_norm gradient of beta")
print("part along ones:", f"{abs(gx.sum(-1)).max():.1e}", " part along xhat:", f"{abs((gx * xhat).sum(-1)).max():.1e}")
assert abs(gx.sum(-1)).max() < 1e-9 and abs((gx * xhat).sum(-1)).max() < 1e-9

# %% [markdown]
# ## Break it: lose the mean term
# Any of the three parts can be forgotten, and the result still looks like a gradient. How far off is it?
# %%
parts = {"all three parts": gx, "without mean(g)": rstd * (g * gamma - xhat * (g * gamma * xhat).mean(-1, keepdims=True)),
         "without xhat's part": rstd * (g * gamma - (g * gamma).mean(-1, keepdims=True)), "only rstd * g": rstd * g * gamma}
leak = {name: [np.abs(d.sum(-1)).mean() / np.abs(d).sum(-1).mean(), np.abs((d * xhat).sum(-1)).mean() / np.abs(d).sum(-1).mean()]
        for name, d in parts.items()}
plt = pyplot()
fig, ax = plt.subplots()
places = np.arange(len(leak))
ax.bar(places - 0.2, [v[0] for v in leak.values()], width=0.4, color="0.75")
ax.bar(places + 0.2, [v[1] for v in leak.values()], width=0.4, color="0.2")
ax.set_xticks(places, leak.keys())
ax.plot([], [], "s", color="0.75", label="along (1, ..., 1)")
ax.plot([], [], "s", color="0.2", label="along xhat")
ax.legend(frameon=False, loc="center left")
ax.set(ylabel="share of the gradient that lies there",
       title="Only the full formula has no part along the two directions that cannot matter")
figure(fig, "two_forbidden_directions")


def without_the_mean(x, gamma, beta):
    return ops.layer_norm.raw(x, gamma, beta)[0], lambda g: (
        rstd * (g * gamma - xhat * (g * gamma * xhat).mean(-1, keepdims=True)), g * xhat, g)


try:
    gradcheck(without_the_mean, x, gamma, beta, rng=rng)
except AssertionError as error:
    print("lesson 04's check says:", error)

# %% [markdown]
# In the model, the norm at the end of a half is applied to a *sum*: what the half computed plus what it was given.
# This order, sum first and then layer norm, is called *post-LN*; the released ALBERT uses it. The library has a
# single operation for it.
# %%
residual = rng.standard_normal((B, T, H))
same(layer_norm(x + residual, gamma, beta), ops.add_layer_norm.raw(x, residual, gamma, beta)[0],
     "add_layer_norm forward")

# %% [markdown]
# ## GELU
# GELU is a bend: large numbers pass, very negative ones become 0. ReLU does this with a corner, max(x, 0). GELU
# multiplies x by the probability Φ(x) that a random number (normal, with mean 0 and variance 1) is smaller than x, so
# the bend is round. Google's ALBERT uses a formula with tanh that is nearly the same:
#
#     gelu(x) = x/2 (1 + tanh u)      u = sqrt(2/π) (x + 0.044715 x³)
# %%
def gelu(x):
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + np.tanh(u))


z = rng.standard_normal((3, 7)) * 2
same(gelu(z), ops.gelu.raw(z)[0], "gelu, tanh form")
exact = np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in z.ravel()])       # Φ(v) = (1 + erf(v / √2)) / 2
exact = exact.reshape(z.shape)
same(exact, ops.gelu_erf.raw(z)[0], "gelu, exact form")

# %%
two_forms = predict("Where, and by how much, do the two forms differ most?", guess=None)
line = np.linspace(-5, 5, 2001)
difference = ops.gelu.raw(line)[0] - ops.gelu_erf.raw(line)[0]
worst = int(np.abs(difference).argmax())
two_forms.reveal((abs(line[worst]), abs(difference[worst])), "at |x| = {0[0]:.2f}, by {0[1]:.1e}")

fig, ax = plt.subplots()
ax.plot(line, ops.gelu.raw(line)[0], color="0.0")
ax.plot(line, ops.relu.raw(line)[0], color="0.6", ls="--")
ax.plot(line, 1000 * difference, color="0.4", ls=":")
ax.text(-3.4, -0.35, "gelu", va="top")
ax.text(1.2, 2.2, "relu", color="0.5")
ax.text(-4.9, 0.55, "1000 x (tanh form - exact form)", color="0.4")
ax.set(xlabel="x", ylabel="result", ylim=(-0.8, 3), title="GELU is a ReLU with a round corner; its two forms differ in the fourth digit")
figure(fig, "gelu")


# %% [markdown]
# The derivative follows from the product rule with the chain rule inside. t = tanh u has the derivative 1 - t².
# %%
@exercise(trials=[(rng.standard_normal(9) * 2, rng.standard_normal(9)) for _ in range(3)])
def gelu_backward(x, g):
    """Gradient of x in gelu(x), tanh form."""
    ...


@exercise(trials=[(np.array([-2.0, -0.5, 0.5, 2.0]), np.array([1.0, 2.0, 3.0, 4.0]))])
def relu_backward(x, g):
    """Gradient of x in max(x, 0)."""
    ...


gz = rng.standard_normal(z.shape)
same(gelu_backward(z, gz), ops.gelu.raw(z)[1](gz)[0], "gelu gradient")

# %% [markdown]
# ## A net of your own
# With linear maps, a norm, a bend and a loss you can already build a *net*, a program whose matrices are learned. This one
# reads three letters and says which comes next. It is made of your answers to 04, 05 and this lesson, on the Tensor of lesson 02;
# nothing in it comes from the library. Where an exercise is open, the solution stands in, and the first line says so.
# %%
own = answers_to({"02": ["Tensor", "op", "backward"], "04": ["linear_backward_x", "linear_backward_w", "linear_backward_bias"],
                  "05": ["cross_entropy_backward"]})


@own.op
def linear(x, w, bias):
    def vjp(g):
        return own.linear_backward_x(x, w, g), own.linear_backward_w(x, w, g), own.linear_backward_bias(x, w, g)
    return x @ w.T + bias, vjp


@own.op
def norm(x):
    middle = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((middle**2).mean(-1, keepdims=True) + 1e-12)
    return middle * scale, lambda g: (layer_norm_backward(g, middle * scale, scale),)


@own.op
def bend(x):
    return gelu(x), lambda g: (gelu_backward(x, g),)


def probabilities(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mean_loss(scores, labels):
    @own.op
    def loss(s):
        return -np.log(probabilities(s)[np.arange(len(labels)), labels]).mean(), lambda g: (g * own.cross_entropy_backward(s, labels),)
    return loss(scores)


# %% [markdown]
# Its text are the words of our stories, letter by letter; a full stop stands before and after each.
# %%
LETTERS = ".abcdefghijklmnopqrstuvwxyz"
story_words = sorted({w for story in corpus.documents(300) for s in story for w in re.findall("[a-z]+", s.lower())})
spelled = [[LETTERS.index(letter) for letter in f"...{w}."] for w in story_words]
three_letters = np.array([w[i:i + 3] for w in spelled for i in range(len(w) - 3)])        # (n, 3)
next_letter = np.array([w[i + 3] for w in spelled for i in range(len(w) - 3)])            # (n,)
net_rng = np.random.default_rng(0)
net = [own.Tensor(net_rng.standard_normal(shape) * 0.1, requires_grad=True) for shape in ((64, 3 * 27), (64,), (27, 64), (27,))]


def letter_scores(letters):
    """Three letters in each row, (n, 3) -> scores of the next, (n, 27)."""
    one_hot = own.Tensor(np.eye(27)[letters].reshape(len(letters), -1))                   # a 1 at each letter's place, else 0
    return linear(norm(bend(linear(one_hot, *net[:2]))), *net[2:])


def invent():
    """A word, letter by letter, each drawn by its probability."""
    letters = [0, 0, 0]
    while len(letters) < 12 and (len(letters) == 3 or letters[-1]):
        share = probabilities(letter_scores(np.array([letters[-3:]])).data[0])
        letters.append(net_rng.choice(27, p=share))
    return "".join(LETTERS[i] for i in letters).strip(".")


invented_before = [invent() for _ in range(8)]
net_losses = []
for _ in range(400):
    some = net_rng.integers(0, len(next_letter), 128)
    loss = mean_loss(letter_scores(three_letters[some]), next_letter[some])
    gradients = own.backward(loss)
    for t in net:
        t.data = t.data - 1.0 * gradients[t]                     # a step against the gradient, as in lesson 01
    net_losses.append(float(loss.data))
print(f"   loss {net_losses[0]:.2f} -> {np.mean(net_losses[-50:]):.2f}; all letters equally likely: {np.log(27):.2f}")
print("   words it invents, before:", ", ".join(invented_before))
print("   and after               :", ", ".join(invent() for _ in range(8)))
assert np.mean(net_losses[-50:]) < net_losses[0] - 0.5

# %% [markdown]
# ## In the library
# `nn.LayerNorm` holds gamma and beta and calls these functions. `kernels/cpu/` has faster versions that go through
# the array in pieces small enough for the processor's cache (lesson 21); the tests check that they equal these.
# %%
show(ops.layer_norm)
show(ops.gelu)
show(nn.LayerNorm)

# %% [markdown]
# **What to keep.** Layer norm ignores shift and scale, so its gradient has no part along ones and none along xhat.
# GELU is x times the probability that a random number is smaller. Next: 07, words become vectors.
# %%
finish()
