"""Tagging: files as people have them, entities as conlleval counts them, one tag for every word, spans of the text."""

import io
import json
import shlex
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_tokenizer import CORPUS
from test_tokenizer import texts as any_text

from tinyalbert import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertForTokenClassification,
    AlbertTokenizer,
    pipeline,
)
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.heads import IGNORE
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.tasks.batches import Features
from tinyalbert.tasks.conll import Sentence, split_words
from tinyalbert.tasks.entities import (
    LABELS,
    Counts,
    Entity,
    count_entities,
    entities,
    scheme_of,
    strict_entities,
    tags_of,
)
from tinyalbert.tasks.lookup import commonest_tags, known_entities
from tinyalbert.tasks.ner import Ner, NerSettings, Tagged
from tinyalbert.tasks.registry import task_name
from tinyalbert.text.rows import RowEncoder

TAGS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC", "creative-work"))]
IOB = [tag for tag in TAGS if tag[0] in "OBI"]
KINDS = st.sampled_from(["PER", "LOC", "creative-work"])
SCHEMES = ["IOB1", "IOB2", "BIOES", "BILOU", "BMES"]


@st.composite
def spans(draw, longest=12):
    """Entities that don't overlap, and the length of their sentence."""
    found, place = [], draw(st.integers(0, 2))
    while place < longest and draw(st.booleans()):
        end = place + draw(st.integers(1, 3))
        found.append(Entity(draw(KINDS), place, end))
        place = end + draw(st.integers(0, 2))
    return found, max([place, *(entity.end for entity in found)])


# --- entities -----------------------------------------------------------------------------------------

def chunks(tags):
    """The rules of conlleval, as its two functions tell them: where a chunk ends, and where one starts."""
    found, before, before_kind, start = [], "O", "", None
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        ends = starts = False
        pair = before + prefix
        ends |= pair in ("BB", "BO", "IB", "IO", "EE", "EI", "EO", "BS", "IS") or before in ("S", "E")
        starts |= prefix in ("B", "S") or pair in ("OI", "OE", "EE", "EI", "SI", "SE")
        if before != "O" and before_kind != kind:
            ends = True
        if prefix != "O" and before_kind != kind:
            starts = True
        if ends and start is not None:
            found.append(Entity(before_kind, start, place))
            start = None
        if starts:
            start = place
        before, before_kind = prefix, kind
    return found


@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_entities_are_those_of_conlleval(tags):
    assert entities(tags) == chunks(tags)


def test_conlleval_tolerates_what_strict_refuses():
    assert entities(["O", "I-PER", "I-PER", "B-PER", "I-LOC"]) == [("PER", 1, 3), ("PER", 3, 4), ("LOC", 4, 5)]
    assert strict_entities(["O", "I-PER", "I-PER", "B-PER", "I-LOC"]) == [("PER", 3, 4)]
    assert strict_entities(["B-PER", "I-PER", "O", "S-LOC", "B-LOC", "E-LOC"], "BIOES") == [("LOC", 3, 4), ("LOC", 4, 6)]


@given(spans(), st.sampled_from(SCHEMES))
def test_every_scheme_says_the_same_entities(case, scheme):
    found, length = case
    tags = tags_of(found, length, scheme)
    assert len(tags) == length and entities(tags) == found
    if scheme in ("IOB2", "BIOES"):
        assert strict_entities(tags, scheme) == found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_scheme_is_found_out(scheme):
    found = [Entity("PER", 0, 1), Entity("PER", 1, 4), Entity("LOC", 5, 7)]
    assert scheme_of([tags_of(found, 8, scheme), ["O"]]) == scheme


def test_labels_of_words_are_no_scheme():
    assert scheme_of([["DT", "NN", "-LRB-", "O"]]) == LABELS and scheme_of([["O", "O"]]) is None
    assert scheme_of([["B-PER", "PER", "I-PER", "O"]]) == "IOB2"               # the one that is not in it is a mistake


