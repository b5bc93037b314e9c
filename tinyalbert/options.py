"""Options: one frozen dataclass per command, each field told once.

    @dataclass(frozen=True, kw_only=True)
    class GreetOptions(Options):
        name: str = option(None, "whom to greet", required=True)
        times: int = option(1, "how often", check=COUNT)

From such a class come the arguments and `--help` of a command (`add_arguments`), the options that a
user typed or wrote into a file (`from_arguments`: the command line beats the file, the file beats
the defaults), those of a Python call (`make`), the settings file of a run (`to_json`), and those of
a run that is resumed (`resume`).  Every way in ends in the same checks.

A wrong value is refused with its name, what was got, what was expected, and its flag.
"""

import argparse
import difflib
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path

from .checks import (  # noqa: F401 (commands tell their options with these)
    AMOUNT,
    ANYTHING,
    COUNT,
    LENGTH,
    SHARE,
    SWITCH,
    TEXT,
    WHOLE,
    WORDS,
    Anything,
    Check,
    Many,
    Number,
    OneOf,
    Switch,
    Text,
    shown,
)
from .errors import UserError
from .strict_json import read_json

# --- telling a field ------------------------------------------------------------------------------


@dataclass(frozen=True)
class About:
    """What is known of one option beside its name and default."""

    help: str
    check: Check
    flag: str | None = None  # of the command line, if it is not made from the name; "" for none
    metavar: str | None = None
    positional: bool = False  # named by its place on the command line, not by a flag
    required: bool = False
    group: str | None = None  # of the options of one group, at most one may be given
    free: bool = False  # may differ when a run is resumed


def option(default=None, help="", *, check=WORDS, **about):
    """A field of a command's dataclass; `about` is the rest of About.

    A default of None means "not given"; a default of False makes a switch.
    """
    if default is False:
        check = SWITCH
    return field(default=default, metadata={"about": About(help, check, **about)})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of every command's options: checks each value when one is made."""

    def __post_init__(self):
        for each in fields(self):
            value = _checked(each, getattr(self, each.name))
            object.__setattr__(self, each.name, value)
        for names in _groups(type(self)).values():
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) > 1:
                raise UserError(f"{' and '.join(given)} are given; expected at most one of them")


def _about(each):
    return each.metadata["about"]


def flag_of(each):
    """How an option is given on the command line, for example --batch-size; "" if it can't be."""
    about = _about(each)
    if about.positional:
        return each.name
    if about.flag is not None:
        return about.flag
    return "--" + each.name.replace("_", "-")


def _groups(Class):
    """{group: names of its fields}."""
    groups = {}
    for each in fields(Class):
        if _about(each).group:
            groups.setdefault(_about(each).group, []).append(each.name)
    return groups


def _checked(each, value):
    """The value of a field as it is kept; refuses what its check does not accept."""
    about = _about(each)
    flag = flag_of(each)
    if value is None:
        if about.required:
            raise UserError(f"{flag or each.name} is missing; expected {about.help}")
        return None
    try:
        return about.check.accept(value)
    except UserError:
        raise
    except (ValueError, TypeError):
        where = f" ({flag})" if flag.startswith("--") else ""
        raise UserError(
            f"{each.name} is {shown(value)}; expected {about.check.expected}{where}"
        ) from None


# --- the command line -----------------------------------------------------------------------------


def add_arguments(parser, Class, config=True, defaults=None):
    """Give a parser the arguments of a command's options, and --config for a file of them.

    What is not typed stays out of the parsed arguments, so that a file's values can stand.
    defaults: {name: value} that --help tells in place of the field's own default.
    """
    defaults = defaults or {}
    exclusive = {}
    for each in fields(Class):
        about = _about(each)
        flag = flag_of(each)
        if not flag:
            continue
        target = parser
        if about.group:
            if about.group not in exclusive:
                exclusive[about.group] = parser.add_mutually_exclusive_group()
            target = exclusive[about.group]
        target.add_argument(flag, **_argument(each, about, defaults.get(each.name, each.default)))
    if config:
        parser.add_argument(
            "--config",
            metavar="FILE",
            default=argparse.SUPPRESS,
            help="these options from a JSON or TOML file; what is typed here counts more",
        )


def _argument(each, about, default):
    """The keywords of argparse's add_argument for a field."""
    check = about.check
    how = {"help": _help(about, default), "default": argparse.SUPPRESS}
    if not about.positional:
        how["dest"] = each.name
    if about.metavar:
        how["metavar"] = about.metavar
    if isinstance(check, Switch):
        return {**how, "action": "store_true"}
    if isinstance(check, Many):
        how["nargs"] = "*"
        check = check.each
    elif about.positional:
        how["nargs"] = "?"
    if isinstance(check, OneOf):
        return {**how, "choices": check.words}
    if not isinstance(check, (Text, Anything)):
        how["type"] = check
    if not about.positional and "metavar" not in how:
        how["metavar"] = _metavar(check)
    return how


def _metavar(check):
    """The word for a value in --help."""
    if isinstance(check, Number):
        return "N" if check.kind is int else "X"
    return "TEXT"


def _help(about, default):
    text = about.help
    if about.required and not about.positional:
        text = f"{text} (required)"
    elif default not in (None, False, MISSING) and "default" not in text:
        text = f"{text} (default: {default})"
    return text.replace("%", "%%")


