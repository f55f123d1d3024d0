"""VIA, CVAT, Label Studio, FiftyOne, editors' timelines, tables of frames, Sportscode, data sets: there and back."""

from __future__ import annotations

import csv
import json
import sys
import zipfile
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.formats import Annotation, AnnotationTable, FrameClock, Media, read, write
from tal_engine.annotations.formats.label_studio import labeling_config
from tal_engine.annotations.formats.per_frame import runs
from tal_engine.annotations.formats.registry import named
from tal_engine.errors import DataError, UsageError

#: Format -> ending of its files.
EXACT = {
    "via": "json", "via-csv": "csv", "cvat": "xml", "label-studio": "json", "fiftyone": "json", "otio": "otio",
    "edl": "edl", "sportscode": "xml", "coco": "json", "anvil": "anvil", "dartfish": "dartclip", "dartfish-csv": "csv",
    "fcpxml": "fcpxml",
}  # fmt: skip
RATES = (25.0, 30000 / 1001, 24.0)

rows = st.lists(
    st.tuples(
        st.sampled_from(["groom", 'say "x" & <y>', "läuft"]), st.integers(0, 3000), st.integers(1, 300),
        st.none() | st.floats(0, 1), st.sampled_from(["", "m 1"]), st.sampled_from(["", "sure"]),
    ),
    min_size=1, max_size=10,
)  # fmt: skip


def table_of(drawn, fps, duration=None):
    clock = FrameClock(fps)
    return AnnotationTable.of(
        [
            Annotation("v.mp4", label, clock.seconds(a), clock.seconds(a + n), subject, score, comment)
            for label, a, n, score, subject, comment in drawn
        ],
        {"v.mp4": Media("v.mp4", duration, fps)},
    )


def frames(table, fps):
    clock = FrameClock(fps)
    return Counter((r.label, *clock.frames(r.start, r.end)) for r in table)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("name", EXACT)
@given(drawn=rows)
@settings(max_examples=12, deadline=None)
def test_frames_come_back(tmp_path_factory, name, fps, drawn):
    if name in {"otio", "edl"}:
        pytest.importorskip("opentimelineio")
    if name == "edl" and fps not in (24.0, 25.0):
        return  # its time codes are of whole rates
    table, form = table_of(drawn, fps), named(name)
    path = tmp_path_factory.mktemp("f") / f"x.{EXACT[name]}"
    write(table, path, name)
    found = read(path, fps=fps)  # told by its first bytes
    assert frames(found, fps) == frames(table, fps)
    for column in ("subject", "score", "comment"):
        if column in form.holds:
            kept = [Counter((r.label, getattr(r, column)) for r in t) for t in (found, table)]
            assert kept[0] == kept[1]
    again = path.with_name(f"y.{EXACT[name]}")
    write(found, again, name, fps=fps)
    assert frames(read(again, name, fps=fps), fps) == frames(table, fps)


@pytest.mark.parametrize("name", ["via", "via-csv", "otio", "anvil", "fcpxml"])
def test_points_come_back(tmp_path, name):
    if name == "otio":
        pytest.importorskip("opentimelineio")
    table = AnnotationTable.of([Annotation("v.mp4", "click", 1.0), Annotation("v.mp4", "groom", 1.0, 2.0)])
    path = tmp_path / f"x.{EXACT[name]}"
    assert write(table, path, name, fps=25) == ()
    assert {(r.label, r.start, r.end) for r in read(path, fps=25)} == {("click", 1.0, None), ("groom", 1.0, 2.0)}


@pytest.mark.parametrize("name", ["per-frame", "asoid"])
@given(drawn=rows)
@settings(max_examples=15, deadline=None)
def test_tables_of_frames_come_back(tmp_path_factory, name, drawn):
    table, path = table_of(drawn, 25.0), tmp_path_factory.mktemp("f") / "x.csv"
    write(table, path, name)
    covered = {label: set() for label in table.labels}
    for label, a, n, *_ in drawn:
        covered[label] |= set(range(a, a + n))
    found = read(path, fps=None if name == "asoid" else 25.0)
    for label, wanted in covered.items():
        mine = found.where(found.label == label)
        assert {k for r in mine for k in range(round(r.start * 25), round(r.end * 25))} == wanted
    with path.open() as file:
        head = next(csv.reader(file))
    assert head[:2] == ["", "background"] if name == "per-frame" else (head[0], head[-1]) == ("time", "other")


def test_columns_of_poses_are_no_behaviours(tmp_path):
    (tmp_path / "x.csv").write_text(",nose_x,Grooming,Other\n0,12.5,0,1\n1,13.0,1,0\n2,13.5,1,0\n")
    found = read(tmp_path / "x.csv", fps=10)
    assert [(r.label, r.start, r.end) for r in found] == [("Grooming", 0.1, pytest.approx(0.3))]
    assert "nose_x" in found.notes[0]


