#!/usr/bin/env python3
"""Other bodies of text: only the reader and the vocabulary change.

    python scripts/bodies.py dna --genes yeast/genes_with_introns.fsa --minutes 4
    python scripts/bodies.py dyck --minutes 2
    python scripts/bodies.py code --minutes 4
    python scripts/bodies.py jargon --minutes 4 [--model runs/book]

dna      yeast genes, a vocabulary of their own: is a piece of 60 bases intron or exon?  Beside it a
         logistic regression on the counts of all k-mers to 6, as a biologist would begin
dyck     balanced brackets of 3 kinds, whose truth is known: which bracket closes here?  Beside it
         what the two neighbours tell
code     the standard library's source, other files held out: which piece was hidden?  Beside it
         what the two neighbours tell
jargon   a model of other text goes on (--init) with Python's documentation: the loss a word before
         and after, and from random values with as many steps

Writes OUTPUT/NAME.md.  After Ctrl-C or a kill the same command goes on.
"""

import argparse
import json
import os
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # replicas bring the parallelism
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from kept_runs import finished, kept

from tinyalbert import AlbertForMaskedLM, AlbertTokenizer
from tinyalbert.errors import UserError
from tinyalbert.files.writing import replacing
from tinyalbert.modes import no_grad
from tinyalbert.ops import IGNORE
from tinyalbert.pretraining.corpus import documents
from tinyalbert.pretraining.preparation import train_tokenizer
from tinyalbert.pretraining.pretrain import pretrain
from tinyalbert.tasks.text_loss import evaluate_text, masked_rows, windows_of

HELD_OUT = 5  # every so many document is held out
BASES = 60  # of a piece of DNA that is judged
LONGEST_KMER = 6
KINDS = 3  # of brackets
OPENING, CLOSING = "abcdefgh", "stuvwxyz"
LENGTH = 128  # tokens of a sequence in evaluations


