"""View 4: how far each pass of the shared layer moves its input, and what sharing saves."""

import numpy as np


def view(explorer, reading):
    """Distance and angle between input and output of each pass (Lan et al. 2020, figure 1).

    passes: [{"distance": L2, "angle": degrees}, ...], means over the tokens.  sizes: the numbers
    that the ledger of parameters is made of, with which the page begins.
    """
    config = explorer.model.config
    states = explorer.states(reading).astype(np.float64)  # (L + 1, T, H)
    return {
        "passes": [
            {"distance": distance(before, after), "angle": angle(before, after)}
            for before, after in zip(states, states[1:])
        ],
        "sizes": {
            "E": config.embedding_size,
            "H": config.hidden_size,
            "L": config.num_hidden_layers * config.inner_group_num,
            "V": config.vocab_size,
            "I": config.intermediate_size,
            "P": config.max_position_embeddings,
        },
    }


def distance(before, after):
    """The mean over the tokens of |after - before|: (T, H) twice."""
    return float(np.linalg.norm(after - before, axis=-1).mean())


def angle(before, after):
    """The mean over the tokens of the angle between before and after, in degrees."""
    lengths = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    cosines = (before * after).sum(axis=-1) / np.maximum(lengths, 1e-12)
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())
