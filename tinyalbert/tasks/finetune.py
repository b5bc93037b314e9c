"""A whole fine-tuning run, for every task.

output/            the best model by the held-out metric, with its tokenizer; log.jsonl; loss.png
output/finetune.json                           the options of the run
output/eval_results.json, predictions.tsv      of that model on the held-out examples
output/last/       the state of the training, for resume=True
"""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from ..backend import check_device
from ..decoder import DECODER
from ..errors import UserError
from ..files.checkpoint import changed, load_into, load_state, read_config
from ..files.safetensors_file import replacing
from ..optim import AdamW
from ..options import make, read_values, to_json
from ..options import resume as resume_options
from ..plots import draw_run, read_log
from ..precision import check_precision
from ..text.rows import RowEncoder
from ..text.tokenizer import AlbertTokenizer
from ..training.checkpoints import check_output, read_settings
from ..training.loop import train
from ..training.replicas import Threads, launched_ranks, own_part
from ..training.trainer import Trainer
from .batches import Features
from .inference import check_fits, predict, read_examples
from .options import FinetuneOptions, kept_settings, options_of
from .registry import find_task, is_task

SETTINGS = "finetune.json"
RESULTS = "eval_results.json"
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
    options = _settled(options_for(given), say)
    check_precision(options.precision, check_device(options.device))
    if not (options.train and options.model):
        raise UserError("fine-tuning needs a table of labelled rows and a model folder (--model)")
    if not options.resume:
        check_output(options.output)

    # the task, its examples and its model
    tokenizer = _tokenizer(options)
    Class = find_task(options.task)
    task = Class(_settings(Class, options), options.seed, say)
    control = _control(options, task)
    if options.keep_head:
        task.load(options.model)
    examples, held_out = _examples(task, options, say)
    task.fit(examples)
    say(f"{len(examples):,} rows to train on, {len(held_out):,} held out; {task.describe()}")
    network = _network(task, options, say).to(options.device)

    # their rows, and how long to train on them
    features = _features(task, examples, tokenizer, options, "training", say)
    dev = _features(task, held_out, tokenizer, options, "held-out", say)
    judged, judged_rows = held_out, dev
    if task.judged and len(held_out) > task.judged:
        judged = _spread(held_out, task.judged)
        judged_rows = _features(task, judged, tokenizer, options, "judged", lambda line: None)
        say(f"the best checkpoint is told by {len(judged):,} of the held-out rows")
    options = _resolved(options, features, task, network.config)

    # the run
    best = task.metric = options.metric or task.metric
    trainer = _trainer(network, options)
    if trainer.ranks.rank == 0 and not options.resume:
        Path(options.output).mkdir(parents=True, exist_ok=True)
        _write_json(Path(options.output) / SETTINGS, to_json(options))

    before = {} if task.new_head else _before(task, options, network, dev, held_out)

    def batch(step):
        return own_part(features.batch(step, options.batch_size, options.seed), trainer.ranks)

    def evaluate(network, replicas):
        metrics = task.score(judged, predict(task, network, judged_rows, replicas=replicas))
        if best not in metrics:
            raise UserError(f"--metric {best} is unknown; expected one of {', '.join(metrics)}")
        return metrics

    train(
        trainer,
        batch,
        options.steps,
        evaluate,
        options.output,
        minutes=options.minutes,
        eval_every=_eval_every(options, features),
        best=best,
        resume=options.resume,
        tokenizer=Vocabularies(tokenizer, task),
        progress=progress,
    )

    # what came out
    predictions = predict(task, network, dev, replicas=Threads(options.threads))
    result = _result(task, examples, held_out, predictions)
    result["baselines"] |= {**before, **control}
    if trainer.ranks.rank == 0:
        _write_json(Path(options.output) / RESULTS, result["metrics"])
        task.write(Path(options.output) / task.predictions, held_out, predictions)
        draw_run(Path(options.output), say)
        evaluations = read_log(options.output)["eval"]
        remark = still_rising([line[best] for line in evaluations], best)
        if remark:
            say(remark)
    return result


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
    return read_settings(path, "fine-tuning", ("task", "train", "model", "epochs", "steps"))


