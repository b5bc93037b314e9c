# %% [markdown]
# # 11 · Masks and sentence order
# **Needs** 05 (cross-entropy), 10 (pieces) · **Builds** `pretraining/masking.py`, `pretraining/pairs.py` · **Paper** Lan et al.
# 2020, §3.1 (order), §4.1 (masks); Joshi et al. 2020 (spans) · **Runs in** a few seconds
#
# Before a model is used for anything, it is trained on plain text: this is *pretraining*. It takes millions of
# questions with known answers, and nobody could write them all. So we make the questions from the text itself. Hide
# some words: which were they? Take two stretches of text, possibly swapped: which came first? This lesson builds both
# kinds of question, and shows how easily the second kind gives its own answer away.
# %%
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from _check import exercise, figure, finish, here, predict, pyplot, same, show

from tinyalbert import AlbertTokenizer
from tinyalbert.pretraining import masking, pairs
from tinyalbert.pretraining.batches import PretrainingData
from tinyalbert.pretraining.draws import integers, uniforms
from tinyalbert.pretraining.shards import prepare
from tinyalbert.stories import corpus

NEEDS = ["05", "10"]
TEACHES = ["masking.ngram_probabilities", "masking.cover", "masking.choose_targets", "masking.apply_masks", "pairs.pack_windows",
           "pairs.sentence_order_pairs", "pairs.google_instances", "pairs.google_pairs", "draws.uniforms", "shards.prepare",
           "batches.PretrainingData"]
rng = np.random.default_rng(11)
documents = list(corpus.documents(1000))
tok = AlbertTokenizer.train([s for d in documents[:300] for s in d], 800, num_threads=1)

# %%
here("masks")

# %% [markdown]
# ## Hide words, not pieces
# %%
sentence = documents[0][0]
in_sentence = tok.encode_batch_ids([sentence])[0]
starts = tok.word_starts[in_sentence]                    # does this piece start a word?
print(tok.convert_ids_to_tokens(in_sentence))
print(starts.astype(int).tolist())

# %% [markdown]
# If single pieces are hidden, many can be guessed from the rest of their own word: after "inn" comes "keeper". So
# words are hidden whole. (A word starts at a '▁', and each punctuation mark counts as a word.) ALBERT goes further
# and hides runs of up to three words, *n-grams*, with short ones more often: a run of n words has probability
# proportional to 1/n.
# %%
@exercise(trials=[(1,), (2,), (3,), (5,)])
def ngram_probabilities(ngram):
    """(ngram,): the probability of a run of 1, 2, ..., ngram words."""
    ...


run_length = predict("Runs of 1, 2 and 3 words, with probabilities proportional to 1/n. How long is a run on average, in words?", guess=None)
run_length.reveal(ngram_probabilities(3) @ np.arange(1, 4), "{:.3f}")

# %% [markdown]
# ## Build it: lay runs until 15 % is covered
# Try the words in random order. Each one asks to start a run of some length; if the run would cover more than the
# quota still allows, it is shortened; if it overlaps something already covered, it is dropped.
# %%
def end_of_run(w, size, first, limit, wanted):
    """The word before which the run from w ends: all of it, or as much as the quota allows; w itself if nothing fits."""
    for n in range(size, 0, -1):
        end = min(w + n, limit)
        if first[end] - first[w] <= wanted:
            return end
    return w


def cover(first, limit, order, sizes, wanted):
    """Which pieces are covered, and the lengths (in words) of the runs that were laid.

    first[w]: the first piece of word w; limit[w]: the word before which a run from w must end; order: the words as they
    are tried; sizes[w]: the length that w asks for; wanted: the most pieces to cover.
    """
    covered = np.zeros(first[-1], dtype=bool)
    runs = []
    for w in order:
        end = end_of_run(w, sizes[w], first, limit[w], wanted)
        span = slice(first[w], first[end])
        if end > w and not covered[span].any():
            covered[span] = True
            wanted -= first[end] - first[w]
            runs.append(end - w)
    return covered, runs


# %% [markdown]
# On real text: `drawn` says what one text asks for, `lay` covers many and counts how long the runs came out.
# %%
def words_of(ids):
    """Where each word begins, and where the last one ends."""
    begins = tok.word_starts[ids].copy()
    begins[0] = True
    return [*np.flatnonzero(begins).tolist(), len(ids)]


def drawn(ids):
    """A text's words, the order in which they are tried, the lengths they ask for, and how many pieces to cover."""
    first = words_of(ids)
    words = len(first) - 1
    order = rng.permutation(words).tolist()
    sizes = masking.span_sizes(rng.random(words), 3).tolist()
    return first, [words] * words, order, sizes, int(masking.targets_wanted(np.array([len(ids)]))[0])


