"""A whole fine-tuning run, for every task.

output/            the best model by the held-out metric, with its tokenizer; log.jsonl; loss.png
output/finetune.json                           the options of the run
output/eval_results.json, predictions.tsv      of that model on the held-out examples
output/last/       the state of the training, for resume=True
"""

import contextlib
import json
from dataclasses import fields, replace
from pathlib import Path

from ..backend import check_device
from ..checks import (
    AMOUNT,
    COUNT,
    REAL,
    TEXT,
    WHOLE,
    Fields,
    Later,
    ListOf,
    Maybe,
    Named,
    Row,
)
from ..errors import UserError
from ..files.checkpoint import read_config
from ..files.taken import taken
from ..files.writing import replacing
from ..optim import AdamW
from ..options import make, to_json
from ..options import resume as resume_options
from ..plots import draw_run, read_log
from ..precision import check_precision
from ..text.tokenizer import AlbertTokenizer, has_tokenizer
from ..training.checkpoints import check_output, check_resumable, moved, read_settings
from ..training.loop import train
from ..training.replicas import Threads, launched_ranks, own_part
from ..training.trainer import Trainer
from .examples import HeldOut, encoded, spread, training_and_held_out
from .inference import check_fits
from .network import task_network
from .options import FinetuneOptions, options_of
from .outcome import (
    RESULTS,
    control_score,
    past_its_best,
    result_of,
    still_rising,
    untrained_scores,
)
from .registry import find_task, is_task

SETTINGS = "finetune.json"
COUNTED = Row(WHOLE, TEXT)  # how many rows, and their sha256
SAVED = {  # what resuming, and comparing with a control, read of it themselves
    "task": TEXT,
    "train": TEXT,
    "dev": Maybe(TEXT),
    "model": TEXT,
    "epochs": Maybe(AMOUNT),
    "steps": Maybe(COUNT),
    "folder": Maybe(TEXT),
    "rows": Maybe(Fields(train=COUNTED, dev=COUNTED, labels=Maybe(ListOf(TEXT)))),
    "control_scores": Later(Named(REAL)),
}
DURATION = ("epochs", "steps", "minutes")  # at most one of them is given
# without any of them: at least so many passes; of few rows more, until enough steps or passes
LEAST_EPOCHS, ENOUGH_STEPS, MOST_EPOCHS = 3, 1500, 20


def finetune(
    train_source=None, dev_source=None, output_dir="runs/finetune", *, say=print, **options
):
    """Fine-tune a model for a task and score it on held-out examples.

    Returns {"metrics", "baselines", "labels"} on the held-out examples.

    train_source, dev_source: what the task reads, such as a table or `stories:TASK[:N]`; without
    dev_source a tenth of the training examples is held out.  options: those of FinetuneOptions and
    of the task's settings by name, and `progress` (False: no bar).
    """
    progress = options.pop("progress", True)
    values = {"train": train_source, "dev": dev_source, "output": output_dir}
    return run({**values, **options}, say, progress)


def run(given, say=print, progress=True):
    """A fine-tuning run; returns what `finetune` does.

    given: {name: value} of FinetuneOptions and of the task's settings.  What is not given comes
    from the task's recipe, for a resumed run from its settings file.
    """
    options = options_for(given)
    names = {name for name, value in given.items() if value is not None}
    with taken(options.output, writes=launched_ranks().rank == 0):
        saved = _read_settings(options.output) if options.resume else {}
        return _run(_settled(options, names, saved, say), saved, say, progress)


def _run(options, saved, say, progress):
    """A fine-tuning run in a folder that is taken.

    saved: the settings file of a run that goes on.
    """
    check_precision(options.precision, check_device(options.device))
    if not (options.train and options.model):
        raise UserError("fine-tuning needs a table of labelled rows and a model folder (--model)")
    if options.resume:
        check_resumable(options.output)
    else:
        check_output(options.output)

    # the task, its examples and its model
    start = _start_folder(options)
    tokenizer = _tokenizer(start, options)
    Class = find_task(options.task)
    task = Class(_settings(Class, options), options.seed, say)
    control = saved.get("control_scores", {})
    if options.control and not control:
        control = control_score(options, _read_settings(options.control), task)
    if options.keep_head:
        task.load(start)
    examples, others = training_and_held_out(task, options, say)
    task.fit(examples)
    say(f"{len(examples):,} rows to train on, {len(others):,} held out; {task.describe()}")
    network = task_network(task, replace(options, model=str(_weights(start, options))), say).to(
        options.device
    )

    # their rows, and how long to train on them
    config = network.config
    features = encoded(task, examples, tokenizer, config, options, "training", say)
    rows = encoded(task, others, tokenizer, config, options, "held-out", say)
    held_out = HeldOut(task, others, rows)
    judged = _judged(held_out, tokenizer, config, options, say)
    options = _resolved(options, features, task, config)
    rows = {"train": features.fingerprint(), "dev": held_out.rows.fingerprint()}
    rows["labels"] = task.labels and list(task.labels)  # as the settings file has them
    _refuse_other_rows(rows, saved.get("rows"), options)

    # the run
    best = task.metric = options.metric or task.metric
    trainer = _trainer(network, options)
    if not task.new_head and not options.resume:
        control = {**untrained_scores(task, options, network, held_out), **control}

    def begin():
        if trainer.ranks.rank == 0:
            about = {"folder": str(Path(options.output).resolve()), "rows": rows}
            values = {**to_json(replace(options, resume=False)), **about, "control_scores": control}
            _write_json(Path(options.output) / SETTINGS, values)

    def batch(step):
        return own_part(features.batch(step, options.batch_size, options.seed), trainer.ranks)

    def evaluate(network, replicas):
        metrics = judged.score(network, replicas)
        if best not in metrics:
            raise UserError(f"--metric {best} is unknown; expected one of {', '.join(metrics)}")
        return metrics

    result = {}

    def finish(metrics):
        predictions = held_out.predict(network, Threads(options.threads))
        result.update(result_of(task, examples, held_out, predictions))
        result["baselines"] |= control
        if trainer.ranks.rank == 0:
            _write(options, task, result, others, predictions, say)

    train(
        trainer,
        batch,
        options.steps,
        evaluate,
        options.output,
        minutes=options.minutes,
        eval_every=_eval_every(options, features),
        best=best,
        patience=options.patience,
        average=options.average,
        resume=options.resume,
        tokenizer=Vocabularies(tokenizer, task),
        begin=begin,
        finish=finish,
        progress=progress,
    )
    return result


