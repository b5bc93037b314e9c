"""Answers to lesson 12, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert import optim


def _moments(g, m, v):
    return 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g * g


def _direction(w, g, m, v, decay=0.01):
    m, v = _moments(g, m, v)
    return m / (np.sqrt(v) + 1e-6) + decay * w, m, v


def adamw_step(w, g, m, v, lr, decay=0.01):
    u, m, v = _direction(w, g, m, v, decay)
    return np.stack([w - lr * u, m, v])


def lamb_step(w, g, m, v, lr):
    u, m, v = _direction(w, g, m, v)
    return np.stack([w - lr * np.linalg.norm(w) / np.linalg.norm(u) * u, m, v])


def linear_warmup_decay(step, peak, warmup, total):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 - (step - warmup) / (total - warmup))


def clip(a, b, limit):
    both = np.concatenate([a, b])
    return both * min(1.0, limit / np.linalg.norm(both))


def _number_by_number(a, b, limit):
    return np.clip(np.concatenate([a, b]), -limit, limit)


def _old_moments(w, g, m, v, lr):
    result = adamw_step(w, g, m, v, lr)
    result[0] = w - lr * (m / (np.sqrt(v) + 1e-6) + 0.01 * w)
    return result


def _decay_in_the_gradient(w, g, m, v, lr):
    return adamw_step(w, g + 0.01 * w, m, v, lr, decay=0.0)


def _turned(w, g, m, v, lr):
    u, m, v = _direction(w, g, m, v)
    return np.stack([w - lr * np.linalg.norm(u) / np.linalg.norm(w) * u, m, v])


def _unit_length(w, g, m, v, lr):
    u, m, v = _direction(w, g, m, v)
    return np.stack([w - lr * u / np.linalg.norm(u), m, v])


def _from_zero(step, peak, warmup, total):
    return peak * step / warmup if step < warmup else linear_warmup_decay(step, peak, warmup, total)


def _google(step, peak, warmup, total):
    return linear_warmup_decay(step, peak, warmup, total) if step < warmup else peak * (1 - step / total)


def _each_alone(a, b, limit):
    return np.concatenate([x * min(1.0, limit / np.linalg.norm(x)) for x in (a, b)])


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "adamw_step": lambda w, g, m, v, lr: np.stack(optim.adamw_step(w, g, m, v, lr)),
    "linear_warmup_decay": optim.linear_warmup_decay,
    "lamb_step": lambda w, g, m, v, lr: np.stack(optim.lamb_step(w, g, m, v, lr)),
}

HINTS = {
    "adamw_step": "u, m, v = adam_direction(w, g, m, v); then one step of length lr",
    "linear_warmup_decay": "while step < warmup: a share (step + 1) / warmup of the peak; afterwards a straight line that begins at the peak at step `warmup` and would be 0 at step `total`",
    "lamb_step": "the length of an array is sqrt of the sum of its squares; multiply u by |w| / |u|, decay included in u",
    "clip": "one norm over all numbers; nothing changes if it is below the limit; return np.concatenate([a, b])",
}

MISTAKES = {
    "adamw_step": {
        "the step goes uphill: subtract it": lambda w, g, m, v, lr: np.stack([2 * w - adamw_step(w, g, m, v, lr)[0],
                                                                            *_moments(g, m, v)]),
        "the decay went through the division by sqrt(v): it belongs to the direction, not to the gradient": _decay_in_the_gradient,
        "the direction is made from the old m and v": _old_moments,
        "the weight decay is missing": lambda *a: adamw_step(*a, decay=0.0),
    },
    "linear_warmup_decay": {
        "the first step has rate 0 and is wasted: count from step + 1": _from_zero,
        "the decay counts from step 0, so the rate jumps at the end of the warm-up (as Google's does)": _google,
    },
    "lamb_step": {
        "the ratio is upside down: it is |w| / |u|": _turned,
        "the step has length lr; its length should be lr times that of w": _unit_length,
        "this is AdamW: the ratio of lengths is missing": adamw_step,
    },
    "clip": {
        "each number is clipped by itself, which changes the direction: scale all by one factor": _number_by_number,
        "each tensor is clipped separately, which changes the direction: take one norm over all": _each_alone,
        "short gradients are made longer: leave them as they are below the limit":
            lambda a, b, limit: np.concatenate([a, b]) * limit / np.linalg.norm(np.concatenate([a, b])),
    },
}
