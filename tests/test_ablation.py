"""scripts/ablation.py: the paper's tables in miniature; runs are kept, and the verdict heeds the noise."""

import json
import math
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import ablation
from ablation_findings import QUANTILES, finding, note_down, student, verdict_of
from ablation_measures import optimizer_shares
from ablation_tables import TABLES, Claim, Table

from tinyalbert import AlbertConfig, AlbertForPreTraining, UserError
from tinyalbert.config import PRESETS
from tinyalbert.pretraining.options import PretrainOptions
from tinyalbert.training.trainer import Trainer

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("preset", ["tiny", "mini", "small"])
def test_every_table_can_be_trained_and_its_claims_are_about_it(name, preset, tmp_path):
    table = TABLES[name](AlbertConfig.preset(preset))
    args = ablation._arguments([name, "--preset", preset])
    for variant in table.variants:
        given = ablation.options(args, table, variant, tmp_path)
        AlbertForPreTraining(AlbertConfig.from_dict(given["config"]), seed=None)
        assert given.keys() - {"config"} <= {*PretrainOptions.__dataclass_fields__}
        assert json.loads(json.dumps(given)) == given
    assert len({json.dumps(ablation.options(args, table, v, tmp_path)) for v in table.variants}) == len(table.variants)
    for claim in table.claims:
        assert set(claim.contrast) <= set(table.variants) and claim.metric in ablation.COLUMNS
        assert sum(claim.contrast.values()) == 0
    assert set(table.paper) <= set(table.variants)


def test_a_gated_ffn_has_as_many_parameters_as_the_plain_one():
    config = AlbertConfig.preset("mini")
    variants = TABLES["gate"](config).variants
    plain, gated = (AlbertForPreTraining(AlbertConfig(**{**PRESETS["mini"], **v["config"]}), seed=None).num_parameters() for v in variants.values())
    assert abs(gated - plain) < 0.01 * 2 * config.hidden_size * config.intermediate_size


@given(seeds=st.integers(2, 30), effect=st.floats(-3, 3), spread=st.floats(0.01, 1), seed=st.integers(0, 999))
def test_a_verdict_is_the_effect_against_students_interval(seeds, effect, spread, seed):
    rng = np.random.default_rng(seed)
    values = {name: rng.standard_normal(seeds) * spread + shift for name, shift in (("worse", effect), ("better", 0.0))}
    results = {name: [{"mlm_loss": float(v)} for v in each] for name, each in values.items()}
    verdict, got, noise = verdict_of(Claim("", {"worse": 1, "better": -1}), results)
    difference = values["worse"].mean() - values["better"].mean()
    error = math.sqrt((values["worse"].var(ddof=1) + values["better"].var(ddof=1)) / seeds)   # of two independent means
    np.testing.assert_allclose([got, noise], [difference, student(2 * seeds - 2) * error])
    assert verdict == ("reproduced" if difference > noise else "not reproduced" if difference < -noise else "undecided")


@settings(max_examples=4)
@given(seeds=st.integers(2, 40), contrast=st.sampled_from([{"a": 1, "b": -1}, {"a": 1, "b": -1, "c": -1, "d": 1}]), seed=st.integers(0, 99))
def test_pure_noise_is_taken_for_a_finding_one_time_in_twenty(seeds, contrast, seed):
    """Within four standard errors of a share of 1,000 drawings."""
    drawn = np.random.default_rng(seed).standard_normal((1000, len(contrast), seeds))
    claim = Claim("", contrast)
    verdicts = [verdict_of(claim, {name: [{"mlm_loss": v} for v in row] for name, row in zip(contrast, each)})[0] for each in drawn]
    for verdict in ("reproduced", "not reproduced"):
        assert abs(verdicts.count(verdict) / 1000 - 0.025) < 4 * math.sqrt(0.025 * 0.975 / 1000)


def test_the_quantiles_are_students():
    quantile = pytest.importorskip("scipy.special").stdtrit
    np.testing.assert_allclose([*QUANTILES.values()], quantile([*QUANTILES], 0.975), atol=6e-4)
    assert student(35) == QUANTILES[30] and student(10_000) == QUANTILES[100]


@pytest.mark.parametrize("effects, expected", [
    ((1, 1), "Reproduced"), ((1, -1), "Not reproduced"), ((1, 0), "Undecided within the noise of the seeds"), ((0, -1), "Not reproduced")])
