"""Batches for pretraining, drawn on the fly: only the token shards are on the disk.

Example number g of a run, g = step * batch_size + row, is a function of (seed, g).  So a batch is
the same whether it is drawn at once, in parts on several ranks, or after a resume.  Examples run
through epochs: an epoch takes each window of a new packing of all documents once, in random order
(pairs.py).
"""

import functools
import threading

import numpy as np

from ..config import SENTENCE_TASKS
from ..errors import UserError
from . import curriculum, pairs
from .draws import uniforms
from .masking import apply_masks, choose_targets, targets_wanted
from .shards import Shards

SHORTEST = 8  # [CLS] A [SEP] B [SEP] with something to read
EVALUATION_SEED = 0  # evaluation is the same for every run
# Streams of random numbers (draws.py).
PAIRS = 0
TARGETS = 1
REPLACEMENTS = 2
ECHOES = 3


class PretrainingData:
    """A prepared folder as a function of step -> batch.

    sentence_task: "sop" sentence order, "nsp" BERT's next sentence, "none" single segments and no
    label.
    ngram, whole_word, masked_lm_prob, max_predictions: what is masked (masking.py).
    fill: "whole" makes segments of whole sentences, "cut" fills every sequence and cuts the longer
    segment.
    faithful: google-research/albert in every detail, its random second segments and edge cases
    included; but <unk> is no target here.
    """

    def __init__(
        self,
        folder,
        split="train",
        max_seq_length=128,
        sentence_task="sop",
        ngram=3,
        masked_lm_prob=0.15,
        max_predictions=None,
        short_seq_prob=0.1,
        whole_word=True,
        fill="whole",
        faithful=False,
        seed=0,
    ):
        self.shards = Shards(folder)
        self.meta = self.shards.meta
        self._check(sentence_task=(sentence_task, SENTENCE_TASKS), fill=(fill, ("whole", "cut")))
        if max_seq_length < SHORTEST:
            raise UserError(f"max_seq_length {max_seq_length}; expected {SHORTEST} or more")
        if ngram < 1 or not 0 < masked_lm_prob < 1 or not 0 <= short_seq_prob <= 1:
            raise UserError(
                f"ngram {ngram}, masked_lm_prob {masked_lm_prob}, short_seq_prob "
                f"{short_seq_prob}; expected at least 1, a share above 0 and below 1, and a share"
            )
        if faithful and sentence_task == "none":
            raise UserError(
                "faithful data have a sentence task: expected sentence_task 'sop' or 'nsp', or "
                "faithful off"
            )
        self.split = split
        self.max_seq_length = max_seq_length
        self.sentence_task = sentence_task
        self.ngram = ngram
        self.masked_lm_prob = masked_lm_prob
        self.max_predictions = max_predictions
        self.short_seq_prob = short_seq_prob
        self.whole_word = whole_word
        self.fill = fill
        self.faithful = faithful
        self.seed = seed
        self.max_tokens = max_seq_length - (2 if sentence_task == "none" else 3)
        self._find_documents()
        self._plans = {}
        self._lock = threading.Lock()
        # later epochs are packed anew and have a few windows more or less
        self.examples_per_epoch = len(self._plan(0))

    @staticmethod
    def _check(**choices):
        for name, (got, known) in choices.items():
            if got not in known:
                raise UserError(f"{name} {got!r} is unknown; expected one of {', '.join(known)}")

    def _find_documents(self):
        """Set first, last: the sentences of each document of the split that has enough of them."""
        numbers = self.shards.split(self.split)
        bounds = self.shards.documents
        if not len(numbers):
            raise UserError(
                f"{self.shards.folder} holds no documents in the split {self.split!r}; prepare "
                "the corpus with held_out (--held-out)"
            )
        first, last = bounds[numbers], bounds[numbers + 1]
        least = 1 if self.faithful or self.sentence_task == "none" else 2
        usable = last - first >= least
        self.skipped_documents = int((~usable).sum())  # of one sentence: they hold no pair
        self.first, self.last = first[usable], last[usable]
        if not len(self.first):
            raise UserError(
                f"all {len(numbers)} documents of the split {self.split!r} in "
                f"{self.shards.folder} have one sentence, so there are no pairs; are the "
                "sentences on lines of their own, with blank lines only between documents? "
                "sentence_task 'none' takes single sentences"
            )
        if len(self.first) < 2 and (self.faithful or self.sentence_task == "nsp"):
            raise UserError(
                f"the split {self.split!r} in {self.shards.folder} has 1 document with pairs; "
                "random second segments come from another one: expected 2 or more, or "
                "sentence_task 'sop'"
            )

    @property
    def vocab_size(self):
        """Ids are below it."""
        return self.meta["vocab_size"]

    def _plan(self, epoch):
        """Windows of an epoch in the order of their use; the last two epochs are kept."""
        with self._lock:
            if epoch not in self._plans:
                self._plans[epoch] = self._pack(np.random.default_rng([self.seed, epoch]))
                while len(self._plans) > 2:
                    del self._plans[next(iter(self._plans))]
            return self._plans[epoch]

    def _pack(self, rng):
        """All documents packed into windows (n, 2), or Google's instances (n, 5)."""
        documents = self.shards.sentences, self.first, self.last
        options = self.max_tokens, rng, self.short_seq_prob
        if self.faithful:
            random_next_sentence = self.sentence_task == "nsp"
            return pairs.google_instances(*documents, *options, random_next_sentence)
        least = 1 if self.sentence_task == "none" else 2
        return pairs.pack_windows(*documents, *options, least, self.fill)

    def _windows(self, examples):
        """The windows (n, ...) of the examples with these numbers (n,)."""
        epochs, places = np.divmod(examples, self.examples_per_epoch)
        windows = [None] * len(examples)
        for epoch in np.unique(epochs).tolist():
            plan = self._plan(epoch)
            for i in np.flatnonzero(epochs == epoch).tolist():
                windows[i] = plan[places[i] % len(plan)]
        return np.stack(windows)

    def segments(self, examples, twins=False, best_of=1):
        """pairs.Segments of the examples with these numbers (n,).

        twins: examples 2 k and 2 k + 1 are the same pair in both orders.
        best_of: each example is the best of so many candidates, the one whose seam shows most
        (curriculum.py).
        """
        numbers = examples // 2 if twins else examples
        if best_of > 1:
            numbers = (numbers[:, None] * best_of + np.arange(best_of)).ravel()  # all candidates
            examples = np.repeat(examples, best_of)
        segments = self._drawn(numbers, examples % 2 if twins else None)
        if best_of > 1:
            width = curriculum.reach(self.max_seq_length)
            shown = curriculum.seam(self.shards.tokens, self._information, segments, width)
            best = np.arange(0, len(shown), best_of) + shown.reshape(-1, best_of).argmax(1)
            segments = pairs.Segments(*(field[best] for field in segments))
        return segments

    @functools.cached_property
    def _information(self):
        """(V,): how many nats a piece says beyond the average piece; 0 for common pieces."""
        log = self.shards.log_frequencies()
        return np.maximum(0.0, (np.exp(log) * log).sum() - log)

    def _drawn(self, numbers, order=None):
        """The segments with these numbers (n,).

        order (n,): 0 is swapped, 1 is not; None leaves it to chance.
        """
        u = uniforms(self.seed, PAIRS, numbers, 7)
        if order is not None:
            u[:, 1] = order
        windows = self._windows(numbers)
        sentences = self.shards.sentences
        if self.faithful:
            return pairs.google_pairs(u, sentences, windows, self.max_tokens)
        if self.sentence_task == "nsp":
            return pairs.next_sentence_pairs(
                u, sentences, windows, self.max_tokens, self.first, self.last
            )
        draw = pairs.single_segments if self.sentence_task == "none" else pairs.sentence_order_pairs
        return draw(u, sentences, windows, self.max_tokens)

    def _assemble(self, segments):
        """[CLS] A [SEP] B [SEP] and padding: four arrays (n, T).

        They are input_ids, the segment of each piece (1 or 2; 0 for special pieces), attention_mask
        and token_type_ids.
        """
        special = self.meta["special_ids"]
        place = np.arange(self.max_seq_length)
        a = segments.a_length[:, None]
        b = segments.b_length[:, None]
        middle = a + 1  # where the first [SEP] stands
        end = np.where(b > 0, middle + b + 1, middle)  # where the last [SEP] stands
        in_a = (place > 0) & (place < middle)
        in_b = (place > middle) & (place < end)
        segment = np.where(in_a, 1, np.where(in_b, 2, 0))
        a_source = segments.a_start[:, None] + place - 1
        b_source = segments.b_start[:, None] + place - middle - 1
        source = np.where(in_a, a_source, np.where(in_b, b_source, 0))
        fixed = np.where(
            place == 0,
            special["cls"],
            np.where((place == middle) | (place == end), special["sep"], special["pad"]),
        )
        ids = np.where(segment > 0, self.shards.tokens[source], fixed).astype(np.int32)
        attention_mask = (place <= end).astype(np.int32)
        token_type_ids = ((place > middle) & (place <= end)).astype(np.int32)
        return ids, segment, attention_mask, token_type_ids

    def batch(self, step, batch_size, first=0, count=None, echo=(), best_of=1, masked_lm_prob=None):
        """Rows of a step's batch: {name: int32 (count, T)}.

        first, count: the rows are first to first + count (all if None).

        Its arrays are input_ids, attention_mask, token_type_ids, labels (the pieces to guess,
        elsewhere -100) and, unless sentence_task is "none", sentence_order_label (count,): 0 in
        order, 1 swapped.
        echo (least, most) and best_of make the order easier to see (curriculum.py); every pair then
        comes in both orders.
        masked_lm_prob: of this batch, in place of the data's own.
        """
        count = batch_size - first if count is None else count
        if step < 0 or first < 0 or count < 1 or first + count > batch_size:
            raise UserError(
                f"rows {first} to {first + count} of {batch_size} at step {step}; expected rows "
                "of the batch"
            )
        examples = step * batch_size + np.arange(first, first + count)
        return self._draw(examples, echo, best_of, masked_lm_prob)

    def _draw(self, examples, echo=(), best_of=1, masked_lm_prob=None):
        """The batch of the examples with these numbers (n,)."""
        if self.sentence_task != "sop" or self.faithful:
            echo = ()
            best_of = 1
        T = self.max_seq_length
        segments = self.segments(examples, bool(echo) or best_of > 1, best_of)
        original, segment, attention_mask, token_type_ids = self._assemble(segments)
        lowest = 1 + max(self.meta["special_ids"].values())
        unknown = (segment > 0) & (original < lowest)  # nothing is learned from guessing <unk>
        if self.whole_word:
            starts = self.shards.word_start[original]
            starts[:, 1:] |= unknown[:, :-1]
        else:
            starts = np.ones_like(segment, dtype=bool)
        share = self.masked_lm_prob if masked_lm_prob is None else masked_lm_prob
        wanted = targets_wanted(attention_mask.sum(1), share, self.max_predictions)
        covered = choose_targets(
            uniforms(self.seed, TARGETS, examples, 2 * T),
            starts,
            np.where(unknown, 0, np.minimum(segment, 1) if self.faithful else segment),
            wanted,
            self.ngram,
        )
        if echo:
            u = uniforms(self.seed, ECHOES, examples // 2, 1 + 4 * curriculum.reach(T))
            curriculum.echo(u, segments, *echo, original, covered)
        input_ids, labels = apply_masks(
            uniforms(self.seed, REPLACEMENTS, examples, 2 * T),
            original,
            covered,
            self.meta["special_ids"]["mask"],
            (0 if self.faithful else lowest, self.vocab_size),
        )
        batch = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "labels": labels,
        }
        if self.sentence_task != "none":
            batch["sentence_order_label"] = segments.label
        return batch

    def evaluation_batches(self, n=None, batch_size=32, ngram=None, whole_word=None):
        """At most n batches (all if None) of the held-out documents, each example once.

        They are the same for every run.  ngram=1, whole_word=False covers single pieces, as most
        published losses do.
        """
        data = PretrainingData(
            self.shards.folder,
            split="held_out",
            max_seq_length=self.max_seq_length,
            sentence_task=self.sentence_task,
            ngram=self.ngram if ngram is None else ngram,
            masked_lm_prob=self.masked_lm_prob,
            max_predictions=self.max_predictions,
            short_seq_prob=0.0,
            whole_word=self.whole_word if whole_word is None else whole_word,
            fill=self.fill,
            faithful=self.faithful,
            seed=EVALUATION_SEED,
        )
        total = data.examples_per_epoch
        if n is not None:
            total = min(n * batch_size, total)
        return [
            data._draw(np.arange(low, min(low + batch_size, total)))
            for low in range(0, total, batch_size)
        ]
