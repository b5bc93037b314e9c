"""One step is the same however the batch is cut; a resumed run is the uninterrupted one, bit for bit."""

import contextlib
import errno
import functools
import itertools
import json
import math
import os
import signal
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyalbert.training.checkpoints as checkpoints_module
from tinyalbert import (
    AdamW,
    AlbertConfig,
    AlbertForPreTraining,
    Trainer,
    UserError,
    heads,
    window_heads,
)
from tinyalbert.modes import use_kernels
from tinyalbert.pretraining.evaluation import evaluate_pretraining
from tinyalbert.pretraining.plateau import PlateauWatch
from tinyalbert.tensor import KERNELS
from tinyalbert.training.averaging import WeightAverage
from tinyalbert.training.checkpoints import saved_total_steps
from tinyalbert.training.data import FunctionData
from tinyalbert.training.loop import prefetched, train
from tinyalbert.training.metrics import StepMetrics, TrainingDiverged
from tinyalbert.training.plan import SAVING_SECONDS, FittedSteps, fit_steps
from tinyalbert.training.replicas import Single, Threads, own_part
from tinyalbert.training.stopping import Interrupted

V, T = 50, 8
seeds = st.integers(0, 2**31 - 1)


def tiny_config(dropout=0.1, **more):
    return AlbertConfig(vocab_size=V, embedding_size=8, hidden_size=12, num_attention_heads=2, intermediate_size=16,
                        num_hidden_layers=2, max_position_embeddings=T, hidden_dropout_prob=dropout,
                        attention_probs_dropout_prob=dropout, **more)


