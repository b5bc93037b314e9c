#!/usr/bin/env python3
"""Fuzz the readers of files: whatever the bytes are, only tinyalbert's own UserError may come out.

python scripts/fuzz.py                      every reader, 100,000 inputs each, and the hand-made ones
python scripts/fuzz.py config safetensors   some of them
python scripts/fuzz.py --list               which there are
python scripts/fuzz.py --quick              a few hundred inputs each, with no library (the tests)

Inputs are made by atheris (`pip install atheris`, Linux), which follows the coverage of the package;
without it by a plain mutator of our own, which keeps every input that reached a new line.  A reader
runs in a process of its own with limits: memory 3 GiB, 5 seconds of CPU time an input.  What else
comes out than a UserError is a finding: it is counted by its place, its first input is kept, and the
script ends with 1.
"""

import argparse
import collections
import contextlib
import functools
import importlib
import importlib.util
import json
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
MEMORY = 3 << 30
SECONDS = 5  # of CPU time, for one input
LONGEST = 4096  # bytes of an input
FOLDER = Path(
    tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
)


class TooLong(BaseException):
    """An input took more than SECONDS."""


def tinyalbert(module):
    """A module of the package, imported when it is first used so that atheris can instrument it."""
    return importlib.import_module(f"tinyalbert.{module}" if module else "tinyalbert")


# --- the readers ------------------------------------------------------------------------------------------------

CONFIG = {
    "vocab_size": 30,
    "embedding_size": 4,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
    "hidden_act": "gelu",
    "model_type": "albert",
    "hidden_dropout_prob": 0.1,
    "id2label": {"0": "no", "1": "yes"},
    "classifier_dropout_prob": None,
}
TOKENIZER_CONFIG = {
    "do_lower_case": True,
    "remove_space": True,
    "keep_accents": False,
    "model_max_length": 1e30,
    "added_tokens_decoder": {"4": {"content": "[MASK]", "lstrip": True}},
    "mask_token": {"content": "[MASK]"},
    "padding_side": "right",
    "tokenizer_class": "AlbertTokenizer",
    "sp_model_kwargs": {},
}
PROGRESS = {
    "steps_done": 4,
    "settings": {"total_steps": 9, "lr": 0.1, "optimizer": "LAMB"},
    "loss_scale": None,
    "state": {
        "seconds": 1.5,
        "saved_step": 4,
        "best": None,
        "length": None,
        "evaluated": 0,
        "eval_every": 2,
        "sums": {"loss": 3.5, "tokens": 100, "elapsed": 0.5},
        "summed": 2,
        "watch": {"since": None, "hinted": False},
        "metrics": {"mlm_loss": 5.0},
        "log_lines": 3,
    },
}
ROWS = {"train": [8, "ab"], "dev": [2, "cd"], "labels": ["a", "b"]}
LOG = [
    {"kind": "start", "step": 0, "seconds": 0.1, "vocab_size": 30, "unigram_entropy": 3.1},
    {
        "kind": "train",
        "step": 10,
        "seconds": 1.5,
        "loss": 3.5,
        "mlm_loss": 3.0,
        "lr": 0.001,
        "tokens_per_second": 1e4,
    },
    {"kind": "eval", "step": 10, "seconds": 2.0, "mlm_loss": float("nan"), "mlm_accuracy": 0.25},
    {"kind": "note", "step": 10, "seconds": 2.0, "text": "a remark"},
]


def in_file(name, read, others=None):
    """A function of bytes: they are written to a file of this name, and `read` is given its path."""

    def of_bytes(data):
        (FOLDER / name).write_bytes(data)
        return read(FOLDER / name)

    FOLDER.mkdir(exist_ok=True)
    for other, content in (others or {}).items():
        (FOLDER / other).write_bytes(content)
    return of_bytes


def as_json(*values):
    return [json.dumps(value).encode() for value in values]


def lines(*values):
    return [b"".join(line + b"\n" for line in as_json(*values))]


