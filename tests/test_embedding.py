"""Sentence embeddings: losses equal plain loops, a vector is the same alone and in any batch, groups are never cut."""

import functools
import json
import os
import shlex
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds
from test_albert import shaken, tiny

from tinyalbert import AlbertConfig, AlbertForPreTraining, AlbertForSentenceEmbedding, pipeline
from tinyalbert.backend import to_host
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.pipelines import TaskPipeline
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.tasks.embedding import Embedding, Texts
from tinyalbert.tasks.inference import load_finetuned
from tinyalbert.tasks.metrics import retrieval_metrics
from tinyalbert.tensor import Tensor
from tinyalbert.text.rows import RowEncoder
from tinyalbert.training.trainer import Trainer

WORDS = "the old dog found a key in the garden and nobody knew why it was there".split()
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)


def vectors(rng, *shape):
    v = rng.standard_normal(shape)
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def model(scale=20.0, pooling="mean", seed=0):
    return shaken(AlbertForSentenceEmbedding(tiny(extra={"similarity_scale": scale, "sentence_pooling": pooling})), seed)


# --- the losses ---------------------------------------------------------------------------------------------

@given(seeds, st.integers(1, 4), st.integers(1, 6))
def test_the_contrastive_loss_is_a_plain_loop(seed, B, G):
    rng = np.random.default_rng(seed)
    first, second = vectors(rng, 2, B, G, 5)
    labels = rng.integers(0, 12, (B, G, 2))
    labels[rng.random((B, G)) < 0.2] = -100
    losses = []
    for b in range(B):
        for i in range(G):
            if labels[b, i, 1] == -100:
                continue
            logits = [20 * first[b, i] @ second[b, i]]
            for j in range(G):
                others = {labels[b, i, 0], labels[b, i, 1]}
                if labels[b, j, 1] not in {*others, -100} and labels[b, j, 0] != labels[b, i, 0]:
                    logits.append(20 * first[b, i] @ second[b, j])
            losses.append(-np.log(np.exp(logits[0]) / np.exp(logits).sum()))
    got = to_host(model().contrastive(*map(tensor, (first, second)), labels).data)
    np.testing.assert_allclose(got, np.mean(losses) if losses else 0, rtol=1e-9, atol=1e-12)


@given(seeds, st.integers(1, 4), st.integers(1, 6))
def test_the_ranking_loss_is_a_plain_loop(seed, B, G):
    rng = np.random.default_rng(seed)
    first, second = vectors(rng, 2, B, G, 5)
    scores = rng.integers(0, 4, (B, G)).astype(float)
    scores[rng.random((B, G)) < 0.2] = np.nan
    losses = []
    for b in range(B):
        total = 1.0
        for i in range(G):
            for j in range(G):
                if scores[b, i] > scores[b, j]:
                    total += np.exp(20 * (first[b, j] @ second[b, j] - first[b, i] @ second[b, i]))
        losses.append(np.log(total))
    got = to_host(model().ranking(*map(tensor, (first, second)), scores).data)
    np.testing.assert_allclose(got, np.mean(losses), rtol=1e-9, atol=1e-12)


def tensor(a):
    return Tensor(np.asarray(a, np.float64)[()])


@pytest.mark.parametrize("kind", ["labels", "scores"])
@settings(max_examples=8)
@given(seed=seeds, count=st.integers(5, 13), group=st.integers(2, 4), threads=st.integers(2, 3))
def test_a_step_is_the_same_for_any_number_of_threads(kind, seed, count, group, threads):
    """Groups are never cut; the copies that fill them up change nothing."""
    rng = np.random.default_rng(seed)
    rows = {"input_ids": rng.integers(5, 17, (count, 2, 7)).astype(np.int32), "attention_mask": np.ones((count, 2, 7), np.int32)}
    rows[kind] = rng.integers(0, 30, (count, 2)) if kind == "labels" else rng.random(count).astype(np.float32)
    batch = Embedding(Embedding.Settings(group=group)).arrange(rows)
    ways = []
    for options in ({"threads": 1}, {"threads": threads}, {"threads": 1, "accumulation": threads}):
        network = AlbertForSentenceEmbedding(tiny(hidden_dropout_prob=0.2), seed=1).astype(np.float64)
        trainer = Trainer(network, lr=1e-3, seed=3, **options)
        metrics = trainer.step(batch)
        ways.append((metrics["loss"], metrics["grad_norm"], *(to_host(p.data) for p in network.parameters())))
    for way in ways[1:]:
        for got, want in zip(way, ways[0]):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@given(seeds, st.integers(1, 40), st.integers(2, 9))