def batch_at(step, rows=6, seed=0):
    """A pretraining batch with padding; some rows have no masked word."""
    rng = np.random.default_rng((seed, step))
    ids = rng.integers(5, V, (rows, T))
    mask = np.arange(T) < rng.integers(T // 2, T + 1, rows)[:, None]
    chosen = (rng.random((rows, T)) < rng.choice([0.0, 0.4], rows)[:, None]) & mask
    batch = {"input_ids": np.where(chosen, 4, ids) * mask, "attention_mask": mask, "token_type_ids": ids % 2 * mask,
             "labels": np.where(chosen, ids, -100), "sentence_order_label": rng.integers(0, 2, rows)}
    return {name: a.astype(np.int32) for name, a in batch.items()}


def trainer(threads=1, seed=0, config=None, **options):
    options = {"lr": 3e-3, "total_steps": 6, "warmup": 2, **options}
    return Trainer(AlbertForPreTraining(config or tiny_config(), seed=1), threads=threads, seed=seed, **options)


def parameters(trainer):
    return np.concatenate([p.data.reshape(-1) for p in trainer.model.parameters()])


def moments(trainer):
    return {name: np.array(a) for name, a in trainer.optimizer.state_dict().items()}


# --- one step ---------------------------------------------------------------------------------------------

@given(seed=seeds, threads=st.integers(1, 3), accumulation=st.integers(1, 4), rows=st.integers(1, 7))
def test_cutting_the_batch_changes_nothing(seed, threads, accumulation, rows):
    """Threads and accumulation, dropout included: losses, gradient norm and parameters of the whole batch."""
    whole, cut = trainer(seed=seed), trainer(threads, seed=seed, accumulation=accumulation)
    for step in range(3):
        batch = batch_at(step, rows, seed)
        a, b = whole.step(batch), cut.step(batch)
        assert a.keys() == b.keys()
        np.testing.assert_allclose([a[k] for k in a], [b[k] for k in a], rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(parameters(whole), parameters(cut), atol=2e-4)
    cut.replicas.close()


def test_the_kernels_change_no_training(monkeypatch):
    """A few steps with the fused kernels and, where they can't be called, without them: the same but for rounding."""
    def forbidden(*_, **__):
        raise AssertionError("a kernel ran")

    results = []
    for kernels in (True, False):
        if not kernels:
            for key in KERNELS:
                monkeypatch.setitem(KERNELS, key, forbidden)
        with use_kernels(kernels):
            t = trainer()
            losses = [t.step(batch_at(step))["loss"] for step in range(5)]
        results.append((losses, parameters(t)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-4)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=2e-4)
    assert abs(parameters(trainer()) - results[0][1]).max() > 2e-3         # they did move


@settings(max_examples=5)
@given(seed=seeds, threads=st.integers(1, 3), accumulation=st.integers(1, 2))
def test_the_same_seed_and_threads_give_the_same_bits(seed, threads, accumulation):
    results = []
    for _ in range(2):
        t = trainer(threads, seed=seed, accumulation=accumulation)
        metrics = [t.step(batch_at(step, seed=seed)) for step in range(3)]
        results.append((metrics, parameters(t).tobytes()))
        t.replicas.close()
    assert results[0] == results[1]


def test_another_seed_gives_other_dropout():
    assert trainer(seed=0).step(batch_at(0))["loss"] != trainer(seed=1).step(batch_at(0))["loss"]


class SharedRanks(Single):
    """Processes played by threads: an all-reduce over shared memory, in the order of the ranks."""

    def __init__(self, rank, size, box, barrier):
        self.rank, self.size, self.box, self._barrier = rank, size, box, barrier

    def all_reduce(self, array):
        self.box[self.rank] = array.copy()
        self.barrier()
        array[...] = sum(self.box[r] for r in range(self.size))
        self.barrier()

    def barrier(self):
        self._barrier.wait(timeout=60)


def on_ranks(size, work):
    """[work(ranks)] of `size` processes played by threads."""
    box, barrier, results = {}, threading.Barrier(size), [None] * size

    def play(rank):
        try:
            results[rank] = work(SharedRanks(rank, size, box, barrier))
        except BaseException:
            barrier.abort()
            raise

    players = [threading.Thread(target=play, args=(rank,)) for rank in range(size)]
    [player.start() for player in players]
    [player.join() for player in players]
    assert None not in results, "a rank failed"
    return results


@settings(max_examples=5)
@given(seed=seeds, cuts=st.lists(st.integers(1, 6), min_size=1, max_size=2, unique=True))
def test_ranks_with_unequal_shares_give_the_step_of_one_process(seed, cuts):
    batches = [batch_at(step, 7, seed) for step in range(3)]
    alone = trainer(seed=seed)
    expected = [alone.step(batch) for batch in batches]
    bounds = [0, *sorted(cuts), 7]

    def work(ranks):
        t, rows = trainer(seed=seed, ranks=ranks), slice(bounds[ranks.rank], bounds[ranks.rank + 1])
        return [t.step({name: a[rows] for name, a in batch.items()}) for batch in batches], parameters(t)

    for metrics, values in on_ranks(len(bounds) - 1, work):
        for a, b in zip(expected, metrics):
            np.testing.assert_allclose([a[k] for k in a], [b[k] for k in a], rtol=2e-4, atol=1e-6)
        np.testing.assert_allclose(values, parameters(alone), atol=2e-4)


def fine_tuning_cases():
    rng = np.random.default_rng(0)
    ids, rows = rng.integers(5, V, (7, T)), np.arange(7)
    choices = rng.integers(5, V, (7, 3, T))
    yield heads.AlbertForSequenceClassification(tiny_config(num_labels=3)), {"input_ids": ids, "labels": rows % 3}
    yield heads.AlbertForSequenceClassification(tiny_config(num_labels=1)), {"input_ids": ids, "labels": rows / 7}
    yield (heads.AlbertForSequenceClassification(tiny_config(num_labels=2, problem_type="multi_label_classification")),
           {"input_ids": ids, "labels": np.stack([rows % 2, rows % 3 > 0], 1).astype(np.float32)})
    yield heads.AlbertForTokenClassification(tiny_config(num_labels=4)), {"input_ids": ids, "labels": np.where(ids % 3, ids % 4, -100)}
    yield heads.AlbertForQuestionAnswering(tiny_config()), {"input_ids": ids, "start_positions": rows * 2, "end_positions": rows * 2 + 1}
    yield heads.AlbertForMultipleChoice(tiny_config()), {"input_ids": choices, "labels": rows % 3}
    yield window_heads.AlbertForWindowClassification(tiny_config(num_labels=3)), {"input_ids": choices, "labels": rows % 3}


@pytest.mark.parametrize("case", range(7))
def test_every_head_trains_and_may_be_cut(case):
    runs = []
    for threads, accumulation in ((1, 1), (2, 2)):
        model, batch = list(fine_tuning_cases())[case]
        t = Trainer(model, lr=3e-3, threads=threads, accumulation=accumulation)
        runs.append([t.step(batch)["loss"] for _ in range(40)])
        t.replicas.close()
    np.testing.assert_allclose(runs[0][:8], runs[1][:8], rtol=1e-3)
    assert np.mean(runs[0][-5:]) < 0.7 * runs[0][0]


def test_a_step_learns():
    t, batch = trainer(config=tiny_config(dropout=0.0), lr=1e-2, total_steps=None, warmup=0), batch_at(0)
    losses = [t.step(batch)["loss"] for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_parameters_outside_the_loss_stay_as_they_are(optimizer):
    """No gradient, no weight decay: without a sentence task the pooler is never used."""
    t = trainer(config=tiny_config(sentence_task="none"), optimizer=optimizer)
    before = {name: a.copy() for name, a in t.model.state_dict().items()}
    for step in range(3):
        t.step(batch_at(step))
    after = t.model.state_dict()
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {name for name in before if "pooler" in name or "sop_classifier" in name}


def test_a_batch_without_targets_changes_nothing():
    """No masked word and no sentence label among them: loss 0."""
    t = trainer(config=tiny_config(sentence_task="none"))
    batch = batch_at(0)
    batch["labels"][:] = -100
    before = parameters(t)
    assert t.step(batch)["loss"] == 0
    np.testing.assert_array_equal(before, parameters(t))


def test_the_gradient_norm_is_clipped():
    free, clipped = trainer(clip=None), trainer(clip=1e-3)
    assert free.step(batch_at(0))["grad_norm"] == clipped.step(batch_at(0))["grad_norm"] > 1e-3
    norm = np.linalg.norm(clipped.gradients.flat)
    np.testing.assert_allclose(norm, 1e-3, rtol=1e-4)
    assert np.linalg.norm(free.gradients.flat) > 1e-3


def test_learning_rates():
    t = trainer(lr=1.0, total_steps=10, warmup=0.2)
    rates = [t.lr_at(step) for step in range(10)]
    assert t.warmup_steps == 2 and max(rates) == 1.0 and np.argmax(rates) in (1, 2)
    assert np.all(np.diff(rates[2:]) < 0) and rates[-1] >= 0
    constant = trainer(lr=1.0, total_steps=None, warmup=4)
    assert [constant.lr_at(step) for step in (0, 3, 99)] == [0.25, 1.0, 1.0]
    assert trainer(schedule=lambda step: step / 8).lr_at(4) == 0.5


def test_an_optimiser_brings_its_own_learning_rate():
    model = AlbertForPreTraining(tiny_config())
    optimizer = AdamW(model.named_parameters(), lr=0.25)
    assert Trainer(model, optimizer).lr_at(0) == 0.25 and Trainer(model, optimizer, lr=0.5).lr_at(0) == 0.5
    assert Trainer(model).lr_at(0) == 1e-3


@pytest.mark.parametrize("options, message", [
    ({"optimizer": "sgd"}, "adamw, lamb"), ({"schedule": "cosine"}, "linear, google"), ({"lr": 0}, "lr is 0"),
    ({"accumulation": 0}, "accumulation is 0"), ({"clip": -1}, "clip is -1"), ({"threads": 0}, "0 threads")])
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        trainer(**options)


def test_a_batch_without_labels_is_refused():
    batch = {name: a for name, a in batch_at(0).items() if "label" not in name}
    with pytest.raises(UserError, match="needs labels"):
        trainer().step(batch)


# --- evaluation -------------------------------------------------------------------------------------------

@given(seed=seeds, threads=st.integers(1, 3), rows=st.integers(1, 5), size=st.integers(1, 9))
def test_evaluation_is_the_mean_over_all_targets(seed, threads, rows, size):
    model, batches = AlbertForPreTraining(tiny_config(), seed=2), [batch_at(i, size, seed) for i in range(3)]
    replicas = Threads(threads)
    found = evaluate_pretraining(model, batches, replicas, rows=rows)
    replicas.close()
    words, orders = [], []
    for batch in batches:
        out = model(**batch)
        chosen = batch["labels"] != -100
        for logits, targets, into in ((out.prediction_logits.numpy()[chosen], batch["labels"][chosen], words),
                                      (out.sop_logits.numpy(), batch["sentence_order_label"], orders)):
            logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            into += [(-row[t], row.argmax() == t) for row, t in zip(logp, targets)]
    expected = dict(zip(("sop_loss", "sop_accuracy"), np.mean(orders, axis=0)))
    if words:
        expected.update(zip(("mlm_loss", "mlm_accuracy"), np.mean(words, axis=0)))
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)


def test_evaluation_over_ranks():
    model, batches = AlbertForPreTraining(tiny_config(), seed=2), [batch_at(i) for i in range(3)]
    alone = evaluate_pretraining(model, batches)
    for found in on_ranks(2, lambda ranks: evaluate_pretraining(model, batches, ranks=ranks, rows=4)):
        np.testing.assert_allclose(list(found.values()), list(alone.values()), rtol=1e-5)


# --- the run ----------------------------------------------------------------------------------------------

def held_out(model, replicas):
    return evaluate_pretraining(model, [batch_at(i, seed=99) for i in range(2)], replicas)


def train_to(folder, t, steps=6, **options):
    options = {"evaluate": held_out, "best": "mlm_loss", "eval_every": 4, "log_every": 4, "progress": False, **options}
    return train(t, batch_at, steps, output_dir=folder, **options)


def log_of(folder, drop=("seconds", "tokens_per_second")):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in drop} for line in lines]


