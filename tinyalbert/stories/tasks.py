"""Labelled rows for every task from the stories' world.

An example: `story_dataset("ending", 400, split="train")`.

All labels come from the world's own record, not from reading the text, and are therefore exact; `TASKS` says what
each task asks and which columns its rows have.  Results on these rows say how well a model reads this small world and
nothing about natural language.
"""

import random
import re
import zlib
from typing import NamedTuple

from ..errors import UserError
from .corpus import generate
from .words import TOPICS
from .world import Slot, compile_template

LABELLED = 1 << 36                                # labelled rows are told by stories that no corpus contains


# ---- plain statements and questions about one event

def _say(text, roles):
    """A template with full names: "{A} lost {o} {P}" -> "Mara lost the red kite in the barn"."""
    out = []
    for part in compile_template(text).parts:
        if not isinstance(part, Slot):
            out.append(part)
        elif part.form == "to":
            place = roles[part.role]
            out.append(("to the " if place.lead.endswith("the ") else "to ") + place.text)
        else:
            out.append(roles[part.role].phrase)
    return "".join(out)


def _statement(event, roles=None):
    step = event.step
    text = _say(f"{step.subject} {step.past} {step.rest}".strip(), roles or event.roles)
    return text[0].upper() + text[1:] + "."


def _slots(event):
    """Roles that the plain statement names, the subject first."""
    parts = compile_template(f"{event.step.subject} {event.step.rest}").parts
    return [p.role for p in parts if isinstance(p, Slot)]


def _question(event, role, roles=None):
    """The question whose answer is `role`: "Where did Mara lose the red kite?"; None if there is no good one."""
    step, roles = event.step, roles or event.roles
    if step.subject == "{" + role + "}":
        return _say(f"Who {step.past} {step.rest}".strip(), roles) + "?"
    if "and {" in step.rest or "{" + role not in step.rest:
        return None
    word = {"PER": "Who", "LOC": "Where", "FEEL": "How"}.get(roles[role].kind, "How" if role == "ride" else "What")
    rest = re.sub(r"(the |a )?\{" + role + r"(\.\w+)?\}", "do" if role == "chore" else "", step.rest)
    subject = _say(step.subject, roles)
    subject = subject if step.subject.startswith("{") else subject[0].lower() + subject[1:]
    return " ".join(f"{word} did {subject} {step.base} {_say(rest, roles)}".split()) + "?"


def _answers(story):
    """{question: answers of all events that it fits}; a question is clear if it has one answer."""
    table = {}
    for event in story.events:
        for role in _slots(event) if event.step else ():
            if question := _question(event, role):
                table.setdefault(question, set()).add(event.roles[role])
    return table


def _clear_questions(story, kinds=None):
    """(event number, role, question) of each question with exactly one answer."""
    table = _answers(story)
    return [(i, role, q) for i, event in enumerate(story.events) if event.step for role in _slots(event)
            if (q := _question(event, role)) and len(table[q]) == 1
            and (kinds is None or event.roles[role].kind in kinds)]


def _swapped(roles, entity, other):
    """Roles with two entities in each other's place."""
    return {r: other if e is entity else entity if e is other else e for r, e in roles.items()}


def _people(story, event):
    return [event.roles[r] for r in _slots(event) if event.roles[r].kind == "PER"]


# ---- one function a task: (story, pick, label wanted) -> row, or None where this story can't give that row

def _topic(story, pick, label):
    return {"text": story.text, "label": label} if story.topic == label else None


def _signed(story):
    """(number, "good" or "bad") of the events that are good or bad news."""
    return [(i, "good" if "+" in e.step.signs else "bad") for i, e in enumerate(story.events)
            if e.step and ("+" in e.step.signs or "-" in e.step.signs)]


def _sentiment(story, pick, label):
    """A few sentences that end with good or bad news."""
    last = [i for i, sign in _signed(story) if sign == label and i]
    if not last:
        return None
    end = pick(last) + 1
    return {"text": " ".join(story.sentences[max(0, end - 4):end]), "label": label}


