#!/usr/bin/env python3
"""A lesson as slides: its own text, code and figures in one HTML file, for a screen or for paper.

    python scripts/slides.py 04                  writes runs/slides/04_vjps_and_how_....html
    python scripts/slides.py 04 06 08 11         these
    python scripts/slides.py 08 --output DIR     elsewhere

Arrow keys, space or a click turn the pages; the browser's print command makes a PDF of one slide a
page.  What `predict` asks and what an exercise asks for stand on slides of their own, unanswered.
Needs markdown-it-py (pip install 'tinyalbert[lessons]')."""

import argparse
import ast
import base64
import html
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LESSONS = ROOT / "lessons"
ROOM = 14.5  # lines of text that fit on a slide below its heading
TEXT_WIDTH = 84  # characters in a line of text
CODE_LINE = 0.72  # height of a line of code, in lines of text
LEFT_OUT = ("finish", "show", "same", "print")  # calls that a slide does without
STYLE = """
* { box-sizing: border-box; margin: 0; }
body { background: #ddd; font: 26px/1.38 Georgia, 'DejaVu Serif', serif; color: #111; }
section { width: 1280px; height: 720px; padding: 44px 80px 40px; background: #fff; overflow: hidden;
          position: relative; display: none; transform-origin: top left; }
section.now { display: block; }
h1 { font-size: 48px; margin: 60px 0 36px; line-height: 1.2; }
h2 { font-size: 36px; margin-bottom: 20px; border-bottom: 2px solid #111; padding-bottom: 6px; }
p { margin-bottom: 14px; }
pre { font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; background: #f4f4f4;
      line-height: 1.38; padding: 10px 14px; margin-bottom: 14px; border-left: 4px solid #999; }
code { font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 0.86em; }
img { display: block; max-width: 1120px; max-height: 560px; margin: 6px auto 0; min-height: 480px; }
.asked { font-size: 34px; margin-top: 60px; }
footer { position: absolute; right: 40px; bottom: 14px; font-size: 16px; color: #666; }
@page { size: 1280px 720px; margin: 0; }
@media screen { body { overflow: hidden; } }
@media print { body { background: none; } section { display: block !important; break-after: page;
               transform: none !important; } }
"""
SCRIPT = """
const slides = [...document.querySelectorAll('section')];
let now = Math.min(Math.max(Number(location.hash.slice(1)) || 1, 1), slides.length) - 1;
function show(i) {
  now = Math.min(Math.max(i, 0), slides.length - 1);
  slides.forEach((s, k) => s.classList.toggle('now', k === now));
  const scale = Math.min(innerWidth / 1280, innerHeight / 720);
  slides[now].style.transform = `translate(${(innerWidth - 1280 * scale) / 2}px, 0) scale(${scale})`;
  history.replaceState(null, '', `#${now + 1}`);
}
addEventListener('keydown', e => {
  if (['ArrowRight', 'ArrowDown', 'PageDown', ' '].includes(e.key)) show(now + 1);
  if (['ArrowLeft', 'ArrowUp', 'PageUp'].includes(e.key)) show(now - 1);
  if (e.key === 'Home') show(0);
  if (e.key === 'End') show(slides.length - 1);
});
addEventListener('click', () => show(now + 1));
addEventListener('resize', () => show(now));
show(now);
"""


@dataclass
class Slide:
    """What one slide shows; height: how many lines of text it fills."""

    heading: str
    blocks: list = field(default_factory=list)
    height: float = 0.0


class Deck:
    """The slides of a lesson, filled one block after the other."""

    def __init__(self):
        self.slides = []

    def begin(self, heading):
        """The next blocks stand below this heading."""
        self.slides.append(Slide(heading))

    def add(self, block, height):
        """A block goes onto the last slide, or onto a new one if it does not fit."""
        room = ROOM if len(self.slides) > 1 else ROOM - 5  # the title is large
        if self.slides[-1].blocks and self.slides[-1].height + height > room:
            self.begin(self.slides[-1].heading)
        self.slides[-1].blocks.append(block)
        self.slides[-1].height += height

    def alone(self, block):
        """A block that has a slide to itself: a figure, a question."""
        if self.slides[-1].blocks:
            self.begin(self.slides[-1].heading)
        self.add(block, ROOM)


def deck_of(lesson):
    """The slides of a lesson's file."""
    deck = Deck()
    for cell in lesson.read_text(encoding="utf-8").split("# %%")[1:]:
        if cell.startswith(" [markdown]"):
            text = "\n".join(re.sub("^# ?", "", line) for line in cell.split("\n")[1:])
            add_text(deck, text.strip("\n"))
        elif "NEEDS = " not in cell:
            add_code(deck, cell.strip("\n"), lesson.stem[:2])
    return [slide for slide in deck.slides if slide.blocks]


def add_text(deck, text):
    """Paragraphs, indented blocks and headings of a markdown cell."""
    for block in re.split(r"\n\s*\n", text):
        title = re.match(r"#+ (.*)\n?", block)
        if title:
            deck.begin(title[1])
            block = block[title.end() :]
        if re.match(r"\*\*What to keep", block):
            deck.begin("What to keep")
        if block.startswith("    "):
            lines = [line[4:] for line in block.split("\n")]
            deck.add(code_block(lines), CODE_LINE * len(lines) + 1)
            continue
        for part in sentences(" ".join(block.split())):
            deck.add(rendered(part), math.ceil(len(part) / TEXT_WIDTH) + 0.45)


