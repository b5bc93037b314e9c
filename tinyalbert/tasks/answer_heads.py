"""The two heads that answer questions, as the tasks of question answering see them.

Each says which model it is, what a row needs beside the encoder's inputs, and what its outputs
mean: the scores of spans of a window, and how much the window speaks for no answer.
"""

import math

import numpy as np

from .. import ops
from ..backend import to_host
from ..heads import AlbertForQuestionAnswering
from ..modes import no_grad
from ..span_heads import AlbertForConditionalQuestionAnswering
from .spans import Span, best_pairs, probable_pairs


class LinearHead:
    """Scores of each token as start and as end: BERT's head, and ALBERT's for SQuAD 1.1.

    An output is (2, T).  The scores of [CLS] say that the answer is not in the window.
    """

    model_class = AlbertForQuestionAnswering
    targets = ("start_positions", "end_positions")
    scores = ("start_logit", "end_logit")  # what the two scores of a span are

    def fields(self, row, window, places):
        """What a row has beside the encoder's inputs; places: of the answer's ends in the row."""
        first, last = places
        return {"start_positions": np.int32(first), "end_positions": np.int32(last)}

    def infer(self, model, batch):
        """The outputs of a batch (B, 2, T)."""
        with no_grad():
            out = model(**batch)
        return np.stack([out.start_logits.numpy(), out.end_logits.numpy()], axis=1)

    def spans(self, output, window, n_best, raw=False):
        """The Spans of a window that may be answers.

        raw: with scores that can be compared between windows, whatever else these hold.
        """
        places = np.arange(window.place, window.place + len(window.tokens))
        return best_pairs(*output, places, n_best)

    def none(self, output):
        """How much a window speaks for no answer."""
        return float(output[0, 0] + output[1, 0])

    def odds(self, none, best):
        """How much all windows speak for no answer, given the score of the best answer."""
        return none - best

    def probable(self, output, window, count, longest):
        """([(first, last, probability), ...] of the `count` best, probability of no answer)."""
        return probable_pairs(*output, window, count, longest)


class ConditionalHead(LinearHead):
    """The end given the start, and a score for no answer: ALBERT's head for SQuAD 2.0.

    An output is (1 + pairs, 6), for each pair of a start and an end: both places, their
    log-probabilities, their logits.  Its first row has the score for no answer in column 2.
    """

    model_class = AlbertForConditionalQuestionAnswering
    targets = ("start_positions", "end_positions", "is_impossible")
    scores = ("start_log_prob", "end_log_prob")
    ENDS = 5  # of each start

    def fields(self, row, window, places):
        mask = np.ones(len(row["input_ids"]), dtype=np.int32)
        mask[0] = 0  # [CLS]: the answer is not here
        mask[window.place : window.place + len(window.tokens)] = 0
        impossible = np.int32(places == (0, 0))
        return {**super().fields(row, window, places), "is_impossible": impossible, "p_mask": mask}

    def infer(self, model, batch):
        """The outputs of a batch (B, 1 + pairs, 6)."""
        with no_grad():
            out = model(**batch)
        first = to_host(out.start_top_index)  # (B, K)
        start, end = out.start_logits.numpy(), out.end_logits.numpy()  # (B, T), (B, K, T)
        last = np.argsort(-end, axis=-1)[:, :, : self.ENDS]  # (B, K, N)
        columns = [first[:, :, None], last]
        for scale in (_log_softmax, np.asarray):
            columns += [_at(scale(start), first)[:, :, None], _at(scale(end), last)]
        columns = [np.broadcast_to(column, last.shape).reshape(len(last), -1) for column in columns]
        pairs = np.stack(columns, axis=-1)  # (B, K * N, 6)
        none = np.zeros_like(pairs[:, :1])
        none[:, 0, 2] = out.cls_logits.numpy()
        return np.concatenate([none, pairs], axis=1)

    def spans(self, output, window, n_best, raw=False):
        scores = slice(4, 6) if raw else slice(2, 4)
        return [Span(int(row[0]), int(row[1]), *row[scores].tolist()) for row in output[1:]]

    def none(self, output):
        return float(output[0, 2])

    def odds(self, none, best):
        return none

    def probable(self, output, window, count, longest):
        last = window.place + len(window.tokens)
        spans = [
            (span.first, span.last, math.exp(span.start_score + span.end_score))
            for span in self.spans(output, window, count)
            if window.place <= span.first <= span.last < min(last, span.first + longest)
        ]
        spans.sort(key=lambda span: -span[2])
        return spans[:count], 1 / (1 + math.exp(-self.none(output)))


def _log_softmax(logits):
    return ops.log_softmax.raw(logits)[0]


def _at(values, places):
    """values[..., places] along the last axis."""
    return np.take_along_axis(values, places, axis=-1)
