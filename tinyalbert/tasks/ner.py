"""Tagging: named entities, or another label for each word, such as its part of speech.

The pieces of a word are read by the model, its first one is labelled (Devlin et al. 2019, section
5.3); whether there are entities to be found, or labels of words, is told by the training data.
"""

from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from .. import ops
from ..errors import UserError
from ..heads import IGNORE, AlbertForTokenClassification
from ..options import COUNT, TEXT, WHOLE, Many, OneOf, option
from ..stories.tasks import story_rows
from ..text.rows import RowEncoder
from ..text.vocabulary import SPACE
from .aggregation import STRATEGIES, Piece, aggregate_windows, follows_a_letter
from .baselines import has_sklearn
from .conll import (
    Sentence,
    from_text,
    read_sentences,
    write_columns,
    write_json_lines,
    write_word_table,
)
from .entities import (
    LABELS,
    Counts,
    count_entities,
    entities,
    scheme_of,
    split_tag,
    strict_entities,
    tags_of,
)
from .fields import TABLES
from .linear_tagger import tags_by_linear_tagger
from .lookup import commonest_tags, known_entities
from .options import TaskSettings, encoding_option
from .report import nothing_told_apart
from .task import Task
from .text_files import ending
from .texts import is_text

EMPTY = "<unk>"  # what the model reads in place of a word without pieces, such as U+200B


@dataclass(frozen=True, kw_only=True)
class NerSettings(TaskSettings):
    """What tagging may be told."""

    word_column: int = option(None, "column of the words (default: the first)", check=COUNT)
    tag_column: int = option(None, "column of the tags (default: the last)", check=COUNT)
    encoding: str = encoding_option()
    pieces: str = option(
        "first",
        "pieces of a word that are trained: the first, or all (those inside have I- tags)",
        check=OneOf("first", "all"),
    )
    aggregation_strategy: str = option(
        "none", "how the pipeline joins pieces, as in transformers", check=OneOf(*STRATEGIES)
    )
    stride: int = option(
        None,
        "tokens that windows of the pipeline share, as in transformers (default: it reads long "
        "texts as the task does)",
        check=WHOLE,
    )
    ignore_labels: tuple = option(
        ("O",), "labels that the pipeline leaves out (default: O)", check=Many(TEXT)
    )


class Window(NamedTuple):
    """What is known of a row: the number of its first piece, its Tokens, their pieces."""

    first: int
    tokens: list
    pieces: list


class Read(NamedTuple):
    """The pieces of a text, or of a window, with what the model says of them."""

    tokens: list  # of Token, those of the template left out
    pieces: list  # of str
    scores: np.ndarray  # (pieces, L): the probability of each label


@dataclass
class Tagged:
    """The prediction for a sentence: its pieces with their scores, and its tags.

    A word that was cut off has the tag O.
    """

    sentence: Sentence
    read: list  # of Read: one, or the windows that are answered apart
    tags: list  # one for each word
    cut: set  # the words that the model has not read


