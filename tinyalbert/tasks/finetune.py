"""A whole fine-tuning run for sequence classification or regression, and the evaluation of what
came out.

output/            the best model by the held-out metric, with its tokenizer; log.jsonl; loss.png
output/eval_results.json, predictions.tsv      of that model on the held-out rows
output/last/       the state of the training, for resume=True
"""

import json
import warnings
from pathlib import Path

import numpy as np

from ..backend import check_device
from ..errors import UserError
from ..files.checkpoint import changed, read_config
from ..files.safetensors_file import replacing
from ..heads import AlbertForSequenceClassification
from ..optim import AdamW
from ..precision import check_precision
from ..pretraining.pretrain import draw_run
from ..stories.tasks import TASKS, story_dataset
from ..text.tokenizer import AlbertTokenizer
from ..training.loop import train
from ..training.replicas import Threads, launched_ranks
from ..training.run import check_output, check_writable, read_settings, say_what_counts
from ..training.trainer import Trainer
from .classification import (
    Features,
    check_fits,
    encode_labels,
    format_confusion,
    key_metric,
    label_names,
    load_trained,
    predict_logits,
    score,
    write_predictions,
    write_results,
)
from .metrics import bag_of_words_baseline, classification_metrics, majority_baseline
from .tables import Row, read_table

SETTINGS = "finetune.json"


def read_rows(source, seed=0, split="train", **columns):
    """Rows of a file, or of a built-in task: `stories:TASK` or `stories:TASK:N` (N rows, 500 if
    left out).
    """
    if not str(source).startswith("stories:"):
        return read_table(source, **columns)
    name, _, count = str(source).removeprefix("stories:").partition(":")
    if name not in TASKS or TASKS[name].kind != "classification":
        known = [n for n, task in TASKS.items() if task.kind == "classification"]
        raise UserError(
            f"{source}: no built-in classification task {name!r}; expected one of "
            f"{', '.join(known)}"
        )
    if count and not (count.isdecimal() and int(count)):
        raise UserError(f"{source}: {count!r} rows; expected a whole number above 0")
    rows = story_dataset(name, int(count or 500), seed, split)
    return [
        Row(r.get("text", r.get("text_a")), r.get("text_b"), str(r["label"]), f"{source}, row {i}")
        for i, r in enumerate(rows, 1)
    ]


