"""Text to ALBERT's token ids and back: text preparation and a SentencePiece vocabulary.

Lesson 10 builds it.  A text goes through these steps (google-research/albert, tokenization.py;
transformers, AlbertTokenizer):

  1. special tokens that are typed in the text, such as [MASK], are cut out and become one token
     each;
  2. `TextPreparation` collapses spaces, turns `` and '' into ", drops accents and lower-cases;
  3. SentencePiece normalises (nmt_nfkc), writes "▁" for every space and one in front, and picks the
     pieces whose log-probabilities have the largest sum (unigram model, Kudo 2018);
  4. a comma that sticks to a digit is cut off: "▁92000," becomes "▁9", "2000", ",";
  5. the template [CLS] a [SEP] or [CLS] a [SEP] b [SEP], segment type 1 from b on, then padding.

These steps give the ids of transformers' slow AlbertTokenizer.  style="google" follows the original
where the two differ: quotes stay, a Greek word may end in ς, and in step 4 a "▁" is left in front
of the digits.
"""

import json
import re
import unicodedata
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from ..checks import as_count, is_whole
from ..errors import UserError
from ..files.fetched import check_fetched
from ..files.writing import replacing
from .encoding import encode, one_of
from .tokenizer_config import check_added, fitting, read_settings
from .tokenizer_json import WORD_PIECE, ends_in_digit_comma, from_tokenizer_json, tokenizer_json
from .vocabulary import CLS, MASK, PAD, SEP, SPACE, SPECIAL, UNK, starts_word, train_vocabulary

# Halves of a pair, from broken JSON: they can't be written in UTF-8.
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


# --- before SentencePiece -------------------------------------------------------------------------


@dataclass(frozen=True)
class TextPreparation:
    """What ALBERT does to a text before SentencePiece sees it.

    Source: google-research/albert, preprocess_text.
    """

    do_lower_case: bool = True
    remove_space: bool = True  # strip, and collapse every run of white space to one space
    keep_accents: bool = False  # True leaves out the decomposition (NFKD) too
    style: str = "transformers"

    def __post_init__(self):
        if self.style not in ("transformers", "google"):
            raise UserError(
                f"tokenizer style {self.style!r} is unknown; expected 'transformers' or 'google'"
            )

    def __call__(self, text):
        """The prepared text."""
        text = _checked(text)
        if self.do_lower_case and self.style == "transformers":
            # letter by letter: lower() alone would turn Σ into ς at the end of a word
            text = text.replace("Σ", "σ").lower()
        if self.remove_space:
            text = " ".join(text.split())
        if self.style == "transformers":
            text = text.replace("``", '"').replace("''", '"')
        if not text.isascii():
            text = LONE_SURROGATE.sub("\ufffd", text)
            if not self.keep_accents:  # é is decomposed to e and an accent, the accent dropped
                text = "".join(
                    c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
                )
        return text.lower() if self.do_lower_case else text

    def aligned(self, text):
        """The prepared text, and the span (start, end) of `text` behind each of its characters.

        The same steps, a character at a time.  One character may become several (ﬁ to f, i: both
        have its span), several may become one (two quotes); what is dropped belongs to the
        character before it.
        """
        chars = [(c, i, i + 1) for i, c in enumerate(text)]
        if self.do_lower_case and self.style == "transformers":
            chars = [(d, start, end) for c, start, end in chars for d in c.lower()]
        if self.remove_space:
            chars = _collapse_spaces(chars)
        if self.style == "transformers":
            chars = _join_quotes(chars)
        chars = [
            ("\ufffd" if LONE_SURROGATE.match(c) else c, start, end) for c, start, end in chars
        ]
        if not self.keep_accents:
            chars = _drop_accents(chars)
        prepared = "".join(c for c, _, _ in chars)
        if self.do_lower_case:
            chars = [(d, start, end) for c, start, end in chars for d in c.lower()]
            prepared = prepared.lower()  # as one string: here Σ may become ς
        return prepared, [(start, end) for _, start, end in chars]


def _checked(text):
    """The text, if it is one."""
    if not isinstance(text, str):
        raise UserError(f"got {text!r} of type {type(text).__name__} as a text; expected a string")
    return text


