"""Checkpoints: Hugging Face folders, released weights, the state of a training run.

A saved model is a folder with config.json, model.safetensors and the tokenizer's files;
transformers opens it, and its folders open here.  `load_state` also reads PyTorch's .bin and the
original TensorFlow checkpoints.  Nothing is unpickled.  Whatever is loaded into a model gets a
`RestoreReport`: weights that silently stayed random are the commonest cause of an ALBERT that
learns nothing (google-research/albert#132).
"""

import dataclasses
import json
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..backend import to_host
from ..checks import TEXT, Named, checked, shown
from ..config import AlbertConfig
from ..errors import UserError
from ..strict_json import parse, read_json
from .fetched import check_fetched
from .int8 import dequantized
from .safetensors_file import read_safetensors, write_safetensors
from .tf_checkpoint import load_tf
from .torch_checkpoint import read_torch
from .writing import replacing

STATE_FORMAT = "tinyalbert training state"
STATE_FILE = "training_state.safetensors"
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    STATE_FILE,
)
# What may be missing from the weights or left over: it belongs to one task and is trained anew.
TASK_PARTS = re.compile(
    r"^((albert\.)?pooler|predictions|sop_classifier|classifier|window_dense|window_score|qa_outputs|decoder"
    r"|start_logits|end_logits|answer_class)\."
)
# The parts that make the encoder: what stands under these names and has no place in the model makes
# another one.  Other names are heads, or what a training kept beside its weights.
ENCODER = re.compile(r"^(albert|embeddings|encoder|pooler)\.")
# The array by which a wrapper's prefix is found: every ALBERT has it under this name.
POSITIONS = re.compile(r"^(.*?)((albert|bert)\.)?embeddings\.position_embeddings\.weight$")
# Buffers of old files, and what each holds in every ALBERT of n positions.
LEGACY = re.compile(r"(^|\.)embeddings\.(position_ids|token_type_ids)$")
LEGACY_VALUES = {"position_ids": np.arange, "token_type_ids": np.zeros}
SHARD = re.compile(r"\w[\w .\-]*\.(safetensors|bin)")
TIED = {  # second names of one array
    "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
    "predictions.decoder.bias": "predictions.bias",
}
# A BERT's names, and what the same arrays are called in an ALBERT that shares nothing.
BERT_LAYER = re.compile(r"(^|\.)encoder\.layer\.\d+\.")
BERT_NAMES = {
    r"^bert\.": "",
    r"\bLayerNorm\.gamma$": "LayerNorm.weight",  # as TensorFlow calls them, and old files
    r"\bLayerNorm\.beta$": "LayerNorm.bias",
    r"^encoder\.layer\.(\d+)\.": r"encoder.albert_layer_groups.\1.albert_layers.0.",
    r"\.attention\.(self|output)\.": ".attention.",
    r"\.intermediate\.dense\.": ".ffn.",
    r"\.output\.dense\.": ".ffn_output.",
    r"\.output\.LayerNorm\.": ".full_layer_layer_norm.",
    r"^pooler\.dense\.": "pooler.",
    r"^cls\.predictions\.(transform\.)?": "predictions.",
    r"^cls\.seq_relationship\.": "sop_classifier.classifier.",
}


# --- a folder in the Hugging Face layout ----------------------------------------------------------


def save_pretrained(model, folder, tokenizer=None):
    """Write config.json, model.safetensors and the tokenizer's files.

    In an existing folder they are replaced one by one, the weights last: where they are, the rest
    is.  As in transformers, a tied decoder is not written twice.
    """
    folder = Path(folder)
    state = model.state_dict()

    def the_rest():
        write_config(folder, model.config, type(model).__name__, next(iter(state.values())).dtype)
        if tokenizer is not None:  # it asks the config how long a text may be
            tokenizer.save_pretrained(folder)

    with model.reading():
        write_safetensors(folder / "model.safetensors", state, {"format": "pt"}, the_rest)


