# %% [markdown]
# # 13 · Pretraining a tiny ALBERT
# **Needs** 05 (cross-entropy), 09 (the encoder), 11 (masks and order), 12 (optimisers) · **Builds** the two heads and the
# training loop · **Paper** Lan et al. 2020, §3.1, §4.1 · **Runs in** about 40 seconds
#
# Text, masked words, the encoder and the steps are built. Missing are the loop and the two *heads*, the small parts
# that turn hidden vectors into answers. Missing, too, is the answer to a question that everyone who trains a small
# ALBERT asks: why does the loss fall for a short while and then stop (the *plateau*)?
# %%
import tempfile

import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import (
    AlbertConfig,
    AlbertForMaskedLM,
    AlbertForPreTraining,
    AlbertTokenizer,
    Trainer,
    backward,
    heads,
    ops,
)
from tinyalbert.optim import AdamW
from tinyalbert.pretraining.batches import PretrainingData
from tinyalbert.pretraining.evaluation import evaluate_pretraining
from tinyalbert.pretraining.shards import prepare
from tinyalbert.stories.corpus import documents

NEEDS = ["05", "09", "11", "12"]
TEACHES = ["AlbertForPreTraining", "AlbertForMaskedLM", "Trainer", "heads.MaskedLMHead", "heads.SentenceOrderHead"]
rng = np.random.default_rng(13)

# %%
folder = tempfile.TemporaryDirectory()
tokenizer = AlbertTokenizer.train([s for d in documents(2500) for s in d], 1000)
meta = prepare(["stories:2500"], tokenizer, f"{folder.name}/data", workers=1, progress=False)
data = {T: PretrainingData(f"{folder.name}/data", max_seq_length=T, ngram=1, whole_word=False) for T in (16, 64)}
print(f"{meta['documents']:,} stories, {meta['tokens']:,} pieces, {meta['held_out_documents']} stories held out")

# %% [markdown]
# ## Build it: the masked-word head
# A hidden vector of H numbers is projected to E numbers, goes through GELU and layer norm, and is then compared with
# *every row of the word table*: the inner product is that word's score. This is the same table in which the words were
# looked up (lesson 07). It is used twice, so it receives gradients from both ends.
# %%
config = AlbertConfig(vocab_size=len(tokenizer), embedding_size=24, hidden_size=32, num_hidden_layers=2,
                      num_attention_heads=2, intermediate_size=64)
model = AlbertForPreTraining(config, seed=1).astype(np.float64)
state = model.state_dict()


def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)


def narrowed(hidden, state):
    """(K, H) -> (K, E)."""
    z = hidden @ state["predictions.dense.weight"].T + state["predictions.dense.bias"]
    return layer_norm(ops.gelu.raw(z)[0])


def masked_word_scores(hidden, state):
    """(K, H) -> (K, V)."""
    table = state["albert.embeddings.word_embeddings.weight"]                                           # (V, E)
    return narrowed(hidden, state) @ table.T + state["predictions.bias"]


batch = data[16].batch(0, 4)
out = model(**batch)
hidden = out.last_hidden_state.numpy()
same(masked_word_scores(hidden.reshape(-1, 32), state), out.prediction_logits.numpy().reshape(-1, len(tokenizer)),
     "scores of all words at all places")

# %% [markdown]
# Only about 15 % of the positions are masked. The loss needs scores there and nowhere else, and scoring is the largest
# product of the whole step, so computing the rest would be wasted work.
# %%
@exercise(trials=[(np.where(rng.random((3, 7)) < 0.3, 5, -100),), (np.where(rng.random((2, 9)) < 0.5, 0, -100),)])
def labelled_places(labels):
    """labels (B, T) -> the positions with a label, counted through the whole batch."""
    ...


places = labelled_places(batch["labels"])
targets = batch["labels"].reshape(-1)[places]


def cross_entropy(scores, targets):
    logp = scores - scores.max(-1, keepdims=True)
    logp -= np.log(np.exp(logp).sum(-1, keepdims=True))
    return -logp[np.arange(len(targets)), targets].mean()


word_loss = cross_entropy(masked_word_scores(hidden.reshape(-1, 32)[places], state), targets)
same(word_loss, out.losses["mlm"].numpy(), "loss on the covered words")

