"""What a pretraining run begins with: where its loss starts, how long its sequences are."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_folder import random_documents, write_shards

from tinyalbert import AlbertForPreTraining
from tinyalbert.pretraining.pretrain import pretrain
from tinyalbert.pretraining.recipes import RECIPES, recipe_for
from tinyalbert.pretraining.shards import Shards


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
    run = dict(max_seq_length=32, early=())
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


@pytest.mark.parametrize("name", RECIPES)
@given(total=st.integers(3, 40000))
def test_sequences_grow_and_are_long_for_more_than_half_of_the_run(name, total):
    recipe = recipe_for(name).changed(early=((16, 1400), (32, 600)))
    lengths = [recipe.length_at(step, total) for step in (0, total // 4, total // 2, total - 1)]
    assert lengths == sorted(lengths) and lengths[-1] == recipe.max_seq_length
    assert recipe.length_at((total + 1) // 2, total) == recipe.max_seq_length