@given(st.lists(st.tuples(spans(), spans()), max_size=4))
def test_counts_are_those_of_sets(pairs):
    gold, said = [a for (a, _), _ in pairs], [b for _, (b, _) in pairs]
    counts, every = count_entities(gold, said)
    assert every.right == sum(len(set(a) & set(b)) for a, b in zip(gold, said))
    assert (every.gold, every.said) == (sum(map(len, gold)), sum(map(len, said)))
    assert list(counts) == sorted({e.type for es in gold + said for e in es})
    same = count_entities(gold, gold)[1]
    assert same.f1 == (1.0 if same.gold else 0.0)


def test_precision_recall_and_f1():
    counts = Counts(gold=4, said=3, right=2)
    assert (counts.precision, counts.recall, counts.f1) == (2 / 3, 1 / 2, pytest.approx(4 / 7))
    assert (Counts().precision, Counts().recall, Counts().f1) == (0, 0, 0)


def test_baselines_look_words_up():
    train = [("Ann met Bo in New York .".split(), "B-PER O B-PER O B-LOC I-LOC O".split()),
             ("New shoes for Bo".split(), "O O O B-LOC".split()), ("New hats".split(), "O O".split())]
    words = ["Ann saw New York".split(), ["Bo"]]
    assert commonest_tags(train, words, "O") == [["B-PER", "O", "O", "I-LOC"], ["B-PER"]]
    assert commonest_tags([(["a", "b"], ["DT", "NN"]), (["b"], ["NN"])], [["new"]]) == [["NN"]]
    assert known_entities(train, words) == [["B-PER", "O", "B-LOC", "I-LOC"], ["O"]]     # Bo has two types


# --- reading ------------------------------------------------------------------------------------------

def read(tmp_path, text, name="file.conll", split="train", **settings):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    said = []
    task = Ner(NerSettings(**settings), say=said.append)
    return task.read(str(path), split), said, task


CONLL2003 = """-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC

-DOCSTART- -X- O O

Bo NNP I-NP I-PER
Ann NNP I-NP B-PER
"""


@pytest.mark.parametrize("text", [CONLL2003, CONLL2003.replace("\n", "\r\n"), CONLL2003.replace(" ", "\t"), "\ufeff" + CONLL2003,
                                  CONLL2003.replace("\n\n", "\n \t\n\n"), CONLL2003.rstrip("\n"), CONLL2003.replace(" ", "  ")])
def test_conll_2003(tmp_path, text):
    sentences, said, _ = read(tmp_path, text)
    assert [s.words for s in sentences] == [["EU", "rejects", "German"], ["Bo", "Ann"]]
    assert [s.tags for s in sentences] == [["B-ORG", "O", "B-MISC"], ["B-PER", "B-PER"]]
    assert sentences[1].given == ["I-PER", "B-PER"]
    assert "words in column 1, tags in column 4" in said[0] and "2 sentences, 5 words, 4 entities, tagged IOB1" in said[1]


def test_any_line_end_blank_line_and_odd_space_inside_a_word(tmp_path):
    text = "New York\tB-LOC\n\x85\tO\n\u2028x\tO\n \u00a0\tO\n\t\n#\tO\n#tag\tB-LOC\n"
    sentences, _, _ = read(tmp_path, text)
    assert [s.words for s in sentences] == [["New York", "\x85", "\u2028x", "\u00a0"], ["#", "#tag"]]
    assert sentences[1].where(1).endswith("line 7")


def test_comments_are_told_from_words(tmp_path):
    text = "# id 0e domain=en\nBo _ _ B-PER\n\n# id 0f domain=en\n# _ _ O\nAnn _ _ B-PER\n"
    assert [s.words for s in read(tmp_path, text)[0]] == [["Bo"], ["#", "Ann"]]
    sentences, said, _ = read(tmp_path, "# text = Ann am Bo\n1-2\tim\t_\t_\t_\t_\t_\t_\t_\t_\n" + "".join(
        f"{i}\t{word}\t{word}\t{tag}\t_\t_\t_\t_\t_\t_\n" for i, (word, tag) in enumerate([("Ann", "PROPN"), ("in", "ADP")], 1)),
        "file.conllu")
    assert sentences[0].words == ["Ann", "in"] and sentences[0].tags == ["PROPN", "ADP"]
    assert "words in column 2, tags in column 4" in said[0] and "a label for each" in said[1]


