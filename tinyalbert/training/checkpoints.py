"""The output folder of a run: the kept model, and `last/`, from which it goes on bit for bit."""

import contextlib
import os
from pathlib import Path

from ..backend import xp_of
from ..checks import COUNT, REAL, SHARE, Later, ListOf, Maybe, Named, Number, Plain, checked
from ..errors import UserError
from ..files.checkpoint import (
    STATE_FILE,
    load_state,
    load_training_state,
    read_training_state,
    save_training_state,
)
from ..files.taken import FULL, check_writable, taken
from ..strict_json import read_json
from .metrics import TrainingDiverged

ANEW = "start the run anew in another folder"
STEP = Number(int, 0, most=1 << 40)
PROGRESS = {  # what a checkpoint keeps beside the arrays; see run.new_state
    "steps_done": STEP,
    "settings": {"total_steps": STEP},
    "loss_scale": Maybe(ListOf(REAL)),
    "state": {
        "seconds": SHARE,
        "saved_step": Maybe(STEP),
        "best": Maybe(REAL),
        "length": Maybe(REAL),
        "unimproved": Later(STEP),
        "evaluated": STEP,
        "eval_every": Maybe(COUNT),
        "sums": Named(REAL),
        "summed": STEP,
        "watch": Named(Plain()),
        "metrics": Later(Named(REAL)),
        "log_lines": Maybe(STEP),
        "first_loss": Maybe(REAL),
        "exploded": Later(STEP),
    },
}


def check_output(folder):
    """Refuse an output folder that can't be written or already holds a run or a model.

    Called before any work is done.
    """
    if (Path(folder) / "last" / STATE_FILE).exists():
        raise UserError(
            f"{folder} already holds a training run; go on with it with --resume, or choose "
            "another output folder"
        )
    if (Path(folder) / "model.safetensors").exists():
        raise UserError(f"{folder} already holds a model; choose another output folder")
    check_writable(folder)


def read_settings(path, kind, schema):
    """What a run was begun with, for resuming it: {name: value} that fit the schema."""
    if not path.exists():
        raise UserError(
            f"there is no {kind} run in {path.parent} to resume; start it without --resume"
        )
    settings = read_json(path, f"the settings of a {kind} run; {ANEW}")
    return checked(settings, schema, path, ANEW)


def check_resumable(folder):
    """Refuse to go on with a run that has no checkpoint."""
    if folder is None or not (Path(folder) / "last" / STATE_FILE).exists():
        raise UserError(
            f"there is no training run to resume in {folder}; start it without --resume"
        )


def moved(path, was, now):
    """Where `path` is after the folder `was`, with what stood around it, became `now`.

    was: None if it is not known; then the path itself.
    """
    return (Path(now) / os.path.relpath(path, was)).resolve() if was else Path(path)


@contextlib.contextmanager
def explained_full_disk(folder, what, step):
    """Turn a full disk into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        if (Path(folder) / "last" / STATE_FILE).exists():
            advice = "resume with --resume from the last checkpoint, which is whole"
        else:
            advice = "start again: there was no checkpoint yet"
        raise UserError(
            f"no space left on the disk of {folder} while writing {what}, at step {step}; free "
            f"some, then {advice}"
        ) from error


class Checkpoints:
    """What a run keeps: the model in the output folder, the state of the training in last/.

    Only the first process writes.  Without a folder nothing is kept.  tokenizer: saved with the
    model.  average: a WeightAverage of the run, or None.
    """

    def __init__(self, folder, trainer, tokenizer=None, average=None):
        self.folder = Path(folder) if folder is not None else None
        self.last = self.folder / "last" if self.folder else None
        self.trainer = trainer
        self.tokenizer = tokenizer
        self.average = average
        self.writes = self.folder is not None and trainer.ranks.rank == 0

    def folder_taken(self):
        """Context manager: while it lasts, no other process writes in the folder."""
        if self.folder is None:
            return contextlib.nullcontext()
        return taken(self.folder, self.writes)

    def begin(self):
        """Refuse to write over an old run; begin with the tokenizer, so that it need not be
        looked for again."""
        if self.folder:
            check_output(self.folder)
        self.trainer.ranks.barrier()
        if self.writes and self.tokenizer is not None:
            with self._explained("the tokenizer"):
                self.tokenizer.save_pretrained(self.folder)

    def exist(self):
        """Whether there is a checkpoint to go on from."""
        return self.last is not None and (self.last / STATE_FILE).exists()

    def save_model(self):
        """Write the model (and tokenizer) in the Hugging Face layout."""
        self._check_finite(self.trainer.model.state_dict())
        if self.writes:
            with self._explained("the model"):
                self.trainer.model.save_pretrained(self.folder, tokenizer=self.tokenizer)

    def load_model(self):
        """Take the kept model's weights into memory."""
        if self.folder:
            self.trainer.model.load_state_dict(load_state(self.folder))

    def save(self, settings, state):
        """Write last/: parameters, moments of the optimiser, step, settings and the run's state."""
        trainer = self.trainer
        self._check_finite({**trainer.model.state_dict(), **trainer.optimizer.state_dict()})
        if self.writes:
            progress = {
                "steps_done": trainer.steps_done,
                "settings": settings,
                "loss_scale": trainer.precision.state(),
                "state": state,
            }
            with self._explained("the checkpoint"):
                save_training_state(
                    self.last, trainer.model, trainer.optimizer, progress, self.average
                )
        trainer.ranks.barrier()

    def _check_finite(self, arrays):
        """Refuse to write what is not a number over what is."""
        for name, array in arrays.items() if self.folder else ():
            if not xp_of(array).isfinite(array).all():
                raise TrainingDiverged(
                    f"after step {self.trainer.steps_done} {name} is not finite any more, at "
                    f"learning rate {self.trainer.lr:.3g}. It was not saved"
                )

    def load(self):
        """Set the trainer back to the state in last/; returns (settings, state) as saved."""
        check_resumable(self.folder)
        trainer = self.trainer
        progress = load_training_state(self.last, trainer.model, trainer.optimizer, self.average)
        checked(progress, PROGRESS, self.last / STATE_FILE, ANEW)
        trainer.steps_done = progress["steps_done"]
        trainer.precision.load(progress.get("loss_scale"))
        return progress["settings"], progress["state"]

    def _explained(self, what):
        return explained_full_disk(self.folder, what, self.trainer.steps_done)


def saved_total_steps(folder):
    """How many steps the run in `folder` was planned to have, from its last/."""
    check_resumable(folder)
    last = Path(folder) / "last"
    _, progress = read_training_state(last)
    return checked(progress, PROGRESS, last / STATE_FILE, ANEW)["settings"]["total_steps"]