def test_a_table_is_as_good_as_its_weakest_claim(effects, expected):
    claims = tuple(Claim(f"claim {i}", {f"a{i}": 1, f"b{i}": -1}) for i in range(2))
    results = {f"{x}{i}": [{"mlm_loss": (e if x == "a" else 0) + d} for d in (0, 0.1)] for i, e in enumerate(effects) for x in "ab"}
    table = Table("", {}, claims, {})
    assert finding(table, results).startswith(expected + ":")


def test_one_seed_decides_nothing_and_what_was_not_measured_is_said():
    one = {"a": [{"mlm_loss": 9.0}], "b": [{"mlm_loss": 1.0}]}
    assert verdict_of(Claim("", {"a": 1, "b": -1}), one)[0] == "undecided"
    assert verdict_of(Claim("", {"a": 1, "b": -1}, "zorro"), one)[0] == "not measured"


@given(steps=st.lists(st.floats(0.01, 1), min_size=1, max_size=5), rest=st.floats(0, 4), minutes=st.floats(0.1, 60), spent=st.floats(0, 2),
       seeds=st.integers(1, 4), equal=st.sampled_from(["steps", "minutes"]))
def test_the_minutes_are_shared_out_or_refused_with_what_would_do(steps, rest, minutes, spent, seeds, equal):
    times = {str(i): (step, rest) for i, step in enumerate(steps)}
    try:
        found = ablation.shared_out(minutes, spent, seeds, times, equal)
    except ablation.TooShort as refused:
        assert refused.minutes > minutes and f"expected {refused.minutes:g} or more" in str(refused)
        minutes = refused.minutes
        found = ablation.shared_out(minutes, spent, seeds, times, equal)
    taken = {name: found[name] * step + rest for name, (step, _) in times.items()}
    left = 60 * (minutes - spent) / seeds
    assert left - sum(steps) <= sum(taken.values()) <= left + 1e-6 and min(found.values()) >= ablation.FEWEST
    if equal == "steps":
        assert len(set(found.values())) == 1
    else:
        assert max(taken.values()) - min(taken.values()) <= max(steps) + 1e-6


def test_a_plan_by_which_nothing_was_trained_makes_way_for_another(tmp_path):
    table = TABLES["norm"](AlbertConfig.preset("tiny"))
    for minutes in ("1", "2"):
        args = ablation._arguments(["norm", "--quick", "--minutes", minutes])
        given = {name: ablation.options(args, table, name, tmp_path) for name in table.variants}
        ablation.planned(args, table, tmp_path, given)
        assert json.loads((tmp_path / "plan.json").read_text())["asked"]["minutes"] == float(minutes)
    (tmp_path / "pre_LN-0").mkdir()
    assert ablation.planned(args, table, tmp_path, given)
    args.minutes = 1.0
    with pytest.raises(UserError, match="begun with other"):
        ablation.planned(args, table, tmp_path, given)


# --- all tables ---------------------------------------------------------------------------------------------

def test_all_share_the_minutes_by_their_variants_and_one_that_fails_keeps_none_from_training(tmp_path, monkeypatch, capsys):
    done = []

    def run_table(part):
        if part.name == "width":
            raise UserError("it diverged")
        done.append((part.name, part.minutes))
        return ""
    monkeypatch.setattr(ablation, "run_sizes", run_table)
    monkeypatch.setattr(ablation, "run_table", run_table)
    monkeypatch.setattr(ablation, "prepared", lambda part: None)
    assert ablation.main(f"all --minutes 100 --output {tmp_path}".split()) == 2
    told = capsys.readouterr().err
    assert "it diverged" in told and "not finished: width; the same command tries again" in told
    minutes = dict(done)
    assert [*minutes] == [name for name in ("sizes", *TABLES) if name != "width"]
    assert minutes["masking"] == pytest.approx(2 * minutes["gate"], abs=0.01)
    assert sum(minutes.values()) + 3 * minutes["gate"] / 2 == pytest.approx(100, abs=0.1)


def test_all_are_refused_before_the_first_is_trained_with_the_minutes_that_would_do(tmp_path, monkeypatch, capsys):
    def prepared(part):
        if part.minutes < 9 and part.name in ("norm", "depth"):
            raise ablation.TooShort("", 9.0)
    monkeypatch.setattr(ablation, "prepared", prepared)
    monkeypatch.setattr(ablation, "run_table", lambda part: "")
    monkeypatch.setattr(ablation, "run_sizes", lambda part: "")
    assert ablation.main(f"all --minutes 20 --output {tmp_path}".split()) == 2
    minutes = capsys.readouterr().err.split("expected ")[1].split()[0]
    assert ablation.main(f"all --minutes {minutes} --output {tmp_path}".split()) == 0