def finetune(
    train_source=None,
    dev_source=None,
    output_dir="runs/finetune",
    *,
    model=None,
    random_init=False,
    regression=False,
    epochs=3.0,
    steps=None,
    batch_size=32,
    lr=None,
    warmup=0.1,
    max_length=128,
    dropout=None,
    columns=None,
    threads=None,
    device="cpu",
    precision="fp32",
    seed=0,
    resume=False,
    progress=True,
    say=print,
):
    """Fine-tune a classifier; returns {"metrics", "baselines", "labels"} on the held-out rows.

    train_source, dev_source: .tsv, .csv, .jsonl with a header, or `stories:TASK[:N]`; without
    dev_source a tenth of the training rows is held out.  model: a pretrained folder, whose
    tokenizer is used; random_init keeps its size and tokenizer and forgets its weights.  columns:
    names for read_table.  precision: see precision.py."""
    check_precision(precision, check_device(device))
    output = Path(output_dir)
    values = dict(
        train=_absolute(train_source),
        dev=_absolute(dev_source),
        model=_absolute(model),
        columns=columns or {},
        random_init=random_init,
        regression=regression,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        warmup=warmup,
        max_length=max_length,
        dropout=dropout,
        seed=seed,
    )
    if resume:
        settings = read_settings(output / SETTINGS, "fine-tuning", (*values, "steps"))
        say_what_counts(values, settings, {"columns": {}, **finetune.__kwdefaults__}, say)
        train_source, dev_source, model, columns = (
            settings[k] for k in ("train", "dev", "model", "columns")
        )
        random_init, regression, epochs, steps = (
            *(settings[k] for k in ("random_init", "regression", "epochs")),
            steps or settings["steps"],
        )
        batch_size, lr, warmup, max_length, dropout, seed = (
            settings[k] for k in ("batch_size", "lr", "warmup", "max_length", "dropout", "seed")
        )
    else:
        check_output(output)
    if not (train_source and model):
        raise UserError("fine-tuning needs a table of labelled rows and a model folder (--model)")
    tokenizer = AlbertTokenizer.from_pretrained(model)
    check_fits(tokenizer, read_config(model), model)
    tokenizer.model_max_length = (
        max_length  # longer texts are cut in the same place whoever uses the model
    )
    rows, held_out = _rows(train_source, dev_source, seed, {**(columns or {}), "say": say})
    names = None if regression else label_names(rows)
    say(
        f"{len(rows):,} rows to train on, {len(held_out):,} held out; "
        + (
            f"labels {', '.join(names[:20])}{', ...' * (len(names) > 20)}"
            if names
            else "numbers are to be predicted"
        )
    )
    network = _network(model, names, random_init, dropout, seed).to(device)
    longest = network.config.max_position_embeddings
    if max_length > longest:
        raise UserError(
            f"--max-length {max_length}, but the model has {longest} positions; expected at most "
            f"that"
        )
    features = Features(rows, tokenizer, max_length, encode_labels(rows, names))
    dev, targets = Features(held_out, tokenizer, max_length), encode_labels(held_out, names)
    steps = steps or max(1, round(epochs * features.steps_per_epoch(batch_size)))
    lr = lr or (1e-4 if network.config.hidden_size >= 512 else 5e-4)

    def evaluate(network, replicas):
        return score(predict_logits(network, dev, replicas=replicas), targets, names)

    optimizer, ranks = (
        AdamW(list(network.named_parameters()), lr, betas=(0.9, 0.98)),
        launched_ranks(),
    )
    trainer = Trainer(
        network,
        optimizer,
        warmup=warmup,
        threads=threads,
        seed=seed,
        ranks=ranks,
        precision=precision,
    )
    output.mkdir(parents=True, exist_ok=True)
    if ranks.rank == 0 and not resume:
        with replacing(output / SETTINGS) as file:
            file.write((json.dumps({**values, "steps": steps, "lr": lr}, indent=2) + "\n").encode())
    train(
        trainer,
        lambda step: _mine(features.batch(step, batch_size, seed), ranks),
        steps,
        evaluate,
        output,
        eval_every=max(1, min(features.steps_per_epoch(batch_size), steps // 3)),
        best=key_metric(names),
        resume=resume,
        tokenizer=tokenizer,
        progress=progress,
    )
    logits = predict_logits(network, dev, replicas=Threads(threads))
    metrics = score(logits, targets, names)
    if ranks.rank == 0:
        write_results(output, metrics)
        write_predictions(output / "predictions.tsv", held_out, logits, names)
        draw_run(output, say)
    result = {"metrics": metrics, "labels": names, "baselines": baselines(rows, held_out, names)}
    if names:
        result["confusion"] = format_confusion(targets, logits.argmax(axis=1), names)
    return result


def _absolute(source):
    """A path that means the same from any folder, for resuming; built-in rows as they are."""
    return (
        source
        if source is None or str(source).startswith("stories:")
        else str(Path(source).resolve())
    )


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


def _rows(train_source, dev_source, seed, columns):
    """Training rows and held-out rows."""
    rows = read_rows(train_source, seed, "train", **columns)
    if dev_source:
        return rows, read_rows(dev_source, seed, "test", **columns)
    if len(rows) < 10:
        raise UserError(
            f"{train_source} has {len(rows)} rows; expected at least 10, or a held-out file (--dev)"
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    held_out = set(order[: max(1, len(rows) // 10)].tolist())
    return [r for i, r in enumerate(rows) if i not in held_out], [rows[i] for i in sorted(held_out)]


def _network(folder, names, random_init, dropout, seed):
    """A classifier with the weights of a folder, or of its size with random ones."""
    config = read_config(folder)
    for name in ("id2label", "label2id"):  # labels of an earlier task
        config.extra.pop(name, None)
    config = (
        changed(config, num_labels=1, problem_type="regression")
        if names is None
        else config.with_labels(names)
    )
    if dropout is not None:
        config = changed(config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    if random_init:
        return AlbertForSequenceClassification(config, seed=seed)
    with warnings.catch_warnings():  # that the classifier starts random is the point
        warnings.simplefilter("ignore", UserWarning)
        return AlbertForSequenceClassification.from_pretrained(folder, config=config, seed=seed)


def baselines(rows, held_out, names):
    """{"majority": accuracy, "bag of words": accuracy} on the held-out rows, what a model must
    beat.
    """
    if names is None:
        return {}
    labels, gold = encode_labels(rows, names), encode_labels(held_out, names)
    texts, held = ([f"{r.text} {r.pair or ''}" for r in part] for part in (rows, held_out))
    said = bag_of_words_baseline(texts, labels, held, len(names))
    return {
        "majority": majority_baseline(labels, gold),
        "bag of words": classification_metrics(gold, said, len(names))["accuracy"],
    }


def load_classifier(folder, device="cpu"):
    """(model, tokenizer, label names or None for regression) of a fine-tuned folder."""
    check_device(device)
    model = load_trained(
        AlbertForSequenceClassification, folder, "classifier", f"finetune TABLE --model {folder}"
    )
    config = model.config
    regression = config.problem_type == "regression" or config.num_labels == 1
    names = None if regression else [config.id2label[i] for i in range(config.num_labels)]
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    check_fits(tokenizer, config, folder)
    return model.to(device), tokenizer, names


def _longest(model, tokenizer):
    """Tokens a row: as many as the model was fine-tuned with."""
    return min(tokenizer.model_max_length, model.config.max_position_embeddings)


def evaluate_file(
    folder, source, columns=None, max_length=None, threads=None, device="cpu", seed=0
):
    """(metrics, confusion table or None, baseline-free logits and rows) of a fine-tuned folder on
    labelled rows.
    """
    model, tokenizer, names = load_classifier(folder, device)
    rows = read_rows(source, seed, "test", **(columns or {}))
    targets = encode_labels(rows, names)
    features = Features(rows, tokenizer, max_length or _longest(model, tokenizer))
    logits = predict_logits(model, features, replicas=Threads(threads))
    confusion = format_confusion(targets, logits.argmax(axis=1), names) if names else None
    return score(logits, targets, names), confusion


def predict_file(folder, source, output, columns=None, max_length=None, threads=None, device="cpu"):
    """Write the predictions of a fine-tuned folder for the rows of a file (labels are not needed);
    returns how many.
    """
    output = Path(output)
    if output.is_dir() or output.resolve() == Path(source).resolve():
        raise UserError(
            f"{output} is {'a folder' if output.is_dir() else 'the table itself'}; expected "
            f"another file for "
            "the predictions"
        )
    check_writable(output.parent)
    model, tokenizer, names = load_classifier(folder, device)
    rows = read_rows(
        source,
        split="test",
        **({} if str(source).startswith("stories:") else {"need_labels": False}),
        **(columns or {}),
    )
    features = Features(rows, tokenizer, max_length or _longest(model, tokenizer))
    logits = predict_logits(model, features, replicas=Threads(threads))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(output, rows, logits, names)
    return len(rows)
