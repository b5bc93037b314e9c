# %% [markdown]
# # 15 · Tagging names
# **Needs** 05 (cross-entropy), 07 (a table of vectors), 14 (fine-tuning, F1) · **Builds** a tagger, the labels of pieces, the
# score of entities · **Paper** Devlin et al. 2019, §5.3; Tjong Kim Sang & De Meulder 2003 · **Runs in** a few seconds
#
# Who is this text about, and where does it take place? A *tagger* gives every word a label, its *tag*. Here the tags
# mark *entities*: people, places, things, jobs. Lesson 14 read one answer from `[CLS]`; a tagger reads one from each word.
# %%
import numpy as np
from _check import exercise, figure, finish, predict, put, pyplot, same, show

from tinyalbert import AlbertConfig, AlbertForTokenClassification, AlbertTokenizer, ops
from tinyalbert.backend import to_host
from tinyalbert.stories.corpus import documents
from tinyalbert.stories.tasks import story_dataset
from tinyalbert.tasks import aggregation
from tinyalbert.tasks import entities as library
from tinyalbert.tasks.lookup import known_entities
from tinyalbert.tasks.ner import Ner
from tinyalbert.tensor import backward
from tinyalbert.text.rows import RowEncoder

NEEDS = ["05", "07", "14"]
TEACHES = ["AlbertForTokenClassification"]
rng = np.random.default_rng(15)

# %% [markdown]
# ## Words and tags
# B-PER *begins* a person, I-PER goes on *inside* one, and O stands *outside* of all entities. Why not plain PER? In "he
# told Mara Ingrid had left" two people stand side by side. Only a second B says that they are two.
# %%
train, test = ([(row["tokens"], row["tags"]) for row in story_dataset("ner", n, split=split)]
               for n, split in ((600, "train"), (200, "test")))
labels = ["O"] + sorted({tag for _, tags in train for tag in tags} - {"O"})
for words, tags in test[3:6]:
    print("   ", "  ".join(word if tag == "O" else f"{word}[{tag}]" for word, tag in zip(words, tags)))

# %%
only_O = predict("A tagger that says O, whatever it reads: what share of the words does it get right, in percent?", guess=None)
only_O.reveal(100 * np.mean([tag == "O" for _, tags in test for tag in tags]), "{:.0f}")

# %% [markdown]
# Most words belong to no entity, so the share of right words flatters every tagger. It has found nothing. What should
# count are entities.
#
# ## From tags to entities
# An entity has a type and a range of words, such as ("FOOD", 3, 5): words 3 and 4. As in Python, the end is the first
# place that doesn't belong to it.
#
# A tagger decides word by word, and nothing stops it from saying I-PER right after O. The usual rule, that of the script
# `conlleval` (2000), is generous: such an I begins an entity, as does an I of another type than the word before it.
# %%
@exercise(trials=[(t.split(),) for t in ("O B-PER I-PER O B-LOC", "B-PER B-PER O I-LOC I-LOC", "B-PER I-JOB I-JOB O",
                                         "O O", "I-OBJ B-OBJ I-OBJ I-OBJ")])
def entities(tags):
    """Tags of a sentence -> [(type, start, end), ...] in order."""
    ...


shuffled = [rng.permutation(labels)[:8].tolist() for _ in range(200)]                # sense or nonsense, both have entities
types = ["PER", "LOC", "OBJ", "JOB", "FOOD", "ANIMAL", "TIME"]
mine = [(types.index(kind), start, end) for tags in shuffled for kind, start, end in entities(tags)]
theirs = [(types.index(each.type), each.start, each.end) for tags in shuffled for each in library.entities(tags)]
same(mine, theirs, "entities of 200 lists of tags")

# %% [markdown]
# ## One score for all of them
# An entity that was found is right if its type, its start and its end are. F1 (lesson 14) combines precision, the share of
# the found that are right, with recall, the share of the true that were found: F1 = 2 · right / (true + found). The three
# counts are added up over *all sentences* before anything is divided. (A sentence without any entity has no F1 of its own.)
# %%
@exercise(trials=[([[("PER", 0, 1), ("LOC", 3, 5)], [("PER", 2, 3)], []], [[("PER", 0, 1), ("LOC", 3, 4)], [], [("JOB", 1, 2)]]),
                  ([[("PER", 0, 2), ("JOB", 3, 4)], [("PER", 0, 2), ("OBJ", 4, 6)]], [[("PER", 0, 2), ("JOB", 3, 4)], [("FOOD", 4, 6)]]),
                  ([[("LOC", 1, 2)], [("PER", 2, 3), ("PER", 4, 5)]], [[("LOC", 1, 2), ("PER", 2, 3)], [("PER", 4, 5)]]),
                  ([[("JOB", 0, 1)], []], [[], []])])
