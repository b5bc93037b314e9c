# %% [markdown]
# # 25 · Train your own
# **Needs** 13 (a run), 19 (noise), 23 (how likely a text is) · **Builds** a test by minimal pairs, and the rules that it has to
# be compared with · **Paper** Warstadt et al. 2020; Salazar et al. 2020 · **Runs in** about 25 seconds
#
# Everything is built; now use it. You will choose a text, train a model on it for an hour, find out what it knows, and put
# a line on the *board*, a table in which all models answer the same questions. This lesson does the whole of it in half a
# minute, in miniature, and in the order in which it should be done: the questions come *first*.
# %%
import re
import tempfile
import time

import numpy as np
from _check import exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import AlbertForMaskedLM, AlbertTokenizer, no_grad
from tinyalbert.pretraining.pretrain import pretrain
from tinyalbert.pretraining.shards import Shards
from tinyalbert.stories.corpus import documents
from tinyalbert.tasks import minimal_pairs
from tinyalbert.tasks.likelihood import pseudo_log_likelihood

NEEDS = ["13", "19", "23"]
TEACHES = ["minimal_pairs.judge", "minimal_pairs.Frequencies", "minimal_pairs.PairSet", "no_grad"]
rng = np.random.default_rng(25)

# %% [markdown]
# ## First the questions
# A *minimal pair* is a good sentence and a bad one that differ in one thing. A model that knows that thing finds the good
# one likelier. No label is needed and no further training, so any model can be asked, and one's own first of all.
#
# The easiest way to make pairs is to take good sentences and spoil them. Ours come from stories that no model will read
# in training. Three things are asked: the order of words, *a* or *an*, and *his* or *her*.
# %%
sentences = [s for story in documents(500, split="test") for s in story if 5 <= len(s.split()) <= 12]


def two_words_exchanged(sentence):
    words, end = sentence[:-1].split(), sentence[-1]
    i = int(rng.integers(1, len(words) - 1))
    words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words) + end


def one_word_replaced(sentence, one, other):
    """The first of two words, in the place of which the other is put."""
    return re.sub(rf"\b({one}|{other})\b", lambda found: other if found[0] == one else one, sentence, count=1)


SPOIL = {"order": two_words_exchanged, "a or an": lambda s: one_word_replaced(s, "a", "an"),
         "his or her": lambda s: one_word_replaced(s, "his", "her")}
pairs = {name: [(bad, s) for s in sentences if (bad := spoil(s)) != s][:100] for name, spoil in SPOIL.items()}
for name, some in pairs.items():
    print(f"   {name:12s}{len(some):4d} pairs   {some[0][0]} | {some[0][1]}")

# %% [markdown]
# ## Then what is easy
# Before a model is trained, see how far one comes without any. The simplest rule knows one thing: how frequent each piece
# is in the training text. A sentence's score is the sum of the logarithms of its pieces' frequencies.
#
# Which share of the pairs is right? A tie counts one half, as a coin would get it.
# %%
@exercise(trials=[(np.array([-3.0, -2.0, -5.0]), np.array([-2.0, -2.5, -4.0])), (np.array([-1.0, -1.0]), np.array([-1.0, -0.5])),
                  (np.array([-4.0, -6.0, -1.0, -2.0]), np.array([-5.0, -6.0, -1.0, -1.0]))])
def share_better(bad, good):
    """Scores (n,) of the bad and of the good sentences -> the share of the pairs that are right."""
    ...


folder = tempfile.TemporaryDirectory()
start = time.perf_counter()
metrics = pretrain("stories:1500", f"{folder.name}/model", preset="tiny", steps=500, vocab_size=800, batch_size=16, threads=1,
                   workers=1, progress=False, say=lambda *words: None)
seconds = time.perf_counter() - start
tokenizer = AlbertTokenizer.from_pretrained(f"{folder.name}/model")
rules = minimal_pairs.Frequencies(tokenizer, f"{folder.name}/model/data")


def by_frequency(some):
    """Scores of the bad and the good sentences by how frequent their pieces are."""
    scores = rules.scores([text for pair in some for text in pair])[minimal_pairs.FREQUENCIES]
    return scores[::2], scores[1::2]


by_frequency_alone = predict("A rule that only knows how frequent each piece is looks at the pairs of a and an. In how many of 100 is it right?",
            guess=None)
