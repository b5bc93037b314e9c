"""The heads on ALBERT's encoder: pretraining, and one for each kind of fine-tuning task.

Every model takes its targets as `labels` and returns the mean loss in `loss`, its terms in
`losses`, and logits in transformers' names.  `loss_counts` tells over how many targets each mean
goes, so that a batch cut into parts (threads, ranks, accumulation) has the loss of the whole: sum
of mean * count / total count.  -100 marks a position that is no target.  Taught in lessons 05, 13
and 14.
"""

import copy
import functools

import numpy as np

from . import ops
from .albert import ACTIVATIONS, AlbertModel, ModelOutput, PreTrainedModel
from .arguments import (
    FLAGS,
    WHOLE,
    as_array,
    as_class_ids,
    as_inputs,
    as_numbers,
    batch_shape,
    check_shape,
)
from .backend import DEFAULT_DTYPE, to_host, xp_of
from .config import AlbertConfig
from .errors import UserError
from .modes import mode
from .nn import Dropout, LayerNorm, Linear, Module, Parameter
from .ops import IGNORE
from .readout import run_at_first_token, run_at_targets


def _count(name, labels):
    """{name: labels that count}, {} without labels."""
    return {} if labels is None else {name: int((to_host(labels) != IGNORE).sum())}


def total(losses):
    """The sum of the loss terms, None without any."""
    return functools.reduce(ops.add, losses.values()) if losses else None


def at_targets(scores, labels):
    """Scores of the tokens that have a label.

    (B, T, V), labels (B, T) or None -> (K, V) or None.  If labels is (K,), readout.py has left out
    the other tokens already.
    """
    if labels is None or labels.ndim == 1:
        return None if labels is None else scores
    return scores[labels != IGNORE]


class MaskedLMHead(Module):
    """Hidden states to scores over the vocabulary.

    Dense H->E, activation, layer norm, tied decoder, bias.  The decoder's weight is the word
    embedding table itself, which therefore gets gradients from both ends.
    """

    def __init__(self, rng, config):
        E = config.embedding_size
        self.dense = Linear(rng, config.hidden_size, E, config.initializer_range)
        self.LayerNorm = LayerNorm(E, config.layer_norm_eps)
        self.bias = Parameter(np.zeros(config.vocab_size, DEFAULT_DTYPE))  # (V,)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, hidden, table):
        """(..., H), table (V, E) -> (..., V)."""
        return ops.linear(self.LayerNorm(self.activation(self.dense(hidden))), table, self.bias)


class SentenceOrderHead(Module):
    """Pooled vector to two scores: 0 = segments in order, 1 = swapped (Lan et al. 2020, §3.1)."""

    def __init__(self, rng, config):
        self.dropout = Dropout(config.classifier_dropout_prob if config.sop_dropout else 0.0)
        self.classifier = Linear(rng, config.hidden_size, 2, config.initializer_range)

    def forward(self, pooled, rng=None):
        return self.classifier(self.dropout(pooled, rng))  # (B, 2)


class HeadModel(PreTrainedModel):
    """An encoder under `albert.`, and a head; the base of the models below.

    Each of them has `head`, which turns what the encoder returns into logits and loss.
    """

    pooled = True  # whether the model owns the pooler
    fast_run = None  # the version of plain_run in readout.py, where the head reads some tokens only

    def __init__(self, config=None, seed=0):
        self.config = config or AlbertConfig()
        rng = None if seed is None else np.random.default_rng(seed)  # None: shapes only, no values
        self.albert = AlbertModel(self.config, seed=None, add_pooling_layer=self.pooled, rng=rng)
        self.build_head(rng, self.config)

    def run(self, inputs, labels, rng, options, **head_options):
        """Encoder, head, loss: the plain way, or the one that computes only what is read.

        inputs: ids, mask and types; labels: {name: array or None}; both as the caller gave them.
        options are those of the encoder.
        """
        inputs = as_inputs(*inputs)
        labels = self.as_labels(batch_shape(inputs[0], options.get("inputs_embeds")), **labels)
        run = self.fast_run if self.fast_run and mode.readout else self.plain_run
        return run(inputs, labels, rng, options, **head_options)

    def plain_run(self, inputs, labels, rng, options, **head_options):
        """`run` as the paper has it: every token through every layer, then through the head."""
        *inputs, labels = self.prepared(inputs, labels)
        out = self.albert.encode(*inputs, rng=rng, **options)
        return self.head(out, rng, **labels, **head_options)

    def prepared(self, inputs, labels, *more):
        """(*inputs, *more, labels), inputs checked, all on the model's device."""
        arrays = self.checked(*inputs, *more, *labels.values())
        first = len(arrays) - len(labels)
        return (*arrays[:first], dict(zip(labels, arrays[first:])))

    def as_labels(self, shape, **labels):
        """Labels, as the caller gave them, as arrays; refuses what doesn't fit the model.

        shape: (B, T) of the ids.  Those of a model that does nothing here are arrays already.
        """
        return labels


