"""A decoder on ALBERT's encoder: it writes a text piece by piece, as translation needs.

    source (B, T) -> ALBERT -> states (B, T, H)
    pieces written so far (B, M) -> embeddings (B, M, D) -> L times self-attention, cross-attention
    to the states, feed-forward (B, M, D) -> scores of the next piece (B, M, V)

The decoder of Vaswani et al. 2017, §3.1, with ALBERT's parts: learned positions, GELU, layer norm
after each sum (post-LN), output scores from the word embeddings themselves.  Its layers are not
shared.

A piece sees only those before it, and there are two ways to use that.  In training all pieces of a
target are predicted at once, each from the true ones before it (teacher forcing).  In writing, keys
and values of the earlier pieces can't change any more: they are kept, and each step computes one
piece (`Writing`).  generation.py chooses the pieces.
"""

import contextlib
import dataclasses
from dataclasses import dataclass, fields

import numpy as np

from . import ops
from .albert import ACTIVATIONS, ModelOutput
from .arguments import WHOLE, as_array, as_inputs, batch_shape, check_range, check_shape
from .attention import padding_bias
from .backend import DEFAULT_DTYPE, to_device, to_host, xp_of
from .errors import UserError
from .heads import HeadModel, total
from .modes import no_grad
from .nn import Dropout, Embedding, LayerNorm, Linear, Module, Parameter
from .ops import IGNORE

DECODER = "translation_decoder"  # the key of a config.json under which a DecoderConfig is kept


@dataclass(frozen=True)
class DecoderConfig:
    """Hyper-parameters of a decoder; what it shares with its encoder stands in AlbertConfig."""

    vocab_size: int = 4000  # of the target language
    hidden_size: int = 128
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    intermediate_size: int = 512
    max_position_embeddings: int = 128
    dropout: float = 0.1
    label_smoothing: float = 0.1  # in training, see `smoothed_cross_entropy`
    freeze_encoder: bool = False
    begin_token_id: int = 2  # [CLS] stands before the first piece
    end_token_id: int = 3  # [SEP] ends a text

    def __post_init__(self):
        for each in fields(self):
            value = getattr(self, each.name)
            kind = type(each.default)
            if not isinstance(value, (int, float) if kind is float else kind):
                raise UserError(f"{DECODER}: {each.name} is {value!r}; expected {kind.__name__}")
            if kind is int and (isinstance(value, bool) or value < 1):
                raise UserError(f"{DECODER}: {each.name} is {value!r}; expected at least 1")
            if kind is float and not 0 <= value < 1:
                raise UserError(f"{DECODER}: {each.name} is {value!r}; expected 0 to below 1")
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"a decoder of width {self.hidden_size} can't be split over "
                f"{self.num_attention_heads} heads; choose a multiple"
            )

    @classmethod
    def of(cls, config):
        """The decoder's part of an AlbertConfig; what it does not say is as in the encoder."""
        values = config.extra.get(DECODER, {})
        names = [each.name for each in fields(cls)]
        unknown = [name for name in values if name not in names]
        if unknown:
            raise UserError(f"{DECODER} has {', '.join(unknown)}; expected {', '.join(names)}")
        own = {
            "hidden_size": config.hidden_size,
            "num_attention_heads": config.num_attention_heads,
            "intermediate_size": config.intermediate_size,
        }
        return cls(**{**own, **values})

    def kept_in(self, config):
        """A copy of an AlbertConfig with this decoder's part in it."""
        extra = {**config.extra, DECODER: dataclasses.asdict(self)}
        return dataclasses.replace(config, extra=extra)


def causal_bias(M, T, dtype, xp=np):
    """The attention bias that hides what comes later: (1, 1, M, T) of 0 and -10000.

    The M queries are the last of the T keys: query i is key T - M + i.  It is added to the scores
    as padding_bias is.
    """
    queries = xp.arange(T - M, T)[:, None]  # (M, 1)
    later = xp.arange(T) > queries  # (M, T)
    return later[None, None].astype(dtype) * -10000.0


