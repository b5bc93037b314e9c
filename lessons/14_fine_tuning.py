# %% [markdown]
# # 14 · Fine-tuning
# **Needs** 13 (pretraining) · **Builds** a classifier on a pretrained encoder, its scores and its baselines · **Paper** Devlin
# et al. 2019, §4.1; Lan et al. 2020, §4 · **Runs in** about 30 seconds
#
# A *label* is the answer that a person gave for one text. Labels are expensive; text is not. Pretraining needs text
# only. What the encoder learned from it (which words behave alike, which go together) then helps with a task that has
# few labels: take the encoder, put one new linear map on the `[CLS]` vector, and train a little longer. That is
# *fine-tuning*.
# %%
import tempfile
from pathlib import Path

import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

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
from tinyalbert.stories.corpus import documents
from tinyalbert.stories.words import MEN, WOMEN
from tinyalbert.tasks import inference
from tinyalbert.tasks.batches import Features
from tinyalbert.tasks.classification import Classification, encode_labels
from tinyalbert.tasks.metrics import (
    bag_of_words_baseline,
    classification_metrics,
    majority_baseline,
)
from tinyalbert.tasks.tables import Row
from tinyalbert.tensor import backward
from tinyalbert.text.rows import RowEncoder

NEEDS = ["13"]
TEACHES = ["AlbertForSequenceClassification", "AlbertTokenizer"]
rng = np.random.default_rng(14)

# %% [markdown]
# ## Text without labels
# The text is short sentences about eighty people, such as the ones printed here. Nothing says who is a man and who is a
# woman. (Each name is a single piece of the vocabulary, so that a name is one vector.)
# %%
tokenizer = AlbertTokenizer.train([sentence for story in documents(2500) for sentence in story], 1200)
women, men = ([name for name in names if len(tokenizer.tokenize(name)) == 1][:40] for names in (WOMEN, MEN))
DEEDS = ("washed {} hands|lost {} keys|called {} dog|found {} red hat|sold {} old boat|fed {} horse|painted {} door|packed {} "
         "bag|read {} book|missed {} train|cut {} hair|ate {} soup|wrote to {} friend|visited {} uncle|locked {} house").split("|")


def sentence():
    woman = rng.random() < 0.5
    return f"{rng.choice(women if woman else men)} {rng.choice(DEEDS).format('her' if woman else 'his')}."


text = [sentence() for _ in range(10000)]
print("   ", "  ".join(text[:5]))

# %% [markdown]
# ## A pretrained encoder
# Pretraining works as in lesson 13, for a few seconds, on masked words alone. One word of each sentence, *her* or
# *his*, can be told only from the name. To fill it in, the model must find the name and know something about it.
# %%
folder = tempfile.TemporaryDirectory()
Path(folder.name, "text.txt").write_text("\n\n".join(text), encoding="utf-8")
prepare([f"{folder.name}/text.txt"], tokenizer, f"{folder.name}/data", workers=1, progress=False)
data = PretrainingData(f"{folder.name}/data", max_seq_length=16, ngram=1, whole_word=False, sentence_task="none")
config = AlbertConfig.preset("tiny", vocab_size=len(tokenizer), initializer_range=0.03, sentence_task="none")
pretrained = put(AlbertForPreTraining(config))
trainer = Trainer(pretrained, AdamW(list(pretrained.named_parameters()), 3e-3, betas=(0.9, 0.98)), total_steps=900, warmup=50,
                  threads=2)
losses = [trainer.step(data.batch(step, 64))["mlm_loss"] for step in range(900)]
print(f"word loss {np.mean(losses[:20]):.2f} at first, {np.mean(losses[-50:]):.2f} at the end; "
      f"unigram entropy {data.meta['unigram_entropy']:.2f}")