def _control(options, task):
    """{name: score} of the same run from random weights; {} if there is none."""
    if not options.control:
        return {}
    saved = _read_settings(options.control)
    if not saved.get("random_init"):
        raise UserError(f"the run in {options.control} was not one with --random-init")
    other = [name for name in ("task", "train", "dev") if saved[name] != getattr(options, name)]
    if other:
        raise UserError(
            f"the run in {options.control} had another {' and '.join(other)}; expected the same "
            "command with --random-init"
        )
    scores = read_values(Path(options.control) / RESULTS)
    if task.metric not in scores:
        raise UserError(f"{options.control}/{RESULTS} has no {task.metric}; let that run finish")
    return {"random weights": scores[task.metric]}


def _settings(Class, options):
    """The settings of the task among the options of a run."""
    names = [each.name for each in fields(Class.Settings)]
    return Class.Settings(**{name: getattr(options, name) for name in names})


def _before(task, options, network, dev, held_out):
    """How good a model is that needs no fine-tuning: with its own weights, and with random ones."""
    random = task.model_class(network.config, seed=options.seed).to(options.device)
    models = {"not fine-tuned": network, "random values": random}
    replicas = Threads(options.threads)
    return {
        name: task.score(held_out, predict(task, model, dev, replicas=replicas))[task.metric]
        for name, model in models.items()
    }


def _result(task, examples, held_out, predictions):
    """What a run returns: how good the kept model is on the held-out examples, against what."""
    result = {
        "metrics": task.score(held_out, predictions),
        "labels": task.labels,
        "baselines": task.baselines(examples, held_out),
        "metric": task.metric,
    }
    confusion = task.confusion(held_out, predictions)
    if confusion:
        result["confusion"] = confusion
    return result


def _tokenizer(options):
    """The pretrained folder's tokenizer; whoever uses the model cuts texts in the same place."""
    tokenizer = AlbertTokenizer.from_pretrained(options.model)
    check_fits(tokenizer, read_config(options.model), options.model)
    tokenizer.model_max_length = options.max_length
    return tokenizer


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


def still_rising(values, metric):
    """A remark if the metric got better until the end; None if it did not.

    values: of all evaluations, in their order.
    """
    sign = -1 if metric.endswith("loss") else 1
    last_third = values[-1 - len(values) // 3 :]
    rising = sign * values[-1] >= max(sign * value for value in values)
    gain = sign * (last_third[-1] - last_third[0])
    if len(values) < 3 or not rising or gain < 0.01 * max(1, abs(values[-1])):
        return None
    return (
        f"{metric} still got better at the end ({last_third[0]:.3f} to {values[-1]:.3f} in the "
        "last third): a longer run may reach more (--epochs, --minutes)"
    )


def behind_a_baseline(result):
    """A line about the strongest baseline, if the model stays behind it; else None.

    result: what `finetune` returns.
    """
    metric, baselines = result["metric"], result["baselines"]
    if not baselines:
        return None
    strongest = max(baselines, key=baselines.get)
    reached = result["metrics"][metric]
    if reached >= baselines[strongest]:
        return None
    return (
        f"the model stays behind {strongest}: {metric} {reached:.4f} against "
        f"{baselines[strongest]:.4f}; a longer pretraining, more epochs or more rows may help, or "
        "the baseline is the better tool here"
    )


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
    )


def _settled(options, say):
    """Options whose paths mean the same from any folder; those of the run that is resumed."""
    options = _named(options)
    options = replace(
        options,
        train=_absolute(options.train),
        dev=_absolute(options.dev),
        model=_absolute(options.model),
    )
    if not options.resume:
        return options
    saved = _read_settings(options.output)
    if options.steps:  # replaces what the run was begun with
        saved = {**saved, "epochs": None, "minutes": None}
    options = _named(resume_options(options, saved, say))
    return replace(options, steps=options.steps or saved["steps"])


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
    parts = [source] if Path(source).exists() else source.split(",")
    return ",".join(str(Path(part).resolve()) if Path(part).exists() else part for part in parts)