def lay(draws):
    """What was covered in all texts, and the shares of runs of 1, 2 and 3 words."""
    covered, laid = [], Counter()
    for draw in draws:
        in_text, runs = cover(*draw)
        covered.append(in_text)
        laid.update(runs)
    return np.concatenate(covered).astype(int), np.array([laid[n] for n in (1, 2, 3)]) / laid.total()


# %%
pieces = np.concatenate(tok.encode_batch_ids([s for d in documents for s in d]))
short_draws = [drawn(ids) for ids in np.split(pieces[:24_000], 400)]
long_draws = [drawn(ids) for ids in np.split(pieces[:96_000], 200)]
in_short, short = lay(short_draws)
in_long, long = lay(long_draws)
same(in_short, np.frombuffer(b"".join(masking.cover(*d) for d in short_draws), np.uint8), "covered pieces of 400 texts")
same(in_long, np.frombuffer(b"".join(masking.cover(*d) for d in long_draws), np.uint8), "covered pieces of 200 long texts")
print(f"covered: {in_short.mean():.1%} of the pieces of short texts, {in_long.mean():.1%} of long ones")

# %%
plt = pyplot()
fig, ax = plt.subplots(figsize=(6, 3.2))
for i, (shares, colour, name) in enumerate(((ngram_probabilities(3), "0.8", "as drawn"),
                                            (long, "0.5", f"as laid in texts of {len(in_long) // 200} pieces"),
                                            (short, "0.1", f"as laid in texts of {len(in_short) // 400} pieces"))):
    at = np.arange(1, 4) + (i - 1) * 0.27
    ax.bar(at, shares, width=0.25, color=colour)
    for x, value in zip(at, shares):
        ax.text(x, value + 0.012, f"{value:.2f}", ha="center", fontsize=8)
    ax.barh(0.72 - 0.07 * i, 0.12, left=2.05, height=0.04, color=colour)
    ax.text(2.22, 0.72 - 0.07 * i, name, va="center", fontsize=8)
ax.set(xticks=[1, 2, 3], xlabel="words in a run", ylabel="share of the runs", ylim=(0, 0.8),
       title="Runs come out shorter than drawn: a long one often no longer fits")
figure(fig, "runs_of_words")
assert short[0] > long[0] > ngram_probabilities(3)[0]

# %% [markdown]
# This is not a fault in our code: 15 % of a short text is only a few pieces, and the last run is shortened to
# whatever is left. In a long text the last run is one of many. Besides, a long run is more likely to overlap
# something already covered.
#
# ## What to put in place of a hidden piece
# Mostly `[MASK]`. But a model in use never meets `[MASK]`. So, decided for each hidden piece separately, 80 % become
# `[MASK]`, 10 % become a random piece and 10 % stay as they are: now the model needs an opinion about every piece it
# sees. The *label* is the right answer: the piece that stood there, and -100 (lesson 05) where nothing was hidden.
# %%
def some_rows(n, T):
    return rng.random((n, 2 * T)), rng.integers(5, 50, (n, T)).astype(np.int32), rng.random((n, T)) < 0.5, 4, (5, 50)


@exercise(trials=[some_rows(3, 20), some_rows(2, 7)])
def apply_masks(u, input_ids, covered, mask_id, random_ids):
    """u (B, 2T) from 0 to 1, covered (B, T) -> (2, B, T): what the model sees, and the labels."""
    ...


ids = np.concatenate(tok.encode_batch_ids(documents[0][:3]))[None]
T = ids.shape[1]
covered = masking.choose_targets(uniforms(0, 1, [0], 2 * T), tok.word_starts[ids], np.ones_like(ids), np.array([14]), ngram=3)
u = uniforms(0, 2, [0], 2 * T)
seen, labels = apply_masks(u, ids, covered, tok.mask_token_id, (5, len(tok)))
same([seen, labels], masking.apply_masks(u, ids, covered, tok.mask_token_id, (5, len(tok))), "hidden pieces and labels")
print("seen  :", " ".join(tok.convert_ids_to_tokens(seen[0])))
print("labels:", " ".join(tok.convert_ids_to_tokens(labels[0][labels[0] >= 0])))

