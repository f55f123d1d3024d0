"""The table of annotations, conversion, the report of what is lost, and formats of a line an annotation."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.formats import Annotation, AnnotationTable, FrameClock, convert, read, write
from tal_engine.annotations.formats.registry import all_formats, named, readable, writable
from tal_engine.annotations.formats.table import lanes
from tal_engine.errors import DataError, UsageError
from tests.integration.test_cli import tal

ROWS = (
    Annotation("a.mp4", "jump", 1.0, 2.0, score=0.5),
    Annotation("a.mp4", "run, high", 0.04, 1.5, subject="mouse 1", comment='says "no"'),
    Annotation("b.mp4", "jump", 3.25),
    Annotation("b.mp4", "Läufer"),
)
TABLE = AnnotationTable.of(ROWS)
#: Labels that no format here changes.
NAMES = st.text("abcXYZ-äß9", min_size=1, max_size=8).filter(str.strip)


def segments(step, names=NAMES):
    """Tables of segments of one video whose times are multiples of `step` seconds, at least one step long."""
    row = st.tuples(names, st.integers(0, 5000), st.integers(1, 500))
    return st.lists(row, min_size=1, max_size=12).map(
        lambda rows: AnnotationTable.of(
            Annotation("v", label, first * step, (first + length) * step) for label, first, length in rows
        )
    )


def times(table):
    return sorted((r.label, r.start, -1.0 if r.end is None else r.end) for r in table)


def same(a, b, within=1e-9):
    return [x[0] for x in times(a)] == [x[0] for x in times(b)] and np.allclose(
        [x[1:] for x in times(a)], [x[1:] for x in times(b)], rtol=0, atol=within
    )


def test_a_row_is_what_its_times_say():
    assert [r.kind for r in ROWS] == ["segment", "segment", "point", "video"]
    assert TABLE.kinds.tolist() == ["segment", "segment", "point", "video"]
    assert list(TABLE) == list(ROWS)
    assert TABLE.videos == ("a.mp4", "b.mp4")
    assert [r.label for r in TABLE.of_video("a.mp4")] == ["run, high", "jump"]


@pytest.mark.parametrize("name", ["csv", "tsv", "parquet"])
def test_tables_hold_everything(tmp_path, name):
    if name == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"x.{name}"
    assert write(TABLE, path) == ()
    assert read(path) == TABLE
    again = tmp_path / f"y.{name}"
    write(read(path), again)
    if name != "parquet":
        assert again.read_bytes() == path.read_bytes()


@given(table=segments(1 / 7), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_a_large_table_is_read_as_a_small_one(table, seed, tmp_path_factory):
    from tal_engine.annotations.formats import tabular

    path = tmp_path_factory.mktemp("t") / "x.csv"
    write(table, path)
    text = path.read_text()
    fast = tabular._by_pandas(text.encode(), ",", list(tabular.COLUMNS), path)
    slow = tabular._by_csv(text, ",", path)
    assert tabular.checked(fast, path) == tabular.checked(slow, path) == table


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,label,start,end\na,b,1,x\na,b,y,2\n", ["line 2: end is 'x'", "line 3: start is 'y', must be a number"]),
        (
            "video,label,start,end\na,b,2,1\n,b,1,2\na,,1,2\n",
            ["line 2: its end is not after", "line 3: no video", "line 4"],
        ),
        (
            "video,label,start,end\na,b,,1\na,b,-1,1\na,b,1,inf\n",
            ["an end without a start", "before 0", "not finite"],
        ),
        ("video,label,start,end\na,b,1\n", ["line 2: 3 cells, the first line has 4"]),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_every_bad_row_is_named(tmp_path, monkeypatch, text, said, large):
    from tal_engine.annotations.formats import tabular

    monkeypatch.setattr(tabular, "_LARGE", 0 if large else 1 << 20)
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError) as e:
        read(path)
    assert all(words in str(e.value) for words in said), e.value


LINES = {
    "audacity": ("x.txt", 1e-6),
    "rttm": ("x.rttm", 1e-6),
    "sed": ("x.tsv", 1e-6),
    "srt": ("x.srt", 5e-4),
    "vtt": ("x.vtt", 5e-4),
    "activitynet": ("x.json", 1e-6),
}


@pytest.mark.parametrize("name", LINES)
@given(table=segments(1 / 29.97))
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, name, table):
    ending, within = LINES[name]
    path = tmp_path_factory.mktemp("t") / ending
    assert write(table, path, name) == ()
    first = read(path, name)
    assert same(first, table, within + 1e-9)
    again = path.with_name(f"again{path.suffix}")
    write(first, again, name)
    assert same(read(again, name), first)  # nothing moves a second time
    clock = FrameClock(29.97)
    for row, exact in zip(sorted(first, key=key), sorted(table, key=key), strict=True):
        assert clock.frames(row.start, row.end) == clock.frames(exact.start, exact.end)


def key(row):
    return row.label, round(row.start, 3), round(row.end, 3)


def test_the_report_counts_what_is_lost(tmp_path):
    path, output = tmp_path / "x.csv", tmp_path / "y.rttm"
    write(TABLE, path)
    report = convert(path, output)
    assert (report.rows, report.written, report.source, report.target) == (4, 2, "csv", "rttm")
    assert any(words.startswith("1 x a point in time left out") for words in report.losses)
    assert any(words.startswith("1 x a label of a whole video left out") for words in report.losses)
    assert any("a subject left out" in words for words in report.losses)
    assert convert(path, tmp_path / "z.tsv").losses == ()
    assert convert(path, tmp_path / "z.tsv").largest_shift_s == 0


def test_files_of_one_video_go_into_a_folder(tmp_path):
    two = TABLE.where(TABLE.kinds != "video")
    with pytest.raises(UsageError, match="holds one video a file and there are 2"):
        write(two, tmp_path / "x.txt", "audacity")
    write(two, tmp_path / "folder", "audacity")
    assert {p.name for p in (tmp_path / "folder").iterdir()} == {"a.txt", "b.txt"}
    assert times(read(tmp_path / "folder", "audacity")) == times(two)
    assert read(tmp_path / "folder", "audacity").videos == ("a", "b")


def test_videos_that_would_share_a_file_are_refused(tmp_path):
    table = AnnotationTable.of([Annotation("a/b.mp4", "x", 0, 1), Annotation("a/b.avi", "x", 0, 1)])
    with pytest.raises(UsageError, match=r"'a/b.mp4' and 'a/b.avi' would both"):
        write(table, tmp_path / "out", "srt")


def test_formats_are_told_by_their_files(tmp_path):
    one = TABLE.where(np.array([0]))
    for form in writable():
        if form.name == "parquet" or (form.name == "nwb" and find_spec("ndx_ethogram") is None):
            continue
        path = tmp_path / f"{form.name}{form.suffixes[0]}"
        write(one, path, form.name, fps=25)
        told = read(path, fps=25)
        assert [(r.label, r.start, r.end) for r in told] == [("jump", 1.0, 2.0)] or form.name == "chapters", form.name
    assert len({f.name for f in all_formats()}) == len(all_formats())
    assert set(writable()) | set(readable()) == set(all_formats())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: read(p / "none.eaf"), "no such annotation file"),
        (lambda p: read(p / "x.bin"), "of no known format; say which with --from"),
        (lambda p: read(p / "x.bin", "elephant"), "format 'elephant', must be one of"),
        (lambda p: write(TABLE, p / "x.txt"), "say which with --to"),
        (lambda p: write(TABLE, p / "x.jsonl", "jsonl"), "is read only"),
        (lambda p: convert(p / "x.csv", p / "x.csv"), "is the input itself"),
    ],
)
def test_errors_name_what_is_allowed(tmp_path, call, said):
    (tmp_path / "x.bin").write_bytes(b"\0\1")
    write(TABLE, tmp_path / "x.csv")
    with pytest.raises((DataError, UsageError), match=said):
        call(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=15))
def test_lanes_are_as_few_as_can_be(pairs):
    table = AnnotationTable.of(Annotation("v", "a", s, s + d) for s, d in pairs)
    parts = lanes(table)
    assert sum(map(len, parts)) == len(table)
    for part in parts:
        assert all(a.end <= b.start for a, b in pairwise(part))
    deepest = max((sum(s <= t < s + d for s, d in pairs) for t in range(61)), default=0)
    assert len(parts) == deepest


@given(st.integers(0, 10**6), st.sampled_from([25.0, 29.97, 30000 / 1001, 23.976, 60.0, 1000 / 3]))
def test_times_rounded_to_milliseconds_are_their_frames(frame, fps):
    clock = FrameClock(fps)
    assert clock.boundary(round(clock.seconds(frame), 3)) == frame
    assert clock.frames(clock.seconds(frame), clock.seconds(frame) + 1e-6) == (frame, frame + 1)


@given(st.lists(st.floats(0.001, 0.2), min_size=1, max_size=50), st.data())
def test_a_variable_rate_is_counted_by_its_times(steps, data):
    at = [0.0, *np.cumsum(steps).tolist()]
    clock = FrameClock(30.0, at)
    frame = data.draw(st.integers(0, len(at) + 5))
    assert clock.boundary(clock.seconds(frame)) == frame
    moment = data.draw(st.floats(0, at[-1]))
    assert clock.boundary(moment) == min(range(len(at)), key=lambda k: (abs(at[k] - moment), -k))


@pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf])
def test_a_rate_must_be_a_rate(fps):
    with pytest.raises(UsageError, match="frames a second"):
        FrameClock(fps)


def test_the_command(tmp_path):
    write(TABLE, tmp_path / "x.csv")
    done = tal("convert", str(tmp_path / "x.csv"), "-o", str(tmp_path / "y.rttm"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["written"] == 2
    kept = (tmp_path / "y.rttm").read_bytes()
    again = tal("convert", str(tmp_path / "x.csv"), "-o", str(tmp_path / "y.rttm"), "--fps", "25")
    assert "is there already; --overwrite replaces it" in " ".join(again.stderr.split())
    assert (again.returncode, (tmp_path / "y.rttm").read_bytes()) == (2, kept)
    strict = tal("convert", str(tmp_path / "x.csv"), "-o", str(tmp_path / "y.rttm"), "--overwrite", "--strict")
    assert strict.returncode == 3
    assert "1 x a point in time left out" in strict.stderr
    listed = tal("convert", "--formats", "--json")
    assert {f["name"] for f in json.loads(listed.stdout)} == {f.name for f in all_formats()}
    assert named("csv").read is not None


@pytest.mark.parametrize("large", [False, True])
def test_the_word_nan_is_no_time_and_a_video_without_actions_stays(tmp_path, monkeypatch, large):
    from tal_engine.annotations.formats import tabular

    monkeypatch.setattr(tabular, "_LARGE", 0 if large else 1 << 20)
    path = tmp_path / "x.csv"
    path.write_text("video,start,end,label\na,NaN,NaN,b\n")
    with pytest.raises(DataError, match="start is 'NaN', must be a number"):
        read(path)
    path.write_text("video,start,end,label,comment\na,1,2,b,\nempty,,,,\n")
    found = read(path)
    assert [r.video for r in found] == ["a"]
    assert found.videos == ("a", "empty")
    assert "nothing happens" in found.notes[0]


def test_videos_that_lose_their_names_are_said(tmp_path):
    write(AnnotationTable.of([Annotation("day1/a.mp4", "jump", 1.0, 2.0)]), tmp_path / "x.csv")
    report = convert(tmp_path / "x.csv", tmp_path / "y.srt")
    assert any("'day1/a'" in words and words.startswith("1 x a video is called otherwise") for words in report.losses)


@pytest.mark.parametrize(("name", "text"), [("x.srt", "1\n99999999:00:00,000 --> 99999999:00:01,000\njump\n")])
def test_times_that_no_video_has_are_refused_before_anything_is_written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "y.csv").write_text("old")
    with pytest.raises(DataError, match="annotation 1"):
        convert(tmp_path / name, tmp_path / "y.csv")
    assert (tmp_path / "y.csv").read_text() == "old"