def _judged(held_out, tokenizer, config, options, say):
    """What tells the best checkpoint: all held-out rows, or some if predicting takes long."""
    task, count = held_out.task, held_out.task.judged
    if not count or len(held_out.examples) <= count:
        return held_out
    examples = spread(held_out.examples, count)
    say(f"the best checkpoint is told by {count:,} of the held-out rows")
    rows = encoded(task, examples, tokenizer, config, options, "judged", lambda line: None)
    return HeldOut(task, examples, rows)


def _write(options, task, result, held_out, predictions, say):
    """The files of a run beside its model."""
    output = Path(options.output)
    _write_json(output / RESULTS, result["metrics"])
    task.write(output / task.predictions, held_out, predictions)
    draw_run(output, say)
    with contextlib.suppress(UserError):  # a log that could not be written
        values = [line[task.metric] for line in read_log(output)["eval"]]
        remark = how_it_went(values, task.metric, read_config(output).hidden_dropout_prob, options)
        if remark:
            say(remark)


def how_it_went(values, metric, dropout, options):
    """What the evaluations of a run, in their order, tell about it; None if nothing to speak of."""
    if not values:
        return None
    rising = still_rising(values, metric)
    if rising or options.patience:  # with patience it was said why the run ended
        return rising
    return past_its_best(values, metric, dropout)


class Vocabularies:
    """What is saved with the model: the tokenizer, and the files of the task's own."""

    def __init__(self, tokenizer, task):
        self.tokenizer = tokenizer
        self.task = task

    def save_pretrained(self, folder):
        """Write all of it."""
        self.tokenizer.save_pretrained(folder)
        self.task.save(folder)


def options_for(given):
    """FinetuneOptions and the task's settings from {name: value}, over the recipe of the task."""
    task = given.get("task") or "classification"
    if given.get("resume") and "task" not in given:
        task = _read_settings(given.get("output"))["task"]
        if ".py:" in task:
            raise UserError(
                f"the run in {given['output']} is of the task {task}; the file is run only if it "
                f"is named again: finetune {task} --resume"
            )
    if given.get("regression") and task == "classification":
        task = "regression"
    Task = find_task(task)
    under = dict(Task.recipes.get(given.get("recipe", "laptop"), {}))
    if given.get("resume"):
        under = {}
    if any(given.get(name) is not None for name in DURATION):
        under = {name: value for name, value in under.items() if name not in DURATION}
    return make(options_of(Task, FinetuneOptions), {**under, **given, "task": task})


def _read_settings(folder):
    """{name: value} of the settings file of a run in `folder`."""
    path = Path(folder) / SETTINGS
    return read_settings(path, "fine-tuning", SAVED)


def _settings(Class, options):
    """The settings of the task among the options of a run."""
    names = [each.name for each in fields(Class.Settings)]
    return Class.Settings(**{name: getattr(options, name) for name in names})


def _start_folder(options):
    """The folder with the tokenizer and the model: of a run that goes on, its own.

    Its last/ has the config and the weights; so the pretrained folder may be gone.
    """
    if options.resume and has_tokenizer(options.output):
        return options.output
    return options.model


def _tokenizer(folder, options):
    """The folder's tokenizer; whoever uses the model cuts texts in the same place."""
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    check_fits(tokenizer, read_config(_weights(folder, options)), folder)
    tokenizer.model_max_length = options.max_length
    return tokenizer


def _weights(folder, options):
    """Where the weights and their config are."""
    return Path(folder) / "last" if folder == options.output else folder


