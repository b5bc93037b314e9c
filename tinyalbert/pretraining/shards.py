"""Corpora -> a folder of token ids that is mapped into memory, written once by `prepare`.

  tokens.bin      the pieces of all documents; uint16, or int32 for a large vocabulary
  sentences.bin   int64, where each sentence begins in tokens.bin, and the end
  documents.bin   int64, where each document begins in sentences.bin, and the end
  held_out.npy    numbers of the documents kept from training, drawn by a seed
  word_start.npy  booleans: which pieces begin a word
  counts.npy      how often each piece occurs
  meta.json       counts, entropies, the tokenizer's fingerprint; written last
  and the tokenizer's own files.

Text streams through worker processes block by block (corpus.py) and comes back as arrays in its
original order, so memory does not grow with the corpus and the files do not depend on the number of
workers.  All is written into `.partial` in the folder and moved from there when it is complete.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import signal
import threading
from collections import deque
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from ..checks import COUNT, REAL, TEXT, WHOLE, Maybe, Number, OneOf, checked
from ..errors import LACKS, UserError, advice_for
from ..files.taken import FULL, LOCK, PROCESS, check_writable, taken
from ..files.writing import replacing, sync_folder
from ..strict_json import read_json
from ..training.replicas import launched_ranks, physical_cores
from .corpus import (
    DOCUMENT_SENTENCES,
    Account,
    all_bad_files,
    as_list,
    check_sources,
    parse,
    read_blocks,
    source_bytes,
)

FORMAT = 1  # raised when a folder is laid out in another way
META = {  # the least that reading needs
    "vocab_size": Number(int, 1, most=1 << 24),
    "dtype": OneOf("uint16", "int32"),
    "tokens": Number(int, 1, most=1 << 48),
    "sentences": Number(int, 1, most=1 << 48),
    "documents": Number(int, 1, most=1 << 48),
    "tokenizer_sha256": TEXT,
    "sha256": Maybe(TEXT),
    "special_ids": dict.fromkeys(("pad", "cls", "sep", "mask"), WHOLE),
    "held_out_documents": WHOLE,
    "unigram_entropy": REAL,
    "held_out_unigram_loss": Maybe(REAL),
    "one_sentence_documents": Maybe(WHOLE),
}
AGAIN = "prepare the corpus again"
# How np.save begins a file of one axis; its own reader would evaluate what stands there.
NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([\w<|]{2,5})', 'fortran_order': (?:False|True), "
    rb"'shape': \((\d{1,15}),\), \} *\n",
    re.DOTALL,
)
PART = 1 << 22  # numbers that are looked at at once
FILES = ("tokens.bin", "sentences.bin", "documents.bin")
COMPLETE = "meta.json"  # the last of the files to be written, and to be moved
PARTIAL = ".partial"  # where a folder is written until it is complete
TOKENS, SENTENCES, DOCUMENTS = range(3)  # places in FILES
TASK_BYTES = 1 << 18  # small files travel to a worker together
SMALL_CORPUS = 4 << 20  # below that, starting processes costs more than it earns


# --- in a worker ----------------------------------------------------------------------------------


def _end_with_parent():
    """Let this worker end as soon as the process that started it has ended, however that was."""
    from multiprocessing import connection, parent_process

    def wait():
        connection.wait([parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@functools.lru_cache(maxsize=1)
def _tokenizer(folder, sha256):
    """The tokenizer of a folder, read once for as long as its fingerprint is the same."""
    from ..text.tokenizer import AlbertTokenizer

    return AlbertTokenizer.from_pretrained(folder)


def encode_blocks(folder, sha256, blocks):
    """Encode blocks of text; returns their tokens and the lengths of sentences and documents.

    Blocks -> tokens (N,), sentence lengths (S,), sentences per document (D,), continues (D,).

    continues: whether a document goes on the last one of the blocks before.  This is a pure
    function of its arguments, so any process on any machine that sees the tokenizer's folder can
    run it.  The fingerprint sha256 makes sure that a cached tokenizer is used only if it is the
    same.
    """
    sentences = []
    per_document = []
    goes_on = []
    for block in blocks:
        for index, document in enumerate(parse(block)):
            sentences += document
            per_document.append(len(document))
            goes_on.append(block.continues and index == 0)
    tokenizer = _tokenizer(folder, sha256)
    ids = tokenizer.encode_batch_ids(sentences, special_tokens=False)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    tokens = np.concatenate([np.asarray(i) for i in ids]) if ids else np.zeros(0)
    tokens = tokens.astype(token_dtype(tokenizer.vocab_size))
    # only sentences that have pieces count
    document = np.repeat(np.arange(len(per_document)), per_document)
    per_document = np.bincount(document[lengths > 0], minlength=len(per_document))
    return tokens, lengths[lengths > 0], per_document, np.array(goes_on)


def token_dtype(vocab_size):
    """The smallest of uint16 and int32 that holds all ids."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.int32)