@given(st.lists(st.booleans(), max_size=30))
def test_runs_are_the_true_stretches(flags):
    found = list(runs(flags))
    assert {k for a, b in found for k in range(a, b)} == {k for k, f in enumerate(flags) if f}
    assert all(b < c for (_, b), (c, _) in pairwise(found))


def test_label_studio_gets_predictions_as_predictions(tmp_path):
    table = AnnotationTable.of(
        [Annotation("v.mp4", "a", 0.0, 1.0, score=0.25), Annotation("v.mp4", "b", 1.0, 2.0)], {"v.mp4": Media(fps=10.0)}
    )
    write(table, tmp_path / "x.json", "label-studio")
    (task,) = json.loads((tmp_path / "x.json").read_text())
    (prediction,) = task["predictions"]
    assert (prediction["score"], prediction["result"][0]["value"]) == (
        0.25, {"ranges": [{"start": 1, "end": 10}], "timelinelabels": ["a"]}
    )  # fmt: skip
    assert task["annotations"][0]["result"][0]["value"]["ranges"] == [{"start": 11, "end": 20}]
    assert '<Label value="a &amp; b"/>' in labeling_config(("a & b",), 10.0)
    assert 'frameRate="10"' in labeling_config((), 10.0)


def test_label_studio_sdk_takes_our_labels(tmp_path):
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    li = interface.LabelInterface(labeling_config(("a", "b"), 25.0))
    table = AnnotationTable.of([Annotation("v.mp4", "a", 0.0, 1.0, score=0.25)], {"v.mp4": Media(fps=25.0)})
    write(table, tmp_path / "x.json", "label-studio")
    (task,) = json.loads((tmp_path / "x.json").read_text())
    assert li.validate_prediction(task["predictions"][0], return_errors=True) == []


def test_cvat_boxes_cover_each_frame_and_end_outside(tmp_path):
    from xml.etree import ElementTree as ET

    table = AnnotationTable.of([Annotation("v.mp4", "a", 0.2, 0.5)], {"v.mp4": Media(fps=10.0, width=64, height=48)})
    write(table, tmp_path / "x.xml", "cvat")
    boxes = ET.parse(tmp_path / "x.xml").findall("track/box")
    assert [(b.get("frame"), b.get("outside"), b.get("xbr")) for b in boxes] == [
        ("2", "0", "64.00"), ("3", "0", "64.00"), ("4", "0", "64.00"), ("5", "1", "64.00")
    ]  # fmt: skip


def test_cvat_key_frames_alone_are_a_stretch(tmp_path):
    (tmp_path / "x.xml").write_text(
        '<annotations><version>1.1</version><track id="0" label="a"><box frame="3" outside="0"/>'
        '<box frame="6" outside="0"/><box frame="9" outside="1"/><box frame="12" outside="0"/></track></annotations>'
    )
    assert [(r.start, r.end) for r in read(tmp_path / "x.xml", fps=1)] == [(3, 9), (12, 13)]


def test_a_frame_at_the_end_of_the_video_stays(tmp_path):
    media = {"v.mp4": Media(fps=10.0, frames=5)}
    write(AnnotationTable.of([Annotation("v.mp4", "a", 0.2, 0.5)], media), tmp_path / "x.xml", "cvat")
    assert [(r.start, r.end) for r in read(tmp_path / "x.xml", fps=10)] == [(0.2, 0.5)]


