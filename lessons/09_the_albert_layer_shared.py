# %% [markdown]
# # 09 · The ALBERT layer, shared
# **Needs** 06 (layer norm, GELU), 07 (embeddings), 08 (attention) · **Builds** `AlbertLayer`, `AlbertModel` · **Paper**
# Lan et al. 2020, §3.1 "Cross-layer parameter sharing" · **Runs in** a few seconds
#
# We have the parts; one more and the *encoder* (ids in, a vector for each token out) is complete. Then comes ALBERT's
# second idea: BERT's twelve layers are twelve sets of matrices, while ALBERT has one set and applies it twelve times.
# %%
import numpy as np
from _check import exercise, figure, finish, here, predict, pyplot, same, show

from tinyalbert import albert, ops
from tinyalbert.albert import AlbertModel
from tinyalbert.config import AlbertConfig
from tinyalbert.info import describe, parameter_rows
from tinyalbert.tensor import Tensor, backward

NEEDS = ["06", "07", "08"]
TEACHES = ["AlbertModel", "albert.AlbertLayer", "albert.AlbertEncoder"]
rng = np.random.default_rng(9)
SIZE = dict(vocab_size=50, embedding_size=6, hidden_size=8, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=12, initializer_range=0.5)       # large weights, so that each layer changes a lot

# %%
here("layer")

# %% [markdown]
# ## Build it: one layer
# Two halves. Attention lets tokens look at each other; the *feed-forward* half then works on each token alone: it
# widens from H to F numbers (in ALBERT, four times H), bends with GELU, and narrows again. Each half ends with "add
# what came in, then normalise".
# %%
def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)


def heads(x, n):
    return x.reshape(*x.shape[:2], n, -1).transpose(0, 2, 1, 3)


def albert_layer(x, w, add=1):
    """x (B, T, H), w: {name: array} in the released checkpoints' names -> (B, T, H).  add=0: without the two sums."""
    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    q = heads(linear(x, "attention.query"), 2)
    k = heads(linear(x, "attention.key"), 2)
    v = heads(linear(x, "attention.value"), 2)
    weights = ops.softmax.raw(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))[0]
    context = (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape)
    attended = layer_norm(linear(context, "attention.dense") + add * x)
    wide = ops.gelu.raw(linear(attended, "ffn"))[0]
    return layer_norm(linear(wide, "ffn_output") + add * attended)


one_layer = AlbertConfig(**SIZE, num_hidden_layers=1)
layer = albert.AlbertLayer(rng, one_layer).astype(np.float64)
x = rng.standard_normal((2, 5, 8))
weights = layer.state_dict()
same(albert_layer(x, weights), layer(Tensor(x))[0].data, "AlbertLayer")

# %% [markdown]
# ## The way back through a half
# Where a vector was used twice, its gradients add up. The input of a half is used twice: in the sum *and* in the work of
# that half. Here is a half that is simpler than ALBERT's, without biases and norm, and with ReLU for a bend. Its rows are
# tokens, which do not meet here.
# %%
def some_half(tokens, H, F):
    return tuple(rng.standard_normal(shape) for shape in ((tokens, H), (F, H), (H, F), (tokens, H)))


@exercise(trials=[some_half(3, 4, 6), some_half(2, 3, 9)])
def half_backward(x, wide, narrow, g):
    """Gradient of x in relu(x @ wide.T) @ narrow.T + x; g, in the shape of x, is the gradient of the result."""
    ...


half = some_half(5, 8, 32)
entered = Tensor(half[0], requires_grad=True)
left = entered + ops.linear(ops.relu(ops.linear(entered, half[1], np.zeros(32))), half[2], np.zeros(8))
same(half_backward(*half), backward(left, half[3])[entered], "gradient of what enters a half")

