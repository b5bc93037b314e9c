# %% [markdown]
# # 08 · Attention: one head, many heads, masks
# **Needs** 04 (linear), 05 (softmax) · **Builds** `ops.attention`, `AlbertAttention` · **Paper** Vaswani et al. 2017, §3.2
# · **Runs in** a few seconds
#
# "The trophy did not fit into the case because *it* was too big." To know what *it* is, one must look at other words.
# In attention, each *token* (a piece at its place in the text) asks a question, each token offers a key, and each
# receives an average of what the tokens with matching keys have to say. It is the only place in the model where
# tokens meet.
# %%
import math

import numpy as np
from _check import animation, exercise, figure, finish, here, predict, pyplot, same, show

from tinyalbert import attention, nn, ops
from tinyalbert.config import AlbertConfig
from tinyalbert.tensor import Tensor

NEEDS = ["04", "05"]
TEACHES = ["ops.attention", "ops.transpose", "attention.padding_bias", "ops.dropout", "DropoutRng"]
rng = np.random.default_rng(8)

# %%
here("attention")

# %% [markdown]
# ## Build it: one head, by loops
# Inside the model a token is a vector of H numbers, its *hidden vector*. Three linear maps (lesson 04) turn it into
# three vectors of D numbers: the *query* (what I look for), the *key* (what I can be found by), and the *value* (what
# I say). A *score* is the inner product of a query and a key. Softmax turns one token's scores into *weights* that
# sum to 1. The answer, the token's *context*, is the weighted mean of the values.
# The three maps and what is made of them are one *head*.
# %%
T, D = 5, 4
q, k, v = (rng.standard_normal((T, D)) for _ in range(3))


def attention_loop(q, k, v):
    context = np.zeros_like(v)
    for i in range(len(q)):                                      # each token asks
        scores = [sum(q[i] * k[j]) / math.sqrt(q.shape[1]) for j in range(len(k))]
        positive = np.exp(scores - np.max(scores))
        weights = positive / positive.sum()
        for j in range(len(v)):                                  # and listens to all
            context[i] += weights[j] * v[j]
    return context


def one_head(q, k, v):
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])     # (T, T)
    weights = ops.softmax.raw(scores)[0]                         # (T, T), rows sum to 1
    return weights @ v                                           # (T, D)


of_library, _ = ops.attention.raw(q[None], k[None], v[None], None, num_heads=1)
same(attention_loop(q, k, v), of_library[0], "one head, by loops")
same(one_head(q, k, v), of_library[0], "one head, with products")

# %% [markdown]
# One token after the other asks; the pictures show how much it hears of each, and what comes of it:
# %%
plt = pyplot()
asking, (values_panel, weights_panel, context_panel) = plt.subplots(1, 3, figsize=(6.4, 2.4), width_ratios=[4, 1.2, 4])


def draw_attention(i):
    """Token i asks: all values, its weights, the weighted mean."""
    weights = ops.softmax.raw(q @ k.T / math.sqrt(D))[0][i]
    for panel in (values_panel, weights_panel, context_panel):
        panel.clear()
        panel.set(xticks=[], yticks=range(T))
    values_panel.imshow(v, vmin=-2, vmax=2)
    values_panel.set(title="values of the tokens", ylabel="token")
    weights_panel.barh(range(T), weights, color="0.2")
    weights_panel.set(xlim=(0, 1), ylim=(T - 0.5, -0.5), title="weights")
    for j, share in enumerate(weights):
        weights_panel.text(share + 0.05, j, f"{share:.2f}", va="center", fontsize=8)
    context_panel.imshow((weights @ v)[None], vmin=-2, vmax=2)
    context_panel.set(yticks=[], title=f"what token {i} gets")


animation(asking, draw_attention, T, "one_token_asks")

# %% [markdown]
# ## Why the division?
# *Entropy*, -Σ w log w, measures how spread out the weights w are: log n if n tokens share the weight evenly, 0 if
# one token has it all. The figure shows it with and without the division.
# %%
score_size = predict("Queries and keys of D random numbers. How does the typical size of a score grow with D, without the division? "
            "(as a power of D)", guess=None)