# %% [markdown]
# ## Which came first?
# Now the second question. BERT asked whether the second text follows the first or comes from somewhere else (*next
# sentence prediction*, NSP). The topic alone gives that away. ALBERT asks for the *order* (*sentence order
# prediction*, SOP): both texts come from the same story, next to each other, and they are exchanged in half of the
# cases. Only a reader who understands what happens can tell.
#
# Take a *window* of consecutive sentences, cut it in two between sentences, and exchange the two *segments* half of
# the time. In the code below, all pieces of all texts lie in one long row, and sentence i consists of the pieces
# sentences[i] to sentences[i + 1] - 1.
# %%
def split(u, sentences, windows):
    """Windows (n, 2) of sentence numbers -> where both segments begin, and their lengths."""
    start, stop = windows.T
    middle = integers(u[:, 0], start + 1, stop)
    at = sentences[start], sentences[middle], sentences[stop]
    return at[0], at[1] - at[0], at[1], at[2] - at[1]


def some_windows(n):
    sentences = np.concatenate([[0], np.cumsum(rng.integers(3, 9, 30))])
    start = rng.integers(0, 20, n)
    return rng.random((n, 5)), sentences, np.stack([start, start + rng.integers(2, 9, n)], axis=1)


@exercise(trials=[some_windows(8), some_windows(30)])
def sentence_order_pairs(u, sentences, windows):
    """-> (5, n): a_start, a_length, b_start, b_length, label (1 = exchanged), exchanged where u[:, 1] < 0.5."""
    ...


draws_of_pairs, begins, ranges = some_windows(50)
same(sentence_order_pairs(draws_of_pairs, begins, ranges), np.stack(pairs.sentence_order_pairs(draws_of_pairs, begins, ranges, 10_000)), "sentence-order pairs")

# %% [markdown]
# ## Break it: cutting leaves traces
# A model has a limited number of positions, so text must be cut somewhere. The obvious way is to take sentences until
# there are enough pieces, cut off the excess, split, and exchange. But now the text that comes *second in the story*
# ends in the middle of a sentence. A model doesn't need to read: it only has to look for the full stop.
#
# How much can be guessed without reading? Here is a fair test. *Shuffle the sentences of every story*: then there is
# no order left to understand, and anything that guesses right more than half of the time has found a trace of how the
# segments were made.
# %%
MOST = 61                                        # pieces in both segments together


def as_arrays(documents):
    """tokens; where each sentence begins; the first sentence of each document, and one past its last."""
    ids = tok.encode_batch_ids([s for d in documents for s in d])
    last = np.cumsum([len(d) for d in documents])
    return np.concatenate(ids), np.concatenate([[0], np.cumsum([len(i) for i in ids])]), np.concatenate([[0], last[:-1]]), last


tokens, sentences, first, last = as_arrays([rng.permutation(d).tolist() for d in documents])


def obvious_pairs():
    rows = []
    for f, l in zip(first.tolist(), last.tolist()):
        while l - f >= 2:
            stop = f + 2
            while stop < l and sentences[stop] - sentences[f] < MOST:
                stop += 1
            middle = rng.integers(f + 1, stop)
            end = min(sentences[stop], sentences[f] + MOST)                      # here the text is cut
            a, b = (sentences[f], sentences[middle] - sentences[f]), (sentences[middle], end - sentences[middle])
            if b[1] > 0:
                rows.append((*b, *a, 1) if rng.random() < 0.5 else (*a, *b, 0))
            f = stop
    return pairs.Segments(*np.array(rows).T)


def google_pairs():
    rows = pairs.google_instances(sentences, first, last, MOST, rng)
    return pairs.google_pairs(rng.random((len(rows), 1)), sentences, rows, MOST), rows


def our_pairs():
    windows = pairs.pack_windows(sentences, first, last, MOST, rng)
    return pairs.sentence_order_pairs(rng.random((len(windows), 5)), sentences, windows, MOST)


def joined(parts):
    return pairs.Segments(*(np.concatenate(column) for column in zip(*parts)))


# %% [markdown]
# The guesser sees seven numbers: whether each segment begins and ends where a sentence does, the two lengths, and
# their difference. It is the smallest model there is, *logistic regression*: a weighted sum s of the numbers, turned
# into a probability by 1 / (1 + e^-s), which is the softmax of s and 0. Its gradient is "probability minus truth"
# (lesson 05).
# %%
edge = np.zeros(len(tokens) + 1)
edge[sentences] = 1


def traces(s):
    """What can be seen without reading, one row per pair; with squares and products, to express "one but not the other"."""
    x = np.stack([edge[s.a_start], edge[s.a_start + s.a_length], edge[s.b_start], edge[s.b_start + s.b_length]], axis=1) * 2 - 1
    lengths = np.stack([s.a_length, s.b_length, s.a_length - s.b_length], axis=1) / 30
    products = [x[:, i] * x[:, j] for i in range(4) for j in range(i)]
    return np.concatenate([x, np.stack(products, axis=1), lengths, lengths**2, np.ones((len(x), 1))], axis=1)


