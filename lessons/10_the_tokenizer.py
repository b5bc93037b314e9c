# %% [markdown]
# # 10 · The tokenizer
# **Needs** 01 (the sweep), 05 (logarithms of probabilities) · **Builds** what `AlbertTokenizer` does · **Paper** Kudo 2018 (the
# unigram model); Lan et al. 2020, §4.1 · **Runs in** a few seconds
#
# A model reads numbers. Where do they come from? One number per word would need a row of the embedding table for
# every word there is, and would have none for a new word. One per letter always works, but it makes sequences long,
# and a letter says little. ALBERT uses *pieces*: frequent words whole, rare ones in parts. This lesson finds the best
# way to cut a word, and then learns which pieces to have.
# %%
import math
from collections import Counter

import numpy as np
from _check import exercise, figure, finish, here, predict, pyplot, same, show
from sentencepiece import SentencePieceProcessor

from tinyalbert import AlbertTokenizer, Tensor, backward, ops
from tinyalbert.stories import corpus
from tinyalbert.text import encoding, tokenizer, vocabulary

NEEDS = ["01", "05"]
TEACHES = ["AlbertTokenizer", "tokenizer.TextPreparation", "vocabulary.train_vocabulary", "encoding.encode",
           "encoding.template", "encoding.windows", "corpus.documents"]

# %%
here("tokenizer")

# %% [markdown]
# ## The text, and a vocabulary to look at
# tinyalbert writes its own stories. A *vocabulary* is a list of pieces, each with a *log-probability*: the logarithm
# of how likely this piece is to come next. We let the library learn one, look at it, and learn one ourselves further
# down. The library leaves the learning to *SentencePiece*, the program that made the vocabulary of the released
# ALBERTs.
# %%
sentences = [s for story in corpus.documents(300) for s in story]
trained = AlbertTokenizer.train(sentences, vocab_size=600, num_threads=1)
spm = SentencePieceProcessor(model_proto=trained.model_bytes)            # SentencePiece itself, the judge of this lesson
logp = {spm.id_to_piece(i): spm.get_score(i) for i in range(len(spm)) if not spm.is_control(i) and not spm.is_unknown(i)}
print("a sentence:", sentences[0])
print("its pieces:", trained.tokenize(sentences[0]))
print("the most likely:", sorted(logp, key=logp.get, reverse=True)[8:24])

# %% [markdown]
# "▁" is how SentencePiece writes a space. So a piece knows whether it starts a word, and the text can be put together
# again without loss. Before it is cut, the text is normalised: lower case, no accents, and one space where there are
# several.
# %%
prepare = tokenizer.TextPreparation()
print(prepare("  A  CAFÉ in   ``Zürich''  "))


def marked(text):
    return "▁" + prepare(text).replace(" ", "▁")


assert all(marked(s) == spm.normalize(prepare(s)) for s in sentences)

# %% [markdown]
# ## Every way to cut a word
# %%
def segmentations(text, logp):
    """All ways to write text as pieces of the vocabulary."""
    if not text:
        return [[]]
    return [[text[:n], *rest] for n in range(1, len(text) + 1) if text[:n] in logp
            for rest in segmentations(text[n:], logp)]


def score(pieces, logp):
    return sum(logp[piece] for piece in pieces)


word = "▁innkeeper"
how_many_ways = predict(f"In how many ways can {word} be cut into pieces of this vocabulary?", guess=None)
ways = sorted(segmentations(word, logp), key=lambda pieces: -score(pieces, logp))
how_many_ways.reveal(len(ways))
for pieces in ways[:4]:
    print(f"   {score(pieces, logp):7.2f}  {' '.join(pieces)}")
assert ways[0] == spm.encode("innkeeper", out_type=str)

# %% [markdown]
# The *unigram model* says that a text is made by drawing pieces one after another, each independently of the others.
# Then probabilities multiply, and their logarithms add up. The best way to cut is the one with the largest sum. Every
# term is negative, so the fewer terms the better: that is why pieces come out long.
#
# ## Viterbi: the best way without trying all
# A word of n letters can be cut in up to 2 to the power n-1 ways: between two letters there either is a cut or there
# is none. But the best way to reach the letter `end` is the best way to reach some earlier `start`, plus one more
# piece. So go from left to right and keep, for each place, the best score so far and where its last piece began: the
# *Viterbi algorithm*. It is the sweep of lesson 01, with a maximum in place of the sum.
# %%
def viterbi(text, logp, longest=16):
    best = [(0.0, 0)] + [(-math.inf, 0)] * len(text)                    # for each place: (score, where the last piece began)
    for end in range(1, len(text) + 1):
        for start in range(max(0, end - longest), end):
            if text[start:end] in logp:
                best[end] = max(best[end], (best[start][0] + logp[text[start:end]], start))
    pieces, end = [], len(text)
    while end:                                                          # from the end back to the front
        start = best[end][1]
        pieces.append(text[start:end])
        end = start
    return pieces[::-1]


