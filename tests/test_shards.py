"""Prepared folders: what was written is what was read, on any number of workers, and never by halves."""

import errno
import gzip
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_folder import random_documents, write_shards

from tinyalbert.errors import UserError
from tinyalbert.pretraining import corpus, shards
from tinyalbert.pretraining.shards import FILES, Shards, prepare
from tinyalbert.text.tokenizer import AlbertTokenizer


@pytest.fixture(scope="module")
def stories():
    return list(corpus.documents("stories:120"))


@pytest.fixture(scope="module")
def tokenizer(stories):
    return AlbertTokenizer.train([s for d in stories for s in d], vocab_size=300)


def quiet(sources, tokenizer, out_dir, workers=1, **options):
    """prepare without a progress bar, in this process."""
    return prepare(sources, tokenizer, out_dir, workers=workers, progress=False, **options)


def contents(folder):
    """{name: bytes} of a prepared folder."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def write_lines(path, documents):
    path.write_text("\n\n".join("\n".join(d) for d in documents))
    return path


def test_what_is_read_is_what_was_written(tmp_path, tokenizer, stories):
    meta = quiet(write_lines(tmp_path / "a.txt", stories), tokenizer, tmp_path / "data", held_out=7)
    folder = Shards(tmp_path / "data")
    ids = [[i.tolist() for i in map(np.asarray, tokenizer.encode_batch_ids(d))] for d in stories]
    assert [[s.tolist() for s in folder.document(d)] for d in range(len(stories))] == ids
    flat = np.array([i for d in ids for s in d for i in s])
    assert meta == folder.meta and folder.tokens.dtype == np.uint16 and isinstance(folder.tokens.base, np.memmap)
    assert (folder.counts == np.bincount(flat, minlength=tokenizer.vocab_size)).all()
    assert (meta["tokens"], meta["documents"]) == (len(flat), len(stories))
    assert meta["sentences"] == sum(map(len, stories))
    assert folder.word_start.tolist() == tokenizer.word_starts.tolist()
    train = np.array([i for n in folder.split("train") for s in ids[n] for i in s])
    p = np.bincount(train) / len(train)
    assert np.isclose(meta["unigram_entropy"], -(p[p > 0] * np.log(p[p > 0])).sum())
    assert meta["held_out_tokens"] == len(flat) - len(train)
    assert AlbertTokenizer.from_pretrained(tmp_path / "data").vocab_size == tokenizer.vocab_size


@given(seed=st.integers(0, 1000), held_out=st.one_of(st.integers(0, 9), st.floats(0.01, 0.9)))
def test_held_out_documents_are_whole_and_drawn_by_the_seed(tmp_path_factory, seed, held_out):
    count = shards._held_out_count(held_out, 10)
    assert count == (held_out if isinstance(held_out, int) else max(1, round(10 * held_out)))
    folder = Shards(write_shards(tmp_path_factory.mktemp("held") / "data",
                                 random_documents(np.random.default_rng(seed), 10),
                                 held_out=np.sort(np.random.default_rng(seed).choice(10, count, replace=False))))
    train, held = folder.split("train"), folder.split("held_out")
    assert sorted([*train, *held]) == list(range(10)) and len(held) == count


def test_the_seed_draws_the_held_out_documents(tmp_path, tokenizer, stories):
    source = write_lines(tmp_path / "a.txt", stories)
    held = []
    for run, seed in enumerate((0, 0, 1)):
        quiet(source, tokenizer, tmp_path / str(run), held_out=0.1, seed=seed)
        held.append(Shards(tmp_path / str(run)).held_out.tolist())
    assert held[0] == held[1] != held[2] and len(held[0]) == 12


def test_workers_and_blocks_change_nothing(tmp_path, tokenizer, stories, monkeypatch):
    (tmp_path / "text").mkdir()
    for i in range(4):
        write_lines(tmp_path / "text" / f"{i}.txt", stories[30 * i:30 * i + 30])
    one = quiet(tmp_path / "text", tokenizer, tmp_path / "one")
    monkeypatch.setattr(shards, "SMALL_CORPUS", 0)
    monkeypatch.setattr(shards, "TASK_BYTES", 1000)
    two = quiet(tmp_path / "text", tokenizer, tmp_path / "two", workers=2)
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 700)
    quiet(tmp_path / "text", tokenizer, tmp_path / "three")
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")


def test_ranks_change_nothing(tmp_path, tokenizer, stories):
    pytest.importorskip("mpi4py", reason="needs mpi4py and mpiexec")
    if not shutil.which("mpiexec"):
        pytest.skip("needs mpiexec")
    quiet(write_lines(tmp_path / "a.txt", stories), tokenizer, tmp_path / "one")
    code = ("import sys\nfrom tinyalbert.pretraining.shards import prepare\n"
            "from tinyalbert.text.tokenizer import AlbertTokenizer\n"
            "prepare(sys.argv[1] + '/a.txt', AlbertTokenizer.from_pretrained(sys.argv[1] + '/one'),\n"
            "        sys.argv[1] + '/two', progress=False)")
    subprocess.run(["mpiexec", "-n", "3", sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_error_in_a_worker_is_one_sentence(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(shards, "SMALL_CORPUS", 0)
    (tmp_path / "a.txt").write_bytes(b"fine.\n" * 90 + b"\xff\n")
    with pytest.raises(UserError, match="a.txt, line 91: not UTF-8"):
        quiet(tmp_path / "a.txt", tokenizer, tmp_path / "data", workers=2)
    assert not list(tmp_path.glob("data*"))


def test_gzip_and_built_in_corpora_and_several_sources(tmp_path, tokenizer, stories):
    with gzip.open(tmp_path / "a.txt.gz", "wt") as file:
        file.write("\n\n".join("\n".join(d) for d in stories[:9]))
    meta = quiet([tmp_path / "a.txt.gz", "stories:5"], tokenizer, tmp_path / "data", held_out=0)
    assert meta["documents"] == 14 and meta["held_out_unigram_loss"] is None


def test_long_documents_go_on_as_new_ones(tmp_path, tokenizer, monkeypatch):
    for module in (shards, corpus):
        monkeypatch.setattr(module, "DOCUMENT_SENTENCES", 10)
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 50)
    path = tmp_path / "a.txt"
    path.write_text("The cat came home.\n" * 25 + "\nThe dog too.\n")
    quiet(path, tokenizer, tmp_path / "data", held_out=1)
    assert np.diff(Shards(tmp_path / "data").documents).tolist() == [10, 10, 5, 1]
    assert list(map(len, corpus.documents(path))) == [10, 10, 5, 1]


def test_sentences_without_pieces_are_dropped_and_single_ones_counted(tmp_path, tokenizer):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": t}) for t in (["The cat.", "\u200b", "It ran."], ["Alone."], [" "])))
    meta = quiet(path, tokenizer, tmp_path / "data", held_out=0)
    assert (meta["documents"], meta["one_sentence_documents"]) == (2, 1)


def test_a_large_vocabulary_takes_int32():
    assert shards.token_dtype(65536) == np.uint16 and shards.token_dtype(65537) == np.int32


def test_a_folder_that_is_there_is_kept_unless_asked_for(tmp_path, tokenizer, stories):
    source = write_lines(tmp_path / "a.txt", stories)
    quiet(source, tokenizer, tmp_path / "data")
    before = contents(tmp_path / "data")
    with pytest.raises(UserError, match="already exists"):
        quiet("stories:9", tokenizer, tmp_path / "data")
    assert contents(tmp_path / "data") == before
    quiet("stories:30", tokenizer, tmp_path / "data", overwrite=True)
    assert Shards(tmp_path / "data").meta["documents"] == 30


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path, tokenizer, stories, monkeypatch):
    quiet("stories:30", tokenizer, tmp_path / "data")
    before = contents(tmp_path / "data")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="the disk of .*data is full"):
        quiet("stories:30", tokenizer, tmp_path / "data", overwrite=True)
    assert contents(tmp_path / "data") == before and [p.name for p in tmp_path.iterdir()] == ["data"]


def test_ctrl_c_leaves_nothing(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(shards, "encode_blocks", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        quiet("stories:30", tokenizer, tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_a_killed_run_leaves_no_folder_that_opens(tmp_path, tokenizer):
    """Killed in the middle: what is there does not open; the next run clears the rest away."""
    tokenizer.save_pretrained(tmp_path)
    code = ("import os, sys\nfrom tinyalbert.pretraining import shards\nfrom tinyalbert.text.tokenizer import AlbertTokenizer\n"
            "shards._describe = lambda *a: os._exit(9)\n"
            "shards.prepare('stories:9', AlbertTokenizer.from_pretrained(sys.argv[1]), sys.argv[1] + '/data', workers=1)")
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL).returncode == 9
    assert (tmp_path / "data" / ".partial").exists()
    with pytest.raises(UserError, match="was not finished"):
        Shards(tmp_path / "data")
    quiet("stories:9", tokenizer, tmp_path / "data")
    assert Shards(tmp_path / "data").meta["documents"] == 9
    assert not [path for path in (tmp_path / "data").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("held_out, words", [
    (120, "leave none to train on"), (500, "leave none"), (-1, "held_out -1"), (1.5, "held_out 1.5"),
])
def test_held_out_numbers_that_make_no_sense(tmp_path, tokenizer, stories, held_out, words):
    with pytest.raises(UserError, match=words):
        quiet(write_lines(tmp_path / "a.txt", stories), tokenizer, tmp_path / "data", held_out=held_out)


def test_no_text_is_refused(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("  \n\n \n")
    with pytest.raises(UserError, match="no text in .*a.txt"):
        quiet(tmp_path / "a.txt", tokenizer, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_damaged_folders_are_refused(tmp_path):
    documents = random_documents(np.random.default_rng(0), 5)
    with pytest.raises(UserError, match="no meta.json"):
        Shards(tmp_path)
    for name in FILES:
        folder = write_shards(tmp_path / name, documents)
        os.truncate(folder / name, (folder / name).stat().st_size - 2)
        with pytest.raises(UserError, match=f"{name} has .* bytes; expected"):
            Shards(folder)
    for name, content, words in (("meta.json", "{", "is not JSON"), ("meta.json", '{"format": 99}', "layout 99"),
                                 ("meta.json", '{"format": 1}', "has no vocab_size"), ("meta.json", "[]", "holds list"),
                                 ("counts.npy", "", "is damaged")):
        folder = write_shards(tmp_path / words, documents)
        (folder / name).write_text(content)
        with pytest.raises(UserError, match=words):
            Shards(folder)


def test_another_tokenizer_is_refused(tmp_path, tokenizer, stories):
    quiet("stories:30", tokenizer, tmp_path / "data")
    other = AlbertTokenizer.train([s for d in stories for s in d], vocab_size=280)
    Shards(tmp_path / "data").check_tokenizer(AlbertTokenizer.from_pretrained(tmp_path / "data"))
    with pytest.raises(UserError, match="is not the one that"):
        Shards(tmp_path / "data").check_tokenizer(other)
    quiet("stories:30", other, tmp_path / "data", overwrite=True)      # nothing of the first is remembered
    first = next(corpus.documents("stories:1"))[0]
    assert Shards(tmp_path / "data").document(0)[0].tolist() == other.encode_batch_ids([first])[0].tolist()