def _ending(story, pick, label):
    """One matter ends well and another badly: which comes last?  The words alone can't tell."""
    ends = {}                                     # plot -> (last event of its own that says how it ended, how)
    for i, sign in _signed(story):
        if sign == ("good" if story.events[i].good else "bad"):
            ends[story.events[i].plot] = (i, sign)
    ends = sorted(ends.values())
    fit = [(a, b) for a, b in zip(ends, ends[1:]) if a[1] != b[1] and b[1] == label]
    if not fit:
        return None
    end = pick(fit)[1][0] + 1
    return {"text": " ".join(story.sentences[:end]), "label": label}


HAPPENED = {"gift": ("give", "entrust"), "grief": ("grieve",), "illness": ("sicken",), "joy": ("rejoice",),
            "quarrel": ("quarrel", "mock"), "theft": ("snatch",), "work": ("hire", "apply", "enrol")}


def _happened(story, pick, label):
    """What is told in a few sentences: several labels, or none."""
    begin = pick(range(max(1, len(story.sentences) - 5)))
    steps = {e.step.name for e in story.events[begin:begin + 6] if e.step}
    labels = [name for name, names in HAPPENED.items() if steps & set(names)]
    return {"text": " ".join(story.sentences[begin:begin + 6]), "labels": labels}


def _order(story, pick, label):
    """Two neighbouring stretches of a story, as told or in exchanged places."""
    cut = 1 + pick(range(len(story.sentences) - 1))
    first, second = " ".join(story.sentences[max(0, cut - 3):cut]), " ".join(story.sentences[cut:cut + 3])
    if label == "swapped":
        first, second = second, first
    return {"text_a": first, "text_b": second, "label": label}


MUTUAL = {"quarrel", "silence", "make_up", "part", "celebrate", "laugh", "haggle", "swap"}     # A and B could change


def _fits(story, pick, label):
    """Does the next sentence fit, or have two people changed places in it?  Both have the same words."""
    choices = []
    for i, event in enumerate(story.events):
        here = [m for m in story.mentions if m.sentence == i and m.kind in ("PER", "PRON", "JOB")]
        people = {m.entity for m in here}
        if i > 1 and len(people) == len(here) == 2 and all(m.kind == "PER" for m in here):
            before = [m.entity for m in story.mentions if max(0, i - 3) <= m.sentence < i and m.kind == "PER"]
            if (people <= set(before) and event.plot == story.events[i - 1].plot and not event.lead
                    and event.step.name not in MUTUAL):
                choices.append((i, here))
    if not choices:
        return None
    i, (one, two) = pick(choices)
    text, start = story.sentences[i], story.starts[i]
    if label == "odd":
        a, b = (one.start - start, one.end - start), (two.start - start, two.end - start)
        text = text[:a[0]] + two.entity.text + text[a[1]:b[0]] + one.entity.text + text[b[1]:]
    return {"text_a": " ".join(story.sentences[max(0, i - 3):i]), "text_b": text, "label": label}


def _holder(story, pick, label):
    """Who has the thing when the text ends?  The claim names someone who had it or dealt with it."""
    choices = []
    for thing in story.things:
        moves = [(i, e) for i, event in enumerate(story.events) if event.step for e in event.step.effects
                 if event.roles[e[0]] is thing]
        if not moves or moves[-1][1][1] == "!":
            continue
        event, effect = story.events[moves[-1][0]], moves[-1][1]
        holder = event.roles[effect[2]] if effect[1] == ">" else None
        others = {p for e in story.events if e.step and thing in [e.roles[r] for r in _slots(e)]
                  for p in _people(story, e)} - {holder}
        named = [p for p in ([holder] if label == "yes" else sorted(others, key=lambda p: p.text)) if p]
        choices += [(thing, p) for p in named if story.mentions_of(p)]
    if not choices:
        return None
    thing, person = pick(choices)
    return {"text_a": story.text, "text_b": f"In the end {person.text} has {thing.phrase}.", "label": label}


