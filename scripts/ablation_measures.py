"""What scripts/ablation.py measures of a trained model beside its losses, and of models that it
only builds."""

import functools
import time
from pathlib import Path

import numpy as np
from ablation_tables import SIZES

from tinyalbert import AlbertConfig, AlbertForPreTraining, AlbertTokenizer
from tinyalbert.files.checkpoint import changed
from tinyalbert.files.writing import replacing
from tinyalbert.info import products_per_token
from tinyalbert.modes import no_grad
from tinyalbert.optim import OPTIMIZERS
from tinyalbert.plots import read_log
from tinyalbert.pretraining.batches import PretrainingData
from tinyalbert.pretraining.evaluation import evaluate_pretraining
from tinyalbert.tasks.minimal_pairs import judge, read_sets
from tinyalbert.training.replicas import Threads
from tinyalbert.training.trainer import Trainer

PAIRS = 100  # of each set of Zorro
TIMED_PAIRS = 4
SENTENCE_BATCHES = 16  # of 32 pairs
TIMED_STEPS = 5
TIMED_UPDATES = 25  # of an optimiser, which are short
LENGTH = 128  # tokens of the sequence on which a model's step is timed
STATES = 4  # numbers for each parameter in training: weight, gradient, two moments

COLUMNS = {  # metric: (title, format)
    "parameters": ("parameters", "{:,.0f}"),
    "products": ("products a token", "{:,.0f}"),  # multiplications of the encoder, forward
    "step_seconds": ("seconds a step", "{:.3f}"),
    "mlm_loss": ("masked-word loss", "{:.3f}"),
    "mlm_accuracy": ("words right", "{:.1%}"),
    "sop_accuracy": ("sentence task right", "{:.1%}"),
    "zorro": ("Zorro", "{:.1%}"),
    "ngram_mlm_loss": ("loss on runs of words", "{:.3f}"),
    "nsp_given": ("next sentence right", "{:.1%}"),
    "sop_given": ("sentence order right", "{:.1%}"),
    "distance": ("L2 from layer to layer", "{:.2f}"),
    "angle": ("angle, degrees", "{:.1f}"),
    "unevenness": ("unevenness of L2", "{:.3f}"),
    "step_of_optimizer": ("optimiser, ms a step", "{:.2f}"),
    "step_not_shared": ("the same, nothing shared", "{:.2f}"),
    "optimizer_share": ("optimiser's share of a step", "{:.1%}"),
    "share_not_shared": ("its share, nothing shared", "{:.1%}"),
    "saved_by_sharing": ("ms that sharing saves a step of the optimiser", "{:.2f}"),
}
ALWAYS = "parameters products step_seconds mlm_loss mlm_accuracy sop_accuracy zorro".split()


def measured(folder, given, columns, zorro=None):
    """{metric: value} of a trained folder.

    given: the options that it was trained with.  columns: metrics of the table, beside those of
    all.  zorro: a folder of minimal pairs, or None.
    """
    model = AlbertForPreTraining.from_pretrained(folder).eval()
    corpus = given["sources"][0]
    lines = read_log(folder)["train"]
    seconds = sum(line["tokens"] / line["tokens_per_second"] for line in lines)
    values = {
        "parameters": model.num_parameters(),
        "products": products_per_token(model.config, LENGTH),
        "tokens": sum(line["tokens"] for line in lines),
        "step_seconds": seconds / lines[-1]["step"],
    }
    length = min(model.config.max_position_embeddings, LENGTH)
    if "sop_given" in columns:
        values |= {
            f"{task}_given": right_on(model, corpus, task, length) for task in ("nsp", "sop")
        }
    if "distance" in columns:
        values |= movement(model, corpus, length)
    if "step_of_optimizer" in columns:
        values |= optimizer_times(model.config, given.get("optimizer", "adamw"))
        values |= optimizer_shares(values)
    if zorro:
        tokenizer = AlbertTokenizer.from_pretrained(folder)
        values["zorro"] = judged(model, tokenizer, zorro, PAIRS, given.get("threads"))
    return values


def judged(model, tokenizer, zorro, pairs, threads=None):
    """The share of the better sentences, of so many pairs of each set in the folder `zorro`."""
    sets = read_sets(zorro, pairs)
    return judge(model, tokenizer, sets, threads=Threads(threads).n)[-1]["model"]


def zorro_seconds(model, tokenizer, zorro, threads=None):
    """What `judged` will take with PAIRS, told from a few pairs."""
    begun = time.perf_counter()
    judged(model, tokenizer, zorro, TIMED_PAIRS, threads)
    return PAIRS / TIMED_PAIRS * (time.perf_counter() - begun)


def right_on(model, corpus, task, length):
    """The share of held-out pairs whose label of a sentence task the model's head tells.

    The head of a model that was trained without one is as it began: it guesses.
    """
    data = PretrainingData(
        corpus, max_seq_length=length, sentence_task=task, short_seq_prob=0.0, whole_word=False
    )
    batches = data.evaluation_batches(SENTENCE_BATCHES, 32, ngram=1)
    own = model.config
    model.config = changed(own, sentence_task=task)
    try:
        return evaluate_pretraining(model, batches)["sop_accuracy"]
    finally:
        model.config = own


