"""The files of the page, and one file with everything in it.

The page's modules import each other by names ("explore/draw.js"), which the import map of the HTML
gives an address: this server's, or in a saved file the module itself.
"""

import base64
import hashlib
import json
from pathlib import Path

from ..errors import UserError
from ..files.writing import replacing
from . import attention
from .views import NO_READING, VIEWS, answer

FOLDER = Path(__file__).with_name("page")
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
MOST_SAVED = 350_000  # bytes of attention maps of a saved text
STAND_INS = ("<!-- style -->", "<!-- map -->", "<!-- saved -->")
BEGIN = 'import "explore/main.js";'  # as in index.html


def files():
    """{name: content} of the page's style and modules, "views/masks.js" and so on."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in (".js", ".css"))
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}


def live_page():
    """(the HTML that the server sends, the hashes of its own scripts for the security policy)."""
    addresses = {f"explore/{name}": f"/page/{name}" for name in files() if name.endswith(".js")}
    import_map = json.dumps({"imports": addresses})
    style = '<link rel="stylesheet" href="/page/style.css">'
    return _filled(style, import_map, ""), [_hash(import_map), _hash(BEGIN)]


def _hash(script):
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _filled(style, import_map, saved):
    text = (FOLDER / "index.html").read_text(encoding="utf-8")
    map_ = f'<script type="importmap">{import_map}</script>'
    for mark, part in zip(STAND_INS, (style, map_, saved)):
        text = text.replace(mark, part, 1)
    return text


def save(explorer, texts, path):
    """Write one HTML file with the computed views of these texts; returns its size in bytes.

    It needs no server and no network.  texts: each a text, or two with a TAB between.
    """
    if not texts:
        raise UserError('--save needs texts to show: --text "The old [MASK] was waiting."')
    modules = {name: content for name, content in files().items() if name.endswith(".js")}
    addresses = {
        f"explore/{name}": "data:text/javascript;base64," + base64.b64encode(content).decode()
        for name, content in modules.items()
    }
    style = f"<style>{files()['style.css'].decode()}</style>"
    saved = json.dumps(_answers(explorer, texts), ensure_ascii=False)
    # "</" and "<!--" would end or disturb the script that holds the answers
    inside = saved.replace("<", "\\u003c")
    page = _filled(
        style,
        json.dumps({"imports": addresses}),
        f'<script type="application/json" id="saved">{inside}</script>',
    )
    content = page.encode("utf-8")
    with replacing(Path(path)) as file:
        file.write(content)
    return len(content)


def _answers(explorer, texts):
    """{"about", "texts": [question, ...], "answers": {view: [answer or {"error"}, ...]}}."""
    questions = [_question(explorer, text) for text in texts]
    views = {name: [_answer(explorer, name, each) for each in questions] for name in VIEWS}
    for name in NO_READING - {"answers"}:
        views[name] = views[name][:1]  # the same for every text
    return {"about": answer(explorer, "about", {}), "texts": questions, "answers": views}


def _question(explorer, text):
    """The question of a saved text: with a mask, if there is none and the model fills masks."""
    text, _, pair = text.partition("\t")
    question = {"text": text, "pair": pair or None, "masked": []}
    reading = explorer.read(text, pair)  # a text that can't be read is refused before the work
    if explorer.has_words and not reading.masked:
        question["masked"] = [max(1, (len(reading) - 1) // 2)]
    return question


def _answer(explorer, name, question):
    try:
        if name == "attention":
            reading = explorer.read(*question.values())
            return attention.view(explorer, reading, most=MOST_SAVED)
        if name == "vectors":
            words = [w for w in question["text"].replace("[MASK]", " ").split() if w.isalpha()]
            question = {**question, "search": max(words, key=len, default=None)}
        return answer(explorer, name, question)
    except UserError as problem:
        return {"error": str(problem)}