def linear(rng, inputs, outputs):
    """A Linear map whose outputs are about as large as its inputs, of whatever width.

    With the encoder's 0.02 all scores of a narrow attention are nearly equal at first, and it takes
    several times as many steps until it finds the words to translate.
    """
    return Linear(rng, inputs, outputs, inputs**-0.5)


class DecoderAttention(Module):
    """Attention to the pieces themselves or to the encoder's states, and its residual sum.

    LayerNorm(dropout(dense(attention(query(hidden), keys, values))) + hidden): (B, M, D) ->
    (B, M, D).
    """

    def __init__(self, rng, decoder, config, seen_size):
        D = decoder.hidden_size
        self.num_heads = decoder.num_attention_heads
        self.query = linear(rng, D, D)
        self.key = linear(rng, seen_size, D)
        self.value = linear(rng, seen_size, D)
        self.dense = linear(rng, D, D)
        self.LayerNorm = LayerNorm(D, config.layer_norm_eps)
        self.attention_dropout = Dropout(decoder.dropout)
        self.output_dropout = Dropout(decoder.dropout)

    def look(self, seen):
        """Keys and values (B, T, D) each, of what is attended to, (B, T, D or H)."""
        return self.key(seen), self.value(seen)

    def forward(self, hidden, keys, values, bias=None, rng=None):
        dropout = self.attention_dropout.key(rng) or {}
        q = self.query(hidden)  # (B, M, D)
        context = ops.attention(q, keys, values, bias, num_heads=self.num_heads, **dropout)
        return self.LayerNorm(self.output_dropout(self.dense(context), rng), hidden)


class DecoderLayer(Module):
    """Self-attention, cross-attention, feed-forward, each added to its input and normalised."""

    def __init__(self, rng, decoder, config):
        D, F = decoder.hidden_size, decoder.intermediate_size
        self.attention = DecoderAttention(rng, decoder, config, D)
        self.cross_attention = DecoderAttention(rng, decoder, config, config.hidden_size)
        self.ffn = linear(rng, D, F)
        self.ffn_output = linear(rng, F, D)
        self.LayerNorm = LayerNorm(D, config.layer_norm_eps)
        self.dropout = Dropout(decoder.dropout)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, hidden, source, padding=None, past=None, rng=None):
        """M pieces (B, M, D) after those of `past` -> (B, M, D), and the past of the next piece.

        source: keys and values (B, T, D) of the encoder's states.  padding: bias (B, 1, 1, T) or
        None.  past: keys and values of the pieces before, (B, S, D) each, or None.
        """
        keys, values = self.attention.look(hidden)  # (B, M, D) each
        if past is not None:
            keys = ops.concat(past[0], keys, axis=1)  # (B, S + M, D)
            values = ops.concat(past[1], values, axis=1)
        M, seen = hidden.shape[1], keys.shape[1]
        causal = None
        if M > 1:  # a single piece is the last and sees all
            causal = causal_bias(M, seen, hidden.dtype, xp_of(hidden.data))
        hidden = self.attention(hidden, keys, values, causal, rng)
        hidden = self.cross_attention(hidden, *source, padding, rng)
        inner = self.activation(self.ffn(hidden))  # (B, M, F)
        projected = self.dropout(self.ffn_output(inner), rng)  # (B, M, D)
        return self.LayerNorm(projected, hidden), (keys, values)


