"""Every `name = ...  # (B, T, H)` of the model's files is executed and compared with the real shape.

A tracer runs a forward and backward pass in which every letter is a different number, so that a wrong letter
shows.
"""

import linecache
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyalbert
from tinyalbert import heads, ops, span_heads, window_heads
from tinyalbert.albert import ModelOutput
from tinyalbert.config import AlbertConfig
from tinyalbert.modes import use_kernels
from tinyalbert.tensor import Tensor, backward

PACKAGE = Path(tinyalbert.__file__).parent
FILES = tuple(str(PACKAGE / f) for f in ("ops.py", "attention.py", "albert.py", "heads.py", "span_heads.py", "window_heads.py", "readout.py"))
COMMENT = re.compile(r"^\s+([\w.]+(?:, \w+)*) = .*#\s\(([^)]*)\)(?: each)?(?:\s.*)?$")
# K: targets, M: rows of a sequence that the loss reads, S: M or T, known only in the pass; R: rows of a flattened product, different in every call
DIMS = dict(B=3, T=11, H=14, N=7, D=2, E=5, F=17, V=23, L=2, C=2, G=4)
FREE = {"K", "M", "R", "I", "O", "S", "..."}


def parts(text):
    return [d.strip() for d in text.split(",") if d.strip()]


def matches(shape, text, dims):
    wanted = parts(text)
    return len(wanted) == len(shape) and all(d in FREE or eval(d, {}, dims) == n for d, n in zip(wanted, shape))


def check_shape_comments(fn, dims, wrong):
    """Run fn; return the commented lines that were seen, append to `wrong` those that are not true."""
    checked = set()

    def verify(frame, line):
        comment = COMMENT.match(linecache.getline(frame.f_code.co_filename, line))
        for name in comment[1].split(", ") if comment else []:
            value = frame.f_locals.get(name.split(".")[0])
            for attribute in name.split(".")[1:]:
                value = getattr(value, attribute, None)
            for one in value if isinstance(value, (list, tuple)) else [value]:
                one = getattr(one, "weight", one)          # of a module, its table or matrix
                if hasattr(one, "shape"):
                    checked.add((Path(frame.f_code.co_filename).name, line))
                    if not matches(one.shape, comment[2], dims):
                        wrong.append((Path(frame.f_code.co_filename).name, line, name, comment[2], one.shape))

    def trace(frame, event, arg):
        if frame.f_code.co_filename not in FILES:
            return None
        last = frame.f_lineno

        def local(frame, event, arg):
            nonlocal last
            verify(frame, last)
            last = frame.f_lineno
            return local
        return local
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        fn()
    finally:
        sys.settrace(before)
    return checked


def commented_lines():
    return {(Path(f).name, i) for f in FILES for i, line in enumerate(Path(f).read_text().splitlines(), 1) if COMMENT.match(line)}


def run_everything():
    """One pass forward and backward of pretraining, with and without shown attention, of tagging, classification, answers, vectors."""
    rng, (B, T, V) = np.random.default_rng(0), (DIMS["B"], DIMS["T"], DIMS["V"])
    config = AlbertConfig(vocab_size=V, embedding_size=DIMS["E"], hidden_size=DIMS["H"], num_attention_heads=DIMS["N"],
                          num_hidden_layers=DIMS["L"], intermediate_size=DIMS["F"], max_position_embeddings=29)
    b = dict(input_ids=rng.integers(0, V, (B, T)), attention_mask=np.tri(B, T, 2, dtype=int),
             token_type_ids=rng.integers(0, 2, (B, T)))
    labels = rng.integers(0, V, (B, T))
    for options in ({}, {"output_attentions": True}):
        out = heads.AlbertForPreTraining(config)(**b, labels=labels, sentence_order_label=np.zeros(B, int), **options)
        assert out.prediction_logits.shape == (B, T, V)
        backward(out.loss)
    for cls, extra in ((heads.AlbertForTokenClassification, {"labels": labels % 2}),
                       (heads.AlbertForSequenceClassification, {"labels": labels[:, 0] % 2}),
                       (heads.AlbertForQuestionAnswering, {"start_positions": np.zeros(B, int), "end_positions": np.ones(B, int)})):
        backward(cls(config)(**b, **extra).loss)
    span_heads.AlbertForConditionalQuestionAnswering(config)(**b)
    pooled = Tensor(rng.random((B * DIMS["N"], DIMS["H"])))
    states = ModelOutput(pooler_output=pooled, hidden_states=None, attentions=None)
    window_heads.AlbertForWindowClassification(config).head(states, None, labels[:, 0] % 2, windows=DIMS["N"])
    G = DIMS["G"]
    hidden, mask = Tensor(rng.random((B * G * 2, T, DIMS["H"]))), np.tri(B * G * 2, T, 2, dtype=int)
    states = ModelOutput(last_hidden_state=hidden, hidden_states=None, attentions=None)
    for targets in ({"labels": rng.integers(0, 9, (B, G, 2))}, {"scores": rng.random((B, G))}):
        heads.AlbertForSentenceEmbedding(config).head(states, None, **targets, mask=mask, shape=(B, G, 2))


def test_shape_comments_are_true():
    wrong = []
    with use_kernels(False):
        checked = check_shape_comments(run_everything, DIMS, wrong)
    assert not wrong, wrong
    assert len(checked) >= 20, sorted(checked)
    never = {line for line in commented_lines() - checked if line[0] in ("attention.py", "albert.py", "readout.py")}
    assert not never, never


def test_a_wrong_comment_is_caught():
    wrong = []
    with use_kernels(False):
        check_shape_comments(run_everything, {**DIMS, "T": 12}, wrong)
    assert wrong


@pytest.mark.parametrize("shape, text, good", [((3, 11), "B, T", True), ((11, 3), "B, T", False), ((3,), "B, T", False),
                                               ((), "", True), ((33, 14), "B * T, H", True), ((99, 14), "R, H", True)])
def test_matches(shape, text, good):
    assert matches(shape, text, DIMS) == good


@pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="the ops are wrapped to run on a device")
def test_the_raw_ops_are_among_the_files():
    assert ops.attention.raw.__code__.co_filename in FILES
