"""Search by meaning: the paragraphs of a folder whose vectors are closest to that of a question."""

import numpy as np

from ..files.checkpoint import read_config
from .documents import read_paragraphs
from .embedding import Texts
from .inference import loaded, predicted


def search(options, say=print):
    """The `top_k` best of the paragraphs of a folder: [{"score", "text", "file", "start", "line"}].

    options: SearchOptions.  The score is the cosine; of equal paragraphs the first in the folder
    counts.  The best k are the first of the best k + 1.
    """
    say_if_untrained(options.model, say)
    paragraphs = {each.text: each for each in reversed(read_paragraphs(options.table, say))}
    paragraphs = sorted(paragraphs.values(), key=lambda each: (each.file, each.start))
    examples = [Texts((options.query,), None, "the query")]
    examples += [Texts((each.text,), None, f"{each.file}, line {each.line}") for each in paragraphs]
    query, *vectors = predicted(*loaded(options, say), examples, options, say)
    scores = np.concatenate(vectors) @ query[0]  # (N,)
    return [
        {"score": float(scores[i]), **vars(paragraphs[i])}
        for i in np.argsort(-scores, kind="stable")[: options.top_k]
    ]


def say_if_untrained(folder, say):
    """Say so if a folder was not fine-tuned for embeddings: its vectors are of little use."""
    if read_config(folder).extra.get("finetuning_task") != "embedding":
        say(
            f"{folder} was not fine-tuned for embeddings: these are means of its hidden states "
            f"(tinyalbert finetune embedding PAIRS --model {folder})"
        )