def interrupt_after(t, steps, how=lambda: signal.raise_signal(signal.SIGINT)):
    """Let something happen while step number `steps` is at work."""
    step = t.step

    def stepping(batch, lr=None):
        metrics = step(batch, lr)
        if t.steps_done == steps:
            how()
        return metrics

    t.step = stepping
    return t


@pytest.mark.parametrize("stop_at", range(1, 6))
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, stop_at):
    """At every step of a run with dropout, accumulation and threads: parameters, moments, log, kept model."""
    def new():
        return trainer(threads=2, accumulation=2, total_steps=None)

    whole, first, second = new(), new(), new()
    finished = train_to(tmp_path / "whole", whole)
    with pytest.raises(Interrupted, match=f"stopped at step {stop_at} of 6; saved in .*--resume"):
        train_to(tmp_path / "cut", interrupt_after(first, stop_at))
    assert train_to(tmp_path / "cut", second, steps=None, resume=True) == finished
    assert second.steps_done == 6
    assert parameters(second).tobytes() == parameters(whole).tobytes()
    left, right = moments(second), moments(whole)
    assert left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")
    assert ((tmp_path / "cut" / "model.safetensors").read_bytes()
            == (tmp_path / "whole" / "model.safetensors").read_bytes())


def test_a_crash_loses_only_what_came_after_the_last_checkpoint(tmp_path):
    def crash():
        raise OSError("the power went")

    whole, second = trainer(), trainer()
    train_to(tmp_path / "whole", whole, log_every=1)
    with pytest.raises(OSError, match="the power went"):
        train_to(tmp_path / "cut", interrupt_after(trainer(), 5, crash), log_every=1, save_every=3)
    with open(tmp_path / "cut" / "log.jsonl", "a") as file:
        file.write('{"kind": "eval"}\n\0\0\0\n[1]\n')       # what a power cut may leave
        file.write('{"kind": "train", "st')                 # the line that was being written
    train_to(tmp_path / "cut", second, resume=True, log_every=1)
    assert parameters(second).tobytes() == parameters(whole).tobytes()
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")


