"""Filling masks: the probabilities of the words that may stand at [MASK]."""

import warnings

import numpy as np

from .. import ops
from ..checks import as_count
from ..errors import UserError
from ..modes import no_grad
from ..text.vocabulary import SPACE, SPECIAL


def fill_mask(model, tokenizer, text, top_k=5, targets=None, tokenizer_kwargs=None):
    """The best `top_k` pieces for each [MASK] of `text`, in transformers' form.

    Returns [{"score", "token", "token_str", "sequence"}, ...], one such list for each mask if there
    are several.
    targets: only these pieces compete; their scores are still shares of the whole vocabulary.  A
    word of its own begins with "▁"; what is no piece stands for its first one, with a warning.
    tokenizer_kwargs: options of the tokenizer, such as truncation=True.
    """
    top_k = as_count("top_k", 5 if top_k is None else top_k)  # None: as in transformers
    encoded = tokenizer(text, **(tokenizer_kwargs or {}))
    ids = np.asarray(encoded["input_ids"], dtype=np.int32)  # (T,)
    masks = np.flatnonzero(ids == tokenizer.mask_token_id)
    if not len(masks):
        raise UserError(f"no [MASK] in {text!r}; put [MASK] where a word is to be filled in")
    allowed = np.arange(tokenizer.vocab_size) if targets is None else _ids(tokenizer, targets)
    answers = []
    for place, probabilities in zip(masks, _probabilities(model, ids, masks)):
        best = allowed[np.argsort(-probabilities[allowed], kind="stable")][:top_k]
        answers.append(
            [
                _answer(tokenizer, ids, place, token, probabilities, len(masks) == 1)
                for token in best.tolist()
            ]
        )
    return answers[0] if len(answers) == 1 else answers


def _probabilities(model, ids, masks):
    """(masks, V) at the places `masks` of one text (T,)."""
    with no_grad():
        states = model.eval().albert(ids[None]).last_hidden_state  # (1, T, H)
        between = states[0, masks[0] : masks[-1] + 1]  # rows from the first to the last mask
        logits = model.word_scores(between).numpy()[masks - masks[0]]
    return ops.softmax.raw(logits)[0]


def _answer(tokenizer, ids, place, token, probabilities, alone):
    """One answer for the mask at `place`; alone: there is no other mask, which would be kept."""
    filled = ids.copy()
    filled[place] = token
    filled = filled[filled != tokenizer.pad_token_id]
    return {
        "score": float(probabilities[token]),
        "token": token,
        "token_str": _text(tokenizer, [token]),
        "sequence": _text(tokenizer, filled, skip_special_tokens=alone),
    }


def _text(tokenizer, ids, skip_special_tokens=False):
    """The pieces put together as transformers' fast tokenizer does, without a space after [CLS]."""
    tokens = tokenizer.convert_ids_to_tokens(ids)
    if skip_special_tokens:
        tokens = [token for token in tokens if token not in SPECIAL]
    return "".join([*(t.replace(SPACE, "") for t in tokens[:1]), *tokens[1:]]).replace(SPACE, " ")


def _ids(tokenizer, targets):
    """Ids of pieces, each once."""
    targets = [targets] if isinstance(targets, str) else list(targets)
    ids = [i for i in (_target_id(tokenizer, target) for target in targets) if i is not None]
    if not ids:
        raise UserError(f"targets is {targets!r}; expected at least one piece of the vocabulary")
    return np.unique(ids)


def _target_id(tokenizer, target):
    """The id of a piece, of a word's first piece, or None for a text without pieces."""
    if tokenizer.has_piece(target):
        return tokenizer.convert_tokens_to_ids(target)
    pieces = tokenizer.tokenize(target)
    if not pieces:
        warnings.warn(f"the target {target!r} has no piece and is left out", stacklevel=2)
        return None
    warnings.warn(
        f"the target {target!r} is no piece of this vocabulary; {pieces[0]!r} stands for it",
        stacklevel=2,
    )
    return tokenizer.convert_tokens_to_ids(pieces[0])
