"""The cookbook of docs/archives.md: every query runs on the tables of a run, and what it writes is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tal_engine.batch.archive.listing import Item
from tal_engine.batch.archive.store import Store
from tal_engine.batch.archive.tables import Outcome, segment_rows, video_row
from tal_engine.batch.clips.found import clips_of

duckdb = pytest.importorskip("duckdb", reason="pip install '.[dev]'")
pytest.importorskip("pyarrow", reason="pip install '.[archive]'")

PAGE = Path(__file__).parents[3] / "docs" / "archives.md"
QUERIES = re.search(r"^```sql\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)[1]


def outcome(name, *segments, unlike=False):
    info = {"duration": 100.0, "fps": 25.0, "frames": 2500, "frames_lost": 0, "domain": 0.01 if unlike else 0.5,
            "out_of_domain": unlike, "warnings": [],
            "seconds": {"total": 10.0, "decode": 4.0, "encode": 5.0}}  # fmt: skip
    return Outcome(Item(name, name, 1, "1"), 1, {"segments": segments, "info": info})


@pytest.fixture
def ask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    store = Store("tables", {"plan": "a"}, "abc")
    outcomes = [
        outcome("a", (1.0, 2.0, "jump", 0.9, None), (5.0, 8.0, "squat", 0.8, None), (7.0, 9.0, "jump", 0.7, None)),
        outcome("b.mp4", (1.0, 2.0, "squat", 0.2, None), unlike=True),
        Outcome(Item("c", "c", 1, "1"), 2, None, "c: no frames", "VideoError: no_frames", 5),
    ]
    store.add([video_row(o) for o in outcomes], [r for o in outcomes for r in segment_rows(o, ["jump", "squat"])])
    store.close()
    with duckdb.connect() as connection:
        yield lambda text: connection.execute(text).fetchall()


def test_queries_answer_where_nothing_was_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("tables", {"plan": "a"}, "abc")
    store.add([video_row(outcome("a"))], [])
    store.close()
    with duckdb.connect() as connection:
        found = {s: connection.execute(s).fetchall() for s in QUERIES.split(";\n") if s.strip()}
    assert [rows for s, rows in found.items() if "videos without any action" in s] == [[("a", 100.0)]]


def test_every_query_answers(ask):
    statements = [s.strip() for s in QUERIES.split(";\n") if s.strip()]
    found = [ask(s) for s in statements]
    by = {re.sub(r"\s+", " ", s): rows for s, rows in zip(statements, found, strict=True)}

    def of(words):
        (rows,) = (rows for s, rows in by.items() if words in s)
        return rows

    assert of("seconds of each action") == [("jump", 2, 1, 3.0), ("squat", 1, 1, 3.0)]
    assert of("squats that follow") == [("a", 1.0, 5.0)]
    assert sorted(of("which action follows which")) == [("jump", "squat", 1), ("squat", "jump", 1)]
    assert of("two actions at the same time") == [("a", "jump", "squat", 1.0)]
    assert of("videos without any action") == [("b.mp4", 100.0)]
    assert of("AS share") == [("a", 0.06), ("b.mp4", 0.01)]
    assert of("what two plans") == [("jump", "abc", 2, 0.8), ("squat", "abc", 2, 0.5)]
    assert of("what failed") == [("VideoError: no_frames", 1, "c: no frames")]
    assert of("real time") == [(10.0, 8.0, 10.0)]
    assert of("unlike the plan") == [("b.mp4", 0.01)]
    assert [(c.video, c.label, c.start) for c in clips_of("chosen.csv")] == [
        ("a", "jump", 1.0),
        ("a", "squat", 5.0),
        ("a", "jump", 7.0),
    ]