def test_columns_in_another_order(tmp_path):
    assert read(tmp_path, "O\twho\nB-PER\tBo\n")[0][0].words == ["who", "Bo"]          # MIT's movie corpus
    text = "B-PER Bo x\nO runs y\n"
    sentences, said, _ = read(tmp_path, text, word_column=2, tag_column=1)
    assert sentences[0].words == ["Bo", "runs"] and sentences[0].tags == ["B-PER", "O"]


def test_json_lines_lists_and_gzip(tmp_path):
    import gzip
    rows = [{"tokens": ["Bo", "runs"], "tags": ["U-PER", "O"]}, {"words": ["\n", ""], "ner_tags": ["O", "O"]}]
    lines = "\n".join(map(json.dumps, rows))
    for text, name in ((lines, "a.jsonl"), (lines, "a.txt"), (json.dumps(rows, indent=1), "a.json"),
                       (gzip.compress(lines.encode()), "a.jsonl.gz")):
        sentences, said, _ = read(tmp_path, text, name)
        assert [s.words for s in sentences] == [["Bo", "runs"], ["\n", ""]]
        assert sentences[0].tags == ["B-PER", "O"] and "tagged BILOU" in said[-1]


def test_spans_of_characters_become_tags_and_those_inside_a_word_are_counted(tmp_path):
    text = "Susan went\nto New York-based ﬁrms, naïve 😀 Bo."
    places = [[" New York", "LOC"], [" Bo", "PER"], ["Sus", "PER"], ["New York", "LOC"]]
    given = [[text.index(words), text.index(words) + len(words), kind] for words, kind in places]
    rows = [{"text": text, "entities": given}, {"text": "Hello", "spans": [{"start": 0, "end": 5, "label": "X"}]},
            {"text": "", "label": []}]
    sentences, said, task = read(tmp_path, "\n".join(json.dumps(row) for row in rows), "a.jsonl")
    first = sentences[0]
    assert [text[a:b] for a, b in first.spans] == first.words
    tagged = {" ".join(first.words[e.start:e.end]): e.type for e in entities(first.tags)}
    assert tagged == {"New York": "LOC", "Bo": "PER"} and sorted(first.unaligned) == ["LOC", "PER"]
    assert any("2 of 5 entities begin or end inside a word" in line for line in said)
    task.fit(sentences)
    scores = task._metrics(sentences, [s.tags for s in sentences])             # they count as missed
    assert scores["precision"] == 1 and scores["recall"] == pytest.approx(3 / 5) == scores["strict_recall"]


BAD = [
    ("a O\nb O x\nc B-X\n", "file.conll, line 2: 3 columns; expected 2"),
    ("a O\n\nb\nc B-X\n", "file.conll, line 3: 1 column; expected 2"),
    ("a\tO\nb\t\nc\tB-X\n", "file.conll, line 2: 'b' has no tag"),
    ("a\tO\n\tO\nc\tB-X\n", "file.conll, line 2: the word is missing"),
    ("a O\nb B-X\nc I-X\nd PER\n", "file.conll, line 4: the tag 'PER' is in no scheme.*B-PER"),
    ("a O\nb O\n", "every tag is O"),
    ("a\nb\n", "has one column; expected words with tags"),
    ("", "is empty"),
    ("\n \n", "is empty"),
    ("-DOCSTART- O\n", "has no words"),
    ("a O\né O\n".encode() + b"b\xe9 B-X\n", "file.conll, line 3: not UTF-8.*--encoding"),
]


@pytest.mark.parametrize("text, words", BAD)
def test_a_bad_file_is_told_with_its_line(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, text)


JSON = [
    ('{"tokens": ["a"], "tags": ["O", "O"]}', "line 1: 1 words and 2 tags"),
    ('{"tokens": ["a"], "tags": [3]}', "line 1: the tags are .3.; expected a list of names"),
    ('{"tokens": ["a"]}', "line 1: no tags"),
    ('{"tokens": "a b", "tags": ["O"]}', "line 1: no words"),
    ('{"text": "a"}', "line 1: no entities"),
    ('{"text": "abc", "entities": [[1, 9, "X"]]}', "line 1: the span .1, 9, 'X'. in a text of 3 characters"),
    ('{"text": "abc", "entities": [[1, 2]]}', "line 1: the span"),
    ('\n{"tokens": \n', "line 2: not JSON"),
    ("[1]", "object 1: 1; expected a JSON object"),
    ("[1", "line 1: not JSON"),
]


