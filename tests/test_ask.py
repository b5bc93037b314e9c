"""Questions over a folder of texts: where answers stand, what is merged, and one decision that there is none."""

import builtins
import io
import json
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForPreTraining, UserError
from tinyalbert.ask import Documents, Finder, merged
from tinyalbert.cli import main
from tinyalbert.pretraining.preparation import train_tokenizer
from tinyalbert.stories.corpus import generate
from tinyalbert.tasks.documents import read_paragraphs
from tinyalbert.tasks.squad import Squad, Squad2

PARAGRAPHS = [story.text for story in generate(6, 3)]
QUESTION = " ".join(PARAGRAPHS[2].split()[:5])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folders of untrained models with strong opinions, and of texts; the commands run inside."""
    folder = tmp_path_factory.mktemp("ask")
    tokenizer = train_tokenizer(["stories:60"], 200, str(folder / "words"))
    tokenizer.model_max_length = 128
    for Task in (Squad, Squad2):
        task = Task(Task.Settings(unanswerable=Task is Squad2, max_answer_length=5))
        config = task.configure(AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size))
        config.extra["finetuning_task"] = task.name
        config.extra["task_settings"] = {"max_answer_length": 5}
        model = Task.model_class(config, seed=2)
        for name, parameter in model.named_parameters():
            if not name.startswith("albert."):
                parameter.data *= 40
        model.save_pretrained(folder / task.name, tokenizer=tokenizer)
    AlbertForPreTraining(AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)).save_pretrained(folder / "plain", tokenizer=tokenizer)
    write(folder / "texts", [PARAGRAPHS[:2], PARAGRAPHS[2:]])
    (folder / "texts" / "ignored.md").write_text("kite")
    return folder


def write(folder, files):
    folder.mkdir(parents=True)
    for i, paragraphs in enumerate(files):
        (folder / f"{i}.txt").write_text("\n\n".join(paragraphs), newline="")


@pytest.fixture
def inside(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    return capsys


@pytest.mark.parametrize("model", ["squad", "squad2"])
def test_answers_stand_where_they_say_and_few_are_the_head_of_many(model, world):
    ask = Documents(world / model, world / "texts")
    answers = ask(QUESTION, 12)
    assert len(answers) == 12
    for count in range(1, 12):
        assert ask(QUESTION, count) == answers[:count]
    said = [each for each in answers if each["file"]]
    for each in said:
        for file, start in [(each["file"], each["start"]), *each["also"]]:
            text = (world / "texts" / file).read_text()
            assert text[start:start + len(each["answer"])].lower() == each["answer"].lower() or each["also"]
        assert (world / "texts" / each["file"]).read_text()[each["start"]:each["end"]] == each["answer"] != ""
    scores = [each["score"] for each in said]
    assert scores == sorted(scores, reverse=True)
    assert len({each["answer"].lower() for each in said}) == len(said)
    for i, one in enumerate(said):
        for other in said[:i]:
            assert one["file"] != other["file"] or one["end"] <= other["start"] or other["end"] <= one["start"]


@pytest.mark.parametrize("model", ["squad", "squad2"])
def test_it_does_not_matter_how_texts_are_shared_out_among_files(model, world, tmp_path):
    """The same answers with the same scores, whether paragraphs stand in one file or in many."""
    results = []
    for i, files in enumerate(([PARAGRAPHS], [PARAGRAPHS[:3], PARAGRAPHS[3:]], [[p] for p in PARAGRAPHS])):
        write(tmp_path / str(i), files)
        results.append(Documents(world / model, tmp_path / str(i))(QUESTION, 8))
    for other in results[1:]:
        assert [each["answer"] for each in other] == [each["answer"] for each in results[0]]
        assert [each["score"] for each in other] == pytest.approx([each["score"] for each in results[0]], rel=1e-5)


def test_one_decision_that_there_is_no_answer(world, tmp_path):
    """It is that of one long text of all windows: the least score for none against the best answer."""
    ask = Documents(world / "squad2", world / "texts")
    readings = ask._read(QUESTION, ask.paragraphs)
    none = min(float(output[0, 2]) for reading in readings for output in reading.outputs)
    for threshold, empty in ((none - 0.1, True), (none + 0.1, False)):
        ask = Documents(world / "squad2", world / "texts", null_threshold=threshold)
        first = ask(QUESTION, 3)[0]
        assert (first["answer"] == "") == (first["file"] is None) == empty
        assert not empty or first["score"] == pytest.approx(none, rel=1e-5)
    always = Documents(world / "squad", world / "texts")          # trained where every question has an answer
    assert all(each["answer"] for each in always(QUESTION, 20))
    assert always("Xylophones?") == [{"answer": "", "file": None, "start": 0, "end": 0, "score": None, "also": []}]


PLACES = st.builds(lambda text, file, start, score: {"answer": text, "file": file, "start": start, "end": start + len(text), "score": score,
                                                     "also": []},
                   st.sampled_from(["kite", "the kite", "Kite.", "old barn", "..", "!"]), st.sampled_from("ab"), st.integers(0, 40), st.integers(-9, 9))


@given(answers=st.lists(PLACES, max_size=12), count=st.integers(0, 12))
def test_near_duplicates_are_merged(answers, count):
    answers.sort(key=lambda each: -each["score"])
    for each in answers:
        each["also"] = []
    kept = merged([dict(each, also=[]) for each in answers])
    assert [each["score"] for each in kept] == sorted((each["score"] for each in kept), reverse=True)
    texts = [each["answer"].lower().removeprefix("the ").strip(".") or each["answer"] for each in kept]
    assert len(set(texts)) == len(texts) and len(kept) + sum(len(each["also"]) for each in kept) <= len(answers)
    assert not answers or {**kept[0], "also": []} == answers[0]
    head = merged([dict(each, also=[]) for each in answers[:count]])        # what comes later changes no earlier one
    assert [each["answer"] for each in head] == [each["answer"] for each in kept[:len(head)]]


LINES = st.lists(st.sampled_from(["", " ", "\t", "one", "two words", " ½ ﬁ\r", "日本 🙂", "\u2028x"]), max_size=14)


@settings(max_examples=50)
@given(lines=LINES, end=st.sampled_from(["", "\n"]))
def test_paragraphs_are_stretches_of_their_file(lines, end, tmp_path_factory):
    text = "\n".join(lines) + end
    file = tmp_path_factory.mktemp("p") / "x.txt"
    file.write_bytes(text.encode())
    if not text.strip():
        with pytest.raises(UserError, match="has no text"):
            read_paragraphs(file)
        return
    paragraphs = read_paragraphs(file)
    covered = set()
    for each in paragraphs:
        assert text[each.start:each.start + len(each.text)] == each.text and all(line.strip() for line in each.text.split("\n"))
        covered |= set(range(each.start, each.start + len(each.text)))
    assert all(c.isspace() for i, c in enumerate(text) if i not in covered)
    assert len(paragraphs) == len([1 for a, b in zip(["", *lines], lines) if b.strip() and not a.strip()])


def test_the_finder_ranks_by_rare_words():
    find = Finder(["Mara lost a kite in the barn", "the barn was old", "Tom found a barn", "the of and"])
    assert find("Who lost the kite in the barn?", 4)[0] == 0 and sorted(find("barn", 9)) == [0, 1, 2]
    assert find("barn", 2) == find("barn", 9)[:2] and find("xylophone", 3) == find("the", 3) == [] == Finder(["the"])("kite", 1)


def test_the_command(inside, monkeypatch):
    command = f"ask squad {shlex.quote(QUESTION)} --documents texts --top-k 2"
    assert main(shlex.split(command)) == 0
    lines = inside.readouterr().out.splitlines()
    assert lines[0] == QUESTION and len(lines) == 3 and all(".txt:" in line for line in lines[1:])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((f"{QUESTION}\n\nXylophones?\n").encode())))
    assert main(shlex.split("ask squad --documents texts --top-k 2 --json")) == 0
    one, two = map(json.loads, inside.readouterr().out.splitlines())
    assert one == {"question": QUESTION, "answers": Documents("squad", "texts")(QUESTION, 2)}
    assert two["answers"][0]["file"] is None
    assert main(shlex.split("ask squad Xylophones? --documents texts/1.txt")) == 0
    assert "(no answer in these texts)" in inside.readouterr().out


def test_mistakes_are_told(inside, world, monkeypatch):
    (world / "odd").mkdir(exist_ok=True)
    (world / "odd" / "latin.txt").write_bytes("é".encode("latin-1"))
    for command, words in (("ask squad Who? --documents none", "there is no none"), ("ask squad Who? --documents odd", "not UTF-8"),
                           ("ask plain Who? --documents texts", "plain holds no model that answers questions")):
        assert main(shlex.split(command)) == 2
        assert words in inside.readouterr().err
    with pytest.raises(UserError, match="the question is empty"):
        Documents("squad", "texts")(" ")
    real = builtins.__import__

    def without(name, *args, **more):
        if name == "bm25s":
            raise ImportError(name)
        return real(name, *args, **more)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'tinyalbert\[search\]'"):
        Documents("squad", "texts")