def fingerprint(tokenizer):
    """sha256 of spiece.model: ids of tokenizers with another one mean something else."""
    return hashlib.sha256(tokenizer.model_bytes).hexdigest()


# --- in the main process --------------------------------------------------------------------------


def _tasks(blocks):
    """Lists of consecutive Blocks with about TASK_BYTES of text."""
    task = []
    size = 0
    for block in blocks:
        task.append(block)
        size += len(block.text) or TASK_BYTES
        if size >= TASK_BYTES:
            yield task
            task = []
            size = 0
    if task:
        yield task


@contextmanager
def _ctrl_c_blocked():
    """Processes started in here never see Ctrl-C: their parent does, and stops them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it later would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_order(pool, workers, function, tasks):
    """function(task) for each task, in the order of the tasks, with few in memory at a time."""
    if pool is None:
        yield from map(function, tasks)
        return
    running = deque()
    try:
        for task in tasks:
            running.append(pool.submit(function, task))
            if len(running) > 2 * workers + 2:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()


class _Writer:
    """Appends documents to the three files and counts pieces."""

    def __init__(self, folder, vocab_size, stack):
        self.dtype = token_dtype(vocab_size)
        self.files = [stack.enter_context(open(folder / name, "wb")) for name in FILES]
        self.digests = [hashlib.sha256() for _ in FILES]
        self.counts = np.zeros(vocab_size, np.int64)
        self.tokens = self.sentences = self.documents = 0
        self.single = 0  # documents of one sentence
        self.open = 0  # sentences so far of the last document
        self._put(SENTENCES, np.zeros(1))
        self._put(DOCUMENTS, np.zeros(1))

    def _put(self, file, offsets):
        """Append int64 offsets to a file."""
        self._append(file, np.asarray(offsets, "<i8").tobytes())

    def _append(self, file, data):
        self.files[file].write(data)
        self.digests[file].update(data)

    def add(self, tokens, lengths, per_document, goes_on):
        """Append what encode_blocks returned for the next blocks."""
        self._append(TOKENS, tokens.astype(self.dtype.newbyteorder("<"), copy=False).tobytes())
        self._put(SENTENCES, self.tokens + np.cumsum(lengths))
        self.counts += np.bincount(tokens, minlength=len(self.counts))
        self.tokens += len(tokens)
        ends = []
        for sentences, continues in zip(per_document.tolist(), goes_on.tolist()):
            if not continues:
                ends += self._close()
            self.sentences += sentences
            self.open += sentences
            while self.open > DOCUMENT_SENTENCES:
                ends.append(self.sentences - self.open + DOCUMENT_SENTENCES)
                self.open -= DOCUMENT_SENTENCES
                self.documents += 1
        self._put(DOCUMENTS, ends)

    def _close(self):
        """End the last document, if there is one: a list with its end, or an empty one."""
        if not self.open:
            return []
        self.documents += 1
        self.single += self.open == 1
        self.open = 0
        return [self.sentences]

    def finish(self):
        """End the last document and make sure that everything is on the disk."""
        self._put(DOCUMENTS, self._close())
        for file in self.files:
            file.flush()
            os.fsync(file.fileno())


def _entropy(counts):
    """Entropy in nats of pieces with these counts."""
    p = counts[counts > 0] / max(1, counts.sum())
    return float(-(p * np.log(p)).sum())


def _held_out_count(held_out, documents):
    """How many of the documents to hold out: that number, or that share if it is below 1."""
    if not held_out >= 0 or (held_out > 1 and held_out != int(held_out)):
        raise UserError(
            f"held_out {held_out}; expected a share below 1 or a whole number of documents"
        )
    if held_out < 1:  # a share: nothing of a single document
        return min(documents - 1, max(1, round(held_out * documents))) if held_out else 0
    count = int(held_out)
    if count >= documents:
        raise UserError(
            f"held_out would keep {count} of {documents} document(s) and leave none to train on; "
            "hold out fewer (0 for none), or mark where documents end: a blank line between them "
            "where each line is a sentence, two blank lines in running prose, or a file for each"
        )
    return count


def prepare(
    sources,
    tokenizer,
    out_dir,
    *,
    workers=None,
    held_out=0.05,
    seed=0,
    format=None,
    overwrite=False,
    progress=True,
):
    """Turn corpora into a folder that `PretrainingData` reads; returns meta.json's contents.

    sources: files, folders, `stories`, `python`, or a list of those.
    held_out: how many documents, or which share of them, to keep from training.
    workers: number of processes, one per core if None; with one, and for little text, everything
    happens in this process.  Under `mpiexec -n N` the other N - 1 ranks are the workers, if they
    see the same disk; they return None.
    """
    sources = as_list(sources)
    out_dir = Path(out_dir).resolve()

    def with_workers(pool, workers):
        _held_out_count(held_out, 1 << 62)  # refuse nonsense before the work
        check_target(out_dir, overwrite)
        check_sources(sources, out_dir)
        account = Account()
        with taken(out_dir):
            check_target(out_dir, overwrite)  # another process may have made it meanwhile
            with _moved_when_complete(out_dir) as folder, all_bad_files(sources, format):
                writer = _write(
                    pool, workers, sources, tokenizer, folder, format, progress, account
                )
                return _describe(writer, sources, account, tokenizer, folder, held_out, seed)

    if launched_ranks().size == 1:
        return with_workers(None, workers or physical_cores())
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    # the pool is None on the other ranks, once everything is done
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as pool:
        return None if pool is None else with_workers(pool, MPI.COMM_WORLD.size)


def check_target(out_dir, overwrite):
    """Refuse an existing folder, unless it is empty or a prepared corpus that may be replaced.

    What a process that died has left of a preparation counts as nothing.
    """
    if not out_dir.exists():
        return
    if out_dir.is_dir():
        check_writable(out_dir)
        names = {path.name for path in out_dir.iterdir()} - {LOCK, PROCESS, PARTIAL}
        complete = (out_dir / COMPLETE).exists()
        if not names or (not complete and (out_dir / PARTIAL / COMPLETE).is_file()):
            return
    if not all((out_dir / name).is_file() for name in (COMPLETE, *FILES)):
        raise UserError(
            f"{out_dir} already exists and is no prepared corpus, so it is not replaced; name "
            "another folder"
        )
    if not overwrite:
        raise UserError(
            f"{out_dir} already exists; name another folder, or say overwrite (--overwrite)"
        )


@contextmanager
def _moved_when_complete(out_dir):
    """A folder in out_dir, whose files move to out_dir once it is complete."""
    partial = out_dir / PARTIAL
    try:
        finish_moving(out_dir)
        shutil.rmtree(partial, ignore_errors=True)  # of a process that died
        partial.mkdir()
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finish_moving(out_dir)
    except OSError as error:
        if error.errno in FULL:
            raise UserError(
                f"the disk of {out_dir} is full; make room there, or write to another disk"
            ) from None
        raise UserError(f"{out_dir} can't be written: {advice_for(error)}") from None
    except BrokenExecutor as error:
        raise UserError(
            f"a worker process died ({error}), perhaps for lack of memory; try fewer workers "
            "(--workers)"
        ) from None


def finish_moving(folder):
    """Move the files of a complete preparation to their place, if there are such.

    Whoever is killed in between leaves the rest for the next one, whose move ends in the same
    folder: the file that tells that it is complete moves last.
    """
    partial = Path(folder) / PARTIAL
    if not (partial / COMPLETE).is_file():
        return
    names = sorted(path.name for path in partial.iterdir())
    for name in sorted(names, key=COMPLETE.__eq__):
        os.replace(partial / name, partial.parent / name)
    partial.rmdir()
    sync_folder(partial.parent)


def _write(pool, workers, sources, tokenizer, folder, format, progress, account):
    """Stream the text through the workers into the three large files."""
    tokenizer.save_pretrained(folder)  # the workers read it from there
    size = source_bytes(sources)
    with ExitStack() as stack:
        if pool is None and workers > 1 and (size is None or size > SMALL_CORPUS):
            pool = stack.enter_context(_started_pool(workers))
        bar = stack.enter_context(_bar(size, progress))
        writer = _Writer(folder, tokenizer.vocab_size, stack)
        advance = bar.update if size else lambda _: None
        tasks = _tasks(read_blocks(sources, format, advance, account))
        encode = functools.partial(encode_blocks, str(folder), fingerprint(tokenizer))
        for arrays in _in_order(pool, workers, encode, tasks):
            writer.add(*arrays)
            bar.update(0 if size else writer.documents - bar.n)
            bar.set_postfix_str(f"{writer.tokens / 1e6:.1f} M pieces", refresh=False)
        writer.finish()
    if not writer.tokens:
        raise UserError(f"no text in {', '.join(map(str, sources))}; expected sentences")
    return writer


def _started_pool(workers):
    """A pool whose processes have all been started, with Ctrl-C blocked."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
    with _ctrl_c_blocked():
        for _ in range(workers):  # each starts one
            pool.submit(int)
    return pool


