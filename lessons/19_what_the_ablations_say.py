# %% [markdown]
# # 19 · What the paper's ablations say
# **Needs** 07 (E and H), 09 (sharing), 11 (sentence order), 13 (a run) · **Builds** a comparison with its noise; the paper's
# Tables 3 to 5 in miniature · **Paper** Lan et al. 2020, §4.4 to §4.6 · **Runs in** about 15 seconds
#
# Why 128 numbers for a word? Why share everything? Why sentence *order*? The paper answers with *ablations*: change one
# thing, leave all else as it is, and see what becomes of the result. This lesson does so with models that train in a
# second, and asks first what such a comparison is worth.
# %%
import tempfile

import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import (
    AdamW,
    AlbertConfig,
    AlbertForPreTraining,
    AlbertModel,
    AlbertTokenizer,
    Muon,
    Trainer,
)
from tinyalbert.pretraining import pairs
from tinyalbert.pretraining.batches import PretrainingData
from tinyalbert.pretraining.evaluation import evaluate_pretraining
from tinyalbert.pretraining.shards import prepare
from tinyalbert.stories.corpus import documents

NEEDS = ["07", "09", "11", "13"]
TEACHES = ["Muon", "pairs.next_sentence_pairs", "pairs.sentence_order_pairs"]
rng = np.random.default_rng(19)

# %% [markdown]
# ## One run is no answer
# A run starts from random weights and reads its texts in a random order. All of that follows from one number, the *seed*.
# Another seed, another loss, and nothing else was changed. So compare several seeds: for each of them the loss of one
# variant minus that of the other, d. The mean of these differences is what we want, and it is uncertain too. By how much?
#
# If single differences are spread by s (their standard deviation: the root of the mean squared distance from their mean),
# then a sum of n of them is spread by s√n: independent errors partly cancel, and their squares add up, as in lesson 08. The
# mean is the sum divided by n, so it is spread by s√n / n = s/√n. This is its *standard error*. (s itself is estimated from
# the same n numbers, whose mean lies in their own middle and so a little too close to them; dividing the sum of squares by n
# - 1 in place of n makes up for it.) A difference smaller than two standard errors is taken for *noise*.
# %%
@exercise(trials=[(rng.standard_normal(3) + 4, rng.standard_normal(3) + 4), (rng.standard_normal(6), rng.standard_normal(6) * 2),
                  (np.array([4.0, 5.0]), np.array([3.0, 3.0]))])
def difference(a, b):
    """Losses (n,) of two variants, with the same seeds -> np.array([mean of a - b, its standard error])."""
    ...


many = rng.standard_normal((20000, 4))                           # 20,000 times four seeds, nothing but noise
means, errors = many.mean(1), many.std(1, ddof=1) / 2
print(f"spread of a mean of four: {means.std():.3f}; one over the root of four: {1 / np.sqrt(4):.3f}")
print(f"nothing was changed, and yet the difference is above two standard errors in {np.mean(abs(means) > 2 * errors):.0%} of the cases")

# %% [markdown]
# Four seeds are few, and s is a guess from four numbers. In one comparison out of seven there seems to be something where
# there is nothing. Whoever compares twenty things finds three.
#
# ## What sharing saves
# The config's `shared_parameters` says what all layers have in common: *all*; the *attention* only; the feed-forward half,
# *ffn*, only; or *none*, as in BERT.
# %%
@exercise(trials=[("all", 12, 100, 300), ("attention", 12, 100, 300), ("ffn", 12, 100, 300), ("none", 12, 100, 300), ("ffn", 3, 7, 5)])
def stored(sharing, layers, attention, ffn):
    """Numbers to be stored for `layers` layers, if one attention has `attention` of them and one feed-forward half `ffn`."""
    ...


