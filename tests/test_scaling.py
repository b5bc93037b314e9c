"""What scripts/scaling.py computes: sizes are the models' own, no rank waits for itself, nobody beats the ideal."""

import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForPreTraining, Trainer
from tinyalbert.info import parameter_rows
from tinyalbert.training.loop import train
from tinyalbert.training.replicas import GradientSum, Single

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "scripts"))

import scaling  # noqa: E402

SMALL = dict(vocab_size=60, embedding_size=8, hidden_size=16, num_attention_heads=2, intermediate_size=32,
             max_position_embeddings=16)
ranks = st.integers(1, 2048)
sizes = st.floats(1, 1e10)
bandwidths = st.floats(1e7, 1e12)
latencies = st.floats(0, 1e-2)
algorithms = st.sampled_from(list(scaling.ALGORITHMS))
models = pytest.mark.parametrize("model", ["ALBERT", "BERT"])


def options(rows=32, length=512, bits=32, network="10G", algorithm="ring"):
    return SimpleNamespace(rows=rows, length=length, bits=bits, algorithm=algorithm, network=network,
                           speeds=scaling.NETWORKS[network])


# --- what is sent -----------------------------------------------------------------------------------------

@models
@pytest.mark.parametrize("size", scaling.SIZES)
def test_the_gradient_has_as_many_numbers_as_the_model_has_parameters(model, size):
    config = scaling.config_of(model, size)
    assert scaling.gradient_numbers(config) == AlbertForPreTraining(config, seed=None).num_parameters()
    assert (config.embedding_size == config.hidden_size) == (model == "BERT")
    same = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    assert [getattr(config, n) for n in same] == [getattr(AlbertConfig.preset(f"{size}_v2"), n) for n in same]


def test_it_is_what_the_trainer_really_sends():
    """The flat buffer of the all-reduce, for a model that shares and for one that doesn't."""
    for config in (AlbertConfig(**SMALL), AlbertConfig.bert(**{**SMALL, "embedding_size": 16})):
        buffer = GradientSum(AlbertForPreTraining(config).named_parameters()).flat
        assert buffer.dtype == np.float32 and buffer.size == scaling.gradient_numbers(config)


def test_sharing_makes_the_all_reduce_9_to_22_times_smaller():
    """Against the paper's Table 1: 108M / 12M and 334M / 18M, its BERT-xlarge 1270M / 60M; heads included here."""
    ratio = [scaling.gradient_numbers(scaling.config_of("BERT", s)) / scaling.gradient_numbers(scaling.config_of("ALBERT", s))
             for s in scaling.SIZES]
    np.testing.assert_allclose(ratio[:3], [108 / 12, 334 / 18, 1270 / 60], rtol=0.05)
    assert 9 < min(ratio) and max(ratio) < 22