def main(words=None):
    """The whole of it; returns the exit code."""
    args = _arguments(words)
    try:
        said, lines = BODIES[args.name](args)
    except UserError as problem:
        print(f"bodies.py: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    how = f"--steps {args.steps}" if args.steps else f"--minutes {args.minutes:g}"
    told = f"Preset {args.preset}, {how} for each pretraining, seed {args.seed}."
    text = "\n".join([f"# {args.name}", "", said, "", told, "", *lines]) + "\n"
    with replacing(args.output / f"{args.name}.md") as file:
        file.write(text.encode())
    print(f"\n{text}\nwritten to {args.output / args.name}.md")
    return 0


def _arguments(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=list(BODIES), metavar="NAME")
    parser.add_argument("--minutes", type=float, default=4.0, help="of a pretraining (default: 4)")
    parser.add_argument("--steps", type=int, help="of a pretraining, in place of minutes")
    parser.add_argument("--preset", default="tiny", help="size and recipe (default: tiny)")
    parser.add_argument("--model", type=Path, help="pretrained folder that goes on (jargon)")
    parser.add_argument("--genes", type=Path, help="FASTA file of genes, introns.txt beside it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="replicas of the model (default: all cores)")
    parser.add_argument("--quick", action="store_true", help="a few steps on little text")
    parser.add_argument("--output", type=Path, default=Path("runs/bodies"), help="folder")
    args = parser.parse_args(words)
    if args.quick:
        args.steps = 4
    data = os.environ.get("TINYALBERT_DATA")
    if args.genes is None and data:
        args.genes = Path(data) / "yeast" / "genes_with_introns.fsa"
    return args


def pretrained(args, name, source, **more):
    """The folder of a pretraining on a file, done once; no sentence task unless asked for."""
    folder = args.output / args.name / name
    given = {"preset": args.preset, "seed": args.seed, "sentence_task": "none", **more}
    given |= {"steps": args.steps} if args.steps else {"minutes": args.minutes}
    if args.threads:
        given["threads"] = args.threads

    def run(begun):
        how = {k: v for k, v in given.items() if not (begun and k == "minutes")}
        metrics = pretrain(
            [str(source)], str(folder), **how, resume=begun, workers=1, progress=False, say=quiet
        )
        return {"metrics": metrics}

    kept(folder, given, run)
    return folder


def quiet(text):
    """What is not said."""


def lines_file(path, texts):
    """A file of documents, lists of sentences: a sentence a line, blank lines between documents."""
    with replacing(path) as file:
        file.write("\n".join("\n".join(text) + "\n" for text in texts).encode())
    return path


def split(items):
    """(training, held out) items."""
    held = [item for i, item in enumerate(items) if i % HELD_OUT == HELD_OUT - 1]
    return [item for i, item in enumerate(items) if i % HELD_OUT != HELD_OUT - 1], held


# --- DNA ------------------------------------------------------------------------------------------


def dna(args):
    """Intron or exon: a pretrained model, one from random values, k-mers."""
    if args.genes is None or not args.genes.is_file():
        raise UserError(
            f"there is no file {args.genes}; name the genes: --genes genes_with_introns.fsa, with "
            "introns.txt beside it"
        )
    genes = read_genes(args.genes)
    train, held = split(sorted(genes))
    folder = args.output / "dna"
    chunks = [[g[i : i + BASES] for i in range(0, len(g), BASES)] for g in genes_of(genes, train)]
    source = lines_file(folder / "genes.txt", chunks)
    vocabulary = 60 if args.quick else 400
    model = pretrained(args, "model", source, vocab_size=vocabulary)
    tables = {}
    rng = random.Random(0)
    for part, names in (("train", train), ("dev", held)):
        rows = balanced([row for name in names for row in pieces(*genes[name])], rng)
        rows = rows[:40] if args.quick else rows
        tables[part] = rows
        text = "text\tlabel\n" + "".join(f"{dna}\t{label}\n" for dna, label in rows)
        with replacing(folder / f"{part}.tsv") as file:
            file.write(text.encode())
    scores = {}
    for start, random_init in (("pretrained", False), ("random values", True)):
        given = {
            "task": "classification",
            "train": str(folder / "train.tsv"),
            "dev": str(folder / "dev.tsv"),
            "model": str(model),
            "seed": args.seed,
            "random_init": random_init,
            **({"steps": 4, "batch_size": 4} if args.quick else {"epochs": 4}),
            **({"threads": args.threads} if args.threads else {}),
        }
        scores[start] = finished(folder / start.replace(" ", "-"), given)["metrics"]["accuracy"]
    scores[f"k-mers to {LONGEST_KMER}, logistic regression"] = kmers(tables["train"], tables["dev"])
    said = (
        f"Intron or exon, pieces of {BASES} bases of {len(held)} genes that were not trained on "
        f"({len(tables['dev']):,} pieces, as many of each; guessing: 0.500)."
    )
    return said, score_table("accuracy", scores)


def read_genes(path):
    """{name: (bases, [(first, last) of each intron, from 1])}."""
    genes = {}
    for entry in path.read_text(encoding="ascii").split(">")[1:]:
        head, *bases = entry.splitlines()
        genes[head.split()[0]] = ("".join(bases).upper(), [])
    beside = path.with_name("introns.txt")
    for number, line in enumerate(beside.read_text(encoding="ascii").splitlines(), 1):
        cells = line.split("\t")
        if len(cells) != 4 or not (cells[2] + cells[3]).isdigit():
            raise UserError(f"{beside}, line {number}: expected gene, name, first and last base")
        if cells[1] in genes:
            genes[cells[1]][1].append((int(cells[2]), int(cells[3])))
    if not genes:
        raise UserError(f"{path} has no genes; expected FASTA: a line of >name, then its bases")
    return genes


def genes_of(genes, names):
    """The bases of some genes."""
    return [genes[name][0] for name in names]


def pieces(bases, introns):
    """[(BASES bases, "intron" or "exon"), ...] that lie wholly in one or the other."""
    inside = np.zeros(len(bases) + 1, int)
    for first, last in introns:
        inside[first - 1 : last] = 1
    found = []
    for start in range(0, len(bases) - BASES + 1, BASES // 2):
        kinds = set(inside[start : start + BASES].tolist())
        if len(kinds) == 1:
            label = "intron" if kinds == {1} else "exon"
            found.append((bases[start : start + BASES], label))
    return found


def balanced(rows, rng):
    """As many rows of each label, shuffled."""
    kinds = defaultdict(list)
    for row in rows:
        kinds[row[1]].append(row)
    count = min(map(len, kinds.values()))
    chosen = [row for part in kinds.values() for row in rng.sample(part, count)]
    rng.shuffle(chosen)
    return chosen


def kmers(train, dev):
    """Accuracy of logistic regression on the counts of all k-mers, k = 1 ... LONGEST_KMER."""
    try:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise UserError(
            "the baseline needs scikit-learn: pip install 'tinyalbert[baselines]'"
        ) from None
    counter = CountVectorizer(analyzer="char", ngram_range=(1, LONGEST_KMER))
    seen = counter.fit_transform([bases for bases, _ in train])
    model = LogisticRegression(C=0.1, max_iter=2000).fit(seen, [label for _, label in train])
    said = model.predict(counter.transform([bases for bases, _ in dev]))
    return float(np.mean(said == np.array([label for _, label in dev])))


# --- Dyck-k ---------------------------------------------------------------------------------------


def dyck(args):
    """Which bracket closes: the model, what the neighbours tell, the truth."""
    rng = random.Random(0)
    count = 200 if args.quick else 8000
    texts = [[balanced_string(rng) for _ in range(6)] for _ in range(count)]
    source = lines_file(args.output / "dyck" / "brackets.txt", texts)
    model = pretrained(args, "model", source)
    held = [balanced_string(rng).split() for _ in range(20 if args.quick else 300)]
    right = closers_right(model, held)
    neighbours = neighbours_of([s.split() for text in texts for s in text])
    told = []
    for string in held:
        for place, bracket in enumerate(string):
            if bracket in CLOSING:
                around = string[place - 1], string[place + 1] if place + 1 < len(string) else ""
                told.append(guessed(neighbours, *around, CLOSING[:KINDS]) == bracket)
    scores = {"ALBERT": right, "the two neighbours": float(np.mean(told)), "the truth": 1.0}
    said = (
        f"Which of {KINDS} brackets closes here, one hidden at a time (guessing: {1 / KINDS:.3f})."
    )
    return said, score_table("right", scores)


def balanced_string(rng, most=24):
    """A balanced string of 2 to `most` brackets, as words."""
    pairs = rng.randint(1, most // 2)
    words, open_ = [], []
    while pairs or open_:
        if pairs and (not open_ or rng.random() < 0.5):
            open_.append(rng.randrange(KINDS))
            words.append(OPENING[open_[-1]])
            pairs -= 1
        else:
            words.append(CLOSING[open_.pop()])
    return " ".join(words)


def closers_right(folder, strings):
    """How often the likeliest closing bracket is the one that was hidden."""
    model = AlbertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    ids = [tokenizer.convert_tokens_to_ids(f"▁{bracket}") for bracket in CLOSING[:KINDS]]
    right = []
    for string in strings:
        encoded = np.concatenate(tokenizer.encode_batch_ids([" ".join(string)]))
        places = np.flatnonzero(np.isin(encoded, ids))
        rows = np.tile([tokenizer.cls_token_id, *encoded, tokenizer.sep_token_id], (len(places), 1))
        rows[np.arange(len(places)), places + 1] = tokenizer.mask_token_id
        with no_grad():
            scores = model(rows.astype(np.int32)).logits.numpy()
        at_masks = scores[np.arange(len(places)), places + 1][:, ids]
        right += (np.array(ids)[at_masks.argmax(-1)] == encoded[places]).tolist()
    return float(np.mean(right))


# --- what neighbours tell -------------------------------------------------------------------------


def neighbours_of(strings):
    """{(left or None, right or None): Counter of what is between}."""
    counts = defaultdict(Counter)
    for string in strings:
        padded = ["", *string, ""]
        for left, middle, right in zip(padded, padded[1:], padded[2:]):
            for around in ((left, right), (left, None), (None, right), (None, None)):
                counts[around][middle] += 1
    return counts


def guessed(counts, left, right, allowed=None):
    """The commonest item between two others; None stands for what is not known."""
    for around in ((left, right), (left, None), (None, right), (None, None)):
        known = [
            (count, item)
            for item, count in counts[around].items()
            if allowed is None or item in allowed
        ]
        if known:
            return max(known)[1]
    return None


def neighbours_right(tokenizer, train, held):
    """How often the neighbours tell a hidden piece, with the masks of text_loss.py."""
    encoded = (tokenizer.encode_batch_ids(text, False) for text in train)
    counts = neighbours_of([np.concatenate(ids).tolist() for ids in encoded if len(ids)])
    best = {around: each.most_common(1)[0][0] for around, each in counts.items()}
    right = []
    for window in windows_of(held, tokenizer, LENGTH):
        for row, labels in masked_rows(window, tokenizer):
            known = [None if i == tokenizer.mask_token_id else i for i in row[1:-1].tolist()]
            known = ["", *known, ""]
            for place in np.flatnonzero(labels != IGNORE).tolist():
                left, after = known[place - 1], known[place + 1]
                tried = ((left, after), (left, None), (None, after), (None, None))
                right.append(next(best[t] for t in tried if t in best) == labels[place])
    return float(np.mean(right))


# --- code and jargon ------------------------------------------------------------------------------


def code(args):
    """Hidden pieces of source code: the model and what the neighbours tell."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))[: 12 if args.quick else 120]
    texts = []
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        lines = [" ".join(line.split()) for line in text.splitlines()]
        texts.append([line for line in lines if line][: 40 if args.quick else 1000])
    train, held = split(texts)
    source = lines_file(args.output / "code" / "train.txt", train)
    other = lines_file(args.output / "code" / "held-out.txt", held)
    vocabulary = {"vocab_size": 300} if args.quick else {"vocab_size": 2000}
    model = pretrained(args, "model", source, cased=True, **vocabulary)
    told = evaluate_text(model, str(other), LENGTH, 500 if args.quick else 20000, args.threads)
    tokenizer = AlbertTokenizer.from_pretrained(model)
    scores = {
        "ALBERT": told["pieces_right"],
        "the two neighbours": neighbours_right(tokenizer, train, held),
    }
    said = (
        f"Pieces of whole words hidden in {len(held)} files of Python's standard library, "
        f"{len(train)} others to train on; {told['loss_per_word']:.2f} nats a word, "
        f"{told['loss_per_character']:.3f} a character."
    )
    return said, score_table("pieces right", scores)


def jargon(args):
    """Continued pretraining: the loss a word on held-out documentation, before and after."""
    folder = args.output / "jargon"
    texts = list(documents(["python"]))[: 300 if args.quick else None]
    train, held = split(texts)
    source = lines_file(folder / "train.txt", train)
    other = lines_file(folder / "held-out.txt", held)
    general = args.model
    if general is None:
        size = 300 if args.quick else 2000
        stories = f"stories:{100 if args.quick else 8000}"
        if not (folder / "vocabulary" / "spiece.model").is_file():
            both = [stories, str(source)]
            train_tokenizer(both, size, folder / "vocabulary", progress=False)
        tokenizer = str(folder / "vocabulary")
        general = pretrained(args, "general", stories, tokenizer=tokenizer)
    AlbertTokenizer.from_pretrained(general).save_pretrained(folder / "same")
    models = {
        "before": general,
        "gone on from it": pretrained(args, "gone-on", source, init=str(general)),
        "from random values": pretrained(args, "anew", source, tokenizer=str(folder / "same")),
    }
    words = 500 if args.quick else 10000
    told = {
        name: evaluate_text(model, str(other), LENGTH, words, args.threads, say=quiet)
        for name, model in models.items()
    }
    tokenizer = AlbertTokenizer.from_pretrained(general)
    lines = ["| | nats a word | pieces right |", "|---|---|---|"]
    for name, one in told.items():
        lines.append(f"| {name} | {one['loss_per_word']:.2f} | {one['pieces_right']:.3f} |")
    neighbours = neighbours_right(tokenizer, train, held)
    lines.append(f"| the two neighbours | | {neighbours:.3f} |")
    said = (
        f"Python's documentation, {len(held):,} texts held out; the vocabulary is that of the "
        f"model that goes on ({json.dumps(Path(general).name)}), so all rows compare."
    )
    return said, lines


def score_table(metric, scores):
    """Lines of a table of {name: score}."""
    rows = [f"| {name} | {value:.3f} |" for name, value in scores.items()]
    return [f"| | {metric} |", "|---|---|", *rows]


BODIES = {"dna": dna, "dyck": dyck, "code": code, "jargon": jargon}

if __name__ == "__main__":
    sys.exit(main())
