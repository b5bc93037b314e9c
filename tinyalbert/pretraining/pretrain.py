"""A whole pretraining run: text -> vocabulary -> token shards -> trained model, in one folder.

output/            the model in the Hugging Face layout, with its tokenizer; log.jsonl; loss.png
output/data/       the prepared corpus, unless a prepared folder was given
output/last/       the state of the training, for --resume
"""

import json
from dataclasses import asdict
from pathlib import Path

from ..backend import check_device
from ..config import AlbertConfig
from ..errors import UserError
from ..files.checkpoint import changed
from ..files.safetensors_file import replacing
from ..heads import AlbertForPreTraining
from ..optim import LAMB, AdamW
from ..precision import check_precision
from ..text.tokenizer import AlbertTokenizer
from ..training.checkpoints import (
    check_output,
    check_writable,
    read_settings,
    saved_total_steps,
    say_what_counts,
)
from ..training.loop import train
from ..training.plan import steps_for_minutes
from ..training.replicas import launched_ranks
from ..training.trainer import Trainer
from .corpus import as_list, check_sources, documents
from .mimetic import imitate_trained_attention
from .plan import PretrainingPlan
from .plateau import PlateauWatch
from .recipes import Recipe, recipe_for
from .shards import Shards, check_target, fingerprint, prepare
from .staged import HeldOut, PlannedBatches, StageBatches

SETTINGS = "pretrain.json"


def train_tokenizer(sources, vocab_size, output_dir, format=None, **preparation):
    """Learn a SentencePiece vocabulary from corpora and save it; returns the AlbertTokenizer."""
    if (Path(output_dir) / "model.safetensors").exists():
        raise UserError(
            f"{output_dir} holds a model, which needs the vocabulary that it has; choose another "
            f"folder"
        )
    check_writable(output_dir)
    check_sources(sources, output_dir)
    sentences = (sentence for document in documents(sources, format) for sentence in document)
    tokenizer = AlbertTokenizer.train(sentences, vocab_size, **preparation)
    tokenizer.save_pretrained(output_dir)
    return tokenizer


def is_prepared(source):
    """Whether `source` is a folder that `prepare` wrote."""
    return (Path(source) / "meta.json").is_file()