class Decoder(Module):
    """Embeddings, layers, and scores over the target's vocabulary."""

    def __init__(self, rng, decoder, config):
        D, std = decoder.hidden_size, config.initializer_range
        self.word_embeddings = Embedding(rng, decoder.vocab_size, D, std)  # (V, D)
        self.position_embeddings = Embedding(rng, decoder.max_position_embeddings, D, std)
        self.LayerNorm = LayerNorm(D, config.layer_norm_eps)
        self.dropout = Dropout(decoder.dropout)
        self.layers = [DecoderLayer(rng, decoder, config) for _ in range(decoder.num_hidden_layers)]
        self.bias = Parameter(np.zeros(decoder.vocab_size, DEFAULT_DTYPE))  # (V,)

    def look(self, states):
        """Encoder's states (B, T, H) -> keys and values (B, T, D) for each layer."""
        return [layer.cross_attention.look(states) for layer in self.layers]

    def forward(self, ids, source, padding=None, past=None, rng=None):
        """Ids (B, M) of pieces after those of `past` -> hidden states (B, M, D), the new past.

        source: what `look` returned.  past: (keys, values) for each layer, None at the start.
        """
        before = 0 if past is None else past[0][0].shape[1]
        end, longest = before + ids.shape[1], len(self.position_embeddings.weight)
        if end > longest:
            raise UserError(
                f"a text of {end} pieces, but the decoder has positions for {longest}; cut it, or "
                "train with more max_position_embeddings"
            )
        positions = self.position_embeddings.weight[before:end]  # (M, D)
        hidden = self.LayerNorm(self.word_embeddings(ids) + positions)
        hidden = self.dropout(hidden, rng)  # (B, M, D)
        written = []
        for i, layer in enumerate(self.layers):
            own = None if past is None else past[i]
            hidden, kept = layer(hidden, source[i], padding, own, rng)
            written.append(kept)
        return hidden, written

    def scores(self, hidden):
        """(..., D) -> (..., V)."""
        return ops.linear(hidden, self.word_embeddings.weight, self.bias)


def shifted(labels, begin):
    """What the decoder reads to predict `labels`: the same, one place later.

    [a, b, end, -100] -> [begin, a, b, end].  Behind the end any piece would do: nothing before it
    sees it, and there is no target.
    """
    xp = xp_of(labels)
    ids = xp.full_like(labels, begin)
    ids[:, 1:] = xp.where(labels[:, :-1] == IGNORE, begin, labels[:, :-1])
    return ids


def smoothed_cross_entropy(logits, labels, smoothing=0.0):
    """Cross-entropy with the target 1 - smoothing on the label, the rest spread over all pieces.

    Source: Szegedy et al. 2016, §7; Vaswani et al. 2017, §5.4.  (..., V), labels (...) -> ().
    """
    loss = ops.cross_entropy(logits, labels)
    if not smoothing:
        return loss
    xp = xp_of(labels)
    counts = (labels != IGNORE).astype(logits.dtype)  # (...) 1 or 0
    share = counts / xp.maximum(counts.sum(), 1)
    spread = (ops.log_softmax(logits).mean(axis=-1) * share).sum()
    return loss * (1 - smoothing) - spread * smoothing