class _WordModel(HeadModel):
    """A model that guesses masked words."""

    fast_run = run_at_targets
    scores = "logits"  # the name of the scores of every token, (B, T, V)

    def word_scores(self, hidden):
        """(..., H) -> (..., V)."""
        return self.predictions(hidden, self.albert.embeddings.word_embeddings.weight)

    def as_labels(self, shape, labels=None):
        return {"labels": as_class_ids("labels", labels, shape, self.config.vocab_size)}


class AlbertForPreTraining(_WordModel):
    """Masked words and sentence order at once; the loss is the sum of both means."""

    scores = "prediction_logits"

    def build_head(self, rng, config):
        self.predictions = MaskedLMHead(rng, config)
        self.sop_classifier = SentenceOrderHead(rng, config)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        sentence_order_label=None,
        rng=None,
        **options,
    ):
        """Loss and scores of both pretraining tasks.

        labels (B, T): original ids of masked tokens, else -100.  sentence_order_label (B,): 0 or 1.

        Returns loss, losses, sop_logits (B, 2), target_logits (K, V) of the K masked tokens, and
        prediction_logits (B, T, V) of all.
        """
        order = sentence_order_label if self.config.sentence_task != "none" else None
        inputs = (input_ids, attention_mask, token_type_ids)
        return self.run(inputs, {"labels": labels, "order": order}, rng, options)

    def as_labels(self, shape, labels=None, order=None):
        order = as_class_ids("sentence_order_label", order, shape[:1], 2)
        return {**super().as_labels(shape, labels), "order": order}

    def head(self, out, rng, labels=None, order=None):
        """Hidden states (B, T, H), pooled vectors (B, H) -> scores and the sum of both losses."""
        scores = self.word_scores(out.last_hidden_state)
        sop_logits = self.sop_classifier(out.pooler_output, rng)  # (B, 2)
        losses = {}
        if labels is not None:
            losses["mlm"] = ops.cross_entropy(scores, labels)
        if order is not None:
            losses["sop"] = ops.cross_entropy(sop_logits, order)
        return ModelOutput(
            loss=total(losses),
            losses=losses,
            sop_logits=sop_logits,
            target_logits=at_targets(scores, labels),
            prediction_logits=scores,
            last_hidden_state=out.last_hidden_state,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    def loss_counts(self, labels=None, sentence_order_label=None, **_):
        """Targets of each term: {"mlm": masked tokens, "sop": sequences}."""
        counts = _count("mlm", labels)
        if self.config.sentence_task != "none":
            counts |= _count("sop", sentence_order_label)
        return counts


class AlbertForMaskedLM(_WordModel):
    """Masked words alone; no pooler."""

    pooled = False

    def build_head(self, rng, config):
        self.predictions = MaskedLMHead(rng, config)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        rng=None,
        **options,
    ):
        """labels (B, T), -100 where there is no target.  Returns loss and logits (B, T, V)."""
        inputs = (input_ids, attention_mask, token_type_ids)
        return self.run(inputs, {"labels": labels}, rng, options)

    def head(self, out, rng, labels=None):
        """Hidden states (B, T, H) to scores (B, T, V) and loss."""
        scores = self.word_scores(out.last_hidden_state)
        losses = {} if labels is None else {"mlm": ops.cross_entropy(scores, labels)}
        return ModelOutput(
            loss=total(losses),
            losses=losses,
            logits=scores,
            last_hidden_state=out.last_hidden_state,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    def loss_counts(self, labels=None, **_):
        """{"mlm": masked tokens}."""
        return _count("mlm", labels)


class _ClassifierModel(HeadModel):
    """Dropout and one linear layer, on the pooled vector or on every token's."""

    outputs = None  # fixed number of scores, or None: config.num_labels

    def build_head(self, rng, config):
        self.dropout = Dropout(config.classifier_dropout_prob)
        self.classifier = Linear(
            rng, config.hidden_size, self.outputs or config.num_labels, config.initializer_range
        )

    def loss_function(self):
        """Of logits and labels; cross-entropy if the labels are ids."""
        return ops.cross_entropy

    def answer(self, out, logits, labels, weights=None):
        """The output with these logits and, if there are labels, their loss.

        weights: how much each row's loss counts, (B,) beside label ids (B,); of several labels (B,
        C) as the labels.
        """
        losses = {}
        if labels is not None:
            loss_function = self.loss_function()
            dtype = self.classifier.weight.dtype
            if loss_function is not ops.cross_entropy:
                labels = labels.astype(dtype)
            if weights is not None:
                weighted = _weighted if loss_function is ops.cross_entropy else _weighted_decisions
                losses["classification"] = weighted(logits, labels, weights.astype(dtype))
            else:
                losses["classification"] = loss_function(logits, labels)
        return ModelOutput(
            loss=total(losses),
            losses=losses,
            logits=logits,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    def loss_counts(self, labels=None, **_):
        """{"classification": labels that count}; of numbers all do, -100 too."""
        if labels is None or self.loss_function() is ops.cross_entropy:
            return _count("classification", labels)
        return {"classification": np.size(labels)}


def _weighted(logits, labels, weights):
    """Mean of weight * cross-entropy over the rows with a label: (B, C), int (B,), (B,) -> ().

    The mean is over rows, not over weights, so that parts of a batch add up to the whole.
    """
    xp = xp_of(labels, weights)
    rows = (labels != IGNORE).astype(weights.dtype).sum()
    share = weights / xp.maximum(rows, 1)  # (B,)
    chosen = labels[:, None] == xp.arange(logits.shape[-1])  # (B, C), no label: nothing
    return (ops.log_softmax(logits) * (chosen * -share[:, None])).sum()


def _weighted_decisions(logits, labels, weights):
    """Mean of weight * binary cross-entropy over all decisions, each argument (B, C) -> ().

    sigmoid(x) is the softmax of (x/2, -x/2).
    """
    shape = (*logits.shape, 1)
    halves = ops.concat(ops.reshape(logits * 0.5, shape), ops.reshape(logits * -0.5, shape))
    xp = xp_of(labels, weights)
    right = xp.stack([labels, 1 - labels], axis=-1)  # (B, C, 2)
    share = -weights / labels.size
    return (ops.log_softmax(halves) * (right * share[..., None])).sum()


class AlbertForSequenceClassification(_ClassifierModel):
    """One label, several labels or one number for each sequence.

    config.problem_type: "single_label_classification" (cross-entropy), "multi_label_classification"
    (binary cross-entropy), "regression" (mean squared error); by default regression if num_labels
    is 1.
    """

    fast_run = run_at_first_token

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        weights=None,
        rng=None,
        **options,
    ):
        """Loss and logits (B, num_labels).

        labels: (B,) of ids or numbers, or (B, num_labels) of 0 and 1.  weights, of the shape of the
        labels: how much the loss of each counts; 1 on average, for it to be as large as without.
        """
        inputs = (input_ids, attention_mask, token_type_ids)
        return self.run(inputs, {"labels": labels, "weights": weights}, rng, options)

    def as_labels(self, shape, labels=None, weights=None):
        rows = shape[:1]
        loss_function = self.loss_function()
        classes = self.config.num_labels
        if weights is not None and (labels is None or loss_function is ops.mse):
            raise UserError("weights come beside labels that are classes; got them without")
        if loss_function is ops.cross_entropy:
            labels = as_class_ids("labels", labels, rows, classes)
        elif loss_function is ops.bce_with_logits:
            labels = as_numbers("labels", labels, (*rows, classes), 0, 1, FLAGS)
        else:
            labels = as_numbers("labels", labels, (*rows, classes))
        decisions = rows if loss_function is ops.cross_entropy else (*rows, classes)
        return {"labels": labels, "weights": as_numbers("weights", weights, decisions, 0, np.inf)}

    def head(self, out, rng, labels=None, weights=None):
        """Pooled vectors (B, H) to logits (B, C) for C labels, and loss."""
        logits = self.classifier(self.dropout(out.pooler_output, rng))  # (B, C)
        return self.answer(out, logits, labels, weights)

    def loss_function(self):
        kind = self.config.problem_type or (
            "regression" if self.config.num_labels == 1 else "single_label_classification"
        )
        losses = {
            "regression": ops.mse,
            "single_label_classification": ops.cross_entropy,
            "multi_label_classification": ops.bce_with_logits,
        }
        if kind not in losses:
            raise UserError(
                f"problem_type {kind!r} is unknown; expected one of {', '.join(losses)}"
            )
        return losses[kind]


class AlbertForTokenClassification(_ClassifierModel):
    """One label for each token (names, parts of speech), without a pooler.

    -100 labels tokens that don't count.
    """

    pooled = False

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        rng=None,
        **options,
    ):
        """labels (B, T).  Returns loss and logits (B, T, num_labels)."""
        inputs = (input_ids, attention_mask, token_type_ids)
        return self.run(inputs, {"labels": labels}, rng, options)

    def as_labels(self, shape, labels=None):
        return {"labels": as_class_ids("labels", labels, shape, self.config.num_labels)}

    def head(self, out, rng, labels=None):
        """Hidden states (B, T, H) to logits (B, T, num_labels) and loss."""
        logits = self.classifier(self.dropout(out.last_hidden_state, rng))
        return self.answer(out, logits, labels)


