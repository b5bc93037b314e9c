"""ALBERT, whole, in NumPy: every gradient by hand, trained on a laptop, moved to a GPU by changing
one word.

Reading order: backend, tensor, kernels/ (skip it), ops, gradcheck, nn, config, attention,
checkpoint (with the three file formats it reads), albert, heads, vocabulary, encoding, tokenizer,
optim, parallel, run, training, pretraining/, tasks/, plots, cli.  `python -m tinyalbert` names the
lessons.  Names below are imported when they are first used, so that `import tinyalbert` is quick.
"""

import importlib
from pathlib import Path

__version__ = "0.1.0"

_PUBLIC = {
    "config": ["AlbertConfig"],
    "modes": ["no_grad", "use_kernels"],
    "tensor": ["Tensor", "backward"],
    "errors": ["UserError"],
    "nn": ["DropoutRng", "Parameter", "Module"],
    "albert": ["AlbertModel"],
    "heads": [
        "AlbertForPreTraining",
        "AlbertForMaskedLM",
        "AlbertForSequenceClassification",
        "AlbertForTokenClassification",
        "AlbertForQuestionAnswering",
        "AlbertForMultipleChoice",
    ],
    "text.tokenizer": ["AlbertTokenizer"],
    "optim": ["AdamW", "LAMB"],
    "training.trainer": ["Trainer"],
    "pipelines": ["pipeline"],
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"tinyalbert has no {name}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return [*globals(), *__all__]


if (
    Path(__file__).with_name("kernels").is_dir()
):  # the fused ops; without the folder the plain ones run
    importlib.import_module(".kernels", __name__)
