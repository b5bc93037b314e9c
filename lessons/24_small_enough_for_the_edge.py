# %% [markdown]
# # 24 · Small enough for the edge
# **Needs** 04 (linear), 09 (the model), 14 (fine-tuning) · **Builds** weights of 8 bits, `rows_in_int8`; a grouped layer ·
# **Paper** Jacob et al. 2018, §2.1; Iandola et al. 2020, §3 · **Runs in** about 10 seconds
#
# A model that has been trained must live somewhere: on a phone, in a browser, in a box by the road. People call that *the
# edge*. There is little memory there, and a battery. Sharing its layers has made ALBERT small; this lesson makes it
# smaller in two more ways: fewer bits for each weight, and fewer weights.
# %%
import time

import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertForSequenceClassification,
    AlbertTokenizer,
    Trainer,
    backward,
    nn,
)
from tinyalbert.backend import to_host
from tinyalbert.files import int8
from tinyalbert.optim import AdamW
from tinyalbert.stories.tasks import story_dataset
from tinyalbert.tasks import inference
from tinyalbert.tasks.batches import Features
from tinyalbert.tasks.classification import Classification
from tinyalbert.tasks.tables import Row
from tinyalbert.text.rows import RowEncoder

NEEDS = ["04", "09", "14"]
TEACHES = ["int8.rows_in_int8", "int8.quantized", "int8.dequantized", "nn.GroupedLinear"]
rng = np.random.default_rng(24)

# %% [markdown]
# ## What a weight costs
# A *bit* is a 0 or a 1, and eight of them are a *byte*. NumPy's float32 takes 32 bits, or 4 bytes. A file of weights is
# as long as that says.
# %%
base = AlbertForPreTraining(AlbertConfig.preset("base_v2"), seed=None)       # shapes only
numbers = base.num_parameters()
print(f"ALBERT base: {numbers:,} numbers, {numbers * 4 / 1e6:.1f} MB in float32, {numbers / 1e6:.1f} MB at a byte each")

# %% [markdown]
# ## One byte for a weight
# A byte has 256 values. NumPy's int8 takes them as the whole numbers from -128 to 127. So a weight w is stored as a whole
# number q, and for all the weights of a row together one float32 is kept, the *scale* s:
#
#     q = w / s, rounded          w is about q · s
#
# The scale should be as small as it can be, since q · s can only be a multiple of s. But the row's largest weight has to
# fit: its q may be 127 at most. (-128 stays unused, so that both signs are treated alike.) A row of zeros fits any scale,
# and gets 1.
# %%
def some_matrix(rows, columns):
    """Random numbers; some rows are larger than others."""
    return rng.standard_normal((rows, columns)) * np.exp(rng.standard_normal((rows, 1)))


ZEROS = np.array([[0.5, -1.27, 0.02], [0.0, 0.0, 0.0]])


@exercise(trials=[(some_matrix(3, 5),), (some_matrix(4, 2),), (ZEROS,)])
def scales(matrix):
    """matrix (rows, columns) -> the scale of each row, (rows,)."""
    ...


@exercise(trials=[(m, abs(m).max(1) / 127) for m in (some_matrix(3, 5), some_matrix(4, 2), some_matrix(6, 3))])
def whole_numbers(matrix, s):
    """matrix (rows, columns), the scale of each row (rows,) -> q (rows, columns)."""
    ...


W = some_matrix(64, 48).astype(np.float32)
of_library = int8.rows_in_int8(W)
same(scales(W), of_library[1], "scales", rtol=1e-6)
same(whole_numbers(W, scales(W)), of_library[0], "whole numbers")
print(ZEROS[0], "is stored as", whole_numbers(ZEROS[:1], scales(ZEROS[:1]))[0], "with the scale", scales(ZEROS[:1])[0])

# %% [markdown]
# ## How wrong is that?
# Rounding is wrong by at most half a step, so each weight by at most s/2. In between all errors are about equally common.
# And numbers that are evenly spread from -1/2 to 1/2 have a mean square of 1/12:
# %%
even = np.linspace(-0.5, 0.5, 100001)
print(f"mean square {np.mean(even**2):.5f}, 1/12 = {1 / 12:.5f}")
q, s = of_library
errors = W - q * s[:, None]
print(f"largest error {np.max(abs(errors) / s[:, None]):.3f} scales, mean square {np.mean((errors / s[:, None]) ** 2):.5f}")
assert np.max(abs(errors) / s[:, None]) < 0.501