@functools.cache
def vocabulary():
    """The bytes of a small SentencePiece model."""
    import io

    from sentencepiece import SentencePieceTrainer

    text = [
        f"the {a} {b} sees a {c} ( . - )"
        for a in "cat dog fox owl".split()
        for b in "old new red".split()
        for c in "house tree sea".split()
    ]
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_writer=model,
        model_type="unigram",
        vocab_size=60,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        user_defined_symbols=["(", ")", '"', "-", ".", "–", "£", "€"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def json_text():
    strict = tinyalbert("strict_json")

    def read(data):
        with contextlib.suppress(strict.JSONDecodeError, UnicodeDecodeError):
            json.dumps(strict.loads(data.decode()), ensure_ascii=False).encode()
            strict.decode_at("  " + data.decode(), 2)

    return as_json(CONFIG, PROGRESS, [[[1.5, "\ud83d\ude00"]], None]), read


def config():
    read = tinyalbert("config").AlbertConfig.from_json_file

    def whole(path):
        value = read(path)
        json.dumps(value.to_dict())
        return value.id2label

    return as_json(CONFIG), in_file("config.json", whole)


def info():
    return as_json(CONFIG), in_file("config.json", tinyalbert("info").describe)


def tokenizer_config():
    tokenizer = tinyalbert("text.tokenizer").AlbertTokenizer
    others = {"spiece.model": vocabulary(), "config.json": as_json(CONFIG)[0]}

    def read(path):
        return tokenizer.from_pretrained(path.parent)("the cat", max_length=8, truncation=True)

    return as_json(TOKENIZER_CONFIG), in_file("tokenizer_config.json", read, others)


def tokenizer_json():
    tokenizer = tinyalbert("text.tokenizer").AlbertTokenizer
    made = tinyalbert("text.tokenizer_json")
    small = json.loads(made.tokenizer_json(vocabulary(), tokenizer(vocabulary()).prepare))
    small["normalizer"]["normalizers"] = [
        s for s in small["normalizer"]["normalizers"] if len(str(s)) < 200
    ]

    def read(path):
        return tokenizer.from_pretrained(path.parent)("the cat")

    return as_json(small), in_file("tokenizer.json", read)


def spiece():
    tokenizer = tinyalbert("text.tokenizer").AlbertTokenizer

    def read(path):
        found = tokenizer(path)
        found("the cat")
        return found._tokenizer_json

    return [vocabulary()], in_file("spiece.model", read)


def protobuf():
    made = tinyalbert("files.protobuf")

    def read(data):
        with contextlib.suppress(ValueError):
            for _ in made.fields(data):
                pass
        with contextlib.suppress(ValueError):
            made.message(data, {1: int, 2: bytes, 3: int, 4: int})

    return [vocabulary()[:300], made.write((1, 5), (2, "text"), (3, 0.5), (4, -1))], read


def safetensors():
    files = tinyalbert("files.safetensors_file")

    def wrapped(
        data,
    ):  # the first byte says how: whole files, or headers whose length is told rightly
        return (
            data[1:]
            if data[:1] < b"\x80"
            else struct.pack("<Q", len(data) - 1) + data[1:] + bytes(64)
        )

    header = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "BF16", "shape": [4, 2], "data_offsets": [32, 48]},
        "a": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]},
        "c": {"dtype": "F64", "shape": [2], "data_offsets": [48, 64]},
    }
    text = as_json(header)[0]
    read = in_file("m.safetensors", files.read_safetensors)
    return [
        b"\x80" + text,
        b"\x00" + struct.pack("<Q", len(text)) + text + bytes(64),
    ], lambda data: read(wrapped(data))