def entity_f1(gold, said):
    """True entities and found ones, a list for each sentence -> F1 of all sentences together; 0 if none is right."""
    ...


def found_in(tags):
    return [tuple(entity) for entity in entities(tags)]


true = [found_in(tags) for _, tags in test]
there = [library.entities(tags) for _, tags in test]                                  # the same, as the library has them
found = [each[:-1] + [library.Entity("PER", 90, 91)] for each in there]               # the last of a sentence lost, one made up
same(entity_f1(there, found), library.count_entities(there, found)[1].f1, "F1 of entities")

# %%
half_an_entity = predict("Ten things of two words each. A tagger finds nine; of the tenth it is sure of the first word only. Which gives the "
            "higher F1: (1) tagging that word, or (2) tagging nothing?", guess=None)
ten = [[("OBJ", 0, 2)]] * 10
half, silent = entity_f1(ten, ten[:9] + [[("OBJ", 0, 1)]]), entity_f1(ten, ten[:9] + [[]])
half_an_entity.reveal(1 + int(silent > half))
print(f"   half of it tagged: F1 {half:.3f}; nothing said: F1 {silent:.3f}")

# %% [markdown]
# Half an entity is two mistakes: the true one is missed, and one is found that doesn't exist. Silence is one mistake. So
# a tagger that looks good word by word can look poor entity by entity.
# %%
f1_of_90 = predict("A tagger has 90 of 100 words right; its mistakes are other tags, drawn at random. What is its F1, in percent?",
            guess=None)


def spoiled(tags, share):
    """The tags, a share of them replaced by another tag."""
    return [labels[(labels.index(t) + rng.integers(1, len(labels))) % len(labels)] if rng.random() < share else t for t in tags]


shares = np.array([0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4])
f1 = [np.mean([entity_f1(true, [found_in(spoiled(tags, share)) for _, tags in test]) for _ in range(4)]) for share in shares]
f1_of_90.reveal(100 * f1[3], "{:.0f}")

# %%
plt = pyplot()
fig, ax = plt.subplots()
ax.plot(100 * (1 - shares), 100 * np.array(f1), "o-", color="0.0")
ax.plot([60, 100], [60, 100], color="0.5", ls=":", lw=1)
ax.text(74, 76, "if both were the same", color="0.4", ha="right")
ax.text(91, 100 * f1[3] - 12, f"90 % of the words right,\nF1 {100 * f1[3]:.0f} %")
ax.set(xlabel="words with the right tag, in percent", ylabel="F1 of entities, in percent", xlim=(59, 103), ylim=(0, 103),
       title="A few mistakes among the words are many among the entities")
figure(fig, "words_and_entities")
assert f1[3] < 0.8

# %% [markdown]
# Most words are O. Each of them that is spoiled becomes an entity which isn't there, and there are many more words than
# entities.
#
# ## Build it: a tagger of nothing but a table
# What do we know of a word? The word itself, whether it has a capital, and the same of its neighbours. Call each of these
# a *feature*. Every feature owns a row of a table W, with one number for each tag. The scores of a word are the sum of
# the rows of its features (a look-up, as in lesson 07), softmax makes them probabilities, and cross-entropy is the loss.
# %%
def features(words, place, n):
    """What stands at each distance from -n to n, and whether it begins with a capital."""
    found = []
    for d in range(-n, n + 1):
        word = words[place + d] if 0 <= place + d < len(words) else "(edge)"
        found += [(d, word), (d, word[0].isupper())]
    return found


print(features(["Ingrid", "crossed", "the", "road"], 0, 1))


# %% [markdown]
# The gradient of the scores is the one of lesson 05: *probability minus truth*, of a mean. Some rows will have no label,
# which is written as -100. They add nothing to the loss, get no gradient, and don't count in the mean.
# %%
@exercise(trials=[(rng.standard_normal((5, 3)), np.array([2, -100, 0, 1, -100])),
                  (rng.standard_normal((4, 6)), np.array([-100, 5, 5, 3]))])
def tagging_backward(scores, gold):
    """Gradient of the mean loss with respect to the scores, (T, tags); gold (T,), -100 where there is no label."""
    ...


