"""Prepared folders written straight from ids, for tests that need no tokenizer."""

import json

import numpy as np

SPECIAL = {"pad": 0, "cls": 2, "sep": 3, "mask": 4}


def write_shards(folder, documents, vocab_size=64, word_start=None, held_out=()):
    """documents: lists of sentences, lists of ids.  Lays the folder out as shards.prepare does; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    sentences = [s for d in documents for s in d]
    tokens = np.concatenate([np.asarray(s) for s in sentences]).astype("<u2")
    tokens.tofile(folder / "tokens.bin")
    np.cumsum([0, *map(len, sentences)]).astype("<i8").tofile(folder / "sentences.bin")
    np.cumsum([0, *map(len, documents)]).astype("<i8").tofile(folder / "documents.bin")
    np.save(folder / "held_out.npy", np.array(held_out, dtype=np.int64))
    np.save(folder / "counts.npy", np.bincount(tokens, minlength=vocab_size))
    np.save(folder / "word_start.npy", np.ones(vocab_size, bool) if word_start is None else word_start)
    meta = {"format": 1, "vocab_size": vocab_size, "dtype": "uint16", "tokens": len(tokens), "special_ids": SPECIAL,
            "sentences": len(sentences), "documents": len(documents), "tokenizer_sha256": "",
            "held_out_documents": len(held_out), "unigram_entropy": 1.0}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def random_documents(rng, documents=20, most_sentences=12, most_pieces=15, vocab_size=64):
    """Documents of random ids; the first piece of a sentence is 5 and its last is 6, 5 and 6 stand nowhere else."""
    return [[[5, *rng.integers(7, vocab_size, rng.integers(0, most_pieces)).tolist(), 6]
             for _ in range(rng.integers(1, most_sentences + 1))] for _ in range(documents)]