def ids_of(text):
    return [spm.piece_to_id(piece) for piece in viterbi(marked(text), logp)]


mine = [number for s in sentences for number in ids_of(s)]
library = np.concatenate([trained.encode_batch_ids([s])[0] for s in sentences])
same(mine, library, f"the ids of {len(sentences)} sentences")

# %% [markdown]
# ## Break it: take the longest piece that fits
# Going left to right and always taking the longest piece (as BERT's WordPiece does) looks just as good.
# %%
def greedy(text, logp):
    pieces = []
    while text:
        n = max(n for n in range(1, len(text) + 1) if text[:n] in logp)
        pieces.append(text[:n])
        text = text[n:]
    return pieces


words = Counter(w for s in sentences for w in ("▁" + prepare(s)).replace(" ", " ▁").split())
differ = [w for w in words if greedy(w, logp) != viterbi(w, logp)]
cut_differently = predict("For what share of the distinct words does the longest-piece rule cut differently?", guess=None)
cut_differently.reveal(len(differ) / len(words), "{:.0%}")
worst = max(differ, key=lambda w: score(viterbi(w, logp), logp) - score(greedy(w, logp), logp))
print("   longest first:", greedy(worst, logp), f"{score(greedy(worst, logp), logp):.1f}")
print("   best         :", viterbi(worst, logp), f"{score(viterbi(worst, logp), logp):.1f}")
assert all(score(viterbi(w, logp), logp) >= score(greedy(w, logp), logp) for w in words)

# %%
plt = pyplot()
fig, ax = plt.subplots(figsize=(6.8, 3.2))
for pieces, height, colour in ((viterbi(worst, logp), 1, "0.0"), (greedy(worst, logp), 0, "0.45")):
    at = 0
    for piece in pieces:
        ax.plot([at + 0.08, at + len(piece) - 0.08], [height] * 2, color=colour, lw=5, solid_capstyle="butt")
        ax.text(at + len(piece) / 2, height + 0.1, piece, ha="center", color=colour)
        ax.text(at + len(piece) / 2, height - 0.2, f"{logp[piece]:.1f}", ha="center", color=colour, fontsize=8)
        at += len(piece)
    ax.text(at + 0.3, height, f"{score(pieces, logp):.1f}", va="center", color=colour, weight="bold")
ax.set(yticks=[0, 1], xticks=np.arange(len(worst)) + 0.5, xlabel="letter", ylim=(-0.5, 1.5), xlim=(0, len(worst) + 1.5),
       title="A long piece can leave an unlikely rest: the sum of log-probabilities decides")
ax.set_yticklabels(["longest first", "best"])
ax.set_xticklabels(list(worst))
figure(fig, "longest_and_best")


# %% [markdown]
# The same sweep answers other questions. Put a sum in place of the maximum and 1 in place of the log-probability, and
# it counts.
# %%
@exercise(trials=[("abab", {"a": -1.0, "b": -1.0, "ab": -2.0}), ("aaaa", {"a": -1.0, "aa": -1.0, "aaa": -2.0}),
                  (word, logp), ("abc", {"a": -1.0, "b": -1.0})])
def count_segmentations(text, logp):
    """In how many ways can text be cut into pieces?  Count them without listing them."""
    ...


# %% [markdown]
# ## Where the pieces come from: the E step
# Now the log-probabilities themselves. If we knew the pieces of every word, we could count them. If we knew the
# probabilities, we could find the pieces. *EM* alternates between the two: the E step, for *expectation*, counts
# pieces under the current probabilities; the M step, for *maximisation*, turns the counts into new probabilities.
#
# The E step doesn't use only the best way: every way counts in proportion to its probability. So a piece at a given
# place counts as the probability of all ways that use it there, divided by the probability of all ways. Two sweeps
# compute this: *everything before the piece* times *the piece* times *everything after it*.
# %%
def pieces_of(text, logp, longest=16):
    """Every place where a piece fits: (start, end, piece)."""
    return [(start, end, text[start:end]) for end in range(1, len(text) + 1)
            for start in range(max(0, end - longest), end) if text[start:end] in logp]


