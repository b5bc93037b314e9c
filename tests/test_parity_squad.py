"""Extractive question answering as transformers has it: the scores of SQuAD's scripts, and the pipeline.

Needs the `parity` extra.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_squad import ANSWERED, WORDS, listed

transformers = pytest.importorskip("transformers")

from transformers.data.metrics import squad_metrics as theirs  # noqa: E402
from transformers.data.processors.squad import SquadExample  # noqa: E402

from tinyalbert import AlbertConfig, AlbertForQuestionAnswering, AlbertTokenizer, pipeline  # noqa: E402
from tinyalbert.pretraining.preparation import train_tokenizer  # noqa: E402
from tinyalbert.stories.tasks import story_dataset  # noqa: E402
from tinyalbert.tasks.squad_scores import exact, f1, normalized, scores  # noqa: E402

pytestmark = pytest.mark.parity
transformers.logging.set_verbosity_error()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["stories:60"], 200, str(folder))
    return folder


@given(right=WORDS, said=WORDS)
def test_parity_of_exact_and_f1(right, said):
    assert normalized(right) == theirs.normalize_answer(right)
    assert exact(right, said) == theirs.compute_exact(right, said)
    assert f1(right, said) == pytest.approx(theirs.compute_f1(right, said))


@given(questions=st.lists(ANSWERED, min_size=1, max_size=12), threshold=st.integers(-4, 4))
def test_parity_of_the_scores_of_squad_2(questions, threshold):
    answers, texts, odds = zip(*questions)
    texts = [text if normalized(text) else "cat" for text in texts]
    examples = [SquadExample(str(i), "?", "x", None, None, "", [{"text": t, "answer_start": 0} for t in right], not right)
                for i, right in enumerate(answers)]
    said = {str(i): text for i, text in enumerate(texts)}
    nulls = {str(i): float(odd) for i, odd in enumerate(odds)}
    want = theirs.squad_evaluate(examples, said, nulls, float(threshold))
    got = scores(answers, texts, odds, threshold)
    assert got["exact"] == pytest.approx(want["exact"]) and got["f1"] == pytest.approx(want["f1"])
    if not all(answers):
        for name in ("best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh", "NoAns_exact", "NoAns_f1"):
            assert got[name] == pytest.approx(want[name]), name
        assert got["best_f1"] >= got["f1"] - 1e-9


@pytest.mark.parametrize("call", [
    {}, {"top_k": 4}, {"top_k": 3, "align_to_words": False}, {"top_k": 3, "handle_impossible_answer": True, "max_answer_len": 4},
    {"max_seq_len": 48, "doc_stride": 9, "top_k": 3}, {"max_seq_len": 40, "doc_stride": 5, "top_k": 2, "handle_impossible_answer": True},
])
def test_parity_of_the_pipeline(call, folder, tmp_path):
    """Random weights with strong opinions."""
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = 64
    model = AlbertForQuestionAnswering(AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size), seed=5)
    model.qa_outputs.weight.data *= 40
    model.save_pretrained(tmp_path, tokenizer=tokenizer)
    ours, theirs = pipeline("question-answering", tmp_path), transformers.pipeline("question-answering", str(tmp_path))
    context = " ".join(row["context"] for row in story_dataset("qa", 2, 3))
    for text in (context, context[:90], "Mara lost a kite", 'The well-known (red) kite, "No. 5", was lost: £5!'):
        got, expected = (listed(p(question="Where did Mara lose the kite?", context=text, **call)) for p in (ours, theirs))
        assert len(got) == len([each for each in expected if each["score"] > 0 or not each["answer"]])
        for a, b in zip(got, expected):
            assert a.keys() == b.keys() and (a["start"], a["end"], a["answer"]) == (b["start"], b["end"], b["answer"])
            assert a["score"] == pytest.approx(b["score"], abs=1e-5)