@pytest.mark.parametrize("text, words", JSON)
def test_bad_json_is_told_with_its_line(tmp_path, text, words):
    with pytest.raises(UserError, match=f"file.json(l)?, {words}"):
        read(tmp_path, text, "file.json" if text[0] == "[" else "file.jsonl")


def test_bad_sentences_are_left_out_and_listed(tmp_path):
    sentences, _, task = read(tmp_path, "a O\nb\n\nc B-X\n\nd X\n\ne I-X\n", skip_bad_rows=True)
    assert [s.words for s in sentences] == [["c"], ["e"]]
    assert [p.partition("line ")[2][:1] for p in task.bad_rows.problems] == ["2", "6"]


def test_a_file_of_another_kind_is_refused(tmp_path):
    task = read(tmp_path, "a B-X\n")[2]
    (tmp_path / "pos.conll").write_text("the DT\ndog NN\n")
    with pytest.raises(UserError, match="labels of words; expected entities .*--tag-column"):
        task.read(tmp_path / "pos.conll", "test")
    with pytest.raises(UserError, match="has 1 columns; expected a --tag-column of at most"):
        read(tmp_path, "a\n", split="predict", tag_column=2)
    with pytest.raises(UserError, match="there is no file"):
        task.read(tmp_path / "none.conll", "test")


@pytest.mark.parametrize("text, name, words", [
    ("Bo\nruns\n\nAnn\n", "a.txt", [["Bo", "runs"], ["Ann"]]),
    ("Bo runs.\nAnn sees Bo again\n", "a.txt", [["Bo", "runs", "."], ["Ann", "sees", "Bo", "again"]]),
    ("Bo runs to Ann\n", "a.txt", [["Bo", "runs", "to", "Ann"]]),
    ("Bo B-PER\nruns O\n", "a.txt", [["Bo", "runs"]]),
    ("# id 1\nBo B-PER\nruns O\n", "a.txt", [["Bo", "runs"]]),
    ("Bo NNP\nruns VB\n", "a.conll", [["Bo", "runs"]]),
    ('{"text": "Bo runs"}\n', "a.jsonl", [["Bo", "runs"]]),
    ('{"tokens": ["Bo runs"]}\n', "a.jsonl", [["Bo runs"]]),
])
def test_what_may_be_predicted(tmp_path, text, name, words, monkeypatch):
    sentences = read(tmp_path, text, name, "predict")[0]
    assert [s.words for s in sentences] == words and all(s.tags is None for s in sentences)
    if name == "a.txt":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert [s.words for s in Ner().read("-", "predict")] == words


@given(st.text(max_size=40))
@example("don't e-mail हिन्दी a\u0301b \u200b… 😀\n\t$5")
def test_words_of_a_text_are_all_of_it_but_white_space(text):
    found = split_words(text)
    assert "".join(text[a:b] for a, b in found) == "".join(c for c in text if not c.isspace())
    assert all(a < b for a, b in found) and all(b <= c for (_, b), (c, _) in zip(found, found[1:]))
    assert not any(c.isspace() for a, b in found for c in text[a:b])


# --- rows and tags ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.train(CORPUS, vocab_size=200, num_threads=1)


class Marks:
    """A model that knows the tag of each piece by its id, whatever stands around it: a window changes nothing."""

    def __init__(self, labels):
        self.labels = labels

    def logits(self, ids):
        return np.eye(self.labels, dtype=np.float32)[ids % self.labels] * 5


def predicted(task, sentences, encoder, seed=0):
    rows = Features(task, sentences, encoder)
    marks = Marks(len(task.labels))
    outputs = [marks.logits(row["input_ids"]) for row in rows.rows]
    return [task.decode(s, [rows.rows[i] for i in places], [outputs[i] for i in places])
            for s, places in zip(rows.examples, rows.places)]


def tagger(labels=("O", "B-X", "I-X"), **settings):
    task = Ner(NerSettings(**settings))
    task.restore(AlbertConfig().with_labels(labels))
    return task


