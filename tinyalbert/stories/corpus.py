"""The built-in corpus of stories, from one simulated world (`world`).

    for sentences in documents(20_000): ...                    # text to pretrain on

Labelled rows for every task come from the same world: tasks.py.  The test split has other names and ways of
telling that the train split never uses.
"""

from ..errors import UserError
from ..files.writing import replacing
from .world import make_story


def generate(n, seed=0, split="train", start=0):
    """Stories start .. start + n of a seed and a split ("train" or "test"), one by one."""
    if split not in ("train", "test"):
        raise UserError(f'split {split!r} is unknown; expected "train" or "test"')
    if n < 0 or start < 0 or seed < 0:
        raise UserError(
            f"got n={n}, start={start}, seed={seed}; expected numbers that are not negative"
        )
    for index in range(start, start + n):
        yield make_story(index, seed, split)


def documents(n, seed=0, split="train"):
    """n documents of 5 to 12 sentences: lists of str."""
    for story in generate(n, seed, split):
        yield story.sentences


def write_corpus(path, n, seed=0, split="train"):
    """Write n stories as pretraining reads them: one sentence a line, a blank line between documents."""
    with replacing(path, text=True) as file:
        for sentences in documents(n, seed, split):
            file.write("\n".join(sentences) + "\n\n")