def test_the_page_of_all_findings_tells_first_what_did_not_reproduce(tmp_path):
    for name, said in (("a", "Reproduced: x."), ("b", "Undecided within the noise of the seeds: y."), ("c", "Not reproduced: z: z.")):
        page = note_down(tmp_path / name, f"Source of {name}", said, "tiny, 2 seeds, 4 steps")
    text = page.read_text()
    assert "**Of 3 tables: 1 not reproduced, 1 undecided, 1 reproduced.**" in text
    assert [line.split("]")[0] for line in text.splitlines() if "](" in line] == ["| [c", "| [b", "| [a"]
    assert "| [c](c/c.md): Source of c | not reproduced | z: z. | tiny, 2 seeds, 4 steps |" in text


@given(passes=st.floats(0.001, 1), shared=st.floats(0, 1000), more=st.floats(1, 48))
def test_an_optimisers_share_of_a_step(passes, shared, more):
    values = {"step_seconds": passes + shared / 1000, "step_of_optimizer": shared, "step_not_shared": more * shared}
    found = optimizer_shares(values)
    np.testing.assert_allclose(found["optimizer_share"] * (1000 * passes + shared), shared, atol=1e-9)
    np.testing.assert_allclose(found["share_not_shared"] * (1000 * passes + more * shared), more * shared, atol=1e-9)
    table = TABLES["optimizer"](AlbertConfig.preset("mini"))
    told = finding(table, {name: [{"mlm_loss": 1.0, **found}] for name in table.variants})
    assert f"Muon's own step takes {found['optimizer_share']:.1%} of the whole step with one shared layer" in told


# --- whole runs ---------------------------------------------------------------------------------------------

def test_a_table_goes_on_where_it_stopped_and_nothing_is_done_twice(tmp_path, monkeypatch, capsys):
    step, words = Trainer.step, f"norm --quick --seeds 1 --threads 1 --output {tmp_path}".split()

    def interrupted(trainer, batch, **options):
        if trainer.steps_done == 2 and trainer.model.config.pre_norm:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, batch, **options)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert ablation.main(words) == 130
    assert ablation.main(words) == 0
    text = (tmp_path / "norm" / "norm.md").read_text()
    assert "products a token" in text and "| pre-LN | " in text and "Undecided within the noise" in text and (tmp_path / "norm" / "norm.png").is_file()
    runs = {path.parent.name: path.read_text() for path in tmp_path.glob("norm/*/run.json")}
    assert sorted(runs) == ["post_LN-0", "pre_LN-0"]
    assert "| [norm](norm/norm.md): Xiong" in (tmp_path / "findings.md").read_text()
    monkeypatch.setattr(ablation, "pretrain", None)
    assert ablation.main(words) == 0 and (tmp_path / "norm" / "norm.md").read_text() == text
    assert ", 1 thread, fp32; " in text
    for changed in (["--minutes", "3"], ["--precision", "bf16-emulated"]):
        assert ablation.main([*words, *changed]) == 2
        assert "was begun with other" in (told := capsys.readouterr().err) and changed[0] in told


def test_sizes_are_counted_and_what_there_is_no_time_for_is_not_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ablation_measures.step_seconds", lambda config, left: None)
    assert ablation.main(f"sizes --output {tmp_path}".split()) == 0
    said = capsys.readouterr().out
    assert "Reproduced: ALBERT base has 9.3 times fewer parameters than BERT base, 1.00 times the products" in said
    assert "| BERT base | 109,081,344 | 108M |" in said and "| ALBERT xxlarge | 222,595,584 | 235M |" in said
    assert said.count("not timed") == 6


@pytest.mark.parametrize("words, told", [("sharing --corpus nowhere", "no prepared folder"), ("norm --preset huge", "preset 'huge'")])
def test_what_is_wrong_is_told(words, told, tmp_path, capsys):
    assert ablation.main([*words.split(), "--output", str(tmp_path)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.skipif(not DEEP, reason="trains every table for a few steps: HYPOTHESIS_PROFILE=deep")
@pytest.mark.parametrize("name", TABLES)
def test_every_table_in_a_few_steps(name, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "ablation"
    assert ablation.main(f"{name} --quick --seeds 2 --threads 1 --output {folder}".split()) == 0
    table = TABLES[name](AlbertConfig.preset("tiny"))
    lines = (folder / name / f"{name}.md").read_text()
    for column in table.columns:
        assert ablation.COLUMNS[column][0] in lines
    assert all(f"| {variant} |" in lines for variant in table.variants)
