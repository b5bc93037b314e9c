# %% [markdown]
# # 00 · A tour of the finished model
# **Needs** nothing · **Builds** nothing yet · **Paper** Lan et al. 2020 · **Runs in** about 15 seconds
#
# Read "The cat sat on the ___" and you know roughly which words fit. ALBERT is a program that learns this from text
# alone: words are hidden, and it guesses them. To guess well it must work out who *she* is, what usually happens in a
# kitchen, and which sentence comes first. This lesson trains a very small ALBERT and looks at it from outside. The
# other lessons build every part of it.
# %%
import tempfile
from pathlib import Path

import numpy as np
from _check import exercise, figure, finish, keep, predict, put, pyplot, same, show

from tinyalbert import AlbertConfig, AlbertForPreTraining, AlbertTokenizer, pipeline
from tinyalbert.info import parameter_rows
from tinyalbert.optim import AdamW
from tinyalbert.pretraining.batches import PretrainingData
from tinyalbert.pretraining.shards import prepare
from tinyalbert.tasks.pretrained import FillMask
from tinyalbert.training.trainer import Trainer

NEEDS = []
TEACHES = ["pipeline", "AlbertForPreTraining"]

# %% [markdown]
# ## Text
# A model needs text. For twenty seconds of training a very small world will do: somebody loses a thing and is sad, or
# finds one and is happy, and a woman becomes *she* in the next sentence. (The library's own story world,
# `stories/corpus.py`, has many more words; the other lessons use it.) One sentence at a time is enough here.
# %%
rng = np.random.default_rng(0)
WOMEN, MEN = "Anna Mara Ines Ruth Julia Edith".split(), "Bob Otto Felix Hans Peter Oscar".split()
COLOURS, THINGS = "red green blue small heavy golden".split(), "kite ring drum clock coat lamp basket bottle".split()
PLACES = "garden forest kitchen tower market harbour".split()


def story():
    """Three sentences, of which the first decides the other two."""
    woman, lost = rng.random() < 0.5, rng.random() < 0.5
    name = str(rng.choice(WOMEN if woman else MEN))
    colour, thing, place = (str(rng.choice(words)) for words in (COLOURS, THINGS, PLACES))
    she = "She" if woman else "He"
    if lost:
        return [f"{name} lost a {colour} {thing} in the {place}.", f"{she} looked for the {thing} all day.",
                f"{she} was sad and stayed at home."]
    return [f"{name} found a {colour} {thing} in the {place}.", f"{she} showed the {thing} to a friend.",
            f"{she} was happy and sang all night."]


stories = [story() for _ in range(3000)]
for sentences in stories[:3]:
    print(" ".join(sentences))

# %% [markdown]
# A program computes with numbers, so text is cut into *pieces* (words or parts of words), and each piece has a number,
# its *id*; the list of all of them is the *vocabulary*. Lesson 10 explains how the pieces are chosen. Ours is so small that most words are cut into
# several pieces; '▁' marks the start of a word. `[CLS]` stands before a text, `[SEP]` after it, and `[MASK]` stands in
# for a hidden piece.
# %%
tokenizer = AlbertTokenizer.train([sentence for s in stories for sentence in s], 70)
example = tokenizer("Anna lost a red [MASK] in the garden.")["input_ids"]
print(example, "\n", tokenizer.convert_ids_to_tokens(example))


@exercise(trials=[(tokenizer(t)["input_ids"],) for t in ("Anna found a red kite.", "He was sad.")])
def ids_to_text(ids):
    """Ids, with [CLS] and [SEP] around them, -> the text."""
    ...


