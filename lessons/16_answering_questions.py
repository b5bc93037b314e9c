# %% [markdown]
# # 16 · Answering questions: spans, windows, no answer, search
# **Needs** 05 (cross-entropy), 08 (attention), 15 (a tagger of nothing but a table) · **Builds** a reader, windows over a long
# text, a search · **Paper** Devlin et al. 2019, §4.2, §4.3; Rajpurkar et al. 2018; Robertson & Zaragoza 2009 · **Runs in** a
# few seconds
#
# A question, a text, and somewhere in the text the answer. An *extractive* reader doesn't write; it points. Its answer is
# a *span*: all words from a first one to a last one. The model reads both texts in one row, `[CLS] question [SEP] text [SEP]`.
# %%
import re

import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import (
    AlbertConfig,
    AlbertForConditionalQuestionAnswering,
    AlbertForQuestionAnswering,
    span_heads,
)
from tinyalbert.backend import to_host
from tinyalbert.stories.tasks import story_dataset
from tinyalbert.tasks import spans
from tinyalbert.tasks.squad_scores import best_threshold, lexical_answer
from tinyalbert.tensor import backward

NEEDS = ["05", "08", "15"]
TEACHES = ["AlbertForQuestionAnswering", "AlbertForConditionalQuestionAnswering"]
rng = np.random.default_rng(16)

# %%
train, test = (story_dataset("qa", n, split=split) for n, split in ((500, "train"), (240, "test")))
for row in test[2:4]:
    print(f"    {row['question']}  ->  {(row['answers']['text'] or ['(the text does not say)'])[0]}")
    print(f"       {row['context'][:150]} ...")

# %% [markdown]
# ## Two scores for every token
# The first idea would be a score for every span. But how many are there?
# %%
T = 384
how_many_spans = predict(f"A text of {T} tokens: how many spans does it have?", guess=None)
how_many_spans.reveal(sum(1 for first in range(T) for last in range(first, T)), "{:,}")

# %% [markdown]
# So each token has two scores instead, one as the first and one as the last of the answer, and the score of a span is a
# sum: of its first token's score as a start, and of its last token's score as an end. That is 2 T numbers in place of T (T
# + 1) / 2.
#
# In lesson 15 the tags of one word competed: softmax along the tags. Here the *places* compete: softmax goes along the
# text, once for the starts and once for the ends. The loss is the mean of the two cross-entropies.
# %%
@exercise(trials=[(rng.standard_normal((t, 2)), first, last) for t, first, last in ((4, 1, 2), (7, 3, 3), (5, 0, 4))])
def span_backward(scores, first, last):
    """scores (T, 2): column 0 as a start, 1 as an end; first, last: the right places -> gradient of the loss, (T, 2)."""
    ...


# %%
config = AlbertConfig.preset("tiny", vocab_size=60)
model = put(AlbertForQuestionAnswering(config, seed=1).astype(np.float64))
ids = rng.integers(5, 60, (1, 12))
first, last = 7, 9
out = model(ids, start_positions=np.array([first]), end_positions=np.array([last]))
hidden = model.albert(ids).last_hidden_state.numpy()[0]                               # (T, H)
scores = hidden @ to_host(model.qa_outputs.weight.data).T + to_host(model.qa_outputs.bias.data)       # (T, 2)
same(scores, np.stack([out.start_logits.numpy()[0], out.end_logits.numpy()[0]], axis=1), "scores as start and as end")

# %%
logp = scores - np.log(np.exp(scores).sum(0))
same(-(logp[first, 0] + logp[last, 1]) / 2, out.loss.numpy(), "the loss")
gradients = backward(out.loss)
error = span_backward(scores, first, last)                                            # (T, 2)
same(error.T @ hidden, gradients[model.qa_outputs.weight], "gradient of the head's matrix")
same(error.sum(0), gradients[model.qa_outputs.bias], "gradient of the head's bias")

# %% [markdown]
# ## From scores to a span
# The best start may stand *behind* the best end, and then the two make no answer. So we ask for the best *pair*: the
# last token not before the first, and no more than so many tokens in all.
# %%
@exercise(trials=[(np.array([0.0, 2, 5, 1]), np.array([6.0, 0, 1, 3]), 3), (np.array([4.0, 1, 0, 3]), np.array([0.0, 1, 2, 4]), 2),
                  *[(rng.standard_normal(8), rng.standard_normal(8), longest) for longest in (1, 2, 8)]])
