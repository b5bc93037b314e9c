# %% [markdown]
# # 22 · Many machines
# **Needs** 09 (the model), 11 (batches as a function of a step), 12 (the step) · **Builds** `training/replicas.py`, what `Trainer.step` does ·
# **Paper** You et al. 2020 (large batches); Patarasuk and Yuan 2009 (the ring) · **Runs in** a few seconds
#
# The released ALBERTs were trained on batches of 4,096 sequences by 64 to 512 chips at once (Lan et al. 2020, §4.1).
# How do several machines train *one* model? Each has all the parameters and a part of the batch, and computes the
# gradient of its part. If they add up these gradients, all take the same step and stay equal: this is *data
# parallelism*. This lesson shows that the sum is the gradient of the whole batch, up to rounding, and what it costs.
# It needs no second machine: ours are simulated.
# %%
import threading
import time

import numpy as np
from _check import exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import AlbertConfig, AlbertForPreTraining, DropoutRng, Trainer, backward
from tinyalbert.info import parameter_rows
from tinyalbert.training import replicas

NEEDS = ["09", "11", "12"]
TEACHES = ["Trainer", "replicas.split", "replicas.Threads", "replicas.GradientSum", "replicas.MpiRanks",
           "replicas.launched_ranks", "replicas.physical_cores"]
rng = np.random.default_rng(22)
CONFIG = AlbertConfig(vocab_size=40, embedding_size=8, hidden_size=16, num_attention_heads=2, intermediate_size=32,
                      num_hidden_layers=2, max_position_embeddings=16, hidden_dropout_prob=0.1)


def new_model():
    return AlbertForPreTraining(CONFIG, seed=0).astype(np.float64)       # 64 bits, so that rounding hides nothing


def some_batch(rows, T=12):
    """A batch as in lesson 11; its first rows have few hidden pieces, its last many."""
    ids = rng.integers(5, 40, (rows, T))
    hidden = rng.random((rows, T)) < np.linspace(0.05, 0.6, rows)[:, None]
    hidden[:, 0] = True                          # at least one
    return {"input_ids": np.where(hidden, 4, ids), "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids),
            "labels": np.where(hidden, ids, -100), "sentence_order_label": rng.integers(0, 2, rows)}


# %% [markdown]
# ## Cut a batch
# We cut a batch into nearly equal parts, in order; the larger parts may be anywhere. Part i of n gets the rows from
# rows · i // n up to rows · (i + 1) // n.
# %%
@exercise(trials=[(8, 2), (10, 4), (7, 3), (12, 5)])
def part_sizes(rows, n):
    """The number of rows in each of n parts: (n,)."""
    ...


batch = some_batch(8)
parts = [part for part, first_row in replicas.split(batch, 2)]
same(part_sizes(8, 2), [len(part["labels"]) for part in parts], "sizes of the parts")

# %% [markdown]
# ## One gradient out of two
# %%
def flat_gradient(model, batch, term="mlm"):
    """The gradient of one mean loss as one long vector, and the number of targets in the mean."""
    gradients = backward(model(**batch).losses[term])
    vector = np.concatenate([gradients.get(p, np.zeros(p.shape)).ravel() for p in model.parameters()])
    return vector, model.loss_counts(**batch)[term]


model = new_model()
whole, targets = flat_gradient(model, batch)
halves = [flat_gradient(model, part) for part in parts]
mean_of_two = predict("Both halves have 4 rows. Is the mean of their two gradients the gradient of the whole batch?", guess=None)
mean = (halves[0][0] + halves[1][0]) / 2
mean_of_two.reveal(np.linalg.norm(mean - whole) / np.linalg.norm(whole), "no: it is off by {:.0%} of its length")
print("hidden pieces in the halves:", [count for _, count in halves], "in all:", targets)

