"""Answers to lesson 09, their hints, and typical wrong answers."""

import numpy as np


def layer_parameters(H, F):
    return 4 * (H * H + H) + 2 * H + (H * F + F) + (F * H + H) + 2 * H


def group_of(layer, layers, groups):
    return layer * groups // layers


def apply_again(x, matrix, times):
    for _ in range(times):
        x = matrix @ x
    return x


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "apply_again": lambda x, matrix, times: np.linalg.matrix_power(matrix, times) @ x,
}

HINTS = {
    "layer_parameters": "four H×H maps with biases, two norms, one map H->F and one F->H, each with its bias",
    "group_of": "layers are assigned to groups evenly and in order; use integers only, no rounded fractions",
    "apply_again": "a loop: x = matrix @ x",
}

MISTAKES = {
    "layer_parameters": {
        "the biases are missing": lambda H, F: 4 * H * H + 2 * H * F + 4 * H,
        "the two norms are missing": lambda H, F: 4 * (H * H + H) + (H * F + F) + (F * H + H),
        "the attention's output map is missing: there are four H×H maps":
            lambda H, F: layer_parameters(H, F) - (H * H + H),
    },
    "group_of": {
        "this assigns the sets in turn; neighbouring layers share a set": lambda i, L, G: i % G,
        "i // L is 0 for every layer: multiply before dividing": lambda i, L, G: i // L * G,
    },
    "apply_again": {
        "multiplied from the wrong side": lambda x, matrix, times: apply_again(x, matrix.T, times),
        "applied only once, whatever `times` says": lambda x, matrix, times: matrix @ x,
    },
}