ADS = ["[Special|Weekend] offer: buy one {o} and get another!", "Win a free {o}, just send your [bank|card] number!",
       "Click here for a cheap {o}, [no questions asked|satisfaction guaranteed]!",
       "[Congratulations|Dear customer], you have been selected for a prize: one {o} at no cost.",
       "Lose weight in ten days with our [miracle|secret] {o}!", "Call now and get your {o} at half price!",
       "Hurry, only one {o} left, [order|subscribe] before midnight!", "Earn money at home with a single {o}!"]


def _oddity(story, pick, label):
    """A story, or a story with an advertisement slipped in anywhere."""
    sentences = list(story.sentences)
    if label == "spam":
        ads = ADS[-2:] if story.split == "test" else ADS[:-2]
        thing = pick(story.things).text.split(" ", 1)[1]
        ad = "".join(thing if isinstance(p, Slot) else pick(p) if isinstance(p, tuple) else p
                     for p in compile_template(pick(ads)).parts)
        sentences.insert(pick(range(len(sentences) + 1)), ad)
    return {"text": " ".join(sentences), "label": label}


def _nli(story, pick, label):
    """A premise of two to four sentences and a hypothesis, with their label.

    Hypothesis: what happened in the premise, the same with a wrong person, thing, place or feeling (taken, as is
    usual, to speak of the same event), or what happened elsewhere to the same people.
    """
    count = len(story.sentences)
    begin = pick(range(count - 1))
    end = min(count, begin + 2 + pick(range(3)))
    inside = range(begin, end)
    named = {m.entity for m in story.mentions if m.sentence in inside and m.kind != "PRON"}
    happened = [story.events[i] for i in inside if story.events[i].step]
    true = {_statement(e) for e in happened}
    told = [e for e in happened if _slots(e) and {e.roles[r] for r in _slots(e)} <= named]
    if label == "neutral":
        verbs = {e.step.past for e in happened}
        told = [e for e in story.events if e.step and e.step.past not in verbs and _people(story, e)
                and {e.roles[r] for r in _slots(e) if e.roles[r].kind in ("PER", "OBJ", "LOC")} <= named]
    if not told:
        return None
    event = pick(told)
    roles = event.roles
    if label == "contradiction":
        role = pick(_slots(event))
        entity = roles[role]
        group = {"PER": story.people, "OBJ": story.things, "LOC": story.places}.get(entity.kind)
        if entity.kind == "FEEL":
            return _pair(story, begin, end, _say("{A} felt {sad}." if role == "glad" else "{A} felt {glad}.", roles),
                         label)
        if not group:
            return None
        roles = _swapped(roles, entity, pick([e for e in group if e is not entity]))
        if _statement(event, roles) in true or _statement(event, roles) == _statement(event):
            return None
    return _pair(story, begin, end, _statement(event, roles), label)


def _pair(story, begin, end, hypothesis, label):
    return {"text_a": " ".join(story.sentences[begin:end]), "text_b": hypothesis, "label": label}


TOKEN = re.compile(r"\w+(?:-\w+)*|[^\w\s]")


def _ner(story, pick, label):
    """One sentence as tokens with BIO tags."""
    i = pick(range(len(story.sentences)))
    spans = [(m.start - story.starts[i], m.end - story.starts[i], m.kind) for m in story.mentions
             if m.sentence == i and m.kind in NER_TYPES]
    tokens, tags = [], []
    for match in TOKEN.finditer(story.sentences[i]):
        span = next((s for s in spans if s[0] <= match.start() < s[1]), None)
        tokens.append(match.group())
        tags.append("O" if span is None else ("B-" if match.start() == span[0] else "I-") + span[2])
    return {"tokens": tokens, "tags": tags}


NER_TYPES = ("PER", "LOC", "OBJ", "JOB", "FOOD", "ANIMAL", "TIME")


def _span(story, entity, sentence):
    """The mention by name that answers best: in the sentence, else the last before, else the first after."""
    mentions = story.mentions_of(entity)
    return min(mentions, key=lambda m: (abs(m.sentence - sentence), m.sentence)) if mentions else None