def test_sigterm_saves_as_ctrl_c_does_and_the_old_handlers_come_back(tmp_path):
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        train_to(tmp_path, interrupt_after(trainer(), 2, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    t = trainer()
    train_to(tmp_path, t, resume=True)
    assert t.steps_done == 6


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        train_to(tmp_path, interrupt_after(trainer(), 2, twice))
    assert not isinstance(caught.value, Interrupted) and not (tmp_path / "last").exists()


@pytest.mark.parametrize("metric, best", [("accuracy", 0.9), ("mse", 0.5), ("qa_loss", 0.5)])
def test_the_best_model_is_kept(tmp_path, metric, best):
    scores, seen = iter([1.0, 0.5, 0.9, 0.7] if best == 0.5 else [0.1, 0.5, 0.9, 0.7]), {}
    t = trainer(total_steps=None)

    def evaluate(model, replicas):
        score = next(scores)
        seen[score] = parameters(t)
        return {metric: score}

    metrics = train_to(tmp_path, t, evaluate=evaluate, best=metric, eval_every=2)
    assert metrics == {metric: 0.7}
    np.testing.assert_array_equal(parameters(t), seen[best])     # in memory, and in the folder
    kept = AlbertForPreTraining.from_pretrained(tmp_path)
    np.testing.assert_array_equal(np.concatenate([p.data.reshape(-1) for p in kept.parameters()]), seen[best])


def test_the_best_is_one_of_the_longest_sequences(tmp_path):
    """A loss on short sequences may be lower; it is no measure for a model of long ones."""
    values, seen = iter([(16, 5.0), (16, 1.0), (32, 4.0), (32, 3.0), (32, 3.5)]), {}
    t = trainer(total_steps=None)

    def evaluate(model, replicas):
        length, loss = next(values)
        seen[loss] = parameters(t)
        return {"mlm_loss": loss, "max_seq_length": length}

    train(t, batch_at, 8, evaluate, tmp_path, eval_every=2, best="mlm_loss", progress=False)
    np.testing.assert_array_equal(parameters(t), seen[3.0])


@settings(max_examples=8)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, math.nan]), min_size=6, max_size=6), st.none() | st.integers(1, 4),
       st.none() | st.integers(1, 5))
def test_a_run_ends_when_its_patience_does(values, patience, stop_at):
    """After so many evaluations without a better one; interrupted or not, with the learning rates of the whole run."""
    best, waited, ended = None, 0, 6
    for step, value in enumerate(values, 1):
        better = not math.isnan(value) and (best is None or value > best)
        best, waited = (value, 0) if better else (best, waited + 1)
        if waited == patience:
            ended = step
            break

    def train_on(folder, stop_at=None, **options):
        t = trainer(total_steps=None)
        interrupt_after(t, stop_at)

        def scores(model, replicas):
            return {"accuracy": values[t.steps_done - 1] if t.steps_done else 0.0}

        train_to(folder, t, evaluate=scores, best="accuracy", eval_every=1, log_every=1, **options)
        return t

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        whole = train_on(folder / "whole", patience=patience)
        if stop_at is not None and stop_at < ended:
            with pytest.raises(Interrupted):
                train_on(folder / "cut", stop_at, patience=patience)
            train_on(folder / "cut", steps=None, resume=True, patience=patience)
        else:
            train_on(folder / "cut", patience=patience)
        log = log_of(folder / "cut")
        assert str(log) == str(log_of(folder / "whole"))                     # NaN is not itself
        rates = [line["lr"] for line in log if line["kind"] == "train"]
        notes = [line["text"] for line in log if line["kind"] == "note"]
    assert whole.steps_done == ended == len(rates)
    assert rates == [whole.lr_at(step, 6) for step in range(ended)]
    reached = "was no number" if best is None else f"got no better than {best:.4g}"
    expected = f"ends at step {ended} of 6: accuracy {reached} in the last {patience} evaluations".replace(" 1 evaluations", " evaluation")
    assert notes == ([expected] if ended < 6 else [])


