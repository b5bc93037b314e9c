"""Answers to lesson 09, their hints, and typical wrong answers."""

import numpy as np


def layer_parameters(H, F):
    return 4 * (H * H + H) + 2 * H + (H * F + F) + (F * H + H) + 2 * H


def half_backward(x, wide, narrow, g):
    past_the_bend = (g @ narrow) * (x @ wide.T > 0)
    return g + past_the_bend @ wide


def shared_gradient(x, matrix, g, times):
    before = [x]
    for _ in range(times - 1):
        before.append(matrix @ before[-1])
    gradient = np.zeros_like(matrix)
    for x in reversed(before):
        gradient += np.outer(g, x)
        g = matrix.T @ g
    return gradient


# what an answer is compared with, where it is not the function above
REFERENCES = {}

HINTS = {
    "layer_parameters": "four H×H maps with biases, two norms, one map H->F and one F->H, each with its bias",
    "half_backward": "two uses of x: past the work, as g, and through it: back through narrow, through the bend, through wide",
    "shared_gradient": "keep every x on the way forward; on the way back each use adds np.outer(g, x), then g becomes matrix.T @ g",
}

MISTAKES = {
    "layer_parameters": {
        "the biases are missing": lambda H, F: 4 * H * H + 2 * H * F + 4 * H,
        "the two norms are missing": lambda H, F: 4 * (H * H + H) + (H * F + F) + (F * H + H),
        "the attention's output map is missing: there are four H×H maps":
            lambda H, F: layer_parameters(H, F) - (H * H + H),
    },
    "half_backward": {
        "the way past the work is missing: x was also added to its result":
            lambda x, wide, narrow, g: ((g @ narrow) * (x @ wide.T > 0)) @ wide,
        "the bend is missing: where relu gave 0, no gradient comes through": lambda x, wide, narrow, g: g + g @ narrow @ wide,
        "the bend's value stands where its slope belongs: 1 where relu let something through, else 0":
            lambda x, wide, narrow, g: g + ((g @ narrow) * np.maximum(x @ wide.T, 0)) @ wide,
        "the bend looks at x, where it should look at what came out of `wide`":
            lambda x, wide, narrow, g: g + ((g @ narrow) @ wide) * (x > 0),
    },
    "shared_gradient": {
        "only the last use is counted: each of the uses adds its part":
            lambda x, matrix, g, times: np.outer(g, np.linalg.matrix_power(matrix, times - 1) @ x),
        "only the first use is counted: each of the uses adds its part":
            lambda x, matrix, g, times: np.outer(np.linalg.matrix_power(matrix.T, times - 1) @ g, x),
        "one use, multiplied by their number: the uses see different x and g":
            lambda x, matrix, g, times: times * np.outer(g, x),
    },
}
