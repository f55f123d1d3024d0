"""Labels as people have them: every layout, every bad row in one report."""

from __future__ import annotations

import json

import pytest

from tal_engine.annotations.labels import LabelRow, Rows, gather, read_labels
from tal_engine.annotations.labels.label_rows import RowError
from tal_engine.annotations.labels.label_times import seconds
from tal_engine.annotations.points import Point
from tal_engine.errors import DataError
from tal_engine.records import Segment


@pytest.fixture
def folder(tmp_path):
    """Files by name; the reader does not open them."""

    def make(*names):
        for name in names:
            path = tmp_path / "videos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "videos"

    return make


@pytest.fixture
def table(tmp_path):
    def make(text, name="labels.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        return path

    return make


def told(found):
    return {v.name: v.told for v in found}


def problems(found):
    return [(p.where, p.wrong) for p in found.problems]


def test_labels_of_whole_videos(table):
    found = read_labels(table('video,label\na.mp4,jump\nb.mp4,run;jump\nb.mp4,"sit, down"\nc.mp4,\n'))
    assert told(found) == {"a": ("jump",), "b": ("jump", "run", "sit, down"), "c": ()}
    assert [v.name for v in found if v.background] == ["c"]
    assert (found.kind, found.classes, found.problems) == ("video", ("jump", "run", "sit, down"), ())


@pytest.mark.parametrize(
    ("header", "separator", "encoding"),
    [
        ("Video,Label", ",", "utf-8"),
        ("FILENAME;Class", ";", "utf-8-sig"),
        ("file\taction", "\t", "utf-16"),
        ('"video_id","Behaviour"', ",", "utf-8"),
        ("path; behavior", ";", "utf-8"),
    ],
)
def test_names_of_columns_separators_and_encodings(table, header, separator, encoding):
    text = f"{header}\r\na.mp4{separator}jump\r\n\r\n"
    assert told(read_labels(table(text, encoding=encoding))) == {"a": ("jump",)}


def test_points_and_segments(table):
    found = read_labels(table("video,time,label\na,1:30,jump\na,12.5,run\n"))
    assert found.videos["a"].points == (Point(12.5, "run"), Point(90.0, "jump"))
    assert found.kind == "point"
    found = read_labels(table("filename;Begin (s);Stop (s);action\na;1,5;2,25;jump\na;00:01:00;01:02.5;run\n"))
    assert found.videos["a"].segments == (Segment(1.5, 2.25, "jump", 1.0), Segment(60.0, 62.5, "run", 1.0))
    assert (found.kind, found.videos["a"].timed, found.videos["a"].labels) == ("segment", True, ("jump", "run"))
    found = read_labels(table("video,start_ms,end_ms,label\na,1500,2000,jump\n"))
    assert found.videos["a"].segments == (Segment(1.5, 2.0, "jump", 1.0),)


def test_each_row_gives_what_it_has(table):
    found = read_labels(
        table("video,start,end,label,split\na,1,2,jump,train\nb,3,,jump,train\nc,,,jump,test\nd,,,,test\n")
    )
    a, b, c, d = found
    assert (a.segments, b.points, c.told, d.background) == (
        (Segment(1, 2, "jump", 1.0),), (Point(3.0, "jump"),), ("jump",), True
    )  # fmt: skip
    assert found.kind == "mixed"
    assert [v.subset for v in found] == ["train", "train", "test", "test"]
    assert [[v.name for v in s] for s in found.supervising("point")] == [["a", "b", "d"], ["c"]]
    assert [[v.name for v in s] for s in found.supervising("segment")] == [["a", "d"], ["b", "c"]]
    (count,) = found.counts()
    assert (count.videos, count.points, count.segments, count.seconds, count.without_times) == (3, 1, 1, 1.0, 1)
    lacking = (
        "1 of 4 videos lack points of some of their classes, and teach a method of points little or nothing of them"
    )
    assert f"{lacking}: c" in found.missing()
    both = read_labels(table("video,start,end,point,label\na,1,3,2,jump\nb,4,4,,run\n"))
    assert (both.videos["a"].points, both.videos["a"].segments[0].end) == ((Point(2.0, "jump"),), 3)
    assert both.videos["b"].points == (Point(4.0, "run"),), "a segment that takes no time is a point"


def test_all_bad_rows_are_in_one_report(table):
    text = """video,start,end,label
    good,0,1,jump
    a,5,2,jump
    b,-1,2,jump
    c,x,2,jump
    d,,2,jump
    ,1,2,jump
    e,1,2,
    f,1,nan,jump
    good,0,1,jump
    good,,,
    g,1,2,jump,more
    h
    """.replace("    ", "")
    found = read_labels(table(text))
    assert list(found.videos) == ["good"]
    assert problems(found) == [
        ("line 3", "ends at 2 s, before it starts at 5 s"),
        ("line 4", "start: time '-1' is before the video begins"),
        ("line 5", "start: time 'x' is not a time"),
        ("line 6", "has an end and no start"),
        ("line 7", "names no video"),
        ("line 8", "has a time and no label"),
        ("line 9", "end: time 'nan' is not a time"),
        ("line 10", "repeats line 2"),
        ("line 11", "says that nothing happens in video 'good', which has labels in other rows"),
        ("line 12", "has 5 cells, the header 4"),
        ("line 13", "has 1 of 4 cells"),
    ]
    assert found.rows_left_out == 11
    assert all(p.allowed for p in found.problems)
    document = found.document()
    assert document["left_out"][0] == {
        "row": "line 3", "wrong": "ends at 2 s, before it starts at 5 s", "allowed": "the start comes first", "rows": 1
    }  # fmt: skip
    json.dumps(document, allow_nan=False)


def test_nothing_left_is_an_error(table):
    with pytest.raises(DataError, match=r"no labels are left: line 2: ends at 1 s.*; line 3: start: time 'x'"):
        read_labels(table("video,start,end,label\na,2,1,jump\na,x,1,jump\n"))
    with pytest.raises(DataError, match="no labels are left: it has no rows that name a class"):
        read_labels(table("video,label\na,\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; a table of labels begins with a line such as video,label"),
        ("a.mp4,jump\n", r"no column of the videos in its first line \('a.mp4', 'jump'\); it may be called video"),
        ("video,when\n", "no column of the labels"),
        ("video,class,action\n", "columns 'class' and 'action' both are the label: rename one"),
        ("class,start_frame,stop_frame,video_id,point\n", "'start_frame', 'stop_frame' count frames"),
    ],
)
def test_a_header_that_says_nothing(table, text, words):
    with pytest.raises(DataError, match=words):
        read_labels(table(text))


