"""What can be chosen for a pretraining run: each field is told here and nowhere else."""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ..config import AlbertConfig
from ..errors import UserError
from ..files.checkpoint import changed, read_config
from ..optim import OPTIMIZERS
from ..options import (
    AMOUNT,
    COUNT,
    LENGTH,
    SHARE,
    SWITCH,
    WHOLE,
    WORDS,
    Anything,
    Many,
    Number,
    OneOf,
    Options,
    device_option,
    no_graphs_option,
    option,
    output_option,
    precision_option,
    resume_option,
    seed_option,
    threads_option,
)
from .corpus import FORMATS
from .recipes import Recipe, Stage, recipe_for

CORPUS = (
    'text files or folders, .gz too, JSON lines with "text", or the built-in `stories`, '
    "`stories:N`, `python`"
)
STAGES = """how sequences grow, as SHARE:LENGTH[xTIMES]: 0.8:64x4 0.2:512 is 0.8 of the run's tokens
in sequences of 64, in batches of 4 times --batch-size, then 0.2 in sequences of 512;
:LEAST-MOST of echoed pieces and @BEST_OF pairs after it make sentence order easier to see; nothing
behind it: all sequences have --max-length (default: the preset's)"""


class StageCheck(Anything):
    """A stage of a recipe: a Stage, a table of its fields, or a text.

    The text is SHARE:LENGTH[xTIMES][:LEAST-MOST][@BEST_OF], such as 0.2:512x0.5:0.1-0.9@2.
    """

    expected = "SHARE:LENGTH[xTIMES][:LEAST-MOST][@BEST_OF], for example 0.8:64 0.2:512"
    _number = r"(\d*\.?\d+)"
    _pattern = rf"{_number}:(\d+)(?:x{_number})?(?::{_number}-{_number})?(?:@(\d+))?"

    def accept(self, value):
        if isinstance(value, Stage):
            return value
        if isinstance(value, dict):
            return Stage(**{**value, "echo": tuple(value.get("echo", ()))})
        found = re.fullmatch(self._pattern, value)
        if not found:
            raise ValueError(value)
        share, length, times, least, most, best_of = found.groups()
        return Stage(
            share=float(share),
            length=int(length),
            times=float(times or 1),
            echo=(float(least), float(most)) if least else (),
            best_of=int(best_of or 1),
        )


class ModelSize(Anything):
    """The size of a model: a config.json, a table of its fields, or an AlbertConfig."""

    expected = "the path of a config.json, or a table of its fields"

    def accept(self, value):
        if isinstance(value, AlbertConfig):
            return value.to_dict()
        if not isinstance(value, (str, Path, dict)):
            raise ValueError(value)
        return value if isinstance(value, dict) else str(value)


def corpus_option():
    """Texts, of any number."""
    return option(None, CORPUS, check=Many(WORDS), positional=True, metavar="CORPUS")


def format_option():
    """How the text is written down."""
    help = "how the text is written down (default: found out)"
    return option(None, help, check=OneOf(*FORMATS))


def held_out_option():
    """What is kept from training."""
    return option(
        0.05,
        "documents to keep for evaluation: a share below 1 or a number (default: 0.05)",
        check=SHARE,
    )


def cased_option():
    """Whether a vocabulary that is learned tells capitals from small letters."""
    return option(False, "keep upper case in the vocabulary (ALBERT lower-cases)")


def accents_option():
    """Whether a vocabulary that is learned has letters with accents."""
    return option(False, "keep accents in the vocabulary (ALBERT drops them)")


def workers_option():
    """Processes that prepare the text."""
    help = "processes that prepare the text (default: one for each core)"
    return option(None, help, check=COUNT, free=True)


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions(Options):
    """`tinyalbert tokenizer`."""

    corpus: tuple = corpus_option()
    output: str = output_option("folder for spiece.model and its settings")
    vocab_size: int = option(8000, "pieces, special ones included", check=COUNT)
    format: str | None = format_option()
    cased: bool = cased_option()
    keep_accents: bool = accents_option()


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(Options):
    """`tinyalbert prepare`."""

    corpus: tuple = corpus_option()
    tokenizer: str = option(None, "folder with a tokenizer", required=True)
    output: str = output_option("folder to make")
    held_out: float = held_out_option()
    workers: int | None = workers_option()
    format: str | None = format_option()
    seed: int = seed_option("which documents are held out")
    overwrite: bool = option(False, "replace the folder if it exists")


RATE = Number(float, 0.01, below=1)


