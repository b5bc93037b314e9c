"""The explorer page: each view's numbers are the library's, and only its own page is answered."""

import base64
import contextlib
import http.client
import json
import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForPreTraining, UserError, backward, ops
from tinyalbert.cli import main
from tinyalbert.explore import attention, gradients, history
from tinyalbert.explore.explorer import Explorer, folder_to_explore
from tinyalbert.explore.page import files, save
from tinyalbert.explore.server import ExplorerServer
from tinyalbert.explore.views import NO_READING, VIEWS, answer
from tinyalbert.nn import Parameter
from tinyalbert.pipelines import pipeline
from tinyalbert.pretraining.preparation import train_tokenizer

TEXT = "The old dog was at the [MASK]. Then it went home with Ida."
QUESTION = {"text": TEXT, "pair": None, "masked": [3]}
POSITIONS = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained model with strong opinions, three passes of one layer."""
    folder = tmp_path_factory.mktemp("explore") / "model"
    tokenizer = train_tokenizer(["stories:60"], 300, str(folder.parent / "vocabulary"))
    tokenizer.model_max_length = POSITIONS
    config = AlbertConfig.preset("tiny", vocab_size=300, num_hidden_layers=3, max_position_embeddings=POSITIONS)
    model = AlbertForPreTraining(config, seed=3)
    for name, parameter in model.named_parameters():
        if "dense" in name or "query" in name:
            parameter.data *= 8
    model.save_pretrained(folder, tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="module")
def explorer(folder):
    return Explorer(folder)


@pytest.fixture(scope="module")
def address(explorer):
    with ExplorerServer(explorer, 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield "127.0.0.1", server.server_port
        server.shutdown()


def weights_of(text, *shape):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape) / 255


# --- the numbers ----------------------------------------------------------------------------------


def test_what_stands_at_a_mask_is_what_fill_mask_says(explorer, folder):
    found = answer(explorer, "masks", {"text": TEXT, "top_k": 5})["masks"][0]
    said = pipeline("fill-mask", folder)(TEXT)
    assert [each["id"] for each in found["layers"][-1]] == [each["token"] for each in said]
    assert [each["p"] for each in found["layers"][-1]] == pytest.approx([each["score"] for each in said], rel=1e-4)
    for each in found["answers"]:
        assert len(each["p"]) == 4 and each["p"][-1] == pytest.approx(
            next(one["score"] for one in said if one["token"] == each["id"]), rel=1e-4)


def test_after_each_pass_the_head_is_applied_to_its_states(explorer):
    reading = explorer.read(TEXT, masked=[3])
    masks = answer(explorer, "masks", QUESTION)["masks"]
    assert [mask["place"] for mask in masks] == list(reading.masked) and masks[0]["written"] == explorer.piece(reading.written[3])
    states = explorer.model.albert(**reading.inputs(), output_hidden_states=True).hidden_states
    for layer, state in enumerate(states):
        p = ops.softmax(explorer.model.word_scores(state)).numpy()[0, 3]
        best = masks[0]["layers"][layer]
        assert best[0]["p"] == pytest.approx(p.max(), rel=1e-4)
        assert [each["p"] for each in best] == pytest.approx(p[[each["id"] for each in best]], rel=1e-4)


def test_the_maps_are_the_weights_of_the_heads_and_their_mean(explorer):
    found = answer(explorer, "attention", QUESTION)
    reading = explorer.read(TEXT, masked=[3])
    weights = np.stack([a.numpy()[0] for a in explorer.model.albert(**reading.inputs(), output_attentions=True).attentions])
    L, N, T, _ = weights.shape
    maps = weights_of(found["maps"], L, N + 1, T, T)
    close = 0.5 / 255 + 1e-6
    np.testing.assert_allclose(maps[:, :N], weights, atol=close)
    np.testing.assert_allclose(maps[:, N], weights.mean(axis=1), atol=close)
    seen = np.eye(T)
    for layer, rolled in enumerate(weights_of(found["rollout"], L, T, T)):
        seen = (weights[layer].mean(axis=0) + np.eye(T)) / 2 @ seen
        np.testing.assert_allclose(rolled, seen, atol=close)
        assert seen.sum(axis=1) == pytest.approx(1)


def test_long_texts_get_fewer_rows_of_the_same_maps(explorer):
    reading = explorer.read(TEXT)
    whole = attention.view(explorer, reading)
    some = attention.view(explorer, reading, most=3 * 4 * 36)
    T, few = len(reading), len(some["tokens"])
    assert some["left_out"] == T - few > 0 and some["tokens"] == whole["tokens"][:few]
    np.testing.assert_array_equal(weights_of(some["maps"], 3, 3, few, few), weights_of(whole["maps"], 3, 3, T, T)[..., :few, :few])


def test_distance_and_angle_are_of_input_and_output_of_each_pass(explorer):
    passes = answer(explorer, "sharing", QUESTION)["passes"]
    states = explorer.model.albert(**explorer.read(TEXT, masked=[3]).inputs(), output_hidden_states=True).hidden_states
    states = [state.numpy()[0].astype(float) for state in states]
    for said, before, after in zip(passes, states[:-1], states[1:], strict=True):
        moved = [np.sqrt(((b - a) ** 2).sum()) for a, b in zip(before, after)]
        turned = [np.degrees(np.arccos(a @ b / np.sqrt((a @ a) * (b @ b)))) for a, b in zip(before, after)]
        assert said == pytest.approx({"distance": np.mean(moved), "angle": np.mean(turned)}, rel=1e-5)


def test_the_passes_gradients_add_up_to_the_shared_layers(explorer):
    found = answer(explorer, "gradients", QUESTION)
    reading = explorer.read(TEXT, masked=[3])
    states = explorer.model.albert(**reading.inputs()).last_hidden_state
    log_p = ops.log_softmax(explorer.model.word_scores(states[0, 3:4]))
    assert found["answer"] == log_p.data.argmax() and found["p"] == pytest.approx(np.exp(log_p.data.max()), rel=1e-4)
    of_leaves = backward(log_p[0, found["answer"]])
    (layer,) = set(explorer.model.albert.encoder.layers())
    shared = np.concatenate([of_leaves[p].ravel() if p in of_leaves else np.zeros(p.size) for _, p in layer.named_parameters()])
    assert found["shared"] == pytest.approx(np.linalg.norm(shared), rel=1e-3)
    assert len(found["passes"]) == 3 and max(found["passes"]) < found["shared"] * 3


def test_gradient_times_input_foretells_a_small_change_of_a_word_vector(explorer):
    found = answer(explorer, "gradients", QUESTION)
    reading = explorer.read(TEXT, masked=[3])
    for place in (1, 3, 6):
        values = []
        for factor in (1 - 1e-3, 1 + 1e-3):
            words = gradients.word_vectors(explorer.model.albert, reading)
            words.data[0, place] *= factor
            hidden = gradients.encode(explorer.model.albert, explorer.model.albert.encoder.layers(), words, reading)
            values.append(ops.log_softmax(explorer.model.word_scores(hidden[0, 3:4])).data[0, found["answer"]])
        assert found["pieces"][place]["value"] == pytest.approx((values[1] - values[0]) / 2e-3, rel=0.05, abs=0.01)


def test_a_twin_has_the_arrays_of_its_model_under_parameters_of_its_own(explorer):
    layer = explorer.model.albert.encoder.layers()[0]
    for (name, p), (other, q) in zip(layer.named_parameters(), gradients.twin(layer).named_parameters(), strict=True):
        assert name == other and p is not q and p.data is q.data and isinstance(q, Parameter)


def test_sentence_order_is_the_pipelines(explorer, folder):
    found = answer(explorer, "order", {"text": TEXT})
    judge = pipeline("sentence-order", folder)
    first, second = found["given"]["first"], found["given"]["second"]
    assert f"{first} {second}" == TEXT and (found["swapped"]["first"], found["swapped"]["second"]) == (second, first)
    for name in ("given", "swapped"):
        pair = {"text": found[name]["first"], "text_pair": found[name]["second"]}
        assert found[name]["p"] == pytest.approx(judge(pair)["score"], rel=1e-4)


def test_neighbours_have_the_largest_cosines(explorer):
    found = answer(explorer, "vectors", {**QUESTION, "search": "the"})["found"]
    table = explorer.model.albert.embeddings.word_embeddings.weight.data
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    cosines = unit @ unit[found["id"]]
    cosines[found["id"]] = -2
    assert found["piece"] == "▁the" and [n["id"] for n in found["neighbours"]] == np.argsort(-cosines, kind="stable")[:12].tolist()
    assert [n["cosine"] for n in found["neighbours"]] == pytest.approx(cosines[[n["id"] for n in found["neighbours"]]], abs=1e-5)


def test_the_plane_keeps_as_much_of_the_variance_as_it_says(explorer):
    found = answer(explorer, "words", {})
    table = explorer.model.albert.embeddings.word_embeddings.weight.data[found["ids"]]
    points = np.frombuffer(base64.b64decode(found["plane"]), "<f4").reshape(-1, 2)
    assert points.var(axis=0).sum() / table.var(axis=0).sum() == pytest.approx(found["share"], rel=1e-3)
    assert not {"[CLS]", "[MASK]"} & set(found["pieces"]) and len(points) == len(found["pieces"])


def test_the_best_cut_of_a_word_is_the_one_that_is_used(explorer):
    found = answer(explorer, "pieces", QUESTION)
    cuts = [[] for _ in found["words"]]
    for token in found["tokens"]:
        cuts[token["word"]].append(token["piece"])
    compared = 0
    for ways, used in zip(found["words"], cuts):
        scores = [way["score"] for way in ways]
        assert scores == sorted(scores, reverse=True)
        if ways and used[0].startswith("▁"):
            assert ways[0]["pieces"] == used
            compared += 1
    assert compared > 5


def test_what_is_done_to_a_text_leaves_special_tokens_alone(explorer):
    steps = answer(explorer, "pieces", {"text": "The  Café [MASK] ﬁne"})["steps"]
    assert [step["text"] for step in steps] == ["the cafe [MASK] fine"]
    assert answer(explorer, "pieces", {"text": "the [MASK] dog"})["steps"] == []


@given(text=st.text(max_size=60), masked=st.lists(st.integers(-3, 80), max_size=4))
def test_any_text_is_answered_or_told_what_is_wrong(explorer, text, masked):
    for name in VIEWS:
        with contextlib.suppress(UserError):
            said = json.dumps(answer(explorer, name, {"text": text, "pair": None, "masked": masked}))
            assert "NaN" not in said


@pytest.mark.parametrize("question, words", [
    ([], "expected an object"), ({"text": 3}, "expected a text"), ({"text": ""}, "type a sentence"),
    ({"text": "a", "masked": "3"}, "list of places"), ({"text": "a", "masked": [True]}, "numbers of pieces"),
    ({"text": "x" * 30_000}, "30,000 characters"), ({"text": "a [MASK]", "place": 0}, "one of the masks"),
    ({"text": "a [MASK]", "answer": 10**9}, "id of a piece"), ({"text": "a [MASK]", "answer": "x"}, "id of a piece"),
    ({"text": "a"}, "click a piece"),
])
def test_a_wrong_question_is_told_so(explorer, question, words):
    with pytest.raises(UserError, match=words):
        answer(explorer, "gradients", question)


def test_a_text_that_is_too_long_is_cut_and_said_so(explorer):
    found = answer(explorer, "pieces", {"text": "dog " * 500})
    assert len(found["tokens"]) == POSITIONS == found["longest"] and found["cut"]
    assert not answer(explorer, "pieces", {"text": "dog"})["cut"]


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_that_is_written_again_is_read_again(folder, tmp_path):
    import shutil
    shutil.copytree(folder, tmp_path / "m")
    explorer = Explorer(tmp_path / "m")
    before = answer(explorer, "masks", QUESTION)
    assert not explorer.refresh()
    model = AlbertForPreTraining.from_pretrained(tmp_path / "m")
    for _, parameter in model.named_parameters():
        parameter.data *= 1.5
    model.save_pretrained(tmp_path / "m")
    assert explorer.refresh() and answer(explorer, "masks", QUESTION) != before


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of six steps, with the recipe of its preset."""
    folder = tmp_path_factory.mktemp("explore") / "run"
    assert main(["pretrain", "stories:60", *"--preset tiny --steps 6 --eval-every 3 --output".split(), str(folder)]) == 0
    return Explorer(folder)


