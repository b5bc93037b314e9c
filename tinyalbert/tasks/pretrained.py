"""What a pretrained model says without fine-tuning: features, sentence order, likelihood.

Masks are filled in fill_mask.py.
"""

import numpy as np

from .. import ops
from ..errors import UserError
from ..modes import no_grad
from ..text.sentences import split_sentences
from .fill_mask import fill_mask
from .likelihood import pseudo_log_likelihood


class _Pipeline:
    """A callable on one text or a list of them."""

    def __init__(self, model, tokenizer):
        self.model = model.eval()
        self.tokenizer = tokenizer

    def __call__(self, inputs, **options):
        if isinstance(inputs, (str, dict)):
            return self.answer(inputs, **options)
        return [self.answer(each, **options) for each in inputs]


class FillMask(_Pipeline):
    """Texts with [MASK] to the pieces that fit; options are those of `fill_mask`."""

    def __call__(self, inputs, **options):
        answers = super().__call__(inputs, **options)
        alone = not isinstance(inputs, str) and len(answers) == 1
        return answers[0] if alone else answers  # as in transformers

    def answer(self, text, **options):
        return fill_mask(self.model, self.tokenizer, text, **options)


class FeatureExtraction(_Pipeline):
    """Texts to the last hidden states of their tokens, (1, T, H) as nested lists.

    return_tensors: arrays in place of lists.  truncation, tokenize_kwargs: for the tokenizer.
    """

    def answer(self, text, return_tensors=False, truncation=None, tokenize_kwargs=None):
        options = dict(tokenize_kwargs or {})
        if truncation is not None:
            options["truncation"] = truncation
        encoded = self.tokenizer([text], return_tensors="np", **options)
        with no_grad():
            states = self.model(**encoded).last_hidden_state.numpy()  # (1, T, H)
        return states if return_tensors else states.tolist()


class SentenceOrder(_Pipeline):
    """Texts to the probability that their neighbouring sentences stand in order.

    {"score": the mean over all neighbours, "scores": [one for each]}, for a text, a list of its
    sentences under "sentences" or a pair {"text", "text_pair"}.
    """

    def __init__(self, model, tokenizer):
        super().__init__(model, tokenizer)
        if model.config.sentence_task == "none":
            raise UserError(
                "the model was pretrained without sentence order (sentence_task none), so it can't "
                "tell it; expected one with sop"
            )

    def answer(self, given):
        sentences = self._sentences(given)
        pairs = list(zip(sentences, sentences[1:]))
        if not pairs:
            raise UserError(
                f"{given!r} is one sentence; expected at least two, whose order is read"
            )
        scores = [self._in_order(first, second) for first, second in pairs]
        return {"score": float(np.mean(scores)), "scores": scores}

    @staticmethod
    def _sentences(given):
        if isinstance(given, str):
            return split_sentences(given)
        if "sentences" in given:
            return list(given["sentences"])
        return [given["text"], given["text_pair"]]

    def _in_order(self, first, second):
        """The probability that `first` stands before `second`."""
        longest = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        encoded = self.tokenizer(
            [first], [second], truncation=True, max_length=longest, return_tensors="np"
        )
        with no_grad():
            logits = self.model(**encoded).sop_logits.numpy()  # (1, 2)
        return float(ops.softmax.raw(logits)[0][0, 0])


class PseudoLikelihood(_Pipeline):
    """Texts to {"score": pseudo-log-likelihood, "pieces", "perplexity": exp(-score / pieces)}.

    whole_words: see likelihood.py.
    """

    def __call__(self, inputs, whole_words=False, batch_size=64):
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        sums, counts = pseudo_log_likelihood(
            self.model, self.tokenizer, texts, whole_words, batch_size
        )
        answers = [
            {"score": float(s), "pieces": int(n), "perplexity": float(np.exp(-s / n))}
            for s, n in zip(sums, counts)
        ]
        return answers[0] if isinstance(inputs, str) else answers