def _refuse_other_rows(rows, saved, options):
    """Refuse to go on with other rows or labels than a run began with.

    rows, saved: {"train", "dev": [how many, sha256], "labels"}; saved None where it is not known.
    """
    if saved is None or saved == rows:
        return

    def told(which):
        labels = which["labels"]
        named = f" and the labels {', '.join(labels)}" if labels else ""
        return f"{which['train'][0]:,} to train on, {which['dev'][0]:,} held out{named}"

    try:
        before = told(saved)
    except (LookupError, TypeError, ValueError):
        raise UserError(
            f"{Path(options.output) / SETTINGS}, rows: not as a run writes them; start the run "
            "anew in another folder"
        ) from None
    raise UserError(
        f"{options.train}: these are not the rows that the run in {options.output} began with: "
        f"{told(rows)}; it had {before}, by what they hold. Put those back, or start another "
        "run in another folder"
    )


def _resolved(options, features, task, config):
    """Options with the duration in steps, unless it is told in minutes, and the learning rate."""
    lr = options.lr or task.learning_rate(config)
    if options.minutes:
        return replace(options, lr=lr)
    epoch = features.steps_per_epoch(options.batch_size)
    epochs = options.epochs or default_epochs(epoch)
    steps = options.steps or max(1, round(epochs * epoch))
    return replace(options, steps=steps, epochs=None, lr=lr)


def _eval_every(options, features):
    """Steps between evaluations: an epoch, or a third of a short run; None: the loop decides."""
    if not options.steps:
        return None
    return max(1, min(features.steps_per_epoch(options.batch_size), options.steps // 3))


def default_epochs(steps_per_epoch):
    """Passes over the rows: LEAST_EPOCHS, or more until ENOUGH_STEPS, at most MOST_EPOCHS.

    A small model from a short pretraining learns slowly: on a few thousand rows three passes are
    far too few.
    """
    return max(LEAST_EPOCHS, min(MOST_EPOCHS, ENOUGH_STEPS / steps_per_epoch))


def _trainer(network, options):
    """The Trainer of a run."""
    return Trainer(
        network,
        AdamW(list(network.named_parameters()), options.lr, betas=(0.9, 0.98)),
        warmup=options.warmup,
        threads=options.threads,
        seed=options.seed,
        ranks=launched_ranks(),
        precision=options.precision,
        graphs=not options.no_graphs,
    )


def _settled(options, given, saved, say):
    """Options whose paths mean the same from any folder; those of the run that is resumed.

    given: the names of the options that were given.  saved: the run's settings file, or {}.
    """
    options = _named(options)
    options = replace(
        options,
        train=_absolute(options.train),
        dev=_absolute(options.dev),
        model=_absolute(options.model),
    )
    if not options.resume:
        return options
    for name in ("train", "dev", "model"):  # what is read is compared by what it holds
        saved = {**saved, name: getattr(options, name) or _moved(saved.get(name), saved, options)}
    gone = [part for part in _parts(saved["train"]) if Path(part).is_absolute()]
    gone = [part for part in gone if not Path(part).exists()]
    if gone:
        raise UserError(
            f"the rows of this run were in {gone[0]}, which is gone; say where they are: "
            f"tinyalbert finetune ROWS --resume --output {options.output}"
        )
    if options.steps:  # replaces what the run was begun with
        saved = {**saved, "epochs": None, "minutes": None}
    where = Path(options.output) / SETTINGS
    return _named(resume_options(options, saved, say, given - {"regression"}, where))


def _moved(source, saved, options):
    """A source of a run whose folder, with what stood around it, may have been moved."""
    was = saved.get("folder")
    if not (source and was) or _exists(source):
        return source
    parts = _parts(source)
    for i, part in enumerate(parts):
        if not Path(part).is_absolute() or _exists(part):
            continue
        try:
            there = moved(part, was, Path(options.output).resolve())
        except ValueError:  # a name that no file can have: who reads the source says so
            continue
        if _exists(there):
            parts[i] = str(there)
    return ",".join(parts)


def _exists(path):
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _parts(source):
    """The paths of a source, of which some have several, with commas between."""
    if source is None or _exists(source):
        return [source] if source else []
    return source.split(",")


def _named(options):
    """--regression is short for a task; a task in a file is found from any folder."""
    task = options.task
    if options.regression and task not in ("classification", "regression"):
        raise UserError(f"--regression is a task, and so is {task}; expected one of them")
    if options.regression:
        task = "regression"
    elif is_task(task) and ":" in task:
        path, _, kind = task.rpartition(":")
        task = f"{Path(path).resolve()}:{kind}"
    return replace(options, task=task)


def _absolute(source):
    """A path, or several with commas between, that means the same from any folder, for resuming.

    What is no file, such as the name of built-in rows, is returned as it is.
    """
    if source is None:
        return None
    parts = _parts(source)
    return ",".join(_found_from_anywhere(part) if Path(part).exists() else part for part in parts)


def _found_from_anywhere(path):
    """A path in full, its links followed; a pipe such as /dev/stdin has no name behind its link."""
    path = Path(path)
    return str(path.resolve() if path.is_file() or path.is_dir() else path.absolute())


def _write_json(path, values):
    """Values to a JSON file, whole or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())
