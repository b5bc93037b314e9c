"""Training and held-out examples, and their rows."""

from collections import Counter

import numpy as np

from ..errors import UserError
from ..text.rows import RowEncoder
from .batches import Features
from .inference import predict, read_examples
from .report import some


class HeldOut:
    """Examples with their rows, on which models are scored."""

    def __init__(self, task, examples, rows):
        self.task = task
        self.examples = examples
        self.rows = rows

    def predict(self, network, replicas=None):
        """The predictions of a model, in the order of the examples."""
        return predict(self.task, network, self.rows, replicas=replicas)

    def score(self, network, replicas=None):
        """{metric: value} of a model."""
        return self.task.score(self.examples, self.predict(network, replicas))


def training_and_held_out(task, options, say):
    """(training examples, held-out examples) of a run."""
    examples = read_examples(task, options.train, "train", say)
    dev = options.dev or task.held_out(options.train)
    if dev:
        return examples, read_examples(task, dev, "test", say)
    if len(examples) < 10:
        raise UserError(
            f"{options.train} has {len(examples)} rows; expected at least 10, or a held-out file "
            "(--dev)"
        )
    held_out = _held_out(task, examples, options)
    _say_alone(task, examples, say)
    kept = [example for i, example in enumerate(examples) if i not in held_out]
    return kept, [examples[i] for i in sorted(held_out)]


def _held_out(task, examples, options):
    """The numbers of about a tenth of the examples, drawn; groups of examples stay together."""
    groups = {}
    for i, example in enumerate(examples):
        key = task.group(example)
        groups.setdefault(i if key is None else (key,), []).append(i)
    if len(groups) < 2:
        raise UserError(
            f"the {len(examples)} rows of {options.train} belong together (one text); expected a "
            "held-out file (--dev)"
        )
    groups = list(groups.values())
    kinds = [
        Counter(kind for i in group for kind in set(task.kinds(examples[i]))) for group in groups
    ]
    left = sum(kinds, Counter())  # in how many training examples each kind is
    held_out = set()
    order = np.random.default_rng(options.seed).permutation(len(groups)).tolist()
    for number in order:
        if any(left[kind] == count for kind, count in kinds[number].items()):
            continue  # training would not see it
        left -= kinds[number]
        held_out.update(groups[number])
        if len(held_out) >= max(1, len(examples) // 10):
            break
    return held_out or set(groups[order[0]])


def _say_alone(task, examples, say):
    """Say which labels one example alone has, so that nothing can tell whether they are learned."""
    counts = Counter(kind for example in examples for kind in set(task.kinds(example)))
    alone = sorted(kind for kind, count in counts.items() if count == 1)
    if alone:
        say(f"labels of one row each, which is trained on and not held out: {some(alone)}")


def spread(examples, count):
    """`count` of the examples, evenly spread over them."""
    return [examples[i * len(examples) // count] for i in range(count)]


def encoded(task, examples, tokenizer, config, options, which, say):
    """The rows of examples, for a model of this config; says how many texts were too long."""
    policy = (options.long, options.overlap, task.long, config.max_position_embeddings)
    encoder = RowEncoder(tokenizer, options.max_length, *policy)
    features = Features(task, examples, encoder)
    if encoder.too_long:
        say(f"{which} rows: {encoder.summary()}")
    for line in task.remarks():
        say(f"{which} rows: {line}")
    return features
