"""The story world: a simulation that happens first, and a telling of it that follows.

A world has four people, four things and four places of one setting.  Plots (`plots`, `deeds`) happen in
it one after the other and change it: who holds what, what is lost where, the day, the weather.  A story tells two or
three of them from beginning to end.  What comes first is known by what the sentences say: lost before found, lent
before given back, Tuesday before Wednesday, "a red kite" before "the kite", "Mara the baker" before "she".

The telling keeps count of every mention, so all labels are exact.  Randomness: only `random.Random.random`, whose
stream Python promises to keep, seeded per story; story i of a seed never depends on the others.
"""

import functools
import random
import re
from typing import NamedTuple

from .deeds import DEEDS
from .plots import THINGS
from .words import (
    DAY_PARTS,
    GLAD,
    LOOKS,
    MEN,
    SAD,
    SETTINGS,
    TABLES,
    TOPICS,
    WEATHERS,
    WEEKDAYS,
    WOMEN,
    names,
)

PRONOUNS = {True: {"he": "she", "him": "her", "his": "her", "self": "herself"},
            False: {"he": "he", "him": "him", "his": "his", "self": "himself"}}
COLUMN_KINDS = {"dish": "FOOD", "treat": "FOOD", "crop": "FOOD", "animal": "ANIMAL", "thief": "ANIMAL"}
NIGHT = re.compile(r"night|dark|dawn|dusk|bed|morning|day|hour|week|noon|sun|star|lamp|candle|before|after", re.I)


class Entity:
    """One thing of the world: kind (PER, OBJ, LOC, FEEL, FOOD, ANIMAL, TIME, OTHER) and how it is called."""

    __slots__ = ("kind", "text", "short", "lead", "female", "job")

    def __init__(self, kind, text, short=None, lead="", female=None, job=None):
        self.kind, self.text, self.short, self.lead = kind, text, short, lead
        self.female, self.job = female, job

    def __repr__(self):
        return f"{self.kind}:{self.text}"

    @property
    def phrase(self):
        """With its article or preposition: "the red kite", "in the barn", "Mara"."""
        return self.lead + self.text


class Mention(NamedTuple):
    """Characters start:end of the story's text name `entity`; kind is its kind, JOB, or PRON for a pronoun."""

    start: int
    end: int
    kind: str
    entity: Entity
    sentence: int


class Event(NamedTuple):
    """What happened: a step of a plot (None: weather) and who or what plays each role."""

    step: "Step"
    roles: dict
    lead: tuple | None                            # (template, roles) of a clause that looks back, or None
    time: tuple | None                            # (weekday, part of the day), or None: the weather has none
    plot: int                                     # which plot of the world, counted
    good: bool                                    # whether that plot ends well
    weather: str = ""


class Step(NamedTuple):
    """One kind of event: the plain statement, its verb's two forms, the effect, and the ways to tell it."""

    name: str
    subject: str                                  # "{A}", "The {animal}", "Water"
    past: str
    base: str
    rest: str                                     # "{o} {P}"
    effects: tuple
    signs: str
    templates: list


class Plot(NamedTuple):
    name: str
    needs: list
    steps: list
    endings: list                                 # two lists of steps: ends well, ends badly
    leads: list                                   # two templates that look back on the end


class Template(NamedTuple):
    parts: list                                   # str | tuple of choices | (role, form)
    head: str                                     # the role that the sentence begins with, or ""
    people: frozenset                             # roles of people in it
    roles: frozenset
    any_time: bool                                # no word in it that could contradict a part of the day


class Slot(NamedTuple):
    role: str
    form: str


@functools.cache
def compile_template(text):
    """Cut a template into literal text, choices and slots."""
    parts = []
    for piece in re.split(r"(\{[^}]*\}|\[[^\]]*\])", text):
        if piece.startswith("{"):
            parts.append(Slot(*(piece[1:-1] + ".").split(".")[:2]))
        elif piece.startswith("["):
            parts.append(tuple(piece[1:-1].split("|")))
        elif piece:
            parts.append(piece)
    roles = frozenset(p.role for p in parts if isinstance(p, Slot))
    head = parts[0].role if parts and isinstance(parts[0], Slot) and parts[0].form == "" else ""
    return Template(parts, head, roles & {"A", "B", "C"}, roles, not NIGHT.search(text))


