"""Which clock counts frames, and how far it may count."""

from __future__ import annotations

import json

import pytest

from tal_engine.annotations.formats import Annotation, AnnotationTable, Media, convert, read, write
from tal_engine.errors import DataError, UsageError
from tests.makers import moving_square, write_mp4


def of(*videos):
    return AnnotationTable.of([Annotation(v, "run", 0.2, 0.4) for v in videos])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    videos = tmp_path_factory.mktemp("videos")
    write_mp4(videos / "v.mp4", moving_square(20, 48, 64))
    write_mp4(videos / "w.mp4", moving_square(20, 48, 64), fps=10)
    return videos


@pytest.mark.parametrize("form", ["fiftyone", "label-studio", "fcpxml"])
def test_one_video_is_not_the_clock_of_several(tmp_path, folder, form):
    out = tmp_path / "x.out"
    with pytest.raises(UsageError, match=r"v\.mp4 cannot be the clock of several videos \('v', 'w'\): name the folder"):
        write(of("v.mp4", "w.mp4"), out, form, video=folder / "v.mp4")
    assert not out.exists()
    assert write(of("v.mp4"), out, form, video=folder / "v.mp4") == ()
    (said,) = write(of("other.mp4"), out, form, video=folder / "v.mp4")
    assert said == "the frames of v.mp4 are the clock of 'other', which is called otherwise"


def test_each_video_of_a_folder_has_its_own_clock(tmp_path, folder):
    assert write(of("v.mp4", "w.mp4"), tmp_path / "x.json", "label-studio", video=folder) == ()
    tasks = json.loads((tmp_path / "x.json").read_text())
    ranges = [t["annotations"][0]["result"][0]["value"]["ranges"][0] for t in tasks]
    assert ranges == [{"start": 6, "end": 10}, {"start": 3, "end": 4}]  # 25 and 10 frames a second
    assert [t["data"]["video"] for t in tasks] == [str(folder / "v.mp4"), str(folder / "w.mp4")]


def test_label_studio_is_told_the_file_that_is_named(tmp_path, folder):
    write(of("v"), tmp_path / "x.json", "label-studio", video=folder / "v.mp4")
    assert json.loads((tmp_path / "x.json").read_text())[0]["data"] == {"video": str(folder / "v.mp4")}
    assert read(tmp_path / "x.json", video=folder / "v.mp4").videos == ("v.mp4",)


def test_one_video_is_not_that_of_a_folder_of_files(tmp_path, folder):
    write(of("v", "w"), tmp_path / "tables", "per-frame", fps=25)
    with pytest.raises(UsageError, match=r"cannot be the video of 2 files"):
        read(tmp_path / "tables", "per-frame", video=folder / "v.mp4")


def test_a_rate_and_a_video_contradict(tmp_path, folder):
    write(of("v"), tmp_path / "x.csv")
    with pytest.raises(UsageError, match=r"fps 30 and video .*v\.mp4 are both given"):
        convert(tmp_path / "x.csv", tmp_path / "x.otio", fps=30, video=folder / "v.mp4")


def test_a_rate_for_several_videos_or_against_the_file_is_said(tmp_path):
    said = write(of("v", "w"), tmp_path / "x.json", "label-studio", fps=25)
    assert said == ("25 frames a second taken for every video, though there are several",)
    table = AnnotationTable.of(list(of("v")), {"v": Media(fps=30.0)})
    said = write(table, tmp_path / "x.json", "label-studio", fps=25)
    assert said == ("25 frames a second as given, though the file states 30 of 'v'",)


@pytest.mark.parametrize(
    ("form", "said"), [("cvat", "250000001 frames of segments"), ("per-frame", "250000000 frames of 2")]
)
def test_frames_are_counted_before_they_are_listed(tmp_path, form, said):
    table = AnnotationTable.of([Annotation("v", "run", 0.0, 1e7)])
    with pytest.raises(UsageError, match=rf"{said}.*at most|at most.*{said}"):
        write(table, tmp_path / "x.out", form, fps=25)
    assert not (tmp_path / "x.out").exists()


def test_a_time_that_no_video_has_is_told_in_words(tmp_path):
    (tmp_path / "x.csv").write_text("video,label,start,end\nv,run,1,2e9\n")
    with pytest.raises(DataError, match=r"annotation 1 has a time beyond 1e\+09 s .*: 'run' of 'v' from 1 to 2e\+09 s"):
        convert(tmp_path / "x.csv", tmp_path / "x.eaf")


@pytest.mark.parametrize("fps", [25.0, 30000 / 1001])
@pytest.mark.parametrize(
    ("segments", "said"),
    [
        ([(86390.0, 86400.0)], "'run' ends at 86400 s: an EDL's time codes end at 24 hours"),
        ([(90000.0, 90001.0)], "'run' ends at 90001 s"),
        ([(0.0, 50000.0), (0.0, 50000.0)], "the segments up to 'run' at 0 s, one after another, end: an EDL"),
    ],
)
def test_an_edl_ends_with_the_day(tmp_path, fps, segments, said):
    pytest.importorskip("otio_cmx3600_adapter")
    with pytest.raises(UsageError, match=said):
        write(AnnotationTable.of([Annotation("v", "run", *s) for s in segments]), tmp_path / "x.edl", fps=fps)
    assert not (tmp_path / "x.edl").exists()


def test_an_edl_at_a_rate_without_time_codes_is_refused(tmp_path):
    pytest.importorskip("otio_cmx3600_adapter")
    with pytest.raises(UsageError, match=r"12\.5 frames a second: EDL has no time codes"):
        write(of("v"), tmp_path / "x.edl", fps=12.5)