# %% [markdown]
# Now the whole layer. We know every op of it and its vjp from lessons 04 to 08, so we run the layer once more and keep the
# vjps; then we take the same steps from the last to the first.
# %%
def linear(x, w, name):
    return ops.linear.raw(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(x, w, name):
    return ops.layer_norm.raw(x, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-12)


def attention_half(x, w):
    """The half's result, and its vjp: the gradients of x and of the query's matrix."""
    q, back_q = linear(x, w, "attention.query")
    k, back_k = linear(x, w, "attention.key")
    v, back_v = linear(x, w, "attention.value")
    context, back_attention = ops.attention.raw(q, k, v, None, num_heads=2)
    answer, back_dense = linear(context, w, "attention.dense")
    attended, back_norm = norm(answer + x, w, "attention.LayerNorm")

    def vjp(g):
        g = back_norm(g)[0]                                      # of answer and, since they were added, of x
        g_q, g_k, g_v = back_attention(back_dense(g)[0])[:3]
        g_x, g_query_matrix, _ = back_q(g_q)
        return g + g_x + back_k(g_k)[0] + back_v(g_v)[0], g_query_matrix         # all of x: four uses
    return attended, vjp


def feed_forward_half(attended, w):
    """The half's result, and its vjp: the gradients of what came in and of the narrowing matrix."""
    wide, back_wide = linear(attended, w, "ffn")
    bent, back_bent = ops.gelu.raw(wide)
    narrow, back_narrow = linear(bent, w, "ffn_output")
    out, back_norm = norm(narrow + attended, w, "full_layer_layer_norm")

    def vjp(g):
        g = back_norm(g)[0]
        g_bent, g_narrow_matrix, _ = back_narrow(g)
        return g + back_wide(back_bent(g_bent)[0])[0], g_narrow_matrix           # two uses
    return out, vjp


# %%
def albert_layer_backward(x, w, g):
    """Gradients of x and of two of the matrices, for the gradient g (B, T, H) of the result."""
    attended, back_attention_half = attention_half(x, w)
    _, back_feed_forward = feed_forward_half(attended, w)
    g, g_narrow_matrix = back_feed_forward(g)
    g, g_query_matrix = back_attention_half(g)
    return g, g_query_matrix, g_narrow_matrix


g, entering = rng.standard_normal(x.shape), Tensor(x, requires_grad=True)
library = backward(layer(entering)[0], g)
for what, mine, theirs in zip(("what came in", "the query's matrix", "the narrowing matrix"),
                              albert_layer_backward(x, weights, g),
                              (entering, layer.attention.query.weight, layer.ffn_output.weight)):
    same(mine, library[theirs], f"AlbertLayer, gradient of {what}")

# %% [markdown]
# ## Build it: the encoder
# The encoder is embeddings (width E), one map from E to H, and then the same layer L times. For tasks on whole texts,
# the first token's vector goes through one more map and tanh: the *pooler*.
# %%
config = AlbertConfig(**SIZE, num_hidden_layers=4)
model = AlbertModel(config, seed=1).astype(np.float64)
state = model.state_dict()


def albert_model(ids, state, layers):
    e = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.position_embeddings.weight"][:ids.shape[1]]
    e = layer_norm(e + state["embeddings.token_type_embeddings.weight"][0])              # (B, T, E)
    h = e @ state["encoder.embedding_hidden_mapping_in.weight"].T + state["encoder.embedding_hidden_mapping_in.bias"]
    prefix = "encoder.albert_layer_groups.0.albert_layers.0."
    shared = {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
    for _ in range(layers):
        h = albert_layer(h, shared)                                                      # the same matrices each time
    return h, np.tanh(h[:, 0] @ state["pooler.weight"].T + state["pooler.bias"])


ids = rng.integers(5, 50, (3, 7))
hidden, pooled = albert_model(ids, state, 4)
out = model(ids)
same(hidden, out.last_hidden_state.data, "AlbertModel, a vector for each token")
same(pooled, out.pooler_output.data, "AlbertModel, a vector for each sequence")

# %% [markdown]
# ## What sharing does to the gradient
# By lesson 01, a matrix that is used four times gets the sum of four gradients. We can look at the four terms: give
# each layer its own copy with the same numbers (`shared_parameters="none"` makes such an *untied* model), and take
# the gradient of each copy.
# %%
equal_copies = predict("One copy per layer, same numbers, same input. Do the four copies get equal gradients?", guess=None)
untied = AlbertModel(AlbertConfig(**SIZE, num_hidden_layers=4, shared_parameters="none"), seed=None)
for name, parameter in untied.named_parameters():
    shared_name = name
    for i in range(4):
        shared_name = shared_name.replace(f"groups.{i}.", "groups.0.")
    parameter.data = state[shared_name].copy()
g_top = rng.standard_normal((3, 7, 8))
one = backward(model(ids).last_hidden_state, g_top)
many = backward(untied(ids).last_hidden_state, g_top)
tied = {name: one[parameter] for name, parameter in model.named_parameters() if parameter in one}
copies = {name: many[parameter] for name, parameter in untied.named_parameters() if parameter in many}
FFN = "encoder.albert_layer_groups.{}.albert_layers.0.ffn.weight"
terms = [copies[FFN.format(i)] for i in range(4)]
equal_copies.reveal(", ".join(f"{np.linalg.norm(t):.2f}" for t in terms), "no, their norms (square root of the sum of squares) are {}")
assert not any(np.allclose(terms[i], terms[j], rtol=0.01) for i in range(4) for j in range(i))
same(sum(terms), tied[FFN.format(0)], "gradient of the shared matrix = sum over the four layers")

# %%
cosine = np.array([[float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)) for a in terms] for b in terms])
plt = pyplot()
fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.2))
lengths = [np.linalg.norm(t) for t in terms]
left.bar(range(4), lengths, color="0.7")
for i, length in enumerate(lengths):                             # the four end to end: what they would come to if they agreed
    left.bar(4, length, bottom=sum(lengths[:i]), color="0.85", edgecolor="white")