# %% [markdown]
# The loss is a mean over *hidden pieces*, and one half has more of them. A mean of means gives the pieces of the
# other half too much weight. The mean over all pieces is the sum of each half's mean times its share of the targets.
# %%
@exercise(trials=[(rng.standard_normal((2, 6)), np.array([1, 3])), (rng.standard_normal((4, 5)), np.array([7, 2, 2, 9]))])
def combine(gradients, counts):
    """Gradients (n, P) of the mean losses of n parts, and their target counts (n,) -> gradient (P,) of the mean over all."""
    ...


same(combine(np.stack([g for g, _ in halves]), np.array([n for _, n in halves])), whole, "the gradient, from two halves")
parts_of_five = [flat_gradient(model, part) for part, _ in replicas.split(batch, 5)]
same(combine(np.stack([g for g, _ in parts_of_five]), np.array([n for _, n in parts_of_five])), whole, "from five uneven parts")

# %% [markdown]
# ## Dropout must not notice
# *Dropout* (lesson 08) sets randomly chosen numbers to 0. If each machine draws its own mask, the result depends on
# how many machines there are; if all draw the same, their rows share one mask. So a mask is computed from the row's
# number *in the whole batch*.
# %%
whole_out = model.train()(**batch, rng=DropoutRng(seed=7)).last_hidden_state.data
second = model(**parts[1], rng=DropoutRng(seed=7, first_row=4)).last_hidden_state.data
careless = model(**parts[1], rng=DropoutRng(seed=7)).last_hidden_state.data
same(second, whole_out[4:], "the second half, with dropout")
print(f"without the row number it is off by up to {abs(careless - whole_out[4:]).max():.2f}")

# %% [markdown]
# ## Everyone needs the sum: all-reduce
# *Rank* is the usual word for one of the processes that train together. Each has a gradient, and each needs the sum:
# this operation is an *all-reduce*. The obvious way sends everything to rank 0 and back, so rank 0 has to handle all
# the traffic. In a *ring*, each rank talks only to the next one. Cut the gradient into as many chunks as there are
# ranks. In n - 1 rounds, each chunk travels round the ring and collects the parts; in n - 1 more, the finished chunks
# travel round once again.
# %%
def ring_all_reduce(arrays):
    """Replace every array by the sum of all; returns how many numbers each rank sent, and what each held after each round."""
    n = len(arrays)
    chunks = [np.array_split(a, n) for a in arrays]                      # views: chunks[rank][i]
    collected = np.repeat(np.eye(n)[:, None, :], n, axis=1)              # (rank, chunk, whose parts are in it)
    sent, history = np.zeros(n, dtype=int), [collected.mean(axis=2)]
    for t in range(2 * (n - 1)):
        messages = []
        for rank in range(n):
            i = (rank - t) % n if t < n - 1 else (rank + 1 - (t - n + 1)) % n
            messages.append((rank, i, chunks[rank][i].copy(), collected[rank, i].copy()))
        for rank, i, numbers, parts in messages:                         # all at the same time
            to = (rank + 1) % n
            sent[rank] += len(numbers)
            if t < n - 1:
                chunks[to][i] += numbers                                 # collect
                collected[to, i] += parts
            else:
                chunks[to][i][...] = numbers                             # pass on
                collected[to, i] = parts
        history.append(collected.mean(axis=2))
    return sent, history


arrays = [rng.standard_normal(1000) for _ in range(4)]
total = sum(arrays)
sent, history = ring_all_reduce(arrays)
assert history[-1].min() == 1.0
print("each rank sent", sent, "numbers of", len(total))
for rank, array in enumerate(arrays):
    assert np.allclose(array, total), rank

# %%
plt = pyplot()
fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.4), sharey=True)
for ax, t in zip(axes, (0, 1, 3, 6)):
    ax.imshow(history[t], vmin=0, vmax=1)
    for rank in range(4):
        for i in range(4):
            ax.text(i, rank, f"{history[t][rank, i] * 4:.0f}", ha="center", va="center", color="white" if history[t][rank, i] > 0.6 else "black")
    ax.set(xlabel="chunk", xticks=range(4), yticks=range(4), title=f"after round {t}" if t else "at first")
