"""The heads on ALBERT's encoder: pretraining, and one for each kind of fine-tuning task.

Every model takes its targets as `labels` and returns the mean loss in `loss`, its terms in
`losses`, and logits in transformers' names.  `loss_counts` tells over how many targets each mean
goes, so that a batch cut into parts (threads, ranks, accumulation) has the loss of the whole: sum
of mean * count / total count. -100 marks a position that is no target.  Taught in lessons 05, 13
and 14."""

import copy

import numpy as np

from . import ops
from .albert import ACTIVATIONS, AlbertModel, ModelOutput, PreTrainedModel, check_ids
from .backend import DEFAULT_DTYPE, to_host
from .config import AlbertConfig
from .errors import UserError
from .nn import Dropout, LayerNorm, Linear, Module, Parameter

IGNORE = -100


def rows_read(labels):
    """What the loss reads of the last layer: labels (B, T) -> rows (B, M), places (K,), targets
    (K,), on the host.

    rows: token 0 of each sequence, which the pooler reads, then its targets, filled up with token
    0; they are rows of the hidden states as (B * T, H).  places: where the targets stand in rows as
    (B * M)."""
    labels = to_host(labels)
    (B, T), counts = labels.shape, labels != IGNORE
    columns = counts.cumsum(axis=1)  # the n-th target of a sequence comes to column n
    b, t = np.nonzero(counts)
    rows = np.repeat(np.arange(B)[:, None] * T, columns.max(initial=0) + 1, axis=1)
    rows[b, columns[b, t]] += t
    return rows, b * rows.shape[1] + columns[b, t], labels[b, t]


def _count(name, labels):
    """{name: labels that count}, {} without labels."""
    return {} if labels is None else {name: int((to_host(labels) != IGNORE).sum())}


class MaskedLMHead(Module):
    """Hidden states to scores over the vocabulary: dense H->E, activation, layer norm, tied
    decoder, bias.

    The decoder's weight is the word embedding table itself, which so gets gradients from both ends.
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
    """An encoder under `albert.`, and a head; the base of the models below."""

    pooled = True  # whether the model owns the pooler

    def __init__(self, config=None, seed=0):
        self.config = config or AlbertConfig()
        rng = None if seed is None else np.random.default_rng(seed)  # None: shapes only, no values
        self.albert = AlbertModel(self.config, seed=None, add_pooling_layer=self.pooled, rng=rng)
        self.build_head(rng, self.config)

    def _reads_some(self, output_hidden_states=False, output_attentions=False, **_):
        """Whether the last layer may leave out the tokens that nobody reads: nothing is shown, no
        dropout is drawn.
        """
        dropout = self.config.hidden_dropout_prob or self.config.attention_probs_dropout_prob
        return not (output_hidden_states or output_attentions or self.training and dropout)

    def _targets(self, labels, options):
        """rows_read(labels), with rows None if all are computed; three None without labels."""
        if labels is None:
            return None, None, None
        rows, places, targets = rows_read(labels)
        check_ids("labels", targets, self.config.vocab_size)
        return (
            (rows, places, targets)
            if self._reads_some(**options)
            else (None, rows.reshape(-1)[places], targets)
        )

    def _masked_lm(self, hidden, places, targets):
        """Scores at the targets only, about 15 % of the rows of the largest product, and their mean
        loss.

        hidden (B, M, H), places (K,) among its B * M rows, targets (K,) -> loss (), logits (K, V).
        """
        rows = ops.embedding(hidden.reshape(-1, hidden.shape[-1]), places)  # (K, H)
        logits = self.predictions(rows, self.albert.embeddings.word_embeddings.weight)  # (K, V)
        return ops.cross_entropy(logits, targets), logits

    def _when_read(self, out, name):
        """What only some callers read: the scores of every token (B, T, V), called `name`, and
        last_hidden_state.
        """
        table = self.albert.embeddings.word_embeddings.weight
        return {
            name: lambda: self.predictions(out.last_hidden_state, table),
            "last_hidden_state": lambda: out.last_hidden_state,
        }


class AlbertForPreTraining(HeadModel):
    """Masked words and sentence order at once; the loss is the sum of both means."""

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
        """labels (B, T): original ids of masked tokens, else -100.  sentence_order_label (B,): 0 or
        1.

        Returns loss, losses, sop_logits (B, 2), target_logits (K, V) of the K masked tokens, and
        prediction_logits (B, T, V) of all, computed when read."""
        order = sentence_order_label if self.config.sentence_task != "none" else None
        *inputs, order, rows, places, targets = self._inputs(
            input_ids, attention_mask, token_type_ids, order, *self._targets(labels, options)
        )
        out, losses, target_logits = self.albert(*inputs, rng=rng, rows=rows, **options), {}, None
        sop_logits = self.sop_classifier(out.pooler_output, rng)  # (B, 2)
        if labels is not None:
            losses["mlm"], target_logits = self._masked_lm(out.states_at_rows, places, targets)
        if order is not None:
            losses["sop"] = ops.cross_entropy(sop_logits, order)
        loss = (
            losses["mlm"] + losses["sop"] if len(losses) == 2 else next(iter(losses.values()), None)
        )
        return ModelOutput(
            self._when_read(out, "prediction_logits"),
            loss=loss,
            losses=losses,
            sop_logits=sop_logits,
            target_logits=target_logits,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    def loss_counts(self, labels=None, sentence_order_label=None, **_):
        """Targets of each term: {"mlm": masked tokens, "sop": sequences}."""
        counts = _count("mlm", labels)
        if sentence_order_label is not None and self.config.sentence_task != "none":
            counts["sop"] = len(sentence_order_label)
        return counts


class AlbertForMaskedLM(HeadModel):
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
        """labels (B, T), -100 where there is no target.  Returns loss and logits (B, T, V),
        computed when read.
        """
        *inputs, rows, places, targets = self._inputs(
            input_ids, attention_mask, token_type_ids, *self._targets(labels, options)
        )
        out = self.albert(*inputs, rng=rng, rows=rows, **options)
        loss = None if labels is None else self._masked_lm(out.states_at_rows, places, targets)[0]
        return ModelOutput(
            self._when_read(out, "logits"),
            loss=loss,
            losses={} if loss is None else {"mlm": loss},
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

    def _first_tokens(self, input_ids, options):
        """Rows (B, 1) of the tokens that the pooler reads, or None if all are to be computed."""
        if input_ids is None or not self._reads_some(**options):
            return None
        B, T = (*np.shape(input_ids), 0, 0)[:2]  # of another number of axes: _inputs refuses it
        return np.arange(B)[:, None] * T

    def _result(self, out, logits, labels, targets, loss_function=ops.cross_entropy):
        """labels as they were given, targets the same on the model's device."""
        loss = None
        if labels is not None:
            if loss_function is ops.cross_entropy:
                labels = np.asarray(to_host(labels))
                check_ids("labels", labels[labels != IGNORE], logits.shape[-1])
                if labels.size != np.prod(logits.shape[:-1]):
                    raise UserError(f"labels of shape {labels.shape}; expected {logits.shape[:-1]}")
            else:
                targets = targets.reshape(logits.shape).astype(self.classifier.weight.dtype)
            loss = loss_function(logits, targets)
        return ModelOutput(
            loss=loss,
            losses={} if loss is None else {"classification": loss},
            logits=logits,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    def loss_counts(self, labels=None, **_):
        """{"classification": labels that count}."""
        return _count("classification", labels)


class AlbertForSequenceClassification(_ClassifierModel):
    """One label, several labels or one number for each sequence.

    config.problem_type: "single_label_classification" (cross-entropy), "multi_label_classification"
    (binary cross-entropy), "regression" (mean squared error); by default regression if num_labels
    is 1."""

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        rng=None,
        **options,
    ):
        """labels (B,) of ids or numbers, or (B, num_labels) of 0 and 1.  Returns loss and logits
        (B, num_labels).
        """
        *inputs, rows, targets = self._inputs(
            input_ids,
            attention_mask,
            token_type_ids,
            self._first_tokens(input_ids, options),
            labels,
        )
        out = self.albert(*inputs, rng=rng, rows=rows, **options)
        logits = self.classifier(self.dropout(out.pooler_output, rng))
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
        return self._result(out, logits, labels, targets, losses[kind])