class Ner(Task):
    """Examples are conll.Sentence, predictions Tagged."""

    name = "ner"
    pipeline = "token-classification"
    model_class = AlbertForTokenClassification
    metric = "f1"
    Settings = NerSettings
    predictions = "predictions.conll"
    recipes = {
        "laptop": {"long": "windows"},
        # the paper has no tagging; as BERT was fine-tuned for it (Devlin et al. 2019, appendix A.3)
        "paper": {"lr": 5e-5, "batch_size": 32, "epochs": 4.0, "warmup": 0.1, "max_length": 128},
    }

    def __init__(self, settings=None, seed=0, say=lambda line: None):
        super().__init__(settings, seed, say)
        self.finds_entities = None  # or labels words; found out by reading or restoring

    # --- reading

    def read(self, source, split):
        sentences = self._sentences(source, split)
        scheme = scheme_of([sentence.given for sentence in sentences if sentence.given])
        for sentence in sentences:
            sentence.scheme = scheme
        if split == "predict":
            return sentences
        self._check_kind(scheme, source, split)
        return self._with_tags(sentences, source, scheme)

    def _sentences(self, source, split):
        """The sentences of a source, with the tags as they are given."""
        if str(source).startswith("stories:"):
            rows = story_rows(source, "tagging", self.seed, "train" if split == "train" else "test")
            return [
                Sentence(row["tokens"], row["tags"], source, [i] * len(row["tokens"]), unit="row")
                for i, row in enumerate(rows, 1)
            ]
        if split == "predict" and is_text(source):
            return [from_text(source, "the text", 1)]
        settings = self.settings
        return read_sentences(
            source,
            self.bad_rows,
            settings.word_column,
            settings.tag_column,
            settings.encoding,
            split != "predict",
            self.say,
        )

    def _check_kind(self, scheme, source, split):
        """Refuse labels of words where entities are to be found, and the other way round."""
        if scheme is None and split == "train" and self.finds_entities is None:
            raise UserError(f"{source}: every tag is O; expected entities, such as B-PER, to learn")
        finds = self.finds_entities if scheme is None else scheme != LABELS
        if self.finds_entities not in (None, finds):
            kinds = ("labels of words", "entities (B-PER, I-PER, O)")
            raise UserError(
                f"{source} has {kinds[finds]}; expected {kinds[not finds]}, as in training. Is it "
                "the right column? (--tag-column)"
            )
        self.finds_entities = bool(finds)

    def _with_tags(self, sentences, source, scheme):
        """The sentences whose tags are in the scheme, their tags in IOB2; says what they are."""
        kept = []
        for sentence in sentences:
            with self.bad_rows.skipping():
                sentence.tags = self._target(sentence)
                kept.append(sentence)
        words = sum(len(sentence.words) for sentence in kept)
        said = f"{source}: {len(kept):,} sentences, {words:,} words"
        if not self.finds_entities:
            self.say(f"{said}, a label for each")
            return kept
        found = [entity for sentence in kept for entity in entities(sentence.tags)]
        self.say(f"{said}, {len(found):,} entities, tagged {scheme}")
        self._say_irregular(kept, source, scheme)
        lost = sum(len(sentence.unaligned) for sentence in kept)
        if lost:
            self.say(
                f"{source}: {lost:,} of {lost + len(found):,} entities begin or end inside a word; "
                "they can't be learned, and count as missed"
            )
        return kept

    def _target(self, sentence):
        """What is to be learned of a sentence: IOB2 tags, or its labels."""
        if not self.finds_entities:
            return sentence.given
        for place, tag in enumerate(sentence.given):
            if split_tag(tag)[0] is None:
                raise UserError(
                    f"{sentence.where(place)}: the tag {tag!r} is in no scheme; expected O, or a "
                    "type behind B-, I-, E- or S-, such as B-PER"
                )
        return tags_of(entities(sentence.given), len(sentence.words))

    def _say_irregular(self, sentences, source, scheme):
        """Say how many entities begin with I in a file where B begins them."""
        if scheme != "IOB2":
            return
        irregular = sum(
            sentence.given[entity.start].startswith("I-")
            for sentence in sentences
            for entity in entities(sentence.given)
        )
        if irregular:
            self.say(f"{source}: {irregular:,} entities begin with I-; they are read as conlleval")

    # --- what is learned

    def kinds(self, example):
        return example.tags

    def fit(self, examples):
        used = {tag for example in examples for tag in example.tags}
        if not self.finds_entities:
            self._know(sorted(used))
            return
        types = sorted({split_tag(tag)[1] for tag in used - {"O"}})
        self._know(["O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")])

    def _know(self, labels):
        self.labels = labels
        self.ids = {label: i for i, label in enumerate(labels)}
        self.metric = "f1" if self.finds_entities else "accuracy"
        self.scheme = scheme_of([labels])  # of what the model says

    def describe(self):
        if not self.finds_entities:
            return f"{len(self.labels)} labels of words"
        return f"entities of the types {', '.join(self._types())}"

    def _types(self):
        return sorted({split_tag(label)[1] for label in self.labels if label != "O"})

    def configure(self, config):
        return config.with_labels(self.labels)

    def restore(self, config):
        labels = [config.id2label[i] for i in range(config.num_labels)]
        self.finds_entities = scheme_of([labels]) not in (None, LABELS)
        self._know(labels)

    # --- rows

    def encode(self, example, encoder):
        if example.words is None:
            text = example.text
        else:
            text = [_readable(word, encoder.tokenizer) for word in example.words]
        if example.stride is not None:
            encoder = RowEncoder(encoder.tokenizer, encoder.max_length, "windows", example.stride)
        rows = encoder(text, None, example.where(), tokens=True)
        for first, row in zip(encoder.window_starts(rows), rows):
            pieces = encoder.tokenizer.convert_ids_to_tokens(row["input_ids"])
            row["about"] = Window(first, row["about"], pieces)
        if example.tags is not None:
            self._label(rows, example.tags)
        return rows

    def _label(self, rows, tags):
        """Give rows the labels of the first pieces of words, or of all pieces."""
        first = {}  # of each word: the number of its first piece
        for row in rows:
            start, tokens, _ = row["about"]
            row["labels"] = np.full(len(tokens), IGNORE, dtype=np.int32)
            for place, token in enumerate(tokens):
                if token.word is None:
                    continue
                tag = tags[token.word]
                if first.setdefault(token.word, start + place) != start + place:
                    if self.settings.pieces == "first":
                        continue
                    tag = self._inside(tag)
                row["labels"][place] = self.ids.get(tag, IGNORE)

    def _inside(self, tag):
        """The tag of the pieces of a word behind the first one."""
        return f"I-{tag[2:]}" if self.finds_entities and tag != "O" else tag

    def decode(self, example, rows, outputs):
        """Each piece is taken from the window in which it has most context, each word's tag from
        its first piece.  With a stride the windows are kept apart.
        """
        whole = self._stitched(rows, outputs)
        tags, cut = self._word_tags(example, whole.tokens, whole.scores)
        read = [whole]
        if example.stride is not None:
            read = [self._stitched([row], [output]) for row, output in zip(rows, outputs)]
        return Tagged(example, read, tags, cut)

    def _stitched(self, rows, outputs):
        """A Read of all windows, each piece with the most of its context."""
        best = {}  # number of a piece: (its context, ...)
        for row, logits in zip(rows, outputs):
            first, tokens, pieces = row["about"]
            for place, token in enumerate(tokens):
                context = min(place, len(tokens) - 1 - place)
                held = best.get(first + place)
                if token.word is not None and (held is None or context > held[0]):
                    best[first + place] = (context, token, pieces[place], logits[place])
        chosen = [best[number] for number in sorted(best)]
        tokens = [each[1] for each in chosen]
        logits = np.array([each[3] for each in chosen], dtype=np.float32)
        scores = ops.softmax.raw(logits.reshape(-1, len(self.labels)))[0]
        return Read(tokens, [each[2] for each in chosen], scores)

    def _word_tags(self, example, tokens, scores):
        """(a tag for each word, the words that have no piece)."""
        if example.words is None:
            return [], set()
        tags = [None] * len(example.words)
        for token, label in zip(reversed(tokens), reversed(scores.argmax(axis=1).tolist())):
            tags[token.word] = self.labels[label]
        cut = {place for place, tag in enumerate(tags) if tag is None}
        nothing = "O" if "O" in self.ids else self.labels[0]
        return [nothing if tag is None else tag for tag in tags], cut

    # --- scores

    def score(self, examples, predictions):
        return self._metrics(examples, [prediction.tags for prediction in predictions])

    def _metrics(self, examples, said):
        """{metric: value} of predicted tags, a list for each example."""
        gold = [example.tags for example in examples]
        if not self.finds_entities:
            whole = [right == tags for right, tags in zip(gold, said)]
            return {"accuracy": _accuracy(gold, said), "whole_sentences": float(np.mean(whole))}
        counts = self._counts(examples, said)[1]
        strict = self._strict_counts(examples, said)
        if self.scheme != "IOB2":
            said = [tags_of(entities(tags), len(tags)) for tags in said]
        return {
            "f1": counts.f1,
            "precision": counts.precision,
            "recall": counts.recall,
            "strict_f1": strict.f1,
            "strict_precision": strict.precision,
            "strict_recall": strict.recall,
            "accuracy": _accuracy(gold, said),
        }

    def _counts(self, examples, said):
        """Counts of each type and of all, as conlleval.

        Entities that no words make up count as missed.
        """
        counts, every = count_entities(
            [entities(example.tags) for example in examples], [entities(tags) for tags in said]
        )
        for example in examples:
            for kind in example.unaligned:
                counts.setdefault(kind, Counts()).gold += 1
                every.gold += 1
        return dict(sorted(counts.items())), every

    def _strict_counts(self, examples, said):
        """Counts of all well-formed entities, as seqeval with mode="strict"."""
        scheme = "IOB2" if self.scheme in ("IOB1", "IOB2") else "BIOES"
        every = count_entities(
            [strict_entities(example.tags) for example in examples],
            [strict_entities(tags, scheme) for tags in said],
        )[1]
        every.gold += sum(len(example.unaligned) for example in examples)
        return every

    def baselines(self, train, held_out):
        """Tags that training has for a word; for entities also the longest that are known; and a
        linear tagger, if scikit-learn is there.
        """
        seen = [(example.words, example.tags) for example in train]
        words = [example.words for example in held_out]
        said = {
            "most frequent tag": commonest_tags(seen, words, "O" if self.finds_entities else None)
        }
        if self.finds_entities:
            said["known entities"] = known_entities(seen, words)
        if has_sklearn():
            said["linear tagger"] = tags_by_linear_tagger(seen, words)
        else:
            self.say("a stronger baseline needs scikit-learn: pip install 'tinyalbert[baselines]'")
        return {name: self._metrics(held_out, tags)[self.metric] for name, tags in said.items()}

    def confusion(self, examples, predictions):
        """For entities the scores of each type, for labels the commonest confusions."""
        right = [example.tags for example in examples]
        said = [prediction.tags for prediction in predictions]
        alike = nothing_told_apart(list(chain(*said)), list(chain(*right)), "predicted tag")
        if self.finds_entities:
            counts, every = self._counts(examples, said)
            lines = [_table(counts, every), *self._notes(examples, predictions, counts)]
        else:
            lines = [_confusions(right, said)]
        return "\n".join(line for line in [*lines, alike] if line)

    def _notes(self, examples, predictions, counts):
        """What the table does not show: why some entities could not be found."""
        cut = sum(
            bool(prediction.cut.intersection(range(start, end)))
            for example, prediction in zip(examples, predictions)
            for _, start, end in entities(example.tags)
        )
        if cut:
            yield f"{cut:,} entities have words that were cut off; they count as missed"
        inside = sum(len(example.unaligned) for example in examples)
        if inside:
            yield f"{inside:,} entities begin or end inside a word; they count as missed"
        unknown = [kind for kind in counts if kind not in self._types()]
        if unknown:
            number = sum(counts[kind].gold for kind in unknown)
            yield f"{number:,} entities are of types that training had not: {', '.join(unknown)}"

    def write(self, path, examples, predictions):
        """Columns that conlleval reads, in the scheme of the examples; .jsonl: with spans; .tsv or
        .csv: a table with a header.
        """
        said = [self._as_given(each, found.tags) for each, found in zip(examples, predictions)]
        if str(path).endswith((".jsonl", ".json")):
            write_json_lines(path, examples, said, [self._found(each.tags) for each in predictions])
        elif ending(path) in TABLES:
            write_word_table(path, examples, said)
        else:
            write_columns(path, examples, said)

    def _as_given(self, example, tags):
        """Predicted tags in the scheme of an example's file."""
        scheme = example.scheme or "IOB2"
        if not self.finds_entities or scheme in (LABELS, self.scheme):
            return tags
        return tags_of(entities(tags), len(tags), scheme)

    def _found(self, tags):
        return entities(tags) if self.finds_entities else []

    # --- the pipeline

    def call(self, inputs, *, is_split_into_words=False, delimiter=" ", stride=None, **options):
        """A text or a list of texts; with is_split_into_words a list of words, or of such lists.

        One list of words is answered as a list of one, as in transformers.  stride: texts are read
        in windows that share so many tokens, each is answered by itself, and of answers that
        overlap the longest stays.
        """
        stride = self.settings.stride if stride is None else stride
        if stride is not None and options.get("aggregation_strategy") == "none":
            raise UserError(
                "stride joins the answers of windows, which aggregation_strategy='none' does not; "
                f"expected one of {', '.join(STRATEGIES[1:])}, or no stride"
            )
        single = isinstance(inputs, str)
        inputs = [inputs] if single else list(inputs)
        if is_split_into_words and not single:
            if all(isinstance(word, str) for word in inputs):
                inputs = [inputs]
            inputs = [(words, delimiter) for words in inputs]
        return [(each, stride) for each in inputs], single, options

    def example(self, given):
        """(a text, or its words and what stands between them; stride)."""
        given, stride = given
        if isinstance(given, str):
            return Sentence(None, text=given, stride=stride)
        if not isinstance(given, tuple):
            raise UserError(
                f"got {given!r:.60}; expected a text, or a list of words with "
                "is_split_into_words=True"
            )
        words, delimiter = given
        spans = []
        start = 0
        for word in words:
            spans.append((start, start + len(word)))
            start += len(word) + len(delimiter)
        return Sentence(list(words), text=delimiter.join(words), spans=spans, stride=stride)

    def answer(self, prediction, aggregation_strategy=None, ignore_labels=None):
        """A list of dicts, for each piece or entity; see aggregation.py."""
        strategy = aggregation_strategy or self.settings.aggregation_strategy
        if strategy not in STRATEGIES:
            raise UserError(
                f"aggregation_strategy={strategy!r} is unknown; expected one of "
                f"{', '.join(STRATEGIES)}"
            )
        ignored = self.settings.ignore_labels if ignore_labels is None else ignore_labels
        text = prediction.sentence.text
        windows = [_pieces(prediction.sentence, read) for read in prediction.read]
        return aggregate_windows(text, windows, self.labels, strategy, ignored)

    def collect(self, answers, single):
        return answers[0] if single else answers


