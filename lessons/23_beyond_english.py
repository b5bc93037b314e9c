# %% [markdown]
# # 23 · Beyond English
# **Needs** 08 (attention), 10 (what a tokenizer does), 13 (masked words) · **Builds** a tokenizer and a reader for brackets
# and for DNA; `pseudo_log_likelihood` · **Paper** Hewitt et al. 2020; Salazar et al. 2020; Ji et al. 2021 · **Runs in**
# about 10 seconds
#
# Nothing in ALBERT knows English. It sees whole numbers, some of them hidden, and guesses. Whatever can be written as a
# sequence of signs can be read: notes, proteins, programs. Only two things change: the *tokenizer*, which makes numbers of
# signs, and the *reader*, which says what a text is. For English nobody knows how good a model could be. So here is a
# language about which everything is known.
# %%
import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import AlbertConfig, AlbertForMaskedLM, Trainer
from tinyalbert.optim import AdamW
from tinyalbert.tasks import likelihood

NEEDS = ["08", "10", "13"]
TEACHES = ["likelihood.pseudo_log_likelihood"]
rng = np.random.default_rng(23)

# %% [markdown]
# ## A language of brackets
# Two kinds of brackets, each opened before it is closed, the one opened last closed first: `([])[]` is a text, `([)]` is
# none. It is called the *Dyck language*, after a mathematician. With k kinds it's Dyck-k, and many say that it is the heart
# of all grammar: "the dogs that the man who sings feeds bark" is nested in the same way.
#
# To know which bracket belongs to which, keep those that are open in a pile, a *stack*: what comes last goes first.
# %%
OPEN, CLOSE = "([", ")]"


def bracket_text(length, rng, deepest=5):
    """A random text of the language."""
    written, stack = "", []
    while len(written) + len(stack) < length:                    # what is open must still be closed
        if stack and (len(stack) == deepest or rng.random() < 0.45):
            written += CLOSE[stack.pop()]
        else:
            stack.append(int(rng.integers(2)))
            written += OPEN[stack[-1]]
    return written + "".join(CLOSE[kind] for kind in reversed(stack))


texts = [bracket_text(12, rng) for _ in range(4)]
print("   ", "  ".join(texts))


# %%
@exercise(trials=[("()[]",), ("([])[]",), ("([()])()",), ("[[]([])]",)])
def partners(text):
    """A text of the language -> for each place, the place of the bracket that belongs to the one there: a list."""
    ...


belongs = partners(texts[0])
print("   ", texts[0], belongs)
assert all(belongs[belongs[i]] == i for i in range(12))

# %% [markdown]
# ## What is known
# Hide a single bracket: `([?)[]`. Can it be known which it was? The text is balanced. So if one opening bracket is
# missing, it's an opening one; and it must be of the kind of its partner. One hidden bracket can *always* be known. The
# best possible model is right every time, and its loss is 0. Of no English text can that be said.
#
# ## The tokenizer and the reader
# One sign, one number. (`[CLS]`, `[SEP]` and so on take the first five, as always.) This class has what the library asks of
# a tokenizer when it scores texts.
# %%
class Signs:
    """A tokenizer for an alphabet: each sign is a piece, and a word."""

    cls_token_id, sep_token_id, mask_token_id = 2, 3, 4
    model_max_length = 32

    def __init__(self, alphabet):
        self.alphabet = alphabet

    def ids(self, text):
        return [5 + self.alphabet.index(sign) for sign in text]

    def segment(self, text, is_split_into_words, with_offsets):
        """[(id, place in the text, number of its word), ...]"""
        return [(i, (place, place + 1), place) for place, i in enumerate(self.ids(text))]


brackets = Signs(OPEN + CLOSE)


def batch_of(texts, hidden):
    """Texts, and the places that are hidden in each -> what the model reads, and the labels."""
    ids = np.array([[brackets.cls_token_id, *brackets.ids(text), brackets.sep_token_id] for text in texts])
    labels = np.full_like(ids, -100)
    for row, places in enumerate(hidden):
        at = np.array(places) + 1                                # behind [CLS]
        labels[row, at] = ids[row, at]
        ids[row, at] = brackets.mask_token_id
    return {"input_ids": ids, "labels": labels}


print(batch_of(texts[:1], [[3]]))

# %% [markdown]
# ## A model that is always right
# A tiny ALBERT, four passes through one layer. In each text one bracket is hidden.
# %%
config = AlbertConfig.preset("tiny", vocab_size=9, embedding_size=32, hidden_size=32, intermediate_size=128, num_attention_heads=4,
                             num_hidden_layers=4, initializer_range=0.05, max_position_embeddings=32, sentence_task="none")