def _examples(task, options, say):
    """Training and held-out examples."""
    examples = read_examples(task, options.train, "train", say)
    dev = options.dev or task.held_out(options.train)
    if dev:
        return examples, read_examples(task, dev, "test", say)
    if len(examples) < 10:
        raise UserError(
            f"{options.train} has {len(examples)} rows; expected at least 10, or a held-out file "
            "(--dev)"
        )
    held_out = _held_out(task, examples, options)
    kept = [example for i, example in enumerate(examples) if i not in held_out]
    return kept, [examples[i] for i in sorted(held_out)]


def _held_out(task, examples, options):
    """The numbers of about a tenth of the examples, drawn; groups of examples stay together."""
    groups = {}
    for i, example in enumerate(examples):
        key = task.group(example)
        groups.setdefault(i if key is None else (key,), []).append(i)
    if len(groups) < 2:
        raise UserError(
            f"the {len(examples)} rows of {options.train} belong together (one text); expected a "
            "held-out file (--dev)"
        )
    groups = list(groups.values())
    held_out = set()
    for number in np.random.default_rng(options.seed).permutation(len(groups)):
        held_out.update(groups[number])
        if len(held_out) >= max(1, len(examples) // 10):
            return held_out


EARLIER = (
    "id2label",
    "label2id",
    "long_inputs",
    "window_overlap",
    "task_settings",
    "unanswerable",
    DECODER,
)


def _spread(examples, count):
    """`count` of the examples, evenly spread over them."""
    return [examples[i * len(examples) // count] for i in range(count)]


def _network(task, options, say):
    """A model of the task with the weights of a folder, or of its size with random ones."""
    config = read_config(options.model)
    earlier = config.extra.get("finetuning_task", "")
    for name in EARLIER:  # what an earlier task left in the config
        config.extra.pop(name, None)
    config.problem_type = None
    if options.max_length > config.max_position_embeddings:
        raise UserError(
            f"--max-length {options.max_length}, but the model has "
            f"{config.max_position_embeddings} positions; expected at most that"
        )
    config = task.configure(config)
    config.extra["finetuning_task"] = task.name  # as transformers calls it
    settings = kept_settings(task.settings)
    if settings:
        config.extra["task_settings"] = settings
    if options.long != "truncate":
        config.extra["long_inputs"] = options.long
        config.extra["window_overlap"] = options.overlap
    if options.dropout is not None:
        config = changed(
            config,
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
        )
    network = task.model_class(config, seed=options.seed)
    if options.random_init:
        return network
    state = load_state(options.model)
    if not options.keep_head:
        state = _without_head(state, task, earlier, say)
    try:
        load_into(network, state)
    except UserError as problem:
        if not options.keep_head:
            raise
        raise UserError(f"--keep-head: {problem}, or leave --keep-head out") from None
    return network


def _without_head(state, task, earlier, say):
    """The weights of a folder without the head of an earlier task, whose outputs meant others."""
    parts = tuple(f"{part}." for part in task.head)
    kept = {name: array for name, array in state.items() if not name.startswith(parts)}
    if len(kept) < len(state):
        what = f"the task {earlier}" if earlier else "an earlier task"
        say(f"the head that was trained for {what} starts anew (--keep-head keeps it)")
    return kept


def _features(task, examples, tokenizer, options, which, say):
    """The rows of examples; says how many texts were too long for one."""
    encoder = RowEncoder(tokenizer, options.max_length, options.long, options.overlap)
    features = Features(task, examples, encoder)
    if encoder.too_long:
        say(f"{which} rows: {encoder.summary()}")
    for line in task.remarks():
        say(f"{which} rows: {line}")
    return features


def _write_json(path, values):
    """Values to a JSON file, whole or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())
