"""View 6: the pieces' vectors on a plane, their neighbours, and a text's states pass by pass."""

import base64

import numpy as np

from ..errors import UserError
from ..text.vocabulary import SPACE, SPECIAL

NEIGHBOURS = 12
POINTS = 4000  # pieces on the plane


def view(explorer, reading, search=None):
    """A piece's neighbours on the plane of the word embeddings, and the text's states.

    found: {"piece", "id", "at", "neighbours": [{"piece", "id", "cosine"}, ...]} of `search`.
    states: {"tokens", "passes": (L + 1, T, 2)}, on the plane of all passes together.
    """
    states = explorer.states(reading)  # (L + 1, T, H)
    middle, directions, _ = plane(states.reshape(-1, states.shape[-1]))
    return {
        "found": neighbours(explorer, search) if search else None,
        "states": {
            "tokens": explorer.pieces(reading.ids),
            "passes": np.round((states - middle) @ directions, 4).astype(float).tolist(),
        },
    }


def words(explorer, reading=None):
    """The plane of the word embeddings: the vocabulary's first pieces, which are its commonest.

    plane: base64 of float32 (points, 2), on the two principal components; ids, pieces: what they
    are.  share: of the variance that the plane shows.
    """
    ids, centre, axes, share = word_plane(explorer)
    return {
        "plane": in_floats((word_table(explorer)[ids] - centre) @ axes),
        "ids": ids,
        "pieces": explorer.pieces(ids),
        "share": share,
    }


def word_table(explorer):
    """The word vectors of the pieces (V, E)."""
    table = explorer.model.albert.embeddings.word_embeddings.weight.data
    return table[: explorer.tokenizer.vocab_size]


def word_plane(explorer):
    """(ids of its pieces, centre, axes, share of the variance), computed once for a model."""
    if "word plane" not in explorer.kept:
        pieces = explorer.pieces(range(explorer.tokenizer.vocab_size))
        ids = [i for i, piece in enumerate(pieces) if piece not in SPECIAL][:POINTS]
        explorer.kept["word plane"] = (ids, *plane(word_table(explorer)[ids]))
    return explorer.kept["word plane"]


def plane(vectors):
    """(their mean, two principal axes (n, 2), the share of the variance on them)."""
    centre = vectors.mean(axis=0)
    _, sizes, rows = np.linalg.svd(vectors - centre, full_matrices=False)
    axes = rows[:2].T
    if axes.shape[1] < 2:  # one vector alone
        axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    signs = np.sign(axes[abs(axes).argmax(axis=0), [0, 1]])  # the same plane on every machine
    total = (sizes**2).sum()
    return (
        centre,
        axes * np.where(signs == 0, 1, signs),
        float((sizes[:2] ** 2).sum() / (total or 1)),
    )


def neighbours(explorer, search):
    """The pieces whose vectors have the largest cosine with that of a piece or word."""
    tokenizer = explorer.tokenizer
    if not isinstance(search, str):
        raise UserError(f"search is {search!r:.40}; expected a word")
    wanted = search.strip()
    if tokenizer.has_piece(SPACE + wanted):
        i = tokenizer.convert_tokens_to_ids(SPACE + wanted)
    elif tokenizer.has_piece(wanted):
        i = tokenizer.convert_tokens_to_ids(wanted)
    else:
        pieces = tokenizer.tokenize(wanted)
        if not pieces:
            raise UserError(f"{search!r} has no piece; type a word")
        i = tokenizer.convert_tokens_to_ids(pieces[0])
    table = word_table(explorer)
    _, centre, axes, _ = word_plane(explorer)
    lengths = np.linalg.norm(table, axis=1)
    cosines = table @ table[i] / np.maximum(lengths * lengths[i], 1e-12)
    best = [j for j in np.argsort(-cosines, kind="stable").tolist() if j != i]
    return {
        "piece": explorer.piece(i),
        "id": i,
        "at": ((table[i] - centre) @ axes).astype(float).tolist(),
        "neighbours": [
            {"piece": explorer.piece(j), "id": j, "cosine": float(cosines[j])}
            for j in best[:NEIGHBOURS]
        ],
    }


def in_floats(numbers):
    """float32 in base64, little-endian."""
    return base64.b64encode(np.asarray(numbers, "<f4").tobytes()).decode("ascii")