def best_span(starts, ends, longest):
    """Scores (T,) as start and as end -> (first, last) of the best span of at most `longest` tokens."""
    ...


my_spans, library_spans = [], []
for _ in range(50):
    some_starts, some_ends = rng.standard_normal((2, 10))
    library_spans.append(spans.probable_pairs(some_starts, some_ends, spans.Window(0, 0, range(10)), 1, 4)[0][0][:2])
    my_spans.append(best_span(some_starts, some_ends, 4))
same(np.array(my_spans), np.array(library_spans), "the best of at most four tokens, 50 times")

# %% [markdown]
# ## Two good answers
# "Mara found *the kite* in *the old barn*." Say that two spans are equally good, tokens 1 to 2 and tokens 4 to 6. Each of the
# two starts has half of the probability, and so has each of the two ends.
# %%
neither_answer = predict("Start and end are chosen independently. How much of the probability goes to pairs that are NEITHER of the two answers?",
            guess=None)
starts, ends = np.zeros(8), np.zeros(8)
starts[[1, 4]] = ends[[2, 6]] = 0.5
independent = np.outer(starts, ends)                                                  # row: start, column: end
neither_answer.reveal(1 - independent[1, 2] - independent[4, 6])

# %%
given = np.zeros((8, 8))
given[1, 2] = given[4, 6] = 0.5                                                       # P(start) times P(end, given the start)
plt = pyplot()
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.1))
for ax, table, title in ((axes[0], independent, "each by itself: half is lost"), (axes[1], given, "the end given the start")):
    ax.imshow(table, vmin=0, vmax=0.7)
    ax.plot([-0.5, 7.5], [-0.5, 7.5], color="0.5", lw=0.8)
    for i, j in np.argwhere(table):
        ax.text(j, i, f"{table[i, j]:.2f}", ha="center", va="center", fontsize=7, color="white" if table[i, j] > 0.4 else "black")
    ax.set(title=title, xlabel="last token", ylabel="first token")
axes[0].text(0.2, 6.8, "below the line the end\nstands before the start", fontsize=7)
figure(fig, "two_good_answers")
assert independent[4, 2] == 0.25                                                      # an answer that ends before it starts

# %% [markdown]
# The cure: choose the start first, and score the ends *given* that start. ALBERT does so for SQuAD 2.0, a set of
# questions of which some have no answer. The score of token t as an end looks at both vectors, that of t and that of the
# start s, side by side: [h_t; h_s], 2 H numbers, through a linear map, tanh, layer norm, and a map to one number.
#
# For K starts and T tokens these are K · T pairs. But W [h_t; h_s] = W₁ h_t + W₂ h_s, where W₁ is the left half of W and
# W₂ the right half. So only K + T products are needed; the pairs are a sum, by broadcasting (lesson 03).
# %%
conditional = put(AlbertForConditionalQuestionAnswering(config, seed=2).astype(np.float64))
w = {name: to_host(value) for name, value in conditional.state_dict().items()}
states = conditional.albert(ids).last_hidden_state.numpy()[0]                         # (T, H)
start_scores = states @ w["start_logits.dense.weight"][0] + w["start_logits.dense.bias"]    # (T,)
five = np.argsort(-start_scores)[:5]                                                        # (K,)
left, right = np.split(w["end_logits.dense_0.weight"], 2, axis=1)                     # (H, H) each
pairs = np.tanh((states @ left.T)[None] + (states[five] @ right.T)[:, None] + w["end_logits.dense_0.bias"])       # (K, T, H)
pairs -= pairs.mean(-1, keepdims=True)
pairs /= np.sqrt((pairs**2).mean(-1, keepdims=True) + 1e-12)
end_scores = pairs @ w["end_logits.dense_1.weight"][0] + w["end_logits.dense_1.bias"]       # (K, T)
both = conditional(ids)
same(start_scores, both.start_logits.numpy()[0], "scores as a start")
same(end_scores, both.end_logits.numpy()[0], "scores as an end, given each of five starts")

# %% [markdown]
# ## Windows
# A text may be longer than a row. Then it is read in *windows*: tokens 0 to 19, 10 to 29, 20 to 39, ... They overlap, so that
# an answer cut by one border stands whole in another window. In a window that doesn't hold all of the answer, the right
# place of start and end is `[CLS]`, place 0: "not here".
# %%
longest_answer = predict("Windows of 20 tokens move on by 10. How long may an answer be, at most, to be whole in some window wherever it stands?",
            guess=None)
