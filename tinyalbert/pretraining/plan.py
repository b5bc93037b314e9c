"""The plan of a pretraining: stage, tokens and learning rate of each step."""

from dataclasses import dataclass

from .recipes import Recipe


@dataclass(frozen=True)
class PretrainingPlan:
    """A recipe for a run of so many steps; steps are counted from 0."""

    recipe: Recipe
    total_steps: int

    def stage(self, step):
        """(length, sequences a batch, echo, best_of) of step `step`."""
        return self.recipe.stage_at(step, self.total_steps)

    def tokens(self, step):
        """Tokens in the first `step` batches."""
        return self.recipe.tokens_by(step, self.total_steps)

    def lr(self, step):
        """The learning rate of step `step`."""
        return self.recipe.lr_at(step, self.total_steps)

    def masked_lm_prob(self, step):
        """The share of the pieces to be guessed at step `step`."""
        return self.recipe.masked_lm_prob_at(step, self.total_steps)

    def longest(self, step):
        """Tokens of the longest sequences among the first `step` batches.

        At step 0, the recipe's longest.
        """
        if step == 0:
            return self.recipe.max_seq_length
        return self.recipe.longest_by(step, self.total_steps)