def _qa(story, pick, label):
    """SQuAD 2.0 fields.  Impossible questions ask of one person what only another did."""
    clear = _clear_questions(story)
    if not clear:
        return None
    i, role, question = pick(clear)
    event, answers = story.events[i], {"text": [], "answer_start": []}
    if label == "impossible":
        asked = [event.roles[r] for r in _slots(event) if r != role]
        people = [e for e in asked if e.kind == "PER"]
        others = [p for p in story.people if p not in asked + [event.roles[role]] and story.mentions_of(p)]
        if not people or not others:
            return None
        other = pick(others)
        asked = {other if e is people[0] else e for e in asked}
        for e in story.events:                    # nothing told may be an answer, in whatever words
            if e.step and asked <= {e.roles[r] for r in e.step.templates[0].roles if r in e.roles} | {
                    e.roles[r] for r in _slots(e)} and (len(asked) > 1 or e.step.past == event.step.past):
                return None
        question = _question(event, role, _swapped(event.roles, people[0], other))
        if question in _answers(story):
            return None
    else:
        span = _span(story, event.roles[role], i)
        if span is None:
            return None
        answers = {"text": [story.text[span.start:span.end]], "answer_start": [span.start]}
    return {"id": f"{story.split}-{story.index}", "title": story.topic, "context": story.text, "question": question,
            "answers": answers, "is_impossible": label == "impossible"}


def _choice(story, pick, label):
    """Four answers of the same kind from the same world, one of them right."""
    clear = _clear_questions(story, ("PER", "OBJ", "LOC"))
    if not clear:
        return None
    i, role, question = pick(clear)
    answer = story.events[i].roles[role]
    group = {"PER": story.people, "OBJ": story.things, "LOC": story.places}[answer.kind]
    wrong = [e for e in group if e is not answer]
    if sum(bool(story.mentions_of(e)) for e in wrong) < 2:
        return None                               # too easy: only one candidate would be in the text
    choices = [wrong.pop(pick(range(len(wrong)))) for _ in range(3)]
    choices.insert(int(label), answer)
    return {"context": story.text, "question": question, "choices": [e.phrase for e in choices], "label": int(label)}


def _summary(story, pick, label):
    """A story's sentences; 1 marks a turning point, and these together are the summary."""
    labels = [int(bool(e.step) and "*" in e.step.signs) for e in story.events]
    return {"sentences": story.sentences, "labels": labels} if 0 < sum(labels) < len(labels) else None


def _retrieval(story, pick, label):
    """A question and the story that answers it; `story_dataset` keeps those that no other row answers."""
    rich = [q for i, r, q in _clear_questions(story) if len(_slots(story.events[i])) > 2]
    return {"query": pick(rich), "text": story.text, "id": str(story.index), "answered": set(_answers(story))} \
        if rich else None


# ---- the invented language: subject, other parts from last to first, verb; adjective and preposition follow the noun

VOWELS, CONSONANTS = "aeiou", "bdfghjklmnprstvz"


def invented(word):
    """The word of the invented language for an English one; names stay as they are."""
    if word[0].isupper():
        return word
    code, out = zlib.crc32(word.encode()), ""
    for _ in range(2 + code % 2):
        code, c = divmod(code, len(CONSONANTS))
        code, v = divmod(code, len(VOWELS))
        out += CONSONANTS[c] + VOWELS[v]
    return out + CONSONANTS[code % len(CONSONANTS)] * (code % 3 == 0)


def _noun(text):
    return [invented(w) for w in reversed(TOKEN.findall(text)) if w not in ("the", "a", "The", "A", "'")]


def _translation(story, pick, label):
    """A plain English sentence and its translation into the invented language."""
    events = [e for e in story.events if e.step]
    event = pick(events)
    phrases, before = [], ""
    for part in compile_template(event.step.rest).parts:
        if isinstance(part, Slot):
            entity = event.roles[part.role]
            lead = "to" if part.form == "to" else entity.lead
            phrases.append(_noun(entity.text) + _noun(f"{before} {lead}"))
            before = ""
        else:
            before += part
    if before.strip():
        phrases.append(_noun(before))
    subject = _noun(_say(event.step.subject, event.roles).replace("The ", "the ").replace("Water", "water"))
    words = subject + [w for phrase in reversed(phrases) for w in phrase] + [invented(event.step.base) + "ka"]
    target = " ".join(words)
    return {"source": _statement(event), "target": target[0].upper() + target[1:] + "."}


