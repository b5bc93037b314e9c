# %% [markdown]
# # 18 · Translating
# **Needs** 08 (attention), 09 (the encoder), 13 (training) · **Builds** a decoder: causal mask, cross-attention, greedy
# and beam search · **Paper** Vaswani et al. 2017, §3; Sutskever et al. 2014, §3.2 · **Runs in** about 10 seconds
#
# ALBERT reads. It gives each word a vector that knows its neighbours, and that is all it gives. To translate, someone has
# to *write*, in another order and with another number of words. This lesson puts a second, small network behind ALBERT,
# which looks at ALBERT's vectors and writes one word after another.
# %%
import contextlib
import math
from unittest import mock

import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import (
    AlbertConfig,
    AlbertForTranslation,
    Trainer,
    backward,
    decoder,
    generation,
    ops,
)
from tinyalbert.backend import to_host
from tinyalbert.decoder import DecoderConfig
from tinyalbert.nn import Parameter
from tinyalbert.optim import AdamW
from tinyalbert.stories.tasks import invented

NEEDS = ["08", "09", "13"]
TEACHES = ["AlbertForTranslation", "decoder.causal_bias", "decoder.shifted", "decoder.DecoderLayer", "decoder.Writing",
           "generation.greedy_search", "generation.beam_search"]
rng = np.random.default_rng(18)

# %% [markdown]
# ## A language to translate into
# It is made up, so nobody knows it yet. It has a word of its own for every English word, except for names. There is no
# *the*. The verb comes last and ends in *-ka*; where it happened comes before what it happened to; an adjective follows
# its noun.
# %%
NAMES = ["Mara", "Otto", "Ines", "Ruth", "Leo", "Nora"]
VERBS = ["found", "lost", "sold", "washed", "painted", "carried"]
THINGS = ["kite", "boat", "lamp", "basket", "chair", "drum"]
PLACES = ["barn", "bridge", "harbour", "garden"]
KINDS = ["red", "old", "small", "heavy"]
PREPOSITIONS = ["near", "behind", "under"]


def one_of(words):
    return words[rng.integers(len(words))]


def perhaps(words):
    """A list of one of the words, or of none."""
    return [one_of(words)] if rng.random() < 0.5 else []


# %%
def pair():
    """(words of an English sentence, words of its translation)."""
    name, verb, thing, kind = one_of(NAMES), one_of(VERBS), one_of(THINGS), perhaps(KINDS)
    source, target = [name, verb, "the", *kind, thing], [invented(w) for w in (thing, *kind)]
    if rng.random() < 0.7:
        preposition, place, kind = one_of(PREPOSITIONS), one_of(PLACES), perhaps(KINDS)
        source += [preposition, "the", *kind, place]
        target = [invented(w) for w in (place, *kind, preposition)] + target
    return source, [name, *target, invented(verb) + "ka"]


pairs = [pair() for _ in range(2000)]
known = {" ".join(source) for source, _ in pairs}
unknown = [p for p in (pair() for _ in range(1000)) if " ".join(p[0]) not in known][:200]
for source, target in pairs[:3]:
    print(f"   {' '.join(source):48s}{' '.join(target)}")

# %% [markdown]
# Two languages need two vocabularies. Each word here is one piece (lesson 10 has the pieces of real languages). A text
# that is written needs two marks of its own: `[CLS]` stands before its first word, and `[SEP]` says that it has ended. The
# label -100 means: no target here, only padding (lesson 05).
# %%
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
BEGIN, END, IGNORE = 2, 3, -100
english = SPECIAL + sorted({w for source, _ in pairs for w in source})
foreign = SPECIAL + sorted({w for _, target in pairs for w in target})


def padded(rows, fill):
    longest = max(len(row) for row in rows)
    return np.array([row + [fill] * (longest - len(row)) for row in rows])


