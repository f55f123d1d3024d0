"""Text, JSON and CSV from outside: whatever is in it, the file is named and nothing else escapes."""

from __future__ import annotations

from functools import partial

import pytest

from tal_engine._util.untrusted import LISTED, listed, parse_json, read_csv, read_json, read_text
from tal_engine.errors import FeatureError, PlanError, PlanFault, SnapshotError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marks_of_encodings_are_dropped(encoding, tmp_path):
    (tmp_path / "a.json").write_bytes('{"é": [1, 2.5, null]}'.encode(encoding))
    assert read_json(tmp_path / "a.json", "JSON file") == {"é": [1, 2.5, None]}
    (tmp_path / "a.csv").write_bytes("video,é\na,1\n".encode(encoding))
    assert read_csv(tmp_path / "a.csv", "table") == [(2, {"video": "a", "é": "1"})]
    (tmp_path / "a.txt").write_bytes("é\n".encode(encoding))
    assert read_text(tmp_path / "a.txt", "list") == "é\n"


def test_mark_in_a_str():
    assert parse_json('\ufeff{"a": 1}', "x") == {"a": 1}


HOSTILE = {
    "twice": '{"a": 1, "a": 2}',
    "twice, deep": '[{"b": {"a": 1, "a": 2}}]',
    "nan": "[NaN]",
    "infinity": '{"a": -Infinity}',
    "overflow": "[1e999]",
    "huge integer": "[" + "9" * 5000 + "]",
    "integer of 65 bits": f"[{2**64}]",
    "overflows the stack": "[" * 1_000_000,
    "overflows the stack with objects": '{"a":' * 100_000,
    "deep": "[" * 65 + "]" * 65,
    "half a pair": r'["\ud800"]',
    "half a pair as a key": r'{"\uDC00": 1}',
    "half a pair as it is": '["\ud800"]',
    "not utf-8": b'["\xff"]',
    "not utf-16": b"\xff\xfe\x00\xd8",
    "cut": '{"a": [1,',
    "empty": "",
    "bytes before": b"\x00{}",
    "two values": "{} {}",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_json_is_the_callers_error(what):
    with pytest.raises(SnapshotError, match=r"^some\.json: not "):
        parse_json(HOSTILE[what], "some.json", SnapshotError)


def test_what_is_allowed():
    assert parse_json("[" * 64 + "]" * 64, "x") is not None
    assert parse_json(f"[{2**64 - 1}, {-(2**63)}, -0.0, 1e308]", "x") == [2**64 - 1, -(2**63), -0.0, 1e308]
    assert parse_json(r'["\ud83d\ude00"]', "x") == ["\U0001f600"]
    assert parse_json('{"a": NaN}', "x", finite=False)["a"] != 0
    with pytest.raises(FeatureError, match="at most 4 are read"):
        parse_json("[1,2]", "x", limit=4)


def test_an_error_that_needs_more_than_a_message():
    with pytest.raises(PlanError) as e:
        parse_json("{", "p", partial(PlanError, PlanFault.BAD_MANIFEST))
    assert e.value.fault is PlanFault.BAD_MANIFEST


def test_a_million_names_are_checked_in_linear_time():
    text = "{" + ",".join(f'"{i}": 0' for i in range(200_000)) + ', "7": 1}'
    with pytest.raises(FeatureError, match="'7' is there twice"):
        parse_json(text, "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b,a\n1,2,3\n", "column 'a' is there twice"),
        (b'a,b\n"' + b"x" * 200_000 + b'",1\n', "field larger than field limit"),
        (b"a,b\n\xff,1\n", "not a text file"),
    ],
)
def test_bad_csv(data, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(FeatureError, match=message) as e:
        read_csv(path, "table")
    assert str(e.value).startswith(str(path))


def test_rows_of_another_length(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1\n\n1,2,3\n")
    assert read_csv(tmp_path / "t.csv", "t") == [(2, {"a": "1", "b": None}), (4, {"a": "1", "b": "2"})]


def test_files_that_are_not_there_or_too_large(tmp_path):
    with pytest.raises(FeatureError, match="no such table") as e:
        read_csv(tmp_path / "none.csv", "table")
    assert e.value.exit_code == 5
    with pytest.raises(FeatureError, match="directory"):
        read_text(tmp_path, "table")
    (tmp_path / "big").write_bytes(b"x" * (2 << 20))
    with pytest.raises(FeatureError, match="larger than 1 MiB"):
        read_text(tmp_path / "big", "table", limit=1 << 20)


def test_many_problems_are_counted():
    assert listed(["a", "b"]) == "a; b"
    assert listed([str(i) for i in range(LISTED + 5)]).endswith("9; and 5 more")
