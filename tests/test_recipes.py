"""What a pretraining run begins with: where its loss starts, how long its sequences are."""

import itertools
import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shard_folder import random_documents, write_shards

from tinyalbert import AlbertConfig, AlbertForPreTraining, UserError
from tinyalbert.optim import linear_warmup_decay
from tinyalbert.pretraining.evaluation import evaluate_pretraining
from tinyalbert.pretraining.plan import PretrainingPlan
from tinyalbert.pretraining.pretrain import pretrain
from tinyalbert.pretraining.recipes import RECIPES, Recipe, Stage, recipe_for
from tinyalbert.pretraining.shards import Shards
from tinyalbert.pretraining.staged import PlannedBatches, StageBatches
from tinyalbert.training.replicas import Single


def begin(folder, output, **changes):
    """The held-out loss on masked words before the first step."""
    pretrain([str(folder)], output, preset="tiny", steps=1, threads=1, progress=False, say=lambda text: None, **changes)
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return next(line["mlm_loss"] for line in lines if line["kind"] == "eval" and line["step"] == 0)


def test_the_loss_begins_at_the_unigram_entropy(tmp_path):
    """The decoder's bias holds the frequencies of the training text; without them the loss begins at log V."""
    from tinyalbert.pretraining.pretrain import train_tokenizer
    from tinyalbert.pretraining.shards import prepare
    tokenizer = train_tokenizer(["stories:200"], 400, tmp_path / "vocabulary")
    meta = prepare(["stories:200"], tokenizer, tmp_path / "data", held_out=20, workers=1, progress=False)
    run = dict(max_seq_length=32, stages=())
    entropy = meta["held_out_unigram_loss"]
    assert abs(begin(tmp_path / "data", tmp_path / "with", **run) - entropy) < 0.15
    assert abs(begin(tmp_path / "data", tmp_path / "without", frequency_bias=False, **run) - math.log(400)) < 0.15
    assert math.log(400) - entropy > 0.5         # so that the two can be told apart


def test_frequencies_are_those_of_the_training_documents(tmp_path):
    documents = random_documents(np.random.default_rng(0), 30)
    shards = Shards(write_shards(tmp_path / "data", documents, held_out=[0, 7]))
    train = np.concatenate([np.concatenate(d) for n, d in enumerate(documents) if n not in (0, 7)])
    counts = np.bincount(train, minlength=64) + 1
    np.testing.assert_allclose(np.exp(shards.log_frequencies()), counts / counts.sum(), rtol=1e-12)


def test_released_sizes_begin_as_in_the_paper():
    for r, small in ((recipe_for("base_v2"), False), *((r, True) for r in RECIPES.values())):
        assert r.frequency_bias == r.mimetic == small


@pytest.mark.parametrize("mimetic", [True, False])
def test_attention_begins_as_the_recipe_says(tmp_path, mimetic):
    """With a learning rate of next to nothing, the saved model is the one that the run began with."""
    begin("stories:200", tmp_path, mimetic=mimetic, vocab_size=400, workers=1, lr=1e-12, max_seq_length=32)
    positions = AlbertForPreTraining.from_pretrained(tmp_path).albert.embeddings.position_embeddings.weight.data
    assert (np.abs(positions[:, 32:]).max() < 1e-6) == mimetic


stages = st.lists(st.builds(Stage, st.floats(0.01, 1), st.integers(8, 600), st.floats(0.1, 8)), min_size=1, max_size=6)