def sentences(paragraph, longest=10 * TEXT_WIDTH):
    """A paragraph, or parts of it that end with a sentence, if it is too long for one slide."""
    parts = [""]
    for sentence in re.split(r"(?<=[.?!:]) ", paragraph):
        if parts[-1] and len(parts[-1]) + len(sentence) > longest:
            parts.append("")
        parts[-1] = f"{parts[-1]} {sentence}".strip()
    return [part for part in parts if part]


def rendered(text):
    """Markdown as HTML."""
    from markdown_it import MarkdownIt

    return MarkdownIt().render(text)


def code_block(lines):
    """Lines of code, in letters so small that the longest fits."""
    size = min(19.0, 1080 / (0.605 * max(map(len, lines))))
    return f'<pre style="font-size: {size:.1f}px">{html.escape(chr(10).join(lines))}</pre>'


def add_code(deck, source, number):
    """The statements of a code cell: questions and figures alone, the rest as it stands."""
    lines, drawing, shown = source.split("\n"), False, []
    for statement in ast.parse(source).body:
        first = min(
            [statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))]
        )
        text = lines[first - 1 : statement.end_lineno]
        called = _called(statement)
        drawing = drawing or _draws(statement)
        if called in ("figure", "animation", "here"):
            add_listing(deck, shown)
            shown, drawing = [], False
            deck.alone(picture(statement.value, called, number))
        elif called == "predict":
            add_listing(deck, shown)
            shown = []
            deck.alone(f'<p class="asked">{html.escape(_question(statement))}</p>')
        elif _is_exercise(statement):
            add_listing(deck, shown)
            shown = []
            deck.begin(f"Exercise: {statement.name}")
            deck.alone(code_block(lines[statement.lineno - 1 : statement.end_lineno]))
        elif not drawing and called not in LEFT_OUT and not _reveals(statement):
            shown.append(text)
    add_listing(deck, shown)


def add_listing(deck, statements):
    """Statements, as many to a slide as fit; one that is too long is cut between its lines."""
    most = int((ROOM - 1) / CODE_LINE)
    for statement in statements:
        for start in range(0, len(statement), most):
            part = statement[start : start + most]
            deck.add(code_block(part), CODE_LINE * len(part) + 1.2)


def picture(call, kind, number):
    """The figure that a call saves, inside the page."""
    if kind == "here":
        name = "you_are_here.png"
    else:
        name = call.args[-1].value + (".gif" if kind == "animation" else ".png")
    path = LESSONS / "figures" / f"{number}_{name}"
    if not path.exists():
        path = ROOT / "runs" / "lessons" / path.name
    if not path.exists():
        sys.exit(f"the figure {path.name} is missing; run the lesson first, which draws it")
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{name}" src="data:image/{path.suffix[1:]};base64,{data}">'


def _called(statement):
    """The name of the function that a statement is a call of, or that gives it its value."""
    value = getattr(statement, "value", None)
    return getattr(getattr(value, "func", None), "id", "")


def _question(statement):
    text = statement.value.args[0]
    return text.value if isinstance(text, ast.Constant) else ast.unparse(text)[2:-1]


def _is_exercise(statement):
    return isinstance(statement, ast.FunctionDef) and any(
        getattr(getattr(d, "func", None), "id", "") == "exercise" for d in statement.decorator_list
    )


def _draws(statement):
    """Whether a statement is the first that is there for a figure only."""
    text = ast.unparse(statement)
    return "plt = pyplot()" in text or ".subplots(" in text


def _reveals(statement):
    return ".reveal(" in ast.unparse(statement) or isinstance(statement, ast.Assert)


def page(lesson):
    """The whole HTML page of a lesson."""
    slides = deck_of(lesson)
    title = slides[0].heading
    sections = []
    for i, slide in enumerate(slides):
        level = "h1" if i == 0 else "h2"
        heading = f"<{level}>{rendered(slide.heading)[3:-5]}</{level}>"
        foot = f"<footer>{html.escape(title)} &nbsp; {i + 1} / {len(slides)}</footer>"
        sections.append(f"<section>{heading}{''.join(slide.blocks)}{foot}</section>")
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><body>{''.join(sections)}<script>{SCRIPT}</script></body></html>\n"
    )


def main(argv=None):
    """Write the slides that the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lesson", nargs="+", help="numbers of lessons, such as 04")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "slides", metavar="DIR")
    arguments = parser.parse_args(argv)
    try:
        import markdown_it  # noqa: F401
    except ImportError:
        sys.exit("slides need markdown-it-py: pip install 'tinyalbert[lessons]'")
    lessons = {path.stem[:2]: path for path in sorted(LESSONS.glob("[0-9]*.py"))}
    unknown = [number for number in arguments.lesson if number not in lessons]
    if unknown:
        parser.error(f"there is no lesson {', '.join(unknown)}; there are {', '.join(lessons)}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for number in arguments.lesson:
        path = arguments.output / f"{lessons[number].stem}.html"
        path.write_text(page(lessons[number]), encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