def test_a_run_of_ones_own_is_shown_with_its_start(run):
    shown = answer(run, "history", {})
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert shown["levels"]["word frequencies alone"] == lines[0]["unigram_entropy"] and shown["step"] == shown["total_steps"] == 6
    assert shown["eval"]["mlm_loss"] == [[line["step"], line["mlm_loss"]] for line in lines if line["kind"] == "eval"]
    begun, trained = (answer(run, "attention", {**QUESTION, "start": start})["maps"] for start in (True, False))
    assert begun != trained and answer(run, "about", {})["start"]
    first = attention.first_values(run)
    size = run.model.config.max_position_embeddings
    assert abs(first.albert.embeddings.position_embeddings.weight.data[:size]).max() > 0.03    # the mimetic start's sinusoids


def neighbours(explorer, start):
    """(passes, heads): the mean weight of the token before."""
    shown = answer(explorer, "attention", {"text": TEXT, "start": start})
    maps = weights_of(shown["maps"], shown["layers"], shown["heads"] + 1, len(shown["tokens"]), -1)
    return np.diagonal(maps, -1, axis1=2, axis2=3).mean(axis=-1)[:, :-1]


def test_lesson_08_a_head_looks_at_the_token_before_from_the_start_on(run):
    for start in (False, True):
        assert (neighbours(run, start).argmax(axis=1) == 1).all() and neighbours(run, start)[:, 1].min() > 0.5


