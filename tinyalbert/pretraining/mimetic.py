"""Attention that begins as it would end: heads for the next and the previous token, and for the
same piece.

From random values attention starts as an even mean over the sequence, and a small ALBERT stands on
the unigram plateau until its heads have found a token's neighbours.  Values that imitate what
trained heads look like ("mimetic", Trockman & Kolter 2023, "Mimetic Initialization of
Self-Attention Layers") spare it that.  Only the first values are different: training changes all of
them, and the saved model is an ALBERT like any other.
"""

import numpy as np

FASTEST, SLOWEST = 2.0, 0.4  # radians a token, of the first and the last pair of columns
LOUDER, QUIETER = 2.0, 0.1  # positions and words in the columns of the positions, beside usual
NEIGHBOUR_SCALE, SAME_SCALE = 1.2, 1.5  # length of each row of the query and key weights


def sinusoids(positions, width):
    """(P, width) of sines and cosines in turns (Vaswani et al. 2017, §3.5), the frequencies (width
    // 2,).  Even width.

    In a pair of columns, going one token on is a rotation, the same one at every position.
    """
    frequencies = np.geomspace(FASTEST, SLOWEST, width // 2)
    angles = np.arange(positions)[:, None] * frequencies
    return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(
        positions, 2 * len(frequencies)
    ), frequencies


def rotation(frequencies, tokens):
    """(D, D): turns sinusoids of position p, as columns, into those of position p + tokens."""
    turn = np.zeros((2 * len(frequencies),) * 2)
    even = 2 * np.arange(len(frequencies))
    turn[even, even] = turn[even + 1, even + 1] = np.cos(frequencies * tokens)
    turn[even, even + 1] = np.sin(frequencies * tokens)
    turn[even + 1, even] = -turn[even, even + 1]
    return turn


def orthonormal(rng, rows, columns):
    """A random (rows, columns) matrix whose columns are orthonormal, or its rows where they are
    fewer.
    """
    return np.linalg.qr(rng.standard_normal((max(rows, columns),) * 2))[0][:rows, :columns]


def imitate_trained_attention(model, seed=0):
    """Overwrite positions, E->H projection, queries and keys of a pretraining model with values to
    begin from.

    The first quarter of the embeddings' columns (or fewer, if a head has fewer) is for the
    positions, as sinusoids, and nearly empty of words; the others have words only.  The projection
    keeps lengths.  Of each layer's heads the first asks for the position after its own, the second
    for the one before; the others ask with the same random map as they answer with, so that equal
    pieces find each other.
    """
    config, albert, rng = model.config, model.albert, np.random.default_rng([seed, 1])
    H, E, D = (
        config.hidden_size,
        config.embedding_size,
        config.hidden_size // config.num_attention_heads,
    )
    width = min(D, E // 4) // 2 * 2
    words, positions = (
        albert.embeddings.word_embeddings.weight.data,
        albert.embeddings.position_embeddings.weight.data,
    )
    table, frequencies = sinusoids(len(positions), width)
    positions[...] = 0
    positions[:, :width] = table * np.sqrt(2) * LOUDER * config.initializer_range
    words[:, :width] *= QUIETER
    projection = np.eye(H, E)
    if config.embedding_projection:
        projection = orthonormal(rng, H, E)
        albert.encoder.embedding_hidden_mapping_in.weight.data[...] = projection
    place, content = projection[:, :width].T, projection[:, width:].T  # (width, H), (E - width, H)
    for layer in {
        id(layer): layer for layer in albert.encoder.layers()
    }.values():  # a shared layer once
        query, key = (
            getattr(layer.attention, name).weight.data for name in ("query", "key")
        )  # (H, H)
        for head, tokens in zip(
            range(config.num_attention_heads), (1, -1)
        ):  # the next, the previous
            rows = slice(head * D, head * D + width)
            query[rows] = NEIGHBOUR_SCALE * rotation(frequencies, tokens) @ place
            key[rows] = NEIGHBOUR_SCALE * place
        for head in range(2, config.num_attention_heads):  # equal pieces
            rows = slice(head * D, head * D + D)
            query[rows] = key[rows] = SAME_SCALE * orthonormal(rng, D, E - width) @ content
