"""What a task is: how its examples are read, encoded, decoded and scored.  Nothing else.

Around it, once for all tasks: batches by length (batches.py), training with the best checkpoint and
resuming (finetune.py), evaluation and prediction of a fine-tuned folder (inference.py), the command
line, the pipeline.  In the order in which they are called:

    read        a source             -> examples
    group       an example           -> what it shares with those that are held out with it
    kinds       an example           -> its labels, each of which some training example must have
    fit         training examples    -> what the task learns from them, such as its labels
    configure   a model's config     -> the config of this task's model, with what was fitted
    start_head  a new model, before it is trained
    restore     the config of a fine-tuned model: the opposite of configure
    save, load  files of the task's own beside the model, for what the config can't hold
    encode      an example           -> rows of the model's inputs, one for each window
    arrange     a training batch     -> as the model is trained on it
    infer       a model, a batch     -> an output for each row
    decode      the outputs of all windows of an example -> its prediction
    score       examples, predictions -> {metric: value}
    write       examples, predictions -> a file

What a task may be told beside the options that every run has are the fields of its `Settings`
(options.py); they are kept with the model.

A new task is a class with these methods in a file of its own, listed in registry.py, or named on
the command line without touching the package: `tinyalbert finetune my_task.py:MyTask table.tsv`.
"""

import contextlib

from ..errors import UserError
from ..heads import IGNORE
from ..modes import no_grad
from ..text.rows import LONG
from .options import TaskSettings