left.bar(5, np.linalg.norm(sum(terms)), color="0.2")
for at, height in [*enumerate(lengths), (4, sum(lengths)), (5, np.linalg.norm(sum(terms)))]:
    left.text(at, height + 0.4, f"{height:.1f}", ha="center", fontsize=8)
left.set_xticks(range(6), ["layer\n0", "1", "2", "3", "added\nup", "of the\nsum"])
left.set(ylabel="length of the gradient", ylim=(0, 1.12 * sum(lengths)),
         title="The sum is shorter than the lengths added up: the four disagree")
right.imshow(cosine, vmin=-1, vmax=1)
for i in range(4):
    for j in range(4):
        right.text(j, i, f"{cosine[i, j]:.2f}", ha="center", va="center", fontsize=8,
                   color="white" if cosine[i, j] > 0.4 else "black")
right.set(xlabel="layer", ylabel="layer", title="The four point in different directions (cosines)", xticks=range(4), yticks=range(4))
fig.tight_layout()
figure(fig, "sum_of_layers")

# %% [markdown]
# A cosine is 1 for gradients in the same direction, 0 for unrelated and -1 for opposite ones: layers may ask the
# matrix for different changes. The sum needed no code of its own: the sweep adds up the uses of a parameter, and
# sharing *means* several uses. Without a sweep it is yours to write, for the smallest model that shares: one matrix,
# applied again and again.
# %%
@exercise(trials=[(rng.standard_normal(3), rng.standard_normal((3, 3)), rng.standard_normal(3), times) for times in (1, 2, 4)])
def shared_gradient(x, matrix, g, times):
    """Gradient of matrix (n, n), applied `times` times to x (n,): x = matrix @ x.  g (n,): the gradient of the last x."""
    ...


again = Tensor(rng.standard_normal((4, 4)), requires_grad=True)
first = rng.standard_normal((4, 1))
last = Tensor(first)
for _ in range(5):
    last = ops.matmul(again, last)
same(shared_gradient(first[:, 0], again.data, np.ones(4), 5), backward(last, np.ones((4, 1)))[again], "gradient of a matrix that is used five times")

# %% [markdown]
# ## What sharing saves, and what it does not
# %%
print(describe("base_v2"))
depths = [1, 2, 4, 8, 12, 24]
counts = {share: [sum(n for _, n, _ in parameter_rows(AlbertConfig.preset("base_v2", num_hidden_layers=d, shared_parameters=share)))
                  for d in depths] for share in ("all", "attention", "ffn", "none")}
fig, ax = plt.subplots()
for (share, n), color in zip(counts.items(), ("0.0", "0.2", "0.4", "0.6")):
    ax.plot(depths, np.array(n) / 1e6, "o-", color=color, ms=3)
    ax.text(24.4, n[-1] / 1e6, f"shared: {share}", color=color, va="center")
ax.set(xlabel="layers", ylabel="million parameters", xlim=(0, 32), title="With everything shared, more layers cost no parameters")
figure(fig, "what_sharing_saves")
assert len(set(counts["all"])) == 1

# %% [markdown]
# Memory for parameters, gradients and the optimiser's state (lesson 12) shrinks by the factor in the last line
# printed here. The number of multiplications stays the same, since every layer is still computed. Anyone hoping that
# ALBERT is twelve times faster than BERT will be disappointed; it is a smaller *file*.
#
# Something in between is possible: the paper also tries several parameter sets (*groups*), each used by a few layers in
# a row (§4.5).


# %%
@exercise(trials=[(768, 3072), (128, 512), (8, 16)])
def layer_parameters(H, F):
    """Parameters of one layer."""
    ...


