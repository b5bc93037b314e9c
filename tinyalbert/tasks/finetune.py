"""A whole fine-tuning run, for every task.

output/            the best model by the held-out metric, with its tokenizer; log.jsonl; loss.png
output/finetune.json                           the options of the run
output/eval_results.json, predictions.tsv      of that model on the held-out examples
output/last/       the state of the training, for resume=True
"""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..backend import check_device
from ..errors import UserError
from ..files.checkpoint import changed, read_config
from ..files.safetensors_file import replacing
from ..optim import AdamW
from ..options import make, to_json
from ..options import resume as resume_options
from ..precision import check_precision
from ..pretraining.pretrain import draw_run
from ..text.rows import RowEncoder
from ..text.tokenizer import AlbertTokenizer
from ..training.loop import train
from ..training.replicas import Threads, launched_ranks
from ..training.run import check_output, read_settings
from ..training.trainer import Trainer
from .batches import Features
from .inference import check_fits, predict
from .options import FinetuneOptions
from .registry import find_task, is_task

SETTINGS = "finetune.json"


def finetune(
    train_source=None, dev_source=None, output_dir="runs/finetune", *, say=print, **options
):
    """Fine-tune a model for a task; returns {"metrics", "baselines", "labels"} on the held-out
    examples.

    train_source, dev_source: what the task reads, for tables .tsv, .csv, .jsonl with a header, or
    `stories:TASK[:N]`; without dev_source a tenth of the training examples is held out.  options:
    those of FinetuneOptions by name, `columns` (names for read_table) and `progress` (False: no
    bar)."""
    progress = options.pop("progress", True)
    columns = options.pop("columns", None) or {}
    values = {"train": train_source, "dev": dev_source, "output": output_dir}
    return run(make(FinetuneOptions, {**values, **columns, **options}), say, progress)


