# %% [markdown]
# # 07 · Embeddings, factorised
# **Needs** 02 (Tensor), 04 (linear), 06 (layer norm) · **Builds** `ops.embedding`, `AlbertEmbeddings` · **Paper** Lan
# et al. 2020, §3.1 "Factorized embedding parameterization" · **Runs in** a few seconds
#
# A model computes with *vectors* (rows of numbers), but a text is a list of piece numbers. The *embedding table* has
# one row of numbers for each piece of the vocabulary, and looking a piece up means picking its row. In BERT (Devlin
# et al. 2019), the model that ALBERT makes smaller, that table holds a fifth of all numbers. ALBERT's first idea is
# to make the rows short and stretch them afterwards.
# %%
import numpy as np
from _check import exercise, figure, finish, here, predict, pyplot, same, show

from tinyalbert import Module, Parameter, nn, ops
from tinyalbert.albert import AlbertEmbeddings
from tinyalbert.config import AlbertConfig
from tinyalbert.info import parameter_rows
from tinyalbert.tensor import Tensor, backward

NEEDS = ["02", "04", "06"]
TEACHES = ["ops.embedding", "ops.reshape", "AlbertConfig", "nn.Embedding", "nn.Linear", "Parameter", "Module"]
rng = np.random.default_rng(7)

# %%
here("embeddings")

# %%
table_size = predict("A vocabulary of 30,000 pieces, vectors of 4,096 numbers (the largest ALBERT). How many million numbers does "
            "the table have, and how many with short rows of 128 plus one map from 128 to 4,096?", guess=None)
V, E, H = 30_000, 128, 4096
table_size.reveal((V * H / 1e6, (V * E + E * H) / 1e6), "{0[0]:.0f} and {0[1]:.1f}")

# %% [markdown]
# ## Build it: looking up rows
# First as mathematics sees it. A piece number becomes a *one-hot* vector: all zeros except for a 1 at its place. That
# vector times the table is the row. So a lookup is a matrix product, and its gradient follows from lesson 04: it is
# *one-hot transposed times g*, which adds each gradient row to the table row it came from. In practice nobody
# multiplies by all those zeros.
# %%
table = rng.standard_normal((7, 3))              # (V, E)
ids = np.array([[2, 5, 2], [0, 2, 6]])           # (B, T): number 2 is used three times
one_hot = np.eye(7)[ids]                         # (B, T, V)
g = rng.standard_normal((2, 3, 3))               # (B, T, E)
y, vjp = ops.embedding.raw(table, ids)
same(one_hot @ table, y, "lookup as a product")
same(np.einsum("btv,bte->ve", one_hot, g), vjp(g)[0], "gradient of the table, as a product")


# %%
@exercise(trials=[(rng.standard_normal((5, 2)), np.array([1, 3, 1, 1]), rng.standard_normal((4, 2))),
                  (rng.standard_normal((4, 3)), np.array([0, 0, 0]), rng.standard_normal((3, 3)))])
def embedding_backward(table, ids, g):
    """Gradient of the table, shape (V, E), from ids (N,) and g (N, E)."""
    ...


same(embedding_backward(table, ids.reshape(-1), g.reshape(-1, 3)), vjp(g)[0], "gradient of the table, row by row")

# %% [markdown]
# ## Break it: `gradient[ids] += g`
# The obvious line is wrong. NumPy first reads all rows, then adds, then writes all rows back: the row of a piece that
# occurs three times is written three times, and the last write wins.
# %%
careless = np.zeros_like(table)
careless[ids.reshape(-1)] += g.reshape(-1, 3)
added_up = np.zeros_like(table)
np.add.at(added_up, ids.reshape(-1), g.reshape(-1, 3))
print("row of piece 2, careless:", careless[2].round(2), " added_up:", added_up[2].round(2))
assert not np.allclose(careless, added_up)
text = rng.zipf(1.3, 4000) % 1000                # piece frequencies as uneven as those of real words
lost_rows = predict("In a batch of 4,000 pieces from 1,000, distributed like real words: what share of the gradient's rows "
            "would be lost?", guess=None)
lost_rows.reveal(1 - len(np.unique(text)) / len(text), "{:.0%}")

# %% [markdown]
# ## Three tables and a norm
# A piece's vector says nothing about *where* it stands, and attention (lesson 08) does not see positions by itself.
# So a second table has a row for each position. An input may consist of two texts, its *segments*; a third table has
# a row for each of the two. All rows are E wide. The three are added, then normalised (lesson 06).
# %%
config = AlbertConfig(vocab_size=11, embedding_size=5, hidden_size=8, num_attention_heads=2, max_position_embeddings=6,
                      type_vocab_size=2)
library = AlbertEmbeddings(np.random.default_rng(0), config).astype(np.float64)
words, positions, types = (t.weight.data for t in (library.word_embeddings, library.position_embeddings,
                                                   library.token_type_embeddings))