def test_groups_hold_every_pair_once(seed, count, group):
    rows = {"input_ids": np.arange(count)[:, None, None] * np.ones((1, 2, 3), int), "labels": np.stack([np.arange(count)] * 2, 1)}
    batch = Embedding(Embedding.Settings(group=group)).arrange(rows)
    B, G = batch["labels"].shape[:2]
    assert G <= group and B == -(-count // group) and batch["input_ids"].shape == (B, G, 2, 3)
    present = batch["labels"][..., 1] != -100
    assert sorted(batch["labels"][present][:, 0]) == list(range(count))
    assert (batch["input_ids"][present][:, 0, 0] == batch["labels"][present][:, 0]).all()
    assert present.sum(axis=1).max() - present.sum(axis=1).min() <= 1


# --- the vectors --------------------------------------------------------------------------------------------

@functools.cache
def folder():
    path = Path(tempfile.mkdtemp()) / "model"
    tokenizer = train_tokenizer(["stories:60"], 200, str(path))
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, initializer_range=0.2)
    AlbertForPreTraining(config, seed=1).save_pretrained(path, tokenizer=tokenizer)
    return path


@functools.cache
def embed(pooling="mean"):
    return TaskPipeline(*load_finetuned(folder(), task="embedding", settings={"pooling": pooling}))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@settings(max_examples=10)
@given(texts=st.lists(TEXTS, min_size=1, max_size=70), data=st.data())
def test_a_vector_is_the_same_alone_and_in_any_batch(pooling, texts, data):
    together = embed(pooling)(texts)
    assert together.shape == (len(texts), 64) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    place = data.draw(st.integers(0, len(texts) - 1))
    np.testing.assert_allclose(embed(pooling)(texts[place]), together[place], atol=1e-6)
    order = data.draw(st.permutations(range(len(texts))))
    np.testing.assert_allclose(embed(pooling)([texts[i] for i in order]), together[list(order)], atol=1e-6)


def test_the_mean_is_over_the_tokens_under_the_mask_and_cls_is_the_first():
    ids, mask = np.arange(5, 15).reshape(2, 5), np.array([[1, 1, 1, 0, 0], [1] * 5])
    for pooling in ("mean", "cls"):
        out = model(pooling=pooling)(ids, mask)
        hidden = to_host(out.last_hidden_state.data)
        want = [hidden[0, :3].mean(0), hidden[1].mean(0)] if pooling == "mean" else hidden[:, 0]
        want = np.stack(want) / np.linalg.norm(want, axis=-1, keepdims=True)
        np.testing.assert_allclose(to_host(out.embeddings.data), want, rtol=1e-9)
    with pytest.raises(UserError, match="'max' is unknown; expected mean or cls"):
        model(pooling="max")(ids)


def test_a_text_in_windows_is_the_mean_of_its_windows():
    task, network, tokenizer = embed().task, embed().model, embed().tokenizer
    encoder = RowEncoder(tokenizer, 12, "windows")
    long, short = " ".join(WORDS * 2), "a dog"
    pair = Texts((long, short), None, "")
    rows = task.encode(pair, encoder)
    assert len(rows) > 2
    outputs = np.concatenate([task.infer(network, {k: v[None] for k, v in row.items() if k not in ("about", "labels")})
                              for row in rows])
    got = task.decode(pair, rows, outputs)
    parts = [to_host(network(encoded["input_ids"][None]).embeddings.data)[0] for encoded in encoder(long)]
    np.testing.assert_allclose(got[0], np.mean(parts, 0) / np.linalg.norm(np.mean(parts, 0)), atol=1e-6)
    np.testing.assert_allclose(got[1], embed()(short), atol=1e-6)


# --- retrieval ----------------------------------------------------------------------------------------------

@given(seeds, st.integers(1, 12), st.integers(1, 4), st.integers(1, 6))
def test_retrieval_metrics_are_those_of_scikit_learn(seed, count, questions, block):
    ranking = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    pairs = [(f"q{rng.integers(questions)}", f"a{rng.integers(6)}") for _ in range(count)]
    table = {text: rng.integers(-3, 4, 3).astype(float) for text in dict.fromkeys(t for pair in pairs for t in pair)}
    first, second = (np.stack([table[pair[i]] for pair in pairs]) for i in (0, 1))
    asked, known = list(dict.fromkeys(q for q, _ in pairs)), list(dict.fromkeys(a for _, a in pairs))
    right = np.array([[(q, a) in pairs for a in known] for q in asked], dtype=int)
    products = np.array([[table[q] @ table[a] for a in known] for q in asked])
    got = retrieval_metrics(pairs, first, second, block)
    assert got["map"] == pytest.approx(ranking.label_ranking_average_precision_score(right, products))
    ranks = [min((row >= row[i]).sum() for i in np.flatnonzero(r)) for row, r in zip(products, right)]
    assert got["mrr"] == pytest.approx(np.mean(1 / np.array(ranks)))
    assert got["accuracy@1"] == pytest.approx(np.mean(np.array(ranks) == 1))


def test_a_question_does_not_find_itself():
    pairs = [("a", "b"), ("b", "c")]
    table = dict(zip("abc", np.eye(3)))
    table["c"] = table["b"] * 0.9
    first, second = (np.stack([table[pair[i]] for pair in pairs]) for i in (0, 1))
    assert retrieval_metrics(pairs, first, second)["mrr"] == 0.75          # "a" finds no neighbour: both products are 0


