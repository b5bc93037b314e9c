"""Computing only what the loss reads: the fast way through a head model, beside the plain one.

Skip it at first reading.  The plain way is `HeadModel.plain_run` in heads.py: the encoder computes
every token, the head scores every token, and the loss picks out the tokens that have a label.  But
about 15 % of the tokens are masked, and a classifier reads one token of a sequence.  So

  - scores over the vocabulary are computed at the targets alone, (K, V) in place of (B, T, V): the
    largest product of a small model and its largest array;
  - the last layer computes only the tokens that are read.  All tokens are still its keys and
    values.  Not where dropout is drawn, since the masks belong to all tokens, and not where hidden
    states or attentions are to be shown.

Loss and gradients are the same up to rounding.  Values of the output that few callers read, such as
the scores of every token, are computed when they are read.  `modes.use_readout(False)` switches to
the plain way.

Gain, for masked words with 6 layers, H = 256, V = 8,192 on 16 x 128 tokens: a quarter of the step's
multiplications, and with the softmax over the vocabulary about 40 % of its time on one CPU thread.
A classifier saves most of its last layer.
"""

import numpy as np

from . import ops
from .albert import ModelOutput
from .attention import padding_bias
from .backend import to_host
from .errors import UserError
from .modes import mode
from .nn import moment
from .ops import IGNORE


def gather_rows(hidden, rows):
    """Rows of hidden (B, T, H) seen as (B * T, H): int (...) -> (..., H)."""
    return ops.embedding(hidden.reshape(-1, hidden.shape[-1]), rows)


