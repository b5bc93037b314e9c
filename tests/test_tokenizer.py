"""The tokenizer: preparation, offsets, templates and files as properties of any text; Google's own vectors.

A tiny vocabulary is trained here, so nothing but SentencePiece is needed.  With TINYALBERT_DATA the released
vocabulary is used too.  test_parity_tokenizer.py compares with transformers.
"""

import gzip
import json
import pickle
import re
import string
import unicodedata
import warnings

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from tinyalbert import AlbertTokenizer, UserError
from tinyalbert.text.encoding import windows
from tinyalbert.text.tokenizer import TextPreparation
from tinyalbert.text.tokenizer_json import tokenizer_json
from tinyalbert.text.vocabulary import SPACE, SPECIAL, USER_DEFINED, starts_word

WORDS = "river fox lantern café Straße naïve αβγς мир 東京 9,000, 2000, it's x2, '' `` (and) - \"quoted\" £5 €6 – t.".split()


def invented_text(lines=400, seed=0):
    """Sentences of invented words and numbers, so that a vocabulary has something to learn; the same every time."""
    rng = np.random.default_rng(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    lexicon = ["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(300)] + WORDS
    numbers = [f"{n},000," for n in (1, 19, 207, 55)] + ["1900,", "2000,", "7,"]
    return [" ".join([*rng.choice(lexicon, rng.integers(3, 12)), rng.choice(numbers), "The."]) for _ in range(lines)]


CORPUS = invented_text()
# whatever a text may hold: any Unicode, with what the rules look at more often than chance would have it
RARE = ["[MASK]", "[CLS]", "[SEP]", "<pad>", "<unk>", "<PAD>", "<un\u212a>", "[mask]", "``", "''", "'''", "Σ", "ΑΣ", "𝚺", "İ",
        "ß", "ﬁ", "½", "é", "e\u0301", "\u0301", "한", "\u1112\u1161\u11ab", "9,000,", "٣,", "①,", " ", "  ", "\n", "\u200b",
        "\u3000", "\x1c", "\x00", "▁", "▁▁", "ü", "̈ ", "¨", "…", "℀", "𝟗,", "™", "ａ", "\ufffd", "\u2028", "\xad", "ا", "ลำ", "ﷺ",
        "\ud800", *WORDS, *USER_DEFINED]
texts = st.lists(st.sampled_from(RARE) | st.text(max_size=4) | st.text(string.printable, max_size=4),
                 max_size=12).map("".join)
options = st.fixed_dictionaries({"do_lower_case": st.booleans(), "remove_space": st.booleans(),
                                 "keep_accents": st.booleans(), "style": st.sampled_from(["transformers", "google"])})


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.train(CORPUS, vocab_size=200, num_threads=2)


@pytest.fixture(scope="module")
def released(data_dir):
    return AlbertTokenizer(data_dir / "spiece.model")


def variant(tokenizer, options):
    return AlbertTokenizer(tokenizer.model_bytes, **options)


# --- preparation --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, options, expected", [
    ("  A\tb \n c\u3000d ", {}, "a b c d"),
    ("``A'' isn't ''' B", {}, "\"a\" isn't \"' b"),
    ("``A''", {"style": "google"}, "``a''"),
    ("Naïve CAFÉ", {}, "naive cafe"),
    ("Naïve CAFÉ", {"keep_accents": True}, "naïve café"),
    ("Naïve CAFÉ", {"do_lower_case": False}, "Naive CAFE"),
    ("a  b ", {"remove_space": False}, "a  b "),
    ("ﬁne ½ ™", {}, "fine 1⁄2 tm"),
    ("ΟΔΟΣ", {}, "οδοσ"),
    ("ΟΔΟΣ", {"style": "google"}, "οδος"),
    ("a\ud83d", {}, "a\ufffd"),
])
def test_preparation_of_known_texts(text, options, expected):
    assert TextPreparation(**options)(text) == expected


@given(texts, options)
def test_the_aligned_preparation_is_the_same_preparation(text, options):
    prepare = TextPreparation(**options)
    prepared, spans = prepare.aligned(text)
    assert prepared == prepare(text)
    assert len(spans) == len(prepared)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)


@given(texts)
def test_prepared_text_has_no_capitals_accents_or_double_spaces(text):
    prepared = TextPreparation()(text)
    assert prepared == prepared.lower()
    assert not any(map(unicodedata.combining, prepared))
    assert "``" not in " ".join(text.split()) or '"' in prepared
    assert not any(c.isspace() and c != " " for c in prepared)


# --- special ids, training ----------------------------------------------------------------------------------

def test_the_first_ids_are_alberts(tokenizer):
    assert tokenizer.convert_ids_to_tokens(range(13)) == [*SPECIAL, *USER_DEFINED]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id,
            tokenizer.mask_token_id) == (0, 1, 2, 3, 4)
    assert tokenizer.vocab_size == len(tokenizer) == 200


