"""JSON with limits: what Python's json lets through and breaks later is refused, with its place."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import UserError
from tinyalbert.checks import COUNT, TEXT, Maybe, Named, checked, shown
from tinyalbert.strict_json import (
    DEEPEST,
    MOST_DIGITS,
    JSONDecodeError,
    decode_at,
    loads,
    read_json,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-10**30, 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=30)


@given(VALUES, st.booleans())
def test_what_json_can_say_is_read_as_json_reads_it(value, ascii):
    text = json.dumps(value, ensure_ascii=ascii)
    assert loads(text) == value
    assert decode_at("xx" + text + " ]", 2) == (value, 2 + len(text))


@pytest.mark.parametrize("text, words, line", [
    ('{"a": 1,\n "b": 2, "a": 3}', "the name 'a' stands twice", 2),
    ('[{"a": 1},\n{"b": {"c": 1, "c": 2}}]', "the name 'c' stands twice", 2),
    ("[1,\n" + "9" * (MOST_DIGITS + 1) + "]", f"a number of {MOST_DIGITS + 1} digits", 2),
    ("9" * 100_000, "a number of 100000 digits", 1),
    ("[" * 1_000_000, "in one another", 1),
    ("[" * 500 + "]" * 500, "in one another", 1),
    ('{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "in one another", 1),
    ("{" + ", ".join(f'"{i}": 0' for i in range(20_000)) + ', "7": 1}', "the name '7' stands twice", 1),
    ('["\n"]', "Invalid control character", 1),
    ("", "Expecting value", 1),
    ("[1] x", "Extra data", 1),
], ids=range(11))
def test_what_would_break_later_is_refused_with_its_place(text, words, line):
    with pytest.raises(JSONDecodeError, match=words) as refusal:
        loads(text)
    assert refusal.value.lineno == line


def test_what_is_at_a_limit_is_read():
    assert loads("9" * MOST_DIGITS) == int("9" * MOST_DIGITS)
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert json.dumps(loads(deep)) == deep
    wide = [[0]] * 1000
    assert loads(json.dumps(wide)) == wide


@pytest.mark.parametrize("text, value", [
    (r'"\ud800"', "\ufffd"), (r'["a\udc00b"]', ["a\ufffdb"]), (r'{"\uD83D": 1}', {"\ufffd": 1}),
    (r'"\ud83d\ude00"', "\U0001f600"), (r'"\\ud800"', "\\ud800"),
])
def test_every_string_can_be_written_again(text, value):
    assert loads(text) == value
    json.dumps(loads(text), ensure_ascii=False).encode()


@pytest.mark.parametrize("data, words", [
    (b"\xff\xfe{\x00}\x00", "no UTF-8 at byte 0"),
    (b'{"a": 1, "a": 1}', "stands twice.*line 1, column 10"),
    (b"[1]", "holds list; expected options"),
    (b'{"a":\n}', "not JSON.*line 2, column 1"),
    (b"", "not JSON"),
])
def test_a_file_is_refused_by_its_name(data, words, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=words) as refusal:
        read_json(path, "options")
    assert str(path) in str(refusal.value)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json") == {"a": 1}
    with pytest.raises(UserError, match="there is no file"):
        read_json(tmp_path / "y.json")
    with pytest.raises(UserError, match="can't be read"):
        read_json(tmp_path)


SCHEMA = {"steps": COUNT, "name": Maybe(TEXT), "sums": Named(COUNT), "of": {"seed": COUNT}}


@pytest.mark.parametrize("change, words", [
    ({"steps": 1.5}, "f.json, steps is 1.5; expected a whole number of at least 1"),
    ({"steps": True}, "steps is True"), ({"steps": "1"}, "steps is '1'"), ({"steps": None}, "steps is None"),
    ({"name": 3}, "name is 3; expected a text, or null"),
    ({"sums": [1]}, r"sums is \[1\]; expected an object, each value a whole number"),
    ({"sums": {"x": math.nan}}, "sums is {'x': nan}"),
    ({"of": 3}, "f.json, of is 3; expected a JSON object; begin again"),
    ({"of": {}}, "f.json, of has no seed"), ({"of": {"seed": -1}}, "f.json, of, seed is -1"),
])
def test_a_schema_names_what_is_wrong_and_where(change, words):
    good = {"steps": 1, "sums": {"x": 1}, "of": {"seed": 3}, "other": [None]}
    assert checked(good, SCHEMA, "f.json") is good
    with pytest.raises(UserError, match=words):
        checked({**good, **change}, SCHEMA, "f.json", "begin again")


@pytest.mark.parametrize("value", [10**5000, "x" * 10_000, [[[[[[[[]]]]]]]] * 100, {str(i): i for i in range(1000)}, math.nan],
                         ids=range(5))
def test_a_message_quotes_only_the_beginning_of_a_value(value):
    assert 0 < len(shown(value)) < 500