def test_a_run_that_lost_its_patience_is_complete_until_it_gets_more(tmp_path):
    def go(resume, patience):
        t = trainer(total_steps=None)
        train_to(tmp_path, t, None if resume else 6, evaluate=lambda *_: {"accuracy": -float(t.steps_done)}, best="accuracy",
                 eval_every=1, resume=resume, patience=patience)
        return t.steps_done

    assert go(False, 1) == 2
    with pytest.raises(UserError, match="ended at step 2, since it was asked for a patience of 1; .*--patience 2"):
        go(True, 1)
    assert go(True, 2) == 3 and go(True, None) == 6


@settings(max_examples=5)
@given(st.integers(2, 4), st.none() | st.integers(1, 5), st.permutations([1, 2, 3, 4, 5, 6]))
def test_the_mean_of_the_last_evaluations_weights_is_judged_and_kept(count, stop_at, scores):
    """The training goes on from the weights themselves, after an interruption too, bit for bit."""
    def train_on(folder, stop_at=None, **options):
        t, own, judged = interrupt_after(trainer(total_steps=None), stop_at), {}, {}
        step = t.step

        def stepping(batch, lr=None):
            metrics = step(batch, lr)
            own[t.steps_done] = parameters(t)
            return metrics

        def evaluate(model, replicas):
            judged[t.steps_done] = parameters(t)
            return {"accuracy": float(([0, *scores])[t.steps_done])}

        t.step = stepping
        train_to(folder, t, evaluate=evaluate, best="accuracy", eval_every=1, **options)
        return own, judged, parameters(t)

    with tempfile.TemporaryDirectory() as folder:
        whole, judged, kept = train_on(Path(folder) / "whole", average=count)
        plain, _, _ = train_on(Path(folder) / "plain")
        if stop_at:
            with pytest.raises(Interrupted):
                train_on(Path(folder) / "cut", stop_at, average=count)
            _, rest, other = train_on(Path(folder) / "cut", steps=None, resume=True, average=count)
            assert all(rest[step].tobytes() == judged[step].tobytes() for step in rest if step > stop_at)
            assert other.tobytes() == kept.tobytes()
    for step in whole:
        assert whole[step].tobytes() == plain[step].tobytes()
        last = [whole[each] for each in range(max(1, step - count + 1), step + 1)]
        np.testing.assert_allclose(judged[step], np.mean(last, axis=0), rtol=1e-5, atol=1e-7)
    assert kept.tobytes() == judged[scores.index(6) + 1].tobytes()


@pytest.mark.parametrize("change", [lambda array: array[..., :-1], lambda array: None])
def test_earlier_weights_of_another_model_are_refused(change):
    t = trainer()
    average = WeightAverage(t.model, 2)
    average.note()
    arrays = average.state_dict()
    name = next(iter(arrays))
    array = change(arrays.pop(name))
    with pytest.raises(UserError, match="earlier weight"):
        average.load_state_dict(arrays if array is None else {**arrays, name: array})


def test_without_a_metric_the_last_model_is_kept(tmp_path):
    t = trainer(total_steps=None)
    assert train_to(tmp_path, t, evaluate=None, best=None) == {}
    kept = AlbertForPreTraining.from_pretrained(tmp_path)
    np.testing.assert_array_equal(np.concatenate([p.data.reshape(-1) for p in kept.parameters()]), parameters(t))
    with pytest.raises(UserError, match="expected accuracy as well"):
        train_to(tmp_path / "other", trainer(), best="accuracy")


def test_the_log_has_the_means_of_the_steps_metrics(tmp_path):
    t, twin = trainer(), trainer()
    train_to(tmp_path, t, log_every=3, facts={"unigram_entropy": 3.5})
    steps = [twin.step(batch_at(step)) for step in range(6)]
    start, *lines = log_of(tmp_path)
    assert start["kind"] == "start" and start["vocab_size"] == V and start["unigram_entropy"] == 3.5
    logged = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in logged] == [3, 6]
    for line, part in zip(logged, (steps[:3], steps[3:])):
        for name in ("loss", "mlm_loss", "sop_loss", "grad_norm"):
            np.testing.assert_allclose(line[name], np.mean([s[name] for s in part]), rtol=1e-6)
        assert line["tokens"] == sum(s["tokens"] for s in part) and line["lr"] == part[-1]["lr"]
    assert [line["step"] for line in lines if line["kind"] == "eval"] == [0, 4, 6]