def write_config(folder, config, architecture, dtype="float32"):
    """config.json of a model of the class `architecture`."""
    values = {**config.to_dict(), "architectures": [architecture], "dtype": str(dtype)}
    values.pop("tie_word_embeddings", None)  # they are tied, and that is transformers' default
    if architecture in ("AlbertForPreTraining", "AlbertForQuestionAnswering"):
        # transformers sizes these heads, which have two outputs, by the number of labels
        values = {
            k: v for k, v in values.items() if k not in ("num_labels", "id2label", "label2id")
        }
    elif values.pop("num_labels", 2) != 2:
        values["id2label"] = {str(i): name for i, name in config.id2label.items()}
        values["label2id"] = {name: i for i, name in config.id2label.items()}
    with replacing(Path(folder) / "config.json") as file:
        file.write((json.dumps(values, indent=2, sort_keys=True) + "\n").encode())


def read_config(source):
    """The AlbertConfig beside the weights `source`.

    It is config.json, or the albert_config.json of google-research/albert.
    """
    folder = Path(source) if Path(source).is_dir() else Path(source).parent
    for name in ("config.json", "albert_config.json"):
        if (folder / name).exists():
            return AlbertConfig.from_json_file(folder / name)
    raise UserError(
        f"{folder} has no config.json (transformers) or albert_config.json "
        "(google-research/albert); expected one beside the weights: whatever its name "
        "is, put it there as config.json"
    )


def given_config(config, source):
    """`config`, which is an AlbertConfig or a file, or None: the one beside the weights."""
    if config is None or isinstance(config, AlbertConfig):
        return config or read_config(source)
    return AlbertConfig.from_json_file(config)


def load_state(source):
    """{name: array} in transformers' names, of a folder or a file.

    source: a folder; a .safetensors or .bin file, or the .index.json of a sharded one; or the
    prefix of a TensorFlow checkpoint (folder/model.ckpt-best).
    """
    path = weights_path(source)
    state = unwrapped(_sharded(path) if path.name.endswith(".index.json") else _arrays(path))
    check_finite(state, path)
    return in_alberts_names(state)


def check_finite(state, path):
    """Refuse arrays with NaN or infinite numbers, which would give answers without meaning."""
    for name, array in state.items():
        if array.dtype.kind == "f" and not _is_finite(array):
            raise UserError(
                f"{path}, {shown(name)}: some of its numbers are infinite or no numbers (NaN); "
                "expected finite weights: the training that wrote them had diverged, or the file "
                "is damaged"
            )


def _is_finite(array):
    """Whether all numbers are finite; one product is several times as fast as looking at each."""
    if array.dtype == np.float32 and array.flags.c_contiguous:
        with np.errstate(all="ignore"):
            if np.isfinite(np.vdot(array, array)):
                return True
    return bool(np.isfinite(array).all())


def _arrays(path):
    """{name: array} of one file, in the file's own names."""
    check_fetched(path)
    if path.suffix == ".safetensors":
        state, metadata = read_safetensors(path)
        if metadata.get("format") == STATE_FORMAT:
            return _part(state, "model/")
        return dequantized(state)
    if path.suffix in (".bin", ".pt", ".pth"):
        return read_torch(path)
    return load_tf(path)


def unwrapped(state):
    """A state without the prefix under which a wrapper kept the model.

    Such are `module.` (data parallel), `_orig_mod.` (compiled), `model.`, one in another, or the
    attribute of a class of somebody's own.  If two models are in the state, it stays as it is.
    """
    found = [match for match in map(POSITIONS.match, state) if match]
    prefix = found[0][1] if len(found) == 1 else ""
    renamed = {name.removeprefix(prefix): array for name, array in state.items()}
    return renamed if len(renamed) == len(state) else state


def in_alberts_names(state):
    """A BERT's state in the names of an ALBERT; any other one as it is."""
    if not any(map(BERT_LAYER.search, state)):
        return state
    renamed = {}
    for name, array in state.items():
        for pattern, new in BERT_NAMES.items():
            name = re.sub(pattern, new, name)
        renamed[name] = array
    return renamed


