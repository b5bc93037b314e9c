"""The views by name, and how a question of the page becomes an answer."""

from ..errors import UserError
from ..tasks.registry import TASKS
from . import answers, attention, gradients, history, masks, order, pieces, sharing, vectors

VIEWS = {
    "pieces": pieces.view,
    "masks": masks.view,
    "attention": attention.view,
    "sharing": sharing.view,
    "gradients": gradients.view,
    "words": vectors.words,
    "vectors": vectors.view,
    "order": order.view,
    "history": history.view,
    "answers": answers.view,
}
# what a view may be told beside the text
OPTIONS = {
    "masks": ("top_k",),
    "attention": ("start",),
    "gradients": ("place", "answer"),
    "vectors": ("search",),
}
NEEDS_TEXT = {"pieces", "order", "answers"}  # the words themselves, not only their pieces
NO_READING = {"words", "history", "answers"}


def about(explorer):
    """What the page says of the folder before anything is asked."""
    config = explorer.model.config
    task = explorer.task
    fields = answers.FIELDS[answers.kind_of(task)] if task else ("Text", "Second text, if any")
    return {
        "folder": str(explorer.folder),
        "parameters": explorer.model.num_parameters(),
        "layers": config.num_hidden_layers * config.inner_group_num,
        "heads": config.num_attention_heads,
        "hidden": config.hidden_size,
        "vocabulary": config.vocab_size,
        "shared": gradients.is_shared(explorer.model),
        "words": explorer.has_words,
        "order": explorer.has_order,
        "run": (explorer.folder / "log.jsonl").is_file(),
        "start": attention.has_start(explorer),
        "task": task.task.name if task else None,
        "fields": {"text": fields[0], "pair": fields[1]},
        "tasks": list(TASKS),
    }


def answer(explorer, name, question):
    """The answer of a view to a question of the page, a dict of plain values.

    question: {"text", "pair", "masked": [places], and the view's options}.
    """
    if name == "about":
        return about(explorer)
    if name not in VIEWS:
        raise UserError(f"there is no view {name!r}; expected one of {', '.join(VIEWS)}")
    if not isinstance(question, dict):
        raise UserError(f"the question is {question!r:.40}; expected an object")
    text, pair, masked = (question.get(key) for key in ("text", "pair", "masked"))
    if not isinstance(masked or [], list):
        raise UserError(f"masked is {masked!r:.40}; expected a list of places")
    options = {key: question[key] for key in OPTIONS.get(name, ()) if question.get(key) is not None}
    if name in NEEDS_TEXT:
        options |= {"text": text or "", "pair": pair}
    with explorer.lock:
        reading = None
        if name not in NO_READING:
            reading = explorer.read(text or "", pair, masked or [])
        return VIEWS[name](explorer, reading, **options)