def test_the_same_text_gives_the_same_vocabulary_from_everywhere(tokenizer, tmp_path):
    """A list, a generator, a file, gzipped files: all the same; and no line is too long to be used."""
    lines = "\n".join(CORPUS)
    (tmp_path / "all.txt").write_text(lines, encoding="utf-8")
    half = lines.index("\n", len(lines) // 2)
    for name, part in (("1.gz", lines[:half]), ("2.gz", lines[half + 1:])):
        with gzip.open(tmp_path / name, "wt", encoding="utf-8") as file:
            file.write(part)
    sources = [(line for line in CORPUS), str(tmp_path / "all.txt"), [tmp_path / "1.gz", tmp_path / "2.gz"]]
    made = [AlbertTokenizer.train(source, vocab_size=200, num_threads=2) for source in sources]
    expected = tokenizer.convert_ids_to_tokens(range(200))
    assert [t.convert_ids_to_tokens(range(200)) for t in made] == [expected] * 3
    one_line = AlbertTokenizer.train([" ".join(CORPUS)], vocab_size=200, num_threads=2)
    assert one_line.vocab_size == 200


def test_a_sample_of_the_lines_is_enough(tokenizer):
    assert AlbertTokenizer.train(CORPUS, vocab_size=150, sample_size=200, num_threads=1).vocab_size == 150


def test_training_prepares_the_text():
    cased = AlbertTokenizer.train(CORPUS, vocab_size=200, do_lower_case=False, keep_accents=True, num_threads=2)
    assert "T" in "".join(cased.tokenize("The")) and "é" in "".join(cased.tokenize("café"))
    assert not cased.prepare.do_lower_case
    lower = AlbertTokenizer.train(CORPUS, vocab_size=200, num_threads=2)
    assert not any(c.isupper() for i in range(13, 200) for c in lower.convert_ids_to_tokens(i))


def test_a_vocabulary_that_the_text_does_not_support_is_refused_with_the_largest_that_works():
    corpus = ["some words, some more words"] * 5
    with pytest.raises(UserError, match="expected at most") as refusal:
        AlbertTokenizer.train(corpus, vocab_size=5000)
    largest = int(str(refusal.value).split("at most ")[1].split(";")[0])
    assert AlbertTokenizer.train(corpus, vocab_size=largest).vocab_size == largest
    with pytest.raises(UserError):
        AlbertTokenizer.train(corpus, vocab_size=largest + 1)
    with pytest.raises(UserError, match="too small"):
        AlbertTokenizer.train(corpus, vocab_size=14)
    with pytest.raises(UserError, match="-3 pieces"):
        AlbertTokenizer.train(corpus, vocab_size=-3)


@pytest.mark.parametrize("corpus", [[], ["", "  \n", "\u0301"], iter(())])
def test_an_empty_corpus_is_refused(corpus):
    with pytest.raises(UserError, match="no text"):
        AlbertTokenizer.train(corpus, vocab_size=100)


def test_unreadable_corpora_are_refused(tmp_path):
    (tmp_path / "latin1.txt").write_bytes("Zoë\n".encode("latin-1"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"hello " * 999)[:20])
    for path in ("latin1.txt", "cut.gz", "missing.txt", "."):
        with pytest.raises(UserError, match="can't be read"):
            AlbertTokenizer.train(tmp_path / path, vocab_size=100)
    with pytest.raises(UserError, match="expected a string"):
        AlbertTokenizer.train(["good", None], vocab_size=100)


def test_what_stops_the_source_stops_the_training_as_it_is():
    """A Ctrl-C or an error of the reader is passed on, not made into an error of SentencePiece."""
    def broken(error):
        yield from CORPUS[:50]
        raise error
    for error in (KeyboardInterrupt(), UserError("line 51 is malformed")):
        with pytest.raises(type(error)) as seen:
            AlbertTokenizer.train(broken(error), vocab_size=100)
        assert seen.value is error


# --- pieces and ids -----------------------------------------------------------------------------------------

@given(texts, options)
@example("[MASK] fox 9,000, <PAD><unk> [SEP]", {"do_lower_case": False})
@example("the [CLS][MASK]", {})
def test_in_a_corpus_what_looks_like_a_special_token_is_text(tokenizer, text, options):
    """SentencePiece's own pieces but for the commas; the only special id is <unk>, for unknown characters."""
    tokenizer = variant(tokenizer, options)
    processor = SentencePieceProcessor(model_proto=tokenizer.model_bytes)
    batch = [text, "fox", text[::-1], ""]
    got = tokenizer.encode_batch_ids(batch, special_tokens=False)
    for each, ids in zip(batch, got):
        assert set(ids.tolist()) & set(range(5)) <= {tokenizer.unk_token_id}
        prepared = tokenizer.prepare(each)
        if "," not in tokenizer.normalize(each):
            assert ids.tolist() == processor.encode(prepared)
        elif not any(token in prepared for token in SPECIAL):
            plain = tokenizer.convert_tokens_to_ids(tokenizer._pieces(prepared))
            assert ids.tolist() == [1 if i < 5 else i for i in plain]


@given(texts, options)
@example("[MASK] 9,000, <PAD> ″x2,", {})
def test_the_bulk_path_gives_the_ids_of_tokenize(tokenizer, text, options):
    tokenizer = variant(tokenizer, options)
    batch = [text, "", text[::-1], "fox 9,000", text + " ", "[MASK]"]
    got = tokenizer.encode_batch_ids(iter(batch))
    assert [g.tolist() for g in got] == [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(t)) for t in batch]
    assert all(g.dtype == np.int32 for g in got)
    assert tokenizer.encode_batch_ids([]) == []


@given(texts)
def test_no_comma_sticks_to_a_digit(tokenizer, text):
    for piece in tokenizer.tokenize(text):
        assert not (len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit() and tokenizer.convert_tokens_to_ids(piece) != 1)


