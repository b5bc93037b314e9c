"""ALBERT's own head for SQuAD 2.0: the end of the answer given its start, and whether there is one.

It is XLNet's (Yang et al. 2019, run_squad_v2.py of google-research/albert; the names of its weights
are those of Google's checkpoints).  The simple head, in which start and end know nothing of each
other, is AlbertForQuestionAnswering in heads.py.
"""

import numpy as np

from . import ops
from .albert import ModelOutput
from .arguments import FLAGS, as_numbers
from .backend import to_host, xp_of
from .heads import BLOCKED, IGNORE, HeadModel, as_places, inside, total
from .nn import Dropout, LayerNorm, Linear, Module, Parameter, truncated_normal
from .readout import gather_rows


class StartLogits(Module):
    """A score for each token as the start: (B, T, H) -> (B, T)."""

    def __init__(self, rng, config):
        self.dense = Linear(rng, config.hidden_size, 1, config.initializer_range)

    def forward(self, hidden):
        return self.dense(hidden)[:, :, 0]


class EndLogits(Module):
    """A score for each token as the end, given the state of a start."""

    def __init__(self, rng, config):
        H, std = config.hidden_size, config.initializer_range
        self.dense_0 = Linear(rng, 2 * H, H, std)
        self.LayerNorm = LayerNorm(H, config.layer_norm_eps)
        self.dense_1 = Linear(rng, H, 1, std)

    def forward(self, hidden, starts):
        """(B, T, H), states of K starts (B, K, H) -> (B, K, T)."""
        H = hidden.shape[-1]
        # W [token; start] = W_token token + W_start start: no row is written for each of K T pairs
        weight = self.dense_0.weight  # (H, 2 * H)
        tokens = ops.linear(hidden, weight[:, :H], self.dense_0.bias)  # (B, T, H)
        given = ops.linear(starts, weight[:, H:])  # (B, K, H)
        pairs = ops.tanh(tokens[:, None] + given[:, :, None])  # (B, K, T, H)
        return self.dense_1(self.LayerNorm(pairs))[:, :, :, 0]


class AnswerClass(Module):
    """A score for "there is no answer", from the expected start and [CLS]."""

    def __init__(self, rng, config):
        H, std = config.hidden_size, config.initializer_range
        self.dense_0 = Linear(rng, 2 * H, H, std)
        self.dropout = Dropout(config.classifier_dropout_prob)
        self.dense_1 = Weight(rng, H, std)

    def forward(self, hidden, start_logits, rng=None):
        """(B, T, H), (B, T) -> (B,)."""
        shares = ops.softmax(start_logits)  # (B, T)
        expected = ops.matmul(shares[:, None], hidden)[:, 0]  # (B, H)
        joined = ops.concat(expected, hidden[:, 0])  # (B, 2 * H)
        states = self.dropout(ops.tanh(self.dense_0(joined)), rng)  # (B, H)
        return self.dense_1(states)[:, 0]


class Weight(Module):
    """A linear map to one number, without a bias: (..., H) -> (..., 1)."""

    def __init__(self, rng, inputs, std):
        self.weight = Parameter(truncated_normal(rng, (1, inputs), std))  # (1, H)

    def forward(self, x):
        return ops.linear(x, self.weight)


class AlbertForConditionalQuestionAnswering(HeadModel):
    """Start of the answer, end given the start, and whether there is an answer.  No pooler.

    config.extra["starts"]: how many of the best starts get ends at prediction, 5 by default.
    """

    pooled = False
    STARTS = 5

    def build_head(self, rng, config):
        self.start_logits = StartLogits(rng, config)
        self.end_logits = EndLogits(rng, config)
        self.answer_class = AnswerClass(rng, config)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        start_positions=None,
        end_positions=None,
        is_impossible=None,
        p_mask=None,
        rng=None,
        **options,
    ):
        """start_positions, end_positions (B,): 0, [CLS], where the window has no answer; a position
        outside the window is no target.  is_impossible (B,): 1 where it has none.  p_mask (B, T): 1
        for tokens that can't be in an answer: the question, [SEP], padding.

        Returns loss, start_logits (B, T), end_logits (B, K, T) given each of K starts,
        start_top_index (B, K), which they are (the right one if start_positions are given, else
        the best), and cls_logits (B,), high where there is no answer.
        """
        inputs = (input_ids, attention_mask, token_type_ids)
        labels = {
            "start": start_positions,
            "end": end_positions,
            "impossible": is_impossible,
            "blocked": p_mask,
        }
        return self.run(inputs, labels, rng, options)

    def as_labels(self, shape, start=None, end=None, impossible=None, blocked=None):
        return {
            "start": inside(as_places("start_positions", start, shape), shape[1]),
            "end": inside(as_places("end_positions", end, shape), shape[1]),
            "impossible": as_numbers("is_impossible", impossible, shape[:1], 0, 1, FLAGS),
            "blocked": as_numbers("p_mask", blocked, shape, 0, 1, FLAGS),
        }

    def head(self, out, rng, start=None, end=None, impossible=None, blocked=None):
        """Hidden states (B, T, H) to logits, as `forward` has them, and loss."""
        hidden = out.last_hidden_state
        xp = xp_of(hidden.data)
        B, T, _ = hidden.shape
        start_logits = _allowed(self.start_logits(hidden), blocked)  # (B, T)
        if start is None:
            count = min(T, self.config.extra.get("starts", self.STARTS))
            places = xp.argsort(-start_logits.data, axis=1)[:, :count]  # (B, K)
        else:
            places = xp.maximum(start, 0)[:, None]  # (B, 1)
        states = gather_rows(hidden, places + xp.arange(B)[:, None] * T)  # (B, K, H)
        end_logits = self.end_logits(hidden, states)  # (B, K, T)
        end_logits = _allowed(end_logits, None if blocked is None else blocked[:, None])
        cls_logits = self.answer_class(hidden, start_logits, rng)  # (B,)
        losses = {}
        if start is not None and end is not None:
            losses["start"] = ops.cross_entropy(start_logits, start) * 0.5
            losses["end"] = ops.cross_entropy(end_logits[:, 0], end) * 0.5
        if impossible is not None:
            targets = impossible.astype(cls_logits.dtype)
            losses["impossible"] = ops.bce_with_logits(cls_logits, targets) * 0.5
        return ModelOutput(
            loss=total(losses),
            losses=losses,
            start_logits=start_logits,
            end_logits=end_logits,
            start_top_index=places,
            cls_logits=cls_logits,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    def loss_counts(
        self, input_ids=None, start_positions=None, end_positions=None, is_impossible=None, **_
    ):
        """{"start", "end": positions inside the window, "impossible": windows}."""
        counts = {}
        if start_positions is not None and end_positions is not None:
            T = np.shape(input_ids)[1]
            for name, places in (("start", start_positions), ("end", end_positions)):
                counts[name] = int((inside(places, T) != IGNORE).sum())
        if is_impossible is not None:
            counts["impossible"] = np.size(to_host(is_impossible))
        return counts


def _allowed(scores, blocked):
    """Scores with BLOCKED in the place of those that must not count (1 in `blocked`)."""
    return scores if blocked is None else ops.where(blocked == 0, scores, BLOCKED)
