"""What a task is: how its examples are read, encoded, decoded and scored.  Nothing else.

Around it, once for all tasks: batches by length (batches.py), training with the best checkpoint and
resuming (finetune.py), evaluation and prediction of a fine-tuned folder (inference.py), the command
line, the pipeline.  In the order in which they are called:

    read        a source             -> examples
    fit         training examples    -> what the task learns from them, such as its labels
    configure   a model's config     -> the config of this task's model, with what was fitted
    restore     the config of a fine-tuned model: the opposite of configure
    encode      an example           -> rows of the model's inputs, one for each window
    infer       a model, a batch     -> an output for each row
    decode      the outputs of all windows of an example -> its prediction
    score       examples, predictions -> {metric: value}
    write       examples, predictions -> a file

A new task is a class with these methods in a file of its own, listed in registry.py, or named on
the command line without touching the package: `tinyalbert finetune my_task.py:MyTask table.tsv`.
"""

from ..errors import UserError
from ..heads import IGNORE
from ..modes import no_grad


class Task:
    """The protocol, with defaults where most tasks agree.

    An example is whatever `read` gives, a prediction whatever `decode` gives; only the task looks
    inside them.
    """

    name = None  # as on the command line; saved in the config of a fine-tuned model
    model_class = None  # of heads.py
    metric = None  # of those that `score` gives: the highest value picks the best checkpoint
    labels = None  # the names of the labels in the order of their ids, if the task has such
    # what fills up each field of a row to the longest of its batch
    padding = {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0, "labels": IGNORE}

    def __init__(self, seed=0, columns=None, say=lambda line: None):
        """Keep the settings that all tasks share.

        seed: for examples that are drawn.  columns: names for tables.read_table.  say: called with
        a line about what was read.
        """
        self.seed = seed
        self.columns = dict(columns or {})
        self.say = say

    def read(self, source, split):
        """The examples of `source`, a list.

        split: "train", "test", or "predict", in which examples need no labels.  A bad example is
        refused with a UserError that names its file and line.
        """
        raise NotImplementedError

    def fit(self, examples):
        """Learn from the training examples what encoding needs, such as the names of the labels."""

    def describe(self):
        """What is to be predicted, for the line that training begins with."""
        return self.name

    def configure(self, config):
        """`config` (an AlbertConfig) changed for this task; what `fit` found out is kept in it."""
        return config

    def restore(self, config):
        """Take back from the config of a fine-tuned model what `configure` put there."""

    def encode(self, example, encoder):
        """Rows of one example, each {field: array (T,) or a number}, one for each window.

        encoder(text, pair, where) makes the rows of a text (text/rows.py): it knows the tokenizer,
        the longest row and what becomes of longer texts.  A row for training has labels too.
        """
        raise NotImplementedError

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

    def example(self, given):
        """An example without a label from what a caller of the pipeline passes."""
        raise UserError(f"the task {self.name} has no pipeline; expected a method `example`")

    def answer(self, prediction, **options):
        """A prediction as the pipeline returns it: text, numbers, lists and dicts."""
        return prediction