class Task:
    """The protocol, with defaults where most tasks agree.

    An example is whatever `read` gives, a prediction whatever `decode` gives; only the task looks
    inside them.
    """

    name = None  # as on the command line; saved in the config of a fine-tuned model
    pipeline = None  # what transformers calls the pipeline of such models, if it has one
    made_by = None  # the task that trains its models, if it has none of its own
    model_class = None  # of heads.py
    metric = None  # of those that `score` gives: the highest value picks the best checkpoint
    labels = None  # the names of the labels in the order of their ids, if the task has such
    Settings = TaskSettings
    # {option: value} for what is not given: for small models, and the paper's (appendix A.4)
    recipes = {"laptop": {}, "paper": {}}
    long = LONG  # what may become of texts that are too long; the first where nothing is said
    targets = ("labels",)  # the fields of a row that only training needs
    # parts of a model that belong to one task alone
    head = (
        "classifier",
        "window_dense",
        "window_score",
        "qa_outputs",
        "start_logits",
        "end_logits",
        "answer_class",
        "decoder",
    )
    new_head = True  # whether fine-tuning adds a head; a model without can be scored before it
    predictions = "predictions.tsv"  # what `finetune` calls the file of `write`
    judged = None  # of so many held-out examples the best checkpoint is told; None: of all
    # what fills up each field of a row to the longest of its batch
    padding = {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0, "labels": IGNORE}

    def __init__(self, settings=None, seed=0, say=lambda line: None):
        """Keep what the task was told.

        settings: a `Settings`.  seed: for examples that are drawn.  say: called with a line about
        what was read.
        """
        self.settings = settings or self.Settings()
        self.seed = seed
        self.say = say
        self.bad_rows = BadRows(self.settings.skip_bad_rows)

    def read(self, source, split):
        """The examples of `source`, a list.

        split: "train", "test", or "predict", in which examples need no labels.  A bad example is
        refused with a UserError that names its file and line.
        """
        raise NotImplementedError

    def held_out(self, source):
        """The source of held-out examples that comes with a training source, such as the folder
        with both; None: some training examples are held out.
        """

    def group(self, example):
        """What an example has in common with others: they are held out together or not at all.

        None: with none.
        """

    def kinds(self, example):
        """What an example shows of which training must see at least one, such as its label: of
        what one example alone shows, none is held out.
        """
        return ()

    def fit(self, examples):
        """Learn from the training examples what encoding needs, such as the names of the labels."""

    def describe(self):
        """What is to be predicted, for the line that training begins with."""
        return self.name

    def configure(self, config):
        """`config` (an AlbertConfig) changed for this task; what `fit` found out is kept in it."""
        return config

    def start_head(self, network):
        """Set what a new head starts from, such as its bias, if zeros would not do."""

    def restore(self, config):
        """Take back from the config of a fine-tuned model what `configure` put there."""

    def save(self, folder):
        """Write what the config can't hold, such as a second vocabulary, beside the model."""

    def load(self, folder):
        """Take back from the folder of a fine-tuned model what `save` put there."""

    def learning_rate(self, config):
        """The peak learning rate where none is given, for an encoder of this AlbertConfig."""
        return 1e-4 if config.hidden_size >= 512 else 5e-4

    def encode(self, example, encoder):
        """Rows of one example, each {field: array (T,) or a number}, one for each window.

        encoder(text, pair, where) makes the rows of a text (text/rows.py): it knows the tokenizer,
        the longest row and what becomes of longer texts.  A row for training has labels too.  The
        field `about`, if there is one, stays with the row for `decode`; no model sees it.
        """
        raise NotImplementedError

    def arrange(self, batch):
        """A training batch as the model takes it, such as rows in groups.

        Threads and processes share a batch along its first axis and never cut what stands together
        in one entry.
        """
        return batch

    def remarks(self):
        """What was found in encoding since the last call, as lines: texts that were cut, say."""
        return []

    def infer(self, model, batch):
        """What the model says of a batch without labels: an array with an entry for each row."""
        with no_grad():
            return model(**batch).logits.numpy()

    def decode(self, example, rows, outputs):
        """The prediction for an example from the outputs of its rows, one for each window."""
        raise NotImplementedError

    def score(self, examples, predictions):
        """{metric: value} of predictions for examples that have labels."""
        raise NotImplementedError

    def baselines(self, train, held_out):
        """{name: value of self.metric} of simple rules, which a model must beat."""
        return {}

    def confusion(self, examples, predictions):
        """A table to look at beside the metrics, as text; None if the task has none."""
        return None

    def write(self, path, examples, predictions):
        """Write the predictions to a file."""
        raise NotImplementedError

    # --- for the pipeline -------------------------------------------------------------------------

    def call(self, inputs, **options):
        """What a call of the pipeline means.

        Returns (what `example` takes, a list; whether the caller passed a single one; options of
        `answer`).
        """
        single = isinstance(inputs, (str, dict))
        return ([inputs] if single else list(inputs)), single, options

    def example(self, given):
        """An example without a label from what a caller of the pipeline passes."""
        raise UserError(f"the task {self.name} has no pipeline; expected a method `example`")

    def answer(self, prediction, **options):
        """A prediction as the pipeline returns it: text, numbers, lists and dicts."""
        return prediction

    def collect(self, answers, single):
        """What a call returns of its answers, a list: as transformers does for this task."""
        return answers


class BadRows:
    """Rows of a file that can't be used: the first is an error, or all are left out and counted.

    with bad_rows.skipping():
        examples.append(...)  # may raise a UserError with file and line
    """

    SHOWN = 5

    def __init__(self, skip=False):
        self.skip = skip
        self.problems = []

    @contextlib.contextmanager
    def skipping(self):
        """Pass over a UserError if bad rows are to be skipped."""
        try:
            yield
        except UserError as problem:
            if not self.skip:
                raise UserError(f"{problem} (to leave such rows out: --skip-bad-rows)") from None
            self.problems.append(str(problem))

    def summary(self):
        """How many rows were left out and why, as lines; None if none was."""
        if not self.problems:
            return None
        more = len(self.problems) - self.SHOWN
        lines = [f"{len(self.problems):,} bad rows were left out:", *self.problems[: self.SHOWN]]
        return "\n  ".join([*lines, f"and {more:,} more"] if more > 0 else lines)