def train(steps, draw, seed=0):
    """draw(text, rng): the places to hide in a text."""
    model, source = put(AlbertForMaskedLM(config, seed=seed)), np.random.default_rng(seed + 1)
    trainer = Trainer(model, AdamW(list(model.named_parameters()), 3e-3, betas=(0.9, 0.98)), total_steps=steps, warmup=0.1, threads=1)
    for _ in range(steps):
        some = [bracket_text(12, source) for _ in range(64)]
        trainer.step(batch_of(some, [draw(text, source) for text in some]))
    return model.eval()


def one_place(text, rng):
    return [rng.integers(len(text))]


model = train(250, one_place)
of_test = np.random.default_rng(2)
new_texts = [bracket_text(12, of_test) for _ in range(300)]
test = batch_of(new_texts, [one_place(text, of_test) for text in new_texts])
hidden = test["labels"] != -100
out = model(**test)
scores = out.logits.numpy()[hidden]                              # (300, V)
right = float((scores.argmax(-1) == test["labels"][hidden]).mean())
print(f"one hidden bracket: {right:.1%} of {len(new_texts)} new texts right, loss {out.loss.item():.3f}")
logp = scores - scores.max(-1, keepdims=True)
logp -= np.log(np.exp(logp).sum(-1, keepdims=True))
same(-logp[np.arange(300), test["labels"][hidden]].mean(), out.loss.numpy(), "the loss", rtol=1e-4)
assert right > 0.85

# %% [markdown]
# Has it learned to nest? Here is a harder question. Two closing brackets of different kinds are hidden, so it is clear
# which two they are. Which of them comes first?
# %%
def two_closers(text):
    """Places of the first closing bracket and of the first one of the other kind; None if there is none."""
    places = [i for i, sign in enumerate(text) if sign in CLOSE]
    other = [i for i in places if text[i] != text[places[0]]]
    return [places[0], other[0]] if other else None


def right_order(model, texts):
    """How often the right order of the two is likelier than the other one."""
    asked = [(text, two_closers(text)) for text in texts if two_closers(text)]
    batch = batch_of([text for text, _ in asked], [places for _, places in asked])
    scores, rows = model(input_ids=batch["input_ids"]).logits.numpy(), np.arange(len(asked))
    (i, j), (first, second) = ([np.array(v) for v in zip(*pairs)] for pairs in (
        [[a + 1, b + 1] for _, (a, b) in asked], [brackets.ids(text[a] + text[b]) for text, (a, b) in asked]))
    as_is = scores[rows, i, first] + scores[rows, j, second]
    exchanged = scores[rows, i, second] + scores[rows, j, first]
    return float((as_is > exchanged).mean())


both_hidden = predict("The model knows one hidden bracket nearly always. Of 100 texts with two hidden ones, in how many does it know the "
            "order? (A coin: 50)", guess=None)
order = right_order(model, new_texts)
both_hidden.reveal(100 * order, "{:.0f}")
assert abs(order - 0.5) < 0.15


# %% [markdown]
# ## How did it do that?
# There is a short cut, and you can write it down. It needs no stack, and it doesn't look at the order at all.
# %%
@exercise(trials=[("(?",), ("?[])",), ("([?)[]",), ("[()]?]",), ("(()?[]()",)])
def by_counting(text):
    """A text in which one bracket is hidden, written ? -> that bracket, by counting each of the four signs."""
    ...


def shuffled(text):
    return "".join(rng.permutation(list(text)))


hidden_texts = [text[:i] + "?" + text[i + 1:] for text in new_texts for i in [int(rng.integers(12))]]
agree = np.mean([by_counting(text) == by_counting(shuffled(text)) for text in hidden_texts])
print(f"by counting, a shuffled text gives the same answer in {agree:.0%} of the cases")
mixed = [shuffled(text) for text in new_texts]
places = [one_place(text, of_test) for text in mixed]
answers = model(input_ids=batch_of(mixed, places)["input_ids"]).logits.numpy()[np.arange(300), np.array(places)[:, 0] + 1]
counted = [brackets.ids(by_counting(text[:i] + "?" + text[i + 1:]))[0] for text, (i,) in zip(mixed, places)]
print(f"in texts that were shuffled, where nothing is nested, the model still says what counting says in "
      f"{np.mean(answers.argmax(-1) == counted):.0%} of the cases")

# %% [markdown]
# The model has learned to count, because counting was all that it was ever asked. Nobody would have seen it from the loss,
# which was nearly as good as can be. It took a question that tells the two apart, and *that* took knowing the truth.
# Benchmarks for English have such short cuts too; they are only harder to see.
#
# ## Ask for what you want
# So hide more. With all closing brackets hidden at once, counting says how many there are of each kind, and only nesting
# says which goes where. Nothing else is changed.
# %%
def all_closers(text, rng):
    return [i for i, sign in enumerate(text) if sign in CLOSE]


nested_order = predict("Same model, same texts, 400 steps; all closing brackets hidden. In how many of 100 texts does it know the order of the "
            "two? And is it better or worse at one hidden bracket?", guess=None)