def weights_path(source):
    """The file, or TensorFlow prefix, that `source` means."""
    path = Path(source)
    if path.is_dir():
        for name in WEIGHT_FILES:
            if (path / name).exists():
                return path / name
        found = sorted(path.glob("*.data-00000-of-*"))
        if len(found) == 1:
            return _tf_prefix(found[0])
        if not found:
            raise UserError(
                f"{path} has no weights; expected {WEIGHT_FILES[0]}, {WEIGHT_FILES[2]} or "
                "TensorFlow's (model.ckpt-*.index and .data-*)"
            )
        prefixes = ", ".join(str(_tf_prefix(file)) for file in found)
        raise UserError(
            f"{path} has {len(found)} TensorFlow checkpoints; name one of them: {prefixes}"
        )
    if path.name.endswith((".index", ".meta")) or ".data-" in path.name:
        path = _tf_prefix(path)  # a common slip
    if not path.exists() and not Path(f"{path}.index").exists():
        raise UserError(
            f"there is no folder, file or TensorFlow checkpoint {source}; expected a folder with "
            "config.json and weights (nothing is downloaded)"
        )
    return path


def _tf_prefix(path):
    return path.with_name(re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path.name))


def _sharded(path):
    """The arrays that a sharded model's index names, each from its file.

    The files lie beside the index; what else they hold is not read.
    """
    index = read_json(path, "the index of a sharded model")
    places = checked(index, {"weight_map": Named(TEXT)}, path)["weight_map"]
    if not places:
        raise UserError(f"{path}: its weight_map is empty; expected {{name: file}}")
    for file in sorted(set(places.values())):
        if not SHARD.fullmatch(file):
            raise UserError(
                f"{path} names the file {shown(file)}; expected a .safetensors or .bin beside it"
            )
    shards = {file: _arrays(path.with_name(file)) for file in sorted(set(places.values()))}
    for name, file in places.items():
        if name not in shards[file]:
            raise UserError(
                f"{path}: {shown(name)} is not in {file}, as it says; expected an index and files "
                "of one model"
            )
    return {name: shards[file][name] for name, file in places.items()}


# --- from a state to a model ----------------------------------------------------------------------


@dataclass
class RestoreReport:
    """What became of every name when a state was loaded into a model."""

    loaded: list = field(default_factory=list)
    missing: list = field(default_factory=list)  # in the model alone: left as initialised
    unexpected: list = field(default_factory=list)  # in the state alone: not used
    wrong_shape: list = field(default_factory=list)  # in both: "name: got (3, 4), expected (2, 4)"
    ignored: list = field(default_factory=list)  # second names of tied arrays, buffers of old files
    # second names under which other numbers are stored than under the first
    untied: list = field(default_factory=list)  # they count, so the model would be another
    stale: list = field(default_factory=list)  # they don't: the config says that both are one

    def __str__(self):
        total = len(self.loaded) + len(self.missing) + len(self.wrong_shape)
        parts = [f"{len(self.loaded)} of the model's {total} arrays were restored"]
        for text, names in (
            ("initialised anew", self.missing),
            ("of another shape", self.wrong_shape),
            ("in the file but not in the model", self.unexpected),
            ("not used, though unlike the array that it should be", self.untied + self.stale),
        ):
            if names:
                parts.append(f"{text}: {', '.join(names)}")
        return "; ".join(parts)

    def unknown(self):
        """Names that were not expected and are no head's known here."""
        return [name for name in self.unexpected if not TASK_PARTS.match(name)]

    def refuse(self, allow=()):
        """Raise a UserError unless the state fits the model.

        What belongs to a task may be missing, what isn't the encoder's may be left over, and so may
        what `allow` names.
        """
        reasons = {
            "missing": [n for n in self.missing if not TASK_PARTS.match(n)],
            "unexpected": [n for n in self.unknown() if ENCODER.match(n)],
            "shapes": self.wrong_shape,
            "untied": [f"{n} holds other numbers than {TIED[n]}" for n in self.untied],
        }
        unknown = [name for name in allow if name not in reasons]
        if unknown or isinstance(allow, str):
            raise UserError(f"allow={allow!r}; expected a list with some of {', '.join(reasons)}")
        refused = {kind: names for kind, names in reasons.items() if names and kind not in allow}
        if not self.loaded:
            raise UserError(
                "none of these weights belongs to the model: "
                f"{_few(self.unexpected + self.wrong_shape)}; expected names such as "
                f"{_few(self.missing)}"
            )
        if refused:
            raise UserError(
                "the weights do not fit the model; "
                + "; ".join(f"{kind}: {_few(names)}" for kind, names in refused.items())
                + ". Check the config; to load what fits, in Python: "
                f"from_pretrained(FOLDER, allow={list(refused)})"
            )