@given(stages=stages, total=st.integers(200, 40000), longest=st.integers(8, 512))
def test_stages_get_their_shares_of_the_tokens_in_order(stages, total, longest):
    recipe = Recipe(lr=1e-3, max_seq_length=longest, stages=tuple(stages))
    tokens = np.zeros(len(stages))
    order = [recipe.stage_at(step, total) for step in range(total)]
    plan = [stage for *stage, _ in recipe.plan()]
    assert [list(s) for s, _ in itertools.groupby(order)] == [s for s, _ in itertools.groupby(
        stage for stage, end, begin in zip(plan, recipe._ends(total), [0, *recipe._ends(total)]) if end > begin)]
    for number, (end, begin) in enumerate(zip(recipe._ends(total), [0, *recipe._ends(total)])):
        tokens[number] = (end - begin) * plan[number][0] * plan[number][1]
    wanted = np.array([s.share for s in stages]) / sum(s.share for s in stages) * tokens.sum()
    one_step = max(length * batch for length, batch, *_ in plan)
    assert (np.abs(tokens - wanted) <= 2 * len(stages) * one_step).all()           # ends are whole steps
    assert max(length for length, *_ in plan) <= longest


@example(stages=[Stage(0.5, 8, 3.0), Stage(1.0, 8, 0.125)], total=20)         # less than a batch of the first stage
@given(stages=stages, total=st.integers(20, 4000))
def test_the_rate_falls_with_the_tokens_that_are_left(stages, total):
    recipe = Recipe(lr=1e-3, max_seq_length=512, stages=tuple(stages), warmup=0)
    rates = np.array([recipe.lr_at(step, total) for step in range(total + 1)])
    tokens = np.array([math.prod(recipe.stage_at(step, total)[:2]) for step in range(total)])
    np.testing.assert_allclose(rates[:-1] - rates[1:], 1e-3 * tokens / tokens.sum(), atol=1e-12)


@given(stages=stages, total=st.integers(1, 400), step=st.floats(0, 1))
def test_tokens_of_the_first_steps(stages, total, step):
    recipe, step = Recipe(lr=1e-3, max_seq_length=512, stages=tuple(stages)), round(step * total)
    assert recipe.tokens_by(step, total) == sum(math.prod(recipe.stage_at(s, total)[:2]) for s in range(step))


@given(stages=stages, total=st.integers(1, 400), step=st.floats(0, 1))
def test_the_longest_sequences_so_far(stages, total, step):
    recipe, step = Recipe(lr=1e-3, max_seq_length=512, stages=tuple(stages)), round(step * total)
    assert recipe.longest_by(step, total) == max(recipe.stage_at(s, total)[0] for s in range(max(step, 1)))


def test_evaluation_is_on_lengths_that_were_trained_on(tmp_path, monkeypatch):
    """Positions that no step has reached yet would make a model look worse the longer it trains."""
    longest = []

    def spy(model, batches, *args):
        longest.append(max(batch["input_ids"].shape[1] for batch in batches))
        return evaluate_pretraining(model, batches, *args)
    monkeypatch.setattr("tinyalbert.pretraining.staged.evaluate_pretraining", spy)
    pretrain(["stories:200"], tmp_path, preset="tiny", steps=6, threads=1, progress=False, say=lambda text: None,
             vocab_size=400, workers=1, eval_every=2, max_seq_length=32, batch_size=4,
             stages=(Stage(0.5, 16, 2), Stage(0.1, 8, 4), Stage(0.5, 32, 1)))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["max_seq_length"] for line in lines if line["kind"] == "eval"] == [32, 16, 32, 32]
    assert longest == [32, 32, 16, 16, 32, 32, 32, 32]         # the single pieces, then the n-grams


