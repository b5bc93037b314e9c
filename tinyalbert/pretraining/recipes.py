"""How to pretrain the small presets on a laptop: found by trial on real text, see README "Off the plateau".

Two things hold a small ALBERT on the unigram plateau.  With beta2 = 0.999 and no bias correction the first
updates are several times too large, and the shared layers learn to give every token the same vector; with
0.98 they don't.  And attention from random values is an even mean over the whole sequence, in which a word's
neighbours have a share of 1/T, and it takes thousands of steps to find them; so two heads begin with looking
at them (mimetic.py).  The first steps would go into learning which words are frequent; so the decoder's bias
begins at the logarithm of the pieces' frequencies, and the loss at the unigram entropy.
"""

from dataclasses import dataclass, replace

from ..backend import UserError


@dataclass(frozen=True)
class Recipe:
    """Optimiser and data of a pretraining run; a batch is counted in sequences, lengths in tokens."""

    lr: float
    batch_size: int = 16
    max_seq_length: int = 64
    early: tuple = ()                      # (length, steps) of short sequences at first
    warmup: int = 700                      # steps, at most a tenth of the run
    optimizer: str = "adamw"
    betas: tuple = (0.9, 0.98)
    weight_decay: float = 0.01
    initializer_range: float = 0.03
    frequency_bias: bool = True            # the decoder's bias begins at log frequencies, not at 0
    mimetic: bool = True                   # attention begins as trained heads look (mimetic.py), not at random
    ngram: int = 1                         # longest run of words that is masked together
    whole_word: bool = False
    fill: str = "whole"                    # segments of whole sentences; "cut" fills every sequence to the end

    def changed(self, **changes):
        """A copy with the changes that are not None."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})

    def warmup_steps(self, total_steps):
        """The warm-up of a run of so many steps."""
        return min(self.warmup, total_steps // 10)

    def length_at(self, step, total_steps):
        """Tokens a sequence at a step: the early ones are short, in less than half of a run however brief."""
        planned = sum(steps for _, steps in self.early)
        scale, start = min(1.0, 0.45 * total_steps / planned) if planned else 1.0, 0.0
        for length, steps in self.early:
            start += steps * scale
            if step < start and length < self.max_seq_length:
                return length
        return self.max_seq_length

    def batch_size_at(self, length):
        """Sequences a batch: short ones come in larger batches, so that a step always sees as many tokens."""
        return max(1, self.batch_size * self.max_seq_length // length)


RECIPES = {
    "tiny": Recipe(lr=2e-3),
    "mini": Recipe(lr=1e-3),
    "small": Recipe(lr=7e-4),
}
# The released sizes: the paper's own numbers (Lan et al. 2020, appendix A.2), its batch of 4096 left to
# accumulation and ranks.
PAPER = Recipe(lr=0.00176, batch_size=4096, max_seq_length=512, early=(), warmup=3125,
               optimizer="lamb", betas=(0.9, 0.999), initializer_range=0.02, frequency_bias=False,
               mimetic=False, ngram=3, whole_word=True)


def recipe_for(preset):
    """The recipe of a preset's name."""
    name = preset.replace("-", "_").removeprefix("albert_")
    if name in RECIPES:
        return RECIPES[name]
    if name.startswith(("base", "large", "xlarge", "xxlarge")):
        return PAPER
    raise UserError(f"preset {preset!r} is unknown; wanted one of {', '.join(RECIPES)}, or base_v2 to xxlarge_v2")
