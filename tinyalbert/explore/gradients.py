"""View 5: which pieces an answer rests on, and what each pass gives to the shared gradient."""

import copy

import numpy as np

from .. import ops
from ..attention import padding_bias
from ..errors import UserError
from ..nn import Module, Parameter
from ..tensor import Tensor, backward


def view(explorer, reading, place=None, answer=None):
    """Gradient times input of log P(answer at place), and the gradient of each pass.

    place: of a mask; the first by default.  answer: the id of a piece; the likeliest by default.

    pieces: [{"piece", "value", "size"}, ...]: the gradient of log P by the piece's word vector
    times that vector, so how much log P rises with it, to first order; and the gradient's length.
    passes: the length of the gradient that each pass gives to the layer's parameters; shared: that
    of their sum, which is what training uses.
    """
    if not explorer.has_words:
        raise UserError(
            "this folder has no head for masked words; gradients of an answer need one: look at a "
            "pretrained folder"
        )
    if not reading.masked:
        raise UserError("nothing is masked yet; click a piece")
    place = reading.masked[0] if place is None else place
    if place not in reading.masked:
        raise UserError(f"place is {place!r}; expected one of the masks, {list(reading.masked)}")
    model = explorer.model
    words = word_vectors(model.albert, reading)
    layers = [twin(layer) for layer in model.albert.encoder.layers()]
    hidden = encode(model.albert, layers, words, reading)  # (1, T, H)
    log_p = ops.log_softmax(model.word_scores(hidden[0, place : place + 1]))  # (1, V)
    answer = int(log_p.data.argmax()) if answer is None else answer
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < log_p.shape[1]:
        raise UserError(f"answer is {answer!r}; expected the id of a piece below {log_p.shape[1]}")
    value = log_p[0, answer]
    gradients = backward(value)
    of_passes = [[gradients.get(p) for _, p in layer.named_parameters()] for layer in layers]
    of_passes = [flat(part, layer) for part, layer in zip(of_passes, layers)]
    return {
        "place": place,
        "answer": answer,
        "answer_piece": explorer.piece(answer),
        "p": float(np.exp(value.item())),
        "pieces": attributions(explorer, reading, words, gradients[words]),
        "passes": [float(np.linalg.norm(g)) for g in of_passes],
        "shared": float(np.linalg.norm(np.sum(of_passes, axis=0))) if is_shared(model) else None,
    }


def word_vectors(albert, reading):
    """The word vectors of the reading (1, T, E) as a Tensor of their own, to differentiate by."""
    table = albert.embeddings.word_embeddings.weight.data
    return Tensor(table[reading.ids][None], requires_grad=True)


def encode(albert, layers, words, reading):
    """The encoder from its word vectors, with these layers: (1, T, E) -> (1, T, H)."""
    embedded = albert.embeddings(token_type_ids=reading.types[None], inputs_embeds=words)
    bias = padding_bias(np.ones((1, len(reading)), np.int32), embedded.dtype)
    hidden = albert.encoder.project(embedded)
    for layer in layers:
        hidden, _ = layer(hidden, bias)
    return albert.encoder.finish(hidden)


def twin(module):
    """A module with the same arrays under parameters of its own, which get their own gradients."""
    other = copy.copy(module)
    for name, child in vars(module).items():
        if isinstance(child, Parameter):
            setattr(other, name, Parameter(child.data))
        elif isinstance(child, Module):
            setattr(other, name, twin(child))
    return other


def flat(gradients, layer):
    """The gradients of a layer's parameters as one vector; None stands for zeros."""
    shapes = [p.data for _, p in layer.named_parameters()]
    return np.concatenate(
        [np.zeros(p.size, p.dtype) if g is None else g.ravel() for g, p in zip(gradients, shapes)]
    )


def is_shared(model):
    """Whether all passes use the same parameters, so that their gradients are added up."""
    return len({id(layer) for layer in model.albert.encoder.layers()}) == 1


def attributions(explorer, reading, words, gradient):
    """[{"piece", "value", "size"}, ...] from the word vectors and their gradient (1, T, E)."""
    values = (words.data * gradient)[0].sum(axis=-1)
    sizes = np.linalg.norm(gradient[0], axis=-1)
    return [
        {"piece": piece, "value": float(value), "size": float(size)}
        for piece, value, size in zip(explorer.pieces(reading.ids), values, sizes)
    ]
