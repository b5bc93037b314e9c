# %% [markdown]
# # 17 · Choosing sentences and long documents
# **Needs** 05 (cross-entropy), 14 (baselines), 15 (a tagger of nothing but a table), 16 (windows, search) · **Builds** summaries,
# their score, rows of whole sentences, vectors of sentences · **Paper** Liu & Lapata 2019; Lin 2004; Reimers & Gurevych 2019 ·
# **Runs in** a few seconds
#
# A summary that is *extracted* is made of sentences that stand in the text. Which ones? This is lesson 15 with whole
# sentences in place of words, and lesson 16's question in another form: which of these texts fits best?
# %%
from collections import Counter

import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import (
    AlbertConfig,
    AlbertForMultipleChoice,
    AlbertForSentenceEmbedding,
    AlbertForWindowClassification,
    AlbertTokenizer,
)
from tinyalbert.backend import to_host
from tinyalbert.stories.corpus import documents
from tinyalbert.stories.tasks import story_dataset
from tinyalbert.tasks.metrics import words
from tinyalbert.tasks.rouge import greedy_oracle
from tinyalbert.tasks.summary import Summarization, SummarySettings
from tinyalbert.tasks.summary_files import document_of_sentences
from tinyalbert.tensor import Tensor, backward
from tinyalbert.text.rows import RowEncoder, sentence_windows

NEEDS = ["05", "14", "15", "16"]
TEACHES = ["AlbertForMultipleChoice", "AlbertForSentenceEmbedding", "AlbertForWindowClassification"]
rng = np.random.default_rng(17)

# %% [markdown]
# ## Stories and their turning points
# A line of each story's plot marks a turning point. These sentences are the summary that we want.
# %%
train, test = ([(row["sentences"], np.array(row["labels"])) for row in story_dataset("summary", n, split=split)]
               for n, split in ((400, "train"), (150, "test")))
for sentence, label in zip(*test[1]):
    print("  *" if label else "   ", sentence)

# %% [markdown]
# ## A score for summaries
# Two summaries are compared by their *n-grams*, the runs of n words in a row: single words for n = 1, neighbouring pairs for
# n = 2. An n-gram that stands three times in one and twice in the other is common to both twice. ROUGE-n (Lin 2004) is F1
# again: 2 · common / (n-grams of the one + n-grams of the other).
#
# `Counter(list)` counts what is in a list, and `a & b` of two Counters keeps the smaller of the two counts:
# %%
print(Counter("the dog saw the cat".split()) & Counter("the cow and the other cow saw the dog".split()))


# %%
@exercise(trials=[(a.split(), b.split(), n) for a, b, n in (
    ("the dog saw the cat", "the cow saw the dog and the bird", 1), ("the dog saw the cat", "the cow saw the dog and the bird", 2),
    ("a b a b a", "a b a c", 2), ("one two", "three", 2), ("one", "two", 2))])
def rouge(reference, summary, n):
    """Lists of words -> ROUGE-n; 0 if neither has an n-gram."""
    ...


def text_of(sentences, chosen):
    return [word for sentence, taken in zip(sentences, chosen) if taken for word in words(sentence)]


# %%
shuffled_summary = predict("Take the perfect summary, and shuffle its words. What is its ROUGE-1, from 0 to 1?", guess=None)
perfect = [text_of(*story) for story in test]
shuffled = [rng.permutation(summary).tolist() for summary in perfect]
shuffled_summary.reveal(np.mean([rouge(a, b, 1) for a, b in zip(perfect, shuffled)]), "{:.2f}")
print(f"   its ROUGE-2 is {np.mean([rouge(a, b, 2) for a, b in zip(perfect, shuffled)]):.2f}")

# %% [markdown]
# ROUGE-1 doesn't see order at all; ROUGE-2 sees that of neighbours. Neither sees whether anything is *true*.
#
# ## The best that choosing can do
# A summary that a person wrote contains none of the text's sentences word for word. Which of them should then be learned?
# Take one after the other, always the one that raises the score most, until none does: the *oracle*, named so because it
# knows the answer. Its score counts different n-grams only, for n = 1 and 2 together.
# %%
def grams(sentences, n):
    return {gram for each in sentences for gram in zip(*(words(each)[i:] for i in range(n)))}


def common(sentences, summary):
    pairs = [(grams(sentences, n), grams(summary, n)) for n in (1, 2)]
    return sum(2 * len(a & b) / (len(a) + len(b)) for a, b in pairs)