def test_the_comma_rule_of_google_leaves_a_space(tokenizer):
    """Google's code compares text with bytes there; transformers' strips the space that a new word would have."""
    google = variant(tokenizer, {"style": "google"})
    commas = [p for p in tokenizer.convert_ids_to_tokens(range(13, tokenizer.vocab_size)) if re.fullmatch(r".*\d,", p)]
    inside = [p for p in commas if not p.startswith(SPACE)]
    assert inside
    for piece in [*commas, "▁92000,"]:
        theirs, ours = google._cut_comma(piece), tokenizer._cut_comma(piece)
        assert "".join(ours) == piece and ours[-1] == theirs[-1] == ","
        assert "".join(theirs) == SPACE + piece.removeprefix(SPACE)


def googles_pieces(processor, text):
    """google-research/albert, tokenization.py, preprocess_text and encode_pieces, as they run on Python 3."""
    text = " ".join(text.strip().split())
    text = unicodedata.normalize("NFKD", text)
    text = "".join([c for c in text if not unicodedata.combining(c)]).lower()
    underline, pieces = SPACE.encode(), []
    for piece in processor.EncodeAsPieces(text):
        if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
            current = processor.EncodeAsPieces(piece[:-1].encode().replace(underline, b"").decode())
            if piece[0] != underline and current[0][0] == underline:                 # text never equals bytes
                current = current[1:] if len(current[0]) == 1 else [current[0][1:], *current[1:]]
            pieces += [*current, piece[-1]]
        else:
            pieces.append(piece)
    return pieces


@given(texts)
@example("ΟΔΟΣ 𝚺 1,007, ``x'' 12,000,")
def test_googles_style_is_googles_code(tokenizer, text):
    text = "".join(c for c in text if c not in "[<\ud800")                # it has no special tokens in texts
    google = variant(tokenizer, {"style": "google"})
    assert google.tokenize(text) == googles_pieces(SentencePieceProcessor(model_proto=tokenizer.model_bytes), text)


def test_special_tokens_in_a_text_are_recognised(tokenizer):
    tokens = tokenizer.tokenize("the fox [MASK] [CLS]x[SEP]<unk><PAD> [cls]")
    assert [t for t in tokens if t in SPECIAL] == ["[MASK]", "[CLS]", "[SEP]", "<unk>", "<pad>"]
    assert tokenizer.tokenize("a  [MASK]b") == [*tokenizer.tokenize("a"), "[MASK]", *tokenizer.tokenize("b")]


KNOWN = sorted(set("".join(CORPUS)) - set("<[")) + ["É", "ü", "ﬁ", "Ａ", "''", "``", "  ", "\t"]      # no unknown pieces


@given(st.lists(st.sampled_from(KNOWN), max_size=30).map("".join))
def test_decoding_gives_the_normalised_text_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assume(not {0, 1, 2, 3, 4} & set(ids[1:-1]))
    assert tokenizer.decode(ids, skip_special_tokens=True) == tokenizer.normalize(text)


@given(st.lists(st.sampled_from([w for w in " ".join(CORPUS).lower().split() if w.isascii() and "''" not in w and "``" not in w]),
                min_size=1, max_size=20))
def test_words_of_the_corpus_come_back_as_they_are(tokenizer, words):
    assert tokenizer.decode(tokenizer.encode(" ".join(words)), skip_special_tokens=True) == " ".join(words)


def test_decoding_special_tokens(tokenizer):
    ids = tokenizer.encode("the fox [MASK].")
    assert tokenizer.decode(ids) == "[CLS] the fox[MASK] .[SEP]"          # transformers' spacing
    assert tokenizer.decode(np.array(ids), skip_special_tokens=True) == "the fox ."
    assert tokenizer.decode(4) == "[MASK]" and tokenizer.decode([]) == ""


@pytest.mark.parametrize("ids", [[200], [-1], 200, [3, 10**9], [1.5], [[1, 2]]])
def test_ids_outside_the_vocabulary_are_refused(tokenizer, ids):
    with pytest.raises(UserError):
        tokenizer.decode(ids)
    with pytest.raises(UserError):
        tokenizer.convert_ids_to_tokens(ids)


@given(st.integers(0, 199))
def test_pieces_and_ids_are_inverse(tokenizer, i):
    assert tokenizer.convert_tokens_to_ids(tokenizer.convert_ids_to_tokens(i)) == i
    assert tokenizer.convert_tokens_to_ids(tokenizer.convert_ids_to_tokens([i])) == [i]


@pytest.mark.parametrize("piece, expected", [
    ("▁the", True), ("▁", True), ("s", False), ("ing", False), ("S", False), (",", True), (".", True), ("£", True), ("-", True),
    ("'", True), ("'s", True), ("9", True), ("2000", True), ("é", True), ("<x", True), ("=", True), ("a.", False), ("...", False),
    ("漢", True), ("aé", True), ("_", True), ("\\", True)])
def test_googles_rule_for_pieces_that_start_a_word(piece, expected):
    assert starts_word(piece) is expected


def test_word_starts_are_a_mask_over_the_vocabulary(tokenizer):
    starts = tokenizer.word_starts
    assert starts.dtype == bool and starts.shape == (200,)
    for i in range(200):
        piece = tokenizer.convert_ids_to_tokens(i)
        assert starts[i] == (i < 5 or starts_word(piece))


# --- offsets and words --------------------------------------------------------------------------------------

def plain(text):
    """Text without the one thing that depends on its neighbours: a sigma is final or not."""
    return text.replace("ς", "σ")