by_frequency_alone.reveal(100 * share_better(*by_frequency(pairs["a or an"])), "{:.0f}")

# %% [markdown]
# Nobody taught the rule what *an* is for. But *a* is more frequent than *an*, so in most of our good sentences there is an
# *a*, and "always a" is nearly always right. The fault lies in the pairs. They must be *balanced*: as many in which *an* is
# right as in which *a* is. The same goes for *his* and *her*.
# %%
def balanced(some, word):
    """As many pairs with the word in the good sentence as without it."""
    with_it = [pair for pair in some if re.search(rf"\b{word}\b", pair[1])]
    without = [pair for pair in some if pair not in with_it]
    n = min(len(with_it), len(without))
    return with_it[:n] + without[:n]


everything = {name: [(bad, s) for s in sentences if (bad := spoil(s)) != s] for name, spoil in SPOIL.items()}
pairs = {"order": pairs["order"], "a or an": balanced(everything["a or an"], "an")[:100],
         "his or her": balanced(everything["his or her"], "her")[:100]}
print("a or an, balanced:", f"{share_better(*by_frequency(pairs['a or an'])):.0%} by frequency,", len(pairs["a or an"]), "pairs")
assert share_better(*by_frequency(pairs["a or an"])) < 0.65

# %% [markdown]
# ## Neighbours
# A better rule also knows which piece follows which. (Two neighbours are a *bigram*; the name stands in the figure.) From all sentences of the training text, count how often j stands
# right behind i, and divide by how often i is followed by anything: the probability of j after i. Most neighbours never
# occur there, and a probability of 0 would condemn the whole sentence. So 0.7 of that is taken, and 0.3 of j's own
# frequency.
# %%
SHARE = 0.7


def normalised(table):
    return table / table.sum(-1, keepdims=True)


@exercise(trials=[(rng.integers(0, 4, 5), rng.dirichlet(np.ones(4)), normalised(rng.random((4, 4)))),
                  (np.array([2, 0, 1]), np.array([0.2, 0.5, 0.3]), np.array([[0.5, 0.5, 0], [1, 0, 0], [0, 0, 1.0]]))])
def by_neighbours(ids, own, after):
    """ids (n,) of a sentence, own (V,) frequencies, after[i, j]: probability of j behind i -> log-probability of the sentence."""
    ...


shards = Shards(f"{folder.name}/model/data")
tokens, bounds = np.asarray(shards.tokens), np.asarray(shards.sentences)
counts = np.zeros((len(tokenizer), len(tokenizer)))
for first, last in zip(bounds[:-1], bounds[1:]):
    np.add.at(counts, (tokens[first:last - 1], tokens[first + 1:last]), 1)
after = counts / np.maximum(counts.sum(1, keepdims=True), 1)
own = np.exp(shards.log_frequencies())
some = [text for pair in pairs["order"][:20] for text in pair]
mine = [by_neighbours(ids, own, after) for ids in tokenizer.encode_batch_ids(some)]
same(mine, rules.scores(some)[minimal_pairs.BIGRAMS], "neighbours' frequencies")

# %% [markdown]
# ## Now the model
# It was trained above, when the training text was needed: a tiny ALBERT on 1,500 stories, with the same command that you
# will use for an hour (here as a function). Its score of a sentence is lesson 23's: hide every piece in turn. `no_grad`
# keeps nothing for a backward pass, as there will be none.
# %%
model = AlbertForMaskedLM.from_pretrained(f"{folder.name}/model")
with no_grad():
    judged = minimal_pairs.judge(model, tokenizer, [minimal_pairs.PairSet(name, [text for pair in some for text in pair])
                                                    for name, some in pairs.items()], f"{folder.name}/model/data")
    scores, _ = pseudo_log_likelihood(model, tokenizer, [text for pair in pairs["order"] for text in pair], True)
same(share_better(scores[::2], scores[1::2]), judged[0]["model"], "order of words: share that the model has right")
model_or_rule = predict("Words exchanged, and 100 pairs: who is right more often, the model after its 500 steps, or the rule of neighbours? "
            "(model or rule)", guess=None)
model_or_rule.reveal("the model" if judged[0]["model"] > judged[0][minimal_pairs.BIGRAMS] else "the rule")
print(f"the run: {seconds:.0f} seconds, loss {metrics['mlm_loss']:.2f} on held-out stories")