class AlbertForMultipleChoice(_ClassifierModel):
    """Which of C texts fits: each is read on its own and given one score."""

    outputs = 1
    fast_run = run_at_first_token

    def forward(
        self, input_ids, attention_mask=None, token_type_ids=None, labels=None, rng=None, **options
    ):
        """input_ids (B, C, T), labels (B,) in 0..C-1.  Returns loss and logits (B, C)."""
        inputs = (input_ids, attention_mask, token_type_ids)
        inputs, (B, C), rng = flat(inputs, ("examples", "choices", "tokens"), rng)
        labels = {"labels": as_class_ids("labels", labels, (B,), C)}
        return self.run(inputs, labels, rng, options, choices=C)

    def head(self, out, rng, labels=None, choices=1):
        """Pooled vectors (B * C, H) to logits (B, C) and loss."""
        scores = self.classifier(self.dropout(out.pooler_output, rng))  # (R, 1)
        return self.answer(out, scores.reshape(-1, choices), labels)


def flat(inputs, axes, rng):
    """Inputs (B, C, T) as (B * C, T), (B, C), and the DropoutRng of such rows.

    axes: names of the axes, for messages.
    """
    inputs = as_inputs(*inputs, axes)
    B, C, T = batch_shape(inputs[0], axes=3)
    if rng is not None:  # an example is C rows of the flattened batch
        rng = copy.copy(rng)
        rng.first_row *= C
    return [a if a is None else a.reshape(B * C, T) for a in inputs], (B, C), rng