@functools.cache
def library():
    """(plots, steps) read from the two tables of plots."""
    plots, steps, step = {}, {}, None
    for line in (THINGS + DEEDS).splitlines():
        word, _, rest = line.partition(" ")
        if word == "plot":
            name, needs, course, leads = (cell.strip() for cell in rest.split("|"))
            begin, end = course.split(":")
            plots[name] = Plot(name, needs.split(), begin.split(), [e.split() for e in end.split("/")],
                               [compile_template(t.strip()) for t in leads.split("/")])
        elif word == "step":
            name, gist, effects, signs = (cell.strip() for cell in rest.split("|"))
            subject, past, base, tail = re.fullmatch(r"(\{A\}|\{B\}|\{C\}|.*?) (\w+)/(\w+) ?(.*)", gist).groups()
            step = steps[name] = Step(name, subject, past, base, tail, tuple(effects.split()), signs, [])
        elif line:
            step.templates.append(compile_template(line))
    return plots, steps


class Story:
    """Sentences, the events behind them (one each), every mention, and the topic."""

    def __init__(self, index, split, world):
        self.index, self.split, self.topic = index, split, world.topic
        self.people, self.things, self.places = world.people, world.things, world.places
        self.sentences, self.starts, self.events, self.mentions = [], [], [], []

    @property
    def text(self):
        return " ".join(self.sentences)

    def mentions_of(self, entity, pronouns=False):
        return [m for m in self.mentions if m.entity is entity and m.kind != "JOB"
                and (pronouns or m.kind != "PRON")]