# %%
def oracle(sentences, summary):
    chosen, score = [], 0.0
    while len(chosen) < len(sentences):
        values = {i: common([sentences[k] for k in (*chosen, i)], summary) for i in range(len(sentences)) if i not in chosen}
        best = max(values, key=values.get)
        if values[best] <= score:
            break
        chosen.append(best)
        score = values[best]
    return chosen


written = [[s.replace("the ", "that ") for s, taken in zip(*story) if taken] for story in test[:40]]     # in other words
mine = [oracle(story[0], summary) for story, summary in zip(test, written)]
theirs = [greedy_oracle(story[0], summary) for story, summary in zip(test, written)]
same(np.concatenate(mine), np.concatenate(theirs), "sentences of the oracle, for 40 summaries in other words")

# %% [markdown]
# ## Build it: a chooser of nothing but a table
# Each sentence has features: the words in it (their first six letters), in which quarter of the text it stands, whether it
# is the first or the last. Each feature owns a row with two numbers, for "no" and "yes"; sum, softmax, cross-entropy, and the
# gradient is probability minus truth, as in lessons 05, 15 and 16.
# %%
def features(sentences):
    n = len(sentences)
    return [[("quarter", 4 * i // n), ("first", i == 0), ("last", i == n - 1), *dict.fromkeys(word[:6] for word in words(sentence))]
            for i, sentence in enumerate(sentences)]


# %%
known, rows = {}, []
for sentences, gold in train:
    rows += [([known.setdefault(f, len(known)) for f in each], label) for each, label in zip(features(sentences), gold)]
table = np.zeros((len(known) + 1, 2))                                                 # the last row is for what is new: it stays 0
for _ in range(4):
    for k in rng.permutation(len(rows)):
        numbers, label = rows[k]
        e = np.exp(table[numbers].sum(0))
        row_error = e / e.sum() - np.eye(2)[label]                                        # (2,)
        table[numbers] -= 0.05 * row_error


def scores_of(sentences):
    """How much "yes" is above "no", for each sentence."""
    return np.array([table[[known.get(f, -1) for f in each]].sum(0) @ [-1, 1] for each in features(sentences)])


# %% [markdown]
# ## From scores to a summary
# Take the best sentences, as many as asked for, and print them in the order of the text. One more rule: a sentence that
# shares *three words in a row* with one that was taken repeats it, and is passed over (*blocking*).
# %%
@exercise(trials=[(np.array(scores), [s.split() for s in text.split("|")], count) for scores, text, count in (
    ([0.2, 0.9, 0.8, 0.1], "it snowed|mara lost the red kite|so mara lost the rope|she wept", 2), ([3.0, 1, 2], "a b c|c d e|a b d", 2),
    ([0.1, 0.7, 0.3, 0.5], "p q r s|q r s t|u v w|v w x", 3), ([4.0, 3, 2, 1], "a b c|d e f|a b c g|h i j", 3),
    ([4.0, 3, 2], "a b c|a b c d e|c d e", 2), ([1.0, 2, 3, 2.5], "k l m n|i j k|j k l m n|o i j k", 2))])
def choose(scores, sentences, count):
    """Scores, and the sentences as lists of words -> numbers of the chosen ones, in the order of the text."""
    ...


task = Summarization(SummarySettings(sentences=3))
my_choice, library_choice = [], []
for sentences, _ in test:
    twice = sentences + sentences[:3]                                                 # something to be passed over
    random_scores = rng.standard_normal(len(twice))
    my_choice.append(choose(random_scores, [words(s) for s in twice], 3))
    library_choice.append(task.choose(document_of_sentences(twice), np.argsort(-random_scores, kind="stable")))
same(np.concatenate(my_choice), np.concatenate(library_choice), "three sentences of 150 stories, none repeated")

# %% [markdown]
# ## What a number means
# Compare with choices that need no learning. In newspapers the first sentences are hard to beat: the news comes first.
# %%
lowest_first = predict("And in these stories? Put in order by ROUGE-1, lowest first: (1) the first two sentences, (2) two at random, (3) ALL sentences.",
            guess=None)
ways = {"the first two": lambda s: range(2), "two at random": lambda s: rng.permutation(len(s))[:2], "all of them": lambda s: range(len(s)),
        "the two longest": lambda s: np.argsort([-len(each) for each in s])[:2],
        "the table's two": lambda s: choose(scores_of(s), [words(each) for each in s], 2)}
values = {}
for name, way in ways.items():
    taken = [np.isin(np.arange(len(s)), list(way(s))) for s, _ in test]
    values[name] = [np.mean([rouge(right, text_of(s, t), n) for right, (s, _), t in zip(perfect, test, taken)]) for n in (1, 2)]
values["the right words, shuffled"] = [np.mean([rouge(a, b, n) for a, b in zip(perfect, shuffled)]) for n in (1, 2)]
lowest_first.reveal(" then ".join(sorted(list(values)[:3], key=lambda name: values[name][0])))
for name, (one, two) in values.items():
    print(f"   {name:28s}ROUGE-1 {one:.2f}   ROUGE-2 {two:.2f}")

# %%
plt = pyplot()
fig, ax = plt.subplots()
for i, (one, two) in enumerate(values.values()):
    ax.barh(i - 0.2, one, 0.38, color="0.75")
    ax.barh(i + 0.2, two, 0.38, color="0.3")
    ax.text(one + 0.01, i - 0.2, f"{one:.2f}", va="center", fontsize=8)
    ax.text(two + 0.01, i + 0.2, f"{two:.2f}", va="center", fontsize=8)
ax.text(0.02, -0.2, "ROUGE-1", va="center", fontsize=8)
ax.text(0.02, 0.2, "ROUGE-2", va="center", fontsize=8, color="white")
ax.set_yticks(range(len(values)), list(values))
ax.invert_yaxis()
ax.set(xlim=(0, 1.08), xlabel="mean over 150 stories", title="ROUGE-1 rates shuffled words highest of all")
figure(fig, "what_rouge_sees")
assert values["the table's two"][1] > 0.2 + max(values[name][1] for name in list(values)[:4])

# %% [markdown]
# Copying the whole text finds every word of the summary, among many others, and F1 pays well for that. So a number needs
# its baselines, and a limit on the length.
#
# ## In ALBERT: a `[CLS]` for each sentence
# The row of a document has a `[CLS]` before *every* sentence and a `[SEP]` behind it. The hidden vectors of the `[CLS]` get
# the two scores; all other places have the label -100 (lesson 15). Neighbours differ in their segment type, 0, 1, 0, 1, ...
# %%
tokenizer = AlbertTokenizer.train([sentence for story in documents(300) for sentence in story], 600)
story = test[1][0]
pieces = [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(sentence)) for sentence in story]
cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
ids = [i for each in pieces for i in (cls, *each, sep)]
types = [number % 2 for number, each in enumerate(pieces) for _ in range(len(each) + 2)]
row = RowEncoder(tokenizer, 512).of_sentences(story)[0]
same(ids, row["input_ids"], "ids of a story's row")
same(types, row["token_type_ids"], "its segment types")
print(" ".join(tokenizer.convert_ids_to_tokens(ids[:30])), "...")

# %% [markdown]
# ## Long documents
# A long document doesn't fit in a row, and is read in several: as many *whole* sentences as a row holds, then the next row.
# A sentence that is longer than a row gets one of its own (and is cut).
# %%
@exercise(trials=[(np.array(lengths), size) for lengths, size in (([5, 4, 3, 6, 2], 10), ([3, 3, 4, 1], 10), ([2, 12, 3, 3], 8), ([9, 2, 3], 8))])
def fill_rows(lengths, size):
    """Tokens of each sentence, and tokens that a row holds -> [(first, end), ...]: row k has the sentences first to end - 1."""
    ...


lengths = rng.integers(5, 40, 60)
same(np.array(fill_rows(lengths, 128)), np.array([(w.start, w.stop) for w in sentence_windows(lengths.tolist(), 128, 0)]), "rows of 60 sentences")
print("without overlap", fill_rows(lengths, 128)[:3], " sharing up to 32 tokens", [(w.start, w.stop) for w in sentence_windows(lengths.tolist(), 128, 32)[:3]])

# %% [markdown]
# The first sentence of a row knows nothing of what came before. So the library lets a row repeat the last sentences of the
# one before, up to a quarter of its tokens. A sentence that was read twice gets the mean of its two probabilities.
#
# Reading some tokens twice costs. But compared with what? In attention (lesson 08) every token of a row looks at every
# token of it.
# %%
rows_or_one = predict("10,000 tokens, read in rows of 512 that share 128 with the next. Compared with ONE row of 10,000, how many times as many pairs "
            "of tokens does attention look at? (2: twice as many, 0.5: half as many)", guess=None)
rows_needed = 1 + -(-(10000 - 512) // (512 - 128))
rows_or_one.reveal(rows_needed * 512**2 / 10000**2, "{:.3f}")

# %% [markdown]
# Windows are not the price of long texts, but the bargain: twice the length of a row is four times the pairs. What is lost
# is what two far sentences might have told each other.
#
# ## Choosing one of several texts
# Four possible answers to one question make four rows, each read *on its own*. One linear map turns each `[CLS]` vector
# (pooled, lesson 09) into one score, and softmax runs along the four: this is `AlbertForMultipleChoice`.
# %%
config = AlbertConfig.preset("tiny", vocab_size=len(tokenizer))
model = put(AlbertForMultipleChoice(config, seed=1).astype(np.float64))
B, C = 3, 4
choices = rng.integers(5, len(tokenizer), (B, C, 9))
right = np.array([2, 0, 3])
out = model(choices, labels=right)
pooled = model.albert(choices.reshape(B * C, 9)).pooler_output.numpy()                # (B C, H)
scores = (pooled @ to_host(model.classifier.weight.data)[0] + to_host(model.classifier.bias.data)).reshape(B, C)
same(scores, out.logits.numpy(), "a score for each choice")
probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
same(-np.log(probabilities[np.arange(B), right]).mean(), out.loss.numpy(), "the loss of choosing")

# %%
bias_gradient = predict("The head has a bias, one number that is added to every score. How large is its gradient?", guess=None)
gradients = backward(out.loss)
error = (probabilities - np.eye(C)[right]) / B                                        # (B, C)
same(error.reshape(1, -1) @ pooled, gradients[model.classifier.weight], "gradient of the head's matrix")
bias_gradient.reveal(abs(round(float(to_host(gradients[model.classifier.bias])[0]), 12)))

# %% [markdown]
# What is added to all choices alike, softmax doesn't see (lesson 05). The bias is there, is saved, and never learns.
#
# A warning about such tests: often the right choice can be told without the question.
# %%
quiz = story_dataset("choice", 300, split="test")
print("   ", quiz[0]["question"], quiz[0]["choices"])
named_most = predict("Never look at the question, and take the choice that the text names most often. How many of 100 are right? (Chance: 25)",
            guess=None)
named = [[row["context"].count(choice.split()[-1]) for choice in row["choices"]] for row in quiz]
named_most.reveal(100 * np.mean([np.argmax(counts) == row["label"] for counts, row in zip(named, quiz)]), "{:.0f}")

# %% [markdown]
# ## One label for a long document
# A document of N windows that gets *one* label: each window gives logits of its own, and the document gets a mean of them.
# In an even mean one telling window drowns among many that tell nothing. So `AlbertForWindowClassification` learns a score
# for each window, u = w · tanh(W h + b) + c of its pooled vector h, and softmax along the windows makes the scores shares:
# the attention of lesson 08, over windows in place of words.
# %%
reader = put(AlbertForWindowClassification(config, seed=2).astype(np.float64))
windows = rng.integers(5, len(tokenizer), (2, 3, 9))                                  # 2 documents of 3 windows
answer = reader(windows)
window_pooled = reader.albert(windows.reshape(6, 9)).pooler_output.numpy()            # (6, H)
parts = {name: to_host(parameter.data) for name, parameter in reader.named_parameters()}
window_hidden = np.tanh(window_pooled @ parts["window_dense.weight"].T + parts["window_dense.bias"])
u = (window_hidden @ parts["window_score.weight"][0] + parts["window_score.bias"]).reshape(2, 3)
window_shares = np.exp(u) / np.exp(u).sum(axis=1, keepdims=True)
each = (window_pooled @ parts["classifier.weight"].T + parts["classifier.bias"]).reshape(2, 3, 2)
same((each * window_shares[:, :, None]).sum(axis=1), answer.logits.numpy(), "logits of documents of three windows")
print("shares before training:", window_shares.round(3).tolist())

# %% [markdown]
# Untrained, the shares are nearly even: training begins at the mean and leaves it where that pays
# (`tinyalbert finetune --long windows --window-pooling learned`).
#
# ## Vectors of sentences
# To choose among a million texts, reading each beside the question is too slow. So every text becomes *one vector*, once
# and for all, and so does the question. The nearest text wins: the one with the largest *cosine*, the inner product of
# two vectors of length 1. The vector of a text is the mean of its hidden vectors, padding left out, divided by its length
# (the root of the sum of its squares).
# %%
@exercise(trials=[(rng.standard_normal((2, 4, 3)) + 1, np.array([[1, 1, 1, 0], [1, 1, 0, 0]])),
                  (rng.standard_normal((3, 2, 5)), np.array([[1, 0], [1, 1], [1, 1]]))])
def sentence_vectors(hidden, mask):
    """Hidden vectors (B, T, H) and mask (B, T), 0 for padding -> vectors of length 1, (B, H)."""
    ...


embedder = put(AlbertForSentenceEmbedding(config, seed=1).astype(np.float64))
sentences = list(dict.fromkeys(sentence for story, _ in test[:12] for sentence in story))[:60]
batch = tokenizer(sentences, padding=True, return_tensors="np")
hidden = embedder.albert(**batch).last_hidden_state.numpy()
vectors = sentence_vectors(hidden, batch["attention_mask"])                           # (60, H)
same(vectors, embedder(**batch).embeddings.numpy(), "vectors of 60 sentences")

# %%
random_cosine = predict("This encoder has random weights; it has read nothing yet. What is the mean cosine of two different sentences?", guess=None)
others = np.triu_indices(len(vectors), 1)                                             # every pair once
cosines = (vectors @ vectors.T)[others]
random_cosine.reveal(cosines.mean(), "{:.2f}")

# %%
moved = vectors - vectors.mean(0)
moved /= np.sqrt((moved**2).sum(1, keepdims=True))
fig, ax = plt.subplots()
for each, color, place, what in ((cosines, "0.75", 0.86, "as they come"), ((moved @ moved.T)[others], "0.3", -0.3, "their mean taken away")):
    bars, _, _ = ax.hist(each, bins=np.linspace(-1, 1, 81), color=color)
    ax.text(place, bars.max(), what, ha="right", va="center")
ax.set(xlabel="cosine of two different sentences", ylabel="pairs of sentences", xlim=(-1, 1.02),
       title="Before any training, all sentences point the same way")
figure(fig, "all_point_the_same_way")
assert cosines.mean() > 0.8

# %% [markdown]
# All vectors share a large common part: every sentence has `[CLS]`, `[SEP]`, a full stop and the same first positions. A high
# cosine says nothing by itself; only comparisons do. Training has to pull questions to their answers and push the rest away.
#
# ## A loss that compares
# Take G questions and their G answers. Each question should find its own answer among all G: a choice, as above, in which
# the scores are 20 times the cosines. This is the *contrastive* loss. (Times 20, since cosines end at 1, where softmax would
# never become sure.)
# %%
G = 8
questions, answers = vectors[:G], vectors[G:2 * G]
contrast_scores = 20 * questions @ answers.T                                                   # (G, G): row: question, column: answer
shares = np.exp(contrast_scores) / np.exp(contrast_scores).sum(1, keepdims=True)
a, b = Tensor(put(questions[None]), True), Tensor(put(answers[None]), True)
loss = embedder.contrastive(a, b, put(np.arange(2 * G).reshape(1, G, 2)))
same(-np.log(np.diag(shares)).mean(), loss.numpy(), "the contrastive loss")
contrast_error = (shares - np.eye(G)) / G
contrast_gradients = backward(loss)
same(20 * contrast_error @ answers, contrast_gradients[a][0], "gradient of the questions' vectors")
same(20 * contrast_error.T @ questions, contrast_gradients[b][0], "gradient of the answers' vectors")

# %% [markdown]
# The other answers of the batch are the wrong ones, at no cost: G texts give G² comparisons. Larger batches make a harder
# question.
#
# ## Open it
#
#     tinyalbert finetune summary stories:summary:1000 --model runs/stories --output runs/summaries
#     tinyalbert finetune embedding stories:retrieval --model runs/stories --output runs/vectors
#     tinyalbert search runs/vectors my_folder "a lost kite"
#
# (The first needs `pip install 'tinyalbert[summary]'`, for ROUGE.)
#
# ## In the library
# %%
show(Summarization.choose)
show(sentence_windows)
show(AlbertForSentenceEmbedding.contrastive)

# %% [markdown]
# **What to keep.** Sentences are chosen by a score each, and a summary needs baselines and a limit. Long texts are read
# in rows of whole sentences, which costs less than one long row. Softmax over choices doesn't see what they share. One
# vector a text makes a million texts comparable. Next: 18, writing instead of choosing.
# %%
finish()
