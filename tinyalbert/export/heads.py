"""What each head adds to the encoder in ONNX: its inputs and outputs, as heads.py has them."""

import numpy as np

from .. import heads, span_heads
from ..albert import AlbertModel
from ..errors import UserError
from ..heads import BLOCKED
from ..window_heads import AlbertForWindowClassification
from .encoder import Builder
from .graph import Graph

ROW = ["batch", "sequence"]
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def onnx_model(model, int8=False):
    """The ONNX form of a model: a ModelProto with the outputs that `model(...)` has, without loss.

    Batch and length are free.  int8: matrices in 8 bits.  Source of the forms: heads.py and
    span_heads.py.
    """
    kind = type(model)
    if model.config.own_parts():
        raise UserError(
            f"a model with {', '.join(model.config.own_parts())} can't be exported to ONNX, only "
            "one with the layers of the released ALBERT; --int8 alone makes a smaller folder"
        )
    if kind not in OUTPUTS:
        known = ", ".join(each.__name__ for each in OUTPUTS)
        raise UserError(
            f"a {kind.__name__} can't be exported to ONNX: it writes its answer piece by piece; "
            f"expected one of {known}"
        )
    graph = Graph(int8)
    build = Builder(graph, model)
    inputs = dict.fromkeys(INPUTS, ROW)
    if kind is heads.AlbertForMultipleChoice:
        inputs = dict.fromkeys(INPUTS, ["batch", "choices", "sequence"])
    if kind is AlbertForWindowClassification:
        inputs = dict.fromkeys(INPUTS, ["batch", "windows", "sequence"])
    if kind is span_heads.AlbertForConditionalQuestionAnswering:
        inputs["p_mask"] = ROW
    return graph.model(inputs, OUTPUTS[kind](build, model))


def _encoded(build, model):
    return build.encode(getattr(model, "albert", model), *INPUTS)


def _encoder(build, model):
    hidden = _encoded(build, model)
    outputs = {"last_hidden_state": (hidden, [*ROW, model.config.hidden_size])}
    if model.pooler is not None:
        outputs["pooler_output"] = build.pool(hidden, model), ["batch", model.config.hidden_size]
    return outputs


def _word_scores(build, model, hidden):
    """(B, T, H) -> (B, T, V), by the table of the word embeddings."""
    head = model.predictions
    table = model.albert.embeddings.word_embeddings.weight
    states = build.layer_norm(build.activation(build.linear(hidden, head.dense)), head.LayerNorm)
    return build.product(states, table, head.bias), [*ROW, model.config.vocab_size]


def _masked_lm(build, model):
    return {"logits": _word_scores(build, model, _encoded(build, model))}


def _pretraining(build, model):
    hidden = _encoded(build, model)
    order = build.linear(build.pool(hidden, model.albert), model.sop_classifier.classifier)
    return {
        "prediction_logits": _word_scores(build, model, hidden),
        "sop_logits": (order, ["batch", 2]),
    }


def _sequence(build, model):
    pooled = build.pool(_encoded(build, model), model.albert)
    logits = build.linear(pooled, model.classifier)
    return {"logits": (logits, ["batch", model.config.num_labels])}


def _tokens(build, model):
    logits = build.linear(_encoded(build, model), model.classifier)
    return {"logits": (logits, [*ROW, model.config.num_labels])}


def _pooled_each(build, model):
    """(pooled vectors (B * C, H), shape (B, C)) of inputs (B, C, T)."""
    op, constant = build.graph.op, build.graph.constant
    length = op("Shape", "input_ids", start=2, end=3)
    rows = op("Concat", constant([-1], np.int64), length, axis=0)
    flat = [op("Reshape", name, rows) for name in INPUTS]  # (B * C, T) each
    pooled = build.pool(build.encode(model.albert, *flat), model.albert)
    return pooled, op("Shape", "input_ids", start=0, end=2)


def _choice(build, model):
    pooled, shape = _pooled_each(build, model)
    scores = build.linear(pooled, model.classifier)  # (B * C, 1)
    return {"logits": (build.graph.op("Reshape", scores, shape), ["batch", "choices"])}


def _windows(build, model):
    op, constant = build.graph.op, build.graph.constant
    labels = model.config.num_labels
    pooled, shape = _pooled_each(build, model)
    each = build.linear(pooled, model.classifier)  # (B * N, C)
    each = op("Reshape", each, op("Concat", shape, constant([labels], np.int64), axis=0))
    scores = build.linear(op("Tanh", build.linear(pooled, model.window_dense)), model.window_score)
    scores = op("Reshape", scores, shape)  # (B, N)
    shares = op("Unsqueeze", op("Softmax", scores, axis=-1), constant([1], np.int64))  # (B, 1, N)
    logits = op("Squeeze", op("MatMul", shares, each), constant([1], np.int64))  # (B, C)
    return {
        "logits": (logits, ["batch", labels]),
        "window_logits": (each, ["batch", "windows", labels]),
        "window_scores": (scores, ["batch", "windows"]),
    }


