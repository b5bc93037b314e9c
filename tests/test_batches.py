"""Batches: the same however they are drawn, laid out as the model reads them, true to the corpus."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_folder import random_documents, write_shards

from tinyalbert.errors import UserError
from tinyalbert.pretraining.batches import PretrainingData
from tinyalbert.pretraining.masking import IGNORE

TASKS = ("sop", "nsp", "none")
seeds = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """40 documents of random ids, 4 of them held out; 5 begins and 6 ends every sentence, odd ids begin words."""
    rng = np.random.default_rng(0)
    return write_shards(tmp_path_factory.mktemp("shards") / "data", random_documents(rng, 40),
                        word_start=np.arange(64) % 2 == 1, held_out=[3, 8, 20, 39])


def equal(a, b):
    return a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)


def original(batch):
    """input_ids before anything was masked."""
    return np.where(batch["labels"] != IGNORE, batch["labels"], batch["input_ids"])


def texts(batch):
    """(A, B) of every row as lists of ids, B empty where there is none."""
    for ids, mask, types in zip(original(batch), batch["attention_mask"], batch["token_type_ids"]):
        n, b = mask.sum(), types.sum()
        yield ids[1:n - b - 1].tolist(), ids[n - b:n - 1].tolist() if b else []


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("task", TASKS)
@given(seed=seeds, step=st.integers(0, 500), size=st.integers(1, 12), data=st.data())
def test_a_batch_is_the_same_however_it_is_drawn(folder, task, faithful, seed, step, size, data):
    """In parts, by another object after a resume, after other steps: the same; with another seed: another."""
    if faithful and task == "none":
        return
    options = dict(max_seq_length=32, sentence_task=task, faithful=faithful)
    one, two = (PretrainingData(folder, seed=seed, **options) for _ in range(2))
    whole = one.batch(step, size)
    one.batch(data.draw(st.integers(0, 500)), 5)
    assert equal(whole, one.batch(step, size)) and equal(whole, two.batch(step, size))
    cut = data.draw(st.integers(0, size))
    parts = [two.batch(step, size, low, n) for low, n in ((0, cut), (cut, size - cut)) if n]
    assert equal(whole, {k: np.concatenate([p[k] for p in parts]) for k in whole})
    assert not equal(whole, PretrainingData(folder, seed=seed + 1, **options).batch(step, size))


@given(seed=seeds, length=st.integers(12, 80), size=st.integers(1, 9), task=st.sampled_from(TASKS),
       fill=st.sampled_from(["whole", "cut"]), faithful=st.booleans())
def test_layout(folder, seed, length, size, task, fill, faithful):
    """[CLS] A [SEP] B [SEP] and padding, types 0 then 1, labels only on pieces of A and B, all int32."""
    if faithful and task == "none":
        return
    batch = PretrainingData(folder, "train", length, task, fill=fill, faithful=faithful, seed=seed).batch(3, size)
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "labels"} | (
        set() if task == "none" else {"sentence_order_label"})
    assert all(a.dtype == np.int32 and a.shape == ((size,) if a.ndim == 1 else (size, length)) for a in batch.values())
    for ids, mask, types, labels, (a, b) in zip(original(batch), batch["attention_mask"], batch["token_type_ids"],
                                                batch["labels"], texts(batch)):
        n = mask.sum()
        assert mask.tolist() == [1] * n + [0] * (length - n)
        second = [] if task == "none" else [*b, 3]
        assert ids.tolist() == [2, *a, 3, *second] + [0] * (length - n)
        assert types.tolist() == [0] * (len(a) + 2) + [1] * len(second) + [0] * (length - n)
        assert a and (b or task == "none")
        assert (labels[[0, len(a) + 1, n - 1]] == IGNORE).all() and (labels[n:] == IGNORE).all()
        assert (labels != IGNORE).sum() <= max(1, round(0.15 * int(n)))
    assert (batch["input_ids"] < 64).all() and (batch["input_ids"] >= 0).all()


@given(seed=seeds, ngram=st.integers(1, 3), faithful=st.booleans(), whole_word=st.booleans(), share=st.floats(0, 0.6))
def test_special_ids_are_never_targets(tmp_path_factory, seed, ngram, faithful, whole_word, share):
    """Whatever a corpus holds, <unk> or the [MASK] of an old folder; and a word is never masked across one."""
    rng = np.random.default_rng(seed)
    documents = [[[int(rng.integers(5)) if rng.random() < share else i for i in sentence] for sentence in document]
                 for document in random_documents(rng, 12)]
    starts = np.arange(64) % 2 == 1
    folder = write_shards(tmp_path_factory.mktemp("shards") / "data", documents, word_start=starts, held_out=[3, 8])
    data = PretrainingData(folder, max_seq_length=40, ngram=ngram, faithful=faithful, whole_word=whole_word, seed=seed)
    batch = data.batch(0, 20)
    labels = batch["labels"]
    targets = labels[labels != IGNORE]
    assert len(targets) and (targets > 4).all()
    if not whole_word:
        return
    before = original(batch)
    for row, covered in zip(before, labels != IGNORE):
        for i in np.flatnonzero(covered)[1:]:                          # a piece that continues a word is covered with it
            if not starts[row[i]] and row[i - 1] > 4:
                assert covered[i - 1]


def test_segments_are_neighbours_in_the_corpus_and_the_label_says_which_came_first(folder):
    data = PretrainingData(folder, max_seq_length=64)
    documents = [[s.tolist() for s in data.shards.document(d)] for d in data.shards.split("train")]
    runs = {tuple(sum(d[i:j], [])) for d in documents for i in range(len(d)) for j in range(i + 1, len(d) + 1)}
    batch = data.batch(0, 200)
    for (a, b), label in zip(texts(batch), batch["sentence_order_label"]):
        first, second = (b, a) if label else (a, b)
        assert tuple(a) in runs and tuple(b) in runs and tuple(first + second) in runs
        assert tuple(second + first) not in runs


@pytest.mark.parametrize("task, least", [("sop", 2), ("none", 1)])
def test_an_epoch_covers_the_split_and_nothing_else(folder, task, least):
    """Every piece of every document that is long enough, in order of no document; the held-out ones never."""
    data = PretrainingData(folder, max_seq_length=48, sentence_task=task, short_seq_prob=0.0)
    for epoch in (0, 3):
        batches = data.batch(epoch, data.examples_per_epoch)
        drawn = sum(len(a) + len(b) for a, b in texts(batches))
        numbers = [n for n in data.shards.split("train") if len(data.shards.document(n)) >= least]
        pieces = sum(len(s) for n in numbers for s in data.shards.document(n))
        assert pieces * 0.97 <= drawn <= pieces * 1.2
    seen = {tuple(t) for a, b in texts(batches) for t in (a, b)}
    assert not seen & {tuple(s.tolist()) for n in data.shards.held_out for s in data.shards.document(n) if len(s) > 8}


def test_rates(folder):
    """15 % of the pieces are targets, 80 % of those hidden, half of the pairs swapped."""
    batches = [PretrainingData(folder, max_seq_length=128, fill="cut").batch(s, 500) for s in range(4)]
    batch = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
    targets = batch["labels"] != IGNORE
    n = targets.sum()
    assert abs(n / batch["attention_mask"].sum() - 0.15) < 0.005
    assert abs((batch["input_ids"][targets] == 4).mean() - 0.8) < 5 * np.sqrt(0.16 / n)
    swapped = batch["sentence_order_label"]
    assert abs(swapped.mean() - 0.5) < 5 * np.sqrt(0.25 / len(swapped))


def test_words_are_whole(folder):
    """Odd ids begin words here: with whole_word no word is covered in part."""
    for whole_word in (True, False):
        batch = PretrainingData(folder, max_seq_length=64, whole_word=whole_word, ngram=1).batch(0, 200)
        ids, covered = original(batch), batch["labels"] != IGNORE
        inside = (ids[:, 1:] % 2 == 0) & (ids[:, 1:] > 4) & (ids[:, :-1] > 4)            # continues the piece before
        split = (covered[:, 1:] != covered[:, :-1]) & inside
        assert split.any() != whole_word


def test_evaluation_is_fixed_and_single_pieces_can_be_asked_for(folder):
    one, two = (PretrainingData(folder, max_seq_length=32, seed=s) for s in (1, 2))
    held = [tuple(s.tolist()) for n in one.shards.held_out for s in one.shards.document(n)]
    batches = one.evaluation_batches(batch_size=4)
    assert all(map(equal, batches, two.evaluation_batches(batch_size=4)))
    assert all(map(equal, batches[:2], one.evaluation_batches(2, 4)))
    joined = {tuple(a) for b in batches for a, _ in texts(b)}
    assert all(any(set(a) <= set(h) or len(a) > len(h) for h in held) for a in joined)
    singles = one.evaluation_batches(batch_size=4, ngram=1, whole_word=False)
    assert len(singles) == len(batches) and all((original(a) == original(b)).all() for a, b in zip(batches, singles))
    for batch in singles:
        wanted = np.maximum(1, np.rint(batch["attention_mask"].sum(1) * 0.15))
        assert ((batch["labels"] != IGNORE).sum(1) == wanted).all()


def test_threads_draw_the_same(folder):
    data = PretrainingData(folder, max_seq_length=32)
    wanted = [data.batch(s, 8) for s in range(40)]
    fresh = PretrainingData(folder, max_seq_length=32)
    with ThreadPoolExecutor(4) as pool:
        assert all(map(equal, wanted, pool.map(lambda s: fresh.batch(s, 8), range(40))))


@pytest.mark.parametrize("options, words", [
    (dict(sentence_task="order"), "sentence_task 'order' is unknown"),
    (dict(fill="full"), "fill 'full' is unknown"),
    (dict(max_seq_length=4), "max_seq_length 4"),
    (dict(masked_lm_prob=15), "masked_lm_prob 15"),
    (dict(ngram=0), "ngram 0"),
    (dict(split="test"), "split 'test' is unknown"),
    (dict(faithful=True, sentence_task="none"), "faithful"),
])
def test_wrong_options_are_refused(folder, options, words):
    with pytest.raises(UserError, match=words):
        PretrainingData(folder, **options)


def test_rows_outside_the_batch_are_refused(folder):
    data = PretrainingData(folder)
    for arguments in ((-1, 4), (0, 4, 2, 3), (0, 0), (0, 4, -1)):
        with pytest.raises(UserError, match="expected rows of the batch"):
            data.batch(*arguments)


def test_documents_of_one_sentence_are_skipped_and_counted(tmp_path):
    sentence = [5, 8, 9, 6]
    folder = write_shards(tmp_path / "some", [[sentence] * 3, [sentence], [sentence] * 2, [sentence]])
    assert PretrainingData(folder, max_seq_length=32).skipped_documents == 2
    assert PretrainingData(folder, max_seq_length=32, sentence_task="none").skipped_documents == 0
    single = write_shards(tmp_path / "none", [[sentence]] * 3)
    with pytest.raises(UserError, match="all 3 documents .* have one sentence"):
        PretrainingData(single)
    assert PretrainingData(single, sentence_task="none", max_seq_length=32).batch(0, 2)
    lone = write_shards(tmp_path / "lone", [[sentence] * 3])
    with pytest.raises(UserError, match="has 1 document"):
        PretrainingData(lone, sentence_task="nsp")
    with pytest.raises(UserError, match="no documents in the split 'held_out'"):
        PretrainingData(lone).evaluation_batches(1)
