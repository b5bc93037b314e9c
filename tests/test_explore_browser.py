"""The explorer page in a real browser: what it shows is what the library computes, and it works by mouse, keys and touch.

Needs selenium (extra `browser`) and Chromium with its driver (Debian: apt install chromium chromium-driver).
"""

import os
import shutil
import threading

import numpy as np
import pytest

from tinyalbert import AlbertConfig, AlbertForPreTraining
from tinyalbert.cli import main
from tinyalbert.explore.explorer import Explorer
from tinyalbert.explore.page import save
from tinyalbert.explore.server import ExplorerServer
from tinyalbert.explore.views import answer
from tinyalbert.pretraining.preparation import train_tokenizer

pytestmark = pytest.mark.browser
selenium = pytest.importorskip("selenium", reason="needs selenium: pip install 'tinyalbert[browser]'")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("needs chromium and chromedriver (Debian: apt install chromium chromium-driver)", allow_module_level=True)

from selenium.webdriver import Chrome, ChromeOptions  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

TEXT = "The old dog was at the [MASK]. Then it went home with Ida."
TABS = ["masks", "attention", "gradients", "sharing", "vectors", "order", "pieces", "history"]


@pytest.fixture(scope="module")
def browser():
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    os.environ.setdefault("SE_AVOID_STATS", "true")
    driver = Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a few steps, then with the values of a model that has stronger opinions."""
    home = tmp_path_factory.mktemp("browser")
    tokenizer = train_tokenizer(["stories:60"], 300, str(home / "vocabulary"))
    tokenizer.model_max_length = 512
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main("pretrain stories:60 --preset tiny --tokenizer vocabulary --steps 6 --eval-every 3 --output run".split()) == 0
    config = AlbertConfig.preset("tiny", vocab_size=300, num_hidden_layers=3, max_position_embeddings=512)
    model = AlbertForPreTraining(config, seed=3)
    for name, parameter in model.named_parameters():
        if "dense" in name or "query" in name:
            parameter.data *= 8
    model.save_pretrained(home / "run", tokenizer=tokenizer)
    return home / "run"


@pytest.fixture(scope="module")
def explorer(folder):
    return Explorer(folder)


@pytest.fixture(scope="module")
def served(explorer):
    with ExplorerServer(explorer, 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.url
        server.shutdown()


class Page:
    """The page in the browser, as a person sees it."""

    def __init__(self, browser, url):
        self.browser = browser
        self.size(1100)
        browser.get_log("browser")                            # what was said before
        browser.get("about:blank")
        browser.get(url)
        self.settled()

    def size(self, width, dark=False):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def settled(self):
        """Wait until a view is drawn and no answer is pending."""
        ready = "const v = document.getElementById('view'); return Boolean(v.firstChild) && !v.hasAttribute('aria-busy')"
        WebDriverWait(self.browser, 30, poll_frequency=0.05).until(lambda b: b.execute_script(ready))

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        return self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector)

    def rows(self, number=0):
        """The cells of a table's body, row by row."""
        return self.browser.execute_script(
            "return [...document.querySelectorAll('#view table')[arguments[0]].tBodies[0].rows]"
            ".map((row) => [...row.cells].map((cell) => cell.textContent))", number)

    def show(self, tab):
        self.all(f"#tab-{tab}")[0].click()
        self.settled()

    def type(self, text, field="text"):
        """As pasted: the input event comes once."""
        self.browser.execute_script(
            "const f = document.getElementById(arguments[0]); f.value = arguments[1]; f.dispatchEvent(new Event('input'))", field, text)
        drawn = "return document.getElementById('strip').dataset.text === arguments[0]"
        WebDriverWait(self.browser, 60, poll_frequency=0.05).until(lambda b: field != "text" or b.execute_script(drawn, text))
        self.settled()

    def complaints(self):
        return [line["message"] for line in self.browser.get_log("browser")]


@pytest.fixture
def page(browser, served):
    page = Page(browser, served)
    page.type(TEXT)
    yield page
    assert page.complaints() == []


def question(explorer, *masked):
    return {"text": TEXT, "pair": None, "masked": list(masked)}


def percent(p):
    return f"{100 * p:.{2 if 0 < 100 * p < 1 else 1}f} %"


def near(shown, number, close):
    return abs(float(shown.replace("−", "-").split()[0].rstrip("°").replace(",", "")) - number) <= close


def test_every_view_is_there_and_draws_without_a_complaint(page):
    assert [tab.get_attribute("id") for tab in page.all("[role=tab]")] == [f"tab-{name}" for name in TABS]
    for tab in TABS:
        page.show(tab)
        assert page.texts("#view h2")[0].endswith("?") and not page.all("#view .problem"), tab


def test_what_stands_at_the_mask(page, explorer):
    page.show("masks")
    (mask,) = answer(explorer, "masks", question(explorer))["masks"]
    shown = page.rows()
    for row, each in zip(shown, mask["answers"]):
        assert row[0] == each["piece"] and all(near(cell, 100 * p, 0.051) for cell, p in zip(row[1:], each["p"]))
    assert shown[-1][1:] == [layer[0]["piece"] for layer in mask["layers"]]