def test_a_run_of_two_ranks_is_the_run_of_one(tmp_path):
    """One of them writes; the run may be resumed with another number of ranks."""
    alone = trainer()
    train_to(tmp_path / "one", alone)

    def work(ranks):
        t, half = trainer(ranks=ranks), slice(3 * ranks.rank, 3 * ranks.rank + 3)
        def evaluate(model, replicas):
            return evaluate_pretraining(model, [batch_at(i, seed=99) for i in range(2)], ranks=ranks)
        signals.received = []
        if ranks.rank == 1:                                     # one rank is told to stop, both do
            interrupt_after(t, 4, lambda: signals.received.append(signal.SIGINT))
        try:
            train(t, lambda step: {k: a[half] for k, a in batch_at(step).items()}, 6, evaluate, tmp_path / "two",
                  best="mlm_loss", eval_every=4, log_every=4, progress=False)
        except Interrupted:
            return t.steps_done

    signals = threading.local()                                 # each rank has its own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyalbert.training.loop.stop_signals", lambda: contextlib.nullcontext(signals.received))
        assert on_ranks(2, work) == [4, 4]
    resumed = trainer()
    train_to(tmp_path / "two", resumed, resume=True)
    np.testing.assert_allclose(parameters(resumed), parameters(alone), atol=2e-4)
    one, two = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert [(a["kind"], a["step"]) for a in one] == [(a["kind"], a["step"]) for a in two]


@pytest.mark.parametrize("saved", [False, True])
def test_a_run_that_diverges_stops_before_it_spoils_the_parameters(tmp_path, saved):
    t = trainer()

    def spoil():
        t.model.parameters()[-1].data[...] = np.nan

    with pytest.raises(TrainingDiverged) as caught:
        train_to(tmp_path, interrupt_after(t, 3, spoil), save_every=2 if saved else 6, eval_every=6)
    assert t.steps_done == 3 and "step 4 gave" in str(caught.value) and "lower learning rate" in str(caught.value)
    assert (("of step 2, is in" in str(caught.value) and "--resume" in str(caught.value)) if saved else
            "no checkpoint yet" in str(caught.value))
    if saved:
        again = trainer()
        train_to(tmp_path, again, resume=True)
        assert np.isfinite(parameters(again)).all()


def test_a_full_disk_is_said_in_one_sentence(tmp_path, monkeypatch):
    real, calls = checkpoints_module.save_training_state, []

    def save(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(checkpoints_module, "save_training_state", save)
    with pytest.raises(UserError, match="no space left on the disk of .* while writing the checkpoint, at step 4;.*whole"):
        train_to(tmp_path, trainer(), save_every=2)
    t = trainer()
    train_to(tmp_path, t, resume=True)
    assert t.steps_done == 6


def test_folders_are_not_written_over(tmp_path):
    with pytest.raises(UserError, match="no training run to resume"):
        train_to(tmp_path, trainer(), resume=True)
    train_to(tmp_path, trainer())
    with pytest.raises(UserError, match="already holds a training run"):
        train_to(tmp_path, trainer())
    with pytest.raises(UserError, match="is complete"):
        train_to(tmp_path, trainer(), resume=True)
    t = trainer(total_steps=None)
    train_to(tmp_path, t, steps=8, resume=True)                 # but it may be made longer
    assert t.steps_done == 8
    with pytest.raises(UserError, match="expected steps="):
        train_to(tmp_path / "other", trainer(total_steps=None), steps=None)


def test_a_model_is_not_written_over(tmp_path):
    trainer().model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="already holds a model"):
        train_to(tmp_path, trainer())
    assert (tmp_path / "model.safetensors").read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_a_log_file_is_not_filled_with_progress_bars(tmp_path, capsys, monkeypatch):
    """Where nobody watches (no terminal), a bar a minute and the evaluations; each line can be read as one."""
    monkeypatch.setattr("tqdm.std.time", iter(range(0, 10_000, 5)).__next__)              # every look takes 5 seconds
    train_to(tmp_path, trainer(total_steps=30), steps=30, progress=True)
    text = capsys.readouterr().err
    assert text.count("/30") <= 30 * 5 // 60 + 12 and "step 28, held out: " in text and "step 30/30, 100%" in text


def test_the_bar_counts_tokens_where_batches_differ(tmp_path, capsys, monkeypatch):
    """Else the time left would be that of the short batches with which a run begins."""
    monkeypatch.setattr("tqdm.std.time", iter(range(0, 100_000, 100)).__next__)           # every look takes 100 seconds

    def growing(step):
        return batch_at(step)
    data = FunctionData(growing)
    data.tokens = [0, 1, 2, 10, 20].__getitem__
    train(trainer(total_steps=4), data, 4, output_dir=tmp_path, eval_every=5)
    text = capsys.readouterr().err
    assert all(shown in text for shown in ("step 0/4,   0% of the tokens", "step 1/4,   5% of", "step 2/4,  10% of", "step 3/4,  50% of",
                                     "step 4/4, 100% of"))


