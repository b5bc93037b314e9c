"""What came out of a fine-tuning run: how good the kept model is, and against what."""

from pathlib import Path

from ..errors import UserError
from ..options import read_values
from ..training.metrics import better_sign
from ..training.replicas import Threads

RESULTS = "eval_results.json"
CEILINGS = ("oracle",)  # baselines that no model can pass


def result_of(task, examples, held_out, predictions):
    """What a run returns: how good the kept model is on the held-out examples, against what.

    examples: those of the training.  held_out: HeldOut.  predictions: for its examples.
    """
    result = {
        "metrics": task.score(held_out.examples, predictions),
        "labels": task.labels,
        "baselines": task.baselines(examples, held_out.examples),
        "metric": task.metric,
    }
    confusion = task.confusion(held_out.examples, predictions)
    if confusion:
        result["confusion"] = confusion
    return result


def untrained_scores(task, options, network, held_out):
    """How good a model is that needs no fine-tuning: with its own weights, and with random ones."""
    random = task.model_class(network.config, seed=options.seed).to(options.device)
    models = {"not fine-tuned": network, "random values": random}
    replicas = Threads(options.threads)
    return {name: held_out.score(model, replicas)[task.metric] for name, model in models.items()}


def control_score(options, saved, task):
    """{name: score} of the same run from random weights.

    saved: its settings.
    """
    if not saved.get("random_init"):
        raise UserError(f"the run in {options.control} was not one with --random-init")
    other = [name for name in ("task", "train", "dev") if saved.get(name) != getattr(options, name)]
    if other:
        raise UserError(
            f"the run in {options.control} had another {' and '.join(other)}; expected the same "
            "command with --random-init"
        )
    scores = read_values(Path(options.control) / RESULTS)
    if task.metric not in scores:
        raise UserError(f"{options.control}/{RESULTS} has no {task.metric}; let that run finish")
    return {"random weights": scores[task.metric]}


def still_rising(values, metric):
    """A remark if the metric got better until the end; None if it did not.

    values: of all evaluations, in their order.
    """
    sign = better_sign(metric)
    last_third = values[-1 - len(values) // 3 :]
    rising = sign * values[-1] >= max(sign * value for value in values)
    gain = sign * (last_third[-1] - last_third[0])
    if len(values) < 3 or not rising or gain < 0.01 * max(1, abs(values[-1])):
        return None
    return (
        f"{metric} still got better at the end ({last_third[0]:.3f} to {values[-1]:.3f} in the "
        "last third): a longer run may reach more (--epochs, --minutes)"
    )


def past_its_best(values, metric, dropout):
    """A remark if the metric was best long before the end and fell since; None if it did not.

    values: of all evaluations, in their order, the first before the training.  dropout: the
    encoder's.
    """
    sign = better_sign(metric)
    best = max(range(1, len(values)), key=lambda i: sign * values[i], default=0)
    fall = sign * (values[best] - values[-1])
    if not 0 < best < len(values) * 2 // 3 or fall < 0.02 * max(1, abs(values[best])):
        return None
    more = "" if dropout else "--dropout 0.1 or "
    return (
        f"{metric} was best at evaluation {best} of {len(values) - 1}, {values[best]:.3f} (the "
        f"model that is kept), and ends at {values[-1]:.3f}: the training rows are learned by "
        f"heart; {more}a shorter run may help (--epochs, or --patience 3)"
    )


def strongest_baseline(result):
    """(name, value) of the best simple rule that a model could pass; (None, None) without any.

    result: what `finetune` returns.
    """
    rules = {name: value for name, value in result["baselines"].items() if name not in CEILINGS}
    sign = better_sign(result["metric"])
    return max(rules.items(), key=lambda rule: sign * rule[1], default=(None, None))


def behind_a_baseline(result):
    """A line about the strongest baseline, if the model stays behind it; else None.

    result: what `finetune` returns.
    """
    metric = result["metric"]
    strongest, value = strongest_baseline(result)
    reached = result["metrics"][metric]
    sign = better_sign(metric)
    if strongest is None or sign * reached >= sign * value:
        return None
    return (
        f"the model stays behind {strongest}: {metric} {reached:.4f} against "
        f"{value:.4f}; a longer pretraining, more epochs or more rows may help, or "
        "the baseline is the better tool here"
    )
