"""Predictions of a fine-tuned model, for every task: in memory, and from a folder and a file."""

import shutil
import sys
import tempfile
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np

from ..backend import check_device
from ..errors import UserError
from ..files.checkpoint import read_config
from ..files.taken import check_writable
from ..options import make, over
from ..precision import Precision, check_precision
from ..text.rows import RowEncoder
from ..text.tokenizer import AlbertTokenizer
from ..training.replicas import Threads
from .batches import Features
from .options import STANDARD_OUTPUT, TaskSettings, saved_settings
from .registry import find_task, task_name
from .text_files import is_file


def predict(task, model, features, batch_size=64, replicas=None):
    """The predictions for all examples, in their order; batches of like length, dropout off."""
    model.eval()
    parts = features.in_order(batch_size)

    def run(indices):
        batch = features.take(indices)
        batch = {name: values for name, values in batch.items() if name not in task.targets}
        return task.infer(model, batch)

    aside = replicas and model.device() == "cpu"  # threads are no help to a GPU
    with model.reading():  # all of them by the same weights
        results = replicas.run(run, parts) if aside else [run(part) for part in parts]
    outputs = [None] * len(features)
    for indices, values in zip(parts, results):
        for index, value in zip(indices, values):
            outputs[index] = value

    predictions = []
    for example, places in zip(features.examples, features.places):
        rows = [features.rows[i] for i in places]
        said = [outputs[i] for i in places]
        predictions.append(task.decode(example, rows, _stacked(said)))
    return predictions


def _stacked(outputs):
    """Outputs of several windows: one array (windows, ...), or a list if shapes differ."""
    same = len({np.shape(output) for output in outputs}) == 1
    return np.stack(outputs) if same else outputs


def check_fits(tokenizer, config, folder):
    """Refuse a tokenizer whose vocabulary is not the model's.

    The model's vocabulary may be padded a little.
    """
    if not config.has_room_for(tokenizer.vocab_size):
        raise UserError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} pieces, the model knows "
            f"{config.vocab_size}; expected the tokenizer that the model was trained with"
        )