def capacity(n):
    """n rounded up to one of few sizes: at most an eighth more, at least 64."""
    step = 1 << max(3, n.bit_length() - 4)
    return max(64, -(-n // step) * step)


def filled_up(rows, places, targets):
    """What rows_read gives, in one of few sizes, so that a GPU can replay a step.

    Rows are filled up with token 0, and targets with IGNORE, which adds nothing to the loss and
    exact zeros to the gradients.
    """
    B, M = rows.shape
    K = len(targets)
    columns = -(-M // 8) * 8
    more = capacity(K) - K
    places = places // M * columns + places % M
    rows = np.concatenate([rows, np.repeat(rows[:, :1], columns - M, axis=1)], axis=1)
    places = np.concatenate([places, np.zeros(more, places.dtype)])
    return rows, places, np.concatenate([targets, np.full(more, IGNORE, targets.dtype)])


def rows_read(labels):
    """What the loss reads of the last layer, as arrays on the host.

    labels (B, T) -> rows (B, M), places (K,), targets (K,).

    rows: token 0 of each sequence, which the pooler reads, then its targets, filled up with token
    0; they are rows of the hidden states as (B * T, H).  places: where the targets stand in rows as
    (B * M).
    """
    labels = to_host(labels)
    B, T = labels.shape
    counts = labels != IGNORE
    columns = counts.cumsum(axis=1)  # the n-th target of a sequence comes to column n
    b, t = np.nonzero(counts)
    rows = np.repeat(np.arange(B)[:, None] * T, columns.max(initial=0) + 1, axis=1)
    rows[b, columns[b, t]] += t
    places = b * rows.shape[1] + columns[b, t]
    return rows, places, labels[b, t]


class LateOutput(ModelOutput):
    """A ModelOutput of which some values are computed when they are first read.

    late: {name: function}.  A function runs under the switches of the call that made the output
    (no_grad, use_kernels, precision), not of the place where the value is read.  It uses the
    weights of `module` as they are then, so it is refused once they were trained further.
    """

    def __init__(self, late, module, **values):
        super().__init__(**values)
        self._late = late
        self._module = module
        self._moment = moment()
        self._switches = mode.snapshot()

    def __getattr__(self, name):  # only called for what is not there yet
        late = vars(self).get("_late", {})
        if name not in late:
            return super().__getattr__(name)
        here = mode.snapshot()
        mode.adopt(self._switches)
        try:
            with self._module.reading():
                self._check_weights(name)
                value = late[name]()
        finally:
            mode.adopt(here)
        del late[name]
        setattr(self, name, value)
        return value

    def _check_weights(self, name):
        """Refuse a value that the other values of this output do not belong to."""
        if any(p.changed > self._moment for p in self._module.parameters()):
            raise UserError(
                f"{name} is computed when it is first read, and the model's weights have changed "
                "since the call that made this output; read it before the next step of training, "
                "or call the model in `with tinyalbert.modes.use_readout(False):`"
            )

    def keys(self):
        """The names of the values."""
        return [*super().keys(), *self._late]


def may_skip_tokens(model, output_hidden_states=False, output_attentions=False, **more):
    """Whether the last layer may leave out tokens: nothing is shown and no dropout is drawn."""
    config = model.config
    dropout = config.hidden_dropout_prob or config.attention_probs_dropout_prob
    return not (
        output_hidden_states
        or output_attentions
        or more
        or ((model.training or mode.step) and dropout)
    )


def layer_at(layer, asking, hidden, bias):
    """An AlbertLayer without dropout, for some tokens only; all tokens are keys and values.

    asking (B, M, H), hidden (B, T, H) -> (B, M, H).
    """
    attention = layer.attention
    read = attention.LayerNorm.before(hidden)
    q = attention.query(attention.LayerNorm.before(asking))
    k, v = attention.key(read), attention.value(read)
    context = ops.attention(q, k, v, bias, num_heads=attention.num_heads)  # (B, M, H)
    attended = attention.LayerNorm.after(attention.dense(context), asking)  # (B, M, H)
    norm = layer.full_layer_layer_norm
    projected = layer.ffn_output(layer.expand(norm.before(attended)))  # (B, M, H)
    return norm.after(projected, attended)


def encode_rows(albert, rows, input_ids, attention_mask, token_type_ids, rng):
    """AlbertModel.encode with its last layer at `rows` (B, M) alone.

    Token 0 of each sequence comes first in its rows.  `states_at_rows` (B, M, H) has the result;
    last_hidden_state is computed if it is read.
    """
    embedded = albert.embeddings(input_ids, token_type_ids, rng=rng)  # (B, T, E)
    bias = None if attention_mask is None else padding_bias(attention_mask, embedded.dtype)
    hidden = albert.encoder.project(embedded)  # (B, T, H)
    *layers, last = albert.encoder.layers()
    for layer in layers:
        hidden, _ = layer(hidden, bias, rng)
    finish = albert.encoder.finish
    states = finish(layer_at(last, gather_rows(hidden, rows), hidden, bias))  # (B, M, H)
    return LateOutput(
        {"last_hidden_state": lambda: finish(layer_at(last, hidden, hidden, bias))},
        albert,
        states_at_rows=states,
        pooler_output=albert.pool(states),
        hidden_states=None,
        attentions=None,
    )


def run_at_targets(model, inputs, labels, rng, options):
    """HeadModel.run of a model of masked words: the head scores the targets alone."""
    if labels["labels"] is None:
        return model.plain_run(inputs, labels, rng, options)
    rows, places, targets = rows_read(labels["labels"])
    if mode.place is not None:
        rows, places, targets = filled_up(rows, places, targets)
    labels = {**labels, "labels": targets}
    if may_skip_tokens(model, **options):
        *inputs, rows, places, labels = model.prepared(inputs, labels, rows, places)
        out = encode_rows(model.albert, rows, *inputs, rng)
        states = out.states_at_rows  # (B, M, H)
    else:  # the last layer has every token, the head still the targets alone
        *inputs, places, labels = model.prepared(inputs, labels, rows.reshape(-1)[places])
        out = model.albert.encode(*inputs, rng=rng, **options)
        states = out.last_hidden_state  # (B, T, H)
    read = ModelOutput(
        last_hidden_state=gather_rows(states, places),
        pooler_output=out.pooler_output,
        hidden_states=out.hidden_states,
        attentions=out.attentions,
    )
    values = vars(model.head(read, rng, **labels))
    late = {  # of every token, not of the targets
        "last_hidden_state": lambda: out.last_hidden_state,
        model.scores: lambda: model.word_scores(out.last_hidden_state),
    }
    return LateOutput(late, model, **{name: a for name, a in values.items() if name not in late})


def run_at_first_token(model, inputs, labels, rng, options, **head_options):
    """HeadModel.run of a model that reads the pooled vector: the last layer has token 0 alone."""
    if np.ndim(inputs[0]) != 2 or not may_skip_tokens(model, **options):
        return model.plain_run(inputs, labels, rng, options, **head_options)
    B, T = np.shape(inputs[0])
    first = np.arange(B)[:, None] * T  # (B, 1)
    *inputs, first, labels = model.prepared(inputs, labels, first)
    out = encode_rows(model.albert, first, *inputs, rng)
    return model.head(out, rng, **labels, **head_options)
