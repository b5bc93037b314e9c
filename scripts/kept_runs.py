"""Runs of a script that compares many: a finished one is not repeated, an interrupted one goes on."""

import json

from tinyalbert.errors import UserError
from tinyalbert.files.checkpoint import STATE_FILE
from tinyalbert.files.writing import replacing
from tinyalbert.tasks.finetune import run

RECORD = "run.json"


def finished(output, given):
    """What a fine-tuning with the options `given` ({name: value}) in the folder `output` came to.

    Returns {"options", "metric", "metrics", "baselines"}.  A run that was done with other options
    is refused.
    """

    def make(begun):
        result = run({**given, "output": str(output), "resume": begun}, say=lambda line: None)
        return {name: result[name] for name in ("metric", "metrics", "baselines")}

    return kept(output, given, make)


def kept(output, given, make):
    """What make(begun) returned, {name: value}, and "options": `given`; made once and kept.

    begun: whether a checkpoint is in the folder, from which a run can go on.
    """
    record = output / RECORD
    if record.is_file():
        saved = json.loads(record.read_text(encoding="utf-8"))
        if saved["options"] == given:
            return saved
        raise UserError(f"{output} has a run with other options; expected another --output")
    begun = (output / "last" / STATE_FILE).is_file()
    saved = {"options": given, **make(begun)}
    with replacing(record) as file:
        file.write((json.dumps(saved, indent=2) + "\n").encode())
    return saved