def as_places(name, value, shape):
    """Places of tokens as an array (B,); shape: (B, T) of the ids."""
    places = as_array(name, value, WHOLE, "whole numbers, places of tokens")
    check_shape(name, places, shape[:1])
    return places


def inside(positions, T):
    """Positions on the host, -100 where they lie outside a window's T tokens."""
    if positions is None:
        return None
    positions = to_host(positions)
    return np.where((positions >= 0) & (positions < T), positions, IGNORE)


class AlbertForQuestionAnswering(HeadModel):
    """Start and end of the answer in the text.  No pooler, no dropout."""

    pooled = False

    def build_head(self, rng, config):
        self.qa_outputs = Linear(rng, config.hidden_size, 2, config.initializer_range)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        start_positions=None,
        end_positions=None,
        rng=None,
        **options,
    ):
        """start_positions, end_positions (B,); a position outside the window is no target.

        Returns loss (the mean of both cross-entropies), start_logits and end_logits (B, T).
        """
        inputs = (input_ids, attention_mask, token_type_ids)
        labels = {"start": start_positions, "end": end_positions}
        return self.run(inputs, labels, rng, options)

    def as_labels(self, shape, start=None, end=None):
        return {
            "start": inside(as_places("start_positions", start, shape), shape[1]),
            "end": inside(as_places("end_positions", end, shape), shape[1]),
        }

    def head(self, out, rng, start=None, end=None):
        """Hidden states (B, T, H) to scores of every token as start and as end, and loss."""
        logits = self.qa_outputs(out.last_hidden_state)  # (B, T, 2)
        start_logits, end_logits = logits[:, :, 0], logits[:, :, 1]  # (B, T)
        losses = {}
        if start is not None and end is not None:
            losses["start"] = ops.cross_entropy(start_logits, start) * 0.5
            losses["end"] = ops.cross_entropy(end_logits, end) * 0.5
        return ModelOutput(
            loss=total(losses),
            losses=losses,
            start_logits=start_logits,
            end_logits=end_logits,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    def loss_counts(self, input_ids=None, start_positions=None, end_positions=None, **_):
        """{"start": ..., "end": ...}: positions that lie inside the window."""
        if start_positions is None or end_positions is None:
            return {}
        T = np.shape(input_ids)[1]
        start, end = (inside(p, T) for p in (start_positions, end_positions))
        return {**_count("start", start), **_count("end", end)}


def _same(a, b):
    """(B, G), (B, G) -> (B, G, G): whether a[i] is b[j]."""
    return a[:, :, None] == b[:, None, :]


BLOCKED = -10000.0  # added to a score that must not count, as attention does for padding


class AlbertForSentenceEmbedding(HeadModel):
    """One vector of length 1 for each text, so that a dot product is the cosine.  No pooler.

    config.extra["sentence_pooling"]: "mean" of the hidden states under the mask (the default), or
    "cls", the state of the first token.  config.extra["similarity_scale"]: what the losses multiply
    a cosine by, 20 by default (1 / temperature).  Reimers & Gurevych 2019, §3.
    """

    pooled = False
    SCALE = 20.0

    def build_head(self, rng, config):
        """There is nothing to build: a pretrained encoder can be read at once."""

    def forward(
        self,
        input_ids,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        scores=None,
        rng=None,
        **options,
    ):
        """input_ids (..., T) -> embeddings (..., H).  To train, input_ids is (B, G, 2, T).

        Training takes B groups of G pairs of texts.

        labels (B, G, 2): the contrastive loss.  The first text of a pair has to find its second one
        among the second texts of its group.  Texts with equal labels are the same, and never wrong
        answers for each other; -100 marks a place of the group without a pair.
        scores (B, G): the ranking loss.  Pairs with higher scores should be closer than the others
        of their group; nan marks a place without a pair.
        """
        training = labels is not None or scores is not None
        axes = ("batch", "groups", "2", "tokens") if training else None
        inputs = as_inputs(input_ids, attention_mask, token_type_ids, axes)
        *shape, T = batch_shape(inputs[0], axes=None)
        rows = int(np.prod(shape))
        if rng is not None:  # a row of the batch is several of the flattened one
            rng = copy.copy(rng)
            rng.first_row *= rows // shape[0]
        inputs = [a if a is None else a.reshape(rows, T) for a in inputs]
        texts = as_array("labels", labels, WHOLE, "whole numbers, equal for equal texts")
        check_shape("labels", texts, tuple(shape))
        scores = as_numbers("scores", scores, tuple(shape[:2]), gaps=True)
        labels = {"labels": texts, "scores": scores, "mask": inputs[1]}
        return self.run(inputs, labels, rng, options, shape=shape)

    def head(self, out, rng, labels=None, scores=None, mask=None, shape=()):
        """Hidden states (R, T, H) to vectors (*shape, H) of length 1, and loss."""
        pooled = self.pool(out.last_hidden_state, mask)  # (R, H)
        length = ops.sqrt((pooled * pooled).sum(axis=-1, keepdims=True) + 1e-12)
        embeddings = (pooled / length).reshape(*shape, pooled.shape[-1])
        losses = {}
        if labels is not None:
            losses["contrastive"] = self.contrastive(*self._pair(embeddings), labels)
        if scores is not None:
            losses["ranking"] = self.ranking(*self._pair(embeddings), scores)
        return ModelOutput(
            loss=total(losses),
            losses=losses,
            embeddings=embeddings,
            last_hidden_state=out.last_hidden_state,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    def pool(self, hidden, mask):
        """(R, T, H) -> (R, H)."""
        pooling = self.config.extra.get("sentence_pooling", "mean")
        if pooling == "cls":
            return hidden[:, 0]
        if pooling != "mean":
            raise UserError(f"sentence_pooling {pooling!r} is unknown; expected mean or cls")
        if mask is None:
            return hidden.mean(axis=1)
        mask = mask.astype(hidden.dtype)
        share = mask / mask.sum(axis=1, keepdims=True)  # (R, T) 1 / tokens, 0 for padding
        return ops.matmul(share[:, None], hidden)[:, 0]

    @property
    def scale(self):
        """What the losses multiply a cosine by."""
        return float(self.config.extra.get("similarity_scale", self.SCALE))

    @staticmethod
    def _pair(embeddings):
        """(B, G, 2, H) -> first and second texts, (B, G, H) each."""
        return embeddings[:, :, 0], embeddings[:, :, 1]

    def contrastive(self, first, second, labels):
        """Cross-entropy of each pair among the second texts of its group: InfoNCE.

        Also called multiple negatives ranking (Henderson et al. 2017, §4.4; van den Oord et al.
        2018; temperature as Gao et al. 2021).
        """
        xp = xp_of(labels)
        similarity = ops.matmul(first, second.transpose(0, 2, 1)) * self.scale  # (B, G, G)
        question, answer = labels[:, :, 0], labels[:, :, 1]  # (B, G)
        absent = answer == IGNORE
        places = xp.arange(labels.shape[1])
        right = (
            _same(answer, answer)  # what answers one answers the other
            | _same(question, question)
            | _same(question, answer)  # the question itself
        )
        blocked = (right | absent[:, None]) & (places[:, None] != places)  # (B, G, G)
        penalty = blocked.astype(similarity.dtype) * BLOCKED
        targets = xp.where(absent, IGNORE, places)  # (B, G)
        return ops.cross_entropy(similarity + penalty, targets)

    def ranking(self, first, second, scores):
        """log(1 + sum of exp(scale (cos_j - cos_i)) over score_i > score_j), mean of the groups.

        CoSENT (Su 2022), as the CoSENTLoss of sentence-transformers.
        """
        xp = xp_of(scores)
        B, G = scores.shape
        cosines = (first * second).sum(axis=-1) * self.scale  # (B, G)
        differences = cosines[:, None, :] - cosines[:, :, None]  # (B, G, G) cos_j - cos_i
        counts = scores[:, :, None] > scores[:, None, :]  # never true of a nan
        penalty = (1 - counts.astype(differences.dtype)) * BLOCKED
        logits = (differences + penalty).reshape(B, G * G)
        zero = xp.zeros((B, 1), dtype=differences.dtype)
        # log(1 + sum exp x) is the cross-entropy of 0 among 0 and all x
        return ops.cross_entropy(ops.concat(zero, logits), xp.zeros(B, dtype="int32"))

    def loss_counts(self, labels=None, scores=None, **_):
        """{"contrastive": pairs, "ranking": groups}."""
        counts = {} if labels is None else _count("contrastive", to_host(labels)[:, :, 1])
        if scores is not None:
            counts["ranking"] = len(scores)
        return counts