def test_files_that_are_not_there_or_of_no_form(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file of labels"):
        read_labels(tmp_path / "labels.csv")
    (tmp_path / "labels.xlsx").touch()
    with pytest.raises(DataError, match=r"cannot tell the form of a '\.xlsx' file; labels are \.json, \.csv"):
        read_labels(tmp_path / "labels.xlsx")


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("12.5 s", 12.5), (".5", 0.5), ("1e1", 10), ("75:30", 4530), ("1:02:03.25", 3723.25), ("0", 0)],
)
def test_times(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["1:2", "1:2:03", "00:00:01:05", "1:60", "-1", "1e999", "inf", "noon", "", "1,5"])
def test_times_that_could_be_two_or_none(text):
    with pytest.raises(RowError) as caught:
        seconds(text)
    assert "seconds" in caught.value.allowed


def test_videos_are_found_by_name_or_path(folder, table):
    videos = folder("x.mp4", "day1/y.avi", "day1/z.mp4", "day2/z.mp4", "day2/w.mp4", "day2/w.mkv", "v_abc.mp4")
    names = {"x": "x", "X.MP4": "x", "/home/me/x.mp4": "x", "y": "day1/y", "day1\\y.mp4": "day1/y",
             "./day1/z": "day1/z",
             "videos/day2/z.mp4": "day2/z", "w.mkv": "day2/w.mkv", "abc": "v_abc"}  # fmt: skip
    for asked, name in names.items():
        assert list(read_labels(table(f"video,label\n{asked},jump\n"), videos).videos) == [name]
    found = read_labels(
        table("video,label\nx,jump\nz,jump\nw,jump\nnone,jump\nnone,run\nday3/y,run\nday1/yy,run\n"), videos
    )
    root = str(videos)
    assert problems(found) == [
        ("line 3", "video 'z' may be 'day1/z.mp4' and 'day2/z.mp4'"),
        ("line 4", "video 'w' may be 'day2/w.mkv' and 'day2/w.mp4'"),
        ("line 5", f"video 'none' is not in {root}"),
        ("line 7", f"video 'day3/y' is not in {root} ('day1/y.avi' is similar)"),
        ("line 8", f"video 'day1/yy' is not in {root} ('day1/y.avi' is similar)"),
    ]
    assert found.problems[2].rows == 2
    assert found.unlabelled == ("day1/y", "day1/z", "day2/w.mkv", "day2/w.mp4", "day2/z", "v_abc")
    assert found.videos["x"].path == videos / "x.mp4"


def test_folders_are_labels(folder):
    root = folder(
        "jump/a.mp4", "run/a.mp4", "run/far/b.avi", "_background/c.mp4", "d.mp4", ".hidden/e.mp4", "run/f.txt"
    )
    found = read_labels(root)
    assert told(found) == {"_background/c": (), "jump/a": ("jump",), "run/a": ("run",), "run/far/b": ("run",)}
    assert found.videos["_background/c"].background
    assert problems(found) == [("d.mp4", "lies in no folder of a class")]