# %% [markdown]
# ## How sure is a share?
# Each pair is a 1 (right) or a 0. If the true share is p, the mean is p and the mean squared distance from it is p (1 - p)² +
# (1 - p) p² = p (1 - p). By lesson 19 the mean of n such numbers is spread by the root of that over n.
# %%
@exercise(trials=[(0.5, 100), (0.9, 50), (0.75, 1000)])
def noise_of_share(p, n):
    """A share p of n pairs -> its standard error."""
    ...


for row in judged[:-1]:
    print(f"   {row['set']:12s}" + "".join(f"{who}: {row[who]:.0%} ± {2 * noise_of_share(row[who], row['pairs']):.0%}   "
                                         for who in (minimal_pairs.FREQUENCIES, minimal_pairs.BIGRAMS, "model")))
same([noise_of_share(0.5, 4 * n) for n in (25, 100)], [noise_of_share(0.5, n) / 2 for n in (25, 100)], "four times the pairs, half the noise")

# %%
assert judged[-1][minimal_pairs.BIGRAMS] > judged[-1]["model"]
plt = pyplot()
fig, ax = plt.subplots(figsize=(6.8, 3.2))
names = [row["set"] for row in judged[:-1]]
for k, (who, color, mark) in enumerate(((minimal_pairs.FREQUENCIES, "0.7", "s"), (minimal_pairs.BIGRAMS, "0.45", "^"), ("model", "0.0", "o"))):
    shares = np.array([row[who] for row in judged[:-1]])
    noise = [2 * noise_of_share(row[who], row["pairs"]) for row in judged[:-1]]
    places = np.arange(len(names)) + (k - 1) * 0.2
    ax.errorbar(places, shares, noise, fmt=mark, color=color, capsize=3)
    ax.text(places[0], 0.12 + 0.09 * k, who, color=color, ha="left", va="top")
    ax.plot([places[0]] * 2, [0.14 + 0.09 * k, shares[0] - noise[0] - 0.02], color=color, lw=0.4)
ax.axhline(0.5, color="0.3", ls=":", lw=0.8)
ax.text(len(names) - 0.55, 0.51, "a coin", fontsize=8, color="0.3", ha="right")
ax.set_xticks(range(len(names)), [f"{row['set']}\n{row['pairs']} pairs" for row in judged[:-1]])
ax.set(ylim=(0.05, 1.05), xlim=(-0.5, len(names) - 0.5), ylabel="pairs that are right (± two standard errors)",
       title="After a short run a table of neighbours is still ahead")
figure(fig, "model_and_rules")
folder.cleanup()

# %% [markdown]
# What a neighbour tells (*a* before a vowel, the next word) a table of neighbours knows as well, and it needs one second.
# What stands far apart, a name and its *his* or *her*, no table can tell; it takes attention, and more than half a minute.
# Look at the whiskers before you say who is better.
#
# ## Your own, in an hour
# Choose a text: some megabytes of one kind (books, letters, the rules of a game, your own notes), one sentence or paragraph
# a line and an empty line between documents. `python` stands for the texts of the Python on your machine. Write your pairs
# into `pairs.tsv`, a table with the columns `good` and `bad`, *before* you start. Then (in `.venv/bin/`):
#
#     tinyalbert pretrain my_text.txt --preset mini --minutes 60 --output runs/mine
#     tinyalbert judge runs/mine pairs.tsv
#
# While it runs, `tinyalbert explore runs/mine` shows the curve with lesson 13's two lines. Afterwards write down: what text
# and how much of it; the loss beside the unigram entropy; the pairs with their noise, beside both rules; one thing that it
# knows, one that it does not, and one thing that surprised you.
#
# For the board, and the picture of how good each model is at what cost:
#
#     python scripts/board.py runs/mine --name "my text, an hour"
#
# `python scripts/board.py --help` says which public data it reads; what is missing there is left blank. A row low on the
# board is a row: it says what an hour on a laptop gives. With two seeds (`--seed 1`) it even says how certainly.
#
# ## In the library
# %%
show(minimal_pairs.judge)
show(minimal_pairs.Frequencies._bigram)

# %% [markdown]
# **What to keep.** Write the questions before the training; balance them; ask the simplest rules first; put the noise beside
# each share. This was the last lesson. You have built it all, from the derivative of a program to a model of your own.
# %%
finish()