def test_other_settings_on_resume_are_said(tmp_path, capsys):
    with pytest.raises(Interrupted):
        train_to(tmp_path, interrupt_after(trainer(), 2))
    train_to(tmp_path, trainer(lr=1e-4), resume=True, progress=True)
    assert "resumed with lr 0.0001; the run had 0.003" in capsys.readouterr().err


def test_minutes_are_turned_into_steps(monkeypatch):
    """By a clock that moves 10 ms at each look: 4 batches are timed, in 90 ms; the plan changes no parameter."""
    monkeypatch.setattr("tinyalbert.training.plan.time", SimpleNamespace(perf_counter=itertools.count(0, 0.01).__next__))
    t = trainer(total_steps=None)
    before, data = parameters(t), FunctionData(batch_at)
    left, step = 1.0 - 0.09, 1.03 * 0.01                                # seconds; the update takes 3 % more
    assert fit_steps(t, data, 1.0, 0.0, None).steps == int(left / step)
    assert fit_steps(t, data, 1.0, 0.02, None).steps == int((left - 10 * 0.02) / step)          # ten evaluations
    assert fit_steps(t, data, 1.0, 0.02, 10).steps == int(left / (step + 0.02 / 10))            # one every 10 steps
    rare = fit_steps(t, data, 1.0, 0.2, None)                            # ten would take twice the time: two
    assert rare.steps == int((left - 2 * 0.2) / step) and rare.eval_every == -(-rare.steps // 2)
    assert fit_steps(t, data, 1.0, 0.02, None).eval_every is None
    assert fit_steps(t, data, 0.1, 2.0, None).steps == 1                 # no time for anything: one step
    np.testing.assert_array_equal(before, parameters(t))


@given(steps=st.integers(1, 100_000), step=st.floats(1e-3, 1000), given_interval=st.none() | st.integers(1, 10_000))
def test_a_kill_costs_a_run_of_some_hours_ten_minutes_at_most(steps, step, given_interval):
    every = FittedSteps(steps, step, 0.0).save_every(given_interval)
    assert every == 1 or every * step <= SAVING_SECONDS
    interval = given_interval or -(-steps // 10)
    assert every == interval or every < interval and (every + 1) * step > SAVING_SECONDS


def test_minutes_of_unlike_batches(monkeypatch):
    """A share of the steps costs more: each kind of batch is timed.  A look at the clock takes as long as told."""
    clock = {"now": 0.0, "tick": 0.01}

    def perf_counter():
        clock["now"] += clock["tick"]
        return clock["now"]

    class Mixed:
        def batch(self, step):
            raise AssertionError("the kinds are timed")

        def drawn(self, tick, step):
            clock["tick"] = tick
            return batch_at(step)

        def kinds(self):
            return [(0.75, functools.partial(self.drawn, 0.01)), (0.25, functools.partial(self.drawn, 0.05))]
    monkeypatch.setattr("tinyalbert.training.plan.time", SimpleNamespace(perf_counter=perf_counter))
    steps = fit_steps(trainer(total_steps=None), Mixed(), 100.0, 0.0, None).steps
    assert steps == pytest.approx(100 / (1.03 * (0.75 * 0.01 + 0.25 * 0.05)), rel=0.06)


def test_the_plan_is_kept(tmp_path):
    """All processes plan the same, and a resumed run does not plan again."""
    data = FunctionData(batch_at)
    plans = on_ranks(2, lambda ranks: fit_steps(trainer(total_steps=None, ranks=ranks), data, 0.5, 0.0, None).steps)
    assert plans[0] == plans[1]
    t = trainer(total_steps=None)
    with pytest.raises(Interrupted):
        train_to(tmp_path, interrupt_after(t, 2), steps=None, minutes=0.03, eval_every=None)
    resumed = trainer(total_steps=None)
    train_to(tmp_path, resumed, steps=None, minutes=5, resume=True)
    assert resumed.steps_done == saved_total_steps(tmp_path) == log_of(tmp_path)[0]["total_steps"]


def test_the_plateau_is_explained_once():
    def remarks(loss_at):
        watch = PlateauWatch(6.4, warmup_steps=100, total_steps=1000)
        said = []
        for step in range(10, 1000, 10):
            remark = watch(step, {"mlm_loss": loss_at(step)})
            resumed = PlateauWatch(6.4, warmup_steps=100, total_steps=1000)
            resumed.state.update(json.loads(json.dumps(watch.state)))       # as a checkpoint keeps it
            watch = resumed
            said += [remark] if remark else []
        return said

    (remark,) = remarks(lambda step: 6.35)
    assert "6.40, the unigram entropy, since step 110" in remark
    assert remarks(lambda step: 9.0 - step / 100) == []          # a run that falls hears nothing
    assert PlateauWatch(6.4, 0, 10)(5, {"loss": 1.0}) is None    # nor one without masked words


def test_what_a_watch_says_is_logged_and_what_it_remembers_is_saved(tmp_path):
    class Counting:
        def __init__(self):
            self.state = {"seen": 0}

        def __call__(self, step, metrics):
            self.state["seen"] += 1
            return f"line {self.state['seen']} has {metrics['mlm_loss']:.1f}"

    with pytest.raises(Interrupted):
        train_to(tmp_path, interrupt_after(trainer(), 3), log_every=2, watch=Counting())
    train_to(tmp_path, trainer(), resume=True, log_every=2, watch=Counting())
    notes = [line for line in log_of(tmp_path) if line["kind"] == "note"]
    assert [(line["step"], line["text"][:6]) for line in notes] == [(2, "line 1"), (4, "line 2"), (6, "line 3")]


def test_reading_a_metric_never_refuses():
    metrics = StepMetrics(3, ["mlm"], np.array([math.nan]), 2.0, lr=0.1, tokens=7)
    assert math.isnan(metrics.loss) and math.isnan(metrics["mlm_loss"]) and metrics["grad_norm"] == 2.0
    assert set(metrics) == {"loss", "mlm_loss", "grad_norm", "lr", "tokens"} and len(metrics) == 5
    assert metrics.loss_scale is None and metrics.skipped == 0.0 and "loss_scale" not in metrics
    with pytest.raises(TrainingDiverged, match="step 3 gave mlm loss nan at learning rate 0.1"):
        metrics.check_finite()
    StepMetrics(3, ["mlm"], np.array([1.0]), 2.0, lr=0.1, tokens=7).check_finite()


def test_the_plan_says_how_it_was_fixed():
    text = str(FittedSteps(1234, step_seconds=0.0567, evaluation_seconds=81.3))
    assert text == "1,234 steps: measured 57 ms a step, 81 s kept for evaluation"


@given(rows=st.integers(1, 9), size=st.integers(1, 4))
def test_each_row_belongs_to_one_process(rows, size):
    batch = {"input_ids": np.arange(rows)}
    ranks = [SimpleNamespace(rank=rank, size=size) for rank in range(size)]
    if rows < size:
        with pytest.raises(UserError, match=f"a batch of {rows} rows can't be dealt to {size} processes"):
            own_part(batch, ranks[0])
        return
    parts = [own_part(batch, one)["input_ids"] for one in ranks]
    assert np.concatenate(parts).tolist() == list(range(rows)) and all(len(part) for part in parts)


def test_the_progress_bar_shows_loss_and_speed(tmp_path, capsys):
    train_to(tmp_path, trainer(), progress=True)
    shown = capsys.readouterr().err
    assert "step 6/6, 100%" in shown and "masked words" in shown and "(loss)" in shown and " left, " in shown and "tokens/s" in shown and "% right (loss " in shown


# --- batches ----------------------------------------------------------------------------------------------

@given(first=st.integers(0, 5), count=st.integers(1, 6))
def test_batches_come_in_order_drawn_one_ahead_in_another_thread(first, count):
    drawn, here = [], threading.get_ident()

    def draw(step):
        drawn.append(step)
        assert threading.get_ident() != here
        return step

    for expected, batch in enumerate(prefetched(draw, first, first + count), first):
        assert batch == expected and max(drawn) <= expected + 1
    assert drawn == list(range(first, first + count))


def test_an_error_in_drawing_a_batch_reaches_the_loop():
    def draw(step):
        if step == 2:
            raise UserError("row 3 is malformed")
        return step

    with pytest.raises(UserError, match="row 3"):
        list(prefetched(draw, 0, 5))


def test_a_batch_that_has_no_room_in_memory_is_refused_before_its_step(monkeypatch):
    from tinyalbert.training import memory

    t = trainer()
    ids = np.full((8, T), 5, np.int32)
    batch = {"input_ids": ids, "labels": ids, "sentence_order_label": np.zeros(8, np.int32)}
    needed = memory.least_memory(t.model.config, *ids.shape)
    monkeypatch.setattr(memory, "memory_here", lambda: needed - 1)
    with pytest.raises(UserError, match=rf"8 rows of {T} tokens .*--batch-size 2\)"):
        t.step(batch)
    assert t.steps_done == 0
    t.accumulation = 2  # half the rows at a time
    t.step(batch)
    monkeypatch.setattr(memory, "memory_here", lambda: needed)
    t.accumulation = 1
    t.step(batch)
    assert t.steps_done == 2
    monkeypatch.undo()
    assert memory.memory_here() > needed