def pretrain(
    sources=None,
    output_dir="runs/pretrain",
    *,
    preset="mini",
    config=None,
    recipe=None,
    tokenizer=None,
    vocab_size=None,
    init=None,
    steps=None,
    minutes=None,
    sentence_task=None,
    held_out=0.05,
    format=None,
    accumulation=1,
    threads=None,
    device="cpu",
    seed=0,
    resume=False,
    eval_every=None,
    save_every=None,
    workers=None,
    precision="fp32",
    progress=True,
    say=print,
    **recipe_changes,
):
    """Pretrain an ALBERT on text or on a prepared folder; returns the last evaluation's metrics.

    sources: files, folders, `stories`, `python`, or one prepared folder.  preset: the model's size
    and, with it, the recipe; config and recipe replace them, recipe_changes (lr=, batch_size=,
    ngram=, ...) change single values.  tokenizer: a folder; without it a vocabulary of vocab_size
    is learned from the text.  init: a folder to start from in place of random values.  steps or
    minutes: how long.  resume: go on with the run in output_dir, whose own settings count.  device:
    "cpu" or "gpu", and precision: what it computes in, see precision.py."""
    check_precision(precision, check_device(device))
    output, ranks = Path(output_dir), launched_ranks()
    if resume:
        settings = read_settings(
            output / SETTINGS,
            "pretraining",
            ("data", "recipe", "init", "seed", "accumulation", "config"),
        )
        if is_prepared(output / "data") and not is_prepared(
            settings["data"]
        ):  # the folder was moved
            settings["data"] = str(output / "data")
        say_what_counts(
            {"seed": seed, "accumulation": accumulation}, settings, pretrain.__kwdefaults__, say
        )
        say_what_counts(recipe_changes, settings["recipe"], {}, say)
    else:
        if not sources:
            raise UserError(
                "no text to pretrain on; name files, folders, `stories`, `python`, or a prepared "
                "folder"
            )
        check_output(output)
        if not (steps or minutes):
            raise UserError("how long? give steps= (--steps) or minutes= (--minutes)")
        recipe = (recipe or recipe_for(preset)).changed(**recipe_changes)
        config = config or (
            AlbertConfig.from_json_file(Path(init) / "config.json")
            if init
            else AlbertConfig.preset(preset, initializer_range=recipe.initializer_range)
        )
        config = changed(
            config,
            vocab_size=vocab_size or config.vocab_size,
            sentence_task=sentence_task or config.sentence_task,
        )
        if not recipe_changes.get(
            "max_seq_length"
        ):  # the recipe's own length gives way to a smaller model
            recipe = recipe.changed(
                max_seq_length=min(recipe.max_seq_length, config.max_position_embeddings)
            )
        _check_lengths(config, recipe)
        tokenizer = _one_tokenizer(tokenizer, init)
        folder = _prepared(
            as_list(sources),
            output,
            config,
            vocab_size,
            tokenizer,
            held_out,
            format,
            seed,
            workers,
            progress,
            ranks,
            say,
        )
        settings = {
            "data": str(folder),
            "recipe": asdict(recipe),
            "init": str(init) if init else None,
            "seed": seed,
            "accumulation": accumulation,
            "config": config.to_dict(),
        }
    recipe = Recipe(**settings["recipe"])
    tokenizer = AlbertTokenizer.from_pretrained(settings["data"])
    config = changed(AlbertConfig.from_dict(settings["config"]), vocab_size=tokenizer.vocab_size)
    stages = StageBatches(settings["data"], config, recipe, settings["seed"], ranks)
    meta = stages.full.meta
    held_out_batches = HeldOut(stages) if meta["held_out_documents"] else None
    if settings["init"] and not resume:
        model = AlbertForPreTraining.from_pretrained(
            settings["init"], config=config, seed=settings["seed"]
        )
    else:
        model = AlbertForPreTraining(config, seed=settings["seed"])
        if recipe.mimetic and not resume:  # a resumed run brings its own values
            imitate_trained_attention(model, settings["seed"])
        if recipe.frequency_bias and not resume:
            model.predictions.bias.data[...] = stages.full.shards.log_frequencies()
    model.to(device)
    kind = {"adamw": AdamW, "lamb": LAMB}[recipe.optimizer]
    optimizer = kind(
        list(model.named_parameters()),
        recipe.lr,
        betas=tuple(recipe.betas),
        weight_decay=recipe.weight_decay,
    )

    options = dict(
        accumulation=settings["accumulation"],
        threads=threads,
        seed=settings["seed"],
        ranks=ranks,
        precision=precision,
    )
    fitted = None
    if resume:
        steps = steps or saved_total_steps(output)
    elif not steps:
        fitted = _fitted_steps(
            Trainer(model, optimizer, **options), stages, held_out_batches, minutes, eval_every
        )
        steps = fitted.steps
        if ranks.rank == 0:
            say(str(fitted))

    plan = PretrainingPlan(recipe, steps)
    trainer = Trainer(model, optimizer, schedule=plan.lr, total_steps=steps, **options)

    def evaluate(model, replicas):
        return held_out_batches.evaluate(model, replicas, plan.longest(trainer.steps_done))

    if not resume and ranks.rank == 0:
        with replacing(output / SETTINGS) as file:
            file.write((json.dumps(settings, indent=2) + "\n").encode())
    metrics = train(
        trainer,
        PlannedBatches(stages, plan),
        steps,
        evaluate if held_out_batches else None,
        output,
        eval_every=eval_every,
        save_every=save_every,
        best="mlm_loss" if held_out_batches else None,
        resume=resume,
        tokenizer=tokenizer,
        untrained=fitted and fitted.untrained,
        facts={"unigram_entropy": meta["unigram_entropy"]},
        watch=PlateauWatch(meta["unigram_entropy"], trainer.warmup_steps, steps),
        progress=progress,
    )
    if ranks.rank == 0:
        draw_run(output, say)
    return metrics