def _collapse_spaces(chars):
    """Strip (character, start, end) triples, and collapse every run of white space."""
    kept = []
    for c, start, end in chars:
        if not c.isspace():
            kept.append((c, start, end))
        elif kept and kept[-1][0] != " ":
            kept.append((" ", start, end))
    return kept[:-1] if kept and kept[-1][0] == " " else kept


def _join_quotes(chars):
    """Two backquotes or two apostrophes become one double quote."""
    joined = []
    for c, start, end in chars:
        if c in "`'" and joined and joined[-1][0] == c:  # a third quote meets a '"' and starts anew
            joined[-1] = ('"', joined[-1][1], end)
        else:
            joined.append((c, start, end))
    return joined


def _drop_accents(chars):
    """Decompose each character and drop its accents."""
    # NFKD also sorts the accents after a letter; since all of them are dropped, it is enough to
    # decompose each character alone
    kept = []
    for c, start, end in chars:
        for d in unicodedata.normalize("NFKD", c):
            if not unicodedata.combining(d):
                kept.append((d, start, end))
            elif kept:
                kept[-1] = (*kept[-1][:2], end)
    return kept


class _Side:
    """The side of a row where something is done, which transformers lets one choose."""

    def __init__(self, *sides):
        self.sides = sides

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, tokenizer, owner):
        return "right" if tokenizer is None else vars(tokenizer).get(self.name, "right")

    def __set__(self, tokenizer, value):
        vars(tokenizer)[self.name] = one_of(self.name, value, self.sides)


# --- the tokenizer --------------------------------------------------------------------------------


