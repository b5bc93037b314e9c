"""Ids and labels as callers give them: arrays of the right kind and shape, or a sentence.

They come as NumPy arrays, but as lists, columns of a table or another library's tensors too.  What
lies on a GPU already is checked for its kind and shape alone, since looking at values would wait.
"""

import numpy as np

from .backend import xp_of
from .errors import UserError
from .ops import IGNORE

KINDS = {
    "b": "booleans",
    "i": "whole numbers",
    "u": "whole numbers",
    "f": "floats",
    "c": "complex numbers",
    "U": "texts",
    "S": "bytes",
    "O": "values of several kinds",
}
WHOLE = "iu"
NUMBERS = "iuf"
FLAGS = "iufb"


def as_array(name, value, kinds, expected):
    """What was given as `name`, as an array; None stays None.

    kinds: letters of NumPy's dtype.kind.  expected: what the values should be, in words.
    """
    array = value
    if value is None:
        return None
    if not isinstance(value, np.ndarray) and xp_of(value) is np:
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError):
            raise UserError(f"{name} is no array: {_ragged(value)}; expected {expected}") from None
        if array.size == 0:  # of an empty list, whose kind NumPy guesses
            array = array.astype(np.int32)
    if array.dtype.kind not in kinds:
        found = KINDS.get(array.dtype.kind, f"values of the type {array.dtype}")
        raise UserError(f"{name} holds {found}; expected {expected}")
    return array


def _ragged(value):
    """Why a value can't be an array."""
    lengths = {len(row) for row in value if hasattr(row, "__len__")} if _is_list(value) else set()
    if len(lengths) > 1:
        return f"rows of {min(lengths)} to {max(lengths)} values (padding=True fills up)"
    if lengths:
        return "rows that are not all of one form"
    return f"got {type(value).__name__}"


def _is_list(value):
    return isinstance(value, (list, tuple))


def check_shape(name, array, *shapes):
    """Refuse an array (or None) that has none of these shapes."""
    if array is not None and array.shape not in shapes:
        raise UserError(f"{name} of shape {array.shape}; expected {' or '.join(map(str, shapes))}")


def check_range(name, array, least, most, advice="", but=None):
    """Refuse an array on the host with values outside least ... most, other than `but`."""
    if xp_of(array) is not np:
        return
    values = array if but is None else array[array != but]
    if values.size and not (least <= values.min() and values.max() <= most):  # nan too
        besides = "" if but is None else f", or {but} for no target"
        raise UserError(
            f"{name} from {values.min()} to {values.max()}; expected {least} to {most}{besides}"
            f"{advice}"
        )


def as_inputs(input_ids, attention_mask=None, token_type_ids=None, axes=("sequences", "tokens")):
    """The three as arrays, or None, all of one shape.

    axes: what the axes are; None for any number of them.
    """
    ids = as_array("input_ids", input_ids, WHOLE, "ids, rows of whole numbers")
    mask = as_array("attention_mask", attention_mask, FLAGS, "1 for tokens and 0 for padding")
    types = as_array("token_type_ids", token_type_ids, WHOLE, "numbers of segments, 0 or 1")
    if ids is not None:
        if ids.size == 0 or ids.ndim != (len(axes) if axes else max(ids.ndim, 1)):
            alone = ": one text is a row of its own, tokenizer([text])" if ids.ndim == 1 else ""
            raise UserError(
                f"input_ids of shape {ids.shape}; expected ({', '.join(axes or ['..., tokens'])}), "
                f"none of them empty{alone}"
            )
        check_shape("attention_mask", mask, ids.shape)
        check_shape("token_type_ids", types, ids.shape)
    return ids, mask, types


def batch_shape(input_ids, inputs_embeds=None, axes=2):
    """(B, T) of the ids, or of the vectors (B, T, E) in their place.

    axes: so many, None for all.
    """
    if input_ids is None and inputs_embeds is None:
        raise UserError("got no input_ids; expected rows of whole numbers")
    return (inputs_embeds if input_ids is None else input_ids).shape[:axes]


def as_class_ids(name, value, shape, classes):
    """Labels as an array of `shape`, each the number of a class or IGNORE; None stays None."""
    labels = as_array(name, value, WHOLE, f"whole numbers below {classes}")
    if labels is not None and labels.shape == (*shape, 1):  # a column of them
        labels = labels.reshape(shape)
    check_shape(name, labels, shape)
    if labels is not None:
        check_range(name, labels, 0, classes - 1, but=IGNORE)
    return labels


def as_numbers(name, value, shape, least=None, most=None, kinds=NUMBERS, gaps=False):
    """Numbers as an array of `shape`, from least to most; None stays None.

    gaps: whether some may be nan.
    """
    numbers = as_array(name, value, kinds, "numbers")
    if numbers is None:
        return None
    if shape[-1:] == (1,) and numbers.shape == shape[:-1]:  # one of them for each row
        numbers = numbers.reshape(shape)
    check_shape(name, numbers, shape)
    if xp_of(numbers) is np:
        if not (np.isfinite(numbers) | (np.isnan(numbers) if gaps else False)).all():
            raise UserError(f"{name} holds nan or infinity; expected numbers")
        if least is not None:
            check_range(name, numbers, least, most)
    return numbers