WORD = st.text(min_size=0, max_size=6) | st.sampled_from(["the", "garden", "\u200b", "[MASK]", "a b", "1999,", "ﬁ", "\n", "漢"])


@given(st.lists(WORD.filter(lambda w: "\ud800" not in w), max_size=14), st.integers(8, 24), st.sampled_from(["windows", "truncate"]))
def test_every_word_gets_one_tag_whatever_its_length(tokenizer, words, longest, long):
    task = tagger()
    sentence = Sentence(words)
    [whole] = predicted(task, [sentence], RowEncoder(tokenizer, 2000))
    [cut] = predicted(task, [sentence], RowEncoder(tokenizer, longest, long))
    assert len(whole.tags) == len(cut.tags) == len(words) and not whole.cut
    if long == "windows":
        assert cut.tags == whole.tags and not cut.cut and cut.read[0].pieces == whole.read[0].pieces
    else:
        kept = len(words) - len(cut.cut)
        assert cut.cut == set(range(kept, len(words)))
        assert cut.tags == whole.tags[:kept] + ["O"] * len(cut.cut)


def test_a_piece_is_read_where_it_has_most_context(tokenizer):
    task = tagger(["O", *(f"B-{i}" for i in range(40))])
    sentence = Sentence(["the"] * 30)
    encoder = RowEncoder(tokenizer, 12, "windows", overlap=4)
    rows = task.encode(sentence, encoder)
    assert 4 < len(rows) < 40
    outputs = [np.tile(np.eye(41, dtype=np.float32)[i], (len(row["input_ids"]), 1)) for i, row in enumerate(rows)]
    said = task.decode(sentence, rows, outputs)                               # the label says which window it was
    windows = list(zip(encoder.window_starts(rows), (len(row["input_ids"]) for row in rows)))
    [read] = said.read
    for number, window in enumerate(read.scores.argmax(axis=1).tolist()):
        contexts = [min(place, n - 1 - place) if 0 < place < n - 1 else -1
                    for place, n in ((number - start + 1, n) for start, n in windows)]
        assert window == contexts.index(max(contexts))
    assert number + 1 == len(read.tokens) and read.tokens[-1].word == 29


@pytest.mark.parametrize("pieces", ["first", "all"])
def test_the_first_piece_of_a_word_is_labelled_or_all(tokenizer, pieces):
    task = tagger(pieces=pieces)
    words, tags = ["garden", "\u200b", "Bogarden", "York"], ["B-X", "O", "B-X", "I-X"]
    for longest, long in ((100, "truncate"), (10, "windows")):
        encoder = RowEncoder(tokenizer, longest, long)
        rows = task.encode(Sentence(words, tags=tags), encoder)
        labelled = {}
        for row, start in zip(rows, encoder.window_starts(rows)):
            assert len(row["labels"]) == len(row["input_ids"]) and row["labels"][0] == row["labels"][-1] == IGNORE
            for place, (token, label) in enumerate(zip(row["about"].tokens, row["labels"].tolist())):
                if token.word is not None:
                    before = labelled.setdefault(start + place, (token.word, label))
                    assert before == (token.word, label)                      # the same in every window
        seen = set()
        for word, label in (labelled[n] for n in sorted(labelled)):
            inside = {"B-X": "I-X"}.get(tags[word], tags[word])
            expected = task.ids[tags[word]] if word not in seen else task.ids[inside] if pieces == "all" else IGNORE
            assert label == expected
            seen.add(word)
        assert seen == set(range(4)) and len(labelled) > 4


def test_entities_lost_to_cutting_are_missed_and_said(tokenizer):
    task = tagger()
    sentence = Sentence(["the"] * 20 + ["York"], tags=["B-X"] + ["O"] * 19 + ["B-X"])
    [said] = predicted(task, [sentence], RowEncoder(tokenizer, 8, "truncate"))
    said.tags[0] = "B-X"
    said.tags[1:] = ["O"] * 20
    assert task.score([sentence], [said])["recall"] == 0.5
    assert "1 entities have words that were cut off" in task.confusion([sentence], [said])


