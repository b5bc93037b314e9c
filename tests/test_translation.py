"""Translation from files to texts: what is read, how it is scored, the command line and the pipeline."""

import functools
import gzip
import io
import json
import shlex

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from tinyalbert import AlbertConfig, AlbertForPreTraining, AlbertForTranslation, pipeline
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.stories.tasks import story_dataset
from tinyalbert.tasks.sentence_pairs import SentencePair, read_pairs
from tinyalbert.tasks.task import BadRows
from tinyalbert.tasks.translation import (
    Translation,
    TranslationSettings,
    learn_vocabulary,
    nearest_translations,
    scored,
)

PAIRS = [("a dog", "ein Hund"), ("the key, the door", "der Schlüssel, die Tür"), ("\u2028 no end", 'kein "Ende"')]


def read(source, split="train", skip=False, columns=(None, None)):
    return [(p.source, p.target) for p in read_pairs(source, split, BadRows(skip), columns)]


def lines(values):
    return "".join(f"{value}\n" for value in values)


FILES = {
    "plain": {"p.en": lines(a for a, _ in PAIRS), "p.de": lines(b for _, b in PAIRS)},
    "windows": {"p.en": "\ufeff" + "\r\n".join(a for a, _ in PAIRS), "p.de": lines(b for _, b in PAIRS)},
    "packed": {"p.en.gz": lines(a for a, _ in PAIRS), "p.de.gz": lines(b for _, b in PAIRS)},
    "tsv": {"p.tsv": lines(f"{a}\t{b}" for a, b in PAIRS)},
    "named tsv": {"p.tsv.gz": lines(["en\tde\tnote", *(f"{a}\t{b}\tx" for a, b in PAIRS)])},
    "csv": {"p.csv": "source,target\n" + lines('"{}","{}"'.format(*(x.replace('"', '""') for x in pair)) for pair in PAIRS)},
    "jsonl": {"p.jsonl": lines(json.dumps({"en": a, "de": b}) for a, b in PAIRS)},
    "hub": {"p.json": lines(json.dumps({"translation": {"en": a, "de": b}}) for a, b in PAIRS) + "\n"},
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_pairs_from_every_format(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file, text in FILES[name].items():
        (gzip.open if file.endswith(".gz") else open)(file, "wt", encoding="utf-8", newline="").write(text)
    want = [(a.strip(), b) for a, b in PAIRS]
    source = ",".join(FILES[name])
    assert read(source) == read(source, "test") == want
    assert read(source, "predict") == want       # told beside the predictions
    if len(FILES[name]) == 2:
        assert read(source.split(",")[0], "predict") == [(a, None) for a, _ in want]


def test_columns_by_name(tmp_path):
    (tmp_path / "p.tsv").write_text("id\tde\ten\n1\tein Hund\ta dog\n")
    assert read(tmp_path / "p.tsv", columns=("en", "de")) == [("a dog", "ein Hund")]


@pytest.mark.parametrize("files, source, words", [
    ({"a": "x\ny\n", "b": "u\n"}, "a,b", "a has 2 lines, b has 1"), ({"a": "x\n"}, "a", "a has no translations"),
    ({"a": "x\n\n", "b": "u\nv\n"}, "a,b", "a, line 2: the text is ''"), ({"a": "x\n", "b": " \n"}, "a,b", "translation is ' '"),
    ({}, "a,b", "there is no file a"), ({}, "a,b,c", "names 3 files"), ({"a.tsv": "x\ty\nz\n"}, "a.tsv", "line 2: there is no tr"),
    ({"a.jsonl": "{"}, "a.jsonl", "line 1: not JSON"), ({"a.jsonl": "[1]"}, "a.jsonl", "int; expected a JSON object"),
    ({"a.jsonl": '{"en": 1, "de": "x"}'}, "a.jsonl", "the text is 1"), ({}, "stories:topic", "no built-in translation task"),
    ({"a.csv": '"x"y,z\n'}, "a.csv", "a.csv, line 1: not a readable table")])
def test_a_bad_source_is_refused(files, source, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        read(source)


def test_bad_rows_may_be_left_out(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"en": "a", "de": "b"}\n{"en": ""}\n{\n{"en": "c", "de": "d"}\n')
    assert read(tmp_path / "p.jsonl", skip=True) == [("a", "b"), ("c", "d")]


def test_the_vocabulary_can_write_what_it_was_learned_from():
    texts = ["Größe, Straße; Ärger!", "Ein Mädchen fährt 1.200 Kilometer (ungefähr).", 'Sie sagte: "Nein."'] * 3
    target = learn_vocabulary(texts, 4000)       # more than they support: as many as they do
    for text in texts:
        assert target.decode(target.encode_batch_ids([text])[0]) == text


@given(seed=seeds)
def test_an_equal_text_is_the_nearest(seed):
    rng = np.random.default_rng(seed)
    train = [SentencePair(" ".join(rng.choice(list("abcdefgh"), 4, replace=False)), str(i), "") for i in range(9)]
    train.append(SentencePair("q r", "rare", ""))
    assert nearest_translations(train, [SentencePair("r b q a", None, "")]) == ["rare"]
    for example in train:
        same = {e.target for e in train if set(e.source.split()) == set(example.source.split())}
        assert nearest_translations(train, [example])[0] in same


def test_scores_are_sacrebleus_on_texts_as_they_are():
    sacrebleu = pytest.importorskip("sacrebleu")
    said, right = ["Ein Hund läuft.", "Zwei Katzen"], ["Ein Hund rennt.", "Zwei Katzen"]
    examples = [SentencePair("", text, "") for text in right]
    scores = Translation().score(examples, said)
    assert scores["bleu"] == sacrebleu.corpus_bleu(said, [right]).score
    assert scores["chrf"] == sacrebleu.corpus_chrf(said, [right]).score and scores["exact"] == 0.5
    assert scored(said, right)["bleu"][1].format().startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    assert "nrefs:1" in Translation().confusion(examples, said)


@functools.cache
def invented_vocabulary():
    return learn_vocabulary([row["target"] for row in story_dataset("translation", 40)], 100)


@given(beams=st.integers(1, 3), seed=seeds)
def test_the_longest_translation_is_told_by_its_own_source(beams, seed):
    """Not by the others of its batch."""
    task = Translation(TranslationSettings(beams=beams, target_length=16))
    task.target = invented_vocabulary()
    config = AlbertConfig.preset("tiny", vocab_size=50, hidden_size=8, embedding_size=8, intermediate_size=8)
    model = AlbertForTranslation(task.configure(config), seed=seed % 100).astype(np.float64)
    mask = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    ids = np.where(mask, np.random.default_rng(seed).integers(5, 50, (2, 5)), 0)
    together = task.infer(model, {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids})
    assert len(together[0]) <= 14 and len(together[1]) <= 16
    for i, n in enumerate(mask.sum(axis=1)):
        alone = {"input_ids": ids[i:i + 1, :n], "attention_mask": mask[i:i + 1, :n], "token_type_ids": 0 * ids[i:i + 1, :n]}
        assert task.infer(model, alone) == [together[i]]


# --- from the command line ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with an untrained model, and one that was fine-tuned for a moment."""
    folder = tmp_path_factory.mktemp("translation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tokenizer = train_tokenizer(["stories:60"], 200, "model")
        config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, num_hidden_layers=1)
        AlbertForPreTraining(config, seed=1).save_pretrained("model", tokenizer=tokenizer)
        rows = story_dataset("translation", 60)
        (folder / "p.en").write_text(lines(row["source"] for row in rows))
        (folder / "p.xx").write_text(lines(row["target"] for row in rows))
        assert run("finetune translation p.en,p.xx --output random --random-init") == 0
        assert run("finetune translation p.en,p.xx --output done --control random --length-penalty 0.5") == 0
        yield folder


def run(command, options="--model model --steps 4 --batch-size 8 --threads 1 --target-vocab-size 200"):
    return main(shlex.split(f"{command} {options if command.startswith('finetune') else ''}"))


@pytest.fixture
def inside(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    return capsys


def test_scores_signature_and_baselines_are_printed(inside, world):
    assert run("finetune translation p.en,p.xx --output again --control random --length-penalty 0.5") == 0
    out = inside.readouterr().out
    for words in ("nrefs:1|case:mixed", "  right  ", "baseline copied source", "baseline nearest translation"):
        assert words in out
    random = json.loads((world / "random" / "eval_results.json").read_text())["bleu"]
    assert f"baseline random weights {random:8.4f}  (bleu)" in out
    assert json.loads((world / "again" / "finetune.json").read_text())["lr"] == 3e-3
    assert len((world / "again" / "predictions.txt").read_text().splitlines()) == 6
    assert (world / "again" / "model.safetensors").read_bytes() == (world / "done" / "model.safetensors").read_bytes()


def test_evaluate_predict_and_the_pipeline(inside, world, monkeypatch):
    assert run("evaluate done p.en,p.xx --beams 2") == 0
    assert "chrf" in inside.readouterr().out
    assert run("predict done p.en --output said.txt") == 0 and run("predict done p.en,p.xx --output said2.txt") == 0
    said = (world / "said.txt").read_text()
    assert said == (world / "said2.txt").read_text() and len(said.splitlines()) == 60
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((world / "p.en").read_bytes())))
    assert run("predict done - --output said3.txt") == 0 and (world / "said3.txt").read_text() == said
    inside.readouterr()
    assert main(["predict", "done", (world / "p.en").read_text().splitlines()[0], "--output", "-"]) == 0
    assert inside.readouterr().out.startswith(said.splitlines()[0] + "\n")
    translate = pipeline("translation", "done")
    sources = (world / "p.en").read_text().splitlines()
    assert lines(each["translation_text"] for each in translate(sources)) == said
    assert translate(sources[0]) == translate(sources)[:1] and translate.task.settings.length_penalty == 0.5
    assert pipeline("translation", "done", beams=3).task.settings.beams == 3


def test_a_finished_run_goes_on_and_a_trained_model_may_be_trained_further(inside, world, monkeypatch):
    assert main(shlex.split("finetune --resume --output random --steps 6")) == 0
    monkeypatch.setattr(Translation, "judged", 4)
    assert run("finetune translation p.en,p.xx --output more --keep-head", "--model done --steps 2 --threads 1") == 0
    target = "target/spiece.model"
    assert (world / "more" / target).read_bytes() == (world / "done" / target).read_bytes()
    assert "the best checkpoint is told by 4 of the held-out rows" in inside.readouterr().out
    assert run("finetune stories:topic:20 --output topic", "--model done --steps 1 --threads 1") == 0
    assert "the task translation starts anew" in inside.readouterr().out
    assert "translation_decoder" not in json.loads((world / "topic" / "config.json").read_text())


@pytest.mark.parametrize("command, words", [
    ("finetune translation p.en,p.xx --output x --control model", ["model"]),
    ("finetune translation p.en,p.xx --output x --control done", ["not one with --random-init"]),
    ("finetune translation stories:translation:50 --output x --control random", ["another train"]),
    ("finetune translation p.en,p.xx --output x --keep-head", ["no vocabulary of another language"]),
    ("finetune translation p.en,p.xx --output x --max-length 8 --long windows", ["'windows' does not suit the task; expected one of truncate, error (--long)"]),
    ("finetune translation p.en,p.xx --output x --decoder-size 65", ["width 65"]),
    ("evaluate done p.en", ["p.en has no translations"]),
    ("predict done p.en --output p.en", ["the table itself"])])
def test_a_mistake_gets_one_sentence(command, words, inside, world):
    assert run(command) == 2
    message = inside.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("tinyalbert: ") and all(word in message for word in words), message
    assert not (world / "x").exists()


def test_a_missing_sacrebleu_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    with pytest.raises(UserError, match=r"pip install 'tinyalbert\[translation\]'"):
        Translation().fit([SentencePair("a", "b", "")])


@pytest.mark.parity
def test_transformers_opens_the_encoder(world):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    theirs = transformers.AlbertModel.from_pretrained(world / "done", add_pooling_layer=False)
    ids = np.array([[2, 7, 8, 9, 3]])
    ours = AlbertForTranslation.from_pretrained(world / "done")
    states, _ = ours.read(ids, np.ones_like(ids), np.zeros_like(ids))
    with torch.no_grad():
        got = theirs(torch.tensor(ids)).last_hidden_state.numpy()
    np.testing.assert_allclose(got, states.data, rtol=1e-4, atol=1e-5)


def test_the_real_captions_are_read_and_can_be_written(data_dir):
    pairs = read_pairs(f"{data_dir}/multi30k/val.en.gz,{data_dir}/multi30k/val.de.gz", "test", BadRows())
    assert len(pairs) == 1014 and pairs[1].target == "Ein Mann schläft in einem grünen Raum auf einem Sofa."
    target = learn_vocabulary([pair.target for pair in pairs], 2000)
    texts = [" ".join(pair.target.split()) for pair in pairs]
    assert [target.decode(ids) for ids in target.encode_batch_ids(texts)] == texts