sizes = np.array([4, 16, 64, 256, 1024])
spread = [np.std((rng.standard_normal((4000, d)) * rng.standard_normal((4000, d))).sum(1)) for d in sizes]
score_size.reveal(np.polyfit(np.log(sizes), np.log(spread), 1)[0], "{:.2f}")


def mean_entropy(d, scale):
    s = rng.standard_normal((200, d)) @ rng.standard_normal((32, d)).T * scale
    w = ops.softmax.raw(s)[0]
    return -(w * np.log(w + 1e-300)).sum(-1).mean()


plain, scaled = [mean_entropy(d, 1.0) for d in sizes], [mean_entropy(d, 1 / math.sqrt(d)) for d in sizes]
fig, ax = plt.subplots()
ax.semilogx(sizes, plain, "o-", color="0.6")
ax.semilogx(sizes, scaled, "o-", color="0.0")
ax.axhline(math.log(32), color="0.3", ls=":", lw=1)
ax.text(sizes[0], math.log(32) + 0.05, "log 32: all 32 tokens weigh the same")
ax.text(sizes[2], scaled[2] - 0.35, "divided by the root of D")
ax.text(sizes[3], plain[3] + 0.15, "not divided", color="0.5")
ax.set(xlabel="D, numbers in a query", ylabel="entropy of the weights", ylim=(0, 3.9),
       title="Without the division a wide head listens to one token only")
figure(fig, "why_the_root")

# %% [markdown]
# A score is a sum of D random terms of either sign. They partly cancel, so the typical size is the root of D;
# dividing by it gives scores of the same size for every D. Where one token has all the weight, softmax is flat and
# passes almost no gradient: in lesson 05's y (g - Σ g y), either y or the bracket is 0. Such a head could not learn.
#
# ## Many heads
# A single average can look at only one thing. So the H numbers of a token are cut into N *heads* of D = H/N numbers
# each, every head attends on its own, and the results are put side by side again.
# %%
B, N = 2, 3                                                      # T and D as before
H = N * D
tagged = np.array([[[f"token {t} head {h // D}" for h in range(H)] for t in range(T)] for _ in range(B)])   # (B, T, H)
wrong = tagged.reshape(B, N, T, D)
right = tagged.reshape(B, T, N, D).transpose(0, 2, 1, 3)         # (B, N, T, D)
print("reshape to (B, N, T, D), head 0, place 0 to 2:", [sorted(set(row)) for row in wrong[0, 0, :3].tolist()])
print("reshape, then transpose, head 0, place 0 to 2:", [sorted(set(row)) for row in right[0, 0, :3].tolist()])
assert all(len(set(row)) == 1 and f"token {t}" in row[0] for t, row in enumerate(right[0, 0].tolist()))

# %% [markdown]
# Why not reshape to (B, N, T, D) at once? The shape is right, and no error is raised. But the first line of output
# mixes *tokens* up: the second place of head 0 holds another part of token 0. The second line keeps the tokens apart:
# reshape to (B, T, N, D), *then* exchange the axes.
# %%
@exercise(trials=[(rng.standard_normal((2, 3, 8)), 2), (rng.standard_normal((1, 4, 6)), 3)])
def split_heads(x, n):
    """(B, T, H) -> (B, n, T, H // n)"""
    ...


def merge_heads(x):
    B, N, T, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, N * D)


def multi_head(Q, K, V, n, bias=0.0):
    """Q, K, V (B, T, H): the queries, keys and values of all heads -> (B, T, H) and the weights."""
    q = split_heads(Q, n)                                        # (B, N, T, D)
    k = split_heads(K, n)
    v = split_heads(V, n)
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])     # (B, N, T, T)
    weights = ops.softmax.raw(scores + bias)[0]                  # (B, N, T, T)
    return merge_heads(weights @ v), weights                     # (B, T, H)