@given(texts, options)
@example("ﬁne ½ 한국 ''x''' [MASK]  é<PAD>", {})
def test_offsets_lead_back_to_the_text(tokenizer, text, options):
    """The span of a piece, prepared and normalised on its own, holds the piece; nothing else if no other piece
    comes out of the same characters."""
    tokenizer = variant(tokenizer, options)
    tokens, spans = tokenizer.tokenize_with_offsets(text)
    assert tokens == tokenizer.tokenize(text)
    starts = [start for start, _ in spans]
    assert starts == sorted(starts) and all(0 <= start <= end <= len(text) for start, end in spans)
    for i, (token, (start, end)) in enumerate(zip(tokens, spans)):
        source = text[start:end]
        if token in SPECIAL and token == (source if source in SPECIAL else source.lower()):
            continue
        letters = plain(token.lstrip(SPACE))
        assert (start == end) == (letters == "")
        assert source.strip() == source or not options.get("remove_space", True)
        got, letters = plain(tokenizer.normalize(source)), letters.strip()
        shared = any(j != i and s < end and start < e for j, (s, e) in enumerate(spans))
        assert letters in got if shared else got == letters


@given(st.lists(st.sampled_from("the fox finds 9,000 harbour remembers café. (and)".split()), min_size=1, max_size=12),
       st.sampled_from([" ", "  ", "\n", "\t \u3000"]))
def test_words_are_those_between_the_spaces(tokenizer, words, space):
    encoded = tokenizer(space.join(words), return_offsets_mapping=True)
    starts = [sum(len(w) + len(space) for w in words[:i]) for i in range(len(words))]
    for word, (start, end), special in zip(encoded.word_ids(), encoded.offset_mapping, tokenizer(
            space.join(words), return_special_tokens_mask=True).special_tokens_mask):
        assert (word is None) == bool(special)
        if word is not None and start < end:
            assert starts[word] <= start < end <= starts[word] + len(words[word])
    assert {w for w in encoded.word_ids() if w is not None} == set(range(len(words)))


@given(st.lists(texts, max_size=5))
def test_given_words_keep_their_numbers(tokenizer, words):
    encoded = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
    expected = [(i, w) for w, word in enumerate(words) for i in tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word))]
    assert list(zip(encoded.input_ids, encoded.word_ids()))[1:-1] == expected
    for (start, end), word in list(zip(encoded.offset_mapping, encoded.word_ids()))[1:-1]:
        assert 0 <= start <= end <= len(words[word])
    batch = tokenizer([words, ["x"]], is_split_into_words=True)
    assert batch.input_ids == [encoded.input_ids, tokenizer.encode("x")]


# --- templates, truncation, windows, padding ----------------------------------------------------------------

def test_templates(tokenizer):
    a, b = (tokenizer.convert_tokens_to_ids(tokenizer.tokenize(t)) for t in ("the fox", "a river."))
    single = tokenizer("the fox", return_special_tokens_mask=True)
    assert single.input_ids == tokenizer.encode("the fox") == [2, *a, 3]
    assert single.token_type_ids == [0] * len(single.input_ids) and set(single.attention_mask) == {1}
    assert single.special_tokens_mask == [1, *[0] * len(a), 1]
    pair = tokenizer("the fox", "a river.", return_special_tokens_mask=True)
    assert pair.input_ids == [2, *a, 3, *b, 3]
    assert pair.token_type_ids == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert pair.sequence_ids() == [None, *[0] * len(a), None, *[1] * len(b), None]
    assert pair.special_tokens_mask == [int(s is None) for s in pair.sequence_ids()]
    assert tokenizer.encode("the fox", "", add_special_tokens=True) == [2, *a, 3, 3]
    assert tokenizer.encode("the fox", "a river.", add_special_tokens=False) == a + b


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 20))
def test_longest_first_takes_one_token_at_a_time_from_the_longer(n, m, room):
    first, second = list(range(n)), list(range(m))
    a, b = list(first), list(second)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    assert windows(first, second, "longest_first", room) == [(a, b)]


@given(st.integers(1, 40), st.integers(0, 5), st.integers(1, 12), st.integers(0, 11), st.booleans())
def test_windows_cover_the_text_and_overlap_by_the_stride(n, other, room, stride, cut_second):
    assume(room - other > stride)
    long, short = list(range(n)), ["q"] * other
    pair, how = ((short, long), "only_second") if cut_second else ((long, short), "only_first")
    parts = [p[cut_second] for p in windows(*pair, how, room, stride, several=True)]
    assert parts[0] == long[:room - other] and parts[-1][-1] == n - 1
    assert parts[0] + [x for p in parts[1:] for x in p[stride:]] == long
    assert all(before[len(before) - stride:] == after[:stride] for before, after in zip(parts, parts[1:]))
    assert all(len(p) == room - other for p in parts[:-1]) and stride < len(parts[-1]) <= room - other or len(parts) == 1


def test_windows_over_a_long_context_keep_question_offsets_and_owner(tokenizer):
    question, context = "Who finds it?", "The fox finds the lantern. " * 6
    encoded = tokenizer([question, "x"], [context, "y"], truncation="only_second", max_length=24, stride=4,
                        return_overflowing_tokens=True, return_offsets_mapping=True, padding="max_length")
    owners = encoded.overflow_to_sample_mapping
    assert len(owners) > 3 and owners == [0] * (len(owners) - 1) + [1]
    covered = set()
    for row, owner in enumerate(owners):
        assert len(encoded.input_ids[row]) == 24
        for (start, end), sequence in zip(encoded.offset_mapping[row], encoded.sequence_ids(row)):
            if sequence == 1 and owner == 0:
                covered |= set(range(start, end))
    assert covered == {i for i, c in enumerate(context) if c != " "}
    single = tokenizer("the fox", return_overflowing_tokens=True)
    assert single.overflow_to_sample_mapping == [0] and single.input_ids == [tokenizer.encode("the fox")]