def _few(names, most=6):
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def match(own, state, group0=False, tied=True):
    """({name: array} in the model's names, RestoreReport).

    own: {name: shape} of a model.  Arrays of a wrong shape are left out; those that are not the
    model's are kept.  The prefix `albert.` is added or removed to suit the model.
    group0: a layer group that is missing from the state starts as its group 0
    (google-research/albert, --init_from_group0).
    tied: whether the config says that the decoder is the word embeddings, whatever its name holds.
    """
    report = RestoreReport()
    found = {}
    prefixed = any(name.startswith("albert.") for name in own)
    rename = _with_prefix if prefixed else lambda name: name.removeprefix("albert.")
    for name, array in state.items():
        given, name = name, rename(name)
        if name in found and not np.array_equal(found[name], array):
            raise UserError(
                f"{given} and another name both mean {name}, and hold other numbers; expected the "
                "weights of one model"
            )
        if _is_legacy(name, array):
            report.ignored.append(name)
        else:
            found[name] = array
    for second, first in TIED.items():
        if second not in found or second in own:
            continue
        array = found[second]
        same = np.array_equal(found.setdefault(rename(first), array), array)
        if same or "predictions.bias" in own:  # else the model has no decoder
            del found[second]
            other = report.stale if tied and second.endswith(".weight") else report.untied
            (report.ignored if same else other).append(second)
    if group0:
        for name in own:
            first = re.sub(r"layer_groups\.\d+\.", "layer_groups.0.", name)
            if name not in found and first in found:
                found[name] = found[first]
    for name, shape in own.items():
        if name not in found:
            report.missing.append(name)
        elif found[name].shape != tuple(shape):
            report.wrong_shape.append(f"{name}: got {found[name].shape}, expected {tuple(shape)}")
        else:
            report.loaded.append(name)
    report.unexpected = [name for name in found if name not in own]
    return {name: found[name] for name in report.loaded + report.unexpected}, report


def _is_legacy(name, array):
    """Whether it is one of the buffers of old files, with the values that they always have."""
    buffer = LEGACY.search(name)
    return buffer and np.array_equal(array.ravel(), LEGACY_VALUES[buffer[2]](array.size))


def _with_prefix(name):
    return f"albert.{name}" if name.startswith(("embeddings.", "encoder.", "pooler.")) else name


def shapes(model):
    """{name: shape} of a model's arrays."""
    return {name: array.shape for name, array in model.state_dict().items()}


def check_floats(state, source):
    """Refuse weights that are whole numbers."""
    for name, array in state.items():
        if array.dtype.kind != "f":
            raise UserError(
                f"{source}, {shown(name)}: {array.dtype} numbers; expected floating-point weights"
            )


def is_tied(config):
    """Whether the decoder is the word embeddings, by transformers' word for it."""
    return config.extra.get("tie_word_embeddings", True) is not False


def load_into(model, state, allow=(), group0=False):
    """Copy a state into a model; returns the RestoreReport.

    Heads and the pooler may be missing (they stay as initialised) or left over; anything else that
    does not fit is refused before anything is changed, unless `allow` has "missing", "unexpected",
    "shapes" or "untied".
    """
    found, report = match(shapes(model), state, group0, is_tied(model.config))
    report.refuse(allow)
    model.load_state_dict(found, strict=False)
    return report