axes[0].set_ylabel("rank")
fig.suptitle("In the ring each chunk collects parts on its way, then goes round again when finished\n(numbers: how many ranks' parts are in it)", fontsize=11, y=1.08)
figure(fig, "the_ring")

# %% [markdown]
# ## A sum has an order
# Rounding makes (a + b) + c differ from a + (b + c). If threads added in whatever order they finish, two runs would
# differ in their last digits, and soon in more. `GradientSum` always adds in the order of the parts.
# %%
numbers = rng.standard_normal(2000).astype(np.float32)
sums = {float(np.add.reduce(numbers[rng.permutation(2000)])) for _ in range(50)}
print(f"50 orders of the same 2000 numbers give {len(sums)} different sums, {max(sums) - min(sums):.1e} apart")
assert len(sums) > 1

# %% [markdown]
# ## Simulated machines
# The trainer needs little from the other ranks: its own number, how many ranks there are, and a way to replace an
# array by its sum over all ranks. On real machines MPI provides this (the *message passing interface*, a standard).
# Ours are threads that wait for each other, each with its own model, optimiser and rows.
# %%
class SimulatedRank:
    """One of several ranks that share `table`; `meet` lets all of them wait for each other."""

    def __init__(self, rank, size, table, meet):
        self.rank, self.size, self.table, self.meet = rank, size, table, meet

    def all_reduce(self, array):
        self.table[self.rank] = array.copy()
        self.meet.wait()                         # all numbers are on the table
        total = sum(self.table[rank] for rank in range(self.size))
        self.meet.wait()                         # all ranks have read them
        array[...] = total

    def barrier(self):
        self.meet.wait()


# %% [markdown]
# Train once alone, and once with n ranks that see their own rows only:
# %%
batches = [some_batch(12) for _ in range(4)]
SETTINGS = dict(optimizer="lamb", lr=0.01, total_steps=4, warmup=1, seed=3)


def train_alone(**options):
    trainer = Trainer(new_model(), **{"threads": 1, **SETTINGS, **options})
    reports = [trainer.step(batch) for batch in batches]
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()]), reports