def test_lesson_09_the_passes_gradients_are_longer_than_their_sum(explorer):
    shown = answer(explorer, "gradients", QUESTION)
    assert len(shown["passes"]) == explorer.model.config.num_hidden_layers > 1
    assert 0 < shown["shared"] < 0.99 * sum(shown["passes"])


def test_lesson_13_the_run_has_both_lines_and_the_curves_of_both_tasks(run):
    shown = answer(run, "history", {})
    assert set(shown["levels"]) == {"every piece equally likely", "word frequencies alone"}
    assert len(shown["eval"]["mlm_loss"]) == len(shown["eval"]["sop_loss"]) > 1
    assert [loss for _, loss in shown["eval"]["sop_loss"]] == pytest.approx([np.log(2)] * len(shown["eval"]["sop_loss"]), abs=0.1)


def test_curves_are_thinned_to_means():
    points = [[i, float(i % 7)] for i in range(1, 3002)]
    thin = history.thinned(points, 100)
    assert len(thin) <= 100 and thin[-1][0] == 3001
    assert history.thinned(points[:50], 100) == points[:50] and history.thinned([], 5) == []


TASKS = [("stories:topic:40", "classification", {"text": "The bread was warm."}, "labels"),
         ("stories:ner:40", "ner", {"text": "Ida waited at the mill."}, "entities"),
         ("stories:qa:40", "squad", {"text": "Who waited?", "pair": "Ida waited at the mill."}, "answers")]