class AlbertForTokenClassification(_ClassifierModel):
    """One label for each token (names, parts of speech); -100 for tokens that don't count.  No
    pooler.
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
        *inputs, targets = self._inputs(input_ids, attention_mask, token_type_ids, labels)
        out = self.albert(*inputs, rng=rng, **options)
        return self._result(
            out, self.classifier(self.dropout(out.last_hidden_state, rng)), labels, targets
        )


class AlbertForMultipleChoice(_ClassifierModel):
    """Which of C texts fits: each is read on its own and given one score."""

    outputs = 1

    def forward(
        self, input_ids, attention_mask=None, token_type_ids=None, labels=None, rng=None, **options
    ):
        """input_ids (B, C, T), labels (B,) in 0..C-1.  Returns loss and logits (B, C)."""
        B, C, T = np.shape(input_ids)
        if rng is not None:  # an example is C rows of the flattened batch
            rng = copy.copy(rng)
            rng.first_row *= C
        flat = [
            a if a is None else (a if hasattr(a, "dtype") else np.asarray(a)).reshape(B * C, T)
            for a in (input_ids, attention_mask, token_type_ids)
        ]  # (B * C, T) each
        *inputs, rows, targets = self._inputs(*flat, self._first_tokens(flat[0], options), labels)
        out = self.albert(*inputs, rng=rng, rows=rows, **options)
        return self._result(
            out,
            self.classifier(self.dropout(out.pooler_output, rng)).reshape(B, C),
            labels,
            targets,
        )


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
        inside = (self._inside(p, input_ids) for p in (start_positions, end_positions))
        *inputs, begin, finish = self._inputs(input_ids, attention_mask, token_type_ids, *inside)
        out = self.albert(*inputs, rng=rng, **options)
        logits = self.qa_outputs(out.last_hidden_state)  # (B, T, 2)
        start, end = logits[:, :, 0], logits[:, :, 1]  # (B, T)
        loss, losses = None, {}
        if begin is not None and finish is not None:
            losses = {
                "start": ops.cross_entropy(start, begin) * 0.5,
                "end": ops.cross_entropy(end, finish) * 0.5,
            }
            loss = losses["start"] + losses["end"]
        return ModelOutput(
            loss=loss,
            losses=losses,
            start_logits=start,
            end_logits=end,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    @staticmethod
    def _inside(positions, input_ids):
        """Positions on the host, -100 where they lie outside the window's tokens."""
        a = np.asarray(-1 if positions is None else to_host(positions))
        return (
            None
            if positions is None
            else np.where((a >= 0) & (a < np.shape(input_ids)[1]), a, IGNORE)
        )

    def loss_counts(self, input_ids=None, start_positions=None, end_positions=None, **_):
        """{"start": ..., "end": ...}: positions that lie inside the window."""
        if start_positions is None or end_positions is None:
            return {}
        start, end = (self._inside(p, input_ids) for p in (start_positions, end_positions))
        return {**_count("start", start), **_count("end", end)}