@given(st.lists(texts, min_size=1, max_size=4), st.sampled_from([True, "max_length"]), st.sampled_from([1, 8]))
def test_padding(tokenizer, batch, padding, multiple):
    encoded = tokenizer(batch, padding=padding, truncation=True, max_length=20, pad_to_multiple_of=multiple,
                        return_tensors="np", return_special_tokens_mask=True, return_offsets_mapping=True)
    bare = [tokenizer.encode(t, truncation=True, max_length=20) for t in batch]
    width = 20 if padding == "max_length" else max(map(len, bare))
    width += -width % multiple
    assert encoded.input_ids.shape == (len(batch), width) and encoded.offset_mapping.shape == (len(batch), width, 2)
    assert all(v.dtype == np.int32 for v in encoded.values())
    for row, ids in enumerate(bare):
        n = len(ids)
        assert encoded.input_ids[row].tolist() == ids + [0] * (width - n)
        assert encoded.attention_mask[row].tolist() == [1] * n + [0] * (width - n)
        assert encoded.special_tokens_mask[row, n:].all() and not encoded.token_type_ids[row].any()
        assert encoded.word_ids(row)[n:] == [None] * (width - n)


@pytest.mark.parametrize("call, what", [
    (dict(text=None), "expected a string"), (dict(text=["a", 3]), "expected a string"), (dict(text=b"a"), "expected a string"),
    (dict(text=["a", "b"], text_pair=["c"]), "got 2 texts and 1"), (dict(text="a b", is_split_into_words=True), "expected a list of words"), (dict(text=["a"], text_pair="c"), "got 1 texts and one"),
    (dict(text="a b c", truncation="middle"), "truncation='middle'"), (dict(text="a", padding="left"), "padding='left'"),
    (dict(text="a", return_tensors="pt"), "'pt'"), (dict(text="a", max_length=5), "does nothing"),
    (dict(text="a", max_length=1, truncation=True), "raise max_length"),
    (dict(text="a b c d", text_pair="e", max_length=2, truncation=True), "raise max_length"),
    (dict(text="a", text_pair="b " * 9, max_length=6, truncation="only_first"), "raise max_length"),
    (dict(text="a b c d e f g", max_length=5, truncation=True, stride=3, return_overflowing_tokens=True), "lower stride"),
    (dict(text="a", text_pair="b", truncation=True, return_overflowing_tokens=True), "'only_second'"),
    (dict(text=["a", "a b"], return_tensors="np"), "padding=True"),
    (dict(text="a", max_length=True, truncation=True), "max_length is True"), (dict(text="a", max_length=2.5, truncation=True), "max_length is 2.5"),
    (dict(text="a", max_length="9", truncation=True), "max_length is '9'"), (dict(text="a", stride=-1), "stride is -1"),
    (dict(text="a", stride=0.5), "stride is 0.5"), (dict(text="a", pad_to_multiple_of=0), "pad_to_multiple_of is 0"),
    (dict(text="a", padding=["longest"]), "padding="), (dict(text="a", truncation=3), "truncation=3"), (dict(text=np.array(["a"])), "expected a string"),
])
def test_mistakes_are_explained(tokenizer, call, what):
    with pytest.raises(UserError, match=what):
        tokenizer(**call)


