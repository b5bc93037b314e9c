"""`pipeline("fill-mask", folder)`: from text to answers in one call, in transformers' forms."""

import warnings

from .backend import check_device
from .errors import UserError
from .heads import AlbertForMaskedLM
from .options import make
from .tasks.batches import Features
from .tasks.fill_mask import fill_mask
from .tasks.inference import check_fits, load_finetuned, load_trained, predict, row_encoder
from .tasks.registry import PIPELINES, TASKS, find_task, is_task, task_name
from .text.tokenizer import AlbertTokenizer


class FillMaskPipeline:
    """Texts with [MASK] to the words that fit; see tasks.fill_mask."""

    def __init__(self, model, tokenizer):
        self.model = model
        self.tokenizer = tokenizer

    def __call__(self, text, top_k=5, targets=None):
        if isinstance(text, str):
            return fill_mask(self.model, self.tokenizer, text, top_k, targets)
        return [fill_mask(self.model, self.tokenizer, t, top_k, targets) for t in text]


class TaskPipeline:
    """The answers of a fine-tuned model; what a call takes and returns is told by its task.

    Those of classification are [{"label", "score"}, ...], for texts or {"text", "text_pair"} pairs.
    """

    def __init__(self, task, model, tokenizer):
        self.task = task
        self.model = model
        self.tokenizer = tokenizer

    def __call__(self, *inputs, **options):
        """options: those of the task's `answer`, such as top_k=3."""
        given, single, options = self.task.call(*inputs, **options)
        examples = [self.task.example(each) for each in given]
        if not examples:
            return []
        encoder = row_encoder(self.model, self.tokenizer)
        features = Features(self.task, examples, encoder)
        if encoder.too_long:
            warnings.warn(encoder.summary(advice=""), stacklevel=2)
        predictions = predict(self.task, self.model, features)
        answers = [self.task.answer(prediction, **options) for prediction in predictions]
        return self.task.collect(answers, single)


def pipeline(task, model, tokenizer=None, device="cpu", **settings):
    """A callable for "fill-mask", "text-classification" or another task.

    task: a task's name, transformers' name for its pipeline, or FILE.py:CLASS.  model: a folder, or
    a model with its tokenizer.  settings: those of the task, in place of the ones that the folder
    was fine-tuned with.
    """
    check_device(device)
    loaded = hasattr(model, "state_dict")
    if loaded and tokenizer is None:
        raise UserError(
            "pipeline() got a model without its tokenizer; pass tokenizer=, or the folder of both"
        )
    if task == "fill-mask":
        if not loaded:
            model, tokenizer = _masked_words(model, tokenizer)
        return FillMaskPipeline(model.to(device), tokenizer)

    _check_name(task)
    # the others are told by the model's config
    own = task if ".py:" in task or task in PIPELINES else None
    if not loaded:
        found, model, tokenizer = load_finetuned(model, device, own, tokenizer, settings)
    else:
        Class = find_task(own or task_name(model.config, type(model).__name__))
        found = Class(make(Class.Settings, settings))
        found.restore(model.config)
    if not own and task not in (found.name, found.pipeline):
        raise UserError(
            f"pipeline {task!r}, but the model was trained for {found.name}; expected "
            f"{found.pipeline or found.name!r}"
        )
    return TaskPipeline(found, model.to(device), tokenizer)


def _check_name(task):
    """Refuse a name that no task has."""
    if is_task(task) or task in PIPELINES:
        return
    names = ["fill-mask", *PIPELINES, *TASKS, *(find_task(name).pipeline for name in TASKS)]
    if task not in names:
        known = ", ".join(dict.fromkeys(name for name in names if name))
        raise UserError(f"pipeline {task!r} is unknown; expected one of {known}")


def _masked_words(folder, tokenizer):
    """(model, tokenizer) of a pretrained folder."""
    tokenizer = tokenizer or AlbertTokenizer.from_pretrained(folder)
    what, command = "head for masked words", "pretrain TEXT --init FOLDER"
    model = load_trained(AlbertForMaskedLM, folder, what, command)
    check_fits(tokenizer, model.config, folder)
    return model, tokenizer
