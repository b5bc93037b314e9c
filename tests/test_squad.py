"""Extractive question answering: windows, characters, SQuAD's scores, files, and the pipeline."""

import gzip
import io
import json
import random
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from tinyalbert import (
    AlbertConfig,
    AlbertForConditionalQuestionAnswering,
    AlbertForPreTraining,
    AlbertTokenizer,
    pipeline,
)
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.pretraining.preparation import train_tokenizer
from tinyalbert.stories.tasks import story_dataset
from tinyalbert.tasks.batches import Features
from tinyalbert.tasks.finetune import options_for
from tinyalbert.tasks.spans import Answer, Window, best_answers, max_context
from tinyalbert.tasks.squad import Reading, Squad, Squad2
from tinyalbert.tasks.squad_files import Question
from tinyalbert.tasks.squad_scores import exact, lexical_answer, normalized, scores
from tinyalbert.text.encoding import Token
from tinyalbert.text.rows import RowEncoder

CONTEXT = "Mara the baker lost a red kite in the old barn. In the evening Tom found the kite near the river. "


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with an untrained model and files of questions; the commands run inside it."""
    folder = tmp_path_factory.mktemp("squad")
    tokenizer = train_tokenizer(["stories:60"], 200, str(folder / "model"))
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    AlbertForPreTraining(config, seed=1).save_pretrained(folder / "model", tokenizer=tokenizer)
    rows = story_dataset("qa", 12, 1)
    (folder / "dev.json").write_text(json.dumps(squad_file(rows)))
    (folder / "dev.json.gz").write_bytes(gzip.compress(json.dumps(squad_file(rows)).encode()))
    (folder / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def squad_file(rows):
    """Rows of JSON lines in SQuAD's own format."""
    return {"version": "v2.0", "data": [{"title": row["title"], "paragraphs": [{
        "context": row["context"], "qas": [{
            "id": row["id"], "question": row["question"], "is_impossible": row["is_impossible"],
            "answers": [{"text": t, "answer_start": s} for t, s in zip(row["answers"]["text"], row["answers"]["answer_start"])],
        }]}]} for row in rows]}


@pytest.fixture(scope="module")
def tokenizer(world):
    return AlbertTokenizer.from_pretrained(world / "model")