begins = np.arange(0, 200, 10)
whole = [all(any(b <= start and start + n <= b + 20 for b in begins) for start in range(100)) for n in range(1, 21)]
longest_answer.reveal(sum(whole))

# %% [markdown]
# An answer begins at most nine tokens behind the beginning of some window, and 20 - 9 = 11: one more than the overlap. In
# general that is size - step + 1. Longer answers may be whole in no window, and are then lost.
#
# A token is read in several windows, and each has an opinion. Believe the one that sees it with most *context*. The
# context of a token in a window is the number of tokens before it or behind it in that window, whichever is smaller,
# plus 0.01 times the window's length, so that of equals the longer window counts. If they are still equal, the first does.
# %%
@exercise(trials=[(np.array([0, 4, 8]), np.array([8, 8, 6])), (np.array([0, 3]), np.array([6, 9])), (np.array([0, 5, 10, 15]), np.array([10, 10, 10, 7]))])
def best_window(begins, lengths):
    """First token and length of each window -> for every token of the text the number of the window to believe."""
    ...


five_begins, five_lengths = np.array([0, 12, 24, 36, 48]), np.array([20, 20, 20, 20, 12])
believed_window = best_window(five_begins, five_lengths)
believed = [np.flatnonzero(believed_window[b:b + n] == number) for number, (b, n) in enumerate(zip(five_begins, five_lengths))]
library_windows = spans.max_context([spans.Window(0, b, range(n)) for b, n in zip(five_begins, five_lengths)])
same(np.concatenate(believed), np.concatenate([np.flatnonzero(each) for each in library_windows]), "places at which each window is believed")
print("".join(map(str, believed_window)))

# %% [markdown]
# ## Build it: a reader of nothing but a table
# As in lesson 15: each word has a few features, each feature owns a row of a table, now with two numbers, and the scores of
# a word are the sum of its rows. What speaks for a word? That the question begins with who, what or where, together with:
# the word's kind (a capital, small letters, a mark); the word itself; whether the question has it too; how many of the
# question's words its sentence lacks, compared with the best sentence; the word before. Words are compared by their first
# four letters: "climb" meets "climbed".
# %%
SMALL = {"the", "a", "did", "to", "of", "in", "at", "for", "on", "with", "was", "over", "from"}


def split(text):
    return re.findall(r"\w+|[^\w\s]", text)


def kind(word):
    return "capital" if word[0].isupper() else "letters" if word.isalpha() else "mark"


# %%
def features(question, words):
    """Five features for "no answer", then five for each word."""
    ask, *rest = split(question.lower())
    asked = {word[:4] for word in rest if word.isalpha()} - SMALL
    hit = [word.lower()[:4] in asked for word in words]
    sentence = np.cumsum([0] + [word in ".!?" for word in words[:-1]])                # in which sentence each word stands
    found = np.bincount(sentence, weights=hit).astype(int).tolist()                   # words of the question in each sentence
    most = max(found)
    rows = [[("none",), ("none", ask), ("none", "asked", len(asked)), ("none", "lacks", len(asked) - most), ("none", "found", most)]]
    for i, word in enumerate(words):
        before = words[i - 1].lower() if i else "(start)"
        rows.append([(ask, kind(word)), (ask, word.lower()), (ask, hit[i]), (ask, "lacks", most - found[sentence[i]]), (ask, "before", before)])
    return rows


for row in features("Who found the kite?", split("Mara found it."))[:3]:
    print("   ", row)

# %% [markdown]
# Place 0 stands for "no answer", as `[CLS]` does in the model: the right place where the text doesn't say.
# %%
def places(row):
    """The words of a text, and the places of the first and the last word of its answer, counted from 1; 0 for none."""
    words = split(row["context"])
    if row["is_impossible"]:
        return words, 0, 0
    first = len(split(row["context"][:row["answers"]["answer_start"][0]])) + 1
    return words, first, first + len(split(row["answers"]["text"][0])) - 1


known = {}
table_rows = []
for row in train:
    words, begins_at, ends_at = places(row)
    numbers = [[known.setdefault(f, len(known)) for f in each] for each in features(row["question"], words)]
    table_rows.append((np.array(numbers), begins_at, ends_at))