def batch_of(some):
    ids = padded([[BEGIN, *(english.index(w) for w in source), END] for source, _ in some], 0)
    labels = padded([[*(foreign.index(w) for w in target), END] for _, target in some], IGNORE)
    return {"input_ids": ids, "attention_mask": (ids > 0).astype(int), "labels": labels}


def sources_of(some):
    """The batch without its labels: what there is when a translation is to be written."""
    return {name: array for name, array in batch_of(some).items() if name != "labels"}


few = batch_of(pairs[:3])
print(few["input_ids"][0], "->", few["labels"][0])

# %% [markdown]
# ## Two networks
# The *encoder* is ALBERT as in lesson 09. It reads the whole sentence at once and gives a vector for each word; these are
# the *states*. The *decoder* reads what has been written so far and says how likely each word is to come next. Each of
# its layers has three parts, each added to its input and normalised (lesson 06): attention to the words written so far,
# attention to the states, and the feed-forward half of lesson 09.
# %%
config = AlbertConfig.preset("tiny", vocab_size=len(english), embedding_size=32, hidden_size=32, intermediate_size=64,
                             num_attention_heads=4, initializer_range=0.1, max_position_embeddings=32)
of_decoder = DecoderConfig(vocab_size=len(foreign), hidden_size=24, num_hidden_layers=1, num_attention_heads=4,
                           intermediate_size=48, max_position_embeddings=16, dropout=0.0, label_smoothing=0.0)
untrained = put(AlbertForTranslation(of_decoder.kept_in(config), seed=0).astype(np.float64))
print(f"encoder {untrained.albert.num_parameters():,} numbers, decoder {untrained.decoder.num_parameters():,}")

# %% [markdown]
# ## What comes later must not be seen
# In training the whole translation is known, and the network predicts all of its words at once. It must not look ahead:
# the word that is to be predicted stands one place further on. So word i may attend to words 0 to i only. This is the
# *causal mask*: the scores of all later words get -10000 before softmax, as padding does in lesson 08.
# %%
@exercise(trials=[(rng.standard_normal((1, 3, 3)),), (rng.standard_normal((2, 4, 4)),)])
def causal_weights(scores):
    """scores (..., M, M), a row for each word that asks -> weights (..., M, M), with 0 for each word that comes later."""
    ...


some_scores = rng.standard_normal((4, 4))
print(np.round(causal_weights(some_scores), 2))
same(causal_weights(some_scores), ops.softmax.raw(some_scores + decoder.causal_bias(4, 4, np.float64)[0, 0])[0], "causal weights")

# %% [markdown]
# ## Each word from the right ones before it
# To predict word i, the decoder reads the *right* words 0 to i - 1, even where it would itself have written others. This is
# *teacher forcing*: a mistake in the first word doesn't spoil the practice with the others. So what goes in is what
# should come out, moved by one place, with `[CLS]` in front. (Behind the end stands -100, which is no word; any id will
# do there, and the library takes `[CLS]`.)
# %%
@exercise(trials=[(np.array([[7, 5, 3]]),), (np.array([[6, 9, 3, -100], [4, 5, 8, 3]]),), (np.array([[4, 3, -100, -100]]),)])
def moved(labels):
    """labels (B, M): words, END = 3, then -100 -> what the decoder reads to predict them, (B, M); BEGIN = 2."""
    ...


print(few["labels"][0], "is predicted from", moved(few["labels"])[0])
same(moved(few["labels"]), decoder.shifted(few["labels"], BEGIN), "the decoder's input")

# %% [markdown]
# ## Looking across
# *Cross-attention* is lesson 08's attention with one change: who asks and who answers are not the same. The words
# written so far ask. The states of the source answer. So there are M questions and T answers, and the table of weights,
# M × T, says which source words each new word looks at.
# %%
def cross_trial(M, T, H, D):
    return tuple(rng.standard_normal(shape) for shape in ((M, D), (T, H), (D, D), (D, H), (D, H)))


