"""A whole pretraining run: text -> vocabulary -> token shards -> trained model, in one folder.

output/            the model in the Hugging Face layout, with its tokenizer; log.jsonl; loss.png
output/data/       the prepared corpus, unless a prepared folder was given
output/last/       the state of the training, for --resume
output/pretrain.json   the options of the run, each written out
"""

import json
from dataclasses import replace
from pathlib import Path

from ..backend import check_device
from ..checks import ANYTHING, TEXT, Maybe, Named
from ..config import AlbertConfig
from ..errors import UserError
from ..files.checkpoint import changed
from ..files.taken import taken
from ..files.writing import replacing
from ..heads import AlbertForPreTraining
from ..optim import OPTIMIZERS
from ..options import make, resume, to_json
from ..plots import draw_run
from ..precision import bytes_kept, check_precision
from ..text.tokenizer import AlbertTokenizer
from ..training.checkpoints import check_output, moved, read_settings, saved_total_steps
from ..training.loop import train
from ..training.memory import check_room, least_memory
from ..training.plan import steps_for_minutes
from ..training.replicas import launched_ranks, own_rows
from ..training.trainer import Trainer
from .mimetic import imitate_trained_attention
from .options import PretrainOptions
from .plan import PretrainingPlan
from .plateau import PlateauWatch
from .preparation import is_prepared, prepared_folder, train_tokenizer
from .report import describe_corpus, describe_result, describe_run
from .shards import Shards
from .staged import HeldOut, PlannedBatches, StageBatches

__all__ = ["describe_corpus", "pretrain", "train_tokenizer"]
SETTINGS = "pretrain.json"
SAVED = {
    "data": TEXT,
    "folder": Maybe(TEXT),
    "fingerprint": Maybe(TEXT),
    "options": Named(ANYTHING),
}


def pretrain(
    sources=None, output="runs/pretrain", *, config=None, progress=True, say=print, **rest
):
    """Pretrain an ALBERT on text or a prepared folder; returns the last evaluation's metrics.

    sources: files, folders, `stories`, `python`, or one prepared folder; or all of the options, as
    PretrainOptions.  config: an AlbertConfig in place of the preset's size.  rest: any other field
    of PretrainOptions, which says what each means: pretrain("book.txt", "runs/book", steps=1000,
    lr=1e-3).
    """
    if isinstance(sources, PretrainOptions):
        options, given = sources, None
    else:
        values = {"sources": sources, "output": output, "model_config": config, **rest}
        options = make(PretrainOptions, values)
        given = {name for name, value in values.items() if value is not None}
    ranks = launched_ranks()
    check_precision(options.precision, check_device(options.device))
    with taken(options.output, writes=ranks.rank == 0):
        if options.resume:
            options, data = resumed(options, given, say)
        else:
            check_output(options.output)
            options = options.resolved()
            data = prepared_folder(options, ranks, say, progress)
        return _train(options, data, ranks, say if ranks.rank == 0 else _silent, progress)


def _train(options, data, ranks, say, progress):
    """Build and train the model; returns the last evaluation's metrics.

    options: resolved, or those of the run that goes on.  data: the prepared folder.
    """
    tokenizer = AlbertTokenizer.from_pretrained(data)
    recipe = options.recipe()
    model = build_model(options, tokenizer.vocab_size)
    stages = StageBatches(data, model.config, recipe, options.seed, ranks)
    meta = stages.full.meta
    held_out = HeldOut(stages) if meta["held_out_documents"] else None
    if not (options.resume or options.init):
        first_values(model, recipe, stages.full.shards, options.seed)
    model.to(options.device)
    optimizer = build_optimizer(model, recipe)
    say(describe_run(options, data, model, ranks))
    check_batches(options, model, recipe, ranks)
    options, untrained = with_steps(options, model, optimizer, stages, held_out, say)
    plan = PretrainingPlan(recipe, options.steps)
    trainer = build_trainer(model, optimizer, options, ranks, plan.lr)

    def evaluate(model, replicas):
        return held_out.evaluate(model, replicas, plan.longest(trainer.steps_done))

    def begin():
        if ranks.rank == 0:
            write_settings(options, data, stages.full.shards.fingerprint())

    metrics = train(
        trainer,
        PlannedBatches(stages, plan),
        options.steps,
        evaluate if held_out else None,
        options.output,
        eval_every=options.eval_every,
        save_every=options.save_every,
        best="mlm_loss" if held_out else None,
        resume=options.resume,
        tokenizer=tokenizer,
        untrained=untrained,
        facts={"unigram_entropy": meta["unigram_entropy"]},
        watch=PlateauWatch(meta["unigram_entropy"], trainer.warmup_steps, options.steps),
        begin=begin,
        finish=lambda metrics: ranks.rank == 0 and draw_run(options.output, say),
        progress=progress,
    )
    if metrics:
        say(describe_result(metrics, meta["unigram_entropy"]))
    return metrics