@pytest.fixture
def inside(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    return capsys


def run(command):
    return main(shlex.split(command))


# ---- windows and characters

SPANS = st.tuples(st.integers(1, 60), st.integers(4, 20), st.integers(1, 20))     # tokens, tokens a window, step


def windows_over(count, size, step):
    step = min(step, size)
    starts = range(0, max(count - (size - step), 1), step)
    return [Window(5, i, [Token(7, (2 * j, 2 * j + 1)) for j in range(i, min(i + size, count))]) for i in starts]


@given(sizes=SPANS)
def test_each_token_has_one_window_of_most_context(sizes):
    windows = windows_over(*sizes)
    seen = max_context(windows)
    for token in range(sizes[0]):
        values = [min(token - w.begin, w.begin + len(w.tokens) - 1 - token) + 0.01 * len(w.tokens)
                  if w.begin <= token < w.begin + len(w.tokens) else -1 for w in windows]
        marked = [i for i, w in enumerate(windows) if 0 <= token - w.begin < len(w.tokens) and seen[i][token - w.begin]]
        assert marked == [values.index(max(values))]


@given(sizes=SPANS, seed=seeds, longest=st.integers(1, 12), n_best=st.integers(1, 30))
def test_the_best_answers_are_those_of_the_naive_loop(sizes, seed, longest, n_best):
    windows, rng = windows_over(*sizes), np.random.default_rng(seed)
    context = "".join(f"{i % 10} " for i in range(sizes[0]))
    outputs = [rng.normal(size=(2, len(w.tokens) + 6)) for w in windows]
    head = Squad().reader
    got = best_answers(context, windows, [head.spans(o, w, 99) for o, w in zip(outputs, windows)], n_best, longest)
    best = {}
    for w, seen, (start, end) in zip(windows, max_context(windows), outputs):
        for i, first in enumerate(w.tokens):
            for j in range(i, min(i + longest, len(w.tokens))):
                text = context[first.span[0]:w.tokens[j].span[1]]
                if seen[i]:
                    best[text] = max(best.get(text, -99), start[5 + i] + end[5 + j])
    expected = sorted(best.items(), key=lambda item: -item[1])[:n_best]
    assert [a.text for a in got] == [text for text, _ in expected]
    np.testing.assert_allclose([a.score for a in got], [score for _, score in expected])


TEXT = st.text(st.sampled_from("ab .,-()½ﬁé\u0301\u200b\u00a0\n\t'\"日🙂ẞ1") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@given(context=TEXT, question=TEXT, seed=seeds, length=st.integers(20, 40), stride=st.integers(1, 30), data=st.data())
def test_answers_are_stretches_of_the_paragraph(context, question, seed, length, stride, data, tokenizer):
    """Whatever the characters: as predicted by both sets of rules, and as trained."""
    start = data.draw(st.integers(0, len(context) - 1))
    answer = context[start:data.draw(st.integers(start + 1, len(context)))]
    task = Squad(Squad.Settings(doc_stride=stride, max_query_length=8))
    example = Question("1", question, context, [(answer, start)], "here")
    rows = task.encode(example, RowEncoder(tokenizer, length))
    assert all(len(row["input_ids"]) <= length for row in rows)
    read = {w.begin + i: token for w in (row["about"] for row in rows) for i, token in enumerate(w.tokens)}
    whole = tokenizer.segment(context, False, True)
    assert [read[i][:3] for i in range(len(whole))] == whole and len(read) == len(whole)      # every token is in a window
    for row in rows:
        places = row["start_positions"], row["end_positions"]
        if places[0] > 0:
            tokens = row["about"].tokens[places[0] - row["about"].place:places[1] - row["about"].place + 1]
            assert tokens[0].span[0] < start + len(answer) and tokens[-1].span[1] > start
    rng = np.random.default_rng(seed)
    reading = task.decode(example, rows, [rng.normal(size=(2, len(row["input_ids"]) + 3)).astype(np.float32) for row in rows])
    for said in reading.answers:
        assert context[said.start:said.end] == said.text != ""
    for words in (True, False):
        for said in listed(task.answer(reading, top_k=5, align_to_words=words, handle_impossible_answer=True)):
            assert context[said["start"]:said["end"]] == said["answer"]


def listed(answers):
    return [answers] if isinstance(answers, dict) else answers


@given(seed=seeds, length=st.integers(30, 60))
def test_training_points_at_the_answer(seed, length, tokenizer):
    """On words, the tokens of the targets are exactly those of the answer, in each window that has them all."""
    rng = random.Random(seed)
    words = [rng.choice(CONTEXT.split()) for _ in range(30)]
    context, first = " ".join(words), rng.randrange(30)
    start = len(" ".join(words[:first])) + (first > 0)
    answer = " ".join(words[first:first + rng.randint(1, 3)])
    task = Squad(Squad.Settings(doc_stride=8))
    rows = task.encode(Question("1", "Who lost a kite?", context, [(answer, start)], ""), RowEncoder(tokenizer, length))
    held = 0
    for row in rows:
        window, (i, j) = row["about"], (row["start_positions"], row["end_positions"])
        inside = window.tokens[0].span[0] <= start and start + len(answer) <= window.tokens[-1].span[1]
        assert (i > 0) == (j > 0) == inside
        if inside:
            held += 1
            assert context[window.tokens[i - window.place].span[0]:window.tokens[j - window.place].span[1]] == answer
    assert held and not task.remarks()


def test_what_was_cut_and_lost_is_counted(tokenizer):
    task = Squad(Squad.Settings(doc_stride=100, max_query_length=3))
    example = Question("1", "Who lost a kite in the barn?", CONTEXT, [(CONTEXT.strip(), 0)], "")
    rows = task.encode(example, RowEncoder(tokenizer, 24))
    assert len(rows) > 1 and all(row["start_positions"] == 0 for row in rows)
    assert [line.split(" (")[0] for line in task.remarks()] == [
        "1 question was cut to the tokens of --max-query-length", "1 answer is whole in no window, and so not learned"]
    assert task.remarks() == []


def test_a_question_that_leaves_no_room_is_refused(tokenizer):
    with pytest.raises(UserError, match="question 7: the first text has 25 tokens .*--max-length"):
        Squad(Squad.Settings(max_query_length=25)).encode(
            Question("7", "why " * 40, CONTEXT, [], "question 7"), RowEncoder(tokenizer, 30))
    with pytest.raises(UserError, match="question 7: .* expected at most 30"):
        Squad().encode(Question("7", "why", CONTEXT, [], "question 7"), RowEncoder(tokenizer, 30, "error"))


# ---- ALBERT's head for SQuAD 2.0

@given(seed=seeds, impossible=st.booleans())
def test_spans_of_the_conditional_head(seed, impossible, tokenizer):
    """Outputs are the model's own numbers: log-probabilities of pairs, their logits, the score for no answer."""
    task = Squad2(Squad2.Settings(doc_stride=16))
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    model = AlbertForConditionalQuestionAnswering(config, seed=seed % 99)
    answers = [] if impossible else [("red kite", CONTEXT.index("red kite"))]
    rows = task.encode(Question("1", "What did Mara lose?", CONTEXT, answers, ""), RowEncoder(tokenizer, 48))
    assert len(rows) > 1 and all(row["is_impossible"] == (row["start_positions"] == 0) for row in rows)
    assert impossible == all(row["is_impossible"] for row in rows)
    for row in rows:
        window = row["about"]
        assert np.flatnonzero(row["p_mask"] == 0).tolist() == [0, *range(window.place, window.place + len(window.tokens))]
        batch = {name: value[None] for name, value in row.items() if name not in (*task.targets, "about")}
        [output], out = task.infer(model, batch), model.eval()(**batch)
        assert output.shape == (26, 6) and task.reader.none(output) == pytest.approx(out.cls_logits.item())
        start, end = (np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True) for x in (out.start_logits.data[0], out.end_logits.data[0]))
        raw = task.reader.spans(output, window, 20, raw=True)
        for i, (span, logits) in enumerate(zip(task.reader.spans(output, window, 20), raw)):
            k = i // 5
            assert out.start_top_index[0, k] == span.first == logits.first
            assert np.exp(span.start_score) == pytest.approx(start[span.first], rel=1e-4)
            assert np.exp(span.end_score) == pytest.approx(end[k, span.last], rel=1e-4)
            assert (logits.start_score, logits.end_score) == pytest.approx(
                (out.start_logits.data[0, span.first], out.end_logits.data[0, k, span.last]))
        probable, none = task.reader.probable(output, window, 3, 4)
        assert none == pytest.approx(1 / (1 + np.exp(-out.cls_logits.item())))
        for first, last, p in probable:
            assert window.place <= first <= last < first + 4 and 0 < p <= start[first]
        assert [p for *_, p in probable] == sorted((p for *_, p in probable), reverse=True)


# ---- scores

WORDS = st.lists(st.sampled_from("a the an cat Cat sat, don't -- of".split()), max_size=5).map(" ".join)


ANSWERED = st.tuples(st.lists(WORDS.filter(lambda text: normalized(text)), max_size=2), WORDS, st.integers(-3, 3))


@given(questions=st.lists(ANSWERED, min_size=2, max_size=12), cut=st.integers(1, 11))
def test_the_scores_of_parts_add_up_at_a_fixed_threshold(questions, cut):
    def total(part):
        return scores(*zip(*part), 0.0)["f1"] * len(part) if part else 0
    assert total(questions[:cut]) + total(questions[cut:]) == pytest.approx(total(questions))


def test_counting_words_finds_an_answer():
    assert lexical_answer("Where did Tom find the kite?", CONTEXT) == "evening"
    assert lexical_answer("?", "...") == ""


def test_rules_are_scored_by_the_metric_that_is_asked_for():
    asked = [Question("1", "Where did Tom find the kite?", CONTEXT, [("evening then", 0)], ""), Question("2", "?", "...", [], "")]
    task, values = Squad2(), {}
    for task.metric in ("f1", "exact", "HasAns_f1"):
        values[task.metric] = task.baselines([], asked)
    assert values["f1"] == {"shared words": pytest.approx(100 * (2 / 3 + 1) / 2), "no answer": 50}
    assert values["exact"] == {"shared words": 50, "no answer": 50}
    assert values["HasAns_f1"] == {"shared words": pytest.approx(200 / 3), "no answer": 0}


def test_the_same_answer_to_every_question_is_said():
    asked = [Question(str(i), "?", CONTEXT, answers, "") for i, answers in enumerate([[("kite", 26)], []])]
    none, kite = (Reading(asked[0], [Answer(text, 26, 30, 0.0, 0.0)] * bool(text), 0.0, [], []) for text in ("", "kite"))
    assert "every answer is ''" in Squad2().confusion(asked, [none, none])
    assert Squad2().confusion(asked, [none, kite]) is None and Squad2().confusion(asked[:1], [none]) is None


# ---- files and commands

@pytest.mark.parametrize("record, words", [
    ({"context": ""}, "context is ''"), ({"question": None}, "question is None"), ({"answers": None}, "answers is None"),
    ({"answers": {"text": ["key"], "answer_start": [0]}}, "the answer 'key' is not in its paragraph; copy it"),
    ({"answers": {"text": ["kite"], "answer_start": [3]}}, "does not start at character 3 .* it stands at 26"),
    ({"answers": {"text": ["kite"], "answer_start": [-1]}}, "does not start at character -1"),
    ({"answers": {"text": [""], "answer_start": [0]}}, "the answer is ''"), ({"id": "a"}, "the id 'a' stands twice"),
])
def test_a_bad_question_is_named(record, words, tmp_path):
    good = {"id": "a", "context": CONTEXT, "question": "Who?", "answers": {"text": ["Mara"], "answer_start": [0]}, "is_impossible": False,
            "title": "t"}
    rows = [good, {**good, "id": "b", **record}]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = [(tmp_path / "q.jsonl", "q.jsonl, line 2: ")]
    if record.get("answers", True):
        (tmp_path / "q.json").write_text(json.dumps(squad_file(rows)))
        sources.append((tmp_path / "q.json", f"q.json, question {rows[1]['id']}: "))
    for source, where in sources:
        with pytest.raises(UserError, match=f"{where}.*{words}.*--skip-bad-rows"):
            Squad().read(source, "train")
        task = Squad(Squad.Settings(skip_bad_rows=True))
        assert len(task.read(source, "train")) == 1 and task.bad_rows.problems
    moved = {"answers": {"text": ["kite"], "answer_start": [3]}}
    if record == moved:                               # a right answer may be scored wherever it stands
        assert Squad().read(sources[0][0], "test")[1].answers == [("kite", 26)]
        assert Squad().read(sources[0][0], "predict")[1].answers == []


@pytest.mark.parametrize("name, text, words", [
    ("q.json", "{", "q.json, line 1: not JSON"), ("q.json", "{}", "no list under 'data'; expected SQuAD's format"),
    ("q.json", '{"data": [{"paragraphs": [{"context": "x", "qas": [{}]}], "title": "T"}]}', "T, paragraph 1: a question without an id"),
    ("q.jsonl", "[]", "line 1: list; expected a JSON object"), ("q.jsonl", "x", "line 1: not JSON"), ("q.tsv", "", "q.tsv is empty"), ("q.tsv", "a\tb\n1\t2\n", "no columns question and context; expected them, a .json file"),
])
def test_a_file_that_is_none_is_named(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        Squad().read(tmp_path / name, "train")
    with pytest.raises(UserError, match="there is no file"):
        Squad().read(tmp_path / "none.json", "train")


@pytest.mark.parametrize("task", ["squad", "squad2"])
def test_training_evaluation_prediction_and_pipeline(task, inside, world, monkeypatch):
    options = "--steps 3 --batch-size 8 --threads 1 --max-length 128"
    assert run(f"finetune {task} stories:qa:12 --dev dev.json --model model --output {task} {options}") == 0
    out = inside.readouterr().out
    assert "some questions have no answer" in out and "baseline no answer" in out and "baseline shared words" in out
    metrics = json.loads((world / task / "eval_results.json").read_text())
    assert run(f"evaluate {task} dev.jsonl") == 0
    printed = dict(line.split() for line in inside.readouterr().out.split("\n\n")[0].splitlines())  # a remark may follow
    assert printed == {name: f"{value:.4f}" for name, value in metrics.items()} and "best_f1" in printed
    assert run(f"predict {task} dev.json.gz --output said.json") == 0
    names = ("predictions.json", "nbest_predictions.json", "null_odds.json")
    files = [json.loads((world / task / name).read_text()) for name in names]
    assert files[0] == json.loads((world / "said.json").read_text())
    assert (world / "nbest_said.json").exists() and (world / "null_odds_said.json").exists()
    rows = story_dataset("qa", 12, 1)
    for row in rows:
        text, best, odds = (file[row["id"]] for file in files)
        assert text == ("" if odds > 0 else best[0]["text"])
        assert sum(each["probability"] for each in best) == pytest.approx(1)
        assert all(row["context"][each["start"]:each["end"]] == each["text"] for each in best)
    for name in ("dev.jsonl", "dev.json"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((world / name).read_bytes())))
        inside.readouterr()
        assert run(f"predict {task} - --output -") == 0
        assert json.loads(inside.readouterr().out.rsplit("12 pred", 1)[0]) == files[0]
    ask = pipeline("question-answering", task)
    said = ask(question="Who?", context=rows[0]["context"], top_k=3)
    assert len(said) == 3 and said == ask({"question": "Who?", "context": rows[0]["context"]}, top_k=3)
    assert ask(question=["Who?", "Where?"], context=CONTEXT)[0] == pytest.approx(ask(question="Who?", context=CONTEXT))
    with pytest.warns(UserWarning, match="1 question was cut"):
        ask(question="why " * 30, context=CONTEXT, max_question_len=3)
    for call, words in (({"question": "Who?"}, "needed"), ({"question": ["a", "b"], "context": ["c"]}, "2 questions and 1"),
                        ({"question": "", "context": "x"}, "question is ''"), ({"question": "a", "context": "x", "top_k": 0}, "top_k")):
        with pytest.raises(UserError, match=words):
            ask(**call)


# ---- real data

def test_the_answers_of_xquad_survive_the_real_tokenizer(data_dir):
    """The tokens of an answer give its characters back: exactly, but for words that are cut at other places."""
    task, tokenizer = Squad(), AlbertTokenizer(data_dir / "spiece.model")
    examples = task.read(data_dir / "squad" / "xquad.en.json", "train")[::10]
    features = Features(task, examples, RowEncoder(tokenizer, 384))
    hits = 0
    for example, places in zip(features.examples, features.places):
        for row in (features.rows[i] for i in places):
            first, last = (row[name] - row["about"].place for name in Squad().reader.targets)
            if first >= 0:
                text = example.context[row["about"].tokens[first].span[0]:row["about"].tokens[last].span[1]]
                hits += exact(example.answers[0][0], text)
                break
    assert task.lost == 0 and hits >= 0.98 * len(examples)


@pytest.mark.parametrize("task", ["squad", "squad2"])
def test_a_model_learns_to_answer_and_when_not_to(task, inside, world):
    """A dozen questions, by heart: targets, windows and answers belong together."""
    rows, rng = [], random.Random(0)
    for i in range(12):
        (one, other), (lost, found) = rng.sample(["Mara", "Tom", "Olaf"], 2), rng.sample(["kite", "ring", "drum"], 2)
        context = f"{one} lost a {lost}. {other} found a {found}."
        question, answer = [(f"Who found a {found}?", other), (f"What did {one} lose?", lost), (f"Who sold a {lost}?", None)][i % 3]
        answers = {"text": [answer], "answer_start": [context.index(answer)]} if answer else {"text": [], "answer_start": []}
        rows.append({"id": str(i), "context": context, "question": question, "answers": answers})
    Path("few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(f"finetune {task} few.jsonl --dev few.jsonl --model model --output learned-{task} --steps 110 --lr 0.004 "
               "--batch-size 12 --max-length 64 --threads 1") == 0
    metrics = json.loads(Path(f"learned-{task}", "eval_results.json").read_text())
    assert metrics["f1"] == metrics["HasAns_f1"] == metrics["NoAns_f1"] == 100


def test_the_papers_recipes():
    """Table 14: learning rate, batch, dropout, steps, warmup and length."""
    for task, values in (("squad", (5e-5, 48, 0, 3649, 365, 384)), ("squad2", (3e-5, 48, 0, 8144, 814, 512))):
        o = options_for({"task": task, "recipe": "paper", "output": "x"})
        assert (o.lr, o.batch_size, o.dropout, o.steps, o.warmup, o.max_length) == values
        assert (o.doc_stride, o.max_query_length, o.max_answer_length, o.n_best) == (128, 64, 30, 20)