def shard_index():
    files = tinyalbert("files.safetensors_file")
    import numpy as np

    files.write_safetensors(
        FOLDER / "x.safetensors", {"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)}
    )
    read = in_file("model.safetensors.index.json", tinyalbert("files.checkpoint").load_state)
    return as_json(
        {"metadata": {"total_size": 20}, "weight_map": {"a": "x.safetensors", "b": "x.safetensors"}}
    ), read


def short(text):
    return b"X" + struct.pack("<I", len(text)) + text


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n(("
    + short(b"storage")
    + b"ctorch\nFloatStorage\n"
    + short(b"0")
    + short(b"cpu")
    + b"K\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
)
STATE = (
    b"\x80\x02ccollections\nOrderedDict\n)Rq\x00("
    + short(b"w")
    + TENSOR
    + short(b"v")
    + TENSOR
    + b"u."
)


def torch_zip():
    import zipfile

    def wrapped(data):
        if data[:1] < b"\x80":
            return data[1:]
        with zipfile.ZipFile(FOLDER / "made.zip", "w") as archive:
            archive.writestr("m/data.pkl", data[1:])
            archive.writestr("m/data/0", bytes(16))
        return (FOLDER / "made.zip").read_bytes()

    FOLDER.mkdir(exist_ok=True)
    read = in_file("m.bin", tinyalbert("files.torch_checkpoint").read_torch)
    return [b"\x80" + STATE, b"\x00" + wrapped(b"\x80" + STATE)], lambda data: read(wrapped(data))


def torch_stream():
    import pickle

    head = (
        pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        + pickle.dumps(1001, 2)
        + pickle.dumps({"little_endian": True}, 2)
    )
    tail = pickle.dumps(["0"], 2) + struct.pack("<Q", 4) + bytes(16)
    read = in_file("m.bin", tinyalbert("files.torch_checkpoint").read_torch)
    return [STATE + tail, head + STATE + tail], lambda data: read(
        data if data.startswith(head) else head + data
    )


def tensorflow():
    files = tinyalbert("files.tf_checkpoint")
    import numpy as np

    whole = (ROOT / "tests" / "fixtures" / "tf_albert.index").read_bytes()
    numbers = (ROOT / "tests" / "fixtures" / "tf_albert.data-00000-of-00001").read_bytes()

    def block(content):
        content += struct.pack("<II", 0, 1) + b"\x00"  # one restart point; not compressed
        return content + struct.pack("<I", files.masked_crc32c(np.frombuffer(content, np.uint8)))

    def number(n):
        return bytes([n & 127 | 128, n >> 7 & 127 | 128, n >> 14])

    def wrapped(data):  # the entries of a block, with right checksums around them
        if data[:1] < b"\x80":
            return data[1:]
        first = block(data[1:])
        handle = number(0) + number(len(first) - 5)
        index = block(b"\x00\x01" + bytes([len(handle)]) + b"z" + handle)
        footer = b"\x00\x00" + number(len(first)) + number(len(index) - 5)
        return first + index + footer.ljust(40, b"\x00") + struct.pack("<Q", files.TABLE_MAGIC)

    entries = []
    last = b""
    for key, value in list(files.read_table(ROOT / "tests" / "fixtures" / "tf_albert.index"))[:6]:
        entries.append(b"\x00" + number(len(key)) + number(len(value)) + key + value)
        last = key
    assert last
    read = in_file(
        "m.index",
        lambda path: files.load_tf(path.with_suffix("")),
        {"m.data-00000-of-00001": numbers},
    )
    return [b"\x80" + b"".join(entries), b"\x00" + whole], lambda data: read(wrapped(data))


def options_file():
    module = tinyalbert("options")
    options = tinyalbert("pretraining.options").PretrainOptions
    values = {
        "sources": ["stories"],
        "steps": 100,
        "lr": 0.001,
        "preset": "mini",
        "batch-size": 8,
        "seed": 3,
    }
    return as_json(values), in_file("run.json", lambda path: module.read_file(options, path))


def toml_file():
    module = tinyalbert("options")
    options = tinyalbert("pretraining.options").PretrainOptions
    text = b'sources = ["stories"]\nsteps = 100\nlr = 1e-3\npreset = "mini"\nbatch-size = 8\n'
    return [text], in_file("run.toml", lambda path: module.read_file(options, path))


def pretrain_settings():
    pretrain = tinyalbert("pretraining.pretrain")
    options = tinyalbert("pretraining.options").PretrainOptions(
        output=str(FOLDER), resume=True, sources=["x"], steps=5
    )
    saved = tinyalbert("options").to_json(options.resolved())
    write_prepared()

    def read(path):
        return pretrain.resumed(options, None, lambda line: None)

    return as_json({"data": str(FOLDER / "data"), "options": saved}), in_file("pretrain.json", read)


def finetune_settings():
    finetune = tinyalbert("tasks.finetune")
    values = {"output": str(FOLDER), "train": "stories:colour", "model": str(FOLDER), "steps": 5}
    saved = tinyalbert("options").to_json(finetune.options_for(values))
    saved |= {
        "folder": str(FOLDER),
        "rows": {**ROWS, "labels": ["b"]},
        "control_scores": {"x": 0.5},
    }

    def read(path):
        given = {"output": str(FOLDER), "resume": True}
        options = finetune.options_for(given)
        saved = finetune._read_settings(FOLDER)
        options = finetune._settled(options, set(given), saved, lambda line: None)
        with contextlib.suppress(tinyalbert("").UserError):
            finetune._refuse_other_rows(ROWS, saved.get("rows"), options)
        return options

    return as_json(saved), in_file("finetune.json", read)


def training_state():
    import numpy as np

    checkpoints = tinyalbert("training.checkpoints")
    files = tinyalbert("files.checkpoint")
    trainer = tinyalbert("training.trainer")
    model = tinyalbert("albert").AlbertModel(tinyalbert("config").AlbertConfig.from_dict(CONFIG))
    made = trainer.Trainer(model, "lamb", threads=1)
    saved = {f"model/{name}": a for name, a in model.state_dict().items()} | {
        "optimizer/global_step": np.array(4)
    }

    def read(data):
        text = data.decode("utf-8", "replace")
        files.write_safetensors(
            FOLDER / "last" / files.STATE_FILE, saved, {"format": files.STATE_FORMAT, "extra": text}
        )
        checkpoints.saved_total_steps(FOLDER)
        return checkpoints.Checkpoints(FOLDER, made).load()

    return as_json(PROGRESS), read


def log():
    read = in_file("log.jsonl", tinyalbert("plots").read_log)
    log = tinyalbert("training.log").Log(FOLDER)

    def both(data):
        with contextlib.suppress(tinyalbert("").UserError):
            read(data)
        log.ended(10)
        log.resume(5, 1.0, 3)
        read(data)

    return lines(*LOG), both


def write_prepared():
    """A small prepared folder."""
    import numpy as np

    sys.path.insert(0, str(ROOT / "tests"))
    from shard_folder import random_documents, write_shards

    write_shards(FOLDER / "data", random_documents(np.random.default_rng(0), 8), held_out=[2, 5])


def prepared(name):
    """A reader of one file of a prepared folder; the others are whole."""
    shards = tinyalbert("pretraining.shards")
    batches = tinyalbert("pretraining.batches")
    write_prepared()
    whole = (FOLDER / "data" / name).read_bytes()

    def read(data):
        (FOLDER / "data" / name).write_bytes(data)
        shards._CHECKED.clear()
        found = batches.PretrainingData(FOLDER / "data", max_seq_length=32)
        for step in range(2):
            found.batch(step, 4)
        found.shards.log_frequencies()

    return [whole], read


def meta():
    return prepared("meta.json")


def offsets():
    return prepared("sentences.bin")


def documents_file():
    return prepared("documents.bin")


def ids():
    return prepared("tokens.bin")


def held_out():
    return prepared("held_out.npy")


def counts():
    return prepared("counts.npy")


def corpus():
    documents = tinyalbert("pretraining.corpus").documents
    rows = lines({"text": "One sentence. Another one."}, {"text": ["a", "b"]})
    read = in_file("a.jsonl", lambda path: list(documents([path], "jsonl")))
    return rows, read


def prose():
    documents = tinyalbert("pretraining.corpus").documents
    return [b"One sentence. Another one.\n\n\nA = B\n", b" = Title = \n\n text . \n"], in_file(
        "a.txt", lambda path: list(documents([path]))
    )


def table():
    read = tinyalbert("tasks.tables").read_table
    seeds = [
        b'text,label\nit is good,1\n"bad, so",0\n',
        b"label\tsentence\nyes\tok then\n",
        b"__label__a some text\n__label__b x\n",
    ]
    return seeds, in_file("table", lambda path: read(path))


def table_json():
    read = tinyalbert("tasks.tables").read_table
    row = {"text": "it is good", "label": 1, "other": None}
    return [*lines(row, row), *as_json([row, row], {"text": ["a", "b"], "label": [0, 1]})], in_file(
        "t.json", lambda path: read(path)
    )


def squad():
    files = tinyalbert("tasks.squad_files")
    bad = tinyalbert("tasks.task").BadRows
    question = {
        "id": "1",
        "question": "who?",
        "answers": [{"text": "Tom", "answer_start": 0}],
        "is_impossible": False,
    }
    whole = {
        "version": "v2.0",
        "data": [{"title": "t", "paragraphs": [{"context": "Tom saw Kim.", "qas": [question]}]}],
    }
    return as_json(whole), in_file(
        "q.json", lambda path: files.read_questions(path, "train", bad())
    )


def choice():
    files = tinyalbert("tasks.choice_files")
    bad = tinyalbert("tasks.task").BadRows
    row = {"question": "who?", "choices": ["Tom", "Kim"], "answer": 1, "article": "Tom saw Kim."}
    race = {
        "article": "Tom saw.",
        "questions": ["who?"],
        "options": [["Tom", "Kim", "Al", "Bo"]],
        "answers": ["A"],
        "id": "h1",
    }
    return [*lines(row, row), *as_json([row], race)], in_file(
        "q.jsonl", lambda path: files.read_questions(path, "train", bad())
    )


def summary():
    files = tinyalbert("tasks.summary_files")
    bad = tinyalbert("tasks.task").BadRows
    row = {"text": "Tom saw Kim. Kim ran.", "summary": "Kim ran."}
    other = {"sentences": ["Tom saw Kim.", "Kim ran."], "summary": ["Kim ran."]}
    return lines(row, other), in_file(
        "s.jsonl",
        lambda path: list(files.read_documents(str(path), "train", bad())),
    )


def pairs():
    files = tinyalbert("tasks.sentence_pairs")
    bad = tinyalbert("tasks.task").BadRows
    return lines(
        {"source": "a b", "target": "c d"}, {"translation": {"en": "a", "fr": "b"}}
    ), in_file("p.jsonl", lambda path: list(files.read_pairs(str(path), "train", bad())))


def columns():
    files = tinyalbert("tasks.conll")
    bad = tinyalbert("tasks.task").BadRows
    return [
        b"Tom B-PER\nsaw O\n\nKim B-PER\n",
        b"-DOCSTART- -X- O\n\nTom NNP I-NP B-PER\n",
    ], in_file("n.txt", lambda path: files.read_sentences(str(path), bad()))


def entities():
    files = tinyalbert("tasks.conll")
    bad = tinyalbert("tasks.task").BadRows
    row = {"tokens": ["Tom", "saw"], "tags": ["B-PER", "O"]}
    other = {"text": "Tom saw", "entities": [[0, 3, "PER"]]}
    return [*lines(row, other), *as_json([row, other])], in_file(
        "n.jsonl", lambda path: files.read_sentences(str(path), bad())
    )


READERS = {
    reader.__name__.replace("_", "-"): reader
    for reader in (
        json_text,
        config,
        info,
        tokenizer_config,
        tokenizer_json,
        spiece,
        protobuf,
        safetensors,
        shard_index,
        torch_zip,
        torch_stream,
        tensorflow,
        options_file,
        toml_file,
        pretrain_settings,
        finetune_settings,
        training_state,
        log,
        meta,
        offsets,
        documents_file,
        ids,
        held_out,
        counts,
        corpus,
        prose,
        table,
        table_json,
        squad,
        choice,
        summary,
        pairs,
        columns,
        entities,
    )
}

# --- inputs made by hand ----------------------------------------------------------------------------------------

NASTY = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2.5,
    -0.0,
    10**30,
    2**63,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "1",
    "\x00",
    "\ud800",
    "..",
    "/etc/passwd",
    "x" * 3000,
    [],
    {},
    [None],
    [[]],
    [-1],
    [2**63],
    [True],
    ["a"],
    {"a": 1},
    {"": None},
]


def places(value, here=()):
    """The way to each value inside a JSON value."""
    yield here
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*here, key))