def embed(ids, segments):
    T = ids.shape[1]
    x = words[ids] + positions[:T] + types[segments]             # (B, T, E); positions stretch over the batch
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)


two_texts, segments = np.array([[2, 7, 3, 9], [2, 4, 4, 3]]), np.array([[0, 0, 0, 1], [0, 0, 1, 1]])
out = library(two_texts, segments)
same(embed(two_texts, segments), out.data, "ALBERT's embeddings")


# %%
@exercise(trials=[(rng.standard_normal((4, 3, 2)),), (rng.standard_normal((2, 5, 3)),)])
def position_gradient(g):
    """g (B, T, E), the gradient of the three vectors' sum -> gradient of the first T rows of the position table."""
    ...


position_table = Tensor(rng.standard_normal((6, 5)), requires_grad=True)
g_sum = rng.standard_normal((2, 4, 5))
same(position_gradient(g_sum), backward(Tensor(np.zeros((2, 4, 5))) + position_table[:4], g_sum)[position_table][:4], "gradient of the positions")

# %% [markdown]
# ## Factorised
# ALBERT has short rows of E numbers and one matrix E→H for all pieces. Written as a single table, that is the product
# of a (V, E) and an (E, H) matrix: a big table in which only E directions are free. That is what "factorised" means,
# and why it is cheap. The bet is that piece vectors need few directions because they know nothing of their context;
# the wide vectors are for the context. (The *singular values* of a table, which `svd` computes, say how large it is
# along each of its directions; a 0 marks a direction that it does not have.)
# %%
wide = (rng.standard_normal((300, 16)) @ rng.standard_normal((16, 64)))          # a table (300, 64) through E = 16
spectrum = np.linalg.svd(wide, compute_uv=False)
free = np.linalg.svd(rng.standard_normal((300, 64)), compute_uv=False)
plt = pyplot()
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
left.semilogy(free / free[0], color="0.6")
left.semilogy(np.maximum(spectrum / spectrum[0], 1e-17), color="0.0")
left.text(34, 0.2, "full table", color="0.5", va="top")
left.text(18, 1e-9, "through E = 16")
left.set(xlabel="direction", ylabel="singular value, largest = 1", title="A factorised table lives in E directions")
sizes = [16, 32, 64, 128, 256, 512, 768]
for hidden, color in ((768, "0.5"), (4096, "0.0")):
    right.loglog(sizes, [30_000 * e + e * hidden for e in sizes], color=color)
    right.axhline(30_000 * hidden, color=color, ls=":", lw=1)
    right.text(16, 30_000 * hidden * 1.1, f"full table, H = {hidden}", color=color)
right.set(xlabel="E", ylabel="parameters", ylim=(3e5, 4e8), title="Cost grows with E, hardly with H")
right.set_xticks([16, 64, 256, 768], [16, 64, 256, 768])
right.minorticks_off()
fig.tight_layout()
figure(fig, "factorised")

# %% [markdown]
# Where the parameters of a whole model are, counted from the model itself:
# %%
for name in ("base_v2", "xxlarge_v2"):
    released = AlbertConfig.preset(name)
    full = AlbertConfig.preset(name, embedding_size=released.hidden_size, embedding_projection=False)
    for what, c in ((f"{name}, E = 128", released), (f"{name}, E = H = {full.hidden_size}", full)):
        rows = {part: n for part, n, _ in parameter_rows(c)}
        print(f"{what:28s} words {rows['word embeddings (V x E)']:12,d}   everything {sum(rows.values()):12,d}")


# %%
@exercise(trials=[(30000, 128, 768, 512), (8000, 64, 64, 128), (11, 5, 8, 6)])
def embedding_parameters(V, E, H, P):
    """Parameters of ALBERT's embeddings with their projection to H; P positions."""
    ...


# %% [markdown]
# The same table is used a second time at the very top of the model, to score every piece of the vocabulary at a
# masked place. So it receives gradients from both ends, and the sweep adds them up without being told. Lesson 13 uses
# that.
#
# ## In the library
# A table or a matrix that training changes is a `Parameter`: a Tensor that always asks for its gradient. A part of a
# model that holds parameters is a `Module`; `nn.Embedding` holds one table, `nn.Linear` a matrix and a bias. A module
# finds the parameters of its parts through the names of its attributes, and these are the names used in the files of
# released models.
# %%
for name, parameter in library.named_parameters():
    print(f"{name:32s}{str(parameter.shape):10s}{type(parameter).__name__}")
assert isinstance(library, Module) and all(isinstance(p, Parameter) for p in library.parameters())
show(nn.Embedding)
show(ops.embedding)
show(AlbertEmbeddings)

# %% [markdown]
# **What to keep.** A lookup is a product with one-hot rows; its gradient adds up the rows that were used more than
# once. ALBERT's tables are E wide, and one matrix widens them. Next: 08, how words look at each other.
# %%
finish()