@given(first=texts, second=texts)
def test_calls_as_transformers_users_write_them(tokenizer, first, second):
    plain = tokenizer(first, second)
    assert tokenizer(first, text_pair=second) == tokenizer(text=first, text_pair=second) == plain
    assert tokenizer(first, second, padding="do_not_pad", truncation="do_not_truncate", pad_to_multiple_of=None) == plain
    short = tokenizer(first, second, return_token_type_ids=False, return_attention_mask=False)
    assert short == {"input_ids": plain["input_ids"]}
    ids = [plain["input_ids"], tokenizer(second)["input_ids"]]
    for rows in (ids, tuple(ids), [np.array(row) for row in ids], [np.array(row, np.int16) for row in ids]):
        assert tokenizer.batch_decode(rows, skip_special_tokens=True) == [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
    assert tokenizer.convert_ids_to_tokens(np.array(ids[0])) == tokenizer.convert_ids_to_tokens(ids[0])


def test_the_vocabulary_as_a_dict(tokenizer):
    vocabulary = tokenizer.get_vocab()
    assert len(vocabulary) == len(tokenizer) and vocabulary["[MASK]"] == tokenizer.mask_token_id
    assert all(tokenizer.convert_ids_to_tokens(i) == piece for piece, i in vocabulary.items())


@pytest.mark.parametrize("ids", [[1.0], 1.5, [True], True, ["1"], "12", [None], None, [-1], [10**6], 10**30, [[2, 3]], [[2], [3, 4]],
                                 np.zeros((1, 2), int), np.array([1.0]), np.array([True]), {"input_ids": [2]}])
def test_ids_that_are_none_are_refused_in_words(tokenizer, ids):
    for read in (tokenizer.decode, tokenizer.convert_ids_to_tokens):
        with pytest.raises(UserError, match="expected"):
            read(ids)
    with pytest.raises(UserError, match="expected"):
        tokenizer.batch_decode([ids])


@pytest.mark.parametrize("tokens", [3, None, [1, 2], [["a"]], ["a", None]])
def test_tokens_that_are_none_are_refused_in_words(tokenizer, tokens):
    with pytest.raises(UserError, match="tokens is"):
        tokenizer.convert_tokens_to_ids(tokens)


def test_settings_of_the_object_that_are_not_done_are_refused(tokenizer):
    for name, side in (("padding_side", "both"), ("padding_side", None), ("padding_side", ["left"]), ("truncation_side", "left")):
        setattr(tokenizer, name, "right")
        with pytest.raises(UserError, match=f"{name}=.* is unknown; expected one of 'right'"):
            setattr(tokenizer, name, side)
    with pytest.raises(UserError, match="padding_side='top' is unknown; expected one of 'right', 'left'"):
        tokenizer("bo", padding=True, padding_side="top")
    for longest in (0, -1, 1e30, "512", True, None):
        with pytest.raises(UserError, match="model_max_length is"):
            AlbertTokenizer(tokenizer.model_bytes, model_max_length=longest)


@given(texts=st.lists(st.sampled_from(["", "bo", "Kade lé, na", "so [MASK] na bo lu"]), min_size=1), multiple=st.integers(1, 9),
       options=st.sampled_from([{"padding": True}, {"padding": "max_length", "max_length": 40}, {"padding": True, "add_special_tokens": False}]))
def test_filled_up_at_the_left_a_row_has_the_same_tokens_further_right(tokenizer, texts, multiple, options):
    """Set on the tokenizer or in the call, in every list that tells something of a token."""
    tells = dict(options, pad_to_multiple_of=multiple, return_offsets_mapping=True, return_special_tokens_mask=True)
    right = tokenizer(texts, **tells)
    left = tokenizer(texts, **tells, padding_side="left")
    other = pickle.loads(pickle.dumps(tokenizer))
    other.padding_side = "left"
    again = pickle.loads(pickle.dumps(other))
    assert again(texts, **tells) == left and again(texts, **tells, padding_side="right") == right
    for row, mask in enumerate(right.attention_mask):
        n = sum(mask)
        for name in right:
            assert left[name][row] == right[name][row][n:] + right[name][row][:n]
        assert left.word_ids(row) == right.word_ids(row)[n:] + right.word_ids(row)[:n]


@pytest.mark.parametrize("size", [1, 2, 4, 5, 13])
def test_a_vocabulary_without_room_for_the_special_pieces_is_refused(size):
    with pytest.raises(UserError, match=f"a vocabulary of {size} pieces is too small: special pieces .*; raise vocab_size"):
        AlbertTokenizer.train(CORPUS[:20], size)


def test_the_side_is_kept_in_a_folder(tokenizer, tmp_path):
    other = pickle.loads(pickle.dumps(tokenizer))
    other.padding_side = "left"
    other.save_pretrained(tmp_path)
    assert AlbertTokenizer.from_pretrained(tmp_path).padding_side == "left"
    (tmp_path / "spiece.model").unlink()
    assert AlbertTokenizer.from_pretrained(tmp_path).padding_side == "left"
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "spiece.model").unlink()
    assert AlbertTokenizer.from_pretrained(tmp_path).padding_side == "right"
    path = tmp_path / "tokenizer.json"                  # as written after a call that filled up at the left
    path.write_text(json.dumps({**json.loads(path.read_text()), "padding": {"strategy": "BatchLongest", "direction": "Left"}}))
    assert AlbertTokenizer.from_pretrained(tmp_path).padding_side == "left"


def test_an_encoding_reads_like_a_dict_and_like_an_object(tokenizer):
    encoded = tokenizer("fox")
    assert encoded.input_ids is encoded["input_ids"] and set(encoded) == {"input_ids", "token_type_ids", "attention_mask"}
    with pytest.raises(AttributeError, match="it has input_ids"):
        encoded.inputs_ids  # noqa: B018


# --- files --------------------------------------------------------------------------------------------------

@given(options, st.integers(8, 600))
def test_saving_and_loading_changes_nothing(tokenizer, tmp_path_factory, options, longest):
    folder = tmp_path_factory.mktemp("tokenizer") / "new"
    AlbertTokenizer(tokenizer.model_bytes, **options, model_max_length=longest).save_pretrained(folder)
    for again in (AlbertTokenizer.from_pretrained(folder), pickle.loads(pickle.dumps(AlbertTokenizer.from_pretrained(str(folder))))):
        assert (again.prepare, again.model_max_length) == (TextPreparation(**options), longest)
        assert again.model_bytes == tokenizer.model_bytes
    assert sorted(p.name for p in folder.iterdir()) == [
        "special_tokens_map.json", "spiece.model", "tokenizer.json", "tokenizer_config.json"]
    assert AlbertTokenizer.from_pretrained(folder / "spiece.model").model_bytes == tokenizer.model_bytes


@given(text=texts, options=options)
@example(text="9,000, (2000, 7, – '' <unk> [MASK].", options={})
def test_tokenizer_json_alone_gives_the_same_tokenizer(tokenizer, tmp_path_factory, text, options):
    """What transformers 5 saves has no spiece.model; kinds and scores of all pieces come back."""
    folder = tmp_path_factory.mktemp("tokenizer")
    here = variant(tokenizer, options)
    here.save_pretrained(folder)
    (folder / "spiece.model").unlink()
    again = AlbertTokenizer.from_pretrained(folder)
    assert again.tokenize_with_offsets(text) == here.tokenize_with_offsets(text)
    assert again.word_starts.tolist() == here.word_starts.tolist()
    again.save_pretrained(folder)
    assert (folder / "spiece.model").read_bytes() == again.model_bytes
    assert json.loads((folder / "tokenizer.json").read_text()) == json.loads(tokenizer_json(here.model_bytes, here.prepare))


