# %% [markdown]
# # 14 · Fine-tuning
# **Needs** 13 (pretraining) · **Builds** a classifier on a pretrained encoder, its scores and its baselines · **Paper** Devlin
# et al. 2019, §4.1; Lan et al. 2020, §4 · **Runs in** about 50 seconds
#
# Labels are expensive, text is not. Pretraining needs text only; what the encoder learned from it (which words belong together,
# what happens before what) is then used for a task with few labels: take the encoder, put one new linear map on the
# `[CLS]` vector, and train a little further. That is *fine-tuning*.
# %%
import tempfile

import numpy as np
from _check import exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertForSequenceClassification,
    AlbertTokenizer,
    Trainer,
    no_grad,
)
from tinyalbert.optim import AdamW
from tinyalbert.pretraining.batches import PretrainingData
from tinyalbert.pretraining.shards import prepare
from tinyalbert.pretraining.stories import documents
from tinyalbert.tasks import classification
from tinyalbert.tasks.classification import Features, encode_labels, predict_logits
from tinyalbert.tasks.metrics import bag_of_words_baseline, classification_metrics, majority_baseline
from tinyalbert.tasks.tables import Row

NEEDS = ["13"]
TEACHES = ["AlbertForSequenceClassification", "AlbertTokenizer", "use_kernels"]
rng = np.random.default_rng(14)

# %% [markdown]
# ## A pretrained encoder
# As in lesson 13, on stories, for some seconds.
# %%
folder = tempfile.TemporaryDirectory()
stories = list(documents(2500))
tokenizer = AlbertTokenizer.train([s for d in stories for s in d], 1000)
prepare(["stories:2500"], tokenizer, f"{folder.name}/data", workers=1, progress=False)
data = PretrainingData(f"{folder.name}/data", max_seq_length=16, ngram=1, whole_word=False, fill="cut")
config = AlbertConfig.preset("tiny", vocab_size=len(tokenizer), initializer_range=0.03)
pretrained = AlbertForPreTraining(config)
trainer = Trainer(pretrained, AdamW(list(pretrained.named_parameters()), 3e-3, betas=(0.9, 0.98)), total_steps=900, threads=2)
losses = [trainer.step(data.batch(step, 64))["mlm_loss"] for step in range(900)]
print(f"word loss {np.mean(losses[:20]):.2f} at first, {np.mean(losses[-50:]):.2f} at the end; "
      f"unigram entropy {data.meta['unigram_entropy']:.2f}")