Q, K, V = (rng.standard_normal((B, T, H)) for _ in range(3))
same(multi_head(Q, K, V, N)[0], ops.attention.raw(Q, K, V, None, num_heads=N)[0], "many heads")

# %% [markdown]
# ## Masks
# The sequences of a batch have different lengths; short ones are filled up with padding, which must not be heard.
# Before softmax, -10000 is added to the scores of padded keys, and e to that power is 0. Only *keys* are masked:
# nobody uses the answer to what a padded token itself asks.
# %%
mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])              # (B, T): the second sequence has 3 tokens
bias = attention.padding_bias(mask, np.float64)                  # (B, 1, 1, T)
masked, weights = multi_head(Q, K, V, N, bias)
same(masked, ops.attention.raw(Q, K, V, bias, num_heads=N)[0], "many heads with a mask")
other_padding = predict("Replace the padding of the second sequence by other words. How much do the answers for its three real tokens change?",
            guess=None)
other_K, other_V = K.copy(), V.copy()
other_K[1, 3:] = 99.0
other_V[1, 3:] = -99.0
other_padding.reveal(float(abs(multi_head(Q, other_K, other_V, N, bias)[0][1, :3] - masked[1, :3]).max()))

fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.9))
for ax, w, title in ((axes[0], multi_head(Q, K, V, N)[1][1, 0], "unmasked: padding is heard"),
                     (axes[1], weights[1, 0], "masked: padding has weight 0")):
    ax.imshow(w, vmin=0, vmax=1)
    for i in range(T):
        for j in range(T):
            ax.text(j, i, f"{w[i, j]:.2f}", ha="center", va="center", fontsize=7, color="white" if w[i, j] > 0.5 else "black")
    ax.set(title=title, xlabel="token that is heard (3 and 4 are padding)", ylabel="token that asks")
    ax.xaxis.label.set_fontsize(8)
figure(fig, "mask")

# %% [markdown]
# Why -10000, when -∞ would say "never" exactly? While one key is left, the two agree: e to the power of -10000 is 0 in
# floating point. They differ for a sequence that is padding throughout. Softmax subtracts the largest score, and -∞ minus
# -∞ is not a number (`nan`). One `nan` in a batch makes the loss `nan`, then every gradient, then the whole model. With
# -10000 all scores are equally low and the weights are even: a harmless answer to a question that nobody asked. Nor may
# the number be much larger: the smallest that 16 bits hold is -65504, beyond which it *is* -∞.
# %%
with np.errstate(invalid="ignore"):
    for low in (-10000.0, -np.inf):
        print(f"every key masked with {low}: weights {ops.softmax.raw(np.zeros(4) + low)[0]}")


# %%
@exercise(trials=[(rng.standard_normal((2, 3, 3)), np.array([[1, 1, 0], [1, 1, 1]])),
                  (rng.standard_normal((1, 4, 4)) * 3, np.array([[1, 0, 1, 0]]))])
def masked_weights(scores, mask):
    """scores (B, T, T), mask (B, T) of 1 and 0 -> weights (B, T, T); padded keys get 0."""
    ...


same(masked_weights(np.zeros((1, 2, 4)), np.array([[1, 1, 1, 0]]))[0, 0], [1 / 3, 1 / 3, 1 / 3, 0], "three equal weights")

# %% [markdown]
# ## The backward pass
# Forward there are four steps: product, division by the root, softmax, product. Backward, the same four run in
# reverse, each one known from earlier lessons.
# %%
@exercise(trials=[tuple(rng.standard_normal((t, d)) for _ in range(4)) for t, d in ((3, 4), (5, 2))])
def one_head_backward(q, k, v, g):
    """(T, D) each -> gradients of q, k, v, stacked: (3T, D)."""
    ...


one = [rng.standard_normal((4, 6)) for _ in range(4)]
_, vjp = ops.attention.raw(*(x[None] for x in one[:3]), None, num_heads=1)
one_gradients = vjp(one[3][None])
same(one_head_backward(*one), np.concatenate([d[0] for d in one_gradients[:3]]),
     "gradients of query, key and value")