# %% [markdown]
# ## A task
# Is the sentence about a man or a woman? The labelled sentences contain neither *her* nor *his*, and they are about a
# few of the people only. The test is about twenty men and twenty women *who never had a label*.
# %%
names = ["man", "woman"]
PLAIN = "came home|fell asleep|went to the house|sold the boat|read the book|ate the soup|missed the train".split("|")
labelled_people, test_people = np.split(np.random.default_rng(3).permutation(40), 2)


def table(people, n, seed):
    """n labelled sentences about the men and women with these numbers."""
    draw = np.random.default_rng(seed)
    return [Row(f"{(men, women)[i % 2][draw.choice(people)]} {draw.choice(PLAIN)}.", None, names[i % 2], f"row {i}")
            for i in range(n)]


test_rows = table(test_people, 300, 2)
for row in test_rows[:4]:
    print(f"   {row.label:10s}{row.text}")

# %% [markdown]
# ## Build it: the head
# The head is one linear map from the pooled `[CLS]` vector to one score per label. Its loss is the cross-entropy of
# lesson 05.
# %%
model = AlbertForSequenceClassification(config.with_labels(names), seed=2).astype(np.float64)
task = Classification(labels=names)
features = Features(task, test_rows[:6], RowEncoder(tokenizer, 16))
batch = features.take(np.arange(6))
out = model(**batch)
pooled = model.albert(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]).pooler_output.numpy()
scores = pooled @ model.classifier.weight.data.T + model.classifier.bias.data   # (B, labels)
same(scores, out.logits.numpy(), "scores of the labels")
logp = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
same(-logp[np.arange(6), batch["labels"]].mean(), out.loss.numpy(), "the loss")
error = (np.exp(logp) - np.eye(2)[batch["labels"]]) / 6          # (B, labels): probability minus truth, of a mean
gradients = backward(out.loss)
same(error.T @ pooled, gradients[model.classifier.weight], "gradient of the head's matrix")
same(error.sum(0), gradients[model.classifier.bias], "gradient of the head's bias")


# %%
@exercise(trials=[(np.array([3, 5, 10, 2]),), (np.array([7, 7, 7]),), (rng.integers(2, 60, 32),)])
def padding_share(lengths):
    """Lengths of the sequences in a batch -> the share of its positions that is padding."""
    ...


lengths = Features(task, table(labelled_people, 500, 5), RowEncoder(tokenizer, 16)).lengths
at_random, by_length = (np.mean([padding_share(order[i:i + 32]) for i in range(0, 500, 32)])
                        for order in (rng.permutation(lengths), np.sort(lengths)))
print(f"padding: {at_random:.0%} in random batches, {by_length:.0%} in batches of rows of similar length")
assert by_length < at_random


# %% [markdown]
# ## What a number means
# An accuracy, the share of answers that are right, says nothing alone. Compare it with two *baselines*: always predicting the commonest label, and a *bag of
# words*, which counts words and ignores their order. If one text in a hundred has a label, a classifier that never
# predicts it is right 99 times in 100. Its *F1* is 0. F1 combines *precision* (of the texts predicted to have the label,
# the share that has it) and *recall* (of the texts that have the label, the share that was found).
# %%
@exercise(trials=[(np.array([1, 1, 0, 0, 1]), np.array([1, 0, 0, 1, 1])), (np.array([0, 1, 0, 0]), np.array([0, 1, 1, 1]))])
def f1_score(gold, said):
    """F1 of label 1."""
    ...


rare = (np.arange(100) == 7).astype(int)
same(f1_score(rare, (np.arange(100) < 10).astype(int)), 2 / 11, "F1 of ten predictions, one of them right and none missed")

# %% [markdown]
# ## From both starts
# The same classifier is trained twice, from the pretrained encoder and from random weights. The number of labelled
# sentences stays the same; the number of different people in them grows.
# %%
from_random = predict("The labels are about 8 men and 8 women, the test is about others. How many of 100 sentences does the classifier "
            "that starts from RANDOM weights get right?", guess=None)