def test_a_click_masks_a_piece_and_a_second_one_shows_it_again(page, explorer):
    page.show("masks")
    assert len(page.texts("#view h3")) == 1
    written = page.texts("#strip .piece")[3]
    page.all("#strip .piece")[3].click()
    page.settled()
    assert page.texts("#strip .piece")[3] == "[MASK]" and page.texts("#view h3")[0] == f"Place 3, where “{written}” is written"
    first = answer(explorer, "masks", question(explorer, 3))["masks"][0]
    assert page.texts("#view .bar .name")[0] == first["answers"][0]["piece"]
    page.all("#strip .piece")[3].click()
    page.settled()
    assert len(page.texts("#view h3")) == 1 and page.texts("#strip .piece")[3] == written


def test_attention_says_who_looks_at_whom(page, explorer):
    page.show("attention")
    reading = explorer.read(TEXT)
    weights = np.stack([a.numpy()[0] for a in explorer.model.albert(**reading.inputs(), output_attentions=True).attentions])
    assert len(page.all(".maps canvas")) == 3 * 3
    for layer, head in ((2, 1), (0, 0), (1, 2)):
        page.all(f".maps button[data-layer='{layer}'][data-head='{head}']")[0].click()
        of = weights[layer].mean(axis=0) if head == 2 else weights[layer, head]
        for token in (1, 5):
            page.browser.execute_script("arguments[0].focus()", page.all(f"[data-token='{token}']")[0])
            said = page.texts("#view .note")[-1]
            best = of[token].max()
            assert said.startswith(explorer.piece(reading.ids[token]) + " looks at ")
            assert near(said.split(" looks at ")[1].split(", ")[0].split(" ")[1], 100 * best, 1.0)


def test_attention_as_the_run_began_is_another(page):
    page.show("attention")
    picture = "return document.querySelectorAll('.maps canvas')[0].toDataURL()"
    trained = page.browser.execute_script(picture)
    page.all("#attention-start")[0].click()
    page.settled()
    assert page.browser.execute_script(picture) != trained
    page.all("#attention-start")[0].click()
    page.settled()
    assert page.browser.execute_script(picture) == trained


def test_gradients_are_the_librarys(page, explorer):
    page.show("gradients")
    found = answer(explorer, "gradients", question(explorer))
    assert [row[0] for row in page.rows(1)] == [each["piece"] for each in found["pieces"]]
    for row, each in zip(page.rows(1), found["pieces"]):
        assert near(row[1], each["value"], 6e-4) and near(row[2], each["size"], 6e-4)
    for row, size in zip(page.rows(0), [*found["passes"], found["shared"]]):
        assert near(row[1], size, 1e-3 * max(1, size))
    second = answer(explorer, "masks", question(explorer))["masks"][0]["answers"][1]
    page.browser.execute_script("const s = document.getElementById('gradient-answer'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))", str(second["id"]))
    page.settled()
    assert f"log P({second['piece']})" in page.texts("#view p")[1]


def test_passes_and_the_ledger(page, explorer):
    page.show("sharing")
    for row, each in zip(page.rows(), answer(explorer, "sharing", question(explorer))["passes"], strict=True):
        assert near(row[1], each["distance"], 6e-4) and near(row[2], each["angle"], 6e-3)
    for sizes in ({}, {"E": 48, "H": 128, "L": 7}, {"E": 128, "H": 768, "L": 12}):
        for name, value in sizes.items():
            page.browser.execute_script("const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('input'))",
                                        f"size-{name}", str(value))
        E, H, L = sizes.get("E", 64), sizes.get("H", 64), sizes.get("L", 3)
        same = dict(vocab_size=300, hidden_size=H, num_hidden_layers=L, num_attention_heads=2, intermediate_size=4 * H, max_position_embeddings=512)
        ours = AlbertForPreTraining(AlbertConfig(embedding_size=E, **same), seed=None).num_parameters()
        theirs = AlbertForPreTraining(AlbertConfig.bert(**same), seed=None).num_parameters()
        assert page.texts("#ledger-albert, #ledger-bert") == [f"{ours:,}", f"{theirs:,}"]


def test_neighbours_of_a_word(page, explorer):
    page.show("vectors")
    field = page.all("#search")[0]
    field.clear()
    field.send_keys("the", Keys.ENTER)
    WebDriverWait(page.browser, 20).until(lambda b: "▁the" in "".join(page.texts("#view caption")))
    found = answer(explorer, "vectors", {**question(explorer), "search": "the"})["found"]
    assert page.rows() == [[each["piece"], f"{each['cosine']:.3f}"] for each in found["neighbours"]]
    points = "const c = document.querySelectorAll('#view canvas')[arguments[0]]; const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.filter((v, i) => i % 4 === 3 && v).length"
    assert page.browser.execute_script(points, 0) > 300 and page.browser.execute_script(points, 1) > 50