class Task(NamedTuple):
    kind: str                                     # classification, several (labels), tagging, qa, choice, summary, ...
    labels: tuple                                 # drawn equally often; ("",) where the row's label is no class
    columns: tuple
    row: object
    about: str


TASKS = {
    "topic": Task("classification", tuple(TOPICS), ("text", "label"), _topic, "where the story is set"),
    "sentiment": Task("classification", ("bad", "good"), ("text", "label"), _sentiment, "the last sentence's news"),
    "ending": Task("classification", ("bad", "good"), ("text", "label"), _ending, "does it end well or badly"),
    "oddity": Task("classification", ("plain", "spam"), ("text", "label"), _oddity, "is there an advertisement in it"),
    "order": Task("classification", ("forward", "swapped"), ("text_a", "text_b", "label"), _order, "which is first"),
    "fits": Task("classification", ("fits", "odd"), ("text_a", "text_b", "label"), _fits, "can text_b come next"),
    "holder": Task("classification", ("no", "yes"), ("text_a", "text_b", "label"), _holder, "who has the thing now"),
    "nli": Task("classification", ("contradiction", "entailment", "neutral"), ("text_a", "text_b", "label"), _nli,
                "does text_b follow from text_a"),
    "happened": Task("several", ("",), ("text", "labels"), _happened, "what happens, several labels of a text"),
    "ner": Task("tagging", ("",), ("tokens", "tags"), _ner, "people, places, things, jobs, food, animals, times"),
    "qa": Task("qa", ("answer", "answer", "impossible"), ("id", "title", "context", "question", "answers",
               "is_impossible"), _qa, "the span that answers, or none"),
    "choice": Task("choice", tuple("0123"), ("context", "question", "choices", "label"), _choice, "which of four"),
    "summary": Task("summary", ("",), ("sentences", "labels"), _summary, "the turning points"),
    "retrieval": Task("retrieval", ("",), ("query", "text", "id"), _retrieval, "the story that answers the query"),
    "translation": Task("translation", ("",), ("source", "target"), _translation, "into a language with other order"),
}


def story_dataset(task, n, seed=0, split="train"):
    """n labelled rows (dicts with the columns of TASKS[task]); classes come equally often, in random order."""
    if task not in TASKS:
        raise UserError(f"task {task!r} is unknown; expected one of {', '.join(TASKS)}")
    task, rows, wanted, asked, answered = TASKS[task], [], [], set(), set()
    rng = random.Random((seed << 1) + (split == "test"))
    def pick(items):
        return items[int(rng.random() * len(items))]
    for story in generate(LABELLED, seed, split, start=LABELLED):
        if len(rows) == n:
            return rows
        wanted = wanted or list(task.labels)
        label = pick(wanted)
        row = task.row(story, pick, label)
        if row and task.kind == "retrieval":      # a query must have one story that answers it
            answers = row.pop("answered")
            if row["query"] in answered or asked & answers:
                continue
            asked.add(row["query"])
            answered |= answers
        if row:
            rows.append(row)
            wanted.remove(label)


def story_rows(source, kind, seed=0, split="train"):
    """Rows of `stories:TASK` or `stories:TASK:N` (N rows, 500 if left out), a task of the given kind."""
    name, _, count = str(source).removeprefix("stories:").partition(":")
    if name not in TASKS or TASKS[name].kind != kind:
        known = [n for n, task in TASKS.items() if task.kind == kind]
        raise UserError(f"{source}: no built-in {kind} task {name!r}; expected one of {', '.join(known)}")
    if count and not (count.isdecimal() and int(count)):
        raise UserError(f"{source}: {count!r} rows; expected a whole number above 0")
    return story_dataset(name, int(count or 500), seed, split)