one = AlbertModel(AlbertConfig.preset("base_v2"), seed=None).encoder.albert_layer_groups[0].albert_layers[0]
of_attention, of_layer = one.attention.num_parameters(), one.num_parameters()
for sharing in ("all", "attention", "ffn", "none"):
    encoder = AlbertModel(AlbertConfig.preset("base_v2", shared_parameters=sharing), seed=None).encoder
    library = encoder.num_parameters() - encoder.embedding_hidden_mapping_in.num_parameters()
    same(stored(sharing, 12, of_attention, of_layer - of_attention), library, f"numbers stored in base's layers, shared: {sharing}")

# %% [markdown]
# ## Six variants, four seeds
# The stories of lesson 13, and a small model of four layers. Masked words alone, so one number tells everything: the loss on
# stories that are held out. A seed fixes the random weights and the order of the texts, so with the same seed all variants
# read the same. One of them is no ablation but what came after the paper: *Muon*, an optimiser that makes the step of each
# matrix equally long in all directions (2024).
# %%
folder = tempfile.TemporaryDirectory()
tokenizer = AlbertTokenizer.train([sentence for story in documents(600) for sentence in story], 500)
prepare(["stories:600"], tokenizer, f"{folder.name}/data", workers=1, progress=False)
data = PretrainingData(f"{folder.name}/data", max_seq_length=16, sentence_task="none", ngram=1)
held_out = data.evaluation_batches(3, 64)
VARIANTS = {"all shared": {}, "attention shared": {"shared_parameters": "attention"}, "FFN shared": {"shared_parameters": "ffn"},
            "none shared": {"shared_parameters": "none"}, "E = 4": {"embedding_size": 4}, "Muon": {}}
SEEDS, STEPS = range(4), 80