# %% [markdown]
# Many heads and a mask need nothing new. Heads do not interact, so each has its own backward pass; a padded key has
# weight 0, so it and its value get gradient 0, and all other gradients are as if it were not there.
# %%
g = rng.standard_normal((B, T, H))
gradients = np.zeros((3, B, T, H))
for b in range(B):
    there = np.flatnonzero(mask[b])                              # keys that are no padding
    for h in range(N):
        own = slice(h * D, (h + 1) * D)                          # this head's numbers of each token
        of_one = one_head_backward(Q[b, :, own], K[b, there, own], V[b, there, own], g[b, :, own])
        gq, gk, gv = np.split(of_one, [T, T + len(there)])
        gradients[0, b, :, own] = gq
        gradients[1, b, there, own] = gk
        gradients[2, b, there, own] = gv
_, all_heads_vjp = ops.attention.raw(Q, K, V, bias, num_heads=N)
for what, mine, theirs in zip(("query", "key", "value"), gradients, all_heads_vjp(g)):
    same(mine, theirs, f"gradient of the {what}, many heads with a mask")

# %% [markdown]
# ## Order does not exist
# Attention is an average: exchange two tokens, and their answers are exchanged too; nothing else happens. Without the
# position table of lesson 07, a text would be a *bag of words*: which words there are, and how often, not in which order.
# %%
order = rng.permutation(T)
same(multi_head(Q[:, order], K[:, order], V[:, order], N)[0], multi_head(Q, K, V, N)[0][:, order],
     "shuffled tokens give shuffled answers")

# %% [markdown]
# ## The whole module
# A *module* is a part of a model with the parameters it needs. This one has the query, key and value maps before
# attention, one more map after it, and the post-LN sum of lesson 06. Where the config asks for it, training adds
# *dropout*: a random tenth, say, of the weights is set to 0, so that no head relies on a single word, and the others
# are multiplied by 1 / 0.9, so that their mean stays the same.
# %%
config = AlbertConfig(hidden_size=H, num_attention_heads=N, embedding_size=4, intermediate_size=8)
module = attention.AlbertAttention(np.random.default_rng(1), config).astype(np.float64)
x = rng.standard_normal((B, T, H))


def albert_attention(x, bias):
    def linear(x, part):
        return x @ part.weight.data.T + part.bias.data
    Q = linear(x, module.query)                                  # (B, T, H): the D numbers of all heads in a row
    K = linear(x, module.key)
    V = linear(x, module.value)
    context = multi_head(Q, K, V, N, bias)[0]                    # (B, T, H)
    summed = linear(context, module.dense) + x
    centred = summed - summed.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)


same(albert_attention(x, bias), module(Tensor(x), bias)[0].data, "AlbertAttention")
rng_of_dropout = nn.DropoutRng(seed=0)
kept = ops.dropout.raw(np.ones((1000, 100)), 0.1, rng_of_dropout.next_key())[0]
print(f"dropout 0.1: {float((kept == 0).mean()):.1%} are 0, the mean stays {float(kept.mean()):.3f}")

# %% [markdown]
# ## Open it
# A minute of training on plain text (*pretraining*, lessons 11 and 13) gives you a model to look into (put `.venv/bin/` before the names, or activate `.venv`):
#
#     tinyalbert pretrain stories:2000 --preset tiny --minutes 1 --output runs/stories
#     tinyalbert explore runs/stories
#
# Type a sentence and choose *Attention*. Find the head that looks at the token before: its map is a line just below the
# diagonal. Then tick "as the run began": the line was there before the first step. The library's recipes give two heads
# such a start (lesson 13 says why).
#
# ## In the library
# %%
show(ops.attention)
show(attention.AlbertAttention)

# %% [markdown]
# **What to keep.** Scores are inner products divided by the root of D, weights are their softmax, and the answer is a
# weighted mean of values. Heads are cut from each token's H numbers, not from the sequence of tokens; padding is
# masked as a key. Next: 09, the ALBERT layer.
# %%
finish()