def expected_counts(text, prob):
    """{piece: how often it occurs, averaged over all ways}, and the probability of the text, summed over all ways."""
    arcs = pieces_of(text, prob)
    before = [1.0] + [0.0] * len(text)                                   # sum over all ways up to a place
    after = [0.0] * len(text) + [1.0]                                    # and from there on
    for start, end, piece in arcs:
        before[end] += before[start] * prob[piece]
    for start, end, piece in sorted(arcs, reverse=True):
        after[start] += prob[piece] * after[end]
    counts = Counter()
    for start, end, piece in arcs:
        counts[piece] += before[start] * prob[piece] * after[end] / before[-1]
    return counts, before[-1]


prob = {piece: math.exp(x) for piece, x in logp.items()}
word_counts, total = expected_counts(word, prob)
weights = np.exp([score(pieces, logp) for pieces in ways])
by_hand = Counter()
for pieces, weight in zip(ways, weights / weights.sum()):
    for piece in pieces:
        by_hand[piece] += weight
print("the most likely pieces of", word, [(piece, round(n, 3)) for piece, n in word_counts.most_common(5)])
same([word_counts[piece] for piece in logp], [by_hand[piece] for piece in logp], "expected word_counts, by sweeps and by listing all ways")

# %% [markdown]
# `before` and `after` are a sweep forward and a sweep back, as in lesson 01. This is no accident. The derivative of
# the logarithm of the text's probability with respect to a piece's log-probability *is* that piece's expected count.
# The library can differentiate anything, so we let it.
# %%
arcs = pieces_of(word, logp)
names = sorted({piece for _, _, piece in arcs})
parameter = Tensor(np.array([logp[name] for name in names]), requires_grad=True)
reach = {0: Tensor(np.array(0.0))}                                       # log of `before`
for end in range(1, len(word) + 1):
    terms = [reach[start] + parameter[names.index(piece)] for start, e, piece in arcs if e == end and start in reach]
    if terms:
        reach[end] = ops.log(sum(ops.exp(term) for term in terms))
same(math.log(total), reach[len(word)].data, "log-probability of a word")
same([word_counts[name] for name in names], backward(reach[len(word)])[parameter], "expected word_counts are a gradient")

# %% [markdown]
# ## The M step
# To turn counts into probabilities, divide by their sum. (SentencePiece first subtracts a little from each count,
# which makes rare pieces rarer.)
# %%
@exercise(trials=[(np.array([3.0, 1.0]),), (np.array([0.2, 5.5, 1.3, 2.0]),)])
def m_step(counts):
    """Expected counts (V,) -> log-probabilities (V,)."""
    ...


# %% [markdown]
# Begin with many pieces: all parts of the most frequent words that occur at least a few times. Take some EM steps,
# drop the pieces that are used least, and repeat until the vocabulary has the size we want. Single letters stay, so
# that every word can be written.
# %%
def em_step(logp, words):
    """-> new log-probabilities, expected counts, mean log-probability of a word."""
    prob = {piece: math.exp(x) for piece, x in logp.items()}
    counts, likelihood = Counter(), 0.0
    for w, times in words.items():
        expected, total = expected_counts(w, prob)
        likelihood += times * math.log(total)
        for piece, n in expected.items():
            counts[piece] += times * n
    kept = [piece for piece in logp if counts[piece] > 1e-6 or len(piece) == 1]
    values = m_step(np.array([counts[piece] + 1e-9 for piece in kept]))
    return dict(zip(kept, values.tolist())), counts, likelihood / words.total()


# %% [markdown]
# From the 400 most frequent words: candidates, two steps, fewer candidates, two steps, and so on.
# %%
some = Counter(dict(words.most_common(400)))
parts = Counter()
for w, times in some.items():
    for start in range(len(w)):
        for end in range(start + 1, min(len(w), start + 10) + 1):
            parts[w[start:end]] += times
start = {part: n for part, n in parts.items() if n >= 5 or len(part) == 1}
vocab = dict(zip(start, m_step(np.array([*start.values()], dtype=float)).tolist()))
history = []                                     # (pieces, mean log-probability of a word, pieces per word)
while True:
    for _ in range(2):
        vocab, counts, likelihood = em_step(vocab, some)
        history.append((len(vocab), likelihood, counts.total() / some.total()))
    if len(vocab) <= 150:
        break
    ranked = sorted((piece for piece in vocab if len(piece) > 1), key=lambda piece: -counts[piece])
    letters = [piece for piece in vocab if len(piece) == 1]
    kept = letters + ranked[:max(150, int(0.7 * len(vocab))) - len(letters)]
    vocab = {piece: vocab[piece] for piece in kept}
print("pieces:", history[0][0], "->", history[-1][0])
assert history[1][1] >= history[0][1]            # an EM step never makes the text less likely
both = set(vocab) & set(logp)
print(f"{len(both) / len(vocab):.0%} of our {len(vocab)} pieces are also among SentencePiece's {len(logp)}, such as",
      sorted((x for x in both if len(x) > 3), key=vocab.get, reverse=True)[:8])

