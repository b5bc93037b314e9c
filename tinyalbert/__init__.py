"""ALBERT, whole, in NumPy: hand-written gradients, trained on a laptop or, by one word, a GPU.

`READING_ORDER` names every file and folder in an order in which each uses only what stands above
it.  The names below are imported when they are first used, so that `import tinyalbert` is quick.
`python -m tinyalbert` is the command line.
"""

import importlib
from pathlib import Path

__version__ = "0.1.0"

READING_ORDER = {
    "errors": "the exception for mistakes that a user can mend",
    "checks": "what a value from outside may be",
    "strict_json": "JSON with limits",
    "modes": "switches of one thread: recording, kernels, readout, precision",
    "backend": "where NumPy and CuPy differ",
    "transfer": "copies of whole batches to a GPU",
    "tensor": "the reverse sweep",
    "products": "who multiplies matrices on the CPU; skip it at first",
    "precision": "16 bits in products; skip it at first",
    "ops": "every op with its gradient",
    "kernels": "the same ops, faster; skip it at first",
    "gradcheck": "how to know that a gradient is right",
    "nn": "parameters, modules, linear map, layer norm, dropout",
    "config": "sizes, presets, ablations",
    "arguments": "ids and labels as callers give them",
    "attention": "multi-head self-attention",
    "files": "models on disk: our folders, TensorFlow's and PyTorch's files; skip it at first",
    "albert": "the encoder: embeddings, the shared layers, the pooler",
    "readout": "heads compute only what the loss reads; skip it at first",
    "heads": "pretraining and fine-tuning heads with their losses",
    "span_heads": "the end of an answer given its start, for SQuAD 2.0",
    "window_heads": "attention over the windows of a long text",
    "decoder": "a decoder that writes from the encoder's states, for translation",
    "generation": "greedy and beam search",
    "optim": "AdamW, LAMB, Muon, clipping, learning rates",
    "text": "sentences, vocabulary, tokenizer, encoding",
    "options": "one dataclass for each command",
    "training": "the step, the loop, threads and processes, checkpoints, progress",
    "plots": "loss curves",
    "stories": "the built-in corpus, from an invented world",
    "pretraining": "corpus, pairs, masks, curriculum, recipes, the run",
    "tasks": "fine-tuning, one short file for each task",
    "convert": "released weights become a folder",
    "pipelines": "from text to answers in one call",
    "ask": "questions over a folder of texts",
    "answers": "texts in, a table or JSON lines out, for models that need no fine-tuning",
    "export": "ONNX files and 8-bit weights; skip it at first",
    "explore": "a page in the browser that looks into a model; skip it at first",
    "info": "where a model's parameters are",
    "doctor": "what this machine has",
    "cli": "the command line",
    "__main__": "`python -m tinyalbert`",
}

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
        "AlbertForSentenceEmbedding",
    ],
    "span_heads": ["AlbertForConditionalQuestionAnswering"],
    "window_heads": ["AlbertForWindowClassification"],
    "decoder": ["AlbertForTranslation"],
    "text.tokenizer": ["AlbertTokenizer"],
    "optim": ["AdamW", "LAMB", "Muon"],
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
