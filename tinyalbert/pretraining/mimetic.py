"""Mimetic initialisation: attention that begins as it would end.

From random values attention starts as an even mean over the sequence, and a small ALBERT stays on
the unigram plateau until its heads have found a token's neighbours.  Values that imitate trained
heads ("mimetic", Trockman & Kolter 2023, "Mimetic Initialization of Self-Attention Layers") spare
it that search: one head attends to the next token, one to the previous, the others to equal pieces.
Only the first values are different: training changes all of them, and the saved model is an ALBERT
like any other.
"""

import numpy as np

from ..errors import UserError

# Radians per token, of the first and the last pair of columns.
FASTEST = 2.0
SLOWEST = 0.4
# In the columns that belong to the positions, relative to the usual initial values.
LOUDER = 2.0  # positions
QUIETER = 0.1  # words
# Length of each row of the query and key weights.
NEIGHBOUR_SCALE = 1.2
SAME_SCALE = 1.5


def sinusoids(positions, width):
    """Alternating sines and cosines (P, width) and their frequencies (width // 2,), width even.

    Vaswani et al. 2017, §3.5.  In a pair of columns, a step to the next token is a rotation, the
    same one at every position.
    """
    frequencies = np.geomspace(FASTEST, SLOWEST, width // 2)
    angles = np.arange(positions)[:, None] * frequencies
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=2)  # (P, width // 2, 2)
    return pairs.reshape(positions, 2 * len(frequencies)), frequencies


def rotation(frequencies, tokens):
    """(D, D): turns sinusoids of position p, as columns, into those of position p + tokens."""
    turn = np.zeros((2 * len(frequencies),) * 2)
    even = 2 * np.arange(len(frequencies))
    turn[even, even] = turn[even + 1, even + 1] = np.cos(frequencies * tokens)
    turn[even, even + 1] = np.sin(frequencies * tokens)
    turn[even + 1, even] = -turn[even, even + 1]
    return turn


def orthonormal(rng, rows, columns):
    """A random (rows, columns) matrix with orthonormal columns, or rows if there are fewer rows."""
    square = rng.standard_normal((max(rows, columns),) * 2)
    return np.linalg.qr(square)[0][:rows, :columns]


def imitate_trained_attention(model, seed=0):
    """Overwrite positions, E->H projection, queries and keys of a pretraining model, in place.

    The first quarter of the embeddings' columns (or fewer, if a head has fewer) is for the
    positions, as sinusoids, and nearly empty of words; the others have words only.  The projection
    keeps lengths.  Of each layer's heads the first asks for the position after its own, the second
    for the one before; the others ask with the same random map as they answer with, so that equal
    pieces find each other.
    """
    config = model.config
    if config.projection_groups > 1:
        raise UserError(
            f"queries in {config.projection_groups} groups see a part of each vector and can't "
            "look for positions; set mimetic to false, or projection_groups to 1"
        )
    albert = model.albert
    rng = np.random.default_rng([seed, 1])
    H = config.hidden_size
    E = config.embedding_size
    D = config.hidden_size // config.num_attention_heads
    width = min(D, E // 4) // 2 * 2
    words = albert.embeddings.word_embeddings.weight.data
    positions = albert.embeddings.position_embeddings.weight.data
    table, frequencies = sinusoids(len(positions), width)
    positions[...] = 0
    positions[:, :width] = table * np.sqrt(2) * LOUDER * config.initializer_range
    words[:, :width] *= QUIETER
    projection = np.eye(H, E)
    if config.embedding_projection:
        projection = orthonormal(rng, H, E)
        albert.encoder.embedding_hidden_mapping_in.weight.data[...] = projection
    place = projection[:, :width].T  # (width, H)
    content = projection[:, width:].T  # (E - width, H)
    distinct_layers = {id(layer): layer for layer in albert.encoder.layers()}  # shared ones once
    for layer in distinct_layers.values():
        query = layer.attention.query.weight.data  # (H, H)
        key = layer.attention.key.weight.data  # (H, H)
        for head, tokens in zip(range(config.num_attention_heads), (1, -1)):  # next, previous
            rows = slice(head * D, head * D + width)
            query[rows] = NEIGHBOUR_SCALE * rotation(frequencies, tokens) @ place
            key[rows] = NEIGHBOUR_SCALE * place
        for head in range(2, config.num_attention_heads):  # equal pieces
            rows = slice(head * D, head * D + D)
            query[rows] = key[rows] = SAME_SCALE * orthonormal(rng, D, E - width) @ content
