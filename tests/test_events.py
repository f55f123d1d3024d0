"""The event record, its JSON and its published schema: three ways to say one thing."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tal_engine.errors import FeatureError
from tal_engine.events import SCHEMA_FILE, STATUSES, TYPES, Event
from tests.events import PLAN, event

SCHEMA = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

SECONDS = st.floats(-1e9, 1e9)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(TYPES),
        "id": st.text(max_size=8),
        "source": st.text(max_size=8),
        "label": st.text(max_size=8),
        "class_id": st.integers(-1, 5),
        "score": st.floats(-1, 2),
        "start_time": SECONDS,
        "end_time": SECONDS | st.none(),
        "status": st.sampled_from(STATUSES),
        "decided_at": SECONDS,
        "pts": SECONDS,
        "wall_time": st.none() | st.sampled_from(["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.25+00:00", "noon"]),
        "plan": st.sampled_from([PLAN, "sha256:", PLAN.upper()]),
        "truncated": st.booleans(),
        "start_clipped": st.booleans(),
        "schema": st.sampled_from(["tal.event/1"] * 9 + ["tal.event/2"]),
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
    in_order = found["end_time"] is None or found["end_time"] >= found["start_time"]  # JSON Schema cannot compare
    if VALIDATOR.is_valid(found) and in_order:
        assert Event.from_dict(found).to_dict() == found
    else:
        with pytest.raises(FeatureError, match="event: "):
            Event.from_dict(found)


BAD = [
    ("type", "begin"), ("type", ["new"]), ("id", ""), ("id", 7), ("source", None), ("label", ""), ("class_id", -1),
    ("class_id", True), ("class_id", "0"), ("score", "0.5"), ("score", True), ("start_time", None), ("end_time", "2"),
    ("status", "done"), ("status", {}), ("decided_at", None), ("pts", "1"), ("wall_time", "yesterday"),
    ("wall_time", "2026-01-31T12:00:00+01:00"), ("wall_time", 0), ("plan", "abc"), ("truncated", 1),
    ("start_clipped", None), ("type", "update"), ("end_time", None),
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
@pytest.mark.parametrize("name", ["score", "start_time", "end_time", "decided_at", "pts"])
def test_no_number_is_no_number(name, value):
    with pytest.raises(FeatureError, match=name):
        event(**{name: value})


def test_end_before_start():
    with pytest.raises(FeatureError, match=r"end_time is 0\.5, must be 1\.0 or later"):
        event(end_time=0.5)


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
