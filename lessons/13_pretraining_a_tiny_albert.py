# %% [markdown]
# # 13 · Pretraining a tiny ALBERT
# **Needs** 05 (cross-entropy), 09 (the encoder), 11 (masks and order), 12 (optimisers) · **Builds** the two heads and the
# training loop · **Paper** Lan et al. 2020, §3.1, §4.1 · **Runs in** about 40 seconds
#
# Text, masked words, the encoder and the steps are built. Missing are the loop and the two *heads*, the small parts
# that turn hidden vectors into answers. Missing, too, is the answer to a question that everyone who trains a small
# ALBERT asks: why does the loss fall for a short while and then stop (the *plateau*)?
# %%
import math
import tempfile

import numpy as np
from _check import answers_to, exercise, figure, finish, here, predict, put, pyplot, same, show

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

NEEDS = ["02", "04", "05", "06", "07", "08", "09", "11", "12"]
TEACHES = ["AlbertForPreTraining", "AlbertForMaskedLM", "Trainer", "heads.MaskedLMHead", "heads.SentenceOrderHead"]
rng = np.random.default_rng(13)

# %%
here("heads")

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
# ## Yours
# One thing is left: a model of your own. The next cells take nothing from the library. The Tensor and the sweep are those of
# lesson 02, the gradients are your answers to 04 to 08, the step and its rate your answers to 12. Where an exercise is
# still open or wrong in its lesson's `.py` file, the solution stands in, and the line below says so.
# %%
own = answers_to({
    "02": ["Tensor", "op", "backward"], "04": ["linear_backward_x", "linear_backward_w", "linear_backward_bias"],
    "05": ["cross_entropy_backward"], "06": ["layer_norm_backward", "gelu_backward"], "07": ["embedding_backward"],
    "08": ["one_head_backward"], "12": ["adamw_step", "linear_warmup_decay"]})

# %% [markdown]
# First the ops: forward as the lessons wrote them, backward by your hand.
# %%
@own.op
def linear(x, w, b):
    def vjp(g):
        return own.linear_backward_x(x, w, g), own.linear_backward_w(x, w, g), own.linear_backward_bias(x, w, g)
    return x @ w.T + b, vjp


@own.op
def norm(x):
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return centred * rstd, lambda g: (own.layer_norm_backward(g, centred * rstd, rstd),)


@own.op
def gelu(x):
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + np.tanh(u)), lambda g: (own.gelu_backward(x, g),)


@own.op
def add(a, b):
    return a + b, lambda g: (g, g)


# %% [markdown]
# Attention takes one head of one text at a time, as your vjp of lesson 08 does.
# %%
def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@own.op
def attend(q, k, v):
    """(B, T, H) each, two heads, one after the other."""
    heads = [(b, slice(None), part) for b in range(len(q)) for part in np.split(np.arange(q.shape[-1]), 2)]
    context, root = np.empty_like(v), math.sqrt(q.shape[-1] / 2)
    for h in heads:
        context[h] = softmax(q[h] @ k[h].T / root) @ v[h]

    def vjp(g):
        gq, gk, gv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
        for h in heads:
            gq[h], gk[h], gv[h] = np.split(own.one_head_backward(q[h], k[h], v[h], g[h]), 3)
        return gq, gk, gv
    return context, vjp


# %% [markdown]
# Two more, which also need whole numbers: looking up rows, and the loss.
# %%
def rows_of(table, ids):
    """Rows of a table by their numbers, whatever the shape of ids: words of a vocabulary, places in a batch."""
    @own.op
    def looked_up(t):
        return t[ids], lambda g: (own.embedding_backward(t, ids.reshape(-1), g.reshape(-1, t.shape[1])),)
    return looked_up(table)


def mean_loss(logits, wanted):
    @own.op
    def loss(x):
        return cross_entropy(x, wanted), lambda g: (g * own.cross_entropy_backward(x, wanted),)
    return loss(logits)


# %% [markdown]
# Then the model: one layer, applied twice, between a table and the same table. This is ALBERT.
# %%
def albert(w, ids):
    """Ids (B, T) -> a vector for each word, (B, T, H)."""
    places = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    h = linear(norm(add(rows_of(w["table"], ids), rows_of(w["positions"], places))), *w["widen"])
    for _ in range(2):
        context = attend(linear(h, *w["query"]), linear(h, *w["key"]), linear(h, *w["value"]))
        h = norm(add(linear(context, *w["dense"]), h))
        h = norm(add(linear(gelu(linear(h, *w["wide"])), *w["narrow"]), h))
    return h


