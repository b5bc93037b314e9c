"""Slides are made of a lesson's own text and figures, and show no answer."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = ["04", "06", "08", "11"]
pytest.importorskip("markdown_it")


def slides_script():
    spec = importlib.util.spec_from_file_location("slides", ROOT / "scripts" / "slides.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("number", NUMBERS)
def test_slides_of_a_lesson(number, tmp_path, capsys):
    script = slides_script()
    lesson, = (ROOT / "lessons").glob(f"{number}_*.py")
    assert script.main([number, "--output", str(tmp_path)]) == 0 and lesson.stem in capsys.readouterr().out
    source, text = lesson.read_text(encoding="utf-8"), (tmp_path / f"{lesson.stem}.html").read_text(encoding="utf-8")
    slides = script.deck_of(lesson)
    assert len(slides) > 15 and all(slide.height <= script.ROOM for slide in slides)
    headings = {slide.heading for slide in slides}
    assert set(re.findall(r"^# ## (.*)", source, re.M)) - {"In the library", "Open it"} <= headings
    assert {f"Exercise: {name}" for name in re.findall(r"^@exercise.*?^def (\w+)", source, re.M | re.S)} <= headings
    drawn = re.findall(r'^(?:figure|animation)\(.*"(\w+)"\)', source, re.M) + ["you_are_here"] * ("\nhere(" in source)
    assert len(re.findall("<img alt", text)) == len(drawn) >= 1
    assert ".reveal(" not in text and text.count("<section>") == len(slides)


def test_mistakes_are_explained(capsys, monkeypatch):
    script = slides_script()
    with pytest.raises(SystemExit):
        script.main(["77"])
    assert "no lesson 77; there are 00" in capsys.readouterr().err
    monkeypatch.setattr(script, "LESSONS", Path("nowhere"))
    call = script.ast.parse("figure(fig, 'nothing')").body[0].value
    with pytest.raises(SystemExit, match="run the lesson first"):
        script.picture(call, "figure", "04")