@given(layers=st.integers(1, 12), groups=st.integers(1, 12), rest=st.sampled_from(["sop", "nsp", "none"]))
def test_a_parameter_set_is_complete_when_the_pass_is_through_its_first_layer(layers, groups, rest):
    groups = min(groups, layers)
    config = AlbertConfig(**SMALL, num_hidden_layers=layers, num_hidden_groups=groups, sentence_task=rest)
    parts = scaling.gradient_parts(config)
    ready = [share for share, _ in parts]
    assert ready == sorted(ready) and ready[0] == 0.0 and ready[-1] == 1.0
    first_use = {group: min(i for i in range(layers) if i * groups // layers == group) for group in range(groups)}
    one_set = 4 * (16 * 16 + 16) + 2 * 16 * 32 + 32 + 16 + 4 * 16
    found = dict(parts)
    for layer in first_use.values():
        assert found[(layers - layer) / layers] >= one_set
    assert sum(found.values()) == AlbertForPreTraining(config, seed=None).num_parameters()


@models
def test_albert_has_next_to_nothing_to_overlap(model):
    parts = scaling.gradient_parts(scaling.config_of(model, "base"))
    at_the_end = parts[-1][1] / sum(numbers for _, numbers in parts)
    assert at_the_end > 0.9 if model == "ALBERT" else at_the_end < 0.4


@models
@given(rows=st.integers(1, 64), length=st.integers(1, 512))
def test_operations_are_two_for_each_use_of_each_weight_and_twice_that_on_the_way_back(model, rows, length):
    """Counted a second time, from the parameters: biases and norms, which multiply nothing, are under 0.1 %."""
    config = scaling.config_of(model, "base")
    counted = {part: numbers * uses for part, numbers, uses in parameter_rows(config)}
    L, H, tokens = config.num_hidden_layers, config.hidden_size, rows * length
    weights = (counted.get("projection E -> H", 0) * (model == "ALBERT") + counted["attention, with its layer norm"]
               + counted["feed-forward, with its layer norm"])
    decoder = counted["word embeddings (V x E)"] / 2 + H * config.embedding_size
    expected = 6 * tokens * (weights + 2 * L * length * H + 0.15 * decoder)
    np.testing.assert_allclose(scaling.operations(config, rows, length), expected, rtol=2e-3)


def test_small_messages_are_counted_as_the_library_sends_them():
    class Counting(Single):
        sent = []

        def all_reduce(self, array):
            self.sent.append(array.nbytes)

    rng, counting = np.random.default_rng(0), Counting()
    ids = rng.integers(5, 60, (4, 8)).astype(np.int32)
    batch = {"input_ids": ids, "labels": ids, "sentence_order_label": np.zeros(4, np.int32)}
    trainer = Trainer(AlbertForPreTraining(AlbertConfig(**SMALL)), total_steps=5, threads=1, ranks=counting)
    train(trainer, lambda step: batch, 5, progress=False)
    gradient = trainer.gradients.flat.nbytes
    assert counting.sent.count(gradient) == 5
    small = [size for size in counting.sent if size != gradient]
    assert len(small) == 5 * scaling.SMALL_MESSAGES and max(small) <= scaling.SMALL_BYTES


# --- how long it takes ------------------------------------------------------------------------------------

@given(n=ranks, size=sizes, bandwidth=bandwidths, latency=latencies)
def test_the_ring_is_that_of_lesson_22(n, size, bandwidth, latency):
    spec = importlib.util.spec_from_file_location("lesson_22", ROOT / "lessons" / "solutions" / "22_many_machines.py")
    lesson = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lesson)
    assert scaling.ring_seconds(n, size, bandwidth, latency) == lesson.ring_seconds(n, size, bandwidth, latency)


@given(n=st.integers(2, 2047), size=sizes, bandwidth=bandwidths, latency=latencies, more=st.floats(1.01, 100),
       algorithm=algorithms)
def test_more_ranks_more_bytes_and_more_latency_take_longer_and_bandwidth_helps(n, size, bandwidth, latency, more, algorithm):
    seconds = scaling.ALGORITHMS[algorithm]
    here = seconds(n, size, bandwidth, latency)
    assert 0 < here <= seconds(n + 1, size, bandwidth, latency)
    assert here < seconds(n, more * size, bandwidth, latency)
    assert here <= seconds(n, size, bandwidth, more * latency)
    assert seconds(n, size, more * bandwidth, latency) < here
    assert here >= 2 * (n - 1) / n * size / bandwidth * (1 - 1e-12)        # each number is sent and received
    assert scaling.halving_seconds(n, size, bandwidth, latency) <= scaling.ring_seconds(n, size, bandwidth, latency) * (1 + 1e-12)


@given(n=ranks, bandwidth=bandwidths, latency=latencies, backward=st.floats(0, 100), algorithm=algorithms,
       parts=st.lists(st.tuples(st.floats(0, 1), sizes), min_size=0, max_size=8), last=sizes)
def test_overlap_never_hurts_and_can_hide_all_but_the_last_part(n, bandwidth, latency, backward, algorithm, parts, last):
    parts, network = [*sorted(parts), (1.0, last)], (bandwidth, latency)
    plain, hidden = (scaling.waiting_seconds(n, parts, network, backward, overlap, algorithm) for overlap in (False, True))
    assert hidden <= plain
    assert plain >= scaling.ALGORITHMS[algorithm](n, last, *network) * (1 - 1e-9)
    assert hidden >= (scaling.ALGORITHMS[algorithm](n, last, *network)) * (1 - 1e-9) - 1e-12 * backward
    if n == 1:
        assert plain == hidden == 0.0


def test_overlap_of_two_parts_by_hand():
    """Over 2 ranks a message of s bytes takes s seconds at 1 byte a second: 3 s behind a pass of 10, then 4 s."""
    small = scaling.SMALL_MESSAGES * scaling.halving_seconds(2, scaling.SMALL_BYTES, 1.0, 0.0)
    def wait(parts, overlap):
        return scaling.waiting_seconds(2, parts, (1.0, 0.0), 10.0, overlap) - small
    assert wait([(0.5, 3.0), (1.0, 4.0)], False) == 7.0
    assert wait([(0.5, 3.0), (1.0, 4.0)], True) == 4.0
    assert wait([(0.5, 8.0), (1.0, 4.0)], True) == 7.0                     # the first is through 3 s after the pass
    assert wait([(1.0, 3.0), (1.0, 4.0)], True) == 7.0                     # nothing was complete earlier


@models
@given(rows=st.integers(1, 64), network=st.sampled_from(list(scaling.NETWORKS)), bits=st.sampled_from([16, 32]),
       algorithm=algorithms, rate=st.floats(1e10, 1e15), overlap=st.booleans())
def test_throughput_is_at_most_ideal_and_falls_off_with_ranks(model, rows, network, bits, algorithm, rate, overlap):
    model = scaling.Model(model, "base", rate, options(rows, 128, bits, network, algorithm))
    share = [model.ideal(n, overlap) for n in scaling.RANKS]
    assert share[0] == 1.0 and all(0 < b <= a <= 1 for a, b in zip(share, share[1:]))
    assert all(model.ideal(n, True) >= model.ideal(n) for n in scaling.RANKS)


def test_half_the_bits_and_faster_ranks():
    def share(**more):
        rate = more.pop("rate", 5e13)
        return scaling.Model("ALBERT", "base", rate, options(**more)).ideal(64)
    assert share(bits=16) > share() > share(rate=5e14)
    assert share(network="1G") < share() < share(network="100G") < share(network="NVLink")


def test_the_papers_run():
    """32 hours at 512 TPU v3 (Table 6) is what chips of about 66 Tflop/s do; more ranks never take longer here."""
    fast = scaling.Model("ALBERT", "xxlarge", 66e12, options(network="NVLink"))
    hours = [scaling.paper_hours(fast, n) for n in (64, 128, 256, 512, 1024)]
    assert hours == sorted(hours, reverse=True)
    np.testing.assert_allclose(hours[3], 32, rtol=0.1)
    one = scaling.paper_hours(fast, 1) * 3600 / scaling.PAPER["steps"]
    np.testing.assert_allclose(one, scaling.operations(fast.config, 4096, 512) / 66e12)


# --- the command ------------------------------------------------------------------------------------------

def test_tables_and_picture(tmp_path, capsys):
    arguments = ["--step-seconds", "0.19", "--picture", str(tmp_path / "a" / "scaling.png")]
    assert scaling.main(arguments) == 0
    out = capsys.readouterr().out
    for text in ("11,813,810", "2,575,160,626", "as given", "1,024", "125,000 steps", "scaling.png"):
        assert text in out
    picture = (tmp_path / "a" / "scaling.png").read_bytes()
    assert scaling.main(arguments) == 0
    assert (tmp_path / "a" / "scaling.png").read_bytes() == picture        # the same numbers, the same bytes
    capsys.readouterr()
    assert scaling.main([*arguments, "--bandwidth", "1e9", "--latency", "1e-5", "--size", "xxlarge", "--bits", "16"]) == 0
    assert "over 8 Gb/s by ring" in capsys.readouterr().out.split("Throughput")[1]


def test_without_a_given_step_the_trainer_is_timed(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(scaling, "config_of", lambda model, size: AlbertConfig(vocab_size=30000, max_position_embeddings=128))
    assert 0 < scaling.measured_rate() < math.inf
    assert scaling.main(["--length", "128", "--picture", str(tmp_path / "s.png")]) == 0
    assert "measured here" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--rows", "0"], ["--length", "513"], ["--step-seconds", "0"], ["--measure", "1"],
                                       ["--bandwidth", "-1"], ["--latency", "nan"], ["--network", "2G"]])
def test_mistakes_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        scaling.main([*arguments, "--picture", "never.png"])
    assert stopped.value.code == 2 and "error" in capsys.readouterr().err and not Path("never.png").exists()


def test_the_help_explains_the_model(capsys):
    with pytest.raises(SystemExit):
        scaling.main(["--help"])
    out = capsys.readouterr().out
    assert all(word in out for word in ("all-reduce", "2 (n - 1) rounds", "latency", "backward pass", "left out"))


def test_measuring_without_mpi_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scaling.main(["--measure"]) == 2
    assert "tinyalbert[mpi]" in capsys.readouterr().err


def test_measuring_prints_both_and_their_ratio(monkeypatch, capsys):
    pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'tinyalbert[mpi]'")
    scaling.measure(2, rounds=1, steps=1)
    out = capsys.readouterr().out
    assert "  1 rank " in out and "  2 ranks" in out and "x one (target 1.7 x)" in out