def _answer(build, model):
    op = build.graph.op
    logits = build.linear(_encoded(build, model), model.qa_outputs)  # (B, T, 2)
    start, end = (op("Gather", logits, build.graph.constant(i, np.int64), axis=2) for i in range(2))
    return {"start_logits": (start, ROW), "end_logits": (end, ROW)}


def _embedding(build, model):
    op, constant = build.graph.op, build.graph.constant
    hidden = _encoded(build, model)
    if model.config.extra.get("sentence_pooling", "mean") == "cls":
        pooled = build.first_token(hidden)
    else:
        mask = op("Cast", "attention_mask", to=1)  # (B, T)
        tokens = op("ReduceSum", mask, constant([1], np.int64), keepdims=1)
        share = op("Unsqueeze", op("Div", mask, tokens), constant([1], np.int64))  # (B, 1, T)
        pooled = op("Squeeze", op("MatMul", share, hidden), constant([1], np.int64))
    squares = op("ReduceSum", op("Mul", pooled, pooled), constant([1], np.int64), keepdims=1)
    length = op("Sqrt", op("Add", squares, constant(1e-12)))
    return {"embeddings": (op("Div", pooled, length), ["batch", model.config.hidden_size])}


def _conditional_answer(build, model):
    op, constant = build.graph.op, build.graph.constant
    H = model.config.hidden_size
    hidden = _encoded(build, model)
    blocked = op("Not", op("Equal", "p_mask", constant(0, np.int64)))  # (B, T)

    def allowed(scores, where):
        return op("Where", where, constant(BLOCKED), scores)

    def column(values):  # (..., 1) -> (...)
        return op("Squeeze", values, constant([-1], np.int64))

    start = allowed(column(build.linear(hidden, model.start_logits.dense)), blocked)  # (B, T)
    length = op("Shape", "input_ids", start=1, end=2)
    most = constant([model.config.extra.get("starts", model.STARTS)], np.int64)
    _, places = op("TopK", start, op("Min", most, length), outputs=2, axis=1)  # (B, K)
    states = op("GatherND", hidden, op("Unsqueeze", places, constant([2], np.int64)), batch_dims=1)
    # dense_0 of [token; start] is the sum of what its two halves give
    end = model.end_logits
    weight = build.weight(end.dense_0.weight)  # (H, 2 H)
    halves = [
        op(
            "Slice",
            weight,
            constant([i * H], np.int64),
            constant([(i + 1) * H], np.int64),
            constant([1], np.int64),
        )
        for i in range(2)
    ]
    of_token, of_start = (
        op("MatMul", x, op("Transpose", half, perm=[1, 0]))
        for x, half in zip((hidden, states), halves)
    )
    of_token = op("Add", of_token, build.weight(end.dense_0.bias))
    pairs = op(
        "Tanh",
        op(
            "Add",
            op("Unsqueeze", of_token, constant([1], np.int64)),
            op("Unsqueeze", of_start, constant([2], np.int64)),
        ),
    )  # (B, K, T, H)
    ends = column(build.linear(build.layer_norm(pairs, end.LayerNorm), end.dense_1))  # (B, K, T)
    ends = allowed(ends, op("Unsqueeze", blocked, constant([1], np.int64)))
    shares = op("Unsqueeze", op("Softmax", start, axis=-1), constant([1], np.int64))  # (B, 1, T)
    expected = op("Squeeze", op("MatMul", shares, hidden), constant([1], np.int64))  # (B, H)
    joined = op("Concat", expected, build.first_token(hidden), axis=-1)  # (B, 2 H)
    states = op("Tanh", build.linear(joined, model.answer_class.dense_0))
    none = column(build.linear(states, model.answer_class.dense_1))
    return {
        "start_logits": (start, ROW),
        "end_logits": (ends, ["batch", "starts", "sequence"]),
        "start_top_index": (places, ["batch", "starts"]),
        "cls_logits": (none, ["batch"]),
    }


OUTPUTS = {
    AlbertModel: _encoder,
    heads.AlbertForPreTraining: _pretraining,
    heads.AlbertForMaskedLM: _masked_lm,
    heads.AlbertForSequenceClassification: _sequence,
    heads.AlbertForTokenClassification: _tokens,
    heads.AlbertForQuestionAnswering: _answer,
    heads.AlbertForMultipleChoice: _choice,
    AlbertForWindowClassification: _windows,
    heads.AlbertForSentenceEmbedding: _embedding,
    span_heads.AlbertForConditionalQuestionAnswering: _conditional_answer,
}