def load_trained(kind, folder, what, command):
    """A model of the class `kind` from a folder that has all of its weights.

    The weights include a trained head for this very task.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the refusal says it
        model = kind.from_pretrained(folder)
    if model.restore_report.missing:
        lacks = ", ".join(model.restore_report.missing)
        raise UserError(
            f"{folder} holds no {what} (it lacks {lacks}); train it first: tinyalbert {command}"
        )
    return model


def task_of(folder, task=None):
    """(class of the task, {setting: value}) of a fine-tuned folder.

    task: FILE.py:CLASS of a task of one's own; by default the folder says it.
    """
    config = read_config(folder)
    made_for = task_name(config)
    Class = _known(made_for, folder) if task is None else find_task(task)
    if Class.made_by:  # it reads the models of several tasks, and itself says which
        return Class, {}
    if task is not None and "finetuning_task" in config.extra and Class.name != made_for:
        raise UserError(f"{folder} was fine-tuned for the task {made_for}, not for {Class.name}")
    return Class, saved_settings(Class, config, folder)


def load_finetuned(folder, device="cpu", task=None, tokenizer=None, settings=None, **more):
    """(task, model, tokenizer) of a fine-tuned folder.

    task: FILE.py:CLASS of a task of one's own; by default the folder says it.  settings: {name:
    value} that replace those that the folder was fine-tuned with.  more: `seed` and `say` of Task.
    """
    check_device(device)
    Class, saved = task_of(folder, task)
    task = Class(make(Class.Settings, over(Class.Settings, saved, settings or {})), **more)
    command = f"finetune {Class.made_by or Class.name} TABLE --model {folder}"
    model = load_trained(task.model_class, folder, f"{Class.name} model", command)
    task.restore(model.config)
    task.load(folder)
    tokenizer = tokenizer or AlbertTokenizer.from_pretrained(folder)
    check_fits(tokenizer, model.config, folder)
    return task, model.to(device), tokenizer


def _known(name, folder):
    """The class of the task that a folder names, which must be one of the package's.

    A file that came with a model is not run.
    """
    try:
        if ":" in name:
            raise UserError(name)
        return find_task(name)
    except UserError:
        raise UserError(
            f"{folder} was fine-tuned for the task {name!r}, which is not built in; name the file "
            "that defines it: --task FILE.py:CLASS"
        ) from None


def row_encoder(task, model, tokenizer, max_length=None, long=None):
    """Rows as the model was fine-tuned with: as long, and with the same treatment of long texts."""
    config = model.config
    positions = config.max_position_embeddings
    max_length = max_length or min(tokenizer.model_max_length, positions)
    long = long or config.extra.get("long_inputs", task.long[0])
    overlap = config.extra.get("window_overlap")
    return RowEncoder(tokenizer, max_length, long, overlap, task.long, positions)


def evaluate_file(options, say=print):
    """(metrics, confusion table or None) of a fine-tuned folder on labelled examples.

    options: EvaluateOptions.  say: told what was too long.
    """
    task, model, tokenizer = loaded(options, say)
    examples = read_examples(task, options.table, "test", say)
    predictions = predicted(task, model, tokenizer, examples, options, say)
    return task.score(examples, predictions), task.confusion(examples, predictions)


def predict_file(options, say=print):
    """Write a fine-tuned folder's predictions for the examples of a file; returns how many.

    The examples need no labels.

    options: PredictOptions.  say: told what was too long.
    """
    check_output_file(options.output, options.table)
    task, model, tokenizer = loaded(options, say)
    examples = read_examples(task, options.table, "predict", say)
    predictions = predicted(task, model, tokenizer, examples, options, say)

    def write(path):
        task.write(path, examples, predictions)

    write_to(options, task.predictions, write)
    return len(examples)


def check_output_file(output, *sources):
    """Refuse a file that can't be written, or is one of the sources, before the work begins."""
    if output in (None, STANDARD_OUTPUT):
        return
    path = Path(output)
    same = any(is_file(each) and path.resolve() == Path(each).resolve() for each in sources)
    if path.is_dir() or same:
        what = "a folder" if path.is_dir() else "the table itself"
        raise UserError(f"{path} is {what}; expected another file for the predictions")
    check_writable(path.parent)


def write_to(options, name, write):
    """Call write(path) for the file of --output; the ending of a path tells what is written there.

    options: with `output` and `json`.  name: what would be written where --output names no file.
    """
    printed = options.output in (None, STANDARD_OUTPUT)
    if not printed:
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    if not (printed or options.json):
        write(Path(options.output))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("lines.jsonl" if options.json else name)
        write(path)
        # some tasks write several: what goes beside the predictions is left out
        for written in [path] if path.exists() else sorted(Path(folder).iterdir()):
            if printed:
                sys.stdout.write(written.read_text(encoding="utf-8"))
            else:
                shutil.copyfile(written, options.output)


def read_examples(task, source, split, say):
    """The examples of a source; says which rows were left out.  At least one must remain."""
    examples = task.read(source, split)
    left_out = task.bad_rows.summary()
    if left_out:
        say(left_out)
        task.bad_rows.problems.clear()
    if not examples:
        raise UserError(f"{source} has no row that can be used; see its first line and {task.name}")
    return examples


def loaded(options, say):
    """(task, model, tokenizer) that the options name; say: told what the task finds out."""
    check_precision(options.precision, check_device(options.device))
    settings = {}
    if isinstance(options, TaskSettings):
        own = fields(task_of(options.model, options.task)[0].Settings)
        settings = {each.name: getattr(options, each.name) for each in own}
    return load_finetuned(
        options.model, options.device, options.task, settings=settings, seed=options.seed, say=say
    )


def predicted(task, model, tokenizer, examples, options, say):
    """Predictions for examples; says what was too long."""
    encoder = row_encoder(task, model, tokenizer, options.max_length, options.long)
    features = Features(task, examples, encoder)
    if encoder.too_long:
        say(encoder.summary())
    for line in task.remarks():
        say(line)
    with Precision(options.precision, model.named_parameters()).active():
        return predict(task, model, features, replicas=Threads(options.threads))
