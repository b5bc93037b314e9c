"""View 8: the run that made the model, from its log; one that is going on is followed."""

import math

from ..errors import UserError
from ..plots import read_log

POINTS = 500  # of a curve


def view(explorer, reading=None):
    """The curves of log.jsonl.

    train: [[step, loss], ...] of masked words (of a fine-tuned folder: the loss), thinned to
    POINTS.  eval: {metric: [[step, value], ...]}.  levels: {what it means: loss} of guessing.
    total_steps, seconds: how far the run was to go, and how long it has taken.
    """
    if not (explorer.folder / "log.jsonl").is_file():
        raise UserError(
            f"{explorer.folder} has no log.jsonl, so its run can't be shown; expected the output "
            "of `tinyalbert pretrain` or `tinyalbert finetune`"
        )
    lines = read_log(explorer.folder)
    start = (lines["start"] or [{}])[0]
    name = "mlm_loss" if any("mlm_loss" in line for line in lines["train"]) else "loss"
    train = [[line["step"], line[name]] for line in lines["train"] if name in line]
    metrics = [
        key
        for line in lines["eval"][-1:]
        for key in line
        if key not in ("kind", "step", "seconds", "max_seq_length")
    ]
    levels = {}
    if name == "mlm_loss":
        if "vocab_size" in start:
            levels["every piece equally likely"] = math.log(start["vocab_size"])
        if "unigram_entropy" in start:
            levels["word frequencies alone"] = start["unigram_entropy"]
    last = [line for kind in ("train", "eval") for line in lines[kind][-1:]]
    return {
        "loss": name,
        "train": thinned(train),
        "eval": {
            key: [[line["step"], line[key]] for line in lines["eval"] if key in line]
            for key in metrics
        },
        "levels": levels,
        "step": max((line["step"] for line in last), default=0),
        "total_steps": start.get("total_steps"),
        "seconds": max((line["seconds"] for line in last), default=0),
    }


def thinned(points, most=POINTS):
    """At most so many points: the means of neighbours."""
    size = -(-len(points) // most) if points else 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [[group[-1][0], sum(value for _, value in group) / len(group)] for group in groups]