def model_of(changes, seed):
    sizes = {"embedding_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 4}
    config = AlbertConfig.preset("tiny", **{"vocab_size": len(tokenizer), "initializer_range": 0.05, "sentence_task": "none",
                                            **sizes, **changes})
    return put(AlbertForPreTraining(config, seed=seed))


def loss_of(name, seed):
    """The loss on held-out stories after a run."""
    model = model_of(VARIANTS[name], seed)
    optimiser = (Muon if name == "Muon" else AdamW)(list(model.named_parameters()), 5e-3, betas=(0.9, 0.98))
    trainer = Trainer(model, optimiser, total_steps=STEPS, warmup=0.1, threads=1)
    for step in range(STEPS):
        trainer.step(data.batch(seed * STEPS + step, 32))
    return evaluate_pretraining(model, held_out, trainer.replicas)["mlm_loss"]


losses = {name: np.array([loss_of(name, seed) for seed in SEEDS]) for name in VARIANTS}

# %%
sharing_or_not = predict("All layers share everything, or nothing, with nearly twice the numbers to be trained. Is the difference in loss "
            "above the noise here? (yes or no; and in whose favour?)", guess=None)
mean, error = difference(losses["all shared"], losses["none shared"])
sharing_or_not.reveal(f"{'yes' if abs(mean) > 2 * error else 'no'}: {mean:+.3f}, noise {2 * error:.3f} (above 0: sharing is worse)")
if sharing_or_not.guessed:
    for name, values in losses.items():
        beside, its_noise = difference(values, losses["all shared"]) if name != "all shared" else (0.0, 0.0)
        print(f"   {name:18s}{model_of(VARIANTS[name], 0).num_parameters():8,d} numbers   loss {values.mean():.3f}   "
              f"{beside:+.3f} to all shared, noise {2 * its_noise:.3f}")

# %%
plt = pyplot()
fig, ax = plt.subplots(figsize=(6.8, 3.4))
for y, values in enumerate(reversed(losses.values())):
    ax.plot(values, [y] * len(values), "o", color="0.6", ms=5)
    ax.plot(values.mean(), y, "|", color="0.0", ms=18, mew=2)
ax.axvline(losses["all shared"].mean(), color="0.5", lw=0.8, ls=":")
ax.set_yticks(range(len(losses)), list(reversed(losses)))
worse, noise = difference(losses["E = 4"], losses["all shared"])
assert worse > 2 * noise
ax.set(xlabel=f"loss on held-out stories after {STEPS} steps (dot: a seed; bar: their mean)",
       title="What is shared matters less here than the seed; an E of 4 matters more")
figure(fig, "seeds_and_variants")

# %% [markdown]
# What do the paper's numbers say? In Table 4, with E = 128, sharing everything costs 1.5 points of 81.6 on the mean of five
# tasks, nearly all of it by sharing the feed-forward half. It pays for that with a model so small that it can be made *wider*
# and then wins. Table 3 finds E = 128 best where all is shared, by 0.3 to 1.1 points; and each of these numbers is of *one*
# run, since a run took days. Now you know what to ask.
#
# What does our figure say? As much as 80 steps of a tiny model can. Four numbers for a word are too few, whatever the seed.
# Sharing and Muon make no difference that four seeds could show; this is not the same as "no difference".
# `python scripts/ablation.py sharing --minutes 10 --seeds 3` trains the same table in earnest, and writes the noise beside
# every claim.
#
# ## Next sentence, or sentence order?
# BERT had been trained with *next-sentence prediction*: is B what follows A, or is it from another document? ALBERT has
# *sentence order*: does B follow A, or A B? The paper found that a model of the first kind tells the order no better than
# a coin. It must have learned something easier. What?
#
# Here is a rule that knows no grammar and no order. It counts the words that both segments have.
# %%
@exercise(trials=[(np.array([5, 9, 9, 12]), np.array([9, 7, 12, 12, 3])), (np.array([4, 4, 4]), np.array([6, 7])), (np.array([8, 5]), np.array([5, 8, 5, 5]))])
def words_in_both(first, second):
    """Ids of two segments -> how many different ids stand in both."""
    ...


def counts_and_labels(task, step):
    """For the pairs of a batch: words in both segments, and the label (0: B follows A)."""
    some = PretrainingData(f"{folder.name}/data", max_seq_length=64, sentence_task=task)
    batch = some.batch(step, 400)
    ids, kinds, there = batch["input_ids"], batch["token_type_ids"], batch["attention_mask"] == 1
    rare = ids > 60                                              # special tokens and the commonest pieces are left out
    counts = [words_in_both(row[rare_ & there_ & (kind == 0)], row[rare_ & there_ & (kind == 1)])
              for row, kind, rare_, there_ in zip(ids, kinds, rare, there)]
    return np.array(counts), np.array(batch["sentence_order_label"]).reshape(-1)


def rule_right(task):
    """How often "fewer than so many words in both: label 1" is right, with the best limit of other pairs."""
    counts, labels = counts_and_labels(task, 0)
    limit = max(range(12), key=lambda few: np.mean((counts < few) == labels))
    counts, labels = counts_and_labels(task, 1)
    return float(np.mean((counts < limit) == labels))


rule_is_right = predict("How often is the counting rule right for next sentence, and how often for sentence order? (two numbers, in per cent)",
            guess=None)
next_sentence, order = rule_right("nsp"), rule_right("sop")
rule_is_right.reveal(f"{next_sentence:.0%} for next sentence, {order:.0%} for sentence order")
assert next_sentence > 0.62 and abs(order - 0.5) < 0.1

# %% [markdown]
# Two segments of one document are about the same things, and two of different documents are not. So the label of
# next-sentence prediction leaks through the *topic*, which a model learns from masked words anyway. In sentence order both
# segments always come from one document, and they are the same two segments whatever the label: exchanging them leaves the
# count as it is. The leak is closed by construction. That is the ablation behind ALBERT's third idea, and it needs no seeds:
# the rule can't work.
#
# ## In the library
# %%
show(pairs.sentence_order_pairs)
show(pairs.next_sentence_pairs)
folder.cleanup()

# %% [markdown]
# **What to keep.** Change one thing, keep the seeds, and put the noise beside the difference. Sharing saves much and costs
# a little. An easier way to be right will be found: next-sentence prediction had one, sentence order closes it. Next: 20,
# the same code on a GPU.
# %%
finish()
