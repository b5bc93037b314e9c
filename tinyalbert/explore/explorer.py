"""The folder that the page looks into, and the text that it is asked about."""

import threading
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files.checkpoint import read_config
from ..heads import AlbertForPreTraining
from ..modes import no_grad
from ..pipelines import pipeline
from ..tasks.inference import check_fits, task_of
from ..tasks.registry import ARCHITECTURES
from ..text.tokenizer import AlbertTokenizer
from ..text.vocabulary import SPECIAL

QUICKSTART = Path("quickstart", "model")  # what scripts/quickstart.py leaves
LONGEST_TEXT = 20_000  # characters; more than any model here has positions for


@dataclass(frozen=True)
class Reading:
    """A text, or a pair, as the model reads it.

    ids (T,) with [MASK] at `masked`; written (T,) without; types (T,); spans [(start, end), ...] of
    the text that each piece is part of.  cut: whether the text went on.
    """

    ids: np.ndarray
    written: np.ndarray
    types: np.ndarray
    spans: tuple
    masked: tuple
    cut: bool

    def __len__(self):
        return len(self.ids)

    def first(self, tokens):
        """The first so many tokens."""
        return replace(
            self,
            ids=self.ids[:tokens],
            written=self.written[:tokens],
            types=self.types[:tokens],
            spans=self.spans[:tokens],
            masked=tuple(place for place in self.masked if place < tokens),
        )

    def inputs(self):
        """The model's inputs, a batch of one."""
        return {"input_ids": self.ids[None], "token_type_ids": self.types[None]}


class Explorer:
    """A pretrained or fine-tuned folder, opened to be looked into.

    model: an AlbertForPreTraining, whatever the folder was trained for; `has_words` and `has_order`
    say which of its heads the folder holds.  One question is answered at a time.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.lock = threading.RLock()
        self._load()

    def _load(self):
        self._stamp = self._written_at()
        self.tokenizer = AlbertTokenizer.from_pretrained(self.folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # missing heads are told on the page
            self.model = AlbertForPreTraining.from_pretrained(self.folder).eval()
        check_fits(self.tokenizer, self.model.config, self.folder)
        missing = self.model.restore_report.missing
        self.has_words = not any(name.startswith("predictions.") for name in missing)
        self.has_pooler = not any(name.startswith("albert.pooler") for name in missing)
        self.has_order = (
            self.has_pooler
            and self.model.config.sentence_task != "none"
            and not any(name.startswith("sop_classifier.") for name in missing)
        )
        self.kept = {}  # what views compute once for a model
        self.__dict__.pop("task", None)  # it is opened again when it is asked for

    @cached_property
    def task(self):
        """The pipeline of a fine-tuned folder; None for a pretrained one."""
        if not self._is_finetuned():
            return None
        Task, _ = task_of(self.folder)
        return pipeline(Task.name, self.folder)

    def _is_finetuned(self):
        extra = read_config(self.folder).extra
        made = set(extra.get("architectures") or ())
        if made & {"AlbertForPreTraining", "AlbertForMaskedLM"}:
            return False
        return "finetuning_task" in extra or bool(made & ARCHITECTURES.keys())

    def refresh(self):
        """Read the folder again if its weights were written since; says whether it did."""
        with self.lock:
            if self._written_at() == self._stamp:
                return False
            self._load()
            return True

    def _written_at(self):
        """Times of the files that hold the model."""
        names = ("config.json", "model.safetensors", "pytorch_model.bin", "spiece.model")
        return [
            (self.folder / name).stat().st_mtime_ns
            for name in names
            if (self.folder / name).exists()
        ]

    def states(self, reading):
        """The states of a reading before the first pass and after each: (L + 1, T, H).

        Those of the last reading are kept, since several views ask for them.
        """
        asked = (reading.ids.tobytes(), reading.types.tobytes())
        if self.kept.get("read") != asked:
            with no_grad():
                out = self.model.albert(**reading.inputs(), output_hidden_states=True)
            self.kept["states"] = np.stack([state.numpy()[0] for state in out.hidden_states])
            self.kept["read"] = asked
        return self.kept["states"]

    @property
    def longest(self):
        """Tokens that the model has positions for."""
        return min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)

    def read(self, text, pair=None, masked=()):
        """The Reading of a text or a pair, with the pieces at the places `masked` hidden."""
        for name, value in (("text", text), ("pair", pair)):
            if value is not None and not isinstance(value, str):
                raise UserError(f"{name} is {value!r:.40}; expected a text")
        if not text.strip():
            raise UserError("there is no text yet; type a sentence")
        if max(len(text), len(pair or "")) > LONGEST_TEXT:
            raise UserError(
                f"the text has {len(text):,} characters; expected at most {LONGEST_TEXT:,}"
            )
        options = {"return_offsets_mapping": True}
        given = (text, pair) if pair and pair.strip() else (text,)
        whole = self.tokenizer(*given, **options)
        size = len(whole["input_ids"])
        encoded = whole
        if size > self.longest:
            encoded = self.tokenizer(*given, truncation=True, max_length=self.longest, **options)
        written = np.array(encoded["input_ids"], dtype=np.int32)
        ids = written.copy()
        ids[self._places(masked, written)] = self.tokenizer.mask_token_id
        return Reading(
            ids,
            written,
            np.array(encoded["token_type_ids"], dtype=np.int32),
            tuple(encoded["offset_mapping"]),
            tuple(np.flatnonzero(ids == self.tokenizer.mask_token_id).tolist()),
            size > self.longest,
        )

    def _places(self, masked, written):
        """The places to mask, checked: numbers of pieces that are not special."""
        places = []
        for place in masked:
            if isinstance(place, bool) or not isinstance(place, int):
                raise UserError(f"masked has {place!r}; expected numbers of pieces")
            if not 0 <= place < len(written):
                continue  # the text has become shorter since the click
            if self.piece(written[place]) not in SPECIAL:
                places.append(place)
        return places

    def piece(self, i):
        """The piece of an id; rows that pad a vocabulary have none."""
        if i >= self.tokenizer.vocab_size:
            return f"<{i}>"
        return self.tokenizer.convert_ids_to_tokens(int(i))

    def pieces(self, ids):
        """The pieces of ids, a list."""
        return [self.piece(i) for i in ids]


def folder_to_explore(given=None):
    """The folder that is given, or the quickstart's; a UserError says how to get one."""
    if given is None and not QUICKSTART.is_dir():
        raise UserError(
            f"no folder was given, and there is no {QUICKSTART} here; make one with `python3 "
            "scripts/quickstart.py`, or with `tinyalbert pretrain stories:4000 --preset tiny "
            "--minutes 1 --output runs/stories`, then: tinyalbert explore runs/stories"
        )
    folder = Path(given or QUICKSTART)
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}; expected a pretrained or fine-tuned one, such as the "
            "--output of `tinyalbert pretrain`"
        )
    return folder