def from_arguments(Class, arguments):
    """The options that were typed, over those of --config, over the defaults."""
    return make(Class, given_by(Class, arguments))


def given_by(Class, arguments):
    """{name: value} of what was typed, over what stands in the file of --config."""
    names = {each.name for each in fields(Class)}
    typed = {name: value for name, value in vars(arguments).items() if name in names}
    path = getattr(arguments, "config", None)
    values = read_file(Class, path) if path else {}
    return over(Class, values, typed)


def over(Class, values, given):
    """{name: value} of both; where they differ, those of `given`.

    Of a group, what is given replaces the others too: --steps the file's minutes.
    """
    for group in _groups(Class).values():
        if any(given.get(name) is not None for name in group):
            values = {name: value for name, value in values.items() if name not in group}
    return {**values, **given}


# --- files and Python calls -----------------------------------------------------------------------


def make(Class, values, where=""):
    """The options with these values by name; an unknown name is refused, with those near it.

    where: the file they come from, for the message.
    """
    prefix = f"{where}: " if where else ""
    known = {each.name for each in fields(Class)}
    unknown = [name for name in values if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, 3, 0.5)
        all_names = ", ".join(sorted(known))
        hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {all_names}"
        raise UserError(f"{prefix}there is no option {unknown[0]!r}; {hint}")
    try:
        return Class(**values)
    except UserError as problem:
        raise UserError(f"{prefix}{problem}") from None


def read_values(path):
    """The values of a JSON or TOML file, as they stand there."""
    path = Path(path)
    if path.suffix != ".toml":
        return read_json(path, 'options, for example {"steps": 1000}')
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; expected JSON or TOML with options") from None
    except (ValueError, RecursionError) as problem:  # also of text that is not UTF-8
        raise UserError(f"{path} can't be read as TOML: {problem}") from None


def read_file(Class, path):
    """{name: value} of a JSON or TOML file with a command's options, checked.

    A flag's spelling (batch-size, max-length) is understood as well as the field's.
    """
    values = read_values(path)
    values = {_name_of(Class, name): value for name, value in values.items()}
    if "hidden_size" in values or "num_attention_heads" in values:
        raise UserError(
            f"{path} is a model's config.json; --config expects a command's options. "
            "For a model of your own size use --model-config"
        )
    required = {each.name: "?" for each in fields(Class) if _about(each).required}
    options = make(Class, {**required, **values}, where=str(path))
    return {name: getattr(options, name) for name in values}


def _name_of(Class, name):
    """The field's name for a name in a file."""
    for each in fields(Class):
        if name == flag_of(each).removeprefix("--"):
            return each.name
    return name.replace("-", "_")


def to_json(options):
    """{name: value} of all options, for a settings file."""
    return {each.name: _plain(getattr(options, each.name)) for each in fields(options)}


def _plain(value):
    """A value as JSON gives it back."""
    if is_dataclass(value):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def resume(options, saved, say=print, given=None, where="the saved settings"):
    """The options of a run that goes on: what it was begun with, apart from its free options.

    options: what was given beside --resume.  saved: `to_json` of the run's own, read back from the
    file `where`.  given: the names of the options that were given (by default: those that differ
    from their defaults).  A free option counts if it is given; where another is given, says that it
    is not followed.
    """
    if given is None:
        given = {
            each.name
            for each in fields(options)
            if _plain(getattr(options, each.name)) not in (None, _plain(each.default))
        }
    free = {each.name for each in fields(options) if _about(each).free}
    changed = {name: getattr(options, name) for name in free & set(given)}
    saved = over(type(options), saved, changed)
    kept = {}
    for each in fields(options):
        name = each.name
        if name not in saved or name in changed:
            continue
        kept[name] = saved[name]
        asked = _plain(getattr(options, name))
        if name in given and asked not in (None, saved[name]):
            say(f"resumed with {name} {saved[name]}, as the run began, not {asked}")
    try:
        return replace(options, **kept)
    except UserError as problem:
        raise UserError(f"{where}: {problem}") from None


# --- options that several commands share ----------------------------------------------------------


def device_option():
    """Where to compute."""
    return option("cpu", "where to compute", check=OneOf("cpu", "gpu"), free=True)


def threads_option():
    """How many replicas of the model."""
    help = "replicas of the model (default: one for each physical core)"
    return option(None, help, check=Number(int, 1, most=1024), free=True)


def precision_option():
    """What products are computed in."""
    help = (
        "what products are computed in; the weights stay float32 (bf16 also on some CPUs: doctor)"
    )
    names = ("fp32", "tf32", "fp16", "bf16", "bf16-emulated")
    return option("fp32", help, check=OneOf(*names), free=True)


def no_graphs_option():
    """Launch a GPU's step piece by piece."""
    help = "on a GPU, launch a step piece by piece in place of replaying it as a CUDA graph"
    return option(False, help, free=True)


def output_option(help, metavar="FOLDER"):
    """The folder, or file, that a command writes."""
    return option(None, help, required=True, free=True, metavar=metavar)


def resume_option():
    """Whether to go on with the run in the output folder."""
    return option(False, "go on with the run in --output, with its own settings", free=True)


def seed_option(help="of the random numbers"):
    """Where the random numbers begin."""
    return option(0, help, check=WHOLE)