@exercise(trials=[cross_trial(3, 4, 6, 5), cross_trial(2, 5, 3, 4)])
def cross_attention(hidden, states, wq, wk, wv):
    """One head: hidden (M, D) of the target, states (T, H) of the source, matrices [out, in] as in lesson 04 -> (M, D)."""
    ...


hidden, states, wq, wk, wv = cross_trial(3, 5, 8, 6)
q, k, v = hidden @ wq.T, states @ wk.T, states @ wv.T
of_library, attention_vjp = ops.attention.raw(put(q[None]), put(k[None]), put(v[None]), None, num_heads=1)
same(cross_attention(hidden, states, wq, wk, wv), of_library[0], "cross-attention")

# %% [markdown]
# Backward, nothing is new, and yet the most important thing happens. The states go into the keys *and* into the values,
# so two gradients come back, and where paths meet they add up (lesson 01). It is along these two that the decoder's
# mistakes reach ALBERT, and ALBERT learns to read for translation.
# %%
g = rng.standard_normal(q.shape)
gk, gv = (to_host(gradient[0]) for gradient in attention_vjp(put(g[None]))[1:3])
by_hand = gk @ wk + gv @ wv                                      # (T, H): y = x Wᵀ has the gradient g W (lesson 04)
source_states = Parameter(put(states[None]))
keys, values = (ops.matmul(source_states, put(w.T.copy())) for w in (wk, wv))
attended = ops.attention(Parameter(put(q[None])), keys, values, None, num_heads=1)
same(by_hand, backward((attended * put(g[None])).sum())[source_states][0], "gradient of the encoder's states")

# %% [markdown]
# ## The whole decoder
# Many heads are lesson 08's: cut the numbers of each word in N parts, and attend in each.
# %%
def heads_of(x, n):
    return x.reshape(*x.shape[:2], n, -1).transpose(0, 2, 1, 3)  # (B, N, M, D / N)


