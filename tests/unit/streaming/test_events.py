"""The event record, its JSON and its published schema: three ways to say one thing."""

from __future__ import annotations

import json
import pickle
from dataclasses import MISSING, fields

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tal_engine.errors import FeatureError
from tal_engine.events import KINDS, SCHEMA_FILE, Event
from tests.events import PLAN, event

SCHEMA = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

SECONDS = st.floats(-1e9, 1e9)
EVENTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "id": st.text(max_size=8),
        "source": st.text(max_size=8),
        "label": st.text(max_size=8),
        "label_id": st.integers(-1, 5),
        "score": st.floats(-1, 2),
        "start": SECONDS,
        "end": SECONDS | st.none(),
        "decided_at": SECONDS,
        "pts": SECONDS,
        "wall_time": st.none() | st.sampled_from(["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.25+00:00", "noon"]),
        "plan": st.sampled_from([PLAN, "sha256:", PLAN.upper()]),
        "truncated": st.booleans(),
        "start_clipped": st.booleans(),
        "schema": st.sampled_from(["tal.event/2"] * 9 + ["tal.event/3"]),
    }
)


def test_schema_is_sound_and_has_the_same_fields():
    VALIDATOR.check_schema(SCHEMA)
    names = [f.name for f in fields(Event)]
    assert list(SCHEMA["properties"]) == [*names, "schema"]
    assert SCHEMA["required"] == [*(f.name for f in fields(Event) if f.default is MISSING), "schema"]
    assert SCHEMA["additionalProperties"] is False
    assert SCHEMA["properties"]["schema"]["const"] == Event.schema == SCHEMA["$id"]
    for f in fields(Event):
        assert SCHEMA["properties"][f.name].get("default", MISSING) == f.default


@given(EVENTS)
def test_record_and_schema_refuse_the_same(found):
    in_order = found["end"] is None or found["end"] >= found["start"]  # JSON Schema cannot compare
    if VALIDATOR.is_valid(found) and in_order:
        assert Event.from_dict(found).to_dict() == found
    else:
        with pytest.raises(FeatureError, match="event: "):
            Event.from_dict(found)


BAD = [
    ("kind", "begin"), ("kind", ["started"]), ("id", ""), ("id", 7), ("source", None), ("label", ""), ("label_id", -1),
    ("label_id", True), ("label_id", "0"), ("score", "0.5"), ("score", True), ("start", None), ("end", "2"),
    ("kind", None), ("kind", {}), ("decided_at", None), ("pts", "1"), ("wall_time", "yesterday"),
    ("wall_time", "2026-01-31T12:00:00+01:00"), ("wall_time", 0), ("plan", "abc"), ("truncated", 1),
    ("start_clipped", None), ("end", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_values_are_named_by_both(name, value):
    found = {**event().to_dict(), name: value}
    assert not VALIDATOR.is_valid(found)
    with pytest.raises(FeatureError, match=rf"event: {name} is "):
        Event.from_dict(found)


@pytest.mark.parametrize("name", SCHEMA["required"])
def test_missing_fields_are_named_by_both(name):
    found = event().to_dict()
    del found[name]
    assert not VALIDATOR.is_valid(found)
    with pytest.raises(FeatureError, match=name):
        Event.from_dict(found)


def test_unknown_field():
    found = {**event().to_dict(), "engine": "x"}
    assert not VALIDATOR.is_valid(found)
    with pytest.raises(FeatureError, match="unknown field 'engine'"):
        Event.from_dict(found)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["score", "start", "end", "decided_at", "pts"])
def test_no_number_is_no_number(name, value):
    with pytest.raises(FeatureError, match=name):
        event(**{name: value})


def test_end_before_start():
    with pytest.raises(FeatureError, match=r"end is 0\.5, must be 1\.0 or later"):
        event(end=0.5)


def test_json_is_one_line_and_comes_back():
    odd = event(label="two\nlines \u2028 é", source='rtsp://a/b\\c"d')
    line = odd.to_json()
    assert len(line.splitlines()) == 1
    assert Event.from_json(line) == Event.from_json(line.encode()) == odd
    assert hash(odd) == hash(Event.from_json(line))


def test_optional_fields_may_be_left_out():
    found = event().to_dict()
    del found["truncated"], found["start_clipped"]
    assert VALIDATOR.is_valid(found)
    assert Event.from_dict(found) == event()


@pytest.mark.parametrize("line", ["", "{", "[]", "3", '{"id": "a"}', b"\xff\xfe", '{"score": NaN}'])
def test_lines_that_are_no_events(line):
    with pytest.raises(FeatureError, match="event: "):
        Event.from_json(line)


# -- events of version 0.1 -----------------------------------------------------------------------

FORMER = json.loads((SCHEMA_FILE.parent / "event-1.schema.json").read_text())
PAIRS = [("new", "provisional", "started"), ("update", "provisional", "updated"), ("end", "final", "final"),
         ("end", "withdrawn", "withdrawn")]  # fmt: skip


def former(**changes):
    found = event().to_dict()
    for new, old in (("start", "start_time"), ("end", "end_time"), ("label_id", "class_id")):
        found[old] = found.pop(new)
    del found["kind"]
    return {"type": "end", "status": "final", **found, "schema": "tal.event/1", **changes}


@pytest.mark.parametrize(("kind", "status", "now"), PAIRS)
def test_events_of_0_1_are_read(kind, status, now):
    old = former(type=kind, status=status)
    jsonschema.Draft202012Validator(FORMER).validate(old)
    assert Event.from_dict(old) == event(kind=now)
    assert Event.from_json(json.dumps(old)) == event(kind=now)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "new"}, "type and status are"),
        ({"status": {}}, "type and status are"),
        ({"kind": "final"}, "unknown field 'kind'"),
        ({"start": 1.0}, "unknown field 'start'"),
        ({"engine": 1}, "unknown field 'engine'"),
        ({"class_id": -1}, "class_id is -1"),
        ({"start_time": "x"}, "start_time is 'x', must be a finite"),
        ({"end_time": -1.0}, "end_time is -1.0, must be"),
        ({"score": None}, "score is None"),
    ],
)
def test_bad_events_of_0_1(changes, words):
    with pytest.raises(FeatureError, match=words):
        Event.from_dict(former(**changes))


@pytest.mark.parametrize("name", ["type", "status", "start_time", "class_id"])
def test_events_of_0_1_lack_nothing(name):
    found = former()
    del found[name]
    with pytest.raises(FeatureError, match=f"field '{name}' is missing"):
        Event.from_dict(found)


@pytest.mark.parametrize(("kind", "status", "now"), PAIRS)
def test_events_that_0_1_pickled(kind, status, now):
    """Its pickles hold the values in the order of its fields."""
    old = former(type=kind, status=status)
    names = ("type", "id", "source", "label", "class_id", "score", "start_time", "end_time", "status", "decided_at",
             "pts", "wall_time", "plan", "truncated", "start_clipped")  # fmt: skip
    found = Event.__new__(Event)
    found.__setstate__([old[n] for n in names])
    assert found == event(kind=now)
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(FeatureError):
        Event.__new__(Event).__setstate__(["end"])