@pytest.mark.parametrize("source, task, question, key", TASKS)
def test_a_fine_tuned_folder_answers_as_its_pipeline(source, task, question, key, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(f"finetune {task} {source} --model {folder} --output m --steps 2 --max-length 48".split()) == 0
    explorer = Explorer("m")
    about = answer(explorer, "about", {})
    assert about["task"] == task and not about["words"] and not about["order"]
    found = answer(explorer, "answers", question)
    if key == "labels":
        said = pipeline("text-classification", "m")(question["text"], top_k=None)
    elif key == "entities":
        said = [{k: each[k] for k in ("entity_group", "score", "start", "end")}
                for each in pipeline("ner", "m")(question["text"], aggregation_strategy="simple")]
    else:
        said = pipeline("question-answering", "m")(question=question["text"], context=question["pair"], top_k=5)
        assert sum(token["first"] for token in found["tokens"]) == pytest.approx(1, abs=1e-4)
    assert found[key] == json.loads(json.dumps(said, default=float))
    with pytest.raises(UserError, match="no head for masked words"):
        answer(explorer, "masks", QUESTION)
    assert "fine-tuned" in answer_error(explorer, "order")


def answer_error(explorer, view):
    with pytest.raises(UserError) as refused:
        answer(explorer, view, QUESTION)
    return str(refused.value)


@pytest.mark.parametrize("made, words", [
    ("missing", "there is no folder"), ("empty", "empty"), ("no-tokenizer", "no-tokenizer"), ("half", "half")])
def test_a_folder_without_a_model_is_told_in_a_sentence(made, words, folder, tmp_path, monkeypatch, capsys):
    import shutil
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name, left_out in (("no-tokenizer", ("spiece.model", "tokenizer.json")), ("half", ("model.safetensors",))):
        shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns(*left_out))
    assert main(["explore", made, "--no-browser"]) == 2
    assert words in capsys.readouterr().err


def test_without_a_folder_the_quickstarts_is_taken_or_told_how_to_make_one(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="quickstart.py"):
        folder_to_explore()
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "quickstart" / "model").symlink_to(folder)
    assert Explorer(folder_to_explore()).has_words


# --- one file with everything in it ---------------------------------------------------------------