@pytest.mark.parametrize("score", ["1e39", "-1e300", "1e999", "NaN", '"x"', "null"])
def test_a_score_that_is_no_32_bit_number_is_refused(tokenizer, tmp_path, score):
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "spiece.model").unlink()
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    document["model"]["vocab"][20][1] = "SCORE"
    (tmp_path / "tokenizer.json").write_text(json.dumps(document).replace('"SCORE"', score))
    with pytest.raises(UserError, match="tokenizer.json"):
        AlbertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("options", [{}, {"do_lower_case": False}, {"keep_accents": True}])
def test_tokenizer_json_tells_the_settings_that_no_other_file_tells(tokenizer, tmp_path, options):
    here = variant(tokenizer, options)
    here.save_pretrained(tmp_path)
    for name in ("spiece.model", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    assert AlbertTokenizer.from_pretrained(tmp_path).prepare == here.prepare


def test_foreign_and_broken_folders_are_refused(tokenizer, tmp_path):
    for make, what in [
            (lambda: None, "no spiece.model or tokenizer.json"),
            (lambda: (tmp_path / "tokenizer.json").write_text("[1]"), "holds list; expected a tokenizer.json"),
            (lambda: (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE"}}'), "tokenizer.json holds a tokenizer of type 'BPE'; expected Unigram, as ALBERT's$"),
            (lambda: (tmp_path / "tokenizer.json").write_text('{"model": {"type": "WordPiece"}}'), "'WordPiece'; expected Unigram.* its vocabulary does not"),
            (lambda: ((tmp_path / "tokenizer.json").unlink(), (tmp_path / "vocab.txt").write_text("[PAD]")), "vocab.txt is a WordPiece vocabulary; expected"),
            (lambda: (tmp_path / "spiece.model").write_bytes(b""), "no SentencePiece model"),
            (lambda: (tmp_path / "spiece.model").write_bytes(tokenizer.model_bytes[:-500]), "no SentencePiece model"),
            (lambda: (tmp_path / "spiece.model").write_bytes(tokenizer.model_bytes.replace(b"[MASK]", b"[MUSK]")), r"has no \[MASK\]"),
            (lambda: tokenizer.save_pretrained(tmp_path) or (tmp_path / "added_tokens.json").write_text('{"<new>": 200}'), "<new>"),
            (lambda: (tmp_path / "tokenizer_config.json").write_text("{"), "not JSON"),
            (lambda: (tmp_path / "tokenizer_config.json").write_text("[1]"), "holds list")]:
        make()
        with pytest.raises(UserError, match=what):
            AlbertTokenizer.from_pretrained(tmp_path)
    with pytest.raises(UserError, match="can't be read"):
        AlbertTokenizer(tmp_path / "nothing.model")
    with pytest.raises(UserError, match="style 'bert'"):
        AlbertTokenizer(tokenizer.model_bytes, style="bert")


def with_changes(tokenizer, folder, file="tokenizer_config.json", **changes):
    """A saved tokenizer, in one of whose files some values are others."""
    tokenizer.save_pretrained(folder)
    path = folder / file
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes}))
    return folder


@pytest.mark.parametrize("changes", [
    {"padding_side": "both"}, {"truncation_side": "left"}, {"split_special_tokens": True}, {"add_prefix_space": False},
    {"sp_model_kwargs": {"enable_sampling": True, "alpha": 0.1}}, {"tokenizer_class": "XLNetTokenizer"},
    {"mask_token": "<mask>"}, {"pad_token": "[PAD]"}, {"cls_token": {"content": "<s>"}}, {"unk_token": None},
    {"eos_token": "</s>"}, {"additional_special_tokens": ["<e>"]}, {"extra_special_tokens": {"e": "<e>"}},
    {"extra_special_tokens": ["the"]}, {"additional_special_tokens": "<e>"}, {"added_tokens_decoder": {"4": "[MASK]"}},
    {"added_tokens_decoder": {"5": {"content": "[MASK]"}}}, {"added_tokens_decoder": {"900": {"content": "<e>"}}},
    {"added_tokens_decoder": {"4": {"content": "[MASK]", "single_word": True}}},
    {"do_lower_case": None}, {"do_lower_case": "yes"}, {"keep_accents": 1}, {"remove_space": 0.0}, {"style": "bert"},
    {"model_max_length": "512"}, {"model_max_length": 0}, {"model_max_length": -1}, {"model_max_length": True},
    {"model_max_length": 12.5}, {"model_max_length": float("nan")}, {"model_max_length": -float("inf")}])
def test_what_would_change_ids_and_is_not_done_is_refused(tokenizer, tmp_path, changes):
    [name] = changes
    with pytest.raises(UserError, match=f"tokenizer_config.json: {name}|adds tokens|token .MASK. has the id|style|single word"):
        AlbertTokenizer.from_pretrained(with_changes(tokenizer, tmp_path, **changes))


@pytest.mark.parametrize("changes", [
    {"padding_side": "right"}, {"padding_side": "left"}, {"padding_side": None}, {"split_special_tokens": False}, {"sp_model_kwargs": None},
    {"tokenizer_class": "AlbertTokenizerFast"}, {"tokenizer_class": None}, {"bos_token": None}, {"eos_token": "[SEP]"},
    {"mask_token": {"content": "[MASK]", "lstrip": True}}, {"additional_special_tokens": ["[MASK]"]},
    {"extra_special_tokens": {"mask": "[MASK]"}}, {"added_tokens_decoder": None}, {"unheard_of": [1, {"a": None}]}])
def test_what_changes_no_ids_is_let_in(tokenizer, tmp_path, changes):
    again = AlbertTokenizer.from_pretrained(with_changes(tokenizer, tmp_path, **changes))
    assert again("Bo [MASK] kade.", "Lu.") == tokenizer("Bo [MASK] kade.", "Lu.")


