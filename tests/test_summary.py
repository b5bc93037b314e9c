"""Extractive summaries: every sentence has a score and its exact place, oracle and blocking equal plain loops."""

import functools
import json
import os
import shlex
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from tinyalbert import AlbertConfig, AlbertForPreTraining, pipeline
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.tasks.metrics import words
from tinyalbert.tasks.rouge import greedy_oracle, rouge_scorer
from tinyalbert.tasks.summary import Summarization
from tinyalbert.tasks.summary_files import document, document_of_sentences, read_documents
from tinyalbert.text.rows import RowEncoder, sentence_windows
from tinyalbert.text.sentences import sentence_spans, split_sentences
from tinyalbert.text.tokenizer import AlbertTokenizer

rouge_score = pytest.importorskip("rouge_score", reason="the library rouge-score: pip install 'tinyalbert[summary]'")

TEXT = st.text(st.one_of(st.sampled_from(" \n\r\u2028.!?aAb。"), st.characters(exclude_categories=("Cs",))), max_size=80)
WORDS = "the old dog found a key in the garden and nobody knew why it was there".split()
SENTENCES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(lambda w: " ".join(w).capitalize() + "."),
                     min_size=1, max_size=25)


@given(TEXT)
def test_sentences_stand_in_the_text(text):
    spans = sentence_spans(text)
    assert [" ".join(text[a:b].split()) for a, b in spans] == split_sentences(text)
    assert all(text[a:b] == text[a:b].strip() != "" for a, b in spans)
    ends = [0, *(place for span in spans for place in span), len(text)]
    assert ends == sorted(ends) and not "".join(text[a:b] for a, b in zip(ends[::2], ends[1::2])).strip()


@given(TEXT)
def test_the_sentences_of_a_document_are_all_of_it(text):
    if not text.strip():
        with pytest.raises(UserError, match="here: no sentence in it; expected text, or leave it out"):
            document(text, where="here")
        return
    given = document(text)
    assert "".join("".join(given.sentences()).split()) == "".join(text.split())
    again = document_of_sentences(given.sentences())
    assert again.sentences() == given.sentences()


# --- the oracle ---------------------------------------------------------------------------------------------

@given(SENTENCES, SENTENCES)
def test_the_oracle_is_a_plain_loop(sentences, summary):
    def value(chosen):
        total = 0
        for n in (1, 2):
            grams = [{tuple(words(s)[i:i + n]) for s in part for i in range(len(words(s)) - n + 1)}
                     for part in ([sentences[i] for i in chosen], summary)]
            both = len(grams[0] & grams[1])
            total += 2 * both / (len(grams[0]) + len(grams[1])) if both else 0
        return total

    chosen = []
    while True:
        rest = [i for i in range(len(sentences)) if i not in chosen]
        best = max(rest, key=lambda i: (value([*chosen, i]), -i), default=None)
        if best is None or value([*chosen, best]) <= value(chosen):
            break
        chosen.append(best)
    assert greedy_oracle(sentences, summary) == chosen


@given(SENTENCES, st.data())
def test_a_summary_made_of_sentences_is_found(sentences, data):
    sentences = list(dict.fromkeys(f"{i} {s}" for i, s in enumerate(sentences)))
    wanted = data.draw(st.lists(st.sampled_from(sentences), min_size=1, unique=True))
    chosen = [sentences[i] for i in greedy_oracle(sentences, wanted)]
    assert set(chosen) <= set(wanted) or set(wanted) <= set(chosen)


def test_rouge_is_that_of_the_library_and_l_differs_from_lsum():
    scores = rouge_scorer()(["The dog ran.", "A key was found."], ["A key was found.", "The dog ran."])
    assert scores["rouge1"] == scores["rougeLsum"] == 1 and 0 < scores["rougeL"] < 1


# --- windows ------------------------------------------------------------------------------------------------