# %% [markdown]
# ## The sentence-order head
# The vector of `[CLS]` goes through the pooler (lesson 09) and one linear map to two scores: 0 for in order, 1 for
# swapped (`SentenceOrderHead` in the library). The total loss is the sum of the two losses.
# %%
pooled = np.tanh(hidden[:, 0] @ state["albert.pooler.weight"].T + state["albert.pooler.bias"])
order = pooled @ state["sop_classifier.classifier.weight"].T + state["sop_classifier.classifier.bias"]
same(order, out.sop_logits.numpy(), "sentence-order scores")
same(word_loss + cross_entropy(order, batch["sentence_order_label"]), out.loss.numpy(), "the whole loss")

# %% [markdown]
# The gradient of the word table has two parts: one from looking up words (at the bottom), one from scoring them (at
# the top). Looking up reaches only words that occur in the batch. The others get a gradient from scoring alone, and
# lesson 05 says what it is: their probability at each masked position, times the vector that was scored there.
# %%
gradients = backward(model(**batch).loss)
table = model.albert.embeddings.word_embeddings.weight
whole = gradients[table]
seen = np.unique(batch["input_ids"])
unseen = np.setdiff1d(np.arange(len(tokenizer)), seen)
print(f"pieces in the batch: {len(seen)} of {len(tokenizer)}; the gradient of the others is nowhere 0, on average "
      f"{np.abs(whole[unseen]).mean():.1e}: each is a wrong answer at every masked position")
asking = hidden.reshape(-1, 32)[places]                                                                 # (K, H)
error = ops.softmax.raw(masked_word_scores(asking, state))[0] / len(places)                             # (K, V)
error[np.arange(len(places)), targets] -= 1 / len(places)        # probability minus truth, of a mean
same((error.T @ narrowed(asking, state))[unseen], whole[unseen], "gradient of the words that are not in the batch")
same(error.sum(0), gradients[model.predictions.bias], "gradient of the words' biases")


# %%
@exercise(trials=[(np.array([2.0, 4.0]), np.array([10, 30])), (np.array([1.0, 5.0, 3.0]), np.array([1, 1, 8]))])
def combined_mean(losses, counts):
    """Means over parts of a batch, and the number of targets in each part -> the mean over the whole batch."""
    ...


half = [{k: v[i:i + 2] for k, v in batch.items()} for i in (0, 2)]
parts = [model(**h).losses["mlm"].item() for h in half]
counts = [model.loss_counts(**h)["mlm"] for h in half]
same(combined_mean(np.array(parts), np.array(counts)), out.losses["mlm"].numpy(), "two half batches, combined")