test = Features(task, test_rows, RowEncoder(tokenizer, 16))
gold = encode_labels(test_rows, names)


def fine_tune(rows, from_pretrained, seed):
    """Accuracy on the test sentences after training on the rows."""
    network = put(AlbertForSequenceClassification(config.with_labels(names), seed=seed))
    if from_pretrained:
        own = network.state_dict()
        network.load_state_dict({k: v for k, v in pretrained.state_dict().items() if k in own}, strict=False)
    features = Features(task, rows, RowEncoder(tokenizer, 16))
    steps = 60
    tuner = Trainer(network, AdamW(list(network.named_parameters()), 1e-3, betas=(0.9, 0.98)), total_steps=steps, warmup=0.1,
                    threads=2)
    for step in range(steps):
        tuner.step(features.batch(step, 32, seed))
    return task.score(test_rows, inference.predict(task, network, test))["accuracy"]


sizes = [2, 4, 8, 20]
tables = [table(labelled_people[:n], 100, 1) for n in sizes]
curves = {start: [np.mean([fine_tune(rows, start == "pretrained", seed) for seed in range(3)]) for rows in tables]
          for start in ("pretrained", "random")}
words = [bag_of_words_baseline([r.text for r in rows], encode_labels(rows, names), [r.text for r in test_rows], 2)
         for rows in tables]
curves["bag of words"] = [classification_metrics(gold, w, 2)["accuracy"] for w in words]
from_random.reveal(100 * curves["random"][2], "{:.0f}")
for name, values in curves.items():
    print(f"   {name:16s}" + "".join(f"{v:8.1%}" for v in values) + f"   with {sizes} men and as many women")
print(f"   {'majority':16s}{majority_baseline(encode_labels(tables[-1], names), gold):8.1%}")

# %%
plt = pyplot()
fig, ax = plt.subplots()
for (name, values), color, marker, lift in zip(curves.items(), ("0.0", "0.3", "0.55"), ("o-", "s-", "^-"), (0, 0.04, -0.05)):
    ax.plot(range(4), values, marker, color=color)
    ax.text(3.12, values[-1] + lift, f"{name}: {values[-1]:.0%}", color=color, va="center")
ax.axhline(0.5, color="0.3", ls=":", lw=0.8)
ax.text(4.38, 0.5, "a coin", color="0.3", fontsize=8, va="bottom", ha="right")
ax.set_xticks(range(4), sizes)
ax.set_yticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
ax.set(xlabel="men, and as many women, among the 100 labelled sentences", ylabel="right about people without a label",
       xlim=(-0.3, 4.4), ylim=(0, 1.08), title="Whether the labels name few people or many, a pretrained encoder is right about the others")
figure(fig, "people_without_a_label")
assert np.mean(curves["pretrained"][1:]) > 0.8 and np.mean(curves["random"]) < 0.7

# %% [markdown]
# From random weights, a classifier can memorise the labelled names, which says nothing about any other name; a bag of
# words can do no more. In the pretrained encoder the women's names already lie close together, because they predicted
# the same word. A few labels are enough to say what that group is called.
#
# ## A label list
# The model's scores have positions 0, 1, 2, ...; labels have names. A list says which position has which name, and it
# is saved with the model.
# %%
@exercise(trials=[(["no", "yes", "no"],), (["b", "c", "a", "c"],)])
def label_list(labels):
    """Labels of the rows -> the list of labels; a label's position in it is its id."""
    ...


with no_grad():
    same(model(**batch).logits.numpy(), out.logits.numpy(), "without recording, the same scores")
folder.cleanup()

# %% [markdown]
# ## In the library
# %%
show(AlbertForSequenceClassification)
show(inference.predict)

# %% [markdown]
# **What to keep.** Fine-tuning is the same training with a new head and a good start. Compare every score with
# baselines. `tinyalbert finetune my_table.tsv --model folder --output folder` does all of this for your own rows. Next:
# 15, a label for every word.
# %%
finish()