# %% [markdown]
# SentencePiece starts from more pieces and asks how much less likely the *whole text* would become without each of
# them, whereas we only look at how often a piece is used. The two vocabularies agree in part; no two programs learn
# exactly the same one. (The figure counts in *bits*: minus the base-2 logarithm of a probability, or the number of
# yes-or-no questions it takes to find the answer.)
# %%
sizes, likelihoods, per_word = (np.array(column) for column in zip(*history))
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.1))
left.semilogx(sizes[1::2], -likelihoods[1::2] / math.log(2), "o-", color="0.0", ms=4)
left.set(xlabel="pieces in the vocabulary", ylabel="bits per word", title="More pieces than words do not help; fewer cost more bits per word")
left.axvline(len(some), color="0.6", ls=":")
left.text(len(some) * 1.05, -likelihoods[-1] / math.log(2), "as many pieces\nas words", color="0.4", va="top")
trials = [100, 150, 250, 400, 600]
learned = [AlbertTokenizer.train(sentences, size, num_threads=1) for size in trials]
lengths = [sum(map(len, t.encode_batch_ids(sentences))) / words.total() for t in learned]
right.plot(trials, lengths, "o-", color="0.0", ms=4)
right.axhline(1, color="0.6", ls=":")
right.text(trials[-1], 1.04, "whole words", ha="right", color="0.4")
right.set(xlabel="pieces in the vocabulary (the library's)", ylabel="pieces per word",
          title="A larger vocabulary makes sequences shorter, with diminishing returns")
for ax in (left, right):
    ax.minorticks_off()
left.set_xticks([150, 300, 600, 1200], ["150", "300", "600", "1200"])
fig.tight_layout()
figure(fig, "vocabulary_size")
assert all(a > b for a, b in zip(lengths, lengths[1:]))

# %% [markdown]
# ## From pieces to the model's input
# Two texts become one row: `[CLS] a [SEP] b [SEP]`. `[CLS]` (*classify*) is where answers about the whole row are
# read, and `[SEP]` (*separate*) ends a text. The *token type* is 0 up to the first `[SEP]` and 1 after it; the
# *attention mask* (lesson 08) is 0 on the padding that fills up the row.
# %%
row = trained("a cat", "the mat", padding="max_length", max_length=16)
print(trained.convert_ids_to_tokens(row["input_ids"]))
print(row["token_type_ids"], row["attention_mask"])


@exercise(trials=[(np.array([20, 21]), np.array([30]), 2, 3), (np.array([7]), np.array([8, 9, 10]), 2, 3)])
def template(a, b, cls, sep):
    """Ids of two texts -> (2, n): the ids of the row, and below them the token types."""
    ...


a, b = (np.array(trained.encode(text, add_special_tokens=False)) for text in ("a cat", "the mat"))
pair_row = trained("a cat", "the mat")
same(template(a, b, trained.cls_token_id, trained.sep_token_id), [pair_row["input_ids"], pair_row["token_type_ids"]], "a pair as one row")


# %% [markdown]
# A model has a limited number of positions. Longer input must be cut, and the rule "longest first" removes pieces one
# at a time from whichever text is longer at that moment, or from the second if they are equally long.
# %%
@exercise(trials=[(10, 3, 8), (4, 9, 8), (9, 9, 7), (2, 3, 8), (20, 4, 4)])
def longest_first(a, b, room):
    """Lengths a and b -> (2,): their lengths after cutting to `room` pieces in total."""
    ...


cut = encoding.windows(range(12), range(5), "longest_first", 10)[0]
same(longest_first(12, 5, 10), [len(part) for part in cut], "the lengths after cutting a pair to 10 pieces")


# %% [markdown]
# ## In the library
# SentencePiece does the learning, with the settings of ALBERT's own vocabulary; the steps around it are ours.
# %%
show(vocabulary.train_vocabulary)
show(encoding.template)
text = "Mr. Fox paid £92,000 for a café."
print(trained.tokenize(text))
print("and back:", trained.decode(trained.encode(text), skip_special_tokens=True))

# %% [markdown]
# (Characters that never occur in the stories become `<unk>`, unknown: the price of a vocabulary learned from the
# stories alone.)
#
# **What to keep.** Pieces have log-probabilities; the best way to cut a text has the largest sum, and Viterbi finds
# it in one sweep. EM learns the log-probabilities: first expected counts, which are a gradient, then shares. Next:
# 11, what the model has to guess.
# %%
finish()