class AlbertForTranslation(HeadModel):
    """ALBERT reads the source, a decoder writes the target."""

    pooled = False

    def build_head(self, rng, config):
        self.decoder_config = DecoderConfig.of(config)
        self.decoder = Decoder(rng, self.decoder_config, config)

    def train(self, mode=True):
        """Turn dropout on; a frozen encoder stays as it is when it is used."""
        super().train(mode)
        if self.decoder_config.freeze_encoder:
            self.albert.eval()
        return self

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        decoder_input_ids=None,
        rng=None,
    ):
        """Loss and logits (B, M, V): of place m, scores of the piece that follows place m.

        labels (B, M): the target's ids and the end, -100 behind.  decoder_input_ids (B, M): what
        stands before each of them; by default the labels, one place later.
        """
        if labels is None and decoder_input_ids is None:
            raise UserError("got no labels and no decoder_input_ids; to translate: model.write()")
        inputs = as_inputs(input_ids, attention_mask, token_type_ids)
        rows = batch_shape(inputs[0])[0]
        labels = self._pieces("labels", labels, rows, but=IGNORE)
        if decoder_input_ids is None:
            decoder_input_ids = shifted(labels, self.decoder_config.begin_token_id)
        else:
            decoder_input_ids = self._pieces("decoder_input_ids", decoder_input_ids, rows)
            check_shape("labels", labels, decoder_input_ids.shape)
        *inputs, written, labels = self.prepared(inputs, {"labels": labels}, decoder_input_ids)
        states, padding = self.read(*inputs, rng)
        hidden, _ = self.decoder(written, self.decoder.look(states), padding, rng=rng)
        logits = self.decoder.scores(hidden)  # (B, M, V)
        return self.answer(logits, states, **labels)

    def read(self, input_ids, attention_mask, token_type_ids, rng=None):
        """The encoder's states (B, T, H), and the bias (B, 1, 1, T) that hides padding, or None."""
        frozen = self.decoder_config.freeze_encoder
        with no_grad() if frozen else contextlib.nullcontext():
            out = self.albert.encode(input_ids, attention_mask, token_type_ids, rng=rng)
        states = out.last_hidden_state
        if attention_mask is None:
            return states, None
        return states, padding_bias(attention_mask, states.dtype)

    def answer(self, logits, states, labels=None):
        """The output with these logits and, if there are labels, their loss."""
        losses = {}
        if labels is not None:
            smoothing = self.decoder_config.label_smoothing if self.training else 0.0
            losses["translation"] = smoothed_cross_entropy(logits, labels, smoothing)
        return ModelOutput(
            loss=total(losses), losses=losses, logits=logits, encoder_last_hidden_state=states
        )

    def _pieces(self, name, value, rows, but=None):
        """Ids of the targets' pieces, and `but`, as an array (rows, M); None stays None."""
        ids = as_array(name, value, WHOLE, "rows of whole numbers, ids of pieces")
        if ids is not None:
            if ids.ndim != 2 or len(ids) != rows:
                raise UserError(f"{name} of shape {ids.shape}; expected ({rows}, pieces)")
            check_range(name, ids, 0, self.decoder_config.vocab_size - 1, but=but)
        return ids

    def loss_counts(self, labels=None, **_):
        """{"translation": pieces that are predicted}."""
        return {} if labels is None else {"translation": int((to_host(labels) != IGNORE).sum())}

    def write(self, input_ids, attention_mask=None, token_type_ids=None):
        """A `Writing` of these sources, one text each."""
        return Writing(self, *self.checked(input_ids, attention_mask, token_type_ids))


class Writing:
    """Texts that are being written, one for each row; the same computations as in training.

    Row r has the source `sentence[r]`: several texts may be tried for one source.
    """

    def __init__(self, model, input_ids, attention_mask, token_type_ids):
        self.model = model
        with no_grad():
            states, padding = model.read(input_ids, attention_mask, token_type_ids)
            source = model.decoder.look(states)
        self.all_sources = [(keys.data, values.data) for keys, values in source]  # (B, T, D) each
        self.all_padding = padding
        self.source = self.all_sources  # of the rows
        self.padding = padding
        self.sentence = np.arange(len(input_ids))  # (R,)
        self.past = None

    def scores(self, ids):
        """Scores (R, V) of what follows `ids` (R,), the newest piece of each row, on the host."""
        decoder = self.model.decoder
        ids = to_device(np.asarray(ids)[:, None], self.model.device())  # (R, 1)
        with no_grad():
            hidden, past = decoder(ids, self.source, self.padding, self.past)  # (R, 1, D)
            scores = decoder.scores(hidden[:, 0])  # (R, V)
        self.past = [(keys.data, values.data) for keys, values in past]
        return scores.numpy()

    def keep(self, rows):
        """Go on with these rows, in this order; a row may be there several times."""
        rows = np.asarray(rows, dtype=np.int64)
        if np.array_equal(rows, np.arange(len(self.sentence))):
            return
        before, self.sentence = self.sentence, self.sentence[rows]
        self.past = self._taken(self.past, rows)
        if not np.array_equal(before, self.sentence):
            self.source = self._taken(self.all_sources, self.sentence)
            if self.all_padding is not None:
                self.padding = self.all_padding[to_device(self.sentence, self.model.device())]

    def _taken(self, pairs, rows):
        rows = to_device(rows, self.model.device())
        return [(keys[rows], values[rows]) for keys, values in pairs]
