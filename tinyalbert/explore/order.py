"""View 7: do two segments stand in order, and which pieces say so?"""

from .. import ops
from ..errors import UserError
from ..tensor import backward
from ..text.sentences import split_sentences
from .gradients import attributions, encode, word_vectors


def view(explorer, reading, text="", pair=None):
    """The probability that two segments stand in order, as given and swapped.

    text, pair: the segments; without a pair, the text is cut after the sentence nearest its middle.

    given, swapped: {"first", "second", "p", "pieces"}; pieces are as in gradients.py, of the score
    "in order" minus the score "swapped".
    """
    if not explorer.has_order:
        raise UserError(
            "this folder has no head for sentence order: it was fine-tuned, or pretrained without; "
            "look at a pretrained folder"
        )
    first, second = segments(text, pair)
    return {
        "given": _judged(explorer, first, second),
        "swapped": _judged(explorer, second, first),
    }


def segments(text, pair):
    """(first, second): the pair, or a text's two halves."""
    if pair and pair.strip():
        return text, pair
    sentences = split_sentences(text)
    if len(sentences) < 2:
        raise UserError("this is one sentence; type a second one, or fill in the second text")
    lengths = [len(sentence) for sentence in sentences]
    halves = range(1, len(sentences))
    cut = min(halves, key=lambda n: abs(sum(lengths[:n]) - sum(lengths[n:])))
    return " ".join(sentences[:cut]), " ".join(sentences[cut:])


def _judged(explorer, first, second):
    """One order of the segments."""
    model = explorer.model
    reading = explorer.read(first, second)
    words = word_vectors(model.albert, reading)
    hidden = encode(model.albert, model.albert.encoder.layers(), words, reading)
    scores = model.sop_classifier(model.albert.pool(hidden))  # (1, 2)
    difference = scores[0, 0] - scores[0, 1]
    gradient = backward(difference)[words]
    return {
        "first": first,
        "second": second,
        "p": float(ops.softmax.raw(scores.data)[0][0, 0]),
        "pieces": attributions(explorer, reading, words, gradient),
    }