def _bar(size, progress):
    """A progress bar over bytes, or over documents if the size is None."""
    from tqdm import tqdm

    return tqdm(
        total=size,
        unit="B" if size else " documents",
        unit_scale=True,
        desc="prepare",
        disable=None if progress else True,
    )


def _describe(writer, sources, account, tokenizer, folder, held_out, seed):
    """Draw the held-out documents and write the small files; returns what meta.json holds."""
    count = _held_out_count(held_out, writer.documents)
    held = np.sort(np.random.default_rng(seed).choice(writer.documents, count, replace=False))
    np.save(folder / "held_out.npy", held.astype(np.int64))
    np.save(folder / "counts.npy", writer.counts)
    np.save(folder / "word_start.npy", tokenizer.word_starts)
    meta = {
        "format": FORMAT,
        "sources": [str(s) for s in sources],
        "read": account.describe(),
        "vocab_size": tokenizer.vocab_size,
        "dtype": writer.dtype.name,
        "tokenizer_sha256": fingerprint(tokenizer),
        "sha256": hashlib.sha256(b"".join(each.digest() for each in writer.digests)).hexdigest(),
        "tokens": writer.tokens,
        "sentences": writer.sentences,
        "documents": writer.documents,
        "one_sentence_documents": writer.single,
        "held_out_documents": count,
        "seed": seed,
        "special_ids": {
            name: getattr(tokenizer, f"{name}_token_id") for name in ("pad", "cls", "sep", "mask")
        },
    }
    held_counts = Shards(folder, meta).piece_counts(held)
    train_counts = writer.counts - held_counts
    meta["held_out_tokens"] = int(held_counts.sum())
    meta["unigram_entropy"] = _cross_entropy(train_counts, train_counts)
    meta["held_out_unigram_loss"] = _cross_entropy(held_counts, train_counts + 1) if count else None
    with replacing(folder / COMPLETE) as file:
        file.write(json.dumps(meta, indent=2).encode())
    return meta