SETS = {
    "q.jsonl": '{"qid": 1, "query": "a dog runs", "vid": "v", "duration": 150, "relevant_windows": [[82, 150]]}\n',
    "c.txt": "v 82.0 150.0##a dog runs\n",
    "c.json": '{"v": {"duration": 150.0, "timestamps": [[82, 150]], "sentences": [" a dog runs"]}}',
    "e.csv": "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,narration,verb,noun\n"
    "1,P01,v,00:01:22.00,00:02:30.00,the dog runs,a dog,runs\n",
    "g.json": '{"videos": [{"video_uid": "v", "clips": [{"clip_uid": "c", "annotations": [{"labels": [{"label": '
    '"a dog runs", "video_start_time": 82.0, "video_end_time": 150.0}]}]}]}]}',
    "o.json": '{"videos": [{"id": 7, "file_name": "v"}], "categories": [{"id": 3, "name": "a dog runs"}], '
    '"annotations": [{"id": 1, "video_id": 7, "category_id": 3, "segment": [82, 150]}]}',
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_data_sets_are_read(tmp_path, name):
    (tmp_path / name).write_text(SETS[name])
    assert [(r.video, r.label, r.start, r.end) for r in read(tmp_path / name)] == [("v", "a dog runs", 82, 150)]


@pytest.mark.parametrize("name", SETS)
def test_bad_entries_of_data_sets_are_named(tmp_path, name):
    bad = (
        SETS[name]
        .replace("150.0]", "8.0]")
        .replace("150]", "8]")
        .replace("150.0#", "8.0#")
        .replace("00:02:30", "00:00:30")
    )
    (tmp_path / name).write_text(bad.replace('"video_end_time": 150.0', '"video_end_time": 8.0'))
    with pytest.raises(DataError, match="not after its start"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.json", '[{"data": {"video": "v"}, "annotations": [{"result": [{"type": "timelinelabels", "value": '
                   '{"ranges": [{"start": 0, "end": -3}], "timelinelabels": ["a"]}}]}]}]', "frames 0 to -3"),
        ("x.json", '{"classes": ["a"], "labels": {"v": [{"label": 4, "support": [1, 2]}]}}', "out of range"),
        ("x.xml", '<annotations><version>1.1</version><track id="7"/></annotations>', "track 7 has no frames"),
        ("x.xml", "<file><ALL_INSTANCES><instance><ID>3</ID><start>2</start><end>1</end></instance>"
                  "</ALL_INSTANCES></file>", "instance 3: its end 1"),
        ("x.csv", '# CSV_HEADER = metadata_id\n"1","[""v""]",0,"[2,1]","[]","{""1"":""a""}"\n', "line 2: its end 1"),
        ("x.csv", ",nose\n0,1.5\n", "none of its"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    form = "per-frame" if "nose" in text else None
    with pytest.raises(DataError, match=said):
        read(tmp_path / name, form, fps=25)


@pytest.mark.parametrize("name", ["cvat", "label-studio", "fiftyone", "per-frame"])
def test_frames_need_a_rate(tmp_path, name):
    table = AnnotationTable.of([Annotation("v", "a", 0, 1)])
    with pytest.raises(UsageError, match="give --fps or --video"):
        write(table, tmp_path / "x.out", name)
    assert not (tmp_path / "x.out").exists()


def test_sportscode_keeps_groups_of_others(tmp_path):
    (tmp_path / "x.xml").write_text(
        "<file><ALL_INSTANCES><instance><ID>1</ID><start>1.5</start><end>3</end><code>Pass</code>"
        "<label><group>Zone</group><text>left</text></label></instance></ALL_INSTANCES></file>"
    )
    (found,) = read(tmp_path / "x.xml")
    assert (found.label, found.start, found.end, found.comment) == ("Pass", 1.5, 3, "Zone=left")


def test_a_video_is_the_clock_of_frames(tmp_path):
    from tests.makers import moving_square, write_mp4

    write_mp4(tmp_path / "v.mp4", moving_square(20, 48, 64))
    table = AnnotationTable.of([Annotation("v.mp4", "a", 0.0, 0.4)])
    write(table, tmp_path / "x.json", "fiftyone", video=tmp_path / "v.mp4")
    entry = json.loads((tmp_path / "x.json").read_text())["labels"]["v"][0]
    assert entry["support"] == [1, 10]  # 25 frames a second
    assert np.allclose([(r.start, r.end) for r in read(tmp_path / "x.json", video=tmp_path / "v.mp4")], [(0.0, 0.4)])


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name, text)
    return path


def test_an_export_in_a_zip_is_read(tmp_path):
    table = AnnotationTable.of([Annotation("v.mp4", "a", 0.2, 0.5)], {"v.mp4": Media(fps=10.0)})
    write(table, tmp_path / "x.xml", "cvat")
    path = zipped(tmp_path / "task.zip", {"annotations.xml": (tmp_path / "x.xml").read_text(), "images/a.png": "x"})
    assert list(read(path, fps=10)) == list(table)


@pytest.mark.parametrize(
    ("members", "said"),
    [({"a.png": "x"}, "no annotation file in it"), ({"a.xml": "<a/>", "b.xml": "<a/>"}, "a.xml, b.xml in it"),
     ({"a.xml": " " * (1 << 20)}, "more than 1000 bytes")],
)  # fmt: skip
def test_zips_are_bounded(tmp_path, monkeypatch, members, said):
    monkeypatch.setattr(sys.modules["tal_engine.annotations.formats.convert"], "TEXT_LIMIT", 1000)
    with pytest.raises(DataError, match=said):
        read(zipped(tmp_path / "x.zip", members))


def test_no_zip_is_no_zip(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="not a zip file"):
        read(tmp_path / "x.zip")


@pytest.mark.parametrize("schema", ["Timeline", "Timeline.x", 7])
def test_schemas_of_otio_are_checked_before_its_library_reads_them(tmp_path, schema):
    (tmp_path / "x.otio").write_text(json.dumps({"OTIO_SCHEMA": "Timeline.1", "tracks": {"OTIO_SCHEMA": schema}}))
    with pytest.raises(DataError, match=r"must be NAME\.VERSION"):
        read(tmp_path / "x.otio")


def test_an_edl_of_nothing_is_refused(tmp_path):
    pytest.importorskip("opentimelineio")
    with pytest.raises(UsageError, match="at least one segment"):
        write(AnnotationTable.of([Annotation("v", "click", 1.0)]), tmp_path / "x.edl", fps=25)