# %% [markdown]
# ## A model that knows nothing
# The table printed here lists the model's parts. The lessons explain the names one at a time.
# %%
config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, initializer_range=0.04, sentence_task="none")
model = put(AlbertForPreTraining(config))                        # to the GPU, if you ran this with --device gpu
parameter_count = predict("How many numbers (parameters) does this very small model have, in thousands?", guess=None)
parameter_count.reveal(model.num_parameters() / 1000, "{:.0f} thousand")
for part, n, times in parameter_rows(config):
    print(f"   {part:36s}{n:8,d}   used {times} time{'s' * (times > 1)}")


def best_words(text, k=4):
    fill = FillMask(model, tokenizer)
    return ", ".join(a["token_str"] or "·" for a in fill(text, top_k=k))         # "·": the piece '▁' alone


QUESTIONS = ["She looked [MASK] the drum all day.", "He showed the ring [MASK] a friend.",
             "[MASK] was happy and sang all night."]
for text in QUESTIONS:
    print(f"   {text:42s}{best_words(text)}")

# %% [markdown]
# ## Training
# A few texts with hidden pieces (a *batch*) go in. For each hidden piece the model gives every piece of the vocabulary
# a probability. The *loss* says how bad the guess was: minus the logarithm of the right piece's probability, which is 0
# if the model was certain of it. Then every number in the model is moved a little, so that the loss falls. That is one
# *step*; training takes many. (Now and then a piece is replaced by another one instead of `[MASK]`: lesson 11. Lessons
# 12 and 13 explain the settings below.)
# %%
STEPS = 900
folder = tempfile.TemporaryDirectory()
text_file = Path(folder.name, "stories.txt")                     # one sentence a line, an empty line between stories
text_file.write_text("\n\n".join("\n".join(s) for s in stories), encoding="utf-8")
prepare([text_file], tokenizer, f"{folder.name}/data", workers=1, progress=False)
data = PretrainingData(f"{folder.name}/data", max_seq_length=24, ngram=1, whole_word=False, sentence_task="none")
batch = data.batch(0, 1)
print("what the model sees:   ", tokenizer.decode(batch["input_ids"][0].tolist())[:90])
trainer = Trainer(model, AdamW(list(model.named_parameters()), 4e-3, betas=(0.9, 0.98)), total_steps=STEPS, threads=2)
losses = [trainer.step(data.batch(step, 24))["mlm_loss"] for step in range(STEPS)]
for text in QUESTIONS:
    print(f"   {text:42s}{best_words(text)}")

# %%
level, unigram = np.log(config.vocab_size), data.meta["unigram_entropy"]
plt = pyplot()
fig, ax = plt.subplots()
ax.plot(losses, color="0.8", lw=0.7)
smooth = np.convolve(losses, np.ones(20) / 20, mode="valid")
ax.plot(np.arange(len(smooth)) + 10, smooth, color="0.0")
for height, text in ((level, "all pieces equally likely"), (unigram, "only how frequent each piece is")):
    ax.axhline(height, color="0.4", ls=":", lw=1)
    ax.text(len(losses), height + 0.05, text, ha="right", fontsize=8)
ax.set(xlabel="step", ylabel="loss on covered pieces", title="In a few hundred steps a tiny model learns to use what stands around a gap")
figure(fig, "loss")
assert smooth[-1] < unigram - 0.3