def from_pretrained(cls, source, config=None, seed=0, allow=(), group0=False, **changes):
    """A `cls` with the weights of `source` (see load_state) and the config beside them.

    config: an AlbertConfig or a file.  `changes` override its fields.  What is missing from the
    weights starts random and is named in a warning; `.restore_report` has the whole list.
    """
    state = load_state(source)
    config = changed(given_config(config, source), **changes)
    sketch = cls(config, seed=None)  # shapes alone: what doesn't fit takes no memory
    found, report = match(shapes(sketch), state, group0, is_tied(config))
    report.refuse(allow)
    new = report.missing + report.wrong_shape
    model = cls(config, seed=seed) if new else with_room(sketch)
    model.load_state_dict(found, strict=False)
    model.restore_report = report
    if new:
        warnings.warn(
            f"{cls.__name__} from {source}: initialised anew, to be trained before use: "
            f"{', '.join(new)}",
            stacklevel=3,
        )
    if model.restore_report.unknown():
        warnings.warn(
            f"{source} also holds what {cls.__name__} has no place for, and what was left out: "
            f"{_few(model.restore_report.unknown())}",
            stacklevel=3,
        )
    if model.restore_report.stale:
        warnings.warn(
            f"{source}: {', '.join(model.restore_report.stale)} is not used, since the config ties "
            f"it to {TIED[model.restore_report.stale[0]]}, which holds other numbers",
            stacklevel=3,
        )
    return model


def with_room(sketch):
    """The model built for its shapes alone, with memory for values; drawing them takes longer."""
    for parameter in sketch.parameters():
        parameter.data = np.empty(parameter.shape, parameter.dtype)
    return sketch


def changed(config, **changes):
    """A copy of `config` with some fields changed."""
    unknown = [name for name in changes if name not in {f.name for f in dataclasses.fields(config)}]
    if unknown:
        raise UserError(
            f"{', '.join(unknown)} is not a field of AlbertConfig; expected for example "
            "num_labels=3"
        )
    copy = dataclasses.replace(config, **{"extra": dict(config.extra), **changes})
    if "num_labels" in changes and len(copy.extra.get("id2label") or {}) != copy.num_labels:
        copy.extra.pop("id2label", None)  # names of other labels
        copy.extra.pop("label2id", None)
    return copy


# --- the state of a training run ------------------------------------------------------------------


def save_training_state(folder, model, optimizer, extra, average=None):
    """Write all that a training run needs to go on: parameters, moments and `extra` (JSON).

    average: something else with a state_dict().

    It is one file, which replaces the one before in one go, so there is always a complete one.
    config.json lies beside it, so the folder also opens as a model.
    """
    folder = Path(folder)
    arrays = {f"model/{name}": to_host(a) for name, a in model.state_dict().items()}
    arrays |= {f"optimizer/{name}": to_host(a) for name, a in optimizer.state_dict().items()}
    if average is not None:
        arrays |= {f"average/{name}": to_host(a) for name, a in average.state_dict().items()}
    write_config(folder, model.config, type(model).__name__)
    write_safetensors(
        folder / STATE_FILE, arrays, {"format": STATE_FORMAT, "extra": json.dumps(extra)}
    )


def load_training_state(folder, model, optimizer, average=None):
    """Restore what save_training_state wrote, bit for bit; returns `extra`."""
    arrays, extra = read_training_state(folder)
    try:
        optimizer.load_state_dict(_part(arrays, "optimizer/"))
        model.load_state_dict(_part(arrays, "model/"))
        if average is not None:
            average.load_state_dict(_part(arrays, "average/"))
    except UserError as problem:
        raise UserError(f"{Path(folder) / STATE_FILE}: {problem}") from None
    return extra


def read_training_state(folder):
    """(arrays, extra) that save_training_state wrote; nothing is restored."""
    path = Path(folder) / STATE_FILE
    arrays, metadata = read_safetensors(path)
    if metadata.get("format") != STATE_FORMAT or "extra" not in metadata:
        raise UserError(
            f"{path} holds no training run to resume; expected the file that a training run wrote"
        )
    check_finite(arrays, path)
    return arrays, parse(metadata["extra"].encode(), f"{path}, extra", "the state of a run")


def _part(arrays, prefix):
    """The arrays whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
