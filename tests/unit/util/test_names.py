"""What videos are called: endings, names of several, and names of results in the truth."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tal_engine._util.names import (
    Finder,
    distinct_names,
    ending,
    file_names,
    path_ends,
    short_names,
    video_name,
    without_ending,
)
from tal_engine.annotations import align_names, read_detections
from tal_engine.annotations.finals import read_finals
from tal_engine.annotations.tables import Table
from tal_engine.errors import FeatureError, UsageError
from tal_engine.metrics import evaluate_tables, protocol
from tal_engine.outputs.writers import activitynet, csv_table, jsonl
from tal_engine.records import Info, Segment
from tal_engine.results import Localization
from tal_engine.vocabulary import Vocabulary
from tests.events import final


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("clip.mp4", "clip"),
        ("clip.MP4", "clip"),
        ("clip_660.0_810.0", "clip_660.0_810.0"),
        ("clip_660.0_810.0.mkv", "clip_660.0_810.0"),
        ("gate.north", "gate.north"),
        ("00.10.mp4", "00.10"),
        ("a.tar.webm", "a.tar"),
        ("features.npz", "features"),
        (".mp4", ".mp4"),
        ("cam1.", "cam1."),
        ("x.mp4.mp4", "x.mp4"),
    ],
)
def test_only_a_media_ending_is_an_ending(name, bare):
    assert without_ending(name) == bare
    assert bare + ending(name) == name


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["a/x.mp4", "b/y.mp4"], ["x", "y"]),
        (["d1/h/cam/00.10.mp4", "d2/h/cam/00.10.mp4"], ["d1/h/cam/00.10", "d2/h/cam/00.10"]),
        (["r/x/a.mp4", "r/x/a.mkv"], ["a.mp4", "a.mkv"]),
        (["r/x/a.mp4", "r/y/a.mp4", "r/y/b.mp4"], ["x/a", "y/a", "b"]),
        (["https://u:pw@h/a/v.mp4?token=1", "s3://b/c/v.mp4"], ["a/v", "c/v"]),
        (["x/clip_1.5", "y/clip_1.5"], ["x/clip_1.5", "y/clip_1.5"]),
    ],
)
def test_names_are_the_shortest_that_differ(sources, names):
    assert distinct_names(sources) == names


def test_one_source_twice_is_an_error_that_names_it():
    with pytest.raises(UsageError, match="'frames' and 'frames' cannot be told apart"):
        distinct_names(["frames", "frames"])
    with pytest.raises(UsageError, match=r"a\.mp4"):
        distinct_names(["x/a.mp4", "y/../x/a.mp4"])


PARTS = ["a", "A", "b", "b.mp4", "a.mkv", "a-b", "é", "e\u0301", "x:y", "a.5"]
PATHS = st.lists(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join), min_size=1, max_size=6, unique=True
)


@given(PATHS)
def test_no_two_sources_share_a_name(paths):
    names = distinct_names(paths)
    assert len(set(names)) == len(paths)
    for path, name in zip(paths, names, strict=True):
        assert f"{Path.cwd()}/{path}".endswith((f"/{name}", f"/{name}{ending(path)}"))
    short = short_names(paths)
    assert len(set(short)) == len(paths)


@given(PATHS, st.booleans())
def test_no_two_sources_share_a_file_even_where_capitals_do_not_count(paths, folders):
    names = file_names(paths, folders=folders)
    assert len({n.casefold() for n in names}) == len(paths)
    assert all(n and not n.startswith((".", "/")) and ".." not in n.split("/") for n in names)


def test_file_names_stay_in_their_folder_and_short():
    assert file_names(["a/../../x.mp4"], folders=True) == ["x"]
    (name,) = file_names(["y" * 250 + ".mp4"])
    assert len(name) < 200
    assert file_names(["a/b.mp4", "c/b.mp4"], folders=True) == ["a/b", "c/b"]
    assert file_names(["a/b.mp4", "c/b.mp4"]) == ["a-b", "c-b"]
    one, other = file_names(["Clip.mp4", "clip.mp4"])
    assert one.startswith("Clip-")
    assert one.casefold() != other.casefold()


def test_known_videos_are_found_by_their_whole_name_first():
    find = Finder(["clip_1.5", "a.mp4", "day/00.10", "00.10"])
    assert find("clip_1.5") == "clip_1.5"
    assert find("rec/clip_1.5.mp4") == "clip_1.5"
    assert find("x/a.mp4") == "a.mp4"
    assert find("a") == "a.mp4"
    assert find("/rec/day/00.10.mp4") == "day/00.10"
    assert find("/rec/night/00.10.mp4") == "00.10"
    assert find("clip_1") is None
    assert Finder(["a.mp4", "a.mkv"])("a") is None


def test_ends_of_a_path():
    assert path_ends("r/x/00.10.mp4") == ["r/x/00.10", "x/00.10", "00.10"]
    assert path_ends("../x.mp4") == ["x"]
    assert video_name("rtsp://admin:hush@cam/live/1") == "1"
    assert "hush" not in video_name("rtsp://admin:hu/sh@cam")


def result(source, label="run"):
    info = Info(source, duration=9.0, plan="0" * 64)
    return Localization([Segment(1.0, 2.0, label, 0.5)], info, Vocabulary(["run", "sit"]))


def test_results_of_one_file_name_are_all_kept(tmp_path):
    found = [result("r/x/00.10.mp4"), result("r/y/00.10.mp4", "sit")]
    activitynet.write(tmp_path / "r.json", found)
    results = json.loads((tmp_path / "r.json").read_text())["results"]
    assert {name: d[0]["label"] for name, d in results.items()} == {"x/00.10": "run", "y/00.10": "sit"}
    for write, path in ((csv_table.write, tmp_path / "r.csv"), (jsonl.write, tmp_path / "r.jsonl")):
        write(path, found)
        read = read_detections(path)
        assert (read.videos, read.sources) == (("x/00.10", "y/00.10"), ("r/x/00.10.mp4", "r/y/00.10.mp4"))


@pytest.mark.parametrize("write", [activitynet.write, csv_table.write, jsonl.write])
def test_two_results_of_one_source_are_refused(tmp_path, write):
    with pytest.raises(UsageError, match="'frames' and 'frames'"):
        write(tmp_path / "r", [result("frames"), result("frames", "sit")])
    assert not list(tmp_path.iterdir())


TRUTH = Table.of(
    [(name, "run", 1.0, 2.0, 1.0) for name in ("clip_660.0_810.0", "x/00.10", "gate.north")], source="truth"
)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_detections_are_scored_under_the_whole_name(tmp_path, form):
    path = tmp_path / f"d.{form}"
    sources = ["v/clip_660.0_810.0", "r/x/00.10.mp4", "gate.north"]
    (csv_table if form == "csv" else jsonl).write(path, [result(s) for s in sources])
    score = evaluate_tables(TRUTH, read_detections(path), protocol("activitynet"))
    assert score.average == 1.0
    assert not score.warnings
    aligned, note = align_names(read_detections(path), TRUTH.videos)
    assert (aligned.videos, note) == (TRUTH.videos, "")


def test_finals_of_a_stream_with_a_dot_in_its_name(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text(
        "".join(replace(final(str(i)), source=s).to_json() + "\n" for i, s in enumerate(["gate.north", "gate.south"]))
    )
    found, decided = read_finals(path)
    assert found.videos == ("gate.north", "gate.south")
    assert len(decided) == len(found) == 2


def test_two_results_of_one_true_video_are_an_error_that_names_both(tmp_path):
    path = tmp_path / "d.csv"
    csv_table.write(path, [result("a/v.mp4"), result("b/v.mp4")])
    truth = Table.of([("v", "run", 1.0, 2.0, 1.0)], source="truth")
    with pytest.raises(FeatureError, match=r"'a/v.mp4' and 'b/v.mp4' are both the video 'v'"):
        evaluate_tables(truth, read_detections(path), protocol("activitynet"))


def test_a_video_that_is_left_out_is_found_by_its_file_name():
    rules = replace(protocol("activitynet"), exclude=("gate.north.mp4",))
    score = evaluate_tables(TRUTH, TRUTH, rules)
    assert score.counts.excluded_videos == 1
    assert np.isclose(score.average, 1.0)