# %% [markdown]
# What a layer computes is W x: each result is a sum over a row. The errors of its terms have either sign and partly
# cancel, as the terms of lesson 08's scores do. So their squares add up: with n inputs of size 1 the result is wrong by about
# s √(n/12), when the result itself has a size of about √n times a weight. A usual weight is some 40 % of its row's largest, so it has 50
# steps. An error of √(1/12) = 0.3 steps, to 50: well under one part in a hundred.
# %%
thousand = rng.standard_normal((1000, 48))
wrong_by, size = np.std(thousand @ errors.T, axis=0), np.std(thousand @ W.T, axis=0)
expected = s * np.sqrt(48 / 12)
print(f"measured / expected error: {np.mean(wrong_by / expected):.2f}; error / result: {np.mean(wrong_by / size):.1%}")
assert 0.8 < np.mean(wrong_by / expected) < 1.2

# %% [markdown]
# ## Why a scale for each row?
# One scale for the whole matrix would save a few bytes. Then the largest weight of *all* rows decides how fine the steps
# are, for all of them.
# %%
outlier_share = predict("A matrix of 128 × 128 random weights of either sign. One of them becomes 300 times its usual size, and there is "
            "one scale for all. How many per cent of the other weights are stored as 0?", guess=None)
outlier = rng.standard_normal((128, 128))
outlier[5, 7] = 300.0
one_scale = abs(outlier).max() / 127
outlier_share.reveal(100 * np.mean(np.rint(outlier / one_scale) == 0), "{:.0f}")
print(f"   with a scale for each row, of all rows but that one: {np.mean(int8.rows_in_int8(np.delete(outlier, 5, 0))[0] == 0):.1%}")

# %% [markdown]
# One bad row spoils one row then, not all of them. A row is also the right unit: it makes one number of the result, so
# its scale can be multiplied in *after* the sum, once: (q · s) x = s · (q x).
#
# ## A whole model
# Matrices become int8, each with its scales beside it under a name of its own. Vectors, biases and norms, stay as they
# are: they are few.
# %%
story_rows, test_rows = ([Row(r["text"], None, r["label"], f"row {i}") for i, r in enumerate(story_dataset("topic", n, split=split))]
                         for n, split in ((800, "train"), (300, "test")))
tokenizer = AlbertTokenizer.train([row.text for row in story_rows], 1000)
task = Classification(labels=sorted({row.label for row in story_rows}))
train_set, test_set = (Features(task, some, RowEncoder(tokenizer, 48)) for some in (story_rows, test_rows))
config = AlbertConfig.preset("tiny", vocab_size=len(tokenizer), embedding_size=32, hidden_size=32, intermediate_size=64,
                             num_attention_heads=4, num_hidden_layers=3, initializer_range=0.1).with_labels(task.labels)
model = put(AlbertForSequenceClassification(config, seed=0))
trainer = Trainer(model, AdamW(list(model.named_parameters()), 5e-3, betas=(0.9, 0.98)), total_steps=180, warmup=0.1, threads=1)
for step in range(180):
    trainer.step(train_set.batch(step, 32, 0))


def accuracy():
    return task.score(test_rows, inference.predict(task, model, test_set))["accuracy"]


state = {name: to_host(array).copy() for name, array in model.state_dict().items()}
small = int8.quantized(state)
print(f"where is the story set? {accuracy():.1%} of {len(test_rows)} right; by guessing 1 in {len(task.labels)}")
print(f"{sum(a.nbytes for a in state.values()):,} bytes, then {sum(a.nbytes for a in small.values()):,}")

# %% [markdown]
# Nobody says that it must be 8 bits. With b bits the largest q is 2 to the power of b - 1, minus 1.
# %%
def with_bits(array, bits):
    """What is left of a matrix after it was stored with so many bits a weight."""
    if array.ndim != 2:
        return array
    largest = abs(array).max(1, keepdims=True)
    step = np.where(largest > 0, largest / (2 ** (bits - 1) - 1), 1)
    return (np.rint(array / step) * step).astype(array.dtype)


def loaded(bits):
    """Accuracy with so many bits a weight."""
    model.load_state_dict({name: with_bits(array, bits) for name, array in state.items()})
    return accuracy()


# %%
again = int8.dequantized(small)
for name, array in state.items():
    if array.ndim == 2 and "attention.query" in name:
        same(with_bits(array, 8), again[name], f"{name}, stored and read", rtol=1e-5)