@given(total=st.integers(1, 40000), step=st.floats(0, 1))
def test_one_stage_is_the_usual_schedule(total, step):
    recipe, step = Recipe(lr=1e-3), int(step * (total - 1))
    assert recipe.lr_at(step, total) == linear_warmup_decay(step, 1e-3, min(700, total // 10), total)
    assert recipe.stage_at(step, total) == (64, 16, (), 1)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_end_with_whole_sequences_of_plain_text(name):
    recipe, size = recipe_for(name), AlbertConfig.preset(name)
    *_, (length, _, echo, _, _) = recipe.plan()
    assert length == recipe.max_seq_length == size.max_position_embeddings and not echo


def test_a_recipe_survives_the_settings_file():
    recipe = recipe_for("mini")
    assert Recipe(**json.loads(json.dumps(asdict(recipe)))).plan() == recipe.plan()


@pytest.mark.parametrize("values, wanted", [((0, 64), "share 0"), ((1, 4), "length 4"), ((1, 64, 0), "times 0"),
                                            ((1, 64, 1, (0.5, 0.1)), r"echo of \(0.5, 0.1\)"), ((1, 64, 1, (), 0), "best_of 0")])
def test_impossible_stages_are_refused(values, wanted):
    with pytest.raises(UserError, match=wanted):
        Stage(*values)


def test_short_documents_are_not_padded_to_the_longest_stage(tmp_path):
    """Trained on sequences as long as the documents are, whatever the recipe's length."""
    documents = [[[7, 8, 9], [10, 11, 12]]] * 40
    write_shards(tmp_path / "data", documents, held_out=[0, 1])
    stages = StageBatches(tmp_path / "data", AlbertConfig.preset("tiny", vocab_size=64), recipe_for("tiny"), 0, Single())
    assert all(draw(0)["input_ids"].shape[1] == 16 for _, draw in stages.kinds())


@given(first=st.floats(0.05, 0.5), last=st.floats(0.05, 0.5), total=st.integers(2, 1000), step=st.integers(0, 999))
def test_the_share_of_masks_goes_in_a_line(first, last, total, step):
    recipe = Recipe(lr=1e-3, masked_lm_prob=first, final_masked_lm_prob=last)
    step = min(step, total - 1)
    shares = [recipe.masked_lm_prob_at(s, total) for s in (0, step, total - 1)]
    np.testing.assert_allclose(shares, [first, first + (last - first) * step / (total - 1), last])
    assert recipe.changed(final_masked_lm_prob=None).masked_lm_prob_at(0, 1) == first
    assert Recipe(lr=1e-3, masked_lm_prob=first).masked_lm_prob_at(step, total) == first


def test_masks_are_as_many_as_the_recipe_says_and_evaluation_is_the_same(tmp_path):
    write_shards(tmp_path, random_documents(np.random.default_rng(0), 40), held_out=range(8))
    config = AlbertConfig.preset("tiny", vocab_size=64)
    evaluations = []
    for first, last in ((0.15, None), (0.4, 0.1)):
        recipe = Recipe(lr=1e-3, batch_size=8, max_seq_length=64, masked_lm_prob=first, final_masked_lm_prob=last)
        stages = StageBatches(tmp_path, config, recipe, 0, Single())
        batches = PlannedBatches(stages, PretrainingPlan(recipe, 11))
        for step, share in ((0, first), (5, (first + (last or first)) / 2), (10, last or first)):
            batch = batches.batch(step)
            lengths, masks = batch["attention_mask"].sum(1), (batch["labels"] != -100).sum(1)
            np.testing.assert_array_equal(masks, np.maximum(1, np.rint(lengths * share)))
        evaluations.append(stages.full.evaluation_batches(2, 4))
    for a, b in zip(*evaluations):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_texts_without_spaces_are_trained_and_evaluated(tmp_path):
    """A word is as long as a line, longer than what may be masked: there are no runs of words to guess."""
    rng = np.random.default_rng(0)
    genes = ["\n".join("".join(rng.choice(list("ACGT"), 60)) for _ in range(4)) for _ in range(40)]
    (tmp_path / "genes.txt").write_text("\n\n".join(genes) + "\n")
    metrics = pretrain([str(tmp_path / "genes.txt")], str(tmp_path / "run"), preset="tiny", steps=1, vocab_size=30, max_seq_length=32,
                       sentence_task="none", threads=1, workers=1, progress=False, say=lambda text: None)
    assert metrics["mlm_loss"] > 0 and "ngram_mlm_loss" not in metrics