# %%
table = np.zeros((len(known) + 1, 2))                                                 # the last row is for what is new: it stays 0
for _ in range(3):
    for k in rng.permutation(len(table_rows)):
        row_numbers, begin, end = table_rows[k]
        row_error = span_backward(table[row_numbers].sum(1), begin, end)              # (places, 2)
        np.subtract.at(table, row_numbers, 0.2 * row_error[:, None])


def read(question, text):
    """The best answer in a text, its score, and by how much "no answer" is better than it: the odds."""
    words = split(text)
    scores = table[[[known.get(f, -1) for f in each] for each in features(question, words)]].sum(1)
    first, last = best_span(scores[1:, 0], scores[1:, 1], 6)
    score = scores[1 + first, 0] + scores[1 + last, 1]
    return " ".join(words[first:last + 1]), score, scores[0].sum() - score


for row in test[2:4]:
    print(f"    {row['question']}  ->  {read(row['question'], row['context'])[0]}")

# %% [markdown]
# ## No answer
# In a third of the test questions, one person is asked about what only another did. A baseline: count words, and answer with
# the longest stretch that isn't in the question, out of the sentence that shares most words with it (`lexical_answer`).
# %%
said = [read(row["question"], row["context"]) for row in test]
gold = [" ".join(split(text)) for row in test for text in row["answers"]["text"] or [""]]
impossible = np.array([row["is_impossible"] for row in test])
three_readers = predict("Three readers: (1) counts words and always answers, (2) is the table and always answers, (3) NEVER answers. Of 100 "
            "questions, how many has each right?", guess=None)
counted = [lexical_answer(row["question"], row["context"]) for row in test]
right = np.array([text == answer for (text, _, _), answer in zip(said, gold)])
three_readers.reveal([round(100 * float(np.mean(each))) for each in ([a == b for a, b in zip(counted, gold)], right, impossible)])

# %% [markdown]
# Silence is right where nothing can be said; a reader who always answers is wrong there. In between: answer only if the
# *odds*, the score of "no answer" less that of the best answer, lie below a *threshold*. For several windows the smallest
# odds count, since one window that has the answer is enough.
#
# Which threshold? Begin with silence, and go through the questions from the lowest odds up. Answering a possible one
# gains a point if the answer is right; answering an impossible one loses the point of silence.
# %%
odds = np.array([each[2] for each in said])
order = np.argsort(odds, kind="stable")                                               # the surest answers first
gains = np.where(impossible, -1, right)[order]
share_right = (impossible.sum() + np.concatenate([[0], np.cumsum(gains)])) / len(test)
of_library = best_threshold([[] if none else [a] for none, a in zip(impossible, gold)], [s[0] for s in said], right.tolist(), odds.tolist())
same(100 * share_right.max(), of_library[0], "the best share of right answers, over all thresholds")

# %%
fig, ax = plt.subplots()
answered = 100 * np.arange(len(test) + 1) / len(test)
ax.plot(answered, 100 * share_right, color="0.0")
best = int(share_right.argmax())
for at, said_of_it, dx, dy in ((0, "never answers", 2, -6), (best, "the best threshold", 0, 3), (len(test), "always answers", -17, -6)):
    ax.plot(answered[at], 100 * share_right[at], "o", color="0.3")
    ax.text(answered[at] + dx, 100 * share_right[at] + dy, f"{said_of_it}: {100 * share_right[at]:.0f} %", ha="left" if at < len(test) else "center")
ax.set(xlabel="questions that get an answer, the surest first, in percent", ylabel="questions that are right, in percent", ylim=(0, 100),
       title="Answering some is better than answering all or none")
figure(fig, "no_answer")
assert share_right.max() > 0.1 + max(share_right[0], share_right[-1])

# %% [markdown]
# That threshold was chosen with the answers in view. Honest is to choose it on one half of the questions, and to judge it
# on the other:
# %%
half = np.arange(len(test)) % 2 == 0
share = {t: np.where(odds > t, impossible, right) for t in np.unique(odds[half])}
chosen = max(share, key=lambda t: share[t][half].mean())
print(f"threshold {chosen:.2f}: right on the half that chose it {share[chosen][half].mean():.0%}, on the other half {share[chosen][~half].mean():.0%}")