def test_one_tag_for_every_word_is_said():
    sentences = [Sentence(["a", "b"], tags=["B-X", "O"]), Sentence(["c"], tags=["O"])]
    nothing, found = ([Tagged(each, [], tags, set()) for each, tags in zip(sentences, said)] for said in ([["O", "O"], ["O"]], [["B-X", "O"], ["O"]]))
    assert "every predicted tag is 'O'" in tagger().confusion(sentences, nothing)
    assert "every predicted tag" not in tagger().confusion(sentences, found)


def test_types_that_training_had_not_are_missed_and_said(tokenizer):
    task = tagger()
    sentence = Sentence(["a", "b"], tags=["B-X", "B-NEW"])
    rows = task.encode(sentence, RowEncoder(tokenizer, 20))
    assert task.ids["B-X"] in rows[0]["labels"] and set(rows[0]["labels"].tolist()) <= {IGNORE, task.ids["B-X"]}
    [said] = predicted(task, [sentence], RowEncoder(tokenizer, 20))
    assert "1 entities are of types that training had not: NEW" in task.confusion([sentence], [said])


def test_labels_go_by_name(tokenizer):
    sentence = Sentence(["the", "dog", "garden", "York"], tags=["O", "B-X", "I-X", "O"])
    ids = {}
    for order in (("O", "B-X", "I-X"), ("I-X", "O", "B-X")):
        task = tagger(order)
        labels = task.encode(sentence, RowEncoder(tokenizer, 40))[0]["labels"]
        ids[order] = [task.labels[i] for i in labels if i != IGNORE]
    assert len(set(map(tuple, ids.values()))) == 1


@pytest.mark.parametrize("labels", [("O", "I-X"), ("O", "B-X", "I-X", "E-X", "S-X")])
def test_models_of_other_schemes(labels):
    """Folders by others have IOB1 or BIOES labels; predictions are written as the file has its tags."""
    task = tagger(labels)
    tags = tags_of([Entity("X", 1, 3), Entity("X", 4, 5)], 5, "BIOES" if "E-X" in labels else "IOB1")
    sentence = Sentence(list("abcde"), tags=tags_of(entities(tags), 5), scheme="BILOU")
    scores = task._metrics([sentence], [tags])
    assert scores["f1"] == scores["accuracy"] == 1 and task._as_given(sentence, tags) == ["O", "B-X", "L-X", "O", "U-X"]
    if "E-X" in labels:
        assert scores["strict_f1"] == 1


# --- from the command line ----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with an untrained model, a tagger of the story world, and one of parts of speech."""
    folder = tmp_path_factory.mktemp("ner")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tokenizer = train_tokenizer(["stories:60"], 200, "model")
        config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
        AlbertForPreTraining(config, seed=1).save_pretrained("model", tokenizer=tokenizer)
        (folder / "pos.conll").write_text("the DT\ndog NN\nruns VB\n\na DT\nkey NN\n\n" * 20)
        assert run("finetune ner stories:ner:60 --dev stories:ner:30 --output entities") == 0
        assert run("finetune ner pos.conll --output pos") == 0
        yield folder


def run(command, options="--model model --steps 8 --batch-size 8 --lr 0.003 --threads 1"):
    return main(shlex.split(f"{command} {options if command.startswith('finetune') else ''}"))