# %% [markdown]
# This is how the library splits a batch across threads or machines, or into parts processed one after another (lesson
# 22), and still computes the loss of the whole batch.
#
# ## The loop
# Draw a batch; forward; backward; *clip* the gradient (shorten it if it is longer than a limit, lesson 12); step.
# `Trainer.step` does this with threads around it. The loss is measured on *held-out* stories, which are never trained
# on.
# %%
def train(length, steps, beta2=0.98, first=(), seed=3):
    """Held-out word loss during a run; `first` = (length, steps) of shorter sequences at the start."""
    small = AlbertConfig.preset("tiny", vocab_size=len(tokenizer), embedding_size=64, initializer_range=0.03)
    network = put(AlbertForPreTraining(small, seed=seed))
    optimizer = AdamW(list(network.named_parameters()), 3e-3, betas=(0.9, beta2))
    trainer = Trainer(network, optimizer, total_steps=steps, warmup=50, threads=2)
    held_out = data[64].evaluation_batches(4, 32)
    curve = []
    for step in range(steps):
        T = first[0] if first and step < first[1] else length
        trainer.step(data[T].batch(step, 1024 // T))
        if step % 50 == 49:
            curve.append((step + 1, evaluate_pretraining(network, held_out, trainer.replicas)["mlm_loss"]))
    return np.array(curve)


highest = predict("Three runs of 600 steps: 1 with the library's beta2 = 0.98; 2 with Adam's usual beta2 = 0.999; 3 with sequences "
            "of 16 tokens for the first 300 steps. Which one ends with the HIGHEST held-out loss? (1, 2 or 3)", guess=None)
runs = {"beta2 = 0.98": train(64, 600), "beta2 = 0.999": train(64, 600, beta2=0.999),
        "16 tokens at first": train(64, 600, first=(16, 300))}
final = {name: curve[-1, 1] for name, curve in runs.items()}
highest.reveal(1 + int(np.argmax(list(final.values()))))
for name, value in final.items():
    print(f"   {name:28s}{value:.2f}")

# %%
unigram = meta["unigram_entropy"]
plt = pyplot()
fig, ax = plt.subplots(figsize=(6.8, 3.8))
for (name, curve), style, lift in zip(runs.items(), (("0.5", "-"), ("0.3", ":"), ("0.0", "-")), (-0.03, 0.05, 0.04)):
    ax.plot(curve[:, 0], curve[:, 1], style[1], color=style[0])
    ax.text(610, curve[-1, 1] + lift, name, color=style[0], va="center", fontsize=8)
ax.axhline(np.log(len(tokenizer)), color="0.3", lw=0.8, ls="--")
ax.text(50, np.log(len(tokenizer)) - 0.03, "log V: all pieces equally likely", fontsize=8, va="top")
ax.axhline(unigram, color="0.3", lw=0.8, ls="--")
ax.text(610, unigram - 0.02, "unigram entropy:\nfrequencies, no context", fontsize=8, va="top")
ax.set(xlabel="step (1,024 tokens each)", ylabel="held-out loss on covered words", xlim=(0, 830),
       title="The plateau is the unigram entropy; with beta2 = 0.999 a run stays on it longer")
figure(fig, "the_plateau")
assert final["beta2 = 0.98"] < unigram - 0.2 and final["beta2 = 0.98"] < final["beta2 = 0.999"]

# %% [markdown]
# ## Why there is a plateau
# Word frequencies can be learned without looking at the context: the output bias alone learns them, and the first point
# of each curve is nearly there. The loss of a model that knows these frequencies p and nothing else is the *unigram
# entropy*, -Σ p log p over all pieces. To get below it, the model must find a word's neighbours. At the start attention
# is an even mean over the whole sequence (all scores are near 0), in which a neighbour has a share of 1/T. The longer
# the sequence, the fainter the neighbour. These stories are so regular that this matters little; on real text it
# decides. One way out is to start with 16 tokens: what is learned on short sequences stays useful on long ones. The
# library's recipes take another: two of their heads look at the next and the previous token from the start
# (`pretraining/mimetic.py`; `experiments/plateau.md` shows the curves). Sentence order has a plateau too
# (`experiments/sentence_order.md`): what reveals it is mostly the words that two segments share at their seam, and pairs
# that show more of them lead off it (`pretraining/curriculum.py`).
#
# The second trap is the optimiser. Without bias correction (lesson 12), as in the released ALBERT, and with beta2 =
# 0.999, the first hundred steps are several times longer than intended (figure below). A layer that is used at every
# depth can then learn to give every token nearly the same vector, and from there hardly any gradient leads back.
# %%
@exercise(trials=[(0.9, 0.999, 1), (0.9, 0.999, 50), (0.9, 0.98, 50)])
def early_step_size(beta1, beta2, step):
    """The factor by which Adam's step number `step` is too long without bias correction, if the gradient is constant."""
    ...


steps = np.arange(1, 1001)
fig, ax = plt.subplots()
for beta2, color in ((0.999, "0.6"), (0.98, "0.0")):
    ax.semilogx(steps, [early_step_size(0.9, beta2, int(t)) for t in steps], color=color)
    ax.text(130, early_step_size(0.9, beta2, 120) + 0.1, f"beta2 = {beta2}", color=color)
ax.axhline(1, color="0.3", lw=0.8, ls=":")
ax.set(xlabel="step", ylabel="length of the step (1: as meant)",
       title="Without bias correction the early steps are too long; a smaller beta2 ends that soon")
figure(fig, "too_long_at_first")

# %% [markdown]
# ## Words alone
# `AlbertForMaskedLM` is the same model without the second task. A pretrained folder opens as either.
# %%
words_only = AlbertForMaskedLM(config, seed=1).astype(np.float64)
words_only.load_state_dict({k: v for k, v in state.items() if k in words_only.state_dict()})
same(word_loss, words_only(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], labels=batch["labels"]).loss.numpy(),
     "AlbertForMaskedLM, same weights")
folder.cleanup()

# %% [markdown]
# ## Open it
# `tinyalbert explore runs/stories` (lesson 08 has the command that makes this model; while it trains, the page follows it):
# choose *Run*. It has both reference lines of the figure above. The run begins on the lower one, since
# the recipe starts the output bias at the words' frequencies. Find the step at which it has left that line, and look at the
# sentence order meanwhile: after a minute it's still a guess, with a loss of log 2 = 0.69.
#
# ## In the library
# %%
show(heads.MaskedLMHead)
show(Trainer.step)

# %% [markdown]
# **What to keep.** Masked words are scored against the word table, at masked positions only. Sentence order is judged
# from `[CLS]`. The losses add up. A loss that stays at the unigram entropy means that the model does not use the context
# yet. Next: 14, what a pretrained model is good for.
# %%
finish()