class AlbertTokenizer:
    """ALBERT's tokenizer.

    model: path of a SentencePiece model (spiece.model, 30k-clean.model), or its bytes.
    Special tokens typed in a text are recognised as by transformers' slow tokenizer; Google's code
    knows them only as ids.

    padding_side: "right" or "left", where `padding=` fills rows up.  ALBERT counts positions from
    the first place of a row, padding or not, and its pooler reads that place, so "left" gives a
    text other numbers (the same ones as in transformers).  Tasks and pipelines always fill up at
    the right, which gives a text the numbers that it has alone.
    """

    pad_token, unk_token, cls_token, sep_token, mask_token = SPECIAL
    bos_token, eos_token = CLS, SEP  # as transformers names them
    all_special_tokens = list(SPECIAL)
    padding_side = _Side("right", "left")
    truncation_side = _Side("right")

    def __init__(
        self,
        model,
        do_lower_case=True,
        remove_space=True,
        keep_accents=False,
        style="transformers",
        model_max_length=512,
        padding_side="right",
    ):
        from sentencepiece import SentencePieceProcessor

        self.prepare = TextPreparation(do_lower_case, remove_space, keep_accents, style)
        self.model_max_length = as_count("model_max_length", model_max_length)
        self.padding_side = padding_side
        name = "the model" if isinstance(model, bytes) else model
        self.model_bytes = model if isinstance(model, bytes) else _read(model)
        self._sp = SentencePieceProcessor()
        try:
            self._sp.LoadFromSerializedProto(self.model_bytes)
        except RuntimeError:
            raise UserError(
                f"{name} is no SentencePiece model; expected ALBERT's spiece.model, or one that "
                "AlbertTokenizer.train has made"
            ) from None
        missing = [
            token for token in SPECIAL if self._sp.id_to_piece(self._sp.piece_to_id(token)) != token
        ]
        if missing:
            raise UserError(
                f"{name} has no {', '.join(missing)}; expected a vocabulary made for ALBERT"
            )
        self.vocab_size = self._sp.get_piece_size()
        self.pad_token_id = self._sp.piece_to_id(PAD)
        self.unk_token_id = self._sp.piece_to_id(UNK)
        self.cls_token_id = self._sp.piece_to_id(CLS)
        self.sep_token_id = self._sp.piece_to_id(SEP)
        self.mask_token_id = self._sp.piece_to_id(MASK)
        self.all_special_ids = [self._sp.piece_to_id(token) for token in SPECIAL]
        if do_lower_case:
            # transformers lower-cases before it looks for <pad> and <unk>, so <PAD> is one too; but
            # never [cls]
            self._special = re.compile(r"(\[CLS\]|\[SEP\]|\[MASK\]|(?i:<pad>|<unk>))")
        else:
            self._special = re.compile(r"(\[CLS\]|\[SEP\]|\[MASK\]|<pad>|<unk>)")

    def __len__(self):
        return self.vocab_size

    def __reduce__(self):  # pickled as its arguments: workers load the model anew
        settings = (*asdict(self.prepare).values(), self.model_max_length, self.padding_side)
        return type(self), (self.model_bytes, *settings)

    # --- making, loading, saving

    @classmethod
    def train(
        cls,
        texts_or_files,
        vocab_size,
        *,
        sample_size=1_000_000,
        character_coverage=0.99995,
        num_threads=16,
        verbose=False,
        model_max_length=512,
        **preparation,
    ):
        """A tokenizer with a new vocabulary, learned from text.

        Flags and ids are those of ALBERT's own vocabulary (google-research/albert, README).

        texts_or_files: any iterable of texts, read once; or a path, or paths (Path, not str), of
        files with a text on each line.
        sample_size: of more lines than that, a sample is taken, so memory is bounded: training
        takes about 20 times the size of the sample.  (ALBERT sampled 10 million.)
        num_threads: the same text gives the same vocabulary on every machine; another number of
        threads gives a slightly different one, since sums are rounded in another order.
        """
        model = train_vocabulary(
            texts_or_files,
            vocab_size,
            TextPreparation(**preparation),
            sample_size,
            character_coverage,
            num_threads,
            verbose,
        )
        return cls(model, **preparation, model_max_length=model_max_length)

    @classmethod
    def from_pretrained(cls, folder):
        """The tokenizer of a folder (ours or transformers'), or of one SentencePiece file."""
        folder = Path(folder)
        if folder.is_file():
            return cls(folder)
        model, settings, added = _read_vocabulary(folder)
        tokenizer = cls(model, **{**settings, **read_settings(folder)})
        cut_out = check_added(folder, tokenizer, added)
        if cut_out:
            warnings.warn(
                f"{folder}: transformers cuts {' '.join(cut_out)} out of a text before it segments "
                "the rest, and so gives other ids than ALBERT was trained on; tinyalbert segments "
                "them with the rest. To have both give these ids: "
                "AlbertTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
                stacklevel=2,
            )
        return tokenizer

    def save_pretrained(self, folder):
        """Write the three files that transformers' slow tokenizer reads, and its fast one's.

        Beside a config.json, model_max_length is at most the positions of the model.
        """
        flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        names = {
            "bos_token": CLS,
            "cls_token": CLS,
            "eos_token": SEP,
            "mask_token": MASK,
            "pad_token": PAD,
            "sep_token": SEP,
            "unk_token": UNK,
        }
        options = asdict(self.prepare)
        if options["style"] == "transformers":  # the default, and unknown to transformers
            del options["style"]
        added = {
            str(i): {"content": token, **flags, "lstrip": token == MASK, "special": True}
            for i, token in zip(self.all_special_ids, SPECIAL)
        }
        config = {
            **names,
            **options,
            "added_tokens_decoder": added,
            "clean_up_tokenization_spaces": False,
            "extra_special_tokens": {},
            "sp_model_kwargs": {},
            # transformers 5 leaves out the segments of a pair unless it is told
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            "model_max_length": fitting(self.model_max_length, Path(folder)),
            **({"padding_side": "left"} if self.padding_side == "left" else {}),
            "tokenizer_class": "AlbertTokenizer",
        }
        special = {**names, "mask_token": {"content": MASK, **flags, "lstrip": True}}
        files = {
            "tokenizer_config.json": json.dumps(config, indent=2, sort_keys=True).encode(),
            "special_tokens_map.json": json.dumps(special, indent=2, sort_keys=True).encode(),
            "spiece.model": self.model_bytes,
            "tokenizer.json": self._tokenizer_json,
        }
        for name, content in files.items():
            with replacing(Path(folder) / name) as file:
                file.write(content)

    @cached_property
    def _tokenizer_json(self):
        return tokenizer_json(self.model_bytes, self.prepare)

    # --- text to pieces

    def tokenize(self, text):
        """The pieces of `text`, without [CLS] and [SEP]."""
        tokens = []
        for _, part, special in self._parts(text):
            tokens += [part] if special else self._pieces(self.prepare(part))
        return tokens

    def tokenize_with_offsets(self, text):
        """tokenize(text), and for each token the span (start, end) of `text` it comes from.

        Spans leave out spaces; a lone "▁" has an empty span.  Pieces that come from one character
        (ﬁ, ½) all have its span.
        """
        tokens = []
        spans = []
        for start, part, special in self._parts(text):
            if special:
                tokens.append(part)
                spans.append((start, start + len(part)))
            else:
                prepared, sources = self.prepare.aligned(part)
                pieces = self._pieces(prepared)
                tokens += pieces
                spans += [(start + s, start + e) for s, e in self._spans(pieces, prepared, sources)]
        return tokens, spans

    def _parts(self, text):
        """Special tokens typed in `text` and the text between: [(start, part, is special), ...]."""
        parts = self._special.split(_checked(text))  # text, special, text, special, ..., text
        result = []
        start = 0
        for i, part in enumerate(parts):
            if i % 2:
                result.append((start, part if part in SPECIAL else part.lower(), True))
            elif i + 1 < len(parts) and parts[i + 1] == MASK:
                result.append((start, part.rstrip(), False))  # [MASK] takes the space before it
            else:
                result.append((start, part, False))
            start += len(part)
        return result

    def _pieces(self, prepared):
        """The unigram pieces of a prepared text, with commas cut off digits."""
        pieces = []
        for piece in self._sp.encode(prepared, out_type=str):
            pieces += self._cut_comma(piece) if ends_in_digit_comma(piece) else [piece]
        return pieces

    def _cut_comma(self, piece):
        """Segment digits anew, as a word, without the comma: "▁92000," -> "▁9", "2000", ","."""
        pieces = self._sp.encode(piece[:-1].replace(SPACE, ""), out_type=str)
        if not piece.startswith(SPACE) and self.prepare.style == "transformers":
            # The digits stood inside a word, so the space that SentencePiece puts in front is
            # removed again.  (Google's code compares str with bytes here, so on Python 3 it never
            # does.)
            pieces = [p for p in (pieces[0].removeprefix(SPACE), *pieces[1:]) if p]
        return [*pieces, ","]

    def _spans(self, pieces, prepared, sources):
        """The span of the original text behind each piece, by way of both preparations."""
        # character k of `normalized` begins at origin[k] of `prepared`; one more entry for the end
        normalized, origin = self._sp.normalize(prepared, with_offsets=True)
        spans = []
        k = 0
        for piece in pieces:
            letters = piece.lstrip(SPACE)
            while k < len(normalized) and normalized[k] == SPACE:
                k += 1
            if not letters:
                start = sources[origin[k]][0] if k < len(normalized) else sources[-1][1]
                spans.append((start, start))
                continue
            first = origin[k]
            k += len(letters)
            # the piece ends where the next character begins; those made of one character share
            # their origin
            end = next(
                (origin[j] for j in range(k, len(origin)) if origin[j] > origin[k - 1]),
                len(prepared),
            )
            spans.append((sources[first][0], sources[end - 1][1]))
        return spans

    def segmentations(self, text, count):
        """The best cuts of a text, [(pieces, score), ...], the best first.

        A score is the sum of the pieces' log-probabilities (Kudo 2018, §3.1).
        """
        prepared = self.prepare(text)
        return [
            (cut, float(sum(self._sp.get_score(self._sp.piece_to_id(piece)) for piece in cut)))
            for cut in self._sp.nbest_encode_as_pieces(prepared, count)
        ]

    def piece_log_probabilities(self):
        """The logarithm of each piece's probability in the vocabulary's unigram model: (V,)."""
        return np.array([self._sp.get_score(i) for i in range(self.vocab_size)])

    def encode_batch_ids(self, texts, special_tokens=True):
        """Ids of many texts, without [CLS] and [SEP]: [int32 array (n,), ...].

        Equal to tokenize, but much faster.  It runs on one thread; to use more cores, give each
        process its share (a tokenizer can be pickled).
        special_tokens: False takes a [MASK] or <unk> in a text for text, as google-research/albert
        does, so the only special id is <unk>, for characters that the vocabulary lacks.
        """
        texts = list(texts)
        encoded = self._sp.encode(
            [self.prepare(text) for text in texts], out_type=int, num_threads=1
        )
        flat = np.fromiter(chain.from_iterable(encoded), dtype=np.int32)  # (all ids,)
        ends = np.cumsum([len(ids) for ids in encoded], dtype=np.int64)  # (texts,)
        result = [flat[start:end] for start, end in zip([0, *ends.tolist()], ends.tolist())]
        careful = np.searchsorted(
            ends, np.flatnonzero(self._needs_care[flat]), side="right"
        ).tolist()
        if not special_tokens:
            for i in set(careful):
                result[i] = self._ids_of_text(texts[i])
            return result
        special = (
            i
            for i, text in enumerate(texts)
            if ("[" in text or "<" in text) and self._special.search(text)
        )
        for i in {*special, *careful}:
            result[i] = np.array(
                self.convert_tokens_to_ids(self.tokenize(texts[i])), dtype=np.int32
            )
        return result

    def _ids_of_text(self, text):
        """Ids (n,) of a text in which nothing is special; unknown characters may look like it."""
        ids = self.convert_tokens_to_ids(self._pieces(self.prepare(text)))
        special = set(self.all_special_ids)
        return np.array([self.unk_token_id if i in special else i for i in ids], dtype=np.int32)

    # --- pieces to ids to pieces to text

    @cached_property
    def _vocabulary(self):
        return [self._sp.id_to_piece(i) for i in range(self.vocab_size)]

    @cached_property
    def _needs_care(self):
        """(V,) bool: ids whose text the slow path has to look at."""
        return np.array([ends_in_digit_comma(p) or p == UNK for p in self._vocabulary])

    @cached_property
    def word_starts(self):
        """(V,) bool: this piece starts a word, for whole-word masking; special tokens do."""
        return np.array([piece in SPECIAL or starts_word(piece) for piece in self._vocabulary])

    def has_piece(self, piece):
        """Whether the vocabulary has this very piece, "▁" for the space before a word."""
        return self._vocabulary[self._sp.piece_to_id(piece)] == piece

    def get_vocab(self):
        """{piece: id} of the whole vocabulary."""
        return {piece: i for i, piece in enumerate(self._vocabulary)}

    def convert_tokens_to_ids(self, tokens):
        """Ids of pieces (or the id of one); an unknown piece has the id of <unk>."""
        if isinstance(tokens, str):
            return self._sp.piece_to_id(tokens)
        if not isinstance(tokens, Iterable) or not all(isinstance(t, str) for t in tokens):
            raise UserError(f"tokens is {tokens!r}; expected a piece, or a list of them")
        return [self._sp.piece_to_id(token) for token in tokens]

    def convert_ids_to_tokens(self, ids):
        """Pieces of ids (or the piece of one)."""
        given = ids.tolist() if hasattr(ids, "tolist") else ids
        several = isinstance(given, (list, tuple, range))
        flat = given if several else [given]
        for i in flat:
            if np.ndim(i):
                raise UserError("got rows of ids; expected one row at a time (or batch_decode)")
            if not is_whole(i) or not 0 <= i < self.vocab_size:
                raise UserError(
                    f"token id {i!r} is outside the vocabulary; expected whole numbers from 0 to "
                    f"{self.vocab_size - 1} (are the ids another tokenizer's?)"
                )
        tokens = [self._vocabulary[i] for i in flat]
        return tokens if several else tokens[0]

    def convert_tokens_to_string(self, tokens):
        """Pieces joined to text, "▁" as space.

        As in transformers, a special token has no space before it.
        """
        text = ""
        run = []  # pieces since the last special token
        after_special = False
        for token in tokens:
            if token in SPECIAL:
                text += ("" if after_special else " ") + self._sp.decode(run) + token
                run = []
            else:
                run.append(token)
            after_special = token in SPECIAL
        return (text + self._sp.decode(run)).strip()

    def decode(self, ids, skip_special_tokens=False):
        """The text of ids (or of one id)."""
        tokens = self.convert_ids_to_tokens(ids)
        tokens = [tokens] if isinstance(tokens, str) else tokens
        return self.convert_tokens_to_string(
            [t for t in tokens if not (skip_special_tokens and t in SPECIAL)]
        )

    def batch_decode(self, sequences, skip_special_tokens=False):
        """The texts of many rows of ids."""
        if not isinstance(sequences, Iterable) or isinstance(sequences, (str, bytes)):
            raise UserError(f"sequences is {sequences!r}; expected rows of ids")
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    def normalize(self, text):
        """`text` as the vocabulary sees it.

        This is what decode(encode(text)) gives if no piece is unknown or special.
        """
        return self._sp.normalize(self.prepare(text)).replace(SPACE, " ").strip()

    # --- ids as a model takes them

    def __call__(self, text, text_pair=None, **options):
        """Encode a text or a list of texts with [CLS] and [SEP]: an Encoding.

        `text_pair` is likewise a text or a list of texts.

        Options, with transformers' meaning:
        padding: True or "longest", or "max_length".
        padding_side: "left" or "right", the tokenizer's own if None.
        pad_to_multiple_of: a number that padded lengths are a multiple of.
        truncation: True or "longest_first" (the longer of the pair is cut), "only_first",
        "only_second".
        max_length: counts special tokens; model_max_length if None.
        is_split_into_words: a text is a list of words; offsets count inside each word.
        return_overflowing_tokens: what is cut off becomes further rows, each repeating the last
        `stride` pieces of the one before; overflow_to_sample_mapping says whose they are.
        return_offsets_mapping, return_special_tokens_mask, add_special_tokens: booleans.
        return_tensors="np": int32 arrays (B, T) instead of lists.
        """
        return encode(self, text, text_pair, **options)

    def encode(self, text, text_pair=None, **options):
        """Ids of one text or pair with [CLS] and [SEP]; options as in calling the tokenizer."""
        return self(text, text_pair, **options)["input_ids"]

    def segment(self, text, is_split_into_words, with_offsets):
        """[(id, span, index of its word), ...] of a text, or of a list of words."""
        if is_split_into_words and not isinstance(text, (list, tuple)):
            raise UserError(f"got {text!r} with is_split_into_words=True; expected a list of words")
        result = []
        word = -1
        for index, part in enumerate(text if is_split_into_words else [text]):
            if with_offsets:
                tokens, spans = self.tokenize_with_offsets(part)
            else:
                tokens = self.tokenize(part)
                spans = [(0, 0)] * len(tokens)
            for token, i, span in zip(tokens, self.convert_tokens_to_ids(tokens), spans):
                if is_split_into_words:
                    word = index
                elif token in SPECIAL or token.startswith(SPACE):
                    word += 1
                result.append((i, span, word))
        return result


