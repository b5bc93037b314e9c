"""Search by meaning: the paragraphs of a folder whose vectors are closest to that of a question."""

import numpy as np

from ..backend import check_device
from ..errors import UserError
from ..files.checkpoint import read_config
from ..precision import check_precision
from .documents import read_paragraphs
from .embedding import Texts
from .inference import load_finetuned, predicted


def searcher(options, say=print):
    """A function of queries that returns, for each, the `top_k` best paragraphs of a folder.

    They are {"score", "text", "file", "start", "line"}; the score is the cosine, and of equal
    paragraphs the first in the folder counts.  The best k are the first of the best k + 1.

    options: SearchOptions.
    """
    check_precision(options.precision, check_device(options.device))
    say_if_untrained(options.model, say)
    paragraphs = {each.text: each for each in reversed(read_paragraphs(options.documents, say))}
    paragraphs = sorted(paragraphs.values(), key=lambda each: (each.file, each.start))
    loaded = load_finetuned(options.model, options.device, "embedding", say=say)

    def vectors(texts):
        """(N, H) of (text, where it stands)."""
        examples = [Texts((text,), None, where) for text, where in texts]
        return np.concatenate(predicted(*loaded, examples, options, say))

    known = vectors((each.text, f"{each.file}, line {each.line}") for each in paragraphs)

    def search(queries):
        if not all(query.strip() for query in queries):
            raise UserError("the query is empty")
        scores = vectors((query, "the query") for query in queries) @ known.T  # (queries, N)
        return [
            [
                {"score": float(row[i]), **vars(paragraphs[i])}
                for i in np.argsort(-row, kind="stable")[: options.top_k]
            ]
            for row in scores
        ]

    return search


def say_if_untrained(folder, say):
    """Say so if a folder was not fine-tuned for embeddings: its vectors are of little use."""
    if read_config(folder).extra.get("finetuning_task") != "embedding":
        say(
            f"{folder} was not fine-tuned for embeddings: these are means of its hidden states "
            f"(tinyalbert finetune embedding PAIRS --model {folder})"
        )
