"""`tinyalbert convert`: released weights of any kind become a folder in the Hugging Face layout."""

from pathlib import Path

from . import heads, span_heads
from .albert import AlbertModel
from .errors import UserError
from .files.checkpoint import (
    changed,
    check_floats,
    given_config,
    is_tied,
    load_state,
    match,
    weights_path,
    write_config,
)
from .files.safetensors_file import write_safetensors
from .files.taken import taken
from .text.tokenizer import AlbertTokenizer, has_tokenizer

MODELS = {
    cls.__name__: cls
    for cls in (
        AlbertModel,
        heads.AlbertForPreTraining,
        heads.AlbertForMaskedLM,
        heads.AlbertForSequenceClassification,
        heads.AlbertForTokenClassification,
        heads.AlbertForQuestionAnswering,
        span_heads.AlbertForConditionalQuestionAnswering,
        heads.AlbertForMultipleChoice,
    )
}


def convert(source, folder, config=None):
    """Write the weights of `source` as a model folder; returns the RestoreReport.

    source: see checkpoint.load_state.  config: an AlbertConfig or a file; by default the one beside
    the weights.  The weights of all heads that are known here are kept, even those that the
    architecture named in config.json does not use; what is left out, the report names.  The
    tokenizer beside them comes along.
    """
    folder = Path(folder)
    with taken(folder):
        if (folder / "model.safetensors").exists():
            raise UserError(
                f"{folder} already holds a model, and it is complete: the weights are written "
                "last; choose another folder"
            )
        return _write(load_state(source), source, folder, config)


def _write(state, source, folder, config):
    """Write the weights `state` of `source` into an empty folder; returns the RestoreReport."""
    config = given_config(config, source)
    if "classifier.weight" in state:
        labels = state["classifier.weight"].shape[0]
        if labels != config.num_labels:
            config = changed(config, num_labels=labels)
    architecture = _architecture(config, state)
    model = MODELS[architecture](config, seed=None)
    own = {name: array.shape for name, array in model.state_dict().items()}
    found, report = match(own, state, tied=is_tied(config))
    report.refuse()
    found = {name: array for name, array in found.items() if name not in report.unknown()}
    check_floats(found, source)

    def the_rest():  # where the weights are, the rest is
        write_config(folder, config, architecture, next(iter(found.values())).dtype)
        _copy_tokenizer(weights_path(source).parent, folder)

    write_safetensors(folder / "model.safetensors", found, {"format": "pt"}, the_rest)
    return report


def _architecture(config, state):
    """The class that config.json names, or else the one with the heads that the weights have."""
    named = (config.extra.get("architectures") or [None])[0]
    if named in MODELS:
        return named
    for prefix, name in (
        ("sop_classifier.", "AlbertForPreTraining"),
        ("predictions.", "AlbertForMaskedLM"),
        ("qa_outputs.", "AlbertForQuestionAnswering"),
        ("answer_class.", "AlbertForConditionalQuestionAnswering"),
        ("classifier.", "AlbertForSequenceClassification"),
    ):
        if any(key.startswith(prefix) for key in state):
            return name
    return "AlbertModel"


def _copy_tokenizer(source, folder):
    """Write the tokenizer beside the weights; Google's 30k-clean.model becomes spiece.model."""
    models = sorted(source.glob("*.model"))
    named = has_tokenizer(source)
    if not named and len(models) != 1:
        return
    tokenizer = AlbertTokenizer.from_pretrained(source if named else models[0])
    tokenizer.save_pretrained(folder)