first_bad_bits = predict("Fewer and fewer bits: 8, 6, 5, 4, 3, 2. Which is the first at which the model loses more than a tenth of its "
            "right answers?", guess=None)
bits = [8, 6, 5, 4, 3, 2]
full = accuracy()
shares = [loaded(b) for b in bits]
model.load_state_dict(state)
first_bad_bits.reveal(next((b for b, share in zip(bits, shares) if share < 0.9 * full), "none of them"))
if first_bad_bits.guessed:
    print("  ", ", ".join(f"{b} bits {share:.1%}" for b, share in zip(bits, shares)))
assert shares[0] > full - 0.03 and shares[-1] < 0.8 * full

# %%
plt = pyplot()
fig, ax = plt.subplots()
ax.plot(range(6), shares, "o-", color="0.0")
ax.axhline(full, color="0.5", lw=1)
ax.text(5.4, full + 0.01, "32 bits", color="0.4", ha="right")
ax.axhline(1 / len(task.labels), color="0.3", lw=0.8, ls=":")
ax.text(0, 1 / len(task.labels) + 0.01, "guessing", color="0.3")
ax.set_xticks(range(6), bits)
ax.set(xlabel="bits a weight", ylabel="topics told right", ylim=(0, 1), xlim=(-0.4, 5.5),
       title="8 bits cost next to nothing; with 2 there is little left")
figure(fig, "bits_a_weight")