def of_recipe(help, check, **about):
    """A field of the recipe: None leaves it as the preset's recipe has it."""
    return option(None, help, check=check, **about)


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(Options):
    """`tinyalbert pretrain`.  The fields that Recipe has too change the recipe of the preset."""

    sources: tuple = option(
        None,
        CORPUS + "; or one folder made by `prepare`",
        check=Many(WORDS),
        positional=True,
        metavar="CORPUS",
    )
    output: str = output_option("folder for the model, log.jsonl, loss.png and the checkpoints")
    preset: str = option(
        "mini", "size and recipe: tiny, mini, small, base_v2 ... (default: mini)", metavar="NAME"
    )
    model_config: str | dict | None = option(
        None, "config.json with a size of your own", check=ModelSize(), metavar="FILE"
    )
    init: str | None = option(None, "folder of a model to start from", metavar="FOLDER")
    minutes: float | None = option(
        None, "how long, about (default: 10)", check=AMOUNT, group="how long", free=True
    )
    steps: int | None = option(
        None, "how long, in optimiser steps", check=COUNT, group="how long", free=True
    )
    resume: bool = resume_option()

    # text
    tokenizer: str | None = option(
        None, "folder with a tokenizer (default: learn one)", metavar="FOLDER"
    )
    vocab_size: int | None = option(
        None, "size of the vocabulary to learn (default: the preset's)", check=COUNT
    )
    cased: bool = cased_option()
    keep_accents: bool = accents_option()
    held_out: float = held_out_option()
    format: str | None = format_option()
    workers: int | None = workers_option()

    # tasks
    sentence_task: str | None = option(
        None,
        "sentence order (ALBERT), next sentence (BERT), or none",
        check=OneOf("sop", "nsp", "none"),
    )
    ngram: int | None = of_recipe(
        "mask runs of up to N whole words (paper: 3); 1: single pieces", COUNT
    )
    whole_word: bool | None = of_recipe("mask whole words", SWITCH, flag="")
    masked_lm_prob: float | None = of_recipe("share of the pieces to guess", RATE, flag="--masks")
    final_masked_lm_prob: float | None = of_recipe(
        "the share at the end, to which that of --masks goes in a line", RATE, flag="--final-masks"
    )
    fill: str | None = of_recipe("segments", OneOf("whole", "cut"), flag="")

    # batches
    batch_size: int | None = of_recipe("sequences a step", COUNT)
    max_seq_length: int | None = of_recipe(
        "tokens a sequence; longer stages are cut to it", LENGTH, flag="--max-length"
    )
    stages: tuple | None = of_recipe(" ".join(STAGES.split()), Many(StageCheck()), metavar="STAGE")
    accumulation: int = option(1, "micro-batches a step", check=COUNT)

    # optimiser
    optimizer: str | None = of_recipe("the preset's unless given", OneOf(*OPTIMIZERS))
    lr: float | None = of_recipe("peak learning rate", AMOUNT, free=True)
    warmup: int | None = of_recipe("steps until the peak, at most a tenth of the run", WHOLE)
    decay: float | None = of_recipe("power of the learning rate's decay", AMOUNT, flag="")
    betas: tuple | None = of_recipe("of the optimiser", Many(SHARE), flag="")
    weight_decay: float | None = of_recipe("of the optimiser", SHARE, flag="")

    # the first values
    initializer_range: float | None = of_recipe("of random values", AMOUNT, flag="")
    frequency_bias: bool | None = of_recipe(
        "the decoder begins at log frequencies", SWITCH, flag=""
    )
    mimetic: bool | None = of_recipe("attention begins as trained heads look", SWITCH, flag="")

    # what is written when, and where it is computed
    eval_every: int | None = option(
        None, "steps (default: ten times a run)", check=COUNT, free=True
    )
    save_every: int | None = option(
        None,
        "steps (default: with each evaluation, with --minutes also about every ten minutes)",
        check=COUNT,
        free=True,
    )
    seed: int = seed_option()
    device: str = device_option()
    threads: int | None = threads_option()
    precision: str = precision_option()
    no_graphs: bool = no_graphs_option()

    def recipe(self):
        """The preset's recipe with the changes of these options.

        --ngram above 1 means whole words, as in the paper, unless whole_word says otherwise.
        """
        given = {each.name: getattr(self, each.name) for each in fields(Recipe)}
        if self.ngram is not None and self.whole_word is None:
            given["whole_word"] = self.ngram > 1
        return recipe_for(self.preset).changed(**given)

    def model_size(self, initializer_range):
        """The AlbertConfig of these options."""
        if isinstance(self.model_config, dict):
            config = AlbertConfig.from_dict(self.model_config)
        elif self.model_config:
            config = AlbertConfig.from_json_file(self.model_config)
        elif self.init:
            config = read_config(self.init)
        else:
            config = AlbertConfig.preset(self.preset, initializer_range=initializer_range)
        return changed(
            config,
            vocab_size=self.vocab_size or config.vocab_size,
            sentence_task=self.sentence_task or config.sentence_task,
        )

    def resolved(self):
        """The same options with the recipe and the model's size written out, checked together.

        They say the same in a later version, whatever its presets and recipes are.
        """
        if not self.sources:
            raise UserError(
                "no text to pretrain on; name files, folders, `stories`, `python`, or a prepared "
                "folder"
            )
        if not (self.steps or self.minutes):
            raise UserError("how long? give steps= (--steps) or minutes= (--minutes)")
        recipe = self.recipe()
        config = self.model_size(recipe.initializer_range)
        if self.max_seq_length is None:  # the recipe's own length gives way to a smaller model
            longest = min(recipe.max_seq_length, config.max_position_embeddings)
            recipe = recipe.changed(max_seq_length=longest)
        if self.mimetic is None and config.projection_groups > 1:  # it could not be
            recipe = recipe.changed(mimetic=False)
        if recipe.max_seq_length > config.max_position_embeddings:
            raise UserError(
                f"sequences of {recipe.max_seq_length} tokens, but the model has "
                f"{config.max_position_embeddings} positions; lower --max-length or raise "
                "max_position_embeddings"
            )
        written_out = {each.name: getattr(recipe, each.name) for each in fields(recipe)}
        return replace(self, model_config=config.to_dict(), **written_out)