# %%
def train_tagger(n, rate=2.0):
    """A table for features up to n words away, after eight passes over the training sentences."""
    known = {}
    rows = np.array([[known.setdefault(f, len(known)) for f in features(words, i, n)]
                     for words, _ in train for i in range(len(words))])              # (words, features of a word)
    gold = np.array([labels.index(tag) for _, tags in train for tag in tags])        # (words,)
    W = np.zeros((len(known) + 1, len(labels)))                                      # the last row is for what is new: it stays 0
    draw = np.random.default_rng(0)
    for _ in range(8):
        for batch in np.array_split(draw.permutation(len(gold)), len(gold) // 32):
            error = tagging_backward(W[rows[batch]].sum(1), gold[batch])             # (batch, tags)
            np.subtract.at(W, rows[batch], rate * error[:, None])                    # to each row that was used
    return known, W


def tag(words, n, known, W):
    rows = [[known.get(f, -1) for f in features(words, i, n)] for i in range(len(words))]
    return [labels[best] for best in W[rows].sum(1).argmax(1)]


# %% [markdown]
# In the test, people have names that *no training sentence has*. A baseline that only knows entities it has seen
# (`known_entities`) can't find any of these people.
# %%
found_by = {"list of known\nentities": [found_in(tags) for tags in known_entities(train, [words for words, _ in test])]}
list_and_table = predict(f"Such a list has an F1 of {100 * entity_f1(true, list(found_by.values())[0]):.0f} percent. What does the table reach if it sees "
            "the word and TWO words on either side?", guess=None)
for n, name in enumerate(("the word\nalone", "and one on\neither side", "and two on\neither side")):
    tagger = train_tagger(n)
    found_by[name] = [found_in(tag(words, n, *tagger)) for words, _ in test]
values = {name: entity_f1(true, said) for name, said in found_by.items()}
people = {name: entity_f1(*([[e for e in found if e[0] == "PER"] for found in side] for side in (true, said)))
          for name, said in found_by.items()}
list_and_table.reveal(100 * list(values.values())[-1], "{:.0f}")

# %%
fig, ax = plt.subplots()
ax.bar(np.arange(4) - 0.2, [100 * v for v in values.values()], width=0.38, color="0.3")
ax.bar(np.arange(4) + 0.2, [100 * v for v in people.values()], width=0.38, color="0.75")
for i, name in enumerate(values):
    ax.text(i - 0.2, 100 * values[name] + 1, f"{100 * values[name]:.0f}", ha="center")
    ax.text(i + 0.2, 100 * people[name] + 1, f"{100 * people[name]:.0f}", ha="center")
ax.text(-0.2, 100 * values["list of known\nentities"] + 8, "all", ha="center", color="0.3")
ax.text(0.2, 100 * people["list of known\nentities"] + 8, "people", ha="center", color="0.45")
ax.set_xticks(range(4), list(values))
ax.set(ylabel="F1 of entities, in percent", ylim=(0, 112), title="A capital finds people never seen; neighbours find the rest")
figure(fig, "neighbours")
assert list(values.values())[-1] > 0.8 > list(values.values())[0]

# %% [markdown]
# A capital away from the start of a sentence gives people away. For places and things the neighbours decide: what stands
# behind "at the"? This table sees five words and weighs each on its own. ALBERT replaces the sum of rows by a hidden
# vector that has looked at the whole sentence, in both directions. The rest stays: scores, softmax, the same gradient.
#
# ## Pieces are not words
# ALBERT reads pieces (lesson 10), and a name that the vocabulary doesn't have falls into several. But there is one tag a
# word. So the *first* piece of each word is labelled, and all other places have -100: the pieces behind it, `[CLS]` and
# `[SEP]`.
# %%
@exercise(trials=[(np.array([-1, 0, 0, 1, 2, 2, 2, -1]), np.array([3, 0, 5])), (np.array([-1, 0, 1, 2, 2, -1, -1]), np.array([0, 1, 2]))])
def labels_of_pieces(words, tags):
    """words (T,): the number of the word that each piece belongs to, -1 for none; tags: one number a word -> labels (T,)."""
    ...


tokenizer = AlbertTokenizer.train([sentence for story in documents(300) for sentence in story], 600)
task = Ner()
examples = task.read("stories:ner:8", "test")
task.fit(task.read("stories:ner:600", "train"))
rows = [task.encode(example, RowEncoder(tokenizer, 64))[0] for example in examples]


def words_of(row):
    return np.array([-1 if token.word is None else token.word for token in row["about"].tokens])


print([piece for piece, label in zip(rows[2]["about"].pieces, rows[2]["labels"])], rows[2]["labels"].tolist(), sep="\n")
same(np.concatenate([labels_of_pieces(words_of(row), np.array([task.ids[t] for t in e.tags])) for row, e in zip(rows, examples)]),
     np.concatenate([row["labels"] for row in rows]), "labels of the pieces of eight sentences")

# %% [markdown]
# ## The head
# One linear map from every hidden vector to the scores of the tags: `AlbertForTokenClassification`. No pooler is needed.
# %%
config = task.configure(AlbertConfig.preset("tiny", vocab_size=len(tokenizer)))
model = put(AlbertForTokenClassification(config, seed=1).astype(np.float64))
row = rows[2]
out = model(row["input_ids"][None], labels=row["labels"][None])
hidden = model.albert(row["input_ids"][None]).last_hidden_state.numpy()[0]            # (T, H)
scores = hidden @ to_host(model.classifier.weight.data).T + to_host(model.classifier.bias.data)       # (T, tags)
same(scores, out.logits.numpy()[0], "scores of the tags")
counted = np.flatnonzero(row["labels"] != -100)
probabilities = ops.softmax.raw(scores)[0]
same(-np.log(probabilities[counted, row["labels"][counted]]).mean(), out.loss.numpy(), "the loss, on first pieces")
error = tagging_backward(scores, row["labels"])                                       # (T, tags), 0 where there is no label
gradients = backward(out.loss)
same(error.T @ hidden, gradients[model.classifier.weight], "gradient of the head's matrix")
same(error.sum(0), gradients[model.classifier.bias], "gradient of the head's bias")

# %%
rows_with_gradient = predict(f"This row has {len(row['labels'])} places, of which {len(counted)} have a label. The table of word vectors gets its gradient "
            "through the places that were read. How many of the places receive one?", guess=None)
table = to_host(gradients[model.albert.embeddings.word_embeddings.weight])
rows_with_gradient.reveal(int((np.abs(table[row["input_ids"]]).sum(1) > 0).sum()))
assert (np.abs(table[row["input_ids"]]).sum(1) > 0).all()

# %% [markdown]
# All of them. A place without a label asks for nothing, but the labelled ones *listen* to it: attention (lesson 08) carries
# the gradient back to every place that was heard. That is why the first piece can answer for the whole word.
#
# ## Pieces that disagree
# Each piece has an opinion. The library can ask the first one, the mean of all, or the surest (`aggregation_strategy`).
# %%
kinds = ["O", "B-PER", "B-LOC"]
opinions = np.array([[0.30, 0.60, 0.10], [0.02, 0.03, 0.95]])                          # of two pieces of one word
three_ways = predict("The two rows above are what two pieces of a word say. Which tag does the word get by first, average and max?", guess=None)
of_word = {"first": opinions[0], "average": opinions.mean(0), "max": opinions[opinions.max(1).argmax()]}
said = {way: kinds[scores.argmax()] for way, scores in of_word.items()}
three_ways.reveal(said)
pieces = [aggregation.Piece(f"▁{name}"[i:], o, 3 * i, 3 * i + 3, i, i > 0) for i, (name, o) in enumerate(zip(("Ing", "rid"), opinions))]
for way, mine in of_word.items():
    answer = aggregation.aggregate("Ingrid", pieces, kinds, way, ("O",))[0]
    same(mine.max(), answer["score"], f"the word's probability by {way}")

# %% [markdown]
# Only the first piece was trained, so its opinion is the one to trust. The others were never asked.
#
# ## Open it
# With the model that the command in lesson 08 makes:
#
#     tinyalbert finetune ner stories:ner:1000 --model runs/stories --output runs/names
#     tinyalbert predict runs/names "Ingrid waited at the fountain." --output -
#
# It prints its baselines first. Does it beat the linear tagger, which is this lesson's table with more features?
#
# ## In the library
# %%
show(AlbertForTokenClassification)
show(library.entities)

# %% [markdown]
# **What to keep.** Tags mark entities, and entities count: one wrong border makes two mistakes. The first piece of a word has
# the label, every other place -100, and still all places learn. The gradient is again probability minus truth. Next: 16,
# answers that are spans of a text.
# %%
finish()