def test_activitynet_with_and_without_segments(tmp_path):
    path = tmp_path / "gt.json"
    database = {
        "a": {"subset": "training", "duration": 9,
              "annotations": [{"label": "jump", "segment": [1, 2]}, {"label": "run"}]},
        "b": {"subset": "validation", "annotations": [{"label": "run", "time": 3}, {"label": "run", "segment": [2, 1]},
                                                      {"label": None}, 7, {"label": "Ambiguous", "segment": [5, 6]}]},
        "c": {"labels": []}, "d": {"annotations": []}, "e": {"labels": ["jump"], "duration": "x"}, "f": 3,
    }  # fmt: skip
    path.write_text(json.dumps({"database": database}))
    found = read_labels(path)
    a, b, c, e = found
    assert (a.told, a.segments, a.duration, a.subset) == (("run",), (Segment(1, 2, "jump", 1.0),), 9.0, "training")
    assert (a.labels, a.timed) == (("jump", "run"), False)
    assert (b.points, b.ambiguous) == ((Point(3.0, "run"),), ((5.0, 6.0),))
    assert (c.background, e.told) == (True, ("jump",))
    assert [p.where for p in found.problems] == [
        "entry 'b', annotation 1", "entry 'b', annotation 2", "entry 'b', annotation 3", "entry 'f'"
    ]  # fmt: skip
    assert found.notes == (
        "entry 'e': its duration is not known ('x' is not a finite number)",
        "1 entries have neither annotations nor labels: their videos are unlabelled",
    )


def test_only_given_classes_are_allowed(table):
    path = table("video,label\na,jump\na,Jump\nb,run\n")
    found = read_labels(path, classes=["run", "jump"])
    assert found.classes == ("run", "jump")
    assert problems(found) == [("line 3", "label 'Jump' is no class")]
    assert read_labels(path).notes == ("classes 'Jump' and 'jump' differ only in capitals or blanks: are they one?",)


def test_subsets_of_one_video_that_differ(table):
    found = read_labels(table("video,label,subset\na,jump,train\na,run,test\n"))
    assert problems(found) == [("line 3", "puts video 'a' into subset 'test', which is in 'train'")]


def test_rows_of_another_reader(tmp_path):
    rows = Rows("made", [LabelRow("event 1", "a", "jump", 1.0, 2.0, subject="mouse", score=0.5, comment="sure?")])
    assert rows.rows[0].kind == "segment"
    assert gather(rows, tmp_path / "x.boris").videos["a"].segments == (Segment(1.0, 2.0, "jump", 1.0),)


def test_a_large_table_is_read_in_linear_time(table, folder):
    """Each row costs the same whatever the number of videos: it would not end in minutes if it did not."""
    videos = folder(*(f"{i % 7}/v{i}.mp4" for i in range(500)))
    rows = "".join(f"v{i % 500}.mp4,{i},{i + 0.5},c{i % 9}\n" for i in range(50_000))
    found = read_labels(table(f"video,start,end,label\n{rows}"), videos)
    assert sum(len(v.segments) for v in found) == 50_000
    assert not found.problems


@pytest.mark.parametrize(
    ("name", "kind", "videos", "points", "segments", "left_out"),
    [
        ("motion/msrc12/points.csv", "point", 592, 6230, 0, 3),
        ("thumos14/official", "segment", 412, 0, 6365, 0),
        ("activitynet/v1.2/activity_net.v1-2.min.json", "segment", 7194, 0, 10689, 44),
    ],
)
def test_real_files(shared, name, kind, videos, points, segments, left_out):
    found = read_labels(shared / name)
    count = sum(len(v.points) for v in found), sum(len(v.segments) for v in found)
    assert (found.kind, len(found), *count, found.rows_left_out) == (kind, videos, points, segments, left_out)


def test_a_folder_of_a_tools_files_is_one_set_of_labels(tmp_path, folder):
    """As `tal convert` writes them, a file a video."""
    for name, label in (("a", "jump"), ("b", "run")):
        (tmp_path / "srt").mkdir(exist_ok=True)
        (tmp_path / "srt" / f"{name}.srt").write_text(f"1\n00:00:01,000 --> 00:00:02,000\n{label}\n")
    found = read_labels(tmp_path / "srt", folder("a.mp4", "b.mp4"))
    assert {v.name: [(s.start, s.end, s.label) for s in v.segments] for v in found} == {
        "a": [(1.0, 2.0, "jump")], "b": [(1.0, 2.0, "run")],
    }  # fmt: skip


def test_labels_that_are_not_there(tmp_path):
    for name in ("none", "none.csv", "none.eaf"):
        with pytest.raises(DataError, match=rf"{name}: no such file of labels") as caught:
            read_labels(tmp_path / name)
        assert caught.value.exit_code == 5