same(layer_parameters(8, 16), layer.num_parameters(), "parameters of the layer above")

# %% [markdown]
# Which of the groups does a layer use? The obvious code, int(layer / (layers / groups)), rounds on the way and is wrong for
# some sizes; layer * groups // layers, in whole numbers, is exact:
# %%
off = [(L, G) for L in range(1, 25) for G in range(1, L + 1)
       if any(int(i / (L / G)) != i * G // L for i in range(L))]
print("layers and groups for which dividing fractions picks a wrong group:", off)

# %% [markdown]
# ## Break it: no normalisation
# What does the norm do in a stack of identical layers? Leave it out, and the same map is applied again and again to
# its own output: numbers multiplied by the same matrix over and over grow or shrink like compound interest.
# %%
def apply_again(x, matrix, times):
    for _ in range(times):
        x = matrix @ x
    return x


matrix, start = rng.standard_normal((8, 8)) * 0.8, rng.standard_normal(8)
with_norm, sizes = start, [[], []]
for t in range(1, 25):
    with_norm = layer_norm(matrix @ with_norm + with_norm)
    sizes[0].append(np.linalg.norm(apply_again(start, matrix + np.eye(8), t)))
    sizes[1].append(np.linalg.norm(with_norm))
fig, ax = plt.subplots()
ax.semilogy(range(1, 25), sizes[0], color="0.6")
ax.semilogy(range(1, 25), sizes[1], color="0.0")
ax.text(13, sizes[0][13] * 3, "without norm", color="0.4", ha="right", va="bottom")
ax.text(14, sizes[1][12] * 1.6, "with norm")
ax.set(xlabel="times the same layer was applied", ylabel="size of the vector",
       title="Without a norm the same layer, applied again, explodes")
figure(fig, "the_same_layer_again")

# %% [markdown]
# ## Break it: no sum
# And what is "add what came in" for? Leave both sums out (`add=0`), keep the norms, and start from random values as small as
# ALBERT's, with a standard deviation of 0.02. Attention is then nearly an even mean over the tokens, and with nothing of
# its own added each token gets that mean.
# %%
without_sums = predict("How many passes through the layer does it take, without the sums, until all tokens have the same vector to six digits?",
            guess=None)
fresh = albert.AlbertLayer(rng, AlbertConfig(**(SIZE | dict(hidden_size=64, intermediate_size=256, initializer_range=0.02))))
fresh_weights = fresh.astype(np.float64).state_dict()
apart = {1: [], 0: []}
for add in apart:
    states = layer_norm(np.random.default_rng(1).standard_normal((2, 5, 64)))
    for _ in range(12):
        states = albert_layer(states, fresh_weights, add)
        own = states - states.mean(axis=1, keepdims=True)        # what a token has that the mean of its sequence has not
        apart[add].append(np.linalg.norm(own) / np.linalg.norm(states))
without_sums.reveal(1 + int(np.argmax(np.array(apart[0]) < 1e-6)))
for add, shares in apart.items():
    print(f"   {'with' if add else 'without'} the sums, after 1, 2, 4 and 12 passes: " + ", ".join(f"{shares[i]:.1e}" for i in (0, 1, 3, 11)))
assert apart[0][1] < 1e-6 and apart[1][-1] > 0.5

# %% [markdown]
# The numbers are the share of a state that tells its token from the others of its sequence. Without the sums it is gone
# after two passes, rounding errors are all that's left after four, and no head could say which word stood where. With
# them, each pass only *changes* what came in, so twelve passes through small random matrices leave the words readable. On
# the way back the sum is a straight road for the gradient: in the vjps of both halves above, g goes past the work as it is,
# and what comes through the half is added.

# %% [markdown]
# ## Open it
# `tinyalbert explore runs/stories` (lesson 08 has the command that makes this model): type a sentence, click a piece to mask
# it, and choose *Gradients*. Below stand the lengths of the gradients that the passes give to the one layer, and the length of
# their sum, which is what training uses. Find by how much the sum is shorter than the lengths added up: so far the passes
# ask the layer for different changes.
#
# ## In the library
# %%
show(albert.AlbertLayer)
show(albert.AlbertEncoder)

# %% [markdown]
# **What to keep.** A layer is attention and feed-forward, each followed by "add and normalise". ALBERT applies one
# layer L times; the gradient is the sum over the uses; the parameters shrink, the work does not. Next: 10, where the
# pieces come from.
# %%
finish()
