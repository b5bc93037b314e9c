"""Which columns of a table are read: their usual names, and a guess where there are no names."""

from dataclasses import dataclass

from ..errors import UserError

# (first text, second text); GLUE's, SNLI's, SICK's, AG News' and others'
PAIRS = (
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("text", "text_pair"),
    ("text", "pair"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("#1 string", "#2 string"),
    ("title", "description"),
)
TEXTS = (
    *("text", "sentence", "review", "tweet", "content", "message", "utterance", "comment"),
    *("comment_text", "body", "document", "post", "query", "question", "article", "abstract"),
    *("phrase", "sms", "v2", "string", "review_text", "reviewtext", "review_body", "headline"),
    *("description", "title"),
)
LABELS = (
    *("label", "labels", "gold_label", "class", "category", "categories", "sentiment", "intent"),
    *("topic", "topics", "emotion", "target", "score", "quality", "is_duplicate", "rating"),
    *("stars", "polarity", "airline_sentiment", "entailment_judgment", "class index", "v1"),
    *("label-coarse", "coarse_label", "label_text"),
)
NUMBERS = ("relatedness_score", "similarity", *LABELS)  # in regression
DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "bar": "|"}
UNUSED = "_"  # the name of a column that is not read

_FIRSTS = tuple(dict.fromkeys(first for first, _ in PAIRS))
_SECONDS = tuple(dict.fromkeys(second for _, second in PAIRS))


def usual_names(what):
    """The known names of the "text", "pair" or "label" column, as --help lists them."""
    names = {"text": (*TEXTS, *_FIRSTS), "pair": _SECONDS, "label": LABELS}[what]
    return ", ".join(dict.fromkeys(names))


def is_usual(name):
    """Whether a cell is a name that a text or a label usually has."""
    return name.strip().casefold() in {*TEXTS, *_FIRSTS, *_SECONDS, *NUMBERS}


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read; None for one that is not there."""

    text: str
    pair: str | None
    label: str | None

    def describe(self, present):
        """Which columns are read, and which of those that are `present` are not, in words."""
        parts = [f"text from {self.text!r}"]
        if self.pair:
            parts.append(f"second text from {self.pair!r}")
        if self.label:
            parts.append(f"label from {self.label!r}")
        used = (self.text, self.pair, self.label, UNUSED, "")
        unused = [repr(name) for name in present if name not in used]
        more = [f"and {len(unused) - 10} more"] if len(unused) > 10 else []
        unused = f"; not used: {', '.join(unused[:10] + more)}" if unused else ""
        return ", ".join(parts) + unused


def choose_columns(present, settings, labels, need_labels, where):
    """The Columns of a table.

    present: the names of its columns.  settings: TableSettings, whose names count more than the
    usual ones.  labels: usual names of the label.  where: how an error names the table.
    """
    by_usual = {}
    for name in reversed(present):
        by_usual[name.strip().casefold()] = name

    def asked(name, what):
        if name in present:
            return name
        if name.strip().casefold() in by_usual:
            return by_usual[name.strip().casefold()]
        raise UserError(
            f"{where} has no column {name!r} for the {what}; it has {', '.join(present)} "
            f"(another: --{what.replace('second text', 'pair')}-column NAME)"
        )

    def first_of(names):
        return next((by_usual[name] for name in names if name in by_usual), None)

    text, pair = settings.text_column, settings.pair_column
    if text:
        text = asked(text, "text")
    else:
        both = [names for names in PAIRS if all(name in by_usual for name in names)]
        text = by_usual[both[0][0]] if both else first_of((*TEXTS, *_FIRSTS))
        others = [name for name in present if name.strip().casefold() not in labels]
        if text is None and len(others) == 1 < len(present):  # beside the label
            text = others[0]
    if text is None:
        raise UserError(
            f"{where} has no column for the text: it has {', '.join(present)}; name it with "
            f"--text-column, or call it one of {', '.join(TEXTS[:8])} (--help lists more)"
        )

    if pair == "none":
        pair = None
    elif pair:
        pair = asked(pair, "second text")
    else:
        partners = [second for first, second in PAIRS if by_usual.get(first) == text]
        pair = first_of([*partners, *(name for name in _SECONDS if name not in TEXTS)])
        pair = None if pair == text else pair

    if settings.label_column and (need_labels or settings.label_column in present):
        label = asked(settings.label_column, "label")
        if label in (text, pair):
            raise UserError(
                f"{where}: the column {label!r} is both the text and the label; expected one for "
                f"each: it has {', '.join(present)} (--text-column, --label-column)"
            )
    else:
        label = first_of(name for name in labels if by_usual.get(name) not in (text, pair))
    if label is None and need_labels:
        raise UserError(
            f"{where} has no column for the label: it has {', '.join(present)}; name it with "
            f"--label-column, or call it one of {', '.join(labels[:8])} (a table without labels "
            "is for `tinyalbert predict`)"
        )
    return Columns(text, pair, label)


def guessed(rows):
    """What the columns of a table without a header are, by what stands in them.

    rows: lists of as many cells each.  A column of labels has few different values, and the first
    of them comes again; texts have spaces.

    Returns (a name for each column: "label", "text", "text_pair" or "_"; whether nothing else looks
    like them), or (None, False) if no column looks like labels.
    """
    columns = list(zip(*rows))
    different = [len(set(column)) for column in columns]
    few = [
        i
        for i, column in enumerate(columns)
        if 2 <= different[i] <= max(2, len(rows) / 2) and column[0] in column[1:] and all(column)
    ]
    if not few or len(columns) < 2:
        return None, False
    lengths = [sum(map(len, column)) for column in columns]
    label = min(few, key=lambda i: (different[i], lengths[i]))
    others = [i for i in range(len(columns)) if i != label]
    texts = [i for i in others if sum(" " in cell for cell in columns[i]) > len(rows) / 2]
    if len(texts) != 2 or len(few) > 1:
        texts = [max(others, key=lambda i: lengths[i])]
    names = {label: "label", **dict(zip(texts, ("text", "text_pair")))}
    clear = len(columns) == 2 or (len(columns) == 3 and len(few) == 1)
    return [names.get(i, UNUSED) for i in range(len(columns))], clear