# %% [markdown]
# ## A task
# Two neighbouring sentences of a story, or the same two with one of them taken from another story: do they belong together?
# The labels come from how the pairs were made.
# %%
def pairs(n, source, seed):
    """Rows of two sentences with the label "together" or "apart"."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        story = source[draw.integers(len(source))]
        k = draw.integers(len(story) - 1)
        other = source[draw.integers(len(source))]
        together = i % 2 == 0
        second = story[k + 1] if together else other[draw.integers(len(other))]
        rows.append(Row(story[k], second, "together" if together else "apart", f"row {i}"))
    return rows


train_rows, test_rows = pairs(600, stories[:1200], 1), pairs(400, list(documents(2900))[2500:], 2)
for row in test_rows[:4]:
    print(f"   {row.label:10s}{row.text}  |  {row.pair}")

# %% [markdown]
# ## Build it: the head
# One linear map on the pooled `[CLS]` vector, as many scores as there are labels, and the cross-entropy of lesson 05.
# %%
names = ["apart", "together"]
model = AlbertForSequenceClassification(config.with_labels(names), seed=2).astype(np.float64)
features = Features(test_rows[:6], tokenizer, 48, encode_labels(test_rows[:6], names))
batch = features.take(np.arange(6))
out = model(**batch)
pooled = model.albert(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]).pooler_output.numpy()
scores = pooled @ model.classifier.weight.data.T + model.classifier.bias.data                    # (B, labels)
same(scores, out.logits.numpy(), "scores of the labels")
logp = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
same(-logp[np.arange(6), batch["labels"]].mean(), out.loss.numpy(), "the loss")


# %%
@exercise(reference=lambda lengths: float(1 - lengths.sum() / (lengths.max() * len(lengths))),
          trials=[(np.array([3, 5, 10, 2]),), (np.array([7, 7, 7]),), (rng.integers(2, 60, 32),)],
          hint="a batch is as wide as its longest sequence; the share of places that hold nothing")
def padding_share(lengths):
    """Lengths of the sequences of a batch -> the share of its places that is padding."""
    ...


mixed = Features(train_rows, tokenizer, 48)
order = rng.permutation(len(mixed))
at_random = np.mean([padding_share(mixed.lengths[order[i:i + 32]]) for i in range(0, len(mixed), 32)])
sorted_first = np.mean([padding_share(mixed.lengths[np.sort(mixed.lengths).argsort()][i:i + 32])
                        for i in range(0, len(mixed), 32)])
by_length = np.argsort(mixed.lengths, kind="stable")
sorted_first = np.mean([padding_share(mixed.lengths[by_length[i:i + 32]]) for i in range(0, len(mixed), 32)])
print(f"padding: {at_random:.0%} in batches at random, {sorted_first:.0%} where rows of like length meet")
assert sorted_first < at_random


# %% [markdown]
# ## What a number means
# An accuracy alone says nothing. Two *baselines* stand beside it: always the commonest label, and a *bag of words*, which counts
# words and sees no order. Besides accuracy there is F1, which a model can't get by always saying yes.
# %%
@exercise(reference=lambda gold, said: classification_metrics(gold, said, 2)["f1"],
          trials=[(np.array([1, 1, 0, 0, 1]), np.array([1, 0, 0, 1, 1])), (np.array([0, 1, 0, 0]), np.array([0, 1, 1, 1]))],
          hint="precision: of those said to be 1, how many are; recall: of those that are 1, how many were found; "
               "F1 = 2 · precision · recall / (precision + recall)")
def f1_score(gold, said):
    """F1 of label 1."""
    ...


same(f1_score(np.array([1, 0, 1]), np.array([1, 1, 1])), 0.8, "F1 of one wrong yes in three")

# %% [markdown]
# ## From both starts
# The same classifier twice, once with the pretrained encoder, once with random numbers, for several numbers of labels.
# %%
p = predict("With 100 labels: how many percentage points is the pretrained start ahead?", guess=None)
test = Features(test_rows, tokenizer, 48)
gold = encode_labels(test_rows, names)


def fine_tune(n, from_pretrained, seed=0):
    """Accuracy on the test pairs after training on n labels."""
    network = AlbertForSequenceClassification(config.with_labels(names), seed=seed)
    if from_pretrained:
        own = network.state_dict()
        network.load_state_dict({k: v for k, v in pretrained.state_dict().items() if k in own}, strict=False)
    rows = Features(train_rows[:n], tokenizer, 48, encode_labels(train_rows[:n], names))
    steps = 120
    tuner = Trainer(network, AdamW(list(network.named_parameters()), 1e-3, betas=(0.9, 0.98)), total_steps=steps, warmup=0.1,
                    threads=2)
    for step in range(steps):
        tuner.step(rows.batch(step, 32, seed))
    return classification_metrics(gold, predict_logits(network, test).argmax(1), 2)["accuracy"]


sizes = [100, 250, 600]
curves = {start: [fine_tune(n, start == "pretrained") for n in sizes] for start in ("pretrained", "random")}
words = [bag_of_words_baseline([f"{r.text} {r.pair}" for r in train_rows[:n]], encode_labels(train_rows[:n], names),
                               [f"{r.text} {r.pair}" for r in test_rows], 2) for n in sizes]
curves["bag of words"] = [classification_metrics(gold, w, 2)["accuracy"] for w in words]
p.reveal(100 * (curves["pretrained"][0] - curves["random"][0]), "{:.0f}")
for name, values in curves.items():
    print(f"   {name:16s}" + "".join(f"{v:8.1%}" for v in values) + f"   with {sizes} labels")
print(f"   {'majority':16s}{majority_baseline(encode_labels(train_rows, names), gold):8.1%}")

# %%
plt = pyplot()
fig, ax = plt.subplots()
for (name, values), color in zip(curves.items(), ("0.0", "0.5", "0.75")):
    ax.plot(sizes, values, "o-", color=color)
    ax.text(sizes[-1] * 1.02, values[-1], name, color=color, va="center")
ax.axhline(0.5, color="0.3", ls=":", lw=0.8)
ax.set(xlabel="labelled pairs", ylabel="right answers", xlim=(60, 780), ylim=(0.4, 1),
       title="With few labels the pretrained start is worth more than many labels from a random one")
figure(fig, "labels_needed")
assert np.mean(curves["pretrained"]) > np.mean(curves["random"])

# %% [markdown]
# A bag of words is at chance here: each word occurs in pairs of both kinds. Only a look at *both* sentences helps, and that is
# what pretraining has practised.
#
# ## A label list
# %%
@exercise(reference=lambda labels: sorted(set(labels)), trials=[(["no", "yes", "no"],), (["b", "c", "a", "c"],)],
          hint="every label once, in an order that does not depend on the order of the rows")
def label_list(labels):
    """Labels of the rows -> the list of labels; the position in it is the label's id."""
    ...


with no_grad():
    same(model(**batch).logits.numpy(), out.logits.numpy(), "without recording, the same scores")
folder.cleanup()

# %% [markdown]
# ## In the library
# %%
show(AlbertForSequenceClassification)
show(classification.predict_logits)

# %% [markdown]
# **What to keep.** Fine-tuning is the same training with a new head and a good start. Keep baselines beside every number.
# `tinyalbert finetune my_table.tsv --model folder` does all of this for your own rows. Next: 20, the same code on a GPU.
# %%
finish()