# %% [markdown]
# The two dotted lines return in every loss plot of this project. Above the upper line, a model is worse than one that
# knows nothing. On the lower line, it knows which pieces are frequent and ignores the context. Below the lower line, it
# uses the context.
#
# ## What it looks at
# Inside the model every piece looks at all pieces, at some more than at others (*attention*, lesson 08). The model does so
# several times, one after the other; a *layer* is one round of this (lesson 09). The shares in
# each row of the picture sum to 1 (it adds up the pieces of a word).
# %%
text = "Anna lost a red kite. She was sad and stayed at home."
ids = np.array([tokenizer(text)["input_ids"]])
out = model.eval()(ids, output_attentions=True)                  # eval: answer, do not learn
pieces = [t.replace("▁", "") or "_" for t in tokenizer.convert_ids_to_tokens(ids[0].tolist())]
weights = out.attentions[-1].numpy()[0].mean(axis=0)             # (T, T): a row for each of T pieces, the mean of several such tables
same(weights.sum(axis=-1), np.ones(len(pieces)), "each piece's attention sums to 1", rtol=1e-5)
tokens = tokenizer.convert_ids_to_tokens(ids[0].tolist())
begins = [i for i, token in enumerate(tokens) if token[0] in "▁[."]                         # where a word begins
words = ["".join(part).replace("▁", "") for part in np.split(np.array(tokens, dtype=object), begins[1:])]
between = np.add.reduceat(weights, begins, axis=1)               # a word is looked at as much as its pieces together
between = np.add.reduceat(between, begins, axis=0) / np.diff([*begins, len(tokens)])[:, None]         # and looks as their mean
fig, ax = plt.subplots(figsize=(6.4, 5.2))
ax.imshow(between, vmin=0, vmax=0.5)
for (row, column), share in np.ndenumerate(between):
    if share >= 0.1:
        ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color="white" if share > 0.3 else "black")
ax.set_xticks(range(len(words)), words, rotation=60, ha="right")
ax.set_yticks(range(len(words)), words)
ax.set(xlabel="is looked at (percent, from 10 on)", ylabel="looks", title="Words do not look at all others evenly: the last layer's attention")
figure(fig, "attention")

# %% [markdown]
# ## Where ALBERT saves
# Each piece has a row of numbers, its *vector*, in a table: V rows for a vocabulary of V pieces. The layers work with
# vectors of `hidden` numbers. ALBERT stores shorter rows, of `embedding` numbers, and one matrix of embedding × hidden
# numbers that widens them (lesson 07).
# %%
@exercise(trials=[(30000, 768, 128), (8000, 128, 64)])
def table_sizes(vocab, hidden, embedding):
    """A pair: numbers in a table of full rows; numbers in a table of short rows plus the widening matrix."""
    ...


rows = {part: n for part, n, _ in parameter_rows(config)}        # of our tiny model
short_rows = rows["word embeddings (V x E)"] + rows["projection E -> H"] - config.hidden_size         # the projection has a bias, too
same(table_sizes(config.vocab_size, config.hidden_size, config.embedding_size)[1], short_rows, "numbers in the table and the widening matrix")
logits = model(ids).prediction_logits.numpy()[0]                 # at each place, a score for each piece of the vocabulary
same(logits.shape, (len(pieces), config.vocab_size), "a score for every piece at every place")

# %% [markdown]
# ## A folder
# Model and tokenizer are saved as a folder, which Hugging Face's transformers can open too. `pipeline` opens it for the
# task that its first argument names.
# %%
made = keep(model, tokenizer, "model")
print(sorted(path.name for path in made.iterdir()))
best = pipeline("fill-mask", made)(QUESTIONS[0])[0]
print(f"{best['score']:.0%} sure of: {best['sequence']}")
folder.cleanup()

# %% [markdown]
# ## Open it
# `tinyalbert explore runs/lessons/00_model` opens a page in your browser that looks into this folder (add
# `.venv/bin/` before the name, or activate `.venv`). Type the text `She looked [MASK] the drum all day.` Under
# *[MASK]* stands what the model would answer after each pass through its layer. Find the pass at which the right piece
# comes first; before any pass, the model sees only `[MASK]` and its place. The layer is the same one each time: lesson 09.
#
# ## In the library
# Everything that this lesson used lives in small files, to be read in the order of the lessons:
# %%
show(AlbertForPreTraining.forward)

# %% [markdown]
# **What is left to build**: derivatives of programs (01 to 04), a few functions and their derivatives (05, 06), words
# as vectors (07), attention (08), the layer (09), pieces (10), hidden words (11), the steps (12), and then this lesson
# again, with everything understood (13, 14). Next: 01.
# %%
finish()