def attend(part, hidden, seen, weigh):
    """One of the decoder's two attentions, its sum and its norm; also the weights (B, N, M, T)."""
    q, k, v = (heads_of(linear(p, x), 4) for p, x in ((part.query, hidden), (part.key, seen), (part.value, seen)))
    weights = weigh(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    context = (weights @ v).transpose(0, 2, 1, 3).reshape(hidden.shape)
    return norm(part.LayerNorm, linear(part.dense, context) + hidden), weights


def linear(part, x):
    return x @ to_host(part.weight.data).T + to_host(part.bias.data)


def norm(part, x):
    centred = x - x.mean(-1, keepdims=True)
    xhat = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return xhat * to_host(part.weight.data) + to_host(part.bias.data)


# %% [markdown]
# In front of the layers stand the table of words and that of positions, as in ALBERT (lesson 07). At the end each word of
# the vocabulary gets a score: the inner product with its own row of the same table.
# %%
def decode(model, written, states, mask):
    """written (B, M), states (B, T, H), mask (B, T) -> scores (B, M, V) and the last layer's cross-weights (B, N, M, T)."""
    part = model.decoder
    table = to_host(part.word_embeddings.weight.data)                                         # (V, D)
    hidden = table[written] + to_host(part.position_embeddings.weight.data)[:written.shape[1]]
    hidden = norm(part.LayerNorm, hidden)                                                     # (B, M, D)
    hide = (mask[:, None, None, :] == 0) * -10000.0                                           # (B, 1, 1, T)
    for layer in part.layers:
        hidden, _ = attend(layer.attention, hidden, hidden, causal_weights)
        hidden, weights = attend(layer.cross_attention, hidden, states, lambda scores: ops.softmax.raw(scores + hide)[0])
        inner = ops.gelu.raw(linear(layer.ffn, hidden))[0]
        hidden = norm(layer.LayerNorm, linear(layer.ffn_output, inner) + hidden)
    return hidden @ table.T + to_host(part.bias.data), weights


out = untrained(**few)
few_states = out.encoder_last_hidden_state.numpy()                                                # (B, T, H)
logits, _ = decode(untrained, moved(few["labels"]), few_states, few["attention_mask"])
same(logits, out.logits.numpy(), "scores of the whole decoder")

# %% [markdown]
# The loss is cross-entropy at each place that has a target (lesson 05). So the gradient of the scores is once more
# "probability minus truth".
# %%
there = few["labels"] != IGNORE
right = few["labels"][there]                                                                  # (K,)
logp = ops.log_softmax.raw(logits[there])[0]                                                  # (K, V)
same(-logp[np.arange(len(right)), right].mean(), out.loss.numpy(), "the loss")
error = (np.exp(logp) - np.eye(len(foreign))[right]) / len(right)
same(error.sum(0), backward(out.loss)[untrained.decoder.bias], "gradient of the words' biases")


# %% [markdown]
# ## Training, with the mask and without
# The loop is lesson 13's. The second run is the same in all but one thing: its decoder has no causal mask (for as long as
# it trains, `mock.patch.object` puts another function in the mask's place), so each word sees all words, also those to
# come.
# %%
def train(steps, see_all=False):
    model = put(AlbertForTranslation(of_decoder.kept_in(config), seed=0))
    trainer = Trainer(model, AdamW(list(model.named_parameters()), 1e-2, betas=(0.9, 0.98)), total_steps=300, warmup=30, threads=1)
    draw = np.random.default_rng(1)

    def no_bias(M, T, dtype, xp=np):
        return xp.zeros((1, 1, M, T), dtype)
    with mock.patch.object(decoder, "causal_bias", no_bias) if see_all else contextlib.nullcontext():
        for _ in range(steps):
            loss = trainer.step(batch_of([pairs[i] for i in draw.integers(0, len(pairs), 64)]))["loss"]
    return model.eval(), loss


def translations(model, some):
    """What the model writes for each source: lists of words."""
    written = generation.greedy_search(model.write(**sources_of(some)), [16] * len(some), BEGIN, END)
    return [[foreign[i] for i in ids] for ids in written]


def share_right(model):
    return float(np.mean([said == target for said, (_, target) in zip(translations(model, unknown), unknown)]))


# %%
without_mask = predict("Without the mask the loss of training falls fast. How many of 100 new sentences does that model translate without "
            "a mistake?", guess=None)
model, loss = train(150)
cheat, loss_of_cheat = train(150, see_all=True)
print(f"   with the mask: loss {loss:.3f}, {share_right(model):.0%} of {len(unknown)} new sentences right")
print(f"   without it:    loss {loss_of_cheat:.3f}")
without_mask.reveal(100 * share_right(cheat), "{:.0f}")
assert share_right(model) > 0.9 and loss_of_cheat < 0.1 and share_right(cheat) < 0.1

# %% [markdown]
# Without the mask the answer stands one place further on, and copying it is all there is to learn. In writing there is
# nothing to copy. A loss that is lower than it should be is a fault like any other; lesson 11's leak was one too.
#
# Did the model learn the *order*? The weights of cross-attention show where it looked for each word.
# %%
long = max(unknown, key=lambda p: len(p[0]))
long_batch = batch_of([long])
long_states = model(**long_batch).encoder_last_hidden_state.numpy()
_, weights = decode(model, moved(long_batch["labels"]), long_states, long_batch["attention_mask"])
looked = weights[0].mean(0)                                      # (M, T), the mean of the heads
plt = pyplot()
fig, ax = plt.subplots(figsize=(6.4, 4.2))
ax.imshow(looked, vmin=0, vmax=1)
ax.set_xticks(range(looked.shape[1]), ["[CLS]", *long[0], "[SEP]"], rotation=50, ha="right")
ax.set_yticks(range(looked.shape[0]), [*long[1], "[SEP]"])
for i, j in zip(*np.nonzero(looked > 0.2)):
    ax.text(j, i, f"{looked[i, j]:.1f}".lstrip("0"), ha="center", va="center", fontsize=7, color="white" if looked[i, j] > 0.5 else "black")
ax.set(xlabel="source: where it looks", ylabel="word that it writes", title="To write in another order, the decoder looks in another order")
figure(fig, "where_it_looks")

# %% [markdown]
# ## Writing
# Now there is no right translation to read. Begin with `[CLS]`, take the likeliest next word, append it, and go on until
# `[SEP]`. This is *greedy search*.
# %%
def greedy(next_log_p, limit):
    """next_log_p: from a list of pieces to the log-probabilities (V,) of the next one."""
    pieces = []
    while len(pieces) < limit:
        pieces.append(int(next_log_p(pieces).argmax()))
        if pieces[-1] == END:
            return pieces[:-1]
    return pieces


def asking(model, sentence):
    """The next_log_p of a model for one sentence: everything anew for each piece."""
    batch = batch_of([sentence])
    states = model(**batch).encoder_last_hidden_state.numpy()    # (1, T, H)

    def next_log_p(pieces):
        scores, _ = decode(model, np.array([[BEGIN, *pieces]]), states, batch["attention_mask"])
        return ops.log_softmax.raw(scores[0, -1].astype(np.float64))[0]
    return next_log_p


unsure, _ = train(30)                                            # hardly trained: it has doubts
for sentence in unknown[:3]:
    same(greedy(asking(unsure, sentence), 16),
         generation.greedy_search(unsure.write(**sources_of([sentence])), [16], BEGIN, END)[0],
         f"greedy search: {' '.join(sentence[0])}")

# %% [markdown]
# The loop above computes all of the earlier words again for each new one. It need not. Thanks to the causal mask, a word
# doesn't see the later ones, so its keys and values never change. They are kept (`Writing` in the library), and each step
# computes one word only.
# %%
times_fewer = predict("A text of 39 words is written, one after another. How many times fewer words go through the decoder if keys and "
            "values are kept?", guess=None)
times_fewer.reveal(sum(range(1, 40)) / 39, "{:.0f}: 1 + 2 + ... + 39 words, or 39")
one = batch_of([unknown[0]])
writing = model.write(**sources_of([unknown[0]]))
one_by_one = np.stack([writing.scores([piece])[0] for piece in moved(one["labels"])[0]])
anew = decode(model, moved(one["labels"]), model(**one).encoder_last_hidden_state.numpy(), one["attention_mask"])[0][0]
same(anew, one_by_one, "all words anew, and one at a time with keys and values kept", rtol=1e-4)

# %% [markdown]
# ## When the likeliest word is the wrong one
# Here is a table in place of a network: the next word's probabilities depend on the last word alone. Greedy search begins
# with A, since A is the likeliest first word. But after A comes doubt, and after B certainty.
# %%
NEXT = np.zeros((8, 8))                                          # row: last piece, column: next piece
A, B, C, D = 4, 5, 6, 7
NEXT[BEGIN, [A, B, END]] = 0.5, 0.4, 0.1
NEXT[A, [C, D, END]] = 0.35, 0.35, 0.3
NEXT[B, [END, C, D]] = 0.9, 0.05, 0.05
NEXT[[C, D], END] = 1.0
with np.errstate(divide="ignore"):
    LOG = np.log(NEXT)


def by_table(pieces):
    return LOG[([BEGIN] + pieces)[-1]]


class TableWriting:
    """The same table, as the library's searches ask for it: scores for the newest piece of each text."""

    def scores(self, ids):
        return LOG[ids]

    def keep(self, rows):
        """Nothing is kept: the last piece says everything."""


likeliest_of_all = predict("Greedy search writes A C. What is the likeliest text of all in this table?", guess=None)
likeliest_of_all.reveal("B", "{}: 0.4 · 0.9 = 0.36, and A C has 0.5 · 0.35 = 0.175")
same(greedy(by_table, 5), generation.greedy_search(TableWriting(), [5], BEGIN, END)[0], "greedy search in the table")

# %% [markdown]
# *Beam search* keeps several texts going, say 3; they are the *beam*, and 3 is its width. In each step all of them are
# continued with all words, and of all these the 3 likeliest stay. A text's probability is the product of its words';
# its logarithm is the sum of theirs. One text may well leave two successors, and another none.
# %%
def beam_trial(width, size):
    return rng.standard_normal(width) - 2, ops.log_softmax.raw(rng.standard_normal((width, size)))[0], width


@exercise(trials=[beam_trial(2, 5), beam_trial(3, 6), beam_trial(4, 3)])
def best_continuations(log_p, next_log_p, width):
    """log_p (R,) of the texts, next_log_p (R, V) of each one's next word -> the `width` likeliest [(text, word), ...], best first."""
    ...


# %% [markdown]
# A text that writes `[SEP]` has ended. It leaves the beam, which is narrower from then on. In the end the likeliest of
# those that ended is taken.
# %%
def beam(next_log_p, limit, width):
    alive, ended = [(0.0, [])], []                               # (log-probability, pieces)
    while alive:
        log_p, next_p = np.array([lp for lp, _ in alive]), np.stack([next_log_p(pieces) for _, pieces in alive])
        best = best_continuations(log_p, next_p, width - len(ended))
        texts = [(log_p[row] + next_p[row, piece], [*alive[row][1], int(piece)]) for row, piece in best]
        ended += [t for t in texts if t[1][-1] == END or len(t[1]) == limit]
        alive = [t for t in texts if t[1][-1] != END and len(t[1]) < limit]
    pieces = max(ended)[1]
    return pieces[:-1] if pieces[-1] == END else pieces


same(beam(by_table, 5, 2), generation.beam_search(TableWriting(), [5], BEGIN, END, 2)[0], "beam search in the table")
assert beam(by_table, 5, 2) == [B]
for sentence in unknown[:3]:
    same(beam(asking(unsure, sentence), 16, 3),
         generation.beam_search(unsure.write(**sources_of([sentence])), [16], BEGIN, END, 3)[0],
         f"beam search: {' '.join(sentence[0])}")

# %% [markdown]
# ## Too wide a beam
# So the wider the better? Take a writer without much of an idea: in each of four places 25 words are equally likely, and
# once in a hundred times it ends at the start.
# %%
def clueless(pieces):
    p = np.full(4 + 25, 1e-12)
    if len(pieces) < 4:
        p[4:] = 0.99 / 25 if not pieces else 1 / 25
        p[END] = 0.01 if not pieces else 1e-12
    else:
        p[END] = 1.0
    return np.log(p)


beam_30 = predict("A beam of 30 finds the likeliest of all its texts. How many words does that text have?", guess=None)
found = {width: beam(clueless, 6, width) for width in (1, 2, 30)}
beam_30.reveal(len(found[30]), "{}; beams of 1 and 2 write four")
assert len(found[1]) == len(found[2]) == 4 and not found[30]

# %% [markdown]
# Saying nothing is the likeliest of all: 1 in 100, when every text of four words has about 1 in 400,000. Real translation
# models are the same: for many sentences the likeliest text of all is the empty one (Stahlberg and Byrne 2019), and it is
# the *narrow* beam that hides it. The library's `--length-penalty` softens this: it compares texts by their
# log-probability divided by a measure of their length.
#
# ## In the library
# `tinyalbert finetune stories:translation --task translation` trains on whole stories of this world, with pieces in place
# of words, and tells BLEU, a score that counts runs of words in common with the right translation.
# %%
show(decoder.DecoderLayer)
show(generation.beam_search)

# %% [markdown]
# **What to keep.** An encoder reads everything at once; a decoder writes from left to right, sees the past through a
# causal mask and the source through cross-attention. Training reads the right words before each place, writing its own.
# Greedy search may start badly; a beam helps, and a very wide one does not. Next: 19, what the paper's ablations say.
# %%
finish()