# %% [markdown]
# ## Search
# Who tells the reader which text to read? With thousands of them, a quick look at the words must do. Three ideas make the
# rule called *BM25*:
#
# 1. A *rare* word says more: with N texts, of which n have the word, it counts log(1 + (N - n + 0.5) / (n + 0.5)).
# 2. *Repetition* helps less and less: c times the word counts c / (c + 1.5), never more than 1.
# 3. *Long* texts have more of every word: 1.5 becomes 1.5 · (0.25 + 0.75 · length / mean length).
#
# A text's score is the sum over the question's words of 1 times 2, with 3 in it.
# %%
ten_times = predict("A word stands ten times in one text and once in another of the same, mean length. By what factor does it count more in "
            "the first?", guess=None)
ten_times.reveal((10 / (10 + 1.5)) / (1 / (1 + 1.5)), "{:.2f}")


# %%
@exercise(trials=[(np.array([[2, 0, 1], [0, 1, 1], [5, 0, 1], [0, 0, 3], [1, 1, 0]]), np.array([10, 20, 40, 10, 25])),
                  (np.array([[1, 0], [0, 2], [3, 1], [0, 1]]), np.array([7, 5, 9, 20]))])
def bm25(counts, lengths):
    """counts (texts, words): how often each word of the question stands in each text; lengths (texts,) -> scores (texts,)."""
    ...


# %%
texts = list(dict.fromkeys(row["context"] for row in test))
vocabulary = {word: i for i, word in enumerate(sorted({w.lower() for text in texts for w in split(text)}))}
counts = np.zeros((len(texts), len(vocabulary)))
for number, text in enumerate(texts):
    np.add.at(counts[number], [vocabulary[w.lower()] for w in split(text)], 1)
text_lengths = counts.sum(1)
answerable = [row for row in test if not row["is_impossible"]]


def columns(question):
    return [vocabulary[w] for w in dict.fromkeys(split(question.lower())) if w in vocabulary]


rules = {"words in common": lambda c: (c > 0).sum(1), "all their occurrences": lambda c: c.sum(1), "BM25": lambda c: bm25(c, text_lengths)}
for name, rule in rules.items():
    on_top = [int(np.argmax(rule(counts[:, columns(row["question"])]))) for row in answerable]
    print(f"   {name:24s}the right one of {len(texts)} texts comes first for {np.mean([texts[k] == r['context'] for k, r in zip(on_top, answerable)]):.0%}")

# %%
first_or_three = predict("Both together: (1) read only the text that comes first, or (3) read the first three and give the answer with the highest "
            "score. Which is right more often?", guess=None)


def ask(question, count, by):
    best = np.argsort(-bm25(counts[:, columns(question)], text_lengths), kind="stable")[:count]
    return max((read(question, texts[k]) for k in best), key=by)[0]


ways = {"the first text": (1, lambda said: said[1]), "three texts, the highest score": (3, lambda said: said[1]),
        "three texts, the lowest odds": (3, lambda said: -said[2])}
found = {way: np.mean([ask(r["question"], *how) == r["answers"]["text"][0] for r in answerable]) for way, how in ways.items()}
first_or_three.reveal(1 if found["the first text"] > found["three texts, the highest score"] else 3)
for way, share in {"the text is given": right.sum() / len(answerable), **found}.items():
    print(f"   {way:32s}right for {share:.0%}")

# %% [markdown]
# Add 7 to all scores of a text: its softmax, its loss and its gradient stay the same (lesson 05). So nothing in training fixes
# how high the scores of *one* text lie compared with another, and the highest score is no sign of the best answer. The odds
# are a difference within one text, which softmax does see. A wrong text still costs more than it brings, here.
#
# The library reads up to twenty paragraphs and compares ALBERT's raw scores. It decides once, for all of them together,
# whether there is an answer.
#
# ## Open it
# The library's reader is ALBERT, its search is BM25 over the paragraphs of a folder:
#
#     tinyalbert finetune squad stories:qa:3000 --model runs/stories --output runs/answers
#     tinyalbert ask runs/answers my_folder "Who found the kite?"
#
# ## In the library
# %%
show(AlbertForQuestionAnswering.head)
show(span_heads.EndLogits)
show(spans.max_context)

# %% [markdown]
# **What to keep.** An answer is two places, and softmax runs along the text. Choose the best pair, not the two best ends.
# Believe the window with most context. "No answer" is an answer with a score of its own, and a threshold decides. Search
# counts rare words, damps repetition, and minds the length. Next: 17, choosing whole sentences.
# %%
finish()