@pytest.mark.parametrize("file, changes, message", [
    ("special_tokens_map.json", {"sep_token": "</s>"}, "special_tokens_map.json: sep_token is '</s>'"),
    ("special_tokens_map.json", {"additional_special_tokens": ["<e>"]}, "adds tokens"),
    ("added_tokens.json", {"[MASK]": 7}, "MASK. has the id 7, in the vocabulary 4")])
def test_the_files_beside_it_are_read_alike(tokenizer, tmp_path, file, changes, message):
    with pytest.raises(UserError, match=message):
        AlbertTokenizer.from_pretrained(with_changes(tokenizer, tmp_path, file, **changes))


def test_pieces_that_transformers_cuts_out_are_said(tokenizer, tmp_path):
    """They are in the vocabulary, so its own ids are given; following the advice ends the difference."""
    flags = {"special": False, "single_word": False, "normalized": False}
    added = {str(tokenizer.convert_tokens_to_ids(t)): {"content": t, **flags} for t in "(."}
    with pytest.warns(UserWarning, match=r"cuts \( \. out of a text .*save_pretrained"):
        again = AlbertTokenizer.from_pretrained(with_changes(tokenizer, tmp_path, added_tokens_decoder=added))
    assert again.tokenize("bo (kade). lu") == tokenizer.tokenize("bo (kade). lu")
    again.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AlbertTokenizer.from_pretrained(tmp_path)


@given(given=st.none() | st.integers(1, 10**40) | st.floats(1e9, allow_nan=False) | st.just(1e30),
       positions=st.none() | st.integers(1, 600) | st.sampled_from(["many", 0, True]))
def test_a_text_is_never_cut_to_more_tokens_than_the_model_beside_has_positions(tokenizer, tmp_path_factory, given, positions):
    folder = with_changes(tokenizer, tmp_path_factory.mktemp("tokenizer"), model_max_length=given)
    if positions is not None:
        (folder / "config.json").write_text(json.dumps({"max_position_embeddings": positions}))
    here = positions if type(positions) is int and positions else 10**50
    again = AlbertTokenizer.from_pretrained(folder)
    assert again.model_max_length == min(here, given if given and given < 1e9 else 512)
    again.model_max_length = 700
    again.save_pretrained(folder)
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == min(700, here)


def test_the_config_is_the_one_transformers_writes(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "AlbertTokenizer" and "style" not in config
    assert config["added_tokens_decoder"]["4"] == {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False,
                                                   "single_word": False, "special": True}
    assert json.loads((tmp_path / "special_tokens_map.json").read_text())["mask_token"]["lstrip"] is True


# --- the released vocabulary --------------------------------------------------------------------------------

def test_googles_vectors(released, data_dir):
    accents = AlbertTokenizer(data_dir / "spiece.model", keep_accents=True)
    assert accents.tokenize("This is a test") == ["▁this", "▁is", "▁a", "▁test"]
    assert accents.convert_tokens_to_ids(accents.tokenize("This is a test")) == [48, 25, 21, 1289]
    text = "I was born in 92000, and this is falsé."
    assert accents.tokenize(text) == "▁i ▁was ▁born ▁in ▁9 2000 , ▁and ▁this ▁is ▁fal s é .".split()
    ids = [31, 23, 386, 19, 561, 3050, 15, 17, 48, 25, 8256, 18, 1, 9]
    assert accents.convert_tokens_to_ids(accents.tokenize(text)) == accents.encode_batch_ids([text])[0].tolist() == ids
    assert released.encode("The quick brown fox jumps over the lazy dog.") == [
        2, 14, 2231, 886, 2385, 17659, 84, 14, 16792, 1952, 9, 3]
    assert released.vocab_size == 30000 and released.convert_ids_to_tokens(29999) == "▁eloquent"
    assert released.convert_ids_to_tokens(range(13)) == [*SPECIAL, *USER_DEFINED]


def test_offsets_on_real_text(released, data_dir):
    lines = [line.split("\t")[0] for line in (data_dir / "sst2/dev.tsv").read_text(encoding="utf-8").splitlines()[:100]]
    paragraphs = [p["context"] for a in json.loads((data_dir / "squad/xquad.en.json").read_text(encoding="utf-8"))["data"][:5]
                  for p in a["paragraphs"]]
    for text in lines + paragraphs:
        tokens, spans = released.tokenize_with_offsets(text)
        assert tokens == released.tokenize(text)
        for token, (start, end) in zip(tokens, spans):
            assert token.lstrip(SPACE) in released.normalize(text[start:end])
        covered = {i for start, end in spans for i in range(start, end)}
        assert {i for i, c in enumerate(text) if not c.isspace()} <= covered


def test_answers_are_found_again_through_the_offsets(released, data_dir):
    """Every answer of SQuAD-format data maps to tokens whose span is the answer or, inside a piece, more."""
    articles = json.loads((data_dir / "squad/xquad.en.json").read_text(encoding="utf-8"))["data"][:8]
    exact = total = 0
    for paragraph in (p for a in articles for p in a["paragraphs"]):
        _, spans = released.tokenize_with_offsets(paragraph["context"])
        for answer in (a for q in paragraph["qas"] for a in q["answers"]):
            start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
            touched = [s for s in spans if s[0] < end and start < s[1]]
            assert touched[0][0] <= start and touched[-1][1] >= end
            exact += paragraph["context"][touched[0][0]:touched[-1][1]] == answer["text"]
            total += 1
    assert total > 100 and exact / total > 0.98