def movement(model, corpus, length):
    """How far the states move from layer to layer, over held-out text.

    distance: the mean L2 between a layer's input and output; angle: between them, in degrees;
    unevenness: the standard deviation of the layers' distances over their mean.
    """
    data = PretrainingData(corpus, max_seq_length=length, sentence_task="none")
    batch = data.evaluation_batches(1, 32)[0]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with no_grad():
        states = model.albert(**inputs, output_hidden_states=True).hidden_states
    real = batch["attention_mask"] == 1
    states = np.stack([state.numpy()[real] for state in states]).astype(np.float64)  # (L + 1, K, H)
    before, after = states[:-1], states[1:]
    lengths = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    cosines = np.clip((before * after).sum(-1) / lengths, -1, 1)
    distances = np.linalg.norm(after - before, axis=-1).mean(-1)  # (L,)
    return {
        "distance": float(distances.mean()),
        "angle": float(np.degrees(np.arccos(cosines)).mean()),
        "unevenness": float(distances.std() / distances.mean()),
    }


def optimizer_times(config, name):
    """Milliseconds of the optimiser's own step, of this model and with nothing shared."""
    times = {}
    for key, sharing in (
        ("step_of_optimizer", config.shared_parameters),
        ("step_not_shared", "none"),
    ):
        model = AlbertForPreTraining(changed(config, shared_parameters=sharing))
        optimizer = OPTIMIZERS[name](list(model.named_parameters()), 1e-3)
        rng = np.random.default_rng(0)
        gradients = {
            each: rng.standard_normal(p.shape).astype(p.dtype)
            for each, p in model.named_parameters()
        }
        times[key] = 1000 * median_seconds(
            functools.partial(optimizer.step, gradients), TIMED_UPDATES
        )
    return times


def optimizer_shares(values):
    """What the optimiser's own step takes of a whole step, from the times of a run.

    With nothing shared, forward and backward passes are taken to last as long: they are the same
    products.
    """
    own, not_shared = values["step_of_optimizer"], values["step_not_shared"]
    passes = max(0.0, 1000 * values["step_seconds"] - own)
    return {
        "optimizer_share": own / (passes + own),
        "share_not_shared": not_shared / (passes + not_shared),
        "saved_by_sharing": not_shared - own,
    }


def median_seconds(function, rounds=TIMED_STEPS):
    """The median time of a call, after one that is not counted."""
    function()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken))


# --- sizes, without training ----------------------------------------------------------------------


def model_sizes(folder, seconds, quick=False):
    """Tables 1 and 2: parameters, memory, operations, and a step's time while `seconds` last.

    Writes sizes.md; returns the table as text.
    """
    sizes = quick_sizes() if quick else SIZES
    begun = time.perf_counter()
    lines = [
        "| | parameters | paper | weights, gradients, moments | products a token | step of one "
        f"sequence of {LENGTH} | paper: speed |",
        "|---" * 7 + "|",
    ]
    found = {}
    for name, (config, count, speed) in sizes.items():
        model = AlbertForPreTraining(config, seed=None)
        parameters = model.albert.num_parameters()
        products = products_per_token(config, LENGTH)
        left = seconds - (time.perf_counter() - begun)
        step = step_seconds(config, left)
        found[name] = parameters, products, step
        lines.append(
            f"| {name} | {parameters:,} | {count} | {STATES * 4 * parameters / 1e6:,.0f} MB | "
            f"{products / 1e6:,.1f} million | {'not timed' if step is None else f'{step:.2f} s'} | "
            f"{speed} |"
        )
    text = "\n".join([told(found), "", *lines]) + "\n"
    with replacing(Path(folder) / "sizes.md") as file:
        file.write(text.encode())
    return f"{text}\nwritten to {Path(folder) / 'sizes.md'}"


def quick_sizes():
    """Two models of each kind that take no time."""
    small = dict(hidden_size=64, num_attention_heads=2, intermediate_size=256, num_hidden_layers=2)
    return {
        "BERT base": (AlbertConfig.bert(vocab_size=400, **small), "", ""),
        "ALBERT base": (AlbertConfig(vocab_size=400, embedding_size=16, **small), "", ""),
    }


def step_seconds(config, left):
    """The median time of a training step on one thread; None if there is no time left for it.

    The time is told from the products, at 30 thousand millions a second, before the model is built.
    """
    expected = (TIMED_STEPS + 1) * 3 * LENGTH * products_per_token(config, LENGTH) / 3e10
    if expected > left:
        return None
    rng = np.random.default_rng(0)
    length = min(LENGTH, config.max_position_embeddings)
    ids = rng.integers(5, config.vocab_size, (1, length))
    labels = np.where(np.arange(length) % 7 == 1, ids, -100)
    batch = {"input_ids": ids, "labels": labels, "sentence_order_label": np.zeros(1, int)}
    trainer = Trainer(AlbertForPreTraining(config), lr=1e-4, threads=1)
    return median_seconds(lambda: trainer.step(batch))


def told(found):
    """What the two base models say, in a sentence."""
    (bert, bert_products, bert_step), (albert, products, step) = (
        found[name] for name in ("BERT base", "ALBERT base")
    )
    fewer = bert / albert
    same = products / bert_products
    verdict = "Reproduced" if fewer > 5 and 0.95 < same < 1.05 else "Not reproduced"
    times = ""
    if step and bert_step:
        times = f", and a step takes {step / bert_step:.2f} times as long"
    return (
        f"{verdict}: ALBERT base has {fewer:.1f} times fewer parameters than BERT base, "
        f"{same:.2f} times the products a token{times}."
    )