def guesser_accuracy(s):
    """Trained on one half of the pairs, tested on the other."""
    order = rng.permutation(len(s.label))
    x, y = traces(s)[order], s.label[order]
    half, w = len(y) // 2, np.zeros(x.shape[1])
    for _ in range(500):
        probability = 1 / (1 + np.exp(-x[:half] @ w))
        w -= 0.3 * x[:half].T @ (probability - y[:half]) / half
    return ((x[half:] @ w > 0) == y[half:]).mean()


without_reading = predict("Shuffled stories, cut the obvious way. How often does a guesser that cannot read get it right?", guess=None)
google = [google_pairs() for _ in range(4)]
found = {"the obvious way": guesser_accuracy(joined(obvious_pairs() for _ in range(4))),
         "google-research/albert": guesser_accuracy(joined(s for s, _ in google)),
         "tinyalbert": guesser_accuracy(joined(our_pairs() for _ in range(4)))}
without_reading.reveal(found["the obvious way"], "{:.0%}")
for way, accuracy in found.items():
    print(f"   {way:24s} {accuracy:.1%}")
assert found["the obvious way"] > found["google-research/albert"] > found["tinyalbert"] and found["tinyalbert"] < 0.54

# %%
fig, ax = plt.subplots(figsize=(6.4, 2.6))
ax.barh(range(3), found.values(), color=["0.2", "0.5", "0.75"])
for i, accuracy in enumerate(found.values()):
    ax.text(accuracy + 0.01, i, f"{accuracy:.0%}", va="center")
ax.axvline(0.5, color="0.0", ls=":", lw=1)
ax.text(0.505, 2.52, "a coin", color="0.3", fontsize=8)
ax.set(xlim=(0, 1), ylim=(-0.5, 2.75), xlabel="share of correct guesses, without reading",
       title="The way segments are cut can give the label away, even when sentences have no order")
ax.set_yticks(range(3), list(found))
figure(fig, "the_leak")

# %% [markdown]
# Google's code is more careful: it removes pieces from the front or the back at random. Even so, it leaves two
# traces. It fills windows from the front of a document, so the first sentence of a window is one that didn't fit into
# the window before, which makes it a long one. And where a window has only one sentence, it takes *a second text from
# anywhere* and calls the pair "exchanged": the old question through the back door.
# %%
rows = np.concatenate([r for _, r in google])
document_of = np.searchsorted(first, rows[:, [0, 2]], side="right")
elsewhere = (document_of[:, 0] != document_of[:, 1])[rows[:, 4] == 1].mean()
print(f"of Google's pairs that are labelled 'exchanged', {elsewhere:.0%} are from two different stories")
assert elsewhere > 0

# %% [markdown]
# Our code uses whole sentences, fills windows from the front or the back of a document by the toss of a coin, and
# treats both segments by the same rule. Whatever a model learns from such pairs, it has learned by reading.
#
# ## In the library
# A whole batch is a function of a *seed* (a number to start from) and a step: random numbers are computed from the
# number of the example instead of being drawn one after another. So every machine can make its own part of a batch
# (lesson 22), and an interrupted run resumes with the same examples.
# %%
with tempfile.TemporaryDirectory() as folder:
    corpus.write_corpus(Path(folder) / "stories.txt", 200)
    prepare([Path(folder) / "stories.txt"], tok, Path(folder) / "data", workers=1, progress=False)
    data = PretrainingData(Path(folder) / "data", max_seq_length=64)
    batch, again, tail = data.batch(7, 32), data.batch(7, 32), data.batch(7, 32, first=24)
    many = data.batch(0, 1000)["sentence_order_label"]
same(batch["input_ids"][24:], tail["input_ids"], "the last rows of a batch, drawn alone")
same(batch["labels"], again["labels"], "the same step, drawn twice")
print({name: array.shape for name, array in batch.items()})
print(tok.decode(batch["input_ids"][0][batch["attention_mask"][0] == 1]))
print(f"hidden: {(batch['labels'] >= 0).sum() / batch['attention_mask'].sum():.1%} of the pieces; exchanged:",
      f"{many.mean():.0%} of {len(many)} pairs")
show(masking.apply_masks)
show(pairs.sentence_order_pairs)

# %% [markdown]
# **What to keep.** Hide runs of whole words; label what was hidden, and put -100 elsewhere. Ask for the order of two
# neighbouring segments, and make sure that only reading can reveal it: test on shuffled text. Next: 12, how the
# parameters move.
# %%
finish()