def changed(value, place, new):
    """A copy of a JSON value with another one, or nothing (...), at a place."""
    copy = json.loads(json.dumps(value))
    if not place:
        return copy if new is ... else new
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return copy


def by_hand(seeds):
    """Every nasty value in every place of the seeds that are JSON, and bytes that fit every reader."""
    yield from (
        b"",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"\x80\x02.",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"\r\n\r\n",
    )
    yield from (
        b"[" * 5000,
        b'{"a":' * 5000,
        b"9" * 5000,
        b"[" * 300 + b"]" * 300,
        b'"\\ud800"',
        b"-" + b"9" * 400,
        b"1e999",
    )
    for seed in seeds:
        yield seed
        for size in range(0, len(seed), max(1, len(seed) // 60)):
            yield seed[:size]
        try:
            values = [json.loads(line) for line in seed.splitlines()]
        except ValueError:
            continue
        for value in values[:2]:
            for place in list(places(value))[:40]:
                for new in (*NASTY, ...):
                    yield json.dumps(changed(value, place, new)).encode() + b"\n"
            if isinstance(value, dict) and value:
                name = json.dumps(next(iter(value)))
                yield json.dumps(value)[:-1].encode() + b", " + name.encode() + b": 1}"


# --- one reader in its process ----------------------------------------------------------------------------------


class Run:
    """Gives inputs to a reader and counts what comes out."""

    def __init__(self, name, most, keep):
        self.name = name
        self.most = most
        self.keep = keep
        self.counts = collections.Counter()
        self.slowest = 0.0
        self.error = tinyalbert("").UserError
        self.seeds, self.read = READERS[name]()

    def __call__(self, data):
        begun = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            self.read(data)
            outcome = "read"
        except self.error:
            outcome = "refused"
        except (Exception, TooLong) as error:
            outcome = self.found(error, data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.counts[outcome] += 1
        self.slowest = max(self.slowest, time.process_time() - begun)
        if sum(self.counts.values()) % 500 == 0:
            self.report()

    def found(self, error, data):
        """The name of a finding: what came out, and from which of our lines."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [
            f for f in frames if "tinyalbert" in f.filename and "scripts" not in f.filename
        ] or frames
        place = f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}"
        if place not in self.counts:
            path = Path(self.keep) / f"{self.name}-{place.replace(' ', '-').replace(':', '-')}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.with_suffix(".txt").write_text("".join(traceback.format_exception(error))[-3000:])
        return place

    def report(self):
        line = {"reader": self.name, "slowest": round(self.slowest, 2), "counts": self.counts}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        REPORT.write_text(json.dumps({**line, "MiB": memory}))


REPORT = None  # the file in which a child says how far it is


def too_long(*_):
    raise TooLong


def child(name, most, seed, keep, report, plain):
    """Fuzz one reader in this process."""
    global REPORT
    REPORT = Path(report)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, too_long)
    instrumented = contextlib.nullcontext()
    if not plain:
        import atheris

        instrumented = atheris.instrument_imports(include=["tinyalbert"])
    with instrumented:  # what a reader needs is imported when it is made
        run = Run(name, most, keep)
    made = list(by_hand(run.seeds))
    for data in made[:: max(1, 2 * len(made) // most)]:
        run(data)
    run.report()
    left = max(0, most - sum(run.counts.values()))
    if plain:
        mutate(run, left, random.Random(seed))
        run.report()
        return
    seeds = FOLDER / "seeds"
    seeds.mkdir(parents=True)
    for i, data in enumerate(run.seeds):
        (seeds / str(i)).write_bytes(data)
    (FOLDER / "words").write_text("".join(f'"{word}"\n' for word in WORDS))
    import atexit

    atexit.register(run.report)
    atheris.Setup(
        [
            sys.argv[0],
            f"-runs={left}",
            f"-seed={seed}",
            f"-max_len={LONGEST}",
            "-timeout=0",
            "-rss_limit_mb=0",
            f"-dict={FOLDER / 'words'}",
            f"-artifact_prefix={FOLDER}/",
            str(seeds),
        ],
        run,
    )
    atheris.Fuzz()


WORDS = [
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "-1",
    "0.5",
    "1e999",
    "[]",
    "{}",
    "\\\\ud800",
    "[[[[",
    "]]]]",
    ": ",
    ", ",
    "99999999999999999999",
    "F32",
    "BF16",
    "shape",
    "data_offsets",
    "..",
    "\\\\n",
    "\\x00",
    "\\xff",
    "\\x80",
    "\\x86",
    "\\x85",
    "q\\x01h\\x01",
    "ctorch\\x0a",
    "\\x7f\\xff\\xff\\xff",
]


def mutate(run, most, rng):
    """The plain way: change inputs that are known, and keep those that reach a new line."""
    known = list(run.seeds)
    reached = set()
    package = str(ROOT / "tinyalbert")

    def tracer(frame, event, _):
        if not frame.f_code.co_filename.startswith(package):
            return None
        new.add((frame.f_code.co_filename, frame.f_lineno))
        return tracer

    for _ in range(most):
        data = mutated(rng, rng.choice(known), rng.choice(known))
        new = set()
        sys.settrace(tracer)
        try:
            run(data)
        finally:
            sys.settrace(None)
        if not new <= reached:
            reached |= new
            known.append(data)


def mutated(rng, data, other):
    """Some bytes of `data` changed, removed, repeated, or taken from `other`."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(data) + 1)
        size = rng.choice([1, 1, 2, 4, 8, 30])
        way = rng.randrange(6)
        if way == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif way == 1:
            del data[at : at + size]
        elif way == 2:
            data[at:at] = data[at : at + size]
        elif way == 3:
            begin = rng.randrange(len(other) + 1)
            data[at : at + size] = other[begin : begin + size]
        elif way == 4:
            word = rng.choice(WORDS).encode().decode("unicode_escape").encode("latin-1")
            data[at : at + rng.choice([0, len(word)])] = word
        else:
            data[at : at + 8] = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1]).to_bytes(
                8, "little"
            )
    return bytes(data[:LONGEST])


# --- all of them ------------------------------------------------------------------------------------------------


def fuzzed(name, most, seed, keep, plain):
    """One reader in processes of their own, until it had so many inputs; returns its counts."""
    counts = collections.Counter()
    slowest = memory = 0
    begun = time.perf_counter()
    while sum(counts.values()) < most:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report"
            words = [
                sys.executable,
                __file__,
                "--child",
                name,
                "--inputs",
                str(most - sum(counts.values())),
                "--seed",
                str(seed),
                "--keep",
                keep,
                "--report",
                str(report),
                *(["--plain"] if plain else []),
            ]
            done = subprocess.run(words, capture_output=True, text=True, errors="replace")
            found = (
                json.loads(report.read_text())
                if report.exists()
                else {"counts": {}, "slowest": 0, "MiB": 0}
            )
        counts.update(found["counts"])
        slowest, memory = max(slowest, found["slowest"]), max(memory, found["MiB"])
        if sum(counts.values()) < most:
            if done.returncode:
                counts[f"the process ended with {done.returncode}"] += 1
                Path(keep).mkdir(parents=True, exist_ok=True)
                (Path(keep) / f"{name}-ended-with-{done.returncode}.txt").write_text(
                    done.stderr[-3000:]
                )
            if not found["counts"]:
                print(done.stderr[-2000:])
                break
        seed += 1
    passed = counts.pop("read", 0), counts.pop("refused", 0)
    print(
        f"{name:20s}{sum(passed) + sum(counts.values()):9,d} inputs, {passed[0]:8,d} read, {passed[1]:8,d} refused, "
        f"{sum(counts.values()):5,d} else; slowest {slowest:.2f} s, {memory} MiB, {time.perf_counter() - begun:.0f} s",
        flush=True,
    )
    for what, count in counts.most_common():
        print(f"    {count:7,d} {what}", flush=True)
    return counts


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help="those to fuzz (default: all)")
    parser.add_argument(
        "--inputs",
        type=int,
        default=100_000,
        metavar="N",
        help="for each reader (default: 100,000)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    parser.add_argument(
        "--quick", action="store_true", help="400 inputs each, by the plain mutator"
    )
    parser.add_argument(
        "--plain", action="store_true", help="the plain mutator, though atheris is there"
    )
    parser.add_argument(
        "--keep", default="fuzz-findings", metavar="FOLDER", help="where the inputs of findings go"
    )
    parser.add_argument("--list", action="store_true", help="the readers")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--report", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.list:
            print("\n".join(READERS))
            return 0
        if options.child:
            child(
                options.child,
                options.inputs,
                options.seed,
                options.keep,
                options.report,
                options.plain,
            )
            return 0
        unknown = [name for name in options.readers if name not in READERS]
        if unknown:
            parser.error(f"there is no reader {unknown[0]}; expected some of {', '.join(READERS)}")
        plain = options.plain or options.quick or not importlib.util.find_spec("atheris")
        most = 400 if options.quick else options.inputs
        found = [
            fuzzed(name, most, options.seed, options.keep, plain)
            for name in options.readers or READERS
        ]
        return int(any(found))
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