def run(options, say=print, progress=True):
    """A fine-tuning run with these FinetuneOptions; returns what `finetune` does."""
    check_precision(options.precision, check_device(options.device))
    output = Path(options.output)
    options = _settled(options, say)
    if not (options.train and options.model):
        raise UserError("fine-tuning needs a table of labelled rows and a model folder (--model)")
    if not options.resume:
        check_output(output)

    # The task and its examples.
    tokenizer = AlbertTokenizer.from_pretrained(options.model)
    check_fits(tokenizer, read_config(options.model), options.model)
    tokenizer.model_max_length = options.max_length  # whoever uses the model cuts in the same place
    task = find_task(options.task)(seed=options.seed, columns=_columns(options), say=say)
    examples, held_out = _examples(task, options)
    task.fit(examples)
    say(f"{len(examples):,} rows to train on, {len(held_out):,} held out; {task.describe()}")

    # The model and its inputs.
    network = _network(task, options).to(options.device)
    longest = network.config.max_position_embeddings
    if options.max_length > longest:
        raise UserError(
            f"--max-length {options.max_length}, but the model has {longest} positions; expected "
            "at most that"
        )
    features = _features(task, examples, tokenizer, options, "training", say)
    dev = _features(task, held_out, tokenizer, options, "held-out", say)

    # The run.
    steps_per_epoch = features.steps_per_epoch(options.batch_size)
    steps = options.steps or max(1, round(options.epochs * steps_per_epoch))
    lr = options.lr or (1e-4 if network.config.hidden_size >= 512 else 5e-4)
    ranks = launched_ranks()
    trainer = Trainer(
        network,
        AdamW(list(network.named_parameters()), lr, betas=(0.9, 0.98)),
        warmup=options.warmup,
        threads=options.threads,
        seed=options.seed,
        ranks=ranks,
        precision=options.precision,
    )
    output.mkdir(parents=True, exist_ok=True)
    if ranks.rank == 0 and not options.resume:
        _write_json(output / SETTINGS, to_json(replace(options, steps=steps, lr=lr)))

    def evaluate(network, replicas):
        return task.score(held_out, predict(task, network, dev, replicas=replicas))

    train(
        trainer,
        lambda step: _mine(features.batch(step, options.batch_size, options.seed), ranks),
        steps,
        evaluate,
        output,
        eval_every=max(1, min(steps_per_epoch, steps // 3)),
        best=task.metric,
        resume=options.resume,
        tokenizer=tokenizer,
        progress=progress,
    )

    # What came out.
    predictions = predict(task, network, dev, replicas=Threads(options.threads))
    metrics = task.score(held_out, predictions)
    if ranks.rank == 0:
        _write_json(output / "eval_results.json", metrics)
        task.write(output / "predictions.tsv", held_out, predictions)
        draw_run(output, say)
    result = {
        "metrics": metrics,
        "labels": task.labels,
        "baselines": task.baselines(examples, held_out),
        "metric": task.metric,
    }
    confusion = task.confusion(held_out, predictions)
    return {**result, "confusion": confusion} if confusion else result


def _settled(options, say):
    """Options whose paths mean the same from any folder; those of the run that is resumed."""
    given = options.task
    options = _named(options)
    options = replace(
        options,
        train=_absolute(options.train),
        dev=_absolute(options.dev),
        model=_absolute(options.model),
    )
    if not options.resume:
        return options
    path = Path(options.output) / SETTINGS
    saved = read_settings(path, "fine-tuning", ("train", "model", "epochs", "steps"))
    saved = {**saved, **saved.get("columns", {})}  # as runs before FinetuneOptions kept them
    options = _named(resume_options(options, saved, say))
    if ".py:" in options.task and ".py:" not in given:
        raise UserError(
            f"the run in {options.output} is of the task {options.task}; the file is run only if "
            f"it is named again: finetune {options.task} --resume"
        )
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
    """A path that means the same from any folder, for resuming; built-in rows as they are."""
    if source is None or str(source).startswith("stories:"):
        return source
    return str(Path(source).resolve())


def _columns(options):
    """The columns that are named, as read_table takes them."""
    named = {
        "text_column": options.text_column,
        "pair_column": options.pair_column,
        "label_column": options.label_column,
    }
    return {column: name for column, name in named.items() if name}


def _examples(task, options):
    """Training and held-out examples."""
    examples = task.read(options.train, "train")
    if options.dev:
        return examples, task.read(options.dev, "test")
    if len(examples) < 10:
        raise UserError(
            f"{options.train} has {len(examples)} rows; expected at least 10, or a held-out file "
            "(--dev)"
        )
    order = np.random.default_rng(options.seed).permutation(len(examples))
    held_out = set(order[: max(1, len(examples) // 10)].tolist())
    kept = [example for i, example in enumerate(examples) if i not in held_out]
    return kept, [examples[i] for i in sorted(held_out)]


def _network(task, options):
    """A model of the task with the weights of a folder, or of its size with random ones."""
    config = read_config(options.model)
    for name in ("id2label", "label2id", "long_inputs", "window_overlap"):  # of an earlier task
        config.extra.pop(name, None)
    config = task.configure(config)
    config.extra["finetuning_task"] = task.name  # as transformers calls it
    if options.long != "truncate":
        config.extra["long_inputs"] = options.long
        config.extra["window_overlap"] = options.overlap
    if options.dropout is not None:
        config = changed(
            config,
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
        )
    if options.random_init:
        return task.model_class(config, seed=options.seed)
    with warnings.catch_warnings():  # that the head starts random is the point
        warnings.simplefilter("ignore", UserWarning)
        return task.model_class.from_pretrained(options.model, config=config, seed=options.seed)


def _features(task, examples, tokenizer, options, which, say):
    """The rows of examples; says how many texts were too long for one."""
    encoder = RowEncoder(tokenizer, options.max_length, options.long, options.overlap)
    features = Features(task, examples, encoder)
    if encoder.too_long:
        say(f"{which} rows: {encoder.summary()}")
    return features


def _mine(batch, ranks):
    """This process's rows of a batch."""
    if ranks.size == 1:
        return batch
    rows = len(batch["input_ids"])
    if rows < ranks.size:
        raise UserError(
            f"a batch of {rows} rows can't be dealt to {ranks.size} processes; raise --batch-size "
            f"or "
            "start fewer"
        )
    low, high = (rows * r // ranks.size for r in (ranks.rank, ranks.rank + 1))
    return {name: array[low:high] for name, array in batch.items()}


def _write_json(path, values):
    """Values to a JSON file, whole or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())
