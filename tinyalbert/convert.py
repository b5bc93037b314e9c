"""`tinyalbert convert`: released weights of any kind become a folder in the Hugging Face layout."""

import shutil
from pathlib import Path

from . import heads
from .albert import AlbertModel
from .config import AlbertConfig
from .errors import UserError
from .files.checkpoint import (
    changed,
    config_file,
    load_state,
    match,
    read_config,
    weights_path,
    write_config,
)
from .files.safetensors_file import write_safetensors

MODELS = {
    cls.__name__: cls
    for cls in (
        AlbertModel,
        heads.AlbertForPreTraining,
        heads.AlbertForMaskedLM,
        heads.AlbertForSequenceClassification,
        heads.AlbertForTokenClassification,
        heads.AlbertForQuestionAnswering,
        heads.AlbertForMultipleChoice,
    )
}


def convert(source, folder, config=None):
    """Write the weights of `source` (see checkpoint.load_state) as a model folder; returns the
    RestoreReport.

    config: an AlbertConfig or a file; by default the one beside the weights.  All weights are kept,
    also those that the architecture named in config.json has no use for.  A SentencePiece model
    beside them comes along as spiece.model.
    """
    folder, state = Path(folder), load_state(source)
    if (folder / "model.safetensors").exists():
        raise UserError(f"{folder} already holds a model; choose another folder")
    if not isinstance(config, AlbertConfig):
        config = config_file(config) if config else read_config(source)
    if "classifier.weight" in state:
        labels = state["classifier.weight"].shape[0]
        config = config if labels == config.num_labels else changed(config, num_labels=labels)
    architecture = _architecture(config, state)
    model = MODELS[architecture](config, seed=None)
    found, report = match({name: a.shape for name, a in model.state_dict().items()}, state)
    report.refuse()
    write_safetensors(folder / "model.safetensors", found, {"format": "pt"})
    write_config(folder, config, architecture, next(iter(found.values())).dtype)
    _copy_tokenizer(weights_path(source).parent, folder)
    return report


def _architecture(config, state):
    """The class that config.json names, or else the one that has the heads that are there."""
    named = (config.extra.get("architectures") or [None])[0]
    if named in MODELS:
        return named
    for prefix, name in (
        ("sop_classifier.", "AlbertForPreTraining"),
        ("predictions.", "AlbertForMaskedLM"),
        ("qa_outputs.", "AlbertForQuestionAnswering"),
        ("classifier.", "AlbertForSequenceClassification"),
    ):
        if any(key.startswith(prefix) for key in state):
            return name
    return "AlbertModel"


def _copy_tokenizer(source, folder):
    """Copy the tokenizer's files; Google's 30k-clean.model becomes spiece.model."""
    models = (
        [source / "spiece.model"]
        if (source / "spiece.model").exists()
        else sorted(source.glob("*.model"))
    )
    if len(models) == 1:
        shutil.copyfile(models[0], folder / "spiece.model")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (source / name).exists() and source.resolve() != folder.resolve():
            shutil.copyfile(source / name, folder / name)
