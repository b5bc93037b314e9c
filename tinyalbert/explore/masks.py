"""View 2: what the model puts at [MASK], and how the answer sharpens layer by layer.

The head for masked words is applied to the states after each pass, not only after the last: the
"logit lens" (nostalgebraist 2020).  In ALBERT every pass is the same layer.
"""

import numpy as np

from .. import ops
from ..errors import UserError
from ..modes import no_grad
from ..tensor import Tensor

MOST_MASKS = 8


def view(explorer, reading, top_k=8):
    """For each mask the best answers after each pass.

    masks: [{"place", "written": the piece that is hidden or None, "layers": [[{"piece", "id",
    "p"}, ...], ...] (L + 1 of them, the first before any pass), "answers": [{"piece", "id", "p":
    after each pass}, ...] of the pieces that are best at the end, and of what is hidden}].
    """
    if not explorer.has_words:
        raise UserError(
            "this folder has no head for masked words: it was fine-tuned, or saved without; look "
            "at a pretrained folder"
        )
    if not reading.masked:
        return {"masks": [], "left_out": 0}
    shown = list(reading.masked[:MOST_MASKS])
    states = explorer.states(reading)[:, shown]  # (L + 1, masks, H)
    with no_grad():
        before = explorer.model.albert.encoder.finish(Tensor(states[:-1]))
        read = ops.concat(before, Tensor(states[-1:]), axis=0)  # the last ones are finished
        scores = explorer.model.word_scores(read).numpy()
    probabilities = ops.softmax.raw(scores)[0]  # (L + 1, masks, V)
    return {
        "masks": [
            _mask(explorer, reading, place, probabilities[:, n], top_k)
            for n, place in enumerate(shown)
        ],
        "left_out": len(reading.masked) - len(shown),
    }


def _mask(explorer, reading, place, probabilities, top_k):
    """One mask; probabilities (L + 1, V)."""
    written = int(reading.written[place])
    hidden = written != explorer.tokenizer.mask_token_id
    best = [np.argsort(-p, kind="stable")[:top_k].tolist() for p in probabilities]
    followed = [*best[-1], *([written] if hidden and written not in best[-1] else [])]
    return {
        "place": place,
        "written": explorer.piece(written) if hidden else None,
        "layers": [
            [{"piece": explorer.piece(i), "id": i, "p": float(p[i])} for i in ids]
            for ids, p in zip(best, probabilities)
        ],
        "answers": [
            {"piece": explorer.piece(i), "id": i, "p": probabilities[:, i].astype(float).tolist()}
            for i in followed
        ],
    }
