"""How well a model guesses the words of a text, in nats a word and a character.

Losses in nats a piece do not compare across vocabularies, since a larger one has longer pieces.  So
whole words are masked here, as the text has them between its spaces, and the losses of a word's
pieces are added up; the sum over the text is divided by its words, or by its characters.  Every
word is masked once: the text is read in ROUNDS rounds, in each of which every ROUNDS-th word of a
window is hidden, about the share that pretraining hides.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from ..files.checkpoint import read_config
from ..heads import IGNORE, AlbertForMaskedLM
from ..modes import no_grad
from ..pretraining.corpus import documents
from ..text.tokenizer import AlbertTokenizer
from ..text.vocabulary import SPACE
from ..training.replicas import Threads
from .inference import check_fits, load_trained

ROUNDS = 7
TOKENS = 4096  # of a batch
PRETRAINED = ("AlbertForPreTraining", "AlbertForMaskedLM")


def is_pretrained(folder):
    """Whether a folder holds a model of words, and none for a task."""
    extra = read_config(folder).extra
    named = (extra.get("architectures") or [None])[0]
    return named in PRETRAINED and "finetuning_task" not in extra


def is_labelled(source):
    """Whether a source is rows of a task by its name: a table, or built-in rows with labels."""
    name, _, rest = str(source).partition(":")
    return Path(source).suffix in (".tsv", ".csv") or (name == "stories" and rest[:1].isalpha())


class Window(NamedTuple):
    """Neighbouring sentences of one document that fit into a sequence."""

    ids: np.ndarray  # (n,) without [CLS] and [SEP]
    words: np.ndarray  # (n,) the number of each piece's word, from 0


def evaluate_text(folder, sources, length=None, words=None, threads=None, device="cpu", say=print):
    """{metric: number} of a pretrained folder on a text.

    Metrics: loss_per_word, loss_per_character (a word and the space before it), loss_per_piece,
    pieces_right, and what was read: words, characters, pieces.
    sources: files, folders or built-in text, as `pretrain` reads them.  length: tokens of a
    sequence, by default the model's positions.  words: about so many, from windows spread over the
    text; by default all.
    """
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    model = load_trained(
        AlbertForMaskedLM, folder, "head for masked words", "pretrain TEXT --init FOLDER"
    )
    check_fits(tokenizer, model.config, folder)
    model.to(device)
    longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    if length is not None and not 8 <= length <= longest:
        raise UserError(f"sequences of {length} tokens; expected 8 to {longest}")
    windows = windows_of(documents(sources), tokenizer, length or longest)
    if not windows:
        raise UserError(f"{sources} has no words; expected text")
    chosen = spread(windows, words)
    if len(chosen) < len(windows):
        say(f"{len(chosen):,} of {len(windows):,} windows are read")
    replicas = Threads(threads)
    try:
        return text_losses(model, tokenizer, chosen, replicas)
    finally:
        replicas.close()


def windows_of(texts, tokenizer, length):
    """[Window, ...] of documents, lists of sentences; a sentence that is too long is cut up."""
    begins = np.array([piece.startswith(SPACE) for piece in tokenizer.get_vocab()])
    windows = []
    room = length - 2
    for sentences in texts:
        ids = [part for part in tokenizer.encode_batch_ids(sentences, False) if len(part)]
        current = []
        for sentence in ids:
            if current and len(sentence) + sum(map(len, current)) > room:
                windows.append(np.concatenate(current))
                current = []
            current.append(sentence)
        if current:
            windows.append(np.concatenate(current))
    cut = [part for ids in windows for part in parts_of(ids, begins[ids], room)]
    return [Window(ids, word_numbers(begins[ids])) for ids in cut]


def parts_of(ids, begins, room):
    """Parts of at most `room` pieces; a word is cut only if it is longer than that."""
    parts = []
    while len(ids) > room:
        starts = np.flatnonzero(begins[: room + 1])
        end = int(starts[-1]) if len(starts) and starts[-1] else room
        parts.append(ids[:end])
        ids, begins = ids[end:], begins[end:]
    return [*parts, ids]


def word_numbers(begins):
    """The number of each piece's word (n,); begins (n,): whether a piece begins one."""
    begins = begins.copy()
    begins[:1] = True
    return np.cumsum(begins) - 1


def spread(windows, words):
    """About `words` words in windows that lie evenly over all; all windows if words is None."""
    total = sum(int(window.words[-1]) + 1 for window in windows)
    if words is None or total <= words:
        return windows
    count = max(1, round(len(windows) * words / total))
    return [windows[i] for i in np.linspace(0, len(windows) - 1, count).astype(int)]


def masked_rows(window, tokenizer):
    """[(ids (n + 2,), labels (n + 2,)), ...]: each word of the window masked in one of the rows."""
    rows = []
    for round_ in range(min(ROUNDS, int(window.words[-1]) + 1)):
        hidden = window.words % ROUNDS == round_
        ids = np.where(hidden, tokenizer.mask_token_id, window.ids)
        labels = np.where(hidden, window.ids, IGNORE)
        rows.append(
            (
                np.concatenate([[tokenizer.cls_token_id], ids, [tokenizer.sep_token_id]]),
                np.concatenate([[IGNORE], labels, [IGNORE]]),
            )
        )
    return rows


def text_losses(model, tokenizer, windows, replicas):
    """The metrics of evaluate_text."""
    lengths = np.array([len(piece) for piece in tokenizer.get_vocab()])
    lengths[tokenizer.unk_token_id] = 1
    windows = sorted(windows, key=lambda window: len(window.ids))
    rows = [row for window in windows for row in masked_rows(window, tokenizer)]
    model.eval()
    sums = np.zeros(2)  # loss, right pieces
    for found in replicas.run(lambda part: _losses(model, part), batches(rows)):
        sums += found
    pieces = sum(len(window.ids) for window in windows)
    words = sum(int(window.words[-1]) + 1 for window in windows)
    characters = sum(int(lengths[window.ids].sum()) for window in windows)
    loss, right = sums.tolist()
    return {
        "loss_per_word": loss / words,
        "loss_per_character": loss / characters,
        "loss_per_piece": loss / pieces,
        "pieces_right": right / pieces,
        "words": words,
        "characters": characters,
        "pieces": pieces,
    }


def batches(rows):
    """The rows in lists of about TOKENS tokens."""
    parts = [[]]
    for row in rows:
        if parts[-1] and (len(parts[-1]) + 1) * len(row[0]) > TOKENS:
            parts.append([])
        parts[-1].append(row)
    return parts


def _losses(model, rows):
    """(sum of the losses, guessed pieces) of rows, the longest last."""
    T = len(rows[-1][0])
    ids = np.zeros((len(rows), T), np.int32)
    labels = np.full((len(rows), T), IGNORE, np.int32)
    mask = np.zeros((len(rows), T), np.int32)
    for i, (row, targets) in enumerate(rows):
        ids[i, : len(row)] = row
        labels[i, : len(row)] = targets
        mask[i, : len(row)] = 1
    with no_grad():
        states = model.albert(ids, mask).last_hidden_state  # (B, T, H)
        scores = model.word_scores(states[labels != IGNORE]).numpy().astype(np.float64)  # (K, V)
    targets = labels[labels != IGNORE]
    scores -= scores.max(axis=1, keepdims=True)
    log_p = scores[np.arange(len(targets)), targets] - np.log(np.exp(scores).sum(axis=1))
    return np.array([-log_p.sum(), (scores.argmax(axis=1) == targets).sum()])
