"""tokenizer_config.json and the files beside it: what they may say about a tokenizer.

What changes ids is either done or refused, never passed over.  Keys that change none, such as
tokenizer_class's backend or clean_up_tokenization_spaces, are not looked at.
"""

import json
import math

from ..checks import shown
from ..errors import UserError
from ..strict_json import read_json
from .tokenizer_json import USER_DEFINED, read_pieces
from .vocabulary import CLS, MASK, PAD, SEP, SPECIAL, UNK

SWITCHES = ("do_lower_case", "remove_space", "keep_accents")
CLASSES = (  # names under which transformers 3 to 5 saves an ALBERT's tokenizer
    "AlbertTokenizer",
    "AlbertTokenizerFast",
    "PreTrainedTokenizer",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
)
NEEDED = {  # settings of transformers that make other ids, and what they have to be; null is unset
    "padding_side": ("right", "left"),
    "truncation_side": ("right",),
    "split_special_tokens": (False,),
    "add_prefix_space": (True,),
    "sp_model_kwargs": ({}, {"enable_sampling": False}),
    "tokenizer_class": CLASSES,
}
NAMES = {
    "pad_token": (PAD,),
    "unk_token": (UNK,),
    "cls_token": (CLS,),
    "sep_token": (SEP,),
    "mask_token": (MASK,),
    "bos_token": (*SPECIAL, None),  # never put into a text
    "eos_token": (*SPECIAL, None),
}
DEFAULT_LENGTH = 512
UNSET_LENGTH = 1e9  # transformers writes 1e30 for "no limit"


def read_settings(folder):
    """{argument of AlbertTokenizer: value} that a folder's tokenizer_config.json tells."""
    path = folder / "tokenizer_config.json"
    config = _read(path)
    for name, allowed in NEEDED.items():
        if config.get(name) is not None and config[name] not in allowed:
            raise UserError(
                f"{path}: {name} is {shown(config[name])}, which gives other ids than tinyalbert's "
                f"tokenizer; expected {_either(allowed)}"
            )
    for name in SWITCHES:
        if not isinstance(config.get(name, True), bool):
            raise UserError(f"{path}: {name} is {shown(config[name])}; expected true or false")
    _check_names(path, config)
    _check_names(folder / "special_tokens_map.json", _read(folder / "special_tokens_map.json"))
    settings = {name: config[name] for name in (*SWITCHES, "style") if name in config}
    if config.get("padding_side"):
        settings["padding_side"] = config["padding_side"]
    longest = config.get("model_max_length", config.get("max_len"))  # max_len: transformers 2
    settings["model_max_length"] = fitting(_length(path, longest), folder)
    return settings


def _either(values):
    return " or ".join(json.dumps(value) for value in values)


def _length(path, given):
    """The number of tokens that model_max_length means."""
    known = type(given) in (int, float)
    if given is not None and not (known and given >= 1 and given in (math.inf, given // 1)):
        raise UserError(
            f"{path}: model_max_length is {shown(given)}; expected a whole number of at least 1"
        )
    return DEFAULT_LENGTH if given is None or given >= UNSET_LENGTH else int(given)


def fitting(length, folder):
    """A number of tokens, or that of the positions of the model in `folder` if it has fewer."""
    positions = _read(folder / "config.json").get("max_position_embeddings")
    if type(positions) is int and positions >= 1:  # else the model's own reader refuses it
        return min(length, positions)
    return length


def _check_names(path, values):
    """Refuse other names for the special tokens, of which the vocabulary knows nothing."""
    for name, allowed in NAMES.items():
        if name in values and content(values[name]) not in allowed:
            raise UserError(
                f"{path}: {name} is {shown(content(values[name]))}; expected {_either(allowed)}, "
                "as in ALBERT's vocabulary"
            )


def content(token):
    """The text of a special token, which stands alone or in an object with its flags."""
    return token.get("content") if isinstance(token, dict) else token


# --- tokens besides the vocabulary ----------------------------------------------------------------


def check_added(folder, tokenizer, added):
    """Refuse tokens that a folder adds to its vocabulary; returns those cut out of a text.

    added: {token: id} of its tokenizer.json.

    A user-defined piece is in the vocabulary, and ALBERT was trained to have it segmented with the
    rest.  transformers' converter since 4.41 has it cut out before.
    """
    tokens = {**_added(folder), **added}
    for token in tokens:
        if not isinstance(token, str):
            raise UserError(f"{folder}: an added token is {shown(token)}; expected a text")
    others = {token: i for token, i in tokens.items() if token not in SPECIAL}
    kinds = {piece: kind for piece, _, kind in read_pieces(tokenizer.model_bytes)} if others else {}
    beyond = [token for token in others if kinds.get(token) != USER_DEFINED]
    if beyond:
        raise UserError(
            f"{folder} adds tokens to the vocabulary of its tokenizer ({', '.join(beyond)}); "
            "tinyalbert knows only the vocabulary itself"
        )
    for token, i in tokens.items():
        own = tokenizer.convert_tokens_to_ids(token)
        if i not in (None, own):
            raise UserError(
                f"{folder}: the token {token} has the id {shown(i)}, in the vocabulary {own}; "
                "expected files of one tokenizer"
            )
    return list(others)


def _added(folder):
    """{token: id, or None if a file doesn't say} of all files but tokenizer.json."""
    path = folder / "tokenizer_config.json"
    tokens = {}
    for file in (path, folder / "special_tokens_map.json"):
        values = _read(file)
        for name in ("additional_special_tokens", "extra_special_tokens"):
            extra = values.get(name) or []
            extra = list(extra.values()) if isinstance(extra, dict) else extra
            if not isinstance(extra, list) or not all(isinstance(content(t), str) for t in extra):
                raise UserError(f"{file}: {name} is {shown(extra)}; expected a list of tokens")
            tokens |= {content(token): None for token in extra}
    decoder = _read(path).get("added_tokens_decoder") or {}
    try:
        for i, token in decoder.items():
            tokens[token["content"]] = int(i)
            if token.get("single_word") or token.get("normalized"):
                raise UserError(
                    f"{path}: {token['content']} is to be found as a single word or after the "
                    "text was normalised; expected neither"
                )
    except UserError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: added_tokens_decoder is {shown(decoder)}; expected objects with a content "
            f"({type(error).__name__})"
        ) from None
    return {**tokens, **_read(folder / "added_tokens.json")}


def _read(path):
    """The object in a JSON file, empty if there is none."""
    return read_json(path, "what transformers or tinyalbert wrote") if path.exists() else {}