# --- the command line ---------------------------------------------------------------------------------------

@pytest.fixture
def inside(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"a {a} dog\tthe {a} key\t{i % 5}\n" for i, a in enumerate(WORDS)]
    Path("scored.tsv").write_text("sentence1\tsentence2\tscore\n" + "".join(rows))
    Path("pairs.tsv").write_text("text_a\ttext_b\n" + "".join(row.rpartition("\t")[0] + "\n" for row in rows))
    Path("nli.tsv").write_text("premise\thypothesis\tlabel\n" + "".join(
        row.rpartition("\t")[0] + ("\tentailment\n" if i % 3 else "\tneutral\n") for i, row in enumerate(rows)))
    return capsys


def run(command):
    return main(shlex.split(command))


OPTIONS = "--steps 3 --batch-size 8 --threads 1"


@pytest.mark.parametrize("source, count, metrics", [
    ("scored.tsv", 15, {"spearman", "pearson"}), ("pairs.tsv", 15, {"mrr", "map", "accuracy@1"}),
    ("nli.tsv --positive entailment", 9, {"mrr", "map", "accuracy@1"}),
    ("scored.tsv --positive 3 --dev scored.tsv", 6, {"spearman", "pearson"}),
    ("text.txt", 9, {"mrr", "map", "accuracy@1"}), ("stories:retrieval:20", 18, {"mrr", "map", "accuracy@1"})])
def test_every_source_is_learned_from_and_scored(source, count, metrics, inside):
    Path("text.txt").write_text(" ".join(f"The {word} was old." for word in "abcdefghijk"))
    assert run(f"finetune embedding {source} --model {folder()} --output done {OPTIONS}") == 0
    out = inside.readouterr().out
    assert f"\n{count} rows to train on" in "\n" + out
    assert set(json.loads(Path("done/eval_results.json").read_text())) == metrics
    assert {"TF-IDF", "not fine-tuned", "random values"} <= {line.split("  ")[0].removeprefix("baseline ")
                                                             for line in out.splitlines() if line.startswith("baseline")}


def test_the_model_before_fine_tuning_is_what_its_folder_says(inside):
    assert run(f"finetune embedding scored.tsv --dev scored.tsv --model {folder()} --output done {OPTIONS}") == 0
    before = [line.split() for line in inside.readouterr().out.splitlines() if line.startswith("baseline not fine-tuned")]
    assert run(f"evaluate {folder()} scored.tsv --task embedding") == 0
    assert inside.readouterr().out.split()[1] == before[0][3]


@pytest.mark.parametrize("command, words", [
    ("finetune embedding nli.tsv", ["nli.tsv, line 2", "'neutral' is no number", "--positive LABEL"]),
    ("finetune embedding one.tsv", ["one.tsv, line 2: one text; expected two", "--pair-column"]),
    ("finetune embedding scored.tsv --positive 9", ["no row that can be used"]),
])
def test_a_mistake_gets_one_sentence(command, words, inside):
    Path("one.tsv").write_text("text\na dog\n")
    assert run(f"{command} --model {folder()} --output x {OPTIONS}") == 2
    message = inside.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("tinyalbert: ") and all(word in message for word in words), message


def test_the_pipeline_and_predictions_agree(inside):
    assert run(f"finetune embedding scored.tsv --dev scored.tsv --model {folder()} --output done {OPTIONS}") == 0
    embed = pipeline("sentence-embedding", "done")
    texts = ["a dog", "the old key"]
    Path("lines.txt").write_text("\n".join(texts) + "\n")
    assert run("predict done lines.txt --output vectors.npy") == 0
    np.testing.assert_allclose(np.load("vectors.npy"), embed(texts), atol=1e-6)
    assert run("predict done scored.tsv --output cosines.tsv") == 0
    assert Path("cosines.tsv").read_text() == Path("done/predictions.tsv").read_text()
    cosine = float(Path("cosines.tsv").read_text().splitlines()[1].split("\t")[1])
    assert cosine == pytest.approx(embed("a the dog") @ embed("the the key"), abs=1e-5)
    Path("lines.txt").write_text("a dog\n\nthe key\n")
    assert run("predict done lines.txt --output vectors.npy") == 2
    assert "lines.txt, line 2: empty" in inside.readouterr().err
    with pytest.raises(UserError, match="expected a text"):
        embed([3])


# --- the real thing -----------------------------------------------------------------------------------------

def test_sts_b_as_published_is_read():
    data = os.environ.get("TINYALBERT_DATA")
    if not data or not (Path(data) / "sts-b").is_dir():
        pytest.skip("needs STS-B: set TINYALBERT_DATA to a folder with sts-b/dev.tsv")
    examples = Embedding().read(str(Path(data) / "sts-b" / "dev.tsv"), "test")
    assert len(examples) == 1500 and examples[0].score == 5.0
    assert examples[0].texts == ("A man with a hard hat is dancing.", "A man wearing a hard hat is dancing.")
