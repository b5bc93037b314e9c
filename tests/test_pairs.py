"""Segment pairs: whole neighbours, no trace of their order but the text, every piece reached; Google's edges."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert.pretraining import pairs
from tinyalbert.pretraining.draws import integers, uniforms

seeds = st.integers(0, 2**32 - 1)


def corpus(rng, documents=30, most_sentences=12, most_pieces=15):
    """(sentences (S + 1,), first (D,), last (D,)) of documents with random numbers of sentences and pieces."""
    size = rng.integers(1, most_sentences + 1, documents)
    sentences = np.concatenate([[0], np.cumsum(rng.integers(1, most_pieces + 1, size.sum()))])
    return sentences, np.cumsum(size) - size, np.cumsum(size)


def within(hits, n, p, sigmas=5):
    """Whether a count of hits in n draws is plausible for probability p."""
    return abs(hits - n * p) <= sigmas * np.sqrt(n * p * (1 - p)) + 1


# --- random numbers ---------------------------------------------------------------------------------------

@given(seed=seeds, columns=st.integers(1, 40))
def test_uniforms_are_a_function_of_row_and_column(seed, columns):
    rows = np.arange(20)
    all_at_once = uniforms(seed, 1, rows, columns)
    assert (uniforms(seed, 1, rows[::-3], columns) == all_at_once[::-3]).all()
    assert (uniforms(seed, 1, rows, columns + 5)[:, :columns] == all_at_once).all()
    assert not (uniforms(seed, 2, rows, columns) == all_at_once).any()


def test_uniforms_are_uniform_and_independent():
    u = uniforms(3, 0, np.arange(2000), 100)
    assert (0 <= u).all() and (u < 1).all()
    deciles = np.bincount((u * 10).astype(int).ravel())
    assert all(within(n, u.size, 0.1) for n in deciles)
    for a, b in ((u[1:], u[:-1]), (u[:, 1:], u[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(u.size)
    assert all(within(n, u.size, 1 / 7) for n in np.bincount((integers(u, 3, 10) - 3).ravel()))


# --- windows ----------------------------------------------------------------------------------------------

@given(seed=seeds, max_tokens=st.integers(5, 60), short=st.sampled_from([0.0, 0.1, 1.0]),
       fill=st.sampled_from(["whole", "cut"]), least=st.integers(1, 2))
def test_windows_hold_every_sentence_of_one_document_at_a_time(seed, max_tokens, short, fill, least):
    rng = np.random.default_rng(seed)
    sentences, first, last = corpus(rng)
    windows = pairs.pack_windows(sentences, first, last, max_tokens, rng, short, least, fill)
    document = np.searchsorted(first, windows[:, 0], side="right") - 1
    assert (windows[:, 1] - windows[:, 0] >= least).all()
    assert (first[document] <= windows[:, 0]).all() and (windows[:, 1] <= last[document]).all()
    covered = np.zeros(len(sentences), int)
    for low, high in windows:
        covered[low:high] += 1
    wanted = np.concatenate([np.arange(a, b) for a, b in zip(first, last) if b - a >= least])
    assert set(np.flatnonzero(covered)) == set(wanted)
    pieces = sentences[windows[:, 1]] - sentences[windows[:, 0]]
    if fill == "whole":                          # only what can't be made shorter is longer than a sequence
        assert (windows[pieces > max_tokens, 1] - windows[pieces > max_tokens, 0] == least).all()


@given(seed=seeds)
def test_an_epoch_uses_each_sentence_once_where_all_fit(seed):
    """No sentence twice, but for one left alone at the end of a document, which takes its neighbour along."""
    rng = np.random.default_rng(seed)
    sentences, first, last = corpus(rng, most_sentences=20)
    windows = pairs.pack_windows(sentences, first, last, 60, rng, 0.1)
    for a, b in zip(first, last):
        used = np.zeros(b - a, int)
        for low, high in windows[(windows[:, 0] >= a) & (windows[:, 1] <= b)]:
            used[low - a:high - a] += 1
        assert used.sum() <= b - a + 1


def test_groups_of_documents_change_no_rule(monkeypatch):
    monkeypatch.setattr(pairs, "GROUP_SENTENCES", 7)
    rng = np.random.default_rng(0)
    sentences, first, last = corpus(rng, 200)
    windows = pairs.pack_windows(sentences, first, last, 40, rng, 0.0)
    document = np.searchsorted(first, windows[:, 0], side="right") - 1
    assert (windows[:, 1] <= last[document]).all()
    assert set(document) == set(np.flatnonzero(last - first >= 2))


def plain_windows(sentences, first, last, max_tokens, rng, short_seq_prob=0.1, least=2, fill="whole"):
    """pack_windows in loops, sentence by sentence, with the same random numbers."""
    groups, total, windows = {}, 0, []
    for a, b in zip(first.tolist(), last.tolist()):
        if b - a >= least:
            total += b - a
            groups.setdefault(total // pairs.GROUP_SENTENCES, []).append((a, b))
    for documents in groups.values():
        n = sum(b - a for a, b in documents)
        backward, short, short_budget = rng.random(len(documents)), rng.random(n), rng.integers(2, max_tokens + 1, n)
        packed, done = [], 0
        for (a, b), coin in zip(documents, backward):
            text = list(range(a, b))[::-1 if coin < 0.5 else 1]
            at = 0
            while at < len(text):
                budget = short_budget[done + at] if short[done + at] < short_seq_prob else max_tokens
                stop, pieces = at, 0
                while stop < len(text):
                    size = sentences[text[stop] + 1] - sentences[text[stop]]
                    if pieces + size > budget if fill == "whole" else pieces >= budget:
                        break
                    stop, pieces = stop + 1, pieces + size
                stop = min(max(stop, at + least), len(text))
                window = text[min(at, stop - least):stop]
                packed.append((min(window), max(window) + 1))
                at = stop
            done += len(text)
        for (low, high), u in zip(packed, rng.random(len(packed))):
            windows += [(low, high)] * max(1, int((sentences[high] - sentences[low]) / max_tokens + u))
    return rng.permutation(np.array(windows).reshape(-1, 2))


@given(seed=seeds, max_tokens=st.integers(3, 60), short=st.sampled_from([0.0, 0.1, 1.0]),
       fill=st.sampled_from(["whole", "cut"]), least=st.integers(1, 3))
def test_windows_against_plain_loops(seed, max_tokens, short, fill, least):
    text = corpus(np.random.default_rng(seed))
    options = max_tokens, np.random.default_rng(seed), short, least, fill
    again = max_tokens, np.random.default_rng(seed), short, least, fill
    np.testing.assert_array_equal(pairs.pack_windows(*text, *options), plain_windows(*text, *again))


@pytest.mark.parametrize("group", [1 << 20, 7])
def test_many_windows_against_plain_loops(monkeypatch, group):
    """With what is not given left to the defaults; and in groups, however small."""
    assert pairs.GROUP_SENTENCES == 1 << 20                # what a seed means depends on it
    monkeypatch.setattr(pairs, "GROUP_SENTENCES", group)
    text = corpus(np.random.default_rng(0), documents=3000)
    found, wanted = (pack(*text, 40, np.random.default_rng(1)) for pack in (pairs.pack_windows, plain_windows))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, wanted)


def test_a_corpus_of_documents_that_are_too_short_has_no_windows():
    windows = pairs.pack_windows(np.array([0, 5, 9]), np.array([0, 1]), np.array([1, 2]), 20, np.random.default_rng(0))
    assert windows.shape == (0, 2)
    segments = pairs.sentence_order_pairs(np.zeros((0, 5)), np.array([0, 5, 9]), windows, 20)
    assert all(len(a) == 0 for a in segments)


@pytest.mark.parametrize("last, dtype", [(2**31 - 1, np.int32), (2**31, np.int64)])
def test_numbers_of_sentences_may_exceed_32_bits(last, dtype):
    class Threes:                                # sentences of three pieces, without an array of two thousand million
        def __getitem__(self, numbers):
            return numbers * 3
    windows = pairs.pack_windows(Threes(), np.array([last - 5]), np.array([last]), 100, np.random.default_rng(0), 0.0)
    assert windows.tolist() == [[last - 5, last]] and windows.dtype == dtype


@pytest.mark.parametrize("fill", ["whole", "cut"])
def test_an_epoch_draws_about_as_many_pieces_as_the_corpus_has(fill):
    """Also where most sentences are longer than a sequence, so that only a part of each is used at a time."""
    rng = np.random.default_rng(1)
    sentences, first, last = corpus(rng, 300, 30, 120)
    windows = pairs.pack_windows(sentences, first, last, 61, rng, 0.0, fill=fill)
    segments = pairs.sentence_order_pairs(rng.random((len(windows), 5)), sentences, windows, 61)
    pieces = (segments.a_length + segments.b_length).sum()
    assert 0.95 < pieces / sentences[-1] < 1.1


def test_every_piece_is_reached_and_the_ends_as_often_as_the_middle():
    """Two sentences of 40 and 9 pieces in sequences of 20: cut, but no piece is left out."""
    rng = np.random.default_rng(2)
    sentences = np.array([0, 40, 49])
    hits = np.zeros(49)
    for _ in range(400):
        windows = pairs.pack_windows(sentences, np.array([0]), np.array([2]), 20, rng, 0.0)
        s = pairs.sentence_order_pairs(rng.random((len(windows), 5)), sentences, windows, 20)
        for start, length in [*zip(s.a_start, s.a_length), *zip(s.b_start, s.b_length)]:
            hits[start:start + length] += 1
    assert hits[:40].min() > 0.8 * np.median(hits[15:25]) and hits[:40].max() < 2.5 * hits[:40].min()
    assert hits[40:].min() > 0


# --- sentence order ---------------------------------------------------------------------------------------

@given(seed=seeds, max_tokens=st.integers(5, 60), fill=st.sampled_from(["whole", "cut"]))
def test_both_segments_are_neighbours_of_whole_sentences(seed, max_tokens, fill):
    rng = np.random.default_rng(seed)
    sentences, first, last = corpus(rng)
    windows = pairs.pack_windows(sentences, first, last, max_tokens, rng, 0.1, fill=fill)
    s = pairs.sentence_order_pairs(rng.random((len(windows), 5)), sentences, windows, max_tokens)
    swapped = s.label == 1
    start, length = np.where(swapped, s.b_start, s.a_start), np.where(swapped, s.b_length, s.a_length)
    start_2, length_2 = np.where(swapped, s.a_start, s.b_start), np.where(swapped, s.a_length, s.b_length)
    assert (length > 0).all() and (length_2 > 0).all() and (length + length_2 <= max_tokens).all()
    assert (start >= sentences[windows[:, 0]]).all() and (start_2 + length_2 <= sentences[windows[:, 1]]).all()
    assert (start + length <= start_2).all()
    between = np.searchsorted(sentences, start_2, side="right") - 1
    assert (start + length <= sentences[between]).all()               # they meet at the end of a sentence
    uncut = sentences[windows[:, 1]] - sentences[windows[:, 0]] <= max_tokens
    assert (start + length == start_2)[uncut].all()
    assert (length + length_2 == np.diff(sentences[windows])[:, 0])[uncut].all()
    assert (length + length_2 == max_tokens)[~uncut].all()


def test_order_and_split_are_drawn_fairly():
    n, sentences = 20000, np.arange(6) * 3
    windows = np.tile([0, 5], (n, 1))
    s = pairs.sentence_order_pairs(uniforms(0, 0, np.arange(n), 5), sentences, windows, 100)
    assert within(s.label.sum(), n, 0.5)
    assert all(within(c, n, 0.25) for c in np.bincount(s.a_length // 3)[1:])


def accuracy(features, labels):
    """Held-out accuracy of logistic regression (Newton's method, a little shrinkage) on features (n, d)."""
    x = (features - features.mean(0)) / np.maximum(features.std(0), 0.05)
    x, half, w = np.c_[x, np.ones(len(x))], len(x) // 2, np.zeros(x.shape[1] + 1)
    for _ in range(15):
        p = 1 / (1 + np.exp(-x[:half] @ w))
        hessian = (x[:half] * (p * (1 - p))[:, None]).T @ x[:half] + np.eye(len(w))
        w -= np.linalg.solve(hessian, x[:half].T @ (p - labels[:half]) + w)
    return np.mean((x[half:] @ w > 0) == labels[half:])


def lengths_and_ends(s, tokens, pieces=()):
    """What gives the order away without reading: lengths, and which pieces stand at the ends of the segments."""
    ends = [tokens[at] for at in (s.a_start, s.a_start + s.a_length - 1, s.b_start, s.b_start + s.b_length - 1)]
    columns = [s.a_length, s.b_length, np.log(s.a_length), np.log(s.b_length), s.a_length > s.b_length]
    columns += [end == piece for end in ends for piece in pieces]
    return np.stack([c.astype(float) for c in columns], 1)


def draw_all(sentences, first, last, max_tokens, n, fill="whole", google=False):
    """About n pairs, over as many epochs as that takes."""
    drawn, rng = [], np.random.default_rng(5)
    while sum(len(s.label) for s in drawn) < n:
        if google:
            rows = pairs.google_instances(sentences, first, last, max_tokens, rng)
            drawn.append(pairs.google_pairs(rng.random((len(rows), 1)), sentences, rows, max_tokens))
        else:
            windows = pairs.pack_windows(sentences, first, last, max_tokens, rng, fill=fill)
            drawn.append(pairs.sentence_order_pairs(rng.random((len(windows), 5)), sentences, windows, max_tokens))
    return pairs.Segments(*map(np.concatenate, zip(*drawn)))


def marked_corpus(lengths_of_documents):
    """Tokens 1 at the front of sentences, 2 in the middle, 3 at the end, 4 where a document begins or ends."""
    sentences = np.concatenate([[0], np.cumsum(np.concatenate(lengths_of_documents))])
    tokens = np.full(sentences[-1], 2)
    tokens[sentences[:-1]], tokens[sentences[1:] - 1] = 1, 3
    last = np.cumsum([len(d) for d in lengths_of_documents])
    return tokens, sentences, last - [len(d) for d in lengths_of_documents], last


@pytest.mark.parametrize("fill", ["whole", "cut"])
@pytest.mark.parametrize("max_tokens", [29, 61])
def test_lengths_and_ends_do_not_tell_the_order(max_tokens, fill):
    rng = np.random.default_rng(3)
    tokens, *shape = marked_corpus([2 + rng.gamma(2, 11, rng.integers(2, 60)).astype(int) for _ in range(400)])
    s = draw_all(*shape, max_tokens, 30000, fill)
    correct = accuracy(lengths_and_ends(s, tokens, (1, 2, 3)), s.label)
    assert abs(correct - 0.5) < 4 * 0.5 / np.sqrt(len(s.label) / 2)


def test_the_same_test_sees_the_leak_in_googles_pairs():
    rng = np.random.default_rng(3)
    tokens, *shape = marked_corpus([2 + rng.gamma(2, 11, rng.integers(2, 60)).astype(int) for _ in range(400)])
    s = draw_all(*shape, 61, 30000, google=True)
    majority = max(np.mean(s.label), 1 - np.mean(s.label))
    assert accuracy(lengths_and_ends(s, tokens, (1, 2, 3)), s.label) > majority + 0.02


def real_lengths(documents):
    """Words for pieces: sentences of real documents as their numbers of words."""
    return marked_corpus([np.array([1 + len(s.split()) for s in d]) for d in documents])


@pytest.mark.parametrize("max_tokens, fill", [(40, "whole"), (40, "cut"), (80, "whole")])
def test_lengths_and_ends_of_stories_do_not_tell_the_order(max_tokens, fill):
    """Stories begin with long sentences that introduce people; shuffled, only what the pairing adds is left."""
    from tinyalbert.pretraining.corpus import documents
    rng = np.random.default_rng(0)
    tokens, *shape = real_lengths(rng.permutation(d).tolist() for d in documents("stories:300"))
    s = draw_all(*shape, max_tokens, 20000, fill)
    assert accuracy(lengths_and_ends(s, tokens, (1, 2, 3)), s.label) < 0.53


def test_lengths_and_ends_of_articles_do_not_tell_the_order(data_dir):
    from tinyalbert.pretraining.corpus import documents
    tokens, *shape = real_lengths(documents(data_dir / "wikitext2" / "valid.txt"))
    for fill in ("whole", "cut"):
        s = draw_all(*shape, 61, 30000, fill)
        assert accuracy(lengths_and_ends(s, tokens, (1, 2, 3)), s.label) < 0.53


# --- next sentence, and none ------------------------------------------------------------------------------

@given(seed=seeds, max_tokens=st.integers(5, 60))
def test_random_second_segments_come_from_another_document(seed, max_tokens):
    rng = np.random.default_rng(seed)
    sentences, first, last = corpus(rng, most_sentences=8)
    first, last = first[last - first > 1], last[last - first > 1]
    windows = pairs.pack_windows(sentences, first, last, max_tokens, rng)
    u = uniforms(seed, 0, np.arange(len(windows)), 7)
    s = pairs.next_sentence_pairs(u, sentences, windows, max_tokens, first, last)
    a, b = (np.searchsorted(sentences[first], at, side="right") - 1 for at in (s.a_start, s.b_start))
    assert ((a != b) == (s.label == 1)).all()
    assert (s.b_start + s.b_length <= sentences[last[b]]).all()
    assert (s.a_length > 0).all() and (s.b_length > 0).all() and (s.a_length + s.b_length <= max_tokens).all()
    assert (s.a_start + s.a_length <= s.b_start)[s.label == 0].all()


@given(seed=seeds, max_tokens=st.integers(5, 60))
def test_single_segments_fit(seed, max_tokens):
    rng = np.random.default_rng(seed)
    sentences, first, last = corpus(rng)
    windows = pairs.pack_windows(sentences, first, last, max_tokens, rng, least=1)
    s = pairs.single_segments(rng.random((len(windows), 1)), sentences, windows, max_tokens)
    assert (s.a_length == np.minimum(np.diff(sentences[windows])[:, 0], max_tokens)).all() and not s.b_length.any()
    assert (s.a_start >= sentences[windows[:, 0]]).all()
    assert (s.a_start + s.a_length <= sentences[windows[:, 1]]).all()


# --- all three kinds of segments, once more in loops ------------------------------------------------------

def plain_slide(u, start, length, keep):
    return start + min(max(int(1 - keep + u * (length - (1 - keep))), 0), length - keep)


def plain_fit(u, a_start, a_length, b_start, b_length, max_tokens):
    half_a = max_tokens // 2 + (max_tokens % 2 if u[0] < 0.5 else 0)
    if a_length + b_length <= max_tokens:
        keep_a, keep_b = a_length, b_length
    elif b_length <= max_tokens - half_a:
        keep_a, keep_b = max_tokens - b_length, b_length
    elif a_length <= half_a:
        keep_a, keep_b = a_length, max_tokens - a_length
    else:
        keep_a, keep_b = half_a, max_tokens - half_a
    return plain_slide(u[1], a_start, a_length, keep_a), keep_a, plain_slide(u[2], b_start, b_length, keep_b), keep_b


def plain_split(u, sentences, start, stop):
    middle = sentences[start + 1 + int(u * (stop - start - 1))]
    return sentences[start], middle - sentences[start], middle, sentences[stop] - middle


def plain_order(u, sentences, window, max_tokens, first, last):
    a_start, a_length, b_start, b_length = plain_fit(u[2:], *plain_split(u[0], sentences, *window), max_tokens)
    return (b_start, b_length, a_start, a_length, 1) if u[1] < 0.5 else (a_start, a_length, b_start, b_length, 0)


def plain_next(u, sentences, window, max_tokens, first, last):
    a_start, a_length, b_start, b_length = plain_split(u[0], sentences, *window)
    if u[1] >= 0.5:
        return *plain_fit(u[4:], a_start, a_length, b_start, b_length, max_tokens), 0
    others = [d for d in range(len(first)) if not first[d] <= window[0] < last[d]]
    other = others[int(u[2] * len(others))]
    begin = first[other] + int(u[3] * (last[other] - first[other]))
    stop = begin + 1
    while stop < last[other] and sentences[stop + 1] - sentences[begin] <= max_tokens - a_length:
        stop += 1
    b_start, b_length = sentences[begin], sentences[stop] - sentences[begin]
    return *plain_fit(u[4:], a_start, a_length, b_start, b_length, max_tokens), 1


def plain_single(u, sentences, window, max_tokens, first, last):
    start, length = sentences[window[0]], sentences[window[1]] - sentences[window[0]]
    keep = min(length, max_tokens)
    return plain_slide(u[0], start, length, keep), keep, 0, 0, 0


@pytest.mark.parametrize("draw, plain, columns", [
    (lambda *a: pairs.sentence_order_pairs(*a[:4]), plain_order, 5), (pairs.next_sentence_pairs, plain_next, 7),
    (lambda *a: pairs.single_segments(*a[:4]), plain_single, 1)])
@given(seed=seeds, max_tokens=st.integers(4, 60), fill=st.sampled_from(["whole", "cut"]), most=st.integers(2, 40))
def test_segments_against_plain_loops(draw, plain, columns, seed, max_tokens, fill, most):
    rng = np.random.default_rng(seed)
    sentences, first, last = corpus(rng, most_pieces=most)
    first, last = first[last - first > 1], last[last - first > 1]
    windows = pairs.pack_windows(sentences, first, last, max_tokens, rng, fill=fill)
    u = rng.integers(0, 64, (len(windows), columns)) / 64  # exact, and every limit is met
    s = draw(u, sentences, windows, max_tokens, first, last)
    wanted = [plain(row, sentences, window, max_tokens, first, last) for row, window in zip(u, windows.tolist())]
    np.testing.assert_array_equal(np.stack(s, 1), wanted)
    assert s.label.dtype == np.int32 and all(a.dtype == np.int64 for a in s[:4])


# --- google-research/albert, case by case -----------------------------------------------------------------

def google(lengths_of_documents, max_tokens, seed=0, **options):
    """(rows of one pass in order of their first sentence in the text, sentences)."""
    size = np.array([len(d) for d in lengths_of_documents])
    sentences = np.concatenate([[0], np.cumsum(np.concatenate(lengths_of_documents))])
    rows = pairs.google_instances(sentences, np.cumsum(size) - size, np.cumsum(size), max_tokens,
                                  np.random.default_rng(seed), **options)
    return rows, sentences


def test_google_one_segment_gets_a_random_second_labelled_1():
    """A chunk of one sentence: at the end of a document, and where one sentence reaches the target."""
    for seed in range(20):
        rows, _ = google([[50, 3], [4, 4, 4]], 20, seed, short_seq_prob=0.0)
        for a, a_stop in ((0, 1), (1, 2)):
            (row,) = [r for r in rows.tolist() if r[:2] == [a, a_stop]]
            assert row[4] == 1 and 2 <= row[2] < row[3] <= 5


def test_google_random_second_is_filled_to_the_target():
    """B starts anywhere in the other document and grows until it has target - len(A) pieces or the document ends."""
    seen = set()
    for seed in range(60):
        rows, _ = google([[8], [5] * 6], 20, seed, short_seq_prob=0.0)
        (row,) = [r for r in rows.tolist() if r[0] == 0]
        seen.add((row[2] - 1, row[3] - 1))
    assert seen == {(0, 3), (1, 4), (2, 5), (3, 6), (4, 6), (5, 6)}


def test_google_gives_up_after_ten_tries_to_find_another_document():
    rows, _ = google([[8]], 20, short_seq_prob=0.0)
    assert rows.tolist() == [[0, 1, 0, 1, 1]]


@pytest.mark.parametrize("drawn, second", [([1], 1), ([0] * 9 + [1], 1), ([0] * 10 + [1], 0)])
def test_google_takes_the_tenth_try_whatever_it_is(drawn, second):
    """Document 0 of two wants another one and draws these numbers: after ten times 0 its own text has to do."""
    documents = iter(drawn + [0] * 10)
    rng = SimpleNamespace(random=lambda: 0.9, permutation=lambda rows: rows,
                          integers=lambda low, high=None: low if high is not None else next(documents))
    rows = pairs.google_instances(np.array([0, 8, 16]), np.array([0, 1]), np.array([1, 2]), 20, rng)
    assert rows[0].tolist() == [0, 1, second, second + 1, 1]


def test_google_chunk_ends_when_the_target_is_reached_or_the_document_ends():
    rows, _ = google([[6, 6, 6, 6, 6, 6, 6, 6], [9] * 3], 20, short_seq_prob=0.0)
    chunks = sorted((min(a, b), max(a_stop, b_stop)) for a, a_stop, b, b_stop, _ in rows.tolist())
    assert chunks == [(0, 4), (4, 8), (8, 11)]


def test_google_swaps_half_and_splits_anywhere():
    rows = np.concatenate([google([[6] * 4] * 50, 20, seed, short_seq_prob=0.0)[0] for seed in range(20)])
    in_order = rows[:, 0] < rows[:, 2]
    assert (in_order == (rows[:, 4] == 0)).all() and within(in_order.sum(), len(rows), 0.5)
    split = np.minimum(rows[:, 1], rows[:, 3]) - np.minimum(rows[:, 0], rows[:, 2])
    assert all(within(n, len(rows), 1 / 3) for n in np.bincount(split)[1:])


def test_google_next_sentence_puts_unused_segments_back():
    """After a random second the rest of the chunk is read again; so A segments cover the document."""
    for seed in range(10):
        rows, _ = google([[6] * 9, [6] * 5], 20, seed, short_seq_prob=0.0, random_next_sentence=True)
        assert set(rows[:, 4].tolist()) <= {0, 1}
        for low, high in ((0, 9), (9, 14)):
            own = rows[(rows[:, 0] >= low) & (rows[:, 0] < high)]
            own = own[np.argsort(own[:, 0])]
            ends = np.where(own[:, 4] == 1, own[:, 1], own[:, 3])
            assert own[0, 0] == low and ends[-1] == high and (own[1:, 0] == ends[:-1]).all()
            random = own[own[:, 4] == 1]
            assert ((random[:, 2] < low) | (random[:, 2] >= high)).mean() > 0.8 if len(random) else True
            assert (own[own[:, 4] == 0, 1] == own[own[:, 4] == 0, 2]).all()


def test_google_short_targets_are_drawn_once_a_document():
    """All chunks of a document have one target; short_seq_prob of the documents a shorter one."""
    rows, sentences = google([[2] * 60] * 300, 40, short_seq_prob=0.5)
    a, b = np.minimum(rows[:, 0], rows[:, 2]), np.maximum(rows[:, 1], rows[:, 3])
    pieces = {d: set() for d in range(300)}
    for low, high in zip(a.tolist(), b.tolist()):
        if high % 60 and high - low > 1 and low // 60 == (high - 1) // 60:               # not at a document's end
            pieces[low // 60].add(2 * (high - low))
    pieces = [p for p in pieces.values() if p]
    assert all(len(p) == 1 for p in pieces)
    assert within(sum(p != {40} for p in pieces), len(pieces), 0.5)


def test_google_truncates_the_longer_segment_at_both_ends():
    """To max_tokens, not to the target; the second of equal ones first; front and back alike."""
    sentences = np.array([0, 30, 50, 70, 75])
    n = 4000
    for row, lengths in (((0, 1, 1, 2, 0), (11, 10)), ((1, 2, 0, 1, 1), (11, 10)), ((1, 2, 2, 3, 0), (11, 10)),
                         ((0, 1, 3, 4, 0), (16, 5))):
        s = pairs.google_pairs(uniforms(1, 0, np.arange(n), 1), sentences, np.tile(row, (n, 1)), 21)
        assert (s.a_length == lengths[0]).all() and (s.b_length == lengths[1]).all()
        front, lost = s.a_start - sentences[row[0]], sentences[row[1]] - sentences[row[0]] - lengths[0]
        assert (front >= 0).all() and (front <= lost).all()
        assert within(front.sum(), n * lost, 0.5)
    untouched = pairs.google_pairs(uniforms(1, 0, np.arange(3), 1), sentences, np.tile((2, 3, 3, 4, 0), (3, 1)), 25)
    assert (untouched.a_length == 20).all() and (untouched.b_length == 5).all() and (untouched.a_start == 50).all()


@given(seed=seeds, max_tokens=st.integers(5, 60), nsp=st.booleans())
def test_google_pairs_fit_and_are_not_empty(seed, max_tokens, nsp):
    rng = np.random.default_rng(seed)
    sentences, first, last = corpus(rng)
    rows = pairs.google_instances(sentences, first, last, max_tokens, rng, 0.1, nsp)
    s = pairs.google_pairs(rng.random((len(rows), 1)), sentences, rows, max_tokens)
    assert (s.a_length > 0).all() and (s.b_length > 0).all() and (s.a_length + s.b_length <= max_tokens).all()
    for start, length, low, high in ((s.a_start, s.a_length, 0, 1), (s.b_start, s.b_length, 2, 3)):
        assert (start >= sentences[rows[:, low]]).all() and (start + length <= sentences[rows[:, high]]).all()


def plain_google(sentences, first, last, max_tokens, rng, short_seq_prob=0.1, random_next_sentence=False):
    """google_instances with lists of sentence numbers, with the same random numbers."""
    def pieces(numbers):
        return sentences[numbers[-1] + 1] - sentences[numbers[0]] if numbers else 0
    rows = []
    for number in range(len(first)):
        short = rng.random() < short_seq_prob
        target = rng.integers(2, max_tokens + 1) if short else max_tokens
        waiting = list(range(first[number], last[number]))
        while waiting:
            chunk = []
            while waiting and pieces(chunk) < target:
                chunk.append(waiting.pop(0))
            split = rng.integers(1, len(chunk)) if len(chunk) > 1 else 1
            a, rest = chunk[:split], chunk[split:]
            if not rest or (random_next_sentence and rng.random() < 0.5):
                for _ in range(10):
                    other = rng.integers(len(first))
                    if other != number:
                        break
                b, label = [rng.integers(first[other], last[other])], 1
                while b[-1] + 1 < last[other] and pieces(b) < target - pieces(a):
                    b.append(b[-1] + 1)
                waiting = rest + waiting
            elif not random_next_sentence and rng.random() < 0.5:
                a, b, label = rest, a, 1
            else:
                b, label = rest, 0
            rows.append((a[0], a[-1] + 1, b[0], b[-1] + 1, label))
    return rng.permutation(np.array(rows))


@given(seed=seeds, documents=st.integers(1, 6), max_tokens=st.integers(3, 60), short=st.sampled_from([0.0, 0.1, 1.0]),
       nsp=st.booleans())
def test_googles_instances_against_plain_loops(seed, documents, max_tokens, short, nsp):
    text = corpus(np.random.default_rng(seed), documents)
    found, wanted = (make(*text, max_tokens, np.random.default_rng(seed), short, nsp)
                     for make in (pairs.google_instances, plain_google))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("options", [{}, {"random_next_sentence": True}])
def test_googles_instances_of_many_documents_and_of_none(options):
    text = corpus(np.random.default_rng(0), 5000, most_sentences=3)
    found, wanted = (make(*text, 30, np.random.default_rng(1), **options)
                     for make in (pairs.google_instances, plain_google))
    np.testing.assert_array_equal(found, wanted)
    none = np.zeros(0, int)
    assert pairs.google_instances(np.zeros(1, int), none, none, 30, np.random.default_rng(0)).shape == (0, 5)


@given(seed=seeds, max_tokens=st.integers(3, 60), nsp=st.booleans())
def test_googles_truncation_against_plain_loops(seed, max_tokens, nsp):
    """Piece by piece, as truncate_seq_pair; how many of the lost ones were at the front is drawn in one go."""
    rng = np.random.default_rng(seed)
    sentences, first, last = corpus(rng, most_pieces=40)
    rows = pairs.google_instances(sentences, first, last, max_tokens, rng, 0.1, nsp)
    u = rng.random((len(rows), 1))
    s = pairs.google_pairs(u, sentences, rows, max_tokens)
    for i, (a, a_stop, b, b_stop, label) in enumerate(rows):
        length = [sentences[a_stop] - sentences[a], sentences[b_stop] - sentences[b]]
        lost = [0, 0]
        while length[0] + length[1] > max_tokens:
            longer = 0 if length[0] > length[1] else 1
            length[longer] -= 1
            lost[longer] += 1
        front = np.random.default_rng(int(u[i, 0] * 2**53)).binomial(lost, 0.5)
        assert [column[i] for column in s] == [sentences[a] + front[0], length[0], sentences[b] + front[1], length[1], label]
    assert s.label.dtype == np.int32