def test_a_saved_page_holds_the_answers_and_asks_nobody(explorer, tmp_path):
    texts = [TEXT, "<script>alert(1)</script> & </script> the dog\tIda & Otto"]
    size = save(explorer, texts, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert size == len(page.encode()) < 1_000_000
    saved = json.loads(re.search(r'<script type="application/json" id="saved">(.*?)</script>', page, re.S)[1])
    assert saved["texts"][0]["text"] == TEXT and saved["texts"][1]["pair"] == "Ida & Otto"
    assert saved["answers"]["masks"][0] == answer(explorer, "masks", saved["texts"][0])
    assert all(len(each) == (1 if name in NO_READING - {"answers"} else 2) for name, each in saved["answers"].items())
    assert not re.search(r'(?:src|href)="(?!data:)', page) and page.count("<script>alert") == 0
    modules = json.loads(re.search(r'<script type="importmap">(.*?)</script>', page)[1])["imports"]
    for name, content in files().items():
        if name.endswith(".js"):
            assert base64.b64decode(modules[f"explore/{name}"].partition(",")[2]) == content


def test_what_a_module_imports_is_there():
    named = {f"explore/{name}" for name in files()}
    for name, content in files().items():
        assert set(re.findall(r'from "([^"]+)"', content.decode())) <= named, name


def test_save_from_the_command_line(folder, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["explore", str(folder), "--save", str(path), "--text", TEXT]) == 0 and path.stat().st_size > 50_000
    assert main(["explore", str(folder), "--save", str(path)]) == 2 and "--text" in capsys.readouterr().err
    assert main(["explore", str(folder), "--text", TEXT]) == 2


# --- who is answered ------------------------------------------------------------------------------


def asked(address, method, path, body=None, **headers):
    """(status, answer) of one request; headers: replace those that the page sends."""
    own = {"Host": f"127.0.0.1:{address[1]}", "Content-Type": "application/json", "Origin": f"http://127.0.0.1:{address[1]}"}
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        sent = {name: value for name, value in {**own, **{k.replace("_", "-"): v for k, v in headers.items()}}.items() if value is not None}
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), sent)
        response = connection.getresponse()
        content = response.read()
        return response.status, content, dict(response.getheaders())
    finally:
        connection.close()


def test_the_page_and_its_files_come_from_the_package(address):
    status, page, headers = asked(address, "GET", "/")
    assert status == 200 and b"explore/main.js" in page and "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    for name, content in files().items():
        status, sent, headers = asked(address, "GET", f"/page/{name}")
        assert status == 200 and sent == content and headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/etc/passwd", "/page/../server.py", "/page/%2e%2e/server.py", "/page/", "/page/index.html", "/ask/about"])
def test_no_other_file_is_given(path, address):
    assert asked(address, "GET", path)[0] == 404


def test_the_page_is_answered(address, explorer):
    status, content, _ = asked(address, "POST", "/ask/masks", QUESTION)
    assert status == 200 and json.loads(content) == {**answer(explorer, "masks", QUESTION), "renewed": False}


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example:80"}, {"Host": "127.0.0.1"}, {"Host": "localhost.evil.example"}, {"Origin": "http://evil.example"},
    {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Content_Type": "text/plain"},
    {"Content_Type": "application/x-www-form-urlencoded"}, {"Content_Type": None},
])
def test_another_site_is_not_answered(headers, address):
    for path in ("/ask/masks", "/quit"):
        status, content, _ = asked(address, "POST", path, QUESTION, **headers)
        assert status == 403 and "page" in json.loads(content)["error"]
    if "Host" in headers:
        assert asked(address, "GET", "/", **headers)[0] == 403


@pytest.mark.parametrize("path, body, status", [
    ("/ask/masks", b"{", 400), ("/ask/masks", b"[" * 100_000, 400), ("/ask/masks", b"\xff\xfe", 400), ("/ask/nothing", {}, 422),
    ("/ask/masks", [], 422), ("/ask/masks", {"text": " "}, 422), ("/elsewhere", {}, 404), ("/ask/masks", b" " * 300_000, 413)])
def test_a_bad_request_gets_a_sentence(path, body, status, address):
    try:
        got, content, _ = asked(address, "POST", path, body)
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413                              # told before all of it was sent
        return
    assert got == status and len(json.loads(content)["error"]) > 10


def test_a_port_in_use_is_told_and_another_named(address, explorer):
    with pytest.raises(UserError, match=f"port {address[1]} .*--port {address[1] + 1}"):
        ExplorerServer(explorer, address[1])
    with pytest.raises(UserError, match="--port 8765"):
        ExplorerServer(explorer, 99999)


def test_it_listens_on_this_machine_alone(explorer):
    with ExplorerServer(explorer, 0) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1" and server.url == f"http://127.0.0.1:{server.server_port}/"


def test_it_ends_when_the_page_asks(explorer):
    with ExplorerServer(explorer, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        assert asked(("127.0.0.1", server.server_port), "POST", "/quit", {})[0] == 200
        thread.join(10)
        assert not thread.is_alive()