def test_sentence_order_both_ways(page, explorer):
    page.show("order")
    found = answer(explorer, "order", question(explorer))
    assert page.texts("#view .bar .number") == [percent(p) for p in (
        found["given"]["p"], 1 - found["given"]["p"], found["swapped"]["p"], 1 - found["swapped"]["p"])]


def test_pieces_with_their_ids(page, explorer):
    page.show("pieces")
    tokens = answer(explorer, "pieces", question(explorer))["tokens"]
    shown = page.rows(len(page.all("#view table")) - 1)
    assert [(row[0], row[2], row[3]) for row in shown] == [(t["piece"] + (" → [MASK]" if t["masked"] and not t["special"] else ""), str(t["id"]), str(t["type"])) for t in tokens]


def test_the_run_has_its_curves(page, explorer):
    page.show("history")
    run = answer(explorer, "history", {})
    labels = page.browser.execute_script("return [...document.querySelectorAll('#view svg')].map((s) => s.getAttribute('aria-label'))")
    assert f"{run['eval']['mlm_loss'][-1][1]:.2f} held out" in labels[0] and len(labels) >= 3
    assert page.texts("#view p")[1].startswith("6 of 6 steps")


def test_arrow_keys_go_from_view_to_view(page):
    page.show("masks")
    page.all("#tab-masks")[0].send_keys(Keys.ARROW_RIGHT)
    page.settled()
    assert page.browser.switch_to.active_element.get_attribute("id") == "tab-attention"
    assert page.all("#tab-attention")[0].get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("text", ["<script>window.bad = 1</script><img src=x onerror='window.bad = 1'> dog", "שלום עולם the dog", "🐕 👩‍👩‍👧 dog", "dog " * 3000])
def test_odd_texts_are_shown_not_run(page, text):
    for tab in ("pieces", "masks", "attention", "vectors"):
        page.show(tab)
        page.type(text)
    assert page.browser.execute_script("return window.bad") is None and page.all("#strip .piece")
    assert not page.all("#view img")


def test_an_empty_text_is_told_in_a_sentence(page):
    page.type("   ")
    assert page.texts("#view .problem") == ["there is no text yet; type a sentence"]
    page.browser.get_log("browser")                           # the browser notes the 422


def test_nothing_hangs_over_at_any_width_in_light_and_dark(page):
    colours = set()
    for width in (360, 800, 1600):
        for dark in (False, True):
            page.size(width, dark)
            for tab in TABS:
                page.show(tab)
                assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width, (width, tab)
            colours.add(page.browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


def test_every_control_has_a_name(page):
    for tab in TABS:
        page.show(tab)
        nameless = page.browser.execute_script(
            "return [...document.querySelectorAll('button, input, select, textarea, canvas[role=img], svg')].filter((e) => e.offsetParent !== null"
            " && !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML.slice(0, 90))")
        assert nameless == [], tab


def saved_mask(explorer, text):
    return [(len(explorer.read(text)) - 1) // 2]


def test_a_saved_page_works_without_server_and_network(browser, explorer, tmp_path):
    texts = [TEXT, "Ida waited at the mill. She had a <b>kite</b>.", "The dog found the ring.\tIt was old."]
    size = save(explorer, texts, tmp_path / "page.html")
    assert size < 3_000_000
    page = Page(browser, (tmp_path / "page.html").as_uri())
    for tab in TABS:
        page.show(tab)
        assert page.texts("#view h2") and not page.all("#view .problem"), tab
    page.show("masks")
    assert page.rows()[0][0] == answer(explorer, "masks", question(explorer))["masks"][0]["answers"][0]["piece"]
    page.browser.execute_script("const s = document.getElementById('choose'); s.value = 1; s.dispatchEvent(new Event('change'))")
    WebDriverWait(browser, 20).until(lambda b: b.execute_script("return document.getElementById('strip').dataset.text") == texts[1])
    page.settled()
    assert page.texts("#strip .piece") == [
        "[MASK]" if token["masked"] else token["piece"] for token in answer(explorer, "pieces", {"text": texts[1], "masked": saved_mask(explorer, texts[1])})["tokens"]]
    assert page.complaints() == []


def test_a_fine_tuned_folder_shows_its_task_first(browser, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(f"finetune ner stories:ner:60 --model {folder} --output m --steps 30 --max-length 48".split()) == 0
    explorer = Explorer("m")
    with ExplorerServer(explorer, 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        page = Page(browser, server.url)
        text = "Zoë 🐕 saw Ida at the mill in Aldham."
        page.type(text)
        assert page.all("#tab-answers")[0].get_attribute("aria-selected") == "true"
        found = answer(explorer, "answers", {"text": text})["entities"]
        marks = page.browser.execute_script("return [...document.querySelectorAll('mark')].map((m) => m.firstChild.textContent)")
        assert marks == [text[each["start"]:each["end"]] for each in found]
        page.all("#quit")[0].click()
        WebDriverWait(browser, 20).until(lambda b: "has ended" in page.texts("#about")[0])
        assert page.complaints() == []
