"""How much grammar a model knows, without fine-tuning: minimal pairs of a good and a bad sentence.

The better sentence should be the likelier one (Warstadt et al. 2020, BLiMP; Huebner et al. 2021,
Zorro).  Likely is the pseudo-log-likelihood with the correction inside words (likelihood.py), and a
tie counts one half.  Beside the model stand two rules that know no grammar: the frequencies of the
pieces, and of neighbouring pieces.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from ..pretraining.preparation import is_prepared
from ..pretraining.shards import Shards
from ..strict_json import loads
from .likelihood import better_of_pairs, pseudo_log_likelihood
from .text_files import ending, files_ending_in, read_text

BIGRAM_SHARE = 0.7  # of the neighbours' frequency; the rest is the piece's own
BIGRAMS = "bigram frequencies"
FREQUENCIES = "piece frequencies"


class PairSet(NamedTuple):
    """Pairs of one phenomenon."""

    name: str
    texts: list  # bad, good, bad, good, ...


# --- the files ------------------------------------------------------------------------------------


def read_sets(source, first=None, encoding="utf-8", say=lambda line: None):
    """The PairSets of a file, or of all files of a folder.

    .txt: a bad line, then the good one (Zorro).  .jsonl: sentence_good and sentence_bad (BLiMP).
    .tsv, .csv: columns named good and bad.  first: so many pairs of each.  say: told what of a
    folder is read and what is left out.
    """
    path = Path(source)
    files = files_ending_in(tuple(READERS), path, say) if path.is_dir() else [path]
    sets = []
    for file in files:
        reader = READERS.get(ending(file))
        if reader is None:
            raise UserError(f"{file}: expected a name that ends in {', '.join(READERS)}")
        texts = reader(read_text(file, encoding), str(file))
        if not texts:
            raise UserError(f"{file} has no pairs; expected at least one")
        sets.append(PairSet(file.name.split(".")[0], texts[: None if first is None else 2 * first]))
    return sets


def _lines(text, where):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) % 2:
        raise UserError(
            f"{where} has {len(lines)} lines; expected pairs, a bad line and then the good one"
        )
    return lines


def _json_lines(text, where):
    texts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = loads(line)
            pair = record["sentence_bad"], record["sentence_good"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{where}, line {number}: expected a JSON object with sentence_good and "
                "sentence_bad"
            ) from None
        texts += _checked(pair, f"{where}, line {number}")
    return texts


def _columns(text, where):
    """Of tabs, in which a quote is a quote, or of commas with quoted cells."""
    lines = text.splitlines()
    tabs = bool(lines) and "\t" in lines[0]
    if tabs:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, strict=True)
    texts = []
    head = None
    try:
        for cells in reader:
            at = f"{where}, line {reader.line_num}"
            if head is None:
                head = [name.strip().lower() for name in cells]
                if not {"good", "bad"} <= set(head):
                    raise UserError(f"{at}: columns {', '.join(head)}; expected good and bad")
                continue
            if not cells:
                continue
            if len(cells) != len(head):
                raise UserError(f"{at}: {len(cells)} cells; expected {len(head)}")
            texts += _checked((cells[head.index("bad")], cells[head.index("good")]), at)
    except csv.Error as error:
        raise UserError(f"{where}, line {reader.line_num}: not a readable row ({error})") from None
    return texts


def _checked(pair, where):
    if not all(isinstance(text, str) and text.strip() for text in pair):
        raise UserError(f"{where}: an empty sentence; expected a good and a bad one")
    return [text.strip() for text in pair]


READERS = {".txt": _lines, ".jsonl": _json_lines, ".tsv": _columns, ".csv": _columns}


# --- rules that know no grammar -------------------------------------------------------------------


class Frequencies:
    """Log-probabilities of texts from how often pieces, and neighbours, occur in a prepared corpus.

    Without a corpus the pieces' own probabilities in the vocabulary stand for their frequencies.
    """

    def __init__(self, tokenizer, data=None):
        self.tokenizer = tokenizer
        self.neighbours = None
        if data is None:
            self.log_p = tokenizer.piece_log_probabilities()
            return
        shards = Shards(data)
        shards.check_tokenizer(tokenizer)
        self.log_p = shards.log_frequencies()
        self.neighbours = _pairs_of(np.asarray(shards.tokens), shards.sentences, len(self.log_p))

    @property
    def rules(self):
        """The names of what `scores` gives."""
        return [FREQUENCIES] + ([BIGRAMS] if self.neighbours else [])

    def scores(self, texts):
        """{rule: (N,)} of N texts."""
        ids = self.tokenizer.encode_batch_ids(texts)
        found = {FREQUENCIES: np.array([self.log_p[row].sum() for row in ids])}
        if self.neighbours:
            found[BIGRAMS] = np.array([self._bigram(row) for row in ids])
        return found

    def _bigram(self, ids):
        """log P of a text: the first piece by its frequency, each other given the one before it."""
        keys, shares = self.neighbours
        own = np.exp(self.log_p[ids])
        wanted = ids[:-1].astype(np.int64) * len(self.log_p) + ids[1:]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        given = np.where(keys[at] == wanted, shares[at], 0.0)
        after = BIGRAM_SHARE * given + (1 - BIGRAM_SHARE) * own[1:]
        return float(self.log_p[ids[:1]].sum() + np.log(after).sum())


def _pairs_of(tokens, sentences, vocab_size):
    """(keys, shares): first * V + second of neighbours in one sentence, and P(second | first)."""
    keys = tokens[:-1].astype(np.int64) * vocab_size + tokens[1:]
    inside = np.ones(len(keys), bool)
    inside[sentences[1:-1] - 1] = False  # over the end of a sentence
    keys, counts = np.unique(keys[inside], return_counts=True)
    firsts = np.bincount(keys // vocab_size, weights=counts, minlength=vocab_size)
    return keys, counts / firsts[keys // vocab_size]


# --- the verdict ----------------------------------------------------------------------------------


def judge(model, tokenizer, sets, data=None, batch_size=256, threads=1, progress=None):
    """[{"set", "pairs", "model", rule: share right, ...}, ...], the mean over the sets last.

    data: a prepared folder of the model's own corpus, for the rules.  progress: called with the
    number of texts of each set that is done.
    """
    rules = Frequencies(tokenizer, data)
    rows = []
    for each in sets:
        sums, _ = pseudo_log_likelihood(model, tokenizer, each.texts, True, batch_size, threads)
        scores = {"model": sums, **rules.scores(each.texts)}
        shares = {name: better_of_pairs(values) for name, values in scores.items()}
        rows.append({"set": each.name, "pairs": len(each.texts) // 2, **shares})
        if progress:
            progress(len(each.texts))
    names = ["model", *rules.rules]
    mean = {name: float(np.mean([row[name] for row in rows])) for name in names}
    total = sum(row["pairs"] for row in rows)
    return [*rows, {"set": f"mean of {len(rows)}", "pairs": total, **mean}]


def own_corpus(folder):
    """The prepared folder of a run, if it is there."""
    data = Path(folder) / "data"
    return data if is_prepared(data) else None


def shown(rows):
    """The rows as a table to be read."""
    rules = [name for name in rows[0] if name not in ("set", "pairs", "model")]
    width = max(len(row["set"]) for row in rows)
    lines = [f"{'':{width}s}   pairs   model" + "".join(f"  {rule}" for rule in rules)]
    for row in rows:
        cells = "".join(f"{row[rule]:{len(rule) + 2}.1%}" for rule in rules)
        lines.append(f"{row['set']:{width}s}{row['pairs']:8,d}{row['model']:8.1%}{cells}")
    return "\n".join(lines)


def behind(rows):
    """A line that says which rule the model stays behind, or None."""
    mean = rows[-1]
    rules = {name: mean[name] for name in mean if name not in ("set", "pairs", "model")}
    best = max(rules, key=rules.get)
    if mean["model"] >= rules[best]:
        return None
    return f"the model stays behind {best}: {mean['model']:.1%} to {rules[best]:.1%}"
