"""Fine-tuning runs of a script that compares many: a finished one is not repeated, an interrupted
one goes on."""

import json

from tinyalbert.errors import UserError
from tinyalbert.tasks.finetune import run

RECORD = "run.json"


def finished(output, given):
    """What a run with the options `given` ({name: value}) in the folder `output` came to.

    Returns {"options", "metric", "metrics", "baselines"}.  A run that was done with other options
    is refused.
    """
    record = output / RECORD
    if record.is_file():
        saved = json.loads(record.read_text(encoding="utf-8"))
        if saved["options"] == given:
            return saved
        raise UserError(f"{output} has a run with other options; expected another --output")
    begun = (output / "last").is_dir()
    result = run({**given, "output": str(output), "resume": begun}, say=lambda line: None)
    names = ("metric", "metrics", "baselines")
    saved = {"options": given, **{name: result[name] for name in names}}
    record.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
    return saved
