"""Tagging equal to seqeval's scores, and to transformers' pipeline with the same weights."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

seqeval = pytest.importorskip("seqeval")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score  # noqa: E402
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support  # noqa: E402
from seqeval.scheme import IOB2, IOBES, Entities  # noqa: E402
from test_ner import IOB, TAGS  # noqa: E402
from test_tokenizer import CORPUS  # noqa: E402

from tinyalbert import AlbertConfig, AlbertForTokenClassification, AlbertTokenizer, pipeline  # noqa: E402
from tinyalbert.errors import UserError  # noqa: E402
from tinyalbert.tasks.conll import Sentence  # noqa: E402
from tinyalbert.tasks.entities import entities, strict_entities  # noqa: E402
from tinyalbert.tasks.ner import Ner  # noqa: E402

pytestmark = pytest.mark.parity
torch.set_num_threads(1)
transformers.logging.set_verbosity(transformers.logging.CRITICAL)
STRATEGIES = ["none", "simple", "first", "average", "max"]


def sequences(tags):
    return st.lists(st.sampled_from(tags), min_size=1, max_size=12)


@given(sequences(TAGS))
def test_entities_are_seqevals(tags):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = get_entities([tags])
    assert entities(tags) == [(kind, start, end + 1) for kind, start, end in expected]


@pytest.mark.parametrize("scheme, ours, tags", [(IOB2, "IOB2", IOB), (IOBES, "BIOES", TAGS)])
@given(data=st.data())
def test_strict_entities_are_seqevals(scheme, ours, tags, data):
    drawn = data.draw(sequences(tags))
    expected = [(entity.tag, entity.start, entity.end) for entity in Entities([drawn], scheme).entities[0]]
    assert strict_entities(drawn, ours) == expected


@given(st.lists(st.lists(st.tuples(st.sampled_from(IOB), st.sampled_from(IOB)), min_size=1, max_size=9), min_size=1, max_size=6))
def test_scores_are_seqevals(pairs):
    gold, said = [[a for a, _ in pair] for pair in pairs], [[b for _, b in pair] for pair in pairs]
    task = Ner()
    task.restore(AlbertConfig().with_labels(IOB))
    ours = task._metrics([Sentence(list("w" * len(tags)), tags=tags) for tags in gold], said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lenient = [score(gold, said) for score in (precision_score, recall_score, f1_score)]
        strict = [score(gold, said, mode="strict", scheme=IOB2) for score in (precision_score, recall_score, f1_score)]
        accuracy = accuracy_score(gold, said)
    assert [ours[name] for name in ("precision", "recall", "f1")] == pytest.approx(lenient)
    assert [ours[f"strict_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(strict)
    assert ours["accuracy"] == pytest.approx(accuracy)


@given(st.lists(st.lists(st.tuples(st.sampled_from(IOB), st.sampled_from(IOB)), min_size=1, max_size=9), min_size=1, max_size=6))
def test_scores_of_each_type_are_seqevals(pairs):
    gold, said = [[a for a, _ in pair] for pair in pairs], [[b for _, b in pair] for pair in pairs]
    task = Ner()
    task.restore(AlbertConfig().with_labels(IOB))
    counts, _ = task._counts([Sentence(list("w" * len(tags)), tags=tags) for tags in gold], said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, support = precision_recall_fscore_support(gold, said, average=None)
    ours = [(each.precision, each.recall, each.f1, each.gold) for each in counts.values()]
    np.testing.assert_allclose(np.array(ours).reshape(-1, 4), np.stack([precision, recall, f1, support], axis=1).reshape(-1, 4))


# --- transformers' pipeline ---------------------------------------------------------------------------

LABELS = {"iob": IOB, "plain": ["DT", "NN", "VB", "O"], "iobes": TAGS}


@pytest.fixture(scope="module", params=LABELS)
def twins(request, tmp_path_factory):
    """Our pipeline and theirs on the same folder with random weights."""
    folder = tmp_path_factory.mktemp("tagger")
    tokenizer = AlbertTokenizer.train(CORPUS, vocab_size=200, num_threads=2)
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, hidden_dropout_prob=0.0).with_labels(LABELS[request.param])
    model = AlbertForTokenClassification(config, seed=1)
    rng = np.random.default_rng(2)
    model.classifier.weight.data[:] = rng.normal(size=model.classifier.weight.shape)
    model.albert.embeddings.word_embeddings.weight.data *= 20
    model.save_pretrained(folder, tokenizer=tokenizer)
    theirs = transformers.pipeline("token-classification", model=transformers.AlbertForTokenClassification.from_pretrained(folder),
                                   tokenizer=transformers.AlbertTokenizerFast.from_pretrained(folder))
    return pipeline("token-classification", folder), theirs


WORDS = sorted({word for line in CORPUS for word in line.split() if word.isalpha() and word.isascii()})
TEXT = st.lists(st.sampled_from(WORDS) | st.text("abcdefgh", min_size=1, max_size=8) | st.sampled_from(["end.", "漢字", "漢x", "x漢"]),
                min_size=1, max_size=12).map(" ".join)


def compare(ours, theirs, text, strategy):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        assert set(mine) == set(other)
        for name in set(mine) - {"score", "start", "end", "word"}:
            assert mine[name] == other[name], name
        assert mine["score"] == pytest.approx(float(other["score"]), abs=1e-5)
        surface = text[other["start"]:other["end"]].strip()                   # theirs has the space before the word too
        if mine["word"] in ("▁", ""):                                         # a space has no characters here
            assert mine["start"] == mine["end"]
        elif mine["word"] == mine["word"].strip():                            # theirs gives it the letter behind
            assert text[mine["start"]:mine["end"]] == surface
            assert mine["end"] <= other["end"] <= mine["end"] + 1
        if strategy in ("first", "average", "max"):                           # theirs fuses the words of an entity
            assert mine["word"].replace(" ", "") == other["word"].replace(" ", "")
        else:
            assert mine["word"] == other["word"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=10)
@given(text=TEXT, everything=st.booleans())
def test_answers_are_transformers(twins, strategy, text, everything):
    ours, theirs = twins
    assume(theirs.tokenizer(text).input_ids == ours.tokenizer(text).input_ids)
    ignored = [] if everything else ["O", "NN", "PER"]
    options = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(text, **options)
    compare(ours(text, **options), expected, text, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=10)
@given(words=TEXT.map(str.split))
def test_answers_for_words_are_transformers(twins, strategy, words):
    ours, theirs = twins
    options = {"aggregation_strategy": strategy, "is_split_into_words": True}
    assume(theirs.tokenizer(words, is_split_into_words=True).input_ids == ours.tokenizer(words, is_split_into_words=True).input_ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(words, **options)
    [answers], [expected] = ours(words, **options), expected
    compare(answers, expected, " ".join(words), strategy)


@pytest.mark.parametrize("words", [False, True])
@settings(max_examples=5)
@given(text=st.lists(TEXT, min_size=1, max_size=4).map(" ".join), strategy=st.sampled_from([None, *STRATEGIES[1:]]), length=st.integers(8, 20),
       stride=st.integers(0, 5), everything=st.booleans())
def test_windows_with_a_stride_are_transformers(twins, words, text, strategy, length, stride, everything):
    """Each window is answered by itself; of answers that overlap the longest stays, of equally long ones the surest."""
    ours, theirs = twins
    given = text.split() if words else text
    assume(theirs.tokenizer(given, is_split_into_words=words).input_ids == ours.tokenizer(given, is_split_into_words=words).input_ids)
    options = {"stride": stride, "ignore_labels": [] if everything else ["O", "NN", "PER"]}
    options |= {"is_split_into_words": True} if words else {}
    options |= {} if strategy is None else {"aggregation_strategy": strategy}
    before = [each.tokenizer.model_max_length for each in twins]
    try:
        for each in twins:
            each.tokenizer.model_max_length = length
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, found = theirs(given, **options), ours(given, **options)
    finally:
        for each, longest in zip(twins, before):
            each.tokenizer.model_max_length = longest
    compare(*((found[0], expected[0]) if words else (found, expected)), text, strategy or "none")


def test_a_stride_needs_answers_that_can_be_joined(twins):
    with pytest.raises(UserError, match="expected one of simple, first, average, max, or no stride"):
        twins[0]("the old river", stride=2, aggregation_strategy="none")
    with pytest.raises(ValueError, match="please select another one"):
        twins[1]("the old river", stride=2, aggregation_strategy="none")
