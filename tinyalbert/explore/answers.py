"""View 9: what a fine-tuned model answers, shown in the form of its task."""

import numpy as np

from .. import ops
from ..errors import UserError
from ..tasks.batches import Features
from ..tasks.inference import predict, row_encoder

ANSWERS = 5

# transformers' name of a pipeline, or a task's own: what the two fields of the page are to it
FIELDS = {
    "text-classification": ("Text", "Second text, if the labels are of pairs"),
    "token-classification": ("Text", None),
    "question-answering": ("Question", "Paragraph"),
    "sentence-embedding": ("Text", "Text to compare it with"),
    "multiple-choice": ("Passage", "The question, and below it an option a line"),
    "summarization": ("Document", None),
    "translation": ("Text", None),
}


def kind_of(pipeline):
    """What the task is shown as: a key of FIELDS."""
    task = pipeline.task
    name = task.pipeline or task.name
    return name if name in FIELDS else "text-classification"


def view(explorer, reading=None, text="", pair=None):
    """{"kind", "task", ...}: the answer of the folder's own task, as its pipeline gives it."""
    pipeline = explorer.task
    if pipeline is None:
        raise UserError(
            "this is a pretrained folder without a task of its own; fine-tune it: tinyalbert "
            f"finetune TABLE --model {explorer.folder} --output runs/mine"
        )
    kind = kind_of(pipeline)
    first, second = FIELDS[kind]
    if kind in NEED_BOTH and not (pair and pair.strip()):
        raise UserError(f"{second.lower()}: still empty; fill in the second field")
    return {"kind": kind, "task": pipeline.task.name, **SHOWN[kind](pipeline, text, pair)}


def _labels(pipeline, text, pair):
    """The scores of all labels, the best first; a number for regression."""
    given = {"text": text, "text_pair": pair} if pair and pair.strip() else text
    answer = pipeline(given, top_k=None)
    return {
        "labels": answer[0] if isinstance(answer[0], list) else answer,
        "number": pipeline.task.labels is None,
        "exclusive": pipeline.model.config.problem_type != "multi_label_classification",
    }


def _entities(pipeline, text, pair):
    """The entities with their places in the text."""
    found = pipeline(text, aggregation_strategy="simple")
    names = ("entity_group", "score", "start", "end")
    return {
        "text": text,
        "entities": [
            {name: _plain(entity[name]) for name in names if name in entity} for entity in found
        ],
    }


def _spans(pipeline, text, pair):
    """The best answers, and each token's probability as start and as end."""
    given, _, options = pipeline.task.call(question=text, context=pair)
    example = pipeline.task.example(given[0])
    encoder = row_encoder(pipeline.task, pipeline.model, pipeline.tokenizer)
    features = Features(pipeline.task, [example], encoder)
    (read,) = predict(pipeline.task, pipeline.model, features)
    answers = pipeline.task.answer(read, top_k=ANSWERS, **options)
    answers = answers if isinstance(answers, list) else [answers]
    return {"text": pair, "answers": answers, "tokens": _ends(read)}


def _ends(read):
    """[{"start", "end", "first", "last"}, ...] of the first window: a token's place in the
    paragraph, and its probabilities; [] for a head that tells the end given the start.
    """
    output, window = read.outputs[0], read.windows[0]
    if np.ndim(output) != 2 or len(output) != 2:
        return []
    places = slice(window.place, window.place + len(window.tokens))
    first, last = (ops.softmax.raw(scores[places])[0] for scores in np.asarray(output))
    return [
        {"start": token.span[0], "end": token.span[1], "first": float(p), "last": float(q)}
        for token, p, q in zip(window.tokens, first, last)
    ]


def _similarity(pipeline, text, pair):
    """The cosine of both texts' vectors, which have length 1."""
    first, second = pipeline([text, pair])
    return {"cosine": float(first @ second)}


def _choice(pipeline, text, pair):
    """The options with their probabilities."""
    question, *options = [line.strip() for line in pair.splitlines() if line.strip()]
    if len(options) < 2:
        raise UserError("the second field has fewer than two options; write one a line")
    answer = _only(pipeline({"context": text, "question": question, "choices": options}))
    return {
        "question": question,
        "labels": [
            {"label": option, "score": score} for option, score in zip(options, answer["scores"])
        ],
        "number": False,
        "exclusive": True,
    }


def _summary(pipeline, text, pair):
    """The sentences that make the summary, with their places in the text."""
    answer = _only(pipeline(text))
    return {"text": text, "summary": answer["summary_text"], "sentences": answer["sentences"]}


def _translation(pipeline, text, pair):
    answer = _only(pipeline(text))
    return {"translation": answer["translation_text"]}


def _only(answer):
    """The one answer of a call with one text, which some tasks give in a list."""
    return answer[0] if isinstance(answer, list) else answer


def _plain(value):
    """A NumPy number as Python's."""
    return value.item() if hasattr(value, "item") else value


NEED_BOTH = {"question-answering", "sentence-embedding", "multiple-choice"}
SHOWN = {
    "text-classification": _labels,
    "token-classification": _entities,
    "question-answering": _spans,
    "sentence-embedding": _similarity,
    "multiple-choice": _choice,
    "summarization": _summary,
    "translation": _translation,
}