# %% [markdown]
# Training has its own noise, a small step this way or that in every weight, and it ended in weights that stand such
# noise. Rounding to 8 bits is less than that. With 2 bits a weight is -1, 0 or 1 times its row's largest, and that is
# another model. (Those who want 4 bits or fewer go on training *with* the rounding.)
#
# ## And is it quicker?
# A quarter of the bytes, and whole numbers, which are easier than fractions. It should be.
# %%
def seconds(function):
    """The quickest of seven runs: the others had to wait for something else."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


whole_or_float = predict("The product of two 256 × 256 matrices in NumPy takes some time with float32. How many times that does it take with "
            "int8? (1/2 would be twice as quick.)", guess=None)
a, b = (rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
qa, qb = ((m * 30).astype(np.int8) for m in (a, b))
floats, wholes = seconds(lambda: a @ b), seconds(lambda: qa @ qb)
whole_or_float.reveal(wholes / floats, "{:.0f}")
print(f"   127 · 127 as int8: {(np.full(1, 127, np.int8) * np.full(1, 127, np.int8))[0]}")

# %% [markdown]
# NumPy hands products of floats to BLAS, a library that has been tuned for decades (lesson 21). For whole numbers there
# is a plain loop. The result would not even be right: 127 · 127 doesn't fit into a byte, and what does not fit is cut off.
# Chips for the edge have circuits that multiply bytes and add them up in 32 bits; there it *is* quicker. So the library
# stores int8 and computes in float32: the file is small, and results are those of any machine.
#
# ## Fewer weights: a grouped layer
# In a linear layer each result sees all inputs. Cut the inputs into G groups and the results too, and let each group of
# results see its own group of inputs only. That takes a G-th of the weights and of the multiplications. Most of ALBERT's
# arithmetic is linear layers.
#
# (A *convolution* slides one small matrix along a sequence. Slid over single tokens, as a "1 × 1 convolution", it is our
# linear layer, and with groups a *grouped convolution*. Those are the words of SqueezeBERT, the paper that did this to
# BERT. In a config it is `projection_groups`; `num_hidden_groups` is something else, sets of layers: lesson 09.)
# %%
@exercise(trials=[(rng.standard_normal((3, 6)), rng.standard_normal((2, 4, 3))), (rng.standard_normal((5, 6)), rng.standard_normal((3, 1, 2)))])
def grouped_linear(x, w):
    """x (T, inputs), w (G, outputs / G, inputs / G) -> (T, outputs); group 0 first."""
    ...


@exercise(trials=[(rng.standard_normal((3, 6)), rng.standard_normal((2, 4, 3)), rng.standard_normal((3, 8))),
                  (rng.standard_normal((5, 6)), rng.standard_normal((3, 1, 2)), rng.standard_normal((5, 3)))])
def grouped_backward_w(x, w, g):
    """g (T, outputs) is the gradient of the result -> the gradient of w, in its shape."""
    ...


# %% [markdown]
# The same as one large matrix: the groups' small ones stand on its diagonal, and 0 everywhere else. What is saved is all
# that multiplies zeros. (The library writes the groups' rows one below the other, as [out, in / G].)
# %%
def on_the_diagonal(w):
    """(G, o, i) -> (G o, G i)."""
    G, o, i = w.shape
    whole = np.zeros((G * o, G * i))
    for k in range(G):
        whole[k * o:(k + 1) * o, k * i:(k + 1) * i] = w[k]
    return whole


x, w, g = rng.standard_normal((5, 12)), rng.standard_normal((4, 2, 3)), rng.standard_normal((5, 8))
print((on_the_diagonal(w[:2]) != 0).astype(int))
same(grouped_linear(x, w), x @ on_the_diagonal(w).T, "a matrix with its groups on the diagonal")
layer = put(nn.GroupedLinear(np.random.default_rng(0), 12, 8, groups=4))
layer.weight.data = put(w.reshape(8, 3))
y = layer(put(x))
same(grouped_linear(x, w), y.data, "a grouped layer")
same(grouped_backward_w(x, w, g).reshape(8, 3), backward((y * put(g)).sum())[layer.weight], "gradient of the groups' weights")

# %% [markdown]
# ## Operations and seconds
# The first half of a small model's feed-forward, 256 numbers to 1024, for 64 tokens.
# %%
def grouped(x, w):
    """As grouped_linear, in the quickest way that NumPy has: all groups as one stack of products."""
    by_group = x.reshape(len(x), len(w), -1).swapaxes(0, 1)      # (G, T, i)
    return (by_group @ w.swapaxes(1, 2)).swapaxes(0, 1).reshape(len(x), -1)


times_quicker = predict("With 64 groups there is one multiplication where there were 64. How many times quicker is it here?", guess=None)
tokens = rng.standard_normal((64, 256)).astype(np.float32)
measured = {}
for G in (1, 2, 4, 16, 64):
    parts = rng.standard_normal((G, 1024 // G, 256 // G)).astype(np.float32)
    measured[G] = 64 * parts.size, seconds(lambda parts=parts: grouped(tokens, parts))
times_quicker.reveal(measured[1][1] / measured[64][1], "{:.0f}")
if times_quicker.guessed:
    for G, (multiplications, needed) in measured.items():
        print(f"   {G:2d} groups: {multiplications:10,d} multiplications, {needed * 1e6:5.0f} millionths of a second")
assert measured[64][0] * 64 == measured[1][0]

# %% [markdown]
# The multiplications fall exactly. The seconds follow while the products are large, and then no more: starting a product
# takes its time too, each number that was fetched is used less often, and what comes out must be put in order. Whoever
# says "64 times cheaper" should be asked: in what?
#
# ## What groups can't do
# Groups don't talk to each other. Two grouped layers in a row don't either:
# %%
reached_inputs = predict("Two layers of 4 groups, one behind the other, 64 inputs. How many of the inputs can change the first result? And "
            "how many, if the numbers are dealt out anew between the layers, one to each group in turn?", guess=None)
first, second = (rng.standard_normal((4, 16, 16)) for _ in range(2))
deal = np.arange(64).reshape(4, 16).T.reshape(-1)                # 0, 16, 32, 48, 1, 17, ...
alone = on_the_diagonal(second) @ on_the_diagonal(first)         # all that two linear layers can do
dealt = on_the_diagonal(second) @ on_the_diagonal(first)[deal]
reached_inputs.reveal(f"{np.count_nonzero(alone[0])} and {np.count_nonzero(dealt[0])}")
assert np.count_nonzero(alone[0]) == 16 and np.count_nonzero(dealt[0]) == 64

# %% [markdown]
# Dealing out anew is called a *shuffle* (Zhang et al. 2018). SqueezeBERT needs none: it leaves some layers whole, and they
# do the mixing. And it was made whole by training; a trained layer can't simply be cut.
#
# ## In the library
# `tinyalbert export FOLDER --int8 --output SMALL --table ROWS` writes the small file and tells what became of the answers.
# %%
show(int8.rows_in_int8)
show(nn.GroupedLinear)

# %% [markdown]
# **What to keep.** A byte for each weight and a scale for each row make a quarter of the bytes at hardly any cost, as
# rounding errors are small and partly cancel. Groups divide weights and multiplications, but not the seconds in the same
# way, and they must be mixed. Next: 25, train your own.
# %%
finish()
