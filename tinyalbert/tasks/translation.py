"""Translation: a small decoder writes the text in another language.

What it writes are pieces of a vocabulary that is learned from the training translations and kept in
the model's folder, under target/.  The best checkpoint is the one with the highest BLEU on at most
250 of the held-out sentences.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..decoder import AlbertForTranslation, DecoderConfig
from ..errors import UserError
from ..files.writing import replacing
from ..generation import beam_search, greedy_search
from ..options import COUNT, LENGTH, SHARE, option
from ..text.tokenizer import AlbertTokenizer
from .fields import is_written_as_table
from .metrics import words
from .options import TaskSettings
from .report import nothing_told_apart
from .sentence_pairs import SentencePair, read_pairs
from .tables import write_table
from .task import Task

TARGET = "target"  # the folder with the second vocabulary, inside that of the model


@dataclass(frozen=True, kw_only=True)
class TranslationSettings(TaskSettings):
    """The decoder, and how it writes."""

    source_column: str = option(None, "column of the texts (default: the first)", metavar="NAME")
    target_column: str = option(
        None, "column of their translations (default: the second)", metavar="NAME"
    )
    target_vocab_size: int = option(4000, "pieces of the target's vocabulary", check=COUNT)
    target_length: int = option(128, "most pieces of a translation", check=LENGTH)
    decoder_layers: int = option(2, "layers of the decoder", check=COUNT)
    decoder_size: int = option(None, "its width (default: the encoder's)", check=COUNT)
    decoder_dropout: float = option(0.1, "of the decoder", check=SHARE)
    label_smoothing: float = option(0.1, "share of the target on all pieces", check=SHARE)
    freeze_encoder: bool = option(False, "train the decoder alone")
    beams: int = option(1, "width of the beam search (default: 1, greedy)", check=COUNT)
    length_penalty: float = option(0.6, "alpha of GNMT's: 0 prefers short texts", check=SHARE)


class Translation(Task):
    """An example is a SentencePair, a prediction a text."""

    name = "translation"
    pipeline = "translation"
    model_class = AlbertForTranslation
    metric = "bleu"
    Settings = TranslationSettings
    long = ("truncate", "error")  # a text is translated at once, not in windows
    recipes = {"laptop": {"epochs": 10.0, "batch_size": 64}, "paper": {}}
    predictions = "predictions.txt"
    judged = 250

    target = None  # the tokenizer of the other language

    def read(self, source, split):
        columns = (self.settings.source_column, self.settings.target_column)
        return read_pairs(source, split, self.bad_rows, columns, self.seed, self.say)

    # --- the second vocabulary --------------------------------------------------------------------

    def fit(self, examples):
        sacrebleu()  # that it is missing is said before the training, not after it
        texts = [example.target for example in examples]
        if self.target is None:
            self.target = learn_vocabulary(texts, self.settings.target_vocab_size)
        longest = self.settings.target_length - 1
        long = sum(len(ids) > longest for ids in self.target.encode_batch_ids(texts))
        if long:
            self.say(
                f"{long:,} of {len(texts):,} translations are longer than {longest} pieces and "
                "were cut; to keep all of them: --target-length"
            )

    def describe(self):
        return f"translations are written with {self.target.vocab_size:,} pieces"

    def configure(self, config):
        settings = self.settings
        size = settings.decoder_size or config.hidden_size
        head = config.hidden_size // config.num_attention_heads
        decoder = DecoderConfig(
            vocab_size=self.target.vocab_size,
            hidden_size=size,
            num_hidden_layers=settings.decoder_layers,
            num_attention_heads=max(1, size // head),
            intermediate_size=4 * size,
            max_position_embeddings=settings.target_length,
            dropout=settings.decoder_dropout,
            label_smoothing=settings.label_smoothing,
            freeze_encoder=settings.freeze_encoder,
            begin_token_id=self.target.cls_token_id,
            end_token_id=self.target.sep_token_id,
        )
        return decoder.kept_in(config)

    def save(self, folder):
        self.target.save_pretrained(Path(folder) / TARGET)

    def load(self, folder):
        if not (Path(folder) / TARGET).is_dir():
            raise UserError(
                f"{folder} has no vocabulary of another language ({TARGET}/); expected a folder "
                "that was fine-tuned for translation"
            )
        self.target = AlbertTokenizer.from_pretrained(Path(folder) / TARGET)

    def learning_rate(self, config):
        """Higher than for other tasks, since the decoder starts from nothing.

        Found by trial at widths 64 and 128.  A wide encoder that is trained along would forget what
        it knows.
        """
        if config.hidden_size < 512:
            return min(3e-3, 0.25 / config.hidden_size)
        return 5e-4 if self.settings.freeze_encoder else 1e-4

    # --- texts to rows to texts -------------------------------------------------------------------

    def encode(self, example, encoder):
        [row] = encoder(example.source, None, example.where)
        if example.target is None:
            return [row]
        ids = self.target.encode_batch_ids([example.target])[0]
        ids = [*ids, self.target.sep_token_id][: self.settings.target_length]
        return [{**row, "labels": np.array(ids, dtype=np.int32)}]

    def infer(self, model, batch):
        """The ids of each translation; it is at most twice as long as its source, and 10 more."""
        decoder = model.decoder_config
        lengths = batch["attention_mask"].sum(axis=1)
        limits = np.minimum(2 * lengths + 10, decoder.max_position_embeddings).tolist()
        what = (model.write(**batch), limits, decoder.begin_token_id, decoder.end_token_id)
        if self.settings.beams == 1:
            return greedy_search(*what)
        return beam_search(*what, self.settings.beams, self.settings.length_penalty)

    def decode(self, example, rows, outputs):
        if self.target is None:
            raise UserError("a loaded model has no vocabulary of its translations; pass its folder")
        return self.target.decode(outputs[0], skip_special_tokens=True)

    # --- how good they are ------------------------------------------------------------------------

    def score(self, examples, predictions):
        """BLEU and chrF from 0 to 100, and the share of translations equal to the right one."""
        right = [example.target for example in examples]
        scores = {name: value.score for name, (value, _) in scored(predictions, right).items()}
        return {**scores, "exact": float(np.mean([a == b for a, b in zip(right, predictions)]))}

    def baselines(self, train, held_out):
        """The sources as they are, and the translation of the most similar training text."""
        said = {
            "copied source": [example.source for example in held_out],
            "nearest translation": nearest_translations(train, held_out),
        }
        return {name: self.score(held_out, texts)[self.metric] for name, texts in said.items()}

    def confusion(self, examples, predictions):
        """The signatures, which say how the scores are computed, and three translations."""
        right = [example.target for example in examples]
        lines = [
            f"{name:7s}{signature}" for name, (_, signature) in scored(predictions, right).items()
        ]
        for i in range(0, len(examples), max(1, len(examples) // 3))[:3]:
            lines += ["", examples[i].source, f"  said   {predictions[i]}", f"  right  {right[i]}"]
        alike = nothing_told_apart(predictions, right, "translation")
        lines += ["", alike] if alike else []
        return "\n".join(lines)

    def write(self, path, examples, predictions):
        """One translation a line; in a table or JSON lines beside its source and what is right."""
        if is_written_as_table(path):
            records = [
                {"index": i, "prediction": said, "source": example.source, "target": example.target}
                for i, (example, said) in enumerate(zip(examples, predictions))
            ]
            if any(example.target is None for example in examples):
                records = [{k: v for k, v in each.items() if k != "target"} for each in records]
            write_table(path, records)
            return
        with replacing(path, text=True) as file:
            file.write("".join(f"{text}\n" for text in predictions))

    def example(self, given):
        return SentencePair(given, None, "")

    def answer(self, prediction):
        return {"translation_text": prediction}


def learn_vocabulary(texts, size):
    """A tokenizer for these texts that can write all of their characters, capitals and accents.

    size: its pieces; fewer if the texts do not support as many.
    """
    how = {"character_coverage": 1.0, "keep_accents": True, "do_lower_case": False}
    try:
        return AlbertTokenizer.train(texts, size, **how)
    except UserError as problem:
        largest = getattr(problem, "largest", None)
        if largest is None:
            raise
        return AlbertTokenizer.train(texts, largest, **how)


def sacrebleu():
    """The library that scores translations."""
    try:
        import sacrebleu
    except ImportError:
        raise UserError(
            "translations are scored with sacrebleu, which is not installed: "
            "pip install 'tinyalbert[translation]'"
        ) from None
    return sacrebleu


def scored(predictions, right):
    """{"bleu", "chrf": (score, signature)} of texts as they are, not tokenised."""
    metrics = sacrebleu().metrics
    return {
        name: (metric.corpus_score(predictions, [right]), metric.get_signature())
        for name, metric in (("bleu", metrics.BLEU()), ("chrf", metrics.CHRF()))
    }


def nearest_translations(train, held_out):
    """For each held-out text, the translation of the training text that shares most of its words.

    Rare words count more (by -log of the share of texts that have them), long texts less.
    """
    having = {}  # word: the training texts with it
    for i, example in enumerate(train):
        for word in set(words(example.source)):
            having.setdefault(word, []).append(i)
    having = {word: np.array(places) for word, places in having.items()}
    weights = {word: np.log(len(train) / len(places)) ** 2 for word, places in having.items()}
    lengths = np.zeros(len(train))
    for word, places in having.items():
        lengths[places] += weights[word]
    lengths = np.sqrt(lengths) + 1e-9
    said = []
    for example in held_out:
        shared = np.zeros(len(train))
        for word in set(words(example.source)) & having.keys():
            shared[having[word]] += weights[word]
        said.append(train[int((shared / lengths).argmax())].target)
    return said