nested = train(400, all_closers)
order_nested = right_order(nested, new_texts)
single = float((nested(input_ids=test["input_ids"]).logits.numpy()[hidden].argmax(-1) == test["labels"][hidden]).mean())
nested_order.reveal(f"{100 * order_nested:.0f}; one hidden bracket: {100 * single:.0f}")

# %%
plt = pyplot()
fig, ax = plt.subplots(figsize=(6.4, 2.8))
for y, values in enumerate([(single, order_nested), (right, order)]):
    ax.plot(values, [y, y], color="0.85", lw=1, zorder=0)
    for value, mark, color, what in zip(values, "os", ("0.55", "0.0"), ("one hidden\nbracket", "the order\nof two")):
        ax.plot(value, y, mark, color=color)
        ax.text(value, y + 0.12, f"{what}: {value:.0%}", ha="center", color=color, fontsize=8)
ax.axvline(0.5, color="0.3", ls=":", lw=0.8)
ax.text(0.505, -0.4, "a coin, for the order", fontsize=7, color="0.3")
ax.set_yticks([0, 1], ["trained with all\nclosing ones hidden", "trained with\none hidden"])
ax.set(xlim=(0, 1.08), ylim=(-0.5, 1.6), xlabel="right in new texts", title="A model learns what it is asked, not what the language is")
figure(fig, "what_it_is_asked")

# %% [markdown]
# Better at what it was asked, and bad at what the other one did without a mistake: an opening bracket was never hidden.
# Nesting is also learned more slowly than counting. With another seed (the number that all random draws follow from) a run
# of this length may still stand on its plateau, as in lesson 13: try `seed=1` and more steps.
#
# ## How likely is a text?
# A model of hidden signs can also say how likely it finds a whole text. Hide each sign in turn, and add up the logarithms of
# the probabilities of what stood there: the *pseudo-log-likelihood*. ("Pseudo", as each sign is told from those on both
# sides, so the product isn't the probability of the text.) Of two texts, the better one should have more: a *minimal pair*
# is two texts that differ in one thing only, and only one of which is right.
# %%
@exercise(trials=[(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])), (np.log(rng.dirichlet(np.ones(4), size=5)), rng.integers(4, size=5))])
def pseudo_log_likelihood(log_p, ids):
    """log_p (T, V): row t says what stands at place t when that place is hidden; ids (T,): what stands there -> one number."""
    ...


def all_hidden_in_turn(model, text):
    """(T, V) log-probabilities."""
    batch = batch_of([text] * len(text), [[i] for i in range(len(text))])
    scores = model(input_ids=batch["input_ids"]).logits.numpy()[np.arange(len(text)), 1 + np.arange(len(text))]
    scores = scores - scores.max(-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


of_library, _ = likelihood.pseudo_log_likelihood(model, brackets, new_texts[:3])
for text, expected in zip(new_texts, of_library):
    same(pseudo_log_likelihood(all_hidden_in_turn(model, text), np.array(brackets.ids(text))), expected,
         f"how likely {text} is", rtol=1e-3)

# %% [markdown]
# The library's scorer has never heard of brackets. It asked the tokenizer for numbers, and the model for scores: everything
# behind the tokenizer is the same for every language. Lesson 25 judges English in this way.
#
# ## Another alphabet
# DNA is written in four letters, A, C, G and T. Three in a row stand for one building block of a protein. So people read it
# in pieces of k letters, *k-mers*, and the first models took all of them, each shifted by one letter from the last.
# %%
@exercise(trials=[("ACGTAC", 3), ("GATTACA", 2), ("TTAGC", 4)])
def kmers(text, k):
    """All runs of k letters in a text, each one letter further on: a list."""
    ...


dna = "".join(rng.choice(list("ACGT"), 24))
pieces = kmers(dna, 3)
print(dna, "->", " ".join(pieces[:6]), "...")
letters_told = predict("One 3-mer in the middle is hidden; the others are seen. How many of its three letters can be read off its "
            "neighbours?", guess=None)
middle = 10
seen = {start + offset: piece[offset] for start, piece in enumerate(pieces) if start != middle for offset in range(3)}
known = [place for place in range(middle, middle + 3) if place in seen]
letters_told.reveal(len(known), "{}: all of it")
assert "".join(seen[place] for place in known) == pieces[middle]

# %% [markdown]
# A model of single hidden k-mers learns to copy, and nothing about DNA. It is the same fault once more: an easier way to be
# right. DNABERT therefore hides runs of at least k pieces, and newer models read pieces that don't overlap.
# ALBERT's own way of hiding whole words and runs of words (lesson 11) is there for the same reason.
#
# ## In the library
# %%
show(likelihood._log_probabilities)

# %% [markdown]
# **What to keep.** Another language needs another tokenizer and another reader, and nothing else. Where the truth is known,
# a question can be found that the short cut fails. A model learns what its masks ask. Next: 24, small enough for the edge.
# %%
finish()
