"""Filling masks: the probabilities of the words that may stand at [MASK]."""

import numpy as np

from .. import ops
from ..errors import UserError
from ..modes import no_grad


def fill_mask(model, tokenizer, text, top_k=5, targets=None):
    """The best `top_k` pieces for each [MASK] of `text`, in transformers' form.

    Returns [{"score", "token", "token_str", "sequence"}, ...], one such list for each mask if there
    are several.  `targets`: only these words compete; their scores are still shares of the whole
    vocabulary.
    """
    if top_k < 1:
        raise UserError(f"top_k is {top_k}; expected at least 1")
    encoded = tokenizer(text)
    ids = np.asarray(encoded["input_ids"], dtype=np.int32)[None]  # (1, T)
    masks = np.flatnonzero(ids[0] == tokenizer.mask_token_id)
    if not len(masks):
        raise UserError(f"no [MASK] in {text!r}; put [MASK] where a word is to be filled in")
    with no_grad():
        states = model.eval().albert(ids).last_hidden_state  # (1, T, H)
        between = states[0, masks[0] : masks[-1] + 1]  # rows from the first to the last mask
        logits = model.word_scores(between).numpy()[masks - masks[0]]
    probabilities = ops.softmax.raw(logits)[0]  # (masks, V)
    allowed = (
        None if targets is None else np.array([_target_id(tokenizer, t) for t in _as_list(targets)])
    )
    answers = []
    for place, row in zip(masks, probabilities):
        candidates = (
            np.argsort(-row)[:top_k]
            if allowed is None
            else allowed[np.argsort(-row[allowed])][:top_k]
        )
        answers.append([])
        for token in candidates.tolist():
            filled = ids[0].copy()
            filled[place] = token
            answers[-1].append(
                {
                    "score": float(row[token]),
                    "token": token,
                    "token_str": tokenizer.decode([token]),
                    "sequence": tokenizer.decode(
                        filled.tolist(), skip_special_tokens=len(masks) == 1
                    ),
                }
            )
    return answers[0] if len(answers) == 1 else answers


def _as_list(targets):
    return [targets] if isinstance(targets, str) else list(targets)


def _target_id(tokenizer, word):
    """The id of a target word.

    A word of several pieces is refused, since one mask holds one piece.
    """
    pieces = tokenizer.tokenize(word)
    if len(pieces) != 1:
        raise UserError(
            f"the target {word!r} is {len(pieces)} pieces in this vocabulary ({' '.join(pieces)}); "
            "one [MASK] holds one piece"
        )
    return tokenizer.convert_tokens_to_ids(pieces[0])
