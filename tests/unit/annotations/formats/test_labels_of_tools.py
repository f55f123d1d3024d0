"""Files of annotation tools are labels to train on; tables of any header are annotations to convert."""

from __future__ import annotations

import pytest

from tal_engine.annotations import read_labels
from tal_engine.annotations.formats import Annotation, AnnotationTable, read, write
from tal_engine.errors import DataError, UsageError
from tests.makers import moving_square, write_mp4

TABLE = AnnotationTable.of(
    [
        Annotation("a.mp4", "jump", 0.2, 0.6, "m1"),
        Annotation("a.mp4", "run", 0.4, 0.8),
        Annotation("b.mp4", "run", 0.0, 0.4),
    ]
)


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos" / "day1"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        write_mp4(folder / f"{name}.mp4", moving_square(25, 48, 64))
    return folder.parent


@pytest.mark.parametrize(
    ("name", "ending"),
    [("boris", "boris"), ("label-studio", "json"), ("fiftyone", "json"), ("via", "json"), ("via-csv", "csv"),
     ("boris-aggregated", "csv"), ("coco", "json"), ("rttm", "rttm")],
)  # fmt: skip
def test_a_tools_file_is_labels(tmp_path, videos, name, ending):
    path = tmp_path / f"labels.{ending}"
    write(TABLE, path, name, fps=25)
    labels = read_labels(path, videos)  # frames are counted by the videos themselves
    assert labels.problems == ()
    found = {(n, s.label, round(s.start, 3), round(s.end, 3)) for n, v in labels.videos.items() for s in v.segments}
    assert found == {(f"day1/{r.video[0]}", r.label, r.start, r.end) for r in TABLE}


def test_a_file_of_one_video_names_it(tmp_path, videos):
    write(TABLE.of_video("b.mp4"), tmp_path / "b.eaf")
    labels = read_labels(tmp_path / "b.eaf", videos)
    assert [(n, s.label) for n, v in labels.videos.items() for s in v.segments] == [("day1/b", "run")]


def test_frames_need_videos_or_a_rate(tmp_path):
    write(TABLE, tmp_path / "x.json", "fiftyone", fps=25)
    with pytest.raises((DataError, UsageError), match="give --fps or --video"):
        read_labels(tmp_path / "x.json")
    assert read_labels(tmp_path / "x.json", fps=25).videos["b"].segments[0].end == 0.4


def test_a_video_that_is_not_in_the_folder_is_named(tmp_path, videos):
    write(AnnotationTable.of([Annotation("c.mp4", "run", 0.0, 0.4)]), tmp_path / "x.json", "fiftyone", fps=25)
    with pytest.raises((DataError, UsageError), match=r"'c' is not in"):
        read(tmp_path / "x.json", video=videos)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("File name\tBegin (s)\tStop (s)\tBehaviour\na.mp4\t12,5\t14\tjump\n", ["segment"]),
        ("video,time,label\na.mp4,1:07,jump\n", ["point"]),
        ("filename;class\na.mp4;jump\n", ["video"]),
    ],
)
def test_tables_of_any_header_are_read(tmp_path, text, kinds):
    (tmp_path / "x.csv").write_text(text)
    assert [r.kind for r in read(tmp_path / "x.csv")] == kinds


def test_their_bad_rows_are_all_named(tmp_path):
    (tmp_path / "x.csv").write_text("file,time,label\na.mp4,soon,jump\nb.mp4,later,jump\n")
    with pytest.raises(DataError, match=r"(?s)line 2.*line 3"):
        read(tmp_path / "x.csv")