def check_batches(options, model, recipe, ranks):
    """Refuse a batch size with which a step of any stage has no room in memory."""
    if options.device == "gpu":  # CuPy says so when it happens
        return
    stages = [(sequences, length) for length, sequences, *_ in recipe.plan()]
    sequences, length = max(stages, key=lambda stage: least_memory(model.config, *stage))
    first, end = own_rows(sequences, ranks)
    at_once = -(-(end - first) // options.accumulation)
    kept = bytes_kept(options.precision)
    check_room(model.config, at_once, length, kept, batch_size=recipe.batch_size)


def _silent(text):
    """What the processes other than the first say."""


def resumed(options, given, say):
    """(options, prepared folder) of the run in options.output; both are the run's own.

    given: the names of the options that were given, or None if that is not known.
    """
    output = Path(options.output)
    settings = read_settings(output / SETTINGS, "pretraining", SAVED)
    data = _data_of(settings, options)
    if options.minutes:
        say("a resumed run has the number of steps that it began with; for more: --steps")
        options = replace(options, minutes=None)
    return resume(options, settings["options"], say, given, output / SETTINGS), data


def _data_of(settings, options):
    """The prepared folder of a run: where it was, or where it was moved with the run's folder.

    A prepared folder that is named beside --resume stands for one that is gone.  What tells that it
    is the one is what it holds.
    """
    output = Path(options.output).resolve()
    data = Path(settings["data"])
    found = [data, moved(data, settings.get("folder"), output), output / "data"]
    found += [Path(source) for source in options.sources or ()]
    found = [folder for folder in found if is_prepared(folder)]
    if not found:
        raise UserError(
            f"the text of the run in {output}, prepared in {data}, is gone; name the prepared "
            f"folder: tinyalbert pretrain FOLDER --resume --output {options.output}"
        )
    meant = settings.get("fingerprint")
    for folder in found:
        if meant in (None, Shards(folder).fingerprint()):
            return str(folder)
    raise UserError(
        f"{found[0]} does not hold the text that the run in {output} began with; put that back "
        "(prepared in the same way it is the same), or start another run in another folder"
    )


def write_settings(options, data, fingerprint):
    """What a resumed run needs: pretrain.json."""
    settings = {
        "data": str(data),
        "folder": str(Path(options.output).resolve()),
        "fingerprint": fingerprint,
        "options": to_json(replace(options, resume=False)),  # what it was begun with
    }
    with replacing(Path(options.output) / SETTINGS) as file:
        file.write((json.dumps(settings, indent=2) + "\n").encode())


def build_model(options, vocab_size):
    """The model with random values, or with those of the folder in options.init."""
    config = AlbertConfig.from_dict(options.model_config)
    if not (options.init and config.has_room_for(vocab_size)):
        config = changed(config, vocab_size=vocab_size)
    if options.init and not options.resume:  # a resumed run brings its own values
        return AlbertForPreTraining.from_pretrained(options.init, config=config, seed=options.seed)
    return AlbertForPreTraining(config, seed=options.seed)


def first_values(model, recipe, shards, seed):
    """Put what the recipe knows in place of random values."""
    if recipe.mimetic:
        imitate_trained_attention(model, seed)
    if recipe.frequency_bias:
        model.predictions.bias.data[...] = shards.log_frequencies()


def build_optimizer(model, recipe):
    """The recipe's optimiser."""
    return OPTIMIZERS[recipe.optimizer](
        list(model.named_parameters()),
        recipe.lr,
        betas=tuple(recipe.betas),
        weight_decay=recipe.weight_decay,
    )


def build_trainer(model, optimizer, options, ranks, schedule="linear"):
    """A Trainer for options.steps; the schedule does not matter where batches are only timed."""
    return Trainer(
        model,
        optimizer,
        schedule=schedule,
        total_steps=options.steps,
        accumulation=options.accumulation,
        threads=options.threads,
        seed=options.seed,
        ranks=ranks,
        precision=options.precision,
        graphs=not options.no_graphs,
    )


def with_steps(options, model, optimizer, stages, held_out, say):
    """(options with a number of steps, metrics of the untrained model if they are known).

    Without steps, the first batches and one evaluation are timed; the gradients are thrown away.
    """
    if options.resume:
        return replace(options, steps=options.steps or saved_total_steps(options.output)), None
    if options.steps:
        return options, None

    def evaluate(model, replicas):
        return held_out.evaluate(model, replicas, stages.recipe.max_seq_length)

    say("timing an evaluation and the first batches")
    trainer = build_trainer(model, optimizer, options, stages.ranks)
    try:
        fitted = steps_for_minutes(
            trainer, stages, options.minutes, evaluate if held_out else None, options.eval_every
        )
    finally:
        trainer.replicas.close()
    say(str(fitted))
    eval_every = options.eval_every or fitted.eval_every
    fixed = replace(
        options,
        steps=fitted.steps,
        minutes=None,
        eval_every=eval_every,
        save_every=options.save_every or fitted.save_every(eval_every),
    )
    return fixed, fitted.untrained
