"""`pipeline("fill-mask", folder)`: from text to answers in one call, in transformers' forms."""

import warnings
from pathlib import Path

from .albert import AlbertModel
from .backend import check_device
from .errors import UserError
from .heads import AlbertForMaskedLM, AlbertForPreTraining
from .options import make
from .tasks import pretrained
from .tasks.batches import Features
from .tasks.inference import check_fits, load_finetuned, load_trained, predict, row_encoder
from .tasks.registry import PIPELINES, TASKS, find_task, is_task, task_name
from .text.tokenizer import AlbertTokenizer

# Pipelines of pretrained models, which no task has fine-tuned: (class, model, its head in words).
PRETRAINED = {
    "fill-mask": (pretrained.FillMask, AlbertForMaskedLM, "head for masked words"),
    "feature-extraction": (pretrained.FeatureExtraction, AlbertModel, "encoder"),
    "sentence-order": (pretrained.SentenceOrder, AlbertForPreTraining, "head for sentence order"),
    "pseudo-likelihood": (pretrained.PseudoLikelihood, AlbertForMaskedLM, "head for masked words"),
}


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
        encoder = row_encoder(self.task, self.model, self.tokenizer)
        features = Features(self.task, examples, encoder)
        if encoder.too_long:
            warnings.warn(encoder.summary(advice=False), stacklevel=2)
        for line in self.task.remarks():
            warnings.warn(line, stacklevel=2)
        predictions = predict(self.task, self.model, features)
        answers = [self.task.answer(prediction, **options) for prediction in predictions]
        return self.task.collect(answers, single)


def pipeline(task, model, tokenizer=None, device="cpu", **settings):
    """A callable for "fill-mask", "text-classification" or another task.

    task: a name of PRETRAINED, a task's name, transformers' name for its pipeline, or
    FILE.py:CLASS.  model: a folder, or a model with its tokenizer (or the folder
    of that).  settings: those of the task, in
    place of the ones that the folder was fine-tuned with.
    """
    check_device(device)
    if isinstance(tokenizer, (str, Path)):
        tokenizer = AlbertTokenizer.from_pretrained(tokenizer)
    loaded = hasattr(model, "state_dict")
    if loaded and tokenizer is None:
        raise UserError(
            "pipeline() got a model without its tokenizer; pass tokenizer=, or the folder of both"
        )
    if task in PRETRAINED:
        Class, kind, head = PRETRAINED[task]
        if not loaded:
            model, tokenizer = _pretrained(kind, head, model, tokenizer)
        elif kind is AlbertModel:
            model = getattr(model, "albert", model)
        return Class(model.to(device), tokenizer)

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
    names = [*PRETRAINED, *PIPELINES, *TASKS, *(find_task(name).pipeline for name in TASKS)]
    if task not in names:
        known = ", ".join(dict.fromkeys(name for name in names if name))
        raise UserError(f"pipeline {task!r} is unknown; expected one of {known}")


def _pretrained(kind, head, folder, tokenizer):
    """(model of the class `kind`, tokenizer) of a folder; head: what it must hold, in words."""
    tokenizer = tokenizer or AlbertTokenizer.from_pretrained(folder)
    if kind is AlbertModel:  # the pooler, which may be missing, is not read
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = kind.from_pretrained(folder)
    else:
        model = load_trained(kind, folder, head, "pretrain TEXT --init FOLDER")
    check_fits(tokenizer, model.config, folder)
    return model, tokenizer