@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(8, 40), st.data())
def test_windows_hold_every_sentence(lengths, size, data):
    shared = data.draw(st.integers(0, size // 2))
    ranges = sentence_windows(lengths, size, shared)
    assert sorted({i for window in ranges for i in window}) == list(range(len(lengths)))
    for window in ranges:
        assert sum(lengths[i] for i in window) <= size or len(window) == 1
    for before, after in zip(ranges, ranges[1:]):
        assert after.start > before.start and after.stop > before.stop and after.start <= before.stop
        assert sum(lengths[i] for i in after if i in before) <= shared
        if before.stop < len(lengths) and len(before) > 1:     # no window is shorter than need be
            assert sum(lengths[i] for i in before) + lengths[before.stop] > size


@functools.cache
def model():
    path = Path(tempfile.mkdtemp()) / "model"
    tokenizer = train_tokenizer(["stories:60"], 200, str(path))
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    AlbertForPreTraining(config, seed=1).save_pretrained(path, tokenizer=tokenizer)
    return str(path)


@settings(max_examples=15)
@given(SENTENCES, st.integers(10, 60), st.sampled_from(["windows", "truncate", "error"]))
def test_rows_of_sentences(sentences, length, long):
    tokenizer = AlbertTokenizer.from_pretrained(model())
    encoder = RowEncoder(tokenizer, length, long)
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    whole = [[cls, *tokenizer(s, add_special_tokens=False)["input_ids"], sep] for s in sentences]
    if sum(map(len, whole)) > length and long == "error":
        with pytest.raises(UserError, match=f"file: {sum(map(len, whole))} tokens; expected at most {length}"):
            encoder.of_sentences(sentences, "file")
        return
    rows = encoder.of_sentences(sentences, "file")
    assert bool(encoder.summary()) == (sum(map(len, whole)) > length)
    for row in rows:
        ids, types = row["input_ids"].tolist(), row["token_type_ids"].tolist()
        assert len(ids) <= length and ids[-1] == sep
        bounds = [place for _, place in row["about"]] + [len(ids)]
        for (number, place), end in zip(row["about"], bounds[1:]):
            assert ids[place:end] == (whole[number] if len(whole[number]) <= length else [*whole[number][:length - 1], sep])
            assert types[place:end] == [number % 2] * (end - place)
    scored = {number for row in rows for number, _ in row["about"]}
    assert scored == set(range(len(sentences))) if long == "windows" else 0 in scored


# --- choosing -----------------------------------------------------------------------------------------------

@given(SENTENCES, seeds, st.integers(0, 4), st.one_of(st.none(), st.integers(1, 6)), st.one_of(st.none(), st.integers(1, 30)))
def test_what_is_taken(sentences, seed, blocking, count, limit):
    length = {"max_words": limit} if limit else {"sentences": count} if count else {"share": 0.4}
    task = Summarization(Summarization.Settings(blocking=blocking, **length))
    given = document_of_sentences(sentences)
    order = np.random.default_rng(seed).permutation(len(sentences))
    chosen = task.choose(given, order)
    assert chosen == sorted(set(chosen)) and order[0] in chosen
    if not limit:
        assert len(chosen) <= (count or max(1, round(0.4 * len(sentences))))
        assert blocking or len(chosen) == min(count or max(1, round(0.4 * len(sentences))), len(sentences))
    elif len(chosen) > 1:
        assert sum(len(sentences[i].split()) for i in chosen) <= limit
    grams = [[tuple(words(sentences[i])[j:j + blocking]) for j in range(len(words(sentences[i])) - blocking + 1)] for i in chosen]
    told = [gram for part in grams for gram in set(part)]
    assert not blocking or len(told) == len(set(told))


# --- the command line ---------------------------------------------------------------------------------------

@pytest.fixture
def inside(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for i in range(12):
        sentences = [f"The {word} dog of {i} found a key." for word in WORDS[:3 + i % 4]]
        for name, text in (("article", "\n\n".join(sentences)), ("summary", "\n".join(sentences[1:3]))):
            (tmp_path / "news" / name / "more").mkdir(parents=True, exist_ok=True)
            (tmp_path / "news" / name / "more" / f"{i}.txt").write_text(text)
    return capsys


def run(command):
    return main(shlex.split(command))


OPTIONS = "--steps 2 --batch-size 4 --threads 1 --max-length 40"


def test_a_folder_is_learned_from_scored_and_summarised(inside):
    assert run(f"finetune summary news --model {model()} --output done {OPTIONS}") == 0
    out = inside.readouterr().out
    assert "summaries of 2 sentences" in out and "stays behind oracle" not in out and "windows" in out
    assert {line.split()[1] for line in out.splitlines() if line.startswith("baseline")} == {"lead", "random", "oracle"}
    metrics = json.loads(Path("done/eval_results.json").read_text())
    assert list(metrics) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert run("predict done news --output said.jsonl --threads 1") == 0
    summarise = pipeline("summarization", "done")
    for line in Path("said.jsonl").read_text().splitlines():
        said = json.loads(line)
        text = Path(said.pop("document")).read_text()
        answer = summarise(text)[0]
        for here, there in zip(answer["sentences"], said["sentences"], strict=True):
            assert here == {**there, "score": pytest.approx(there["score"], abs=1e-5)}
        assert answer["summary_text"] == said["summary_text"]
        sentences = [text[each["start"]:each["end"]] for each in said["sentences"]]
        assert said["summary_text"] == " ".join(sentences) and len(sentences) <= 2
        assert sentences == sorted(sentences, key=text.index)
        assert all(0 < each["score"] < 1 for each in said["sentences"])
    assert run("predict done news/article/more/3.txt --sentences 1 --output one.jsonl") == 0
    assert len(json.loads(Path("one.jsonl").read_text())["sentences"]) == 1
    inside.readouterr()
    assert run("predict done 'A dog ran.  It found a key!' --sentences 2 --blocking 0 --output -") == 0
    assert json.loads(inside.readouterr().out)["summary_text"] == "A dog ran. It found a key!"
    assert run(f"finetune summary news --model {model()} --share 0.5 --output half {OPTIONS}") == 0
    assert run("predict half news/article/more/3.txt --max-words 3 --output one.jsonl") == 0
    assert len(json.loads(Path("one.jsonl").read_text())["sentences"]) == 1
    assert len(pipeline("summarization", "half", sentences=1)(text)[0]["sentences"]) == 1
    assert run("evaluate done news --blocking 0 --threads 1") == 0
    assert "rougeLsum" in inside.readouterr().out


def test_sentences_beyond_the_first_window_have_a_score(inside):
    assert run(f"finetune summary stories:summary:20 --model {model()} --output done {OPTIONS}") == 0
    text = " ".join(f"The {word} dog found a key." for word in WORDS * 5)
    said = pipeline("summarization", "done", sentences=len(WORDS) * 5, blocking=0)(text)[0]["sentences"]
    assert len(said) == len(WORDS) * 5 and all(each["score"] > 0 for each in said)
    assert len({round(each["score"], 4) for each in said[-6:]}) > 1


@pytest.mark.parametrize("spoil, words", [
    (lambda: Path("news/summary/more/3.txt").unlink(), ["article/more/3.txt has no summary", "summary/more/3.txt"]),
    (lambda: Path("news/article/more/3.txt").write_text(" \n"), ["article/more/3.txt: no sentence in it", "leave it out", "--skip-bad-rows"]),
    (lambda: Path("news/summary/more/3.txt").write_text("\n"), ["article/more/3.txt: its summary is empty"]),
])
def test_a_bad_document_is_refused_or_left_out(spoil, words, inside):
    spoil()
    assert run(f"finetune summary news --model {model()} --output x {OPTIONS}") == 2
    message = inside.readouterr().err.strip().splitlines()[-1]
    assert all(word in message.replace(os.sep, "/") for word in words), message
    assert run(f"finetune summary news --model {model()} --output x --skip-bad-rows {OPTIONS}") == 0
    assert "1 bad rows were left out" in inside.readouterr().out


@pytest.mark.parametrize("line, words", [
    ('{"text": "A dog."}', "line 2: \"summary\" is None"), ('{"summary": "A dog."}', "line 2: \"text\" is None"),
    ("[1]", "line 2: list; expected a JSON object"), ("{", "line 2: not JSON"),
    ('{"text": "A dog.", "summary": [1]}', r"line 2: \"summary\" is \[1\]"),
])
def test_json_lines(line, words, tmp_path):
    bad_rows = Summarization().bad_rows
    path = tmp_path / "d.jsonl"
    good = '{"text": "A dog. A key.\\n\\nA garden.", "summary": "A key."}\n'
    path.write_text(good + '{"sentences": ["A dog.", "A key."], "summary": ["A key."]}\n')
    both = read_documents(str(path), "train", bad_rows)
    assert [each.sentences() for each in both] == [["A dog.", "A key.", "A garden."], ["A dog.", "A key."]]
    assert [each.summary for each in both] == [("A key.",), ("A key.",)] and [each.oracle for each in both] == [[1], [1]]
    path.write_text(good + line)
    with pytest.raises(UserError, match=words):
        read_documents(str(path), "train", bad_rows)


def test_a_source_without_summaries_is_refused(inside):
    assert run(f"finetune summary news/article --model {model()} --output x {OPTIONS}") == 2
    assert "expected a folder with the folders article and summary" in inside.readouterr().err


def test_the_published_articles_are_cut_into_their_own_sentences():
    data = os.environ.get("TINYALBERT_DATA")
    if not data or not (Path(data) / "summ").is_dir():
        pytest.skip("needs the 100 articles: set TINYALBERT_DATA to a folder with summ/article")
    task = Summarization()
    documents = task.read(str(Path(data) / "summ"), "train")
    assert len(documents) == 100
    kept = [sentence in each.sentences() for each in documents for sentence in each.summary]
    assert len(kept) == 722 and np.mean(kept) > 0.99