def _cross_entropy(counts, model_counts):
    """Mean loss in nats of a model that knows only frequencies, on pieces with these counts."""
    seen = counts > 0
    log_p = np.log(model_counts[seen] / model_counts.sum())
    return float(-(counts[seen] * log_p).sum() / counts.sum())


# --- reading --------------------------------------------------------------------------------------

_CHECKED = set()  # (file, time of its last change) of folders whose numbers were looked at


def _rises(numbers):
    """Whether each number is larger than the one before; read part by part."""
    parts = (numbers[at : at + PART + 1] for at in range(0, len(numbers), PART))
    return all((part[1:] > part[:-1]).all() for part in parts)  # a difference could overflow


def _within(numbers, end):
    """Whether all numbers are at least 0 and below `end`."""
    parts = (numbers[at : at + PART] for at in range(0, len(numbers), PART))
    return all(part.min() >= 0 and part.max() < end for part in parts)


class Shards:
    """A prepared folder, mapped into memory.

    tokens (N,), sentences (S + 1,), documents (D + 1,); held_out, counts (V,), word_start (V,).
    All numbers are looked at once in a process, so that none points outside the folder.
    """

    def __init__(self, folder, meta=None):
        self.folder = Path(folder)
        if meta is None and (self.folder / PARTIAL / COMPLETE).is_file():
            with taken(self.folder):
                finish_moving(self.folder)
        self.meta = meta or self._read_meta()
        token_type = np.dtype(self.meta["dtype"]).newbyteorder("<")
        offset = np.dtype("<i8")
        self.tokens = self._map(FILES[TOKENS], token_type, self.meta["tokens"])
        self.sentences = self._map(FILES[SENTENCES], offset, self.meta["sentences"] + 1)
        self.documents = self._map(FILES[DOCUMENTS], offset, self.meta["documents"] + 1)
        pieces = self.meta["vocab_size"]
        self.held_out = self._small("held_out.npy", np.int64)
        self.counts = self._small("counts.npy", np.int64, pieces)
        self.word_start = self._small("word_start.npy", np.bool_, pieces)
        if meta is None and self._read_meta() != self.meta:
            raise UserError(f"{self.folder} was prepared anew while it was read; start again")
        if len(self.held_out) != self.meta["held_out_documents"]:
            raise self._damaged("held_out.npy", f"names {len(self.held_out)} documents")
        self._check_numbers()

    def _read_meta(self):
        """The contents of meta.json, checked."""
        path = self.folder / COMPLETE
        if not path.exists():
            raise UserError(
                f"{self.folder} is no prepared corpus: it has no meta.json"
                + (" (its preparation was not finished)" if self.folder.is_dir() else "")
                + "; make one with `tinyalbert prepare`"
            )
        meta = checked(
            read_json(path, f"what prepare wrote; {AGAIN}"), {"format": COUNT}, path, AGAIN
        )
        if meta["format"] != FORMAT:
            raise UserError(
                f"{self.folder} has layout {meta['format']}; this version reads layout {FORMAT}: "
                "prepare it again"
            )
        meta = checked(meta, META, path, AGAIN)
        special = meta["special_ids"]
        return meta | {"special_ids": {name: special[name] for name in META["special_ids"]}}

    def _damaged(self, name, what):
        return UserError(
            f"{self.folder / name} {what}: the folder is damaged or was copied in part; {AGAIN}"
        )

    def fingerprint(self):
        """sha256 of the ids, of where texts begin and of what is held out.

        Of a folder that an earlier version made, of how often each piece occurs.
        """
        contents = self.meta.get("sha256") or hashlib.sha256(self.counts.tobytes()).hexdigest()
        held_out = hashlib.sha256(self.held_out.astype("<i8").tobytes()).hexdigest()
        about = f"{contents} {self.meta['tokenizer_sha256']} {held_out}"
        return hashlib.sha256(about.encode()).hexdigest()

    def _map(self, name, dtype, size):
        """One of the large files as an array that reads from the disk when it is used."""
        path = self.folder / name
        got = path.stat().st_size if path.is_file() else 0
        if got != size * dtype.itemsize:
            raise self._damaged(name, f"has {got} bytes; expected {size * dtype.itemsize}")
        return np.asarray(np.memmap(path, dtype, mode="r"))  # a plain array: quicker to index

    def _small(self, name, dtype, size=None):
        """One of the small files, of `size` numbers; its header is believed only if it fits."""
        dtype = np.dtype(dtype)
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            if error.errno in LACKS:
                raise
            raise self._damaged(name, f"can't be read ({error.strerror})") from None
        header = NPY.match(content)
        if not header:
            raise self._damaged(name, "does not begin as a file of np.save with one axis")
        data = content[header.end() :]
        found, length = header[1].decode(), int(header[2])
        expected = length if size is None else size
        if found != dtype.str or length != expected or len(data) != length * dtype.itemsize:
            what = f"holds {len(data)} bytes, as {length} numbers of {found}"
            raise self._damaged(name, f"{what}; expected {expected} of {dtype.str}")
        if dtype == np.bool_ and any(byte > 1 for byte in set(data)):
            raise self._damaged(name, "holds other numbers than 0 and 1")
        return np.frombuffer(data, dtype).copy()

    def _check_numbers(self):
        """Refuse offsets and ids that point outside the folder."""
        pieces = self.meta["vocab_size"]
        if not (_rises(self.held_out) and _within(self.held_out, len(self.documents) - 1)):
            raise self._damaged("held_out.npy", "names documents that are not there")
        tokens = len(self.tokens)
        if not _within(self.counts, tokens + 1) or self.counts.sum() != tokens:
            raise self._damaged("counts.npy", "has other counts than tokens.bin")
        if not all(0 <= i < pieces for i in self.meta["special_ids"].values()):
            raise self._damaged(COMPLETE, f"has special_ids beyond the vocabulary of {pieces}")

        files = [self.folder / name for name in FILES]
        state = tuple((str(file), file.stat().st_mtime_ns) for file in files)
        if state in _CHECKED:
            return
        for name, offsets, end in (
            (FILES[SENTENCES], self.sentences, len(self.tokens)),
            (FILES[DOCUMENTS], self.documents, len(self.sentences) - 1),
        ):
            if offsets[0] != 0 or offsets[-1] != end or not _rises(offsets):
                raise self._damaged(name, f"does not rise from 0 to {end}")
        if not _within(self.tokens, pieces):
            raise self._damaged(FILES[TOKENS], f"has ids beyond the vocabulary of {pieces}")
        _CHECKED.add(state)

    def split(self, name):
        """Numbers of the documents of a split, "train" or "held_out", in order."""
        if name not in ("train", "held_out"):
            raise UserError(f"split {name!r} is unknown; expected 'train' or 'held_out'")
        if name == "held_out":
            return self.held_out
        return np.delete(np.arange(self.meta["documents"]), self.held_out)

    def document(self, number):
        """The sentences of a document: a list of arrays of ids."""
        first, last = self.documents[number], self.documents[number + 1]
        bounds = self.sentences[first : last + 1]
        return [self.tokens[lo:hi] for lo, hi in zip(bounds, bounds[1:])]

    def piece_counts(self, documents):
        """How often each piece occurs in some documents: (V,)."""
        counts = np.zeros(self.meta["vocab_size"], np.int64)
        for number in documents:
            lo, hi = self.sentences[self.documents[number : number + 2]]
            np.add.at(counts, self.tokens[lo:hi], 1)
        return counts

    def log_frequencies(self):
        """The logarithm of each piece's share of the training text: (V,).

        A piece that never occurs counts once.  As the decoder's bias this gives an untrained model
        the loss of word frequencies alone, the unigram entropy.
        """
        counts = self.counts - self.piece_counts(self.held_out) + 1.0
        return np.log(counts / counts.sum())

    def check_tokenizer(self, tokenizer):
        """Refuse a tokenizer other than the one that wrote the ids."""
        if fingerprint(tokenizer) != self.meta["tokenizer_sha256"]:
            raise UserError(
                f"the tokenizer (vocabulary of {tokenizer.vocab_size}) is not the one that "
                f"{self.folder} was prepared with (vocabulary of {self.meta['vocab_size']}); use "
                f"the one in {self.folder}, or prepare the corpus again"
            )