def _fitted_steps(trainer, stages, held_out, minutes, eval_every):
    """FittedSteps of a run of about `minutes`: the trainer's gradients are thrown away."""

    def evaluate(model, replicas):
        return held_out.evaluate(model, replicas, stages.recipe.max_seq_length)

    try:
        return steps_for_minutes(
            trainer, stages, minutes, evaluate if held_out else None, eval_every
        )
    finally:
        trainer.replicas.close()


def draw_run(folder, say=print):
    """loss.png beside the log, if matplotlib is there."""
    from ..plots import plot_run

    try:
        say(f"curves in {plot_run(Path(folder) / 'log.jsonl')}")
    except UserError as problem:  # no matplotlib: the run is fine without a picture
        say(f"no picture: {problem}")


def _check_lengths(config, recipe):
    if recipe.max_seq_length > config.max_position_embeddings:
        raise UserError(
            f"sequences of {recipe.max_seq_length} tokens, but the model has "
            f"{config.max_position_embeddings} positions; lower --max-length or raise "
            "max_position_embeddings"
        )
    if recipe.optimizer not in ("adamw", "lamb"):
        raise UserError(f"optimizer {recipe.optimizer!r} is unknown; expected adamw or lamb")


def _prepared(
    sources, output, config, asked, tokenizer, held_out, format, seed, workers, progress, ranks, say
):
    """The prepared folder: the one that was given, or output/data made from the sources."""
    if len(sources) == 1 and is_prepared(sources[0]):
        shards = Shards(sources[0])
        if tokenizer:
            shards.check_tokenizer(tokenizer)
        if asked and asked != shards.meta["vocab_size"]:
            raise UserError(
                f"{sources[0]} is prepared with a vocabulary of {shards.meta['vocab_size']}, not "
                f"{asked}; "
                "leave out vocab_size (--vocab-size), or prepare the text again"
            )
        return Path(sources[0]).resolve()
    if tokenizer and asked and asked != tokenizer.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, not {asked}; leave out the "
            f"tokenizer "
            "(--tokenizer) or vocab_size (--vocab-size)"
        )
    folder = output / "data"
    check_sources(sources, output)
    check_target(folder, overwrite=True)
    if ranks.rank == 0:
        if tokenizer is None:
            say(f"learning a vocabulary of {config.vocab_size} pieces")
            try:
                tokenizer = train_tokenizer(sources, config.vocab_size, output, format)
            except UserError as refusal:  # a size that nobody asked for gives way to a small text
                if asked or not hasattr(refusal, "largest"):
                    raise
                say(f"this text supports {refusal.largest} pieces")
                tokenizer = train_tokenizer(sources, refusal.largest, output, format)
    ranks.barrier()
    meta = prepare(
        sources,
        tokenizer,
        folder,
        workers=workers,
        held_out=held_out,
        seed=seed,
        format=format,
        overwrite=True,
        progress=progress,
    )
    ranks.barrier()
    if meta:
        say(describe_corpus(meta))
    return folder.resolve()


def _one_tokenizer(folder, init):
    """The tokenizer of a folder, or of the model to start from; None if neither is given.  They
    must be the same.
    """
    if folder and init and not (Path(init) / "spiece.model").exists():
        init = None
    given = [AlbertTokenizer.from_pretrained(f) for f in (folder, init) if f]
    if len({fingerprint(tokenizer) for tokenizer in given}) > 1:
        raise UserError(
            f"the tokenizer of {folder} is not the one of {init}, whose weights mean other pieces; "
            f"leave "
            "out the tokenizer (--tokenizer)"
        )
    return given[0] if given else None


def describe_corpus(meta):
    """One line on a prepared corpus."""
    alone = meta["one_sentence_documents"]
    return (
        f"{meta['documents']:,} documents ({meta['held_out_documents']:,} held out), "
        f"{meta['sentences']:,} "
        f"sentences, {meta['tokens']:,} pieces, unigram entropy {meta['unigram_entropy']:.2f} nats"
        + (f"; {alone:,} documents have one sentence and give no pairs" if alone else "")
        + ("" if meta["held_out_documents"] else "; with none held out, nothing will be evaluated")
    )
