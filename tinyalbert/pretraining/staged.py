"""The batches of a pretraining in stages, and the held-out ones on which it is evaluated."""

import functools

from ..training.replicas import own_rows
from .batches import PretrainingData
from .evaluation import evaluate_pretraining

EVALUATION_TOKENS = 1 << 16  # held-out tokens an evaluation reads; a quarter more for n-grams


class StageBatches:
    """This process's rows of the batches of a recipe's stages, whatever the number of steps.

    folder: a prepared corpus.  For each sequence length there is one PretrainingData.
    """

    def __init__(self, folder, config, recipe, seed, ranks):
        options = dict(
            sentence_task=config.sentence_task,
            ngram=recipe.ngram,
            whole_word=recipe.whole_word,
            fill=recipe.fill,
            short_seq_prob=0.0,
            seed=seed,
        )
        self.recipe = recipe
        self.ranks = ranks
        lengths = {recipe.max_seq_length, *(length for length, *_ in recipe.plan())}
        self.data = {
            length: PretrainingData(folder, max_seq_length=length, **options) for length in lengths
        }
        self.full = self.data[recipe.max_seq_length]

    def draw(self, stage, step, masked_lm_prob=None):
        """The batch of `step` in a stage, without the columns that are padding in every row.

        stage: (length, sequences, echo, best_of).  masked_lm_prob: by default the recipe's first.
        Every process cuts for itself, to a multiple of 8.
        """
        share = masked_lm_prob or self.recipe.masked_lm_prob
        length, size, echo, best_of = stage
        first, end = own_rows(size, self.ranks)
        batch = self.data[length].batch(step, size, first, end - first, echo, best_of, share)
        longest = int(batch["attention_mask"].sum(1).max())
        columns = -(-longest // 8) * 8
        return {name: a[:, :columns] if a.ndim == 2 else a for name, a in batch.items()}

    def kinds(self):
        """[(share of the steps, step -> batch)], one for each stage, as in TrainingData."""
        return [
            (share, functools.partial(self.draw, stage)) for *stage, share in self.recipe.plan()
        ]


class PlannedBatches:
    """TrainingData: each step's batch, from the stage in which the plan has it."""

    def __init__(self, stages, plan):
        self.stages = stages
        self.plan = plan
        self.tokens = plan.tokens
        self.kinds = stages.kinds

    def batch(self, step):
        """This process's rows of the batch of `step`."""
        return self.stages.draw(self.plan.stage(step), step, self.plan.masked_lm_prob(step))


class HeldOut:
    """Evaluation on held-out documents, on single pieces and on n-grams.

    Published losses are on single pieces.  The batches are drawn once for each sequence length.
    """

    def __init__(self, stages):
        self.stages = stages
        self.batches = functools.cache(self._batches)

    def _batches(self, length):
        """(batches with single pieces masked, a quarter as many with n-grams)."""
        size = max(1, min(32, 4096 // length))
        count = max(4, EVALUATION_TOKENS // (size * length))
        data = self.stages.data[length]
        return (
            data.evaluation_batches(count, size, ngram=1, whole_word=False),
            data.evaluation_batches(count // 4, size, ngram=3, whole_word=True),
        )

    def evaluate(self, model, replicas, length):
        """{metric: number} of sequences of `length` tokens.

        It should be the longest that the model was trained on: of the positions beyond, it can say
        nothing yet.
        """
        single, ngrams = self.batches(length)
        ranks = self.stages.ranks
        metrics = evaluate_pretraining(model, single, replicas, ranks)
        of_ngrams = evaluate_pretraining(model, ngrams, replicas, ranks)
        # in texts without spaces (DNA, Chinese) a word may be longer than what may be masked
        of_words = {f"ngram_{k}": v for k, v in of_ngrams.items() if k.startswith("mlm_")}
        return {**metrics, **of_words, "max_seq_length": length}