class World:
    """The state that drives a story, and the chronicle of events in it."""

    def __init__(self, rng, split):
        self.random = rng.random
        self.topic = self.pick(TOPICS)
        setting = SETTINGS[self.topic]
        women, men = (self.sample(names(p, split), 2) for p in (WOMEN, MEN))
        jobs = self.sample(setting["jobs"], 4)
        self.people = [Entity("PER", n, female=i < 2, job=job) for i, (n, job) in enumerate(zip(women + men, jobs))]
        nouns, looks = self.sample(setting["things"], 4), self.sample(LOOKS, 4)
        if self.random() < 0.3:
            nouns[1] = nouns[0]                   # two things that differ by their look alone
        self.things = [Entity("OBJ", f"{look} {noun}", noun if nouns.count(noun) == 1 else f"{look} {noun}", "the ")
                       for look, noun in zip(looks, nouns)]
        self.places = [_place(p) for p in self.sample(setting["places"], 4)]
        self.spots = setting["spots"]
        self.holder = dict(zip(self.things, self.shuffled(self.people)))
        self.lost = {}                            # thing -> (owner, place, spot)
        self.clock = int(self.random() * 70)      # ten parts to a day, seven days
        self.signs, self.sky = WEATHERS[self.pick(sorted(WEATHERS))], int(self.random() * 5)
        self.events = []
        self.past = None                          # (look-back template, roles) of the plot before
        self.plot, self.plot_name, self.good = 0, "", False

    def pick(self, items):
        return items[int(self.random() * len(items))]

    def sample(self, items, n):
        items, chosen = list(items), []
        for _ in range(n):
            chosen.append(items.pop(int(self.random() * len(items))))
        return chosen

    def shuffled(self, items):
        return self.sample(items, len(items))

    def live(self, n):
        """Let plots happen until there are n events."""
        plots, steps = library()
        order = sorted(plots)
        while len(self.events) < n:
            plot = plots["discover"] if self.lost and self.random() < 0.4 else plots[self.pick(order)]
            if plot.name == self.plot_name or (roles := self.cast(plot)) is None:
                continue
            self.plot, self.plot_name, self.good = self.plot + 1, plot.name, self.random() < 0.5
            lead = self.past if self.past and self.past[1]["A"] in roles.values() else None
            for item in plot.steps + plot.endings[0 if self.good else 1]:
                if item[-1] == "?":
                    if self.random() < 0.45:
                        continue
                    item = item[:-1]
                for name in item.split("+"):
                    self.happen(steps[name], roles, lead if self.random() < 0.5 else None)
                    lead = None
            self.past = (plot.leads[0 if self.good else 1], roles)

    def cast(self, plot):
        """Roles for a plot in the present world, or None where it can't happen."""
        roles, past = {}, self.past[1] if self.past else {}
        people = self.shuffled(self.people)
        if past and self.random() < 0.7:          # mostly the story goes on with the same people
            known = [past["A"], past["B"]] if self.random() < 0.7 else [past["B"], past["A"]]
            people = known + [p for p in people if p not in known]
        if "lost" in plot.needs:
            if not self.lost:
                return None
            roles["o"] = self.pick(list(self.lost))
            owner, roles["P"], roles["spot"] = self.lost[roles["o"]]
            people = [owner] + [p for p in people if p is not owner]
        roles["A"], roles["B"], roles["C"] = people[:3]
        roles.setdefault("P", self.pick(self.places))
        roles.setdefault("spot", self.pick(self.spots))
        for need in plot.needs:
            who, _, role = need.partition(":")
            if role:
                held = [t for t, p in self.holder.items() if p is roles[who] and t not in roles.values()]
                if not held:
                    return None
                roles[role] = past["o"] if past.get("o") in held and self.random() < 0.7 else self.pick(held)
            elif need != "lost":
                columns = next(key for key in TABLES if key[0] == need)
                roles.update(zip(columns, _row(columns, int(self.random() * len(TABLES[columns])))))
        return roles

    def happen(self, step, roles, lead):
        if self.random() < 0.12:                  # the weather has a life of its own
            self.sky = (self.sky + 1) % 5
            self.events.append(Event(None, {}, None, None, self.plot, self.good, self.pick(self.signs[self.sky])))
        roles = dict(roles, glad=_feeling(self.pick(GLAD)), sad=_feeling(self.pick(SAD)))
        roles["Q"] = self.pick([p for p in self.places if p is not roles["P"]])
        for effect in step.effects:
            thing = roles[effect[0]]
            self.holder.pop(thing, None)
            self.lost.pop(thing, None)
            if effect[1] == ">":
                self.holder[thing] = roles[effect[2]]
            elif effect[1] == "~":
                self.lost[thing] = (roles["A"], roles["P"], roles["spot"])
        self.events.append(Event(step, roles, lead, (self.clock // 10 % 7, self.clock % 10), self.plot, self.good))
        self.clock += self.random() < 0.45


@functools.cache
def _place(phrase):
    lead, text = re.fullmatch(r"(\w+ (?:the )?)(.*)", phrase).groups()
    return Entity("LOC", text, lead=lead)


@functools.cache
def _feeling(word):
    return Entity("FEEL", word)


@functools.cache
def _row(columns, i):
    return tuple(Entity(COLUMN_KINDS.get(c, "OTHER"), cell) for c, cell in zip(columns, TABLES[columns][i]))


class Teller:
    """Tells events as sentences and notes every mention.

    Who or what is spoken of for the first time is called in full (Mara the baker, a red kite), later in short (Mara
    or she, the kite): one of the things that tell which of two segments came first.
    """

    def __init__(self, world, story):
        self.world, self.story = world, story
        self.subject, self.people, self.template, self.time = None, (), None, None
        self.heard = set()                        # whom and what the story has spoken of

    def tell(self, event, now, split):
        """Add the sentence for event number `now` to the story."""
        world, story = self.world, self.story
        self.out, self.new = [], []
        self.length = len(story.starts) and story.starts[-1] + len(story.sentences[-1]) + 1
        start = self.length
        if event.step is None:
            self.fill(compile_template(event.weather), {})
            people, subject = (), None
        else:
            templates = event.step.templates
            usual = len(templates) - (split == "train" and len(templates) > 2)
            chosen, roles = int(world.random() * usual), event.roles
            if templates[chosen] is self.template:  # the same step twice: another way to say it
                chosen = (chosen + 1) % usual
            template = self.template = templates[chosen]
            head = roles[template.head] if template.head in ("A", "B", "C") else None
            things = [roles[r] for r in ("o", "x") if r in template.roles]
            lead = event.lead
            if lead and (lead[1]["A"] is not head or any(lead[1].get(r) in things for r in lead[0].roles)):
                lead = None
            people = [roles[r] for r in template.people] + ([lead[1][r] for r in lead[0].people] if lead else [])
            if lead:
                self.fill(lead[0], lead[1])
                self.add(", ")
            elif head and event.time != self.time and world.random() < 0.6:
                self.say_time(event.time, template.any_time)
            self.pronoun = (head is not None and head is self.subject
                            and not any(p is not head and p.female is head.female for p in [*self.people, *people])
                            and world.random() < 0.6)
            self.fill(template, roles)
            subject = head
        text = "".join(self.out)
        at = 1 if text[0] == '"' else 0
        text = text[:at] + text[at].upper() + text[at + 1:]
        self.subject, self.people = subject, people
        story.sentences.append(text)
        story.starts.append(start)
        story.events.append(event)
        story.mentions += self.new

    def add(self, text):
        self.out.append(text)
        self.length += len(text)

    def name(self, text, kind, entity):
        self.new.append(Mention(self.length, self.length + len(text), kind, entity, len(self.story.sentences)))
        self.add(text)

    def say_time(self, time, any_time):
        self.time, day, (word, part) = time, WEEKDAYS[time[0]], DAY_PARTS[time[1]]
        if not any_time or self.world.random() < 0.15:
            self.add("on ")
            self.name(day, "TIME", _time(day))
        else:
            self.add(f"{word} the " if word == "in" else f"{word} ")
            self.name(part, "TIME", _time(part))
        self.add(", ")

    def fill(self, template, roles):
        random, first = self.world.random, True
        for part in template.parts:
            if type(part) is str:
                self.add(part)
            elif type(part) is tuple:
                self.add(part[int(random() * len(part))])
            else:
                self.slot(roles[part.role], part.form, first and part.role == template.head, random)
            first = False

    def slot(self, entity, form, head, random):
        if type(entity) is str:                   # a spot: "under the hay"
            return self.add(entity)
        kind, fresh = entity.kind, entity not in self.heard
        self.heard.add(entity)
        if kind == "PER":
            if form == "s":
                self.name(entity.text, kind, entity)
                self.add("'s")
            elif form:
                self.name(PRONOUNS[entity.female][form], "PRON", entity)
            elif head and self.pronoun:
                self.name(PRONOUNS[entity.female]["he"], "PRON", entity)
            else:
                self.name(entity.text, kind, entity)
                if fresh:
                    self.add(" the ")
                    self.name(entity.job, "JOB", entity)
        elif kind == "OBJ":
            self.add("the " if not fresh else "an " if entity.text[0] in "aeiou" else "a ")
            self.name(entity.text if fresh else entity.short, kind, entity)
        elif kind == "LOC":
            self.add("to the " if form == "to" and entity.lead.endswith("the ") else
                     "to " if form == "to" else entity.lead)
            self.name(entity.text, kind, entity)
        elif form == "low":
            self.add(entity.text[0].lower() + entity.text[1:])
        else:
            self.name(entity.text, kind, entity)


@functools.cache
def _time(text):
    return Entity("TIME", text)


def make_story(index, seed=0, split="train"):
    """Story number `index` of a seed and a split: the same on every machine."""
    rng = random.Random((seed << 40) + (index << 1) + (split == "test"))
    world = World(rng, split)
    world.live(5 + int(rng.random() ** 3 * 5))    # whole plots: the story begins with one and ends with one
    story = Story(index, split, world)
    teller = Teller(world, story)
    for i, event in enumerate(world.events[:12]):
        teller.tell(event, i, split)
    return story
