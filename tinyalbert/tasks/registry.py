"""Tasks by name: those of the package, and those in a file of one's own, as FILE.py:CLASS."""

import importlib
import importlib.util
from pathlib import Path

from ..errors import UserError
from .task import Task

TASKS = {  # name: (where it is, imported when asked for; what it is, for --help)
    "classification": (
        "tinyalbert.tasks.classification:Classification",
        "one of several labels for a text or a pair of texts",
    ),
    "multi-label": (
        "tinyalbert.tasks.multi_label:MultiLabel",
        "every label that fits a text or a pair of texts",
    ),
    "regression": (
        "tinyalbert.tasks.regression:Regression",
        "a number for a text or a pair of texts",
    ),
    "multiple-choice": (
        "tinyalbert.tasks.multiple_choice:MultipleChoice",
        "which option answers a question about a passage (RACE, SWAG, DREAM)",
    ),
    "ner": (
        "tinyalbert.tasks.ner:Ner",
        "named entities, or another tag for each word",
    ),
    "embedding": (
        "tinyalbert.tasks.embedding:Embedding",
        "vectors that are close for texts that belong together, from pairs of texts",
    ),
    "translation": (
        "tinyalbert.tasks.translation:Translation",
        "texts in another language, by a decoder on the encoder",
    ),
    "summary": (
        "tinyalbert.tasks.summary:Summarization",
        "the sentences of a document that tell most of it",
    ),
    "cola": ("tinyalbert.tasks.glue:Cola", "GLUE: is a sentence English?"),
    "sst2": ("tinyalbert.tasks.glue:Sst2", "GLUE: is a film review good or bad?"),
    "mrpc": ("tinyalbert.tasks.glue:Mrpc", "GLUE: do two sentences of the news say the same?"),
    "stsb": ("tinyalbert.tasks.glue:Stsb", "GLUE: how similar are two sentences, from 0 to 5?"),
    "qqp": ("tinyalbert.tasks.glue:Qqp", "GLUE: do two questions ask the same?"),
    "mnli": (
        "tinyalbert.tasks.glue:Mnli",
        "GLUE: does a sentence follow from another? Also for AX",
    ),
    "qnli": ("tinyalbert.tasks.glue:Qnli", "GLUE: does a sentence answer a question?"),
    "rte": ("tinyalbert.tasks.glue:Rte", "GLUE: does a sentence follow from a text?"),
    "wnli": ("tinyalbert.tasks.glue:Wnli", "GLUE: does a sentence say what a pronoun stands for?"),
    "squad": (
        "tinyalbert.tasks.squad:Squad",
        "the words of a paragraph that answer a question (SQuAD 1.1 and 2.0)",
    ),
    "squad2": (
        "tinyalbert.tasks.squad:Squad2",
        "the same with ALBERT's head for SQuAD 2.0, where some questions have no answer",
    ),
}
PIPELINES = {  # those that use a model of another task: they are not trained, and have no TABLE
    "zero-shot-classification": "tinyalbert.tasks.zero_shot:ZeroShot",
}
# the tasks of folders that transformers made, by the class of their model
ARCHITECTURES = {
    "AlbertForMultipleChoice": "multiple-choice",
    "AlbertForTokenClassification": "ner",
    "AlbertForQuestionAnswering": "squad",
    "AlbertForConditionalQuestionAnswering": "squad2",
}


def is_task(word):
    """Whether a word of the command line names a task, not a table."""
    return word in TASKS or ".py:" in word


def find_task(name):
    """The class of a task: of TASKS, or of a file of the user's, which is run for it.

    Only a name that a person typed may be a file: one that came with a model is never run.
    """
    where = TASKS[name][0] if name in TASKS else PIPELINES.get(name)
    if where:
        module, _, kind = where.partition(":")
        return getattr(importlib.import_module(module), kind)
    path, _, kind = name.rpartition(":")
    if not path.endswith(".py"):
        raise UserError(
            f"there is no task {name!r}; expected {', '.join(TASKS)}, or FILE.py:CLASS for a task "
            "of your own"
        )
    Class = getattr(_module(Path(path)), kind, None)
    if not (isinstance(Class, type) and issubclass(Class, Task)):
        raise UserError(
            f"{path} has no class {kind} made from tinyalbert.tasks.task.Task; check the name "
            "behind the colon"
        )
    return Class


def _module(path):
    """A Python file as a module."""
    if not path.is_file():
        raise UserError(f"there is no file {path}; expected FILE.py:CLASS")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def task_name(config, model_class=None):
    """The name of the task that a model was fine-tuned for, from its config.

    Folders made by transformers are told by the class of their model and their number of labels.
    model_class: the name of that class, if the config has none.
    """
    saved = config.extra.get("finetuning_task")
    if saved:
        return saved
    for architecture in config.extra.get("architectures") or (model_class,):
        if architecture in ARCHITECTURES:
            return ARCHITECTURES[architecture]
    if config.problem_type == "multi_label_classification":
        return "multi-label"
    regression = config.problem_type == "regression" or config.num_labels == 1
    return "regression" if regression else "classification"