# --- files ----------------------------------------------------------------------------------------


def _read(path):
    try:
        check_fetched(path)
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} can't be read ({error.strerror}); expected a SentencePiece model"
        ) from None


def has_tokenizer(folder):
    """Whether a folder holds a tokenizer, ours or transformers'."""
    return any((Path(folder) / name).is_file() for name in ("spiece.model", "tokenizer.json"))


def _read_vocabulary(folder):
    """(SentencePiece model, settings that tokenizer.json tells, {added token: id}) of a folder."""
    if (folder / "spiece.model").is_file():
        return folder / "spiece.model", {}, {}
    if (folder / "tokenizer.json").is_file():
        return from_tokenizer_json(folder / "tokenizer.json")
    if not folder.exists():
        raise UserError(
            f"there is no folder {folder}; expected one with an ALBERT tokenizer (nothing is "
            "downloaded: get the files first)"
        )
    if (folder / "vocab.txt").is_file():
        raise UserError(
            f"{folder / 'vocab.txt'} is a WordPiece vocabulary; expected spiece.model, as ALBERT's"
            + WORD_PIECE
        )
    raise UserError(
        f"{folder} has no spiece.model or tokenizer.json; expected a folder with an ALBERT "
        "tokenizer (nothing is downloaded: get the files first)"
    )
