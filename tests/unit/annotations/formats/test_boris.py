"""BORIS: it opens what we write and finds the same events; what it exports, we read."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.formats import Annotation, AnnotationTable, Media, boris_tables, read, write
from tal_engine.errors import DataError

needs_boris = pytest.mark.skipif(importlib.util.find_spec("boris") is None, reason="boris-behav-obs is not installed")


def judge(path, folder):
    script = Path(__file__).with_name("boris_judge.py")
    done = subprocess.run(
        [sys.executable, script, path, folder], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


TABLE = AnnotationTable.of(
    [
        Annotation("a.mp4", "groom", 1.0, 5.0, "mouse 1", 0.5, "sure"),
        Annotation("a.mp4", "groom", 5.0, 6.25, "mouse 1"),
        Annotation("a.mp4", "groom", 2.0, 3.0, "mouse 2"),
        Annotation("a.mp4", "rear", 0.0, 30.0),
        Annotation("a.mp4", "click", 4.5),
        Annotation("b.mp4", "rear", 1 / 3, 2 / 3),
    ],
    {"a.mp4": Media("a.mp4", 30.0, 25.0), "b.mp4": Media("b.mp4", 10.0, 30.0)},
)


def key(r):
    return r.video, r.label, r.subject, round(r.start, 3), -1 if r.end is None else round(r.end, 3)


@needs_boris
def test_boris_finds_what_we_write(tmp_path):
    path = tmp_path / "x.boris"
    assert write(TABLE, path) == ()
    found = judge(path, tmp_path)
    assert found["unpaired"] == []
    wanted = {(r.subject or "No focal subject", r.label, r.start, r.end or r.start) for r in TABLE}
    # Columns of its aggregated events, counted from the end: comments, paths, indices, media, duration, stop, start.
    events = {
        (subject, label, round(float(start), 3), round(float(stop), 3))
        for row in found["aggregated"]
        for subject, label, start, stop in [picked(row)]
    }
    assert events == {(s, label, round(a, 3), round(b, 3)) for s, label, a, b in wanted}
    again = [r for name in ("a", "b") for r in read(tmp_path / f"{name}.csv")]
    assert sorted(map(key, again)) == sorted(map(key, TABLE))
    with (tmp_path / "aggregated.csv").open("w", newline="") as file:  # BORIS's window puts these names above the rows
        csv.writer(file).writerows([boris_tables._AGGREGATED, *found["aggregated"]])
    assert sorted(map(key, read(tmp_path / "aggregated.csv"))) == sorted(map(key, TABLE))
    scored = next(r for r in again if r.score is not None)
    assert (scored.score, scored.comment) == (0.5, "sure")


def picked(row):
    """Subject, behaviour, start and stop of an aggregated row, whose first columns depend on the observation."""
    kind = next(k for k, cell in enumerate(row) if cell in {"STATE", "POINT"})
    at = kind - 2  # behaviour and category stand before the kind
    return row[at - 2], row[at], row[kind + 1], row[kind + 2]


rows = st.lists(
    st.tuples(st.sampled_from(["groom", "rear"]), st.sampled_from(["", "m1"]), st.integers(0, 400), st.integers(0, 90)),
    min_size=1, max_size=12,
)  # fmt: skip


@pytest.mark.parametrize("name", ["boris", "boris-tabular", "boris-aggregated"])
@given(drawn=rows)
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, name, drawn):
    table = AnnotationTable.of(
        Annotation("v.mp4", label, a / 25, (a + n) / 25 if n else None, subject) for label, subject, a, n in drawn
    )
    path = tmp_path_factory.mktemp("b") / ("x.boris" if name == "boris" else "x.csv")
    losses = write(table, path, name)
    found = read(path)
    assert len(found) == len(table) - sum(int(words.split(" x ")[0]) for words in losses if "merged" in words)
    for subject in ("", "m1"):  # whoever did it, the moments that are covered are the same ones
        for label in ("groom", "rear"):
            covered = [
                {k for r in t if r.label == label and r.subject == subject and r.end is not None
                 for k in range(round(r.start * 25), round(r.end * 25))}
                for t in (table, found)
            ]  # fmt: skip
            assert covered[0] == covered[1]
    again = path.with_name(f"again{path.suffix}")
    assert not any("merged" in words for words in write(found, again, name))
    assert sorted(map(key, read(again))) == sorted(map(key, found))


def project(tmp_path, events, offset=0.0, files=("a.mp4",), lengths=(10.0,)):
    kinds = {"groom": "State event", "click": "Point event"}
    document = {
        "behaviors_conf": {str(k): {"code": c, "type": t} for k, (c, t) in enumerate(kinds.items())},
        "observations": {
            "first": {
                "file": {"1": [f"/data/{f}" for f in files]}, "time offset": offset, "events": events,
                "media_info": {"length": {f"/data/{f}": n for f, n in zip(files, lengths, strict=True)}, "fps": {}},
            }
        },
    }  # fmt: skip
    path = tmp_path / "x.boris"
    path.write_text(json.dumps(document))
    return path


def test_an_observation_of_two_files_is_two_videos(tmp_path):
    events = [[8.0, "", "groom", "", ""], [12.0, "", "groom", "", ""], [15.0, "", "click", "", ""]]
    found = read(project(tmp_path, events, files=("a.mp4", "b.mp4"), lengths=(10.0, 20.0)))
    assert [(r.video, r.label, r.start, r.end) for r in found] == [
        ("a.mp4", "groom", 8, 10), ("b.mp4", "groom", 0, 2), ("b.mp4", "click", 5, None)
    ]  # fmt: skip


def test_the_time_offset_is_taken_off(tmp_path):
    events = [[103.0, "m", "groom", "on paw", ""], [104.0, "m", "groom", "on paw", ""]]
    (found,) = read(project(tmp_path, events, offset=100.0))
    assert (found.start, found.end, found.subject, found.comment) == (3, 4, "m", "modifiers=on paw")


def test_a_start_without_a_stop_is_said(tmp_path):
    found = read(project(tmp_path, [[3.0, "", "groom", "", ""], [4.0, "", "click", "", ""]]))
    assert [r.label for r in found] == ["click"]
    assert found.notes == ("1 x 'groom' that starts and never stops left out (observation 'first')",)


def test_compressed_projects_are_read(tmp_path):
    path = project(tmp_path, [[4.0, "", "click", "", ""]])
    with gzip.open(tmp_path / "y.boris.gz", "wb") as file:
        file.write(path.read_bytes())
    assert read(tmp_path / "y.boris.gz") == read(path)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([[1.7e9, "", "click", "", ""]], "no time of a video"),
        ([[1.0, "", "sniff", "", ""]], "'sniff' is not in the ethogram"),
        ([["x", "", "click", "", ""]], "not a BORIS project"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path, events, said):
    with pytest.raises(DataError, match=said):
        read(project(tmp_path, events))


def test_tables_of_older_versions_are_read(tmp_path):
    (tmp_path / "x.csv").write_text(
        "Observation id,first\n\nMedia file(s)\n\n"
        "Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Modifiers,Comment,Status\n"
        "1.5,/data/a.mp4,30,25,m1,groom,,,,START\n2.5,/data/a.mp4,30,25,m1,groom,,,,STOP\n"
        "3.0,/data/a.mp4,30,25,,click,,,hm,POINT\n"
    )
    found = read(tmp_path / "x.csv")
    assert [(r.video, r.label, r.subject, r.start, r.end) for r in found] == [
        ("a.mp4", "groom", "m1", 1.5, 2.5), ("a.mp4", "click", "", 3.0, None)
    ]  # fmt: skip