def _readable(word, tokenizer):
    """The word, or EMPTY if the vocabulary has no piece for any of it."""
    sure = word.isascii() and word.isprintable() and word.strip()
    return word if sure or tokenizer.tokenize(word) else EMPTY


def _pieces(sentence, read):
    """The Pieces of what was read of a sentence."""
    text = sentence.text
    words = sentence.spans or {}
    pieces = []
    for place, (token, piece, scores) in enumerate(zip(*read)):
        first, last = words[token.word] if words else (0, len(text))
        start, end = (min(first + each, last) for each in token.span)  # EMPTY may be longer
        unknown = piece == EMPTY
        pieces.append(
            Piece(
                text[start:end] if unknown else piece,
                scores,
                start,
                end,
                place + 1,
                not unknown and follows_a_letter(text, start),
                int(piece.startswith(SPACE) and not words and text[start - 1 : start].isspace()),
            )
        )
    return pieces


def _accuracy(gold, said):
    """The share of words with the right tag."""
    right = sum(a == b for tags, other in zip(gold, said) for a, b in zip(tags, other))
    return right / max(1, sum(map(len, gold)))


def _table(counts, every):
    """Precision, recall and F1 of each type and of all."""
    width = max(len(name) for name in ("entities", *counts)) + 2
    lines = ["entities".ljust(width) + "   gold  predicted  right  precision  recall      F1"]
    for name, count in [*counts.items(), ("all", every)]:
        lines.append(
            f"{name:{width}}{count.gold:7d}{count.said:11d}{count.right:7d}"
            f"{count.precision:11.4f}{count.recall:8.4f}{count.f1:8.4f}"
        )
    return "\n".join(lines)


def _confusions(gold, said, shown=10):
    """The commonest confusions of labels; None without any."""
    counts = {}
    for tags, other in zip(gold, said):
        for right, predicted in zip(tags, other):
            if right != predicted:
                counts[right, predicted] = counts.get((right, predicted), 0) + 1
    if not counts:
        return None
    commonest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:shown]
    width = max(len(right) for (right, _), _ in commonest) + 2
    lines = ["right".ljust(max(width, 7)) + "predicted (commonest confusions)"]
    lines += [f"{r:{max(width, 7)}}{p}  {count:,} times" for (r, p), count in commonest]
    return "\n".join(lines)
