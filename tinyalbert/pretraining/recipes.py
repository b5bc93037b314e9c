"""How to pretrain the small presets on a laptop.

Found by trial on real text, see lessons/experiments/plateau.md.

Two things hold a small ALBERT on the unigram plateau.  With beta2 = 0.999 and no bias correction
the first updates are several times too large, and the shared layers learn to give every token the
same vector; with 0.98 they don't.  And attention from random values is an even mean over the whole
sequence, in which a word's neighbours have a share of 1/T, and it takes thousands of steps to find
them; so two heads begin with looking at them (mimetic.py).  The first steps would go into learning
which words are frequent; so the decoder's bias begins at the logarithm of the pieces' frequencies,
and the loss at the unigram entropy.

Sentence order stays at guessing in short sequences of real text, and in long ones too unless the
model knows what to look for.  So words come first, then pairs whose order is easy to see
(curriculum.py), then longer sequences.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ..checks import shown
from ..errors import UserError
from ..optim import linear_warmup_decay
from .batches import SHORTEST


@dataclass(frozen=True)
class Stage:
    """A part of a pretraining run."""

    share: float  # of the run's tokens, beside the shares of the other stages
    length: int  # tokens a sequence, at most the recipe's max_seq_length
    times: float = 1.0  # its batches hold so many times the recipe's batch_size
    echo: tuple = ()  # (least, most) echoed pieces, and
    best_of: int = 1  # pairs to choose from, to make the order easier to see: curriculum.py

    def __post_init__(self):
        if not (
            self.share > 0 and self.length >= SHORTEST and self.times > 0 and self.best_of >= 1
        ):
            raise UserError(
                f"a stage of share {self.share}, length {self.length}, times {self.times}, best_of "
                f"{self.best_of}; expected a share and times above 0, a length of {SHORTEST} or "
                f"more, "
                "best_of of 1 or more"
            )
        if self.echo and not (len(self.echo) == 2 and 0 < self.echo[0] <= self.echo[1] <= 1):
            raise UserError(
                f"a stage with an echo of {shown(self.echo)}; expected two shares, the smaller one "
                "first, above 0"
            )


@dataclass(frozen=True)
class Recipe:
    """Optimiser and data of a pretraining run.

    A batch is counted in sequences, lengths in tokens.
    """

    lr: float
    batch_size: int = 16
    max_seq_length: int = 64
    stages: tuple = ()  # Stage by Stage; none: one of max_seq_length
    warmup: int = 700  # batches of the first stage, at most a tenth of the run
    decay: float = 1.0  # power of the decay: 1 a straight line, 0.5 is steep only at the end
    optimizer: str = "adamw"
    betas: tuple = (0.9, 0.98)
    weight_decay: float = 0.01
    initializer_range: float = 0.03
    frequency_bias: bool = True  # the decoder's bias begins at log frequencies, not at 0
    mimetic: bool = True  # attention begins as trained heads look (mimetic.py), not at random
    ngram: int = 1  # longest run of words that is masked together
    whole_word: bool = False
    masked_lm_prob: float = 0.15  # of the pieces are to be guessed,
    final_masked_lm_prob: float | None = None  # falling or rising in a line to this, if given
    fill: str = "whole"  # segments of whole sentences; "cut" fills every sequence to the end

    def changed(self, **changes):
        """A copy with the changes that are not None."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})

    def plan(self):
        """[(length, sequences a batch, echo, best_of, share of the steps)] of the stages."""
        stages = [Stage(**s) if isinstance(s, dict) else s for s in self.stages] or [
            Stage(1, self.max_seq_length)
        ]
        sizes = [
            (min(s.length, self.max_seq_length), max(1, round(s.times * self.batch_size)))
            for s in stages
        ]
        steps = np.array([s.share / (length * batch) for s, (length, batch) in zip(stages, sizes)])
        return [
            (*size, tuple(s.echo), s.best_of, share)
            for s, size, share in zip(stages, sizes, steps / steps.sum())
        ]

    def _ends(self, total_steps):
        """The step after the last one of each stage."""
        return np.rint(np.cumsum([share for *_, share in self.plan()]) * total_steps).astype(int)

    def stage_at(self, step, total_steps):
        """(length, sequences a batch, echo, best_of) at a step of a run of so many."""
        number = int(np.searchsorted(self._ends(total_steps), step, side="right"))
        return self.plan()[number][:4]

    def _done(self, step, total_steps):
        """Steps of each stage among the first `step`."""
        return np.diff(np.minimum(self._ends(total_steps), step), prepend=0)

    def longest_by(self, step, total_steps):
        """Tokens of the longest sequences among the first `step` batches.

        At step 0, of the first batch.
        """
        return max(
            length
            for (length, *_), done in zip(self.plan(), self._done(max(step, 1), total_steps))
            if done
        )

    def tokens_by(self, step, total_steps):
        """Tokens in the first `step` batches."""
        return int(self._done(step, total_steps) @ [math.prod(stage[:2]) for stage in self.plan()])

    def masked_lm_prob_at(self, step, total_steps):
        """The share of the pieces to be guessed at a step of a run of so many."""
        if self.final_masked_lm_prob is None:
            return self.masked_lm_prob
        done = step / max(total_steps - 1, 1)
        return self.masked_lm_prob + done * (self.final_masked_lm_prob - self.masked_lm_prob)

    def lr_at(self, step, total_steps):
        """Warm-up and decay over the tokens of the run, in batches of the first stage."""
        batch = math.prod(self.plan()[0][:2])
        done, total = (self.tokens_by(s, total_steps) / batch for s in (step, total_steps))
        return linear_warmup_decay(
            done, self.lr, min(self.warmup, int(total) // 10), total, self.decay
        )


STAGES = (
    Stage(0.32, 64),  # words first; the order can't be seen yet
    Stage(0.07, 24, 8, echo=(0.6, 1.0)),
    Stage(0.17, 64, 3, echo=(0.2, 1.0)),
    Stage(0.08, 64, 3, best_of=64),
    Stage(0.08, 128, 2, best_of=32),
    Stage(0.08, 256, 1, best_of=16),
    Stage(0.1, 512, 1, best_of=8),
    Stage(0.1, 512, 1, best_of=2),
)
RECIPES = {
    "tiny": Recipe(lr=2e-3, max_seq_length=128, stages=STAGES, decay=0.5),
    "mini": Recipe(lr=1e-3, max_seq_length=512, stages=STAGES, decay=0.5),
    "small": Recipe(lr=7e-4, max_seq_length=512, stages=STAGES, decay=0.5),
}
# The released sizes: the paper's own numbers (Lan et al. 2020, appendix A.2), its batch of 4096
# left to accumulation and ranks.
PAPER = Recipe(
    lr=0.00176,
    batch_size=4096,
    max_seq_length=512,
    warmup=3125,
    optimizer="lamb",
    betas=(0.9, 0.999),
    initializer_range=0.02,
    frequency_bias=False,
    mimetic=False,
    ngram=3,
    whole_word=True,
)


def recipe_for(preset):
    """The recipe of a preset's name."""
    name = preset.replace("-", "_").removeprefix("albert_")
    if name in RECIPES:
        return RECIPES[name]
    if name.startswith(("base", "large", "xlarge", "xxlarge")):
        return PAPER
    raise UserError(
        f"preset {preset!r} is unknown; expected one of {', '.join(RECIPES)}, or base_v2 to "
        f"xxlarge_v2"
    )