def train_together(n):
    table, meet, results = {}, threading.Barrier(n, timeout=60), [None] * n

    def work(rank):
        trainer = Trainer(new_model(), threads=1, ranks=SimulatedRank(rank, n, table, meet), **SETTINGS)
        reports = [trainer.step(replicas.split(batch, n)[rank][0]) for batch in batches]          # its own rows only
        results[rank] = np.concatenate([p.data.ravel() for p in trainer.model.parameters()]), reports

    workers = [threading.Thread(target=work, args=(rank,)) for rank in range(n)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


alone, reports = train_alone()
for n in (2, 5):
    results = train_together(n)
    for parameters, _ in results:
        same(parameters, alone, f"parameters of one of {n} ranks after {len(batches)} steps", rtol=1e-8)
same([r["loss"] for r in results[0][1]], [r["loss"] for r in reports], "the losses that the ranks report")
same(train_alone(threads=2)[0], alone, "parameters with two threads", rtol=1e-8)
same(train_alone(accumulation=3)[0], alone, "parameters with micro-batches, one after another", rtol=1e-8)

# %% [markdown]
# The last line shows how to use large batches without more machines: *gradient accumulation* works on a third of the
# rows at a time, adds up the gradients, and takes one step. The result is the same, with only a third of the batch in
# memory at a time; in exchange, the thirds run one after another.
#
# To use real machines, run `mpiexec -n 4 python -m tinyalbert pretrain ...`; `launched_ranks` then finds MPI. Without
# MPI:
# %%
ranks = replicas.launched_ranks()
print("ranks:", ranks.size, "  cores for threads:", replicas.physical_cores())


# %% [markdown]
# ## What it costs
# Each round of the ring sends one chunk to the next rank and has a fixed cost, the *latency*. How long a chunk takes
# depends on the *bandwidth*, in bytes per second.
# %%
@exercise(trials=[(2, 1e6, 1e8, 1e-3), (8, 4.5e7, 1.25e8, 1e-4), (64, 4.4e8, 1.25e9, 1e-5)])
def ring_seconds(n, size, bandwidth, latency):
    """Seconds of an all-reduce of `size` bytes over n ranks."""
    ...


longer_ring = predict("With 64 ranks instead of 2, and no latency: by what factor does the ring take longer?", guess=None)
longer_ring.reveal(ring_seconds(64, 1e9, 1e9, 0) / ring_seconds(2, 1e9, 1e9, 0), "{:.2f}")

# %% [markdown]
# The factor never reaches 2: each rank sends at most twice the size of the gradient, however many ranks there are.
# What matters is that size, and here ALBERT's sharing pays off a second time: the work is the same, but there are far
# fewer numbers to send.
# %%
sizes = {"ALBERT base": 4 * sum(n for _, n, _ in parameter_rows(AlbertConfig.preset("base_v2"))),
         "BERT base": 4 * sum(n for _, n, _ in parameter_rows(AlbertConfig.bert()))}
for name, size in sizes.items():
    print(f"   gradient of {name}: {size / 1e6:.0f} MB in float32")
L, H, tokens = 12, 768, 32 * 512                 # both have twelve layers of width 768; 32 sequences per rank
work = 6 * L * 12 * H * H * tokens               # operations: each of 12 H² numbers meets each token in 3 products, 2 operations each
RANKS, GPU = np.array([1, 2, 4, 8, 16, 32, 64]), 50e12
fig, ax = plt.subplots(figsize=(6.4, 3.4))
last = {}
for bandwidth, style, where, shift in ((1.25e8, "-", "1 Gbit/s", -1.5), (1.25e9, "--", "10 Gbit/s", 1.5)):
    for (name, size), colour in zip(sizes.items(), ("0.0", "0.5")):
        step = work / GPU
        speed = RANKS * step / (step + ring_seconds(RANKS, size, bandwidth, 5e-5))
        ax.plot(RANKS, speed, style, color=colour, marker="o", ms=3)
        last[name, where] = speed[-1]
        ax.text(66, speed[-1] + shift, f"{name}, {where}", color=colour, va="center", fontsize=8)
ax.plot(RANKS, RANKS, color="0.8", lw=1)
ax.text(30, 36, "speed-up = ranks", color="0.5", ha="right", fontsize=8)
ax.set(xlabel="ranks, each a chip with 50·10¹² operations per second (a model, not a measurement)", ylabel="times as fast as one",
       xlim=(0, 105), xticks=[1, 16, 32, 64], title="Sharing is worth a network: ALBERT over 1 Gbit/s keeps up with BERT over 10")
figure(fig, "albert_and_bert_over_a_network")
assert last["ALBERT base", "1 Gbit/s"] > 0.9 * last["BERT base", "10 Gbit/s"]

# %% [markdown]
# ## Measure it here
# Threads share their memory, so their all-reduce costs next to nothing; what remains is how evenly the work is split.
# On a machine that is busy with other things, the second number may even be larger.
# %%
config = AlbertConfig.preset("mini", vocab_size=1000)
ids = rng.integers(5, 1000, (16, 64)).astype(np.int32)
labels = np.where(rng.random(ids.shape) < 0.15, ids, -100)
for threads in (1, 2):
    trainer = Trainer(AlbertForPreTraining(config, seed=0), threads=threads)
    seconds = []
    for _ in range(4):
        begun = time.perf_counter()
        trainer.step({"input_ids": ids, "labels": labels})
        seconds.append(time.perf_counter() - begun)
    print(f"   {threads} thread(s): {min(seconds):.3f} s per step")

# %% [markdown]
# ## In the library
# %%
show(Trainer.step)
show(Trainer.forward_backward)
show(replicas.MpiRanks)

# %% [markdown]
# **What to keep.** The gradient of a mean is a weighted sum of the parts' gradients, weighted by their numbers of
# targets. Masks and batches depend on the row's number, so how the batch is split makes no difference. An all-reduce
# sends each number about twice, so a small model is cheap to keep in step. Next: 23, beyond English.
# %%
finish()