@pytest.fixture
def inside(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    return capsys


def test_finetune_evaluate_and_predict(inside, world):
    config = json.loads((world / "entities" / "config.json").read_text())
    assert config["finetuning_task"] == "ner" and config["architectures"] == ["AlbertForTokenClassification"]
    assert config["id2label"]["0"] == "O" and config["id2label"]["1"].startswith("B-")
    metrics = json.loads((world / "entities" / "eval_results.json").read_text())
    assert {"f1", "strict_f1", "accuracy"} < set(metrics)
    assert run("evaluate entities stories:ner:30") == 0
    out = inside.readouterr().out
    assert out.splitlines()[0].split() == ["f1", f"{metrics['f1']:.4f}"] and "\nall " in out
    lines = (world / "entities" / "predictions.conll").read_text().splitlines()
    assert all(len(line.split(" ")) == 3 for line in lines if line) and lines.count("") == 30
    assert run("predict entities entities/predictions.conll --output again.conll") == 0      # the words come back
    again = (world / "again.conll").read_text().splitlines()
    assert [line.split(" ")[0] for line in again] == [line.split(" ")[0] for line in lines]
    assert [line.split(" ")[-1] for line in again] == [line.split(" ")[-1] for line in lines]


def test_predictions_of_plain_text_know_their_place(inside, world):
    text = "Mira took the\u00a0key, said Bo.\nNobody knew 漢字 why\n"
    (world / "plain.txt").write_text(text, encoding="utf-8")
    assert run("predict entities plain.txt --output plain.jsonl") == 0
    rows = [json.loads(line) for line in (world / "plain.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == text.splitlines()
    for row in rows:
        assert len(row["tokens"]) == len(row["predicted"])
        assert all(row["text"][e["start"]:e["end"]] == e["text"] for e in row["predicted_entities"])
    assert run("predict entities plain.txt --output plain.conll") == 0
    assert len((world / "plain.conll").read_text(encoding="utf-8").splitlines()) == sum(len(r["tokens"]) for r in rows) + 2


def test_parts_of_speech(inside, world):
    assert json.loads((world / "pos" / "config.json").read_text())["id2label"] == {"0": "DT", "1": "NN", "2": "VB"}
    assert set(json.loads((world / "pos" / "eval_results.json").read_text())) == {"accuracy", "whole_sentences"}
    assert run("evaluate pos pos.conll") == 0
    assert inside.readouterr().out.startswith("accuracy")
    (world / "new.conll").write_text("the DT\nfox NEW\n")                     # an unknown label is an error of the model
    assert run("evaluate pos new.conll") == 0 and "accuracy" in inside.readouterr().out
    assert run("evaluate pos stories:ner:5") == 2
    assert "entities (B-PER, I-PER, O); expected labels of words" in inside.readouterr().err


def test_predictions_do_not_shift_when_sentences_are_cut(inside, world):
    """transformers#9724: after a sentence that was too long, tags stood beside the wrong words."""
    (world / "long.conll").write_text("key O\n" * 40 + "\nMira B-PER\n\nkey O\n")
    for long in ("truncate", "windows"):
        assert run(f"predict entities long.conll --max-length 12 --long {long} --output {long}.conll") == 0
        lines = (world / f"{long}.conll").read_text().splitlines()
        assert [line.split(" ")[:2] for line in lines if line] == [["key", "O"]] * 40 + [["Mira", "B-PER"], ["key", "O"]]
        assert [i for i, line in enumerate(lines) if not line] == [40, 42, 44]
        assert all(len(line.split(" ")) == 3 for line in lines if line)


def test_an_entity_that_was_cut_off_is_missed_and_said(inside, world):
    """transformers#18050: the right tags were cut with the words, so that recall was flattered."""
    (world / "cut.conll").write_text("key O\n" * 40 + "Mira B-PER\n")
    assert run("evaluate entities cut.conll --max-length 12 --long truncate") == 0
    out, err = inside.readouterr()
    assert "1 of 1 rows was longer than 12 tokens and was cut" in err
    assert "1 entities have words that were cut off; they count as missed" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("all ")] == ["1"]


def test_standard_input(inside, world, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Mira took the key.\n")))
    assert run("predict entities - --output piped.conll") == 0
    inside.readouterr()
    assert run("predict entities 'Mira took the key.' --output -") == 0
    assert inside.readouterr().out == (world / "piped.conll").read_text()
    assert [line.split(" ")[0] for line in (world / "piped.conll").read_text().split("\n")] == ["Mira", "took", "the", "key", ".", "", ""]


def test_words_with_spaces_are_written_with_tabs(inside, world):
    (world / "spaces.jsonl").write_text('{"tokens": ["New York", "a\\nb", ""], "tags": ["B-LOC", "O", "O"]}\n')
    assert run("predict entities spaces.jsonl --output spaces.conll") == 0
    rows = [line.split("\t") for line in (world / "spaces.conll").read_text().splitlines() if line]
    assert [row[:2] for row in rows] == [["New York", "B-LOC"], ["a b", "O"], ["_", "O"]]


# --- the pipeline -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tagging(tokenizer):
    """A pipeline with random weights, large enough to say every label."""
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size).with_labels(IOB)
    model = AlbertForTokenClassification(config, seed=1)
    model.classifier.weight.data *= 60
    return pipeline("token-classification", model, tokenizer)


TEXTS = any_text | st.lists(st.sampled_from(["the", "New", "York", "ﬁ½", "a\u0301", "漢", "[MASK]", "\n", "\u00a0", "1999,", "\u200b",
                                                         "😀", "İ"])).map(" ".join)


@given(TEXTS, st.sampled_from(["none", "simple", "first", "average", "max"]))
@example("New\nYork  ﬁnd\u200b 漢字", "simple")
def test_the_spans_are_the_text(tagging, text, strategy):
    answers = tagging(text, aggregation_strategy=strategy, ignore_labels=[])
    key = "entity" if strategy == "none" else "entity_group"
    for a in answers:
        assert set(a) == {key, "score", "word", "start", "end"} | ({"index"} if strategy == "none" else set())
        surface = text[a["start"]:a["end"]]
        assert 0 <= a["start"] <= a["end"] <= len(text) and surface == surface.strip()
        assert surface or a["word"].replace("▁", "").strip() in ("", "<unk>")
        assert isinstance(a["score"], float) and 0 < a["score"] <= 1 + 1e-6
    assert [a["start"] for a in answers] == sorted(a["start"] for a in answers)
    if strategy in ("first", "average", "max"):                               # a word is never cut in two
        assert all(a["start"] == 0 or text[a["start"] - 1].isspace() or tagging.tokenizer.unk_token_id in
                   tagging.tokenizer.encode(text) or not a["word"].strip() for a in answers)


@given(st.lists(WORD), st.sampled_from([" ", "", "\n"]), st.sampled_from(["none", "first"]))
def test_the_spans_of_words_are_in_the_words(tagging, words, delimiter, strategy):
    [answers] = tagging(words, is_split_into_words=True, delimiter=delimiter, aggregation_strategy=strategy, ignore_labels=[])
    text = delimiter.join(words)
    ends = np.cumsum([0, *(len(word) + len(delimiter) for word in words)]).tolist()
    for a in answers:
        surface = text[a["start"]:a["end"]]
        assert a["end"] <= len(text) and surface == surface.strip()
        if strategy == "none":
            assert any(start <= a["start"] <= a["end"] <= start + len(word) for start, word in zip(ends, words))
    if strategy == "none":
        assert len(answers) >= len(words)


def test_calls(tagging, world):
    text = "Ann and Bo met in New York"
    one = tagging(text, aggregation_strategy="simple", ignore_labels=[])
    assert tagging([text], aggregation_strategy="simple", ignore_labels=[]) == [one] and tagging([]) == []
    words = tagging(text.split(), is_split_into_words=True, aggregation_strategy="simple", ignore_labels=[])
    assert words == [one] == tagging([text.split()], is_split_into_words=True, aggregation_strategy="simple", ignore_labels=[])
    assert tagging(["Ann", "Bo"], is_split_into_words=True, delimiter="--", ignore_labels=[])[0][-1]["end"] == len("Ann--Bo")
    assert all(a["entity"] != "O" for a in tagging(text))
    with pytest.raises(UserError, match="'best' is unknown; expected one of none, simple"):
        tagging(text, aggregation_strategy="best")
    with pytest.raises(UserError, match="expected a text, or a list of words"):
        tagging([["Ann"]])
    folder = str(world / "entities")
    for name in ("ner", "token-classification"):
        found = pipeline(name, folder, aggregation_strategy="max", ignore_labels=[])
        assert found("Mira took the key.") == pipeline("ner", folder)("Mira took the key.", aggregation_strategy="max", ignore_labels=[])


def test_a_long_text_is_read_to_its_end(world):
    """urchade/GLiNER#378: most of an article was never read.  Here windows are the default of the laptop recipe."""
    tag = pipeline("ner", str(world / "entities"), aggregation_strategy="none", ignore_labels=[])
    text = "Mira took the key. " * 60
    with pytest.warns(UserWarning, match="windows"):
        answers = tag(text)
    assert answers[-1]["end"] == len(text.rstrip()) and [a["index"] for a in answers] == list(range(1, len(answers) + 1))


def test_folders_by_others_are_known_by_their_class():
    assert task_name(AlbertConfig.from_dict({"architectures": ["AlbertForTokenClassification"]})) == "ner"