@own.op
def flat(h):
    return h.reshape(-1, h.shape[-1]), lambda g: (g.reshape(h.shape),)


def scores_at(w, ids, places):
    """Scores (K, V) of all words at the places, counted through the batch."""
    asked = rows_of(flat(albert(w, ids)), places)
    return linear(norm(gelu(linear(asked, *w["head"]))), w["table"], w["frequencies"])


# %% [markdown]
# The stories are those of lesson 00, and each word is a piece, so that no tokenizer is needed.
# %%
story_rng = np.random.default_rng(0)


def short_story():
    """Somebody loses a thing or finds one: 20 words and full stops, of which the first two decide the rest."""
    woman, lost = story_rng.random() < 0.5, story_rng.random() < 0.5
    name = story_rng.choice("anna mara ines ruth julia edith".split() if woman else "bob otto felix hans peter oscar".split())
    thing, place = (story_rng.choice(w.split()) for w in ("kite ring drum clock coat lamp basket", "garden forest kitchen tower market"))
    she = "she" if woman else "he"
    rest = (f"{she} looked for the {thing} all day . {she} was sad ." if lost
            else f"{she} showed the {thing} to a friend . {she} was happy .")
    return f"{name} {'lost' if lost else 'found'} a {thing} in the {place} . {rest}".split()


stories = [short_story() for _ in range(2000)]
vocabulary = ["[MASK]", *sorted({w for s in stories for w in s})]
id_of = {w: i for i, w in enumerate(vocabulary)}
story_ids = np.array([[id_of[w] for w in s] for s in stories])   # (2000, 20)


def new_weights(E=16, H=32, F=128):
    """Small random Tensors by name; a linear map is a pair, matrix and bias."""
    def random(*shape):
        return own.Tensor(story_rng.standard_normal(shape) * 0.05, requires_grad=True)
    maps = {"widen": (E, H), "query": (H, H), "key": (H, H), "value": (H, H), "dense": (H, H), "wide": (H, F), "narrow": (F, H), "head": (H, E)}
    return {"table": random(len(vocabulary), E), "positions": random(20, E), "frequencies": random(len(vocabulary)),
            **{name: (random(b, a), random(b)) for name, (a, b) in maps.items()}}


GAPS = ["anna lost a kite in the garden . [MASK] looked for the kite all day . she was sad .",
        "ruth found a drum in the market . she showed the drum to a friend . she was [MASK] .",
        "otto lost a ring in the forest . he looked [MASK] the ring all day . he was sad ."]


def fill(w, story):
    """The three likeliest words for the gap."""
    ids = np.array([[id_of[word] for word in story.split()]])
    best = scores_at(w, ids, np.flatnonzero(ids == 0)).data[0].argsort()[:-4:-1]
    return ", ".join(vocabulary[i] for i in best)


my_weights = new_weights()
before_training = [fill(my_weights, gap) for gap in GAPS]

# %%
def train_my_own(w, steps=200, rows=16):
    """Change the weights; returns the loss of each step."""
    tensors = [t for part in w.values() for t in (part if isinstance(part, tuple) else (part,))]
    moments, my_losses = [(np.zeros_like(t.data), np.zeros_like(t.data)) for t in tensors], []
    for step in range(steps):
        ids = story_ids[story_rng.integers(0, len(story_ids), rows)]
        labels = np.where(story_rng.random(ids.shape) < 0.15, ids, -100)
        hidden_places = labelled_places(labels)
        loss = mean_loss(scores_at(w, np.where(labels >= 0, 0, ids), hidden_places), labels.reshape(-1)[hidden_places])
        gradients = own.backward(loss)
        rate = own.linear_warmup_decay(step, 6e-3, 30, steps)
        for i, t in enumerate(tensors):
            t.data, *moments[i] = own.adamw_step(t.data, gradients[t], *moments[i], rate)
        my_losses.append(float(loss.data))
    return my_losses


my_losses = train_my_own(my_weights)
print(f"   loss {np.mean(my_losses[:5]):.2f} at first, {np.mean(my_losses[-20:]):.2f} at the end; log V is {np.log(len(vocabulary)):.2f}")
for gap, guesses in zip(GAPS, before_training):
    print(f"   {gap}\n      before: {guesses}\n      after:  {fill(my_weights, gap)}")
assert np.mean(my_losses[-20:]) < 0.4 * my_losses[0]

# %% [markdown]
# The words *she*, *happy* and *for* were never told to the model; it has found what they hang on, with gradients that you
# derived. That is a language model, and you have built it.
#
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
