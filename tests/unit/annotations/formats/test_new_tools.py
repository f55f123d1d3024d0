"""Anvil, Dartfish, Final Cut Pro and NWB: judged by a library where one reads them, else by files as tools write."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from tal_engine.annotations.formats import Annotation, AnnotationTable, FrameClock, Media, read, write
from tal_engine.annotations.formats.anvil import write_anvil
from tal_engine.annotations.formats.format import Context
from tal_engine.errors import DataError

RATES = (25.0, 30000 / 1001, 24000 / 1001)


def spread(fps, count=40, seed=0):
    rng, clock = np.random.default_rng(seed), FrameClock(fps)
    starts, lengths = rng.integers(0, 40_000, count).tolist(), rng.integers(1, 60, count).tolist()
    labels = rng.choice(["groom", "rear & <look>", "läuft"], count).tolist()
    drawn = zip(labels, starts, lengths, strict=True)
    rows = [Annotation("v.mp4", label, clock.seconds(a), clock.seconds(a + n)) for label, a, n in drawn]
    return AnnotationTable.of(rows, {"v.mp4": Media("v.mp4", fps=fps, duration=2000.0)})


def frames(rows, fps):
    clock = FrameClock(fps)
    return Counter((label, *clock.frames(start, end)) for label, start, end in rows)


def rows_of(table):
    return [(r.label, r.start, r.end) for r in table]


# --- NWB


@pytest.mark.parametrize("fps", RATES)
def test_ndx_ethogram_reads_what_we_write(tmp_path, fps):
    pynwb, _ = pytest.importorskip("pynwb"), pytest.importorskip("ndx_ethogram")
    table = spread(fps)
    assert write(table, tmp_path / "x.nwb") == ()
    assert not pynwb.validate(path=str(tmp_path / "x.nwb"))
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "r") as file:
        bouts = file.read().processing["behavior"]["behavior_bouts"]
        assert type(bouts).__name__ == "EthogramBouts"
        assert bouts.labeling_method == "manual"
        assert bouts.source_video.rate == fps
        found = zip(bouts["label"].data[:], bouts["start_time"].data[:], bouts["stop_time"].data[:], strict=True)
        assert sorted(map(tuple, found)) == sorted(rows_of(table))
    back = read(tmp_path / "x.nwb")
    assert (back.videos, sorted(rows_of(back))) == (("v.mp4",), sorted(rows_of(table)))


def test_nwb_keeps_scores_and_subjects(tmp_path):
    pytest.importorskip("ndx_ethogram")
    rows = [Annotation("v", "a", 0.5, 1.0, "m 1", 0.25, "sure"), Annotation("v", "a", 0.5, 1.5)]
    write(AnnotationTable.of(rows), tmp_path / "v.nwb")
    assert list(read(tmp_path / "v.nwb")) == rows


def test_tables_of_others_are_read_in_the_time_of_their_video(tmp_path):
    pynwb, ethogram = pytest.importorskip("pynwb"), pytest.importorskip("ndx_ethogram")
    file = pynwb.NWBFile("s", "i", datetime(2024, 1, 1, tzinfo=UTC))
    video = pynwb.image.ImageSeries(
        name="cam", format="external", external_file=["../clips/m.mp4"], starting_frame=[0], starting_time=100.0,
        rate=30.0, num_samples=300, unit="n/a",
    )  # fmt: skip
    file.add_acquisition(video)
    bouts = ethogram.EthogramBouts(name="b", description="d", labeling_method="manual", source_video=video)
    bouts.add_row(start_time=101.0, stop_time=102.5, label="groom")
    file.create_processing_module("behavior", "d").add(bouts)
    file.add_trial(start_time=0.0, stop_time=9.0)
    file.add_epoch_column("label", "d")
    file.add_epoch(start_time=1.0, stop_time=2.0, label="light")
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as out:
        out.write(file)
    table = read(tmp_path / "x.nwb")
    assert [(r.video, r.label, r.start, r.end) for r in table] == [
        ("m.mp4", "groom", 1.0, 2.5),
        ("x", "light", 1.0, 2.0),
    ]
    assert table.notes == ("1 tables of intervals without labels left out: trials",)


def test_what_is_no_nwb_is_refused(tmp_path):
    pytest.importorskip("ndx_ethogram")
    (tmp_path / "x.nwb").write_bytes(b"no hdf5")
    with pytest.raises(DataError, match="NWB file"):
        read(tmp_path / "x.nwb")


# --- Final Cut Pro


def test_final_cut_times_are_whole_frames(tmp_path):
    for fps, frame in ((25.0, "1/25s"), (30000 / 1001, "1001/30000s"), (24000 / 1001, "1001/24000s"), (60.0, "1/60s")):
        table = spread(fps)
        write(table, tmp_path / "x.fcpxml")
        root = ET.parse(tmp_path / "x.fcpxml").getroot()
        assert root.find("resources/format").get("frameDuration") == frame
        assert frames(rows_of(read(tmp_path / "x.fcpxml")), fps) == frames(rows_of(table), fps)


def test_otio_reads_our_markers_and_we_its(tmp_path):
    otio = pytest.importorskip("opentimelineio")
    pytest.importorskip("otio_fcpx_xml_adapter")
    rate = 24.0  # at 29.97 the adapter cannot read itself
    points = AnnotationTable.of(
        [Annotation("v.mp4", "click", k / rate) for k in (0, 24, 48)], {"v.mp4": Media(fps=rate)}
    )
    write(points, tmp_path / "x.fcpxml")
    root = ET.parse(tmp_path / "x.fcpxml").getroot()
    assert [m.get("start") for m in root.iter("marker")] == ["0s", "1s", "2s"]
    part = otio.opentime.TimeRange(otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(5000, rate))
    clip = otio.schema.Clip("v", otio.schema.ExternalReference("v.mp4", part), part)
    for label, first, end in (("groom", 24, 36), ("rear", 30, 100)):
        times = (otio.opentime.RationalTime(first, rate), otio.opentime.RationalTime(end - first, rate))
        clip.markers.append(otio.schema.Marker(label, otio.opentime.TimeRange(*times)))
    timeline = otio.schema.Timeline("t")
    timeline.tracks.append(otio.schema.Track("V", [clip], kind="Video"))
    otio.adapters.write_to_file(timeline, str(tmp_path / "y.fcpxml"), "fcpx_xml")
    found = read(tmp_path / "y.fcpxml")
    assert (found.videos, rows_of(found)) == (
        ("v.mp4",),
        [("groom", 1.0, 1.5), ("rear", 1.25, pytest.approx(100 / 24))],
    )


EXPORT = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE fcpxml>
<fcpxml version="1.9"><resources>
<format id="r1" frameDuration="1001/30000s"/>
<asset id="r2" name="A" start="3600s" duration="60s" format="r1" hasVideo="1">
<media-rep kind="original-media" src="file:///Movies/my%20clip.mov"/></asset></resources>
<library><event name="e"><asset-clip name="A" ref="r2" format="r1" start="3600s" duration="60s">
<marker start="108001/30s" duration="1001/30000s" value="here"/>
<keyword start="3601s" duration="1001/1000s" value="groom, rear" note="sure score=0.5"/></asset-clip>
<project name="p"><sequence format="r1"><spine>
<asset-clip name="A" ref="r2" format="r1" offset="0s" start="3600s" duration="60s">
<keyword start="3601s" duration="1001/1000s" value="groom, rear" note="sure score=0.5"/></asset-clip></spine>
</sequence></project></event></library></fcpxml>"""


def test_final_cut_exports_begin_at_their_time_code_and_say_things_once(tmp_path):
    (tmp_path / "x.fcpxml").write_text(EXPORT)
    assert list(read(tmp_path / "x.fcpxml")) == [
        Annotation("my clip.mov", "here", 1 / 30, None),
        Annotation("my clip.mov", "groom", 1.0, 2.001, "", 0.5, "sure"),
        Annotation("my clip.mov", "rear", 1.0, 2.001, "", 0.5, "sure"),
    ]
    (tmp_path / "x.fcpxml").write_text(EXPORT.replace('duration="1001/1000s"', 'duration="1/0s"'))
    with pytest.raises(DataError, match="keyword 'groom, rear' of clip 'A'"):
        read(tmp_path / "x.fcpxml")
    losses = write(AnnotationTable.of([Annotation("v", "a, b", 0.0, 1.0)]), tmp_path / "y.fcpxml", fps=25)
    assert losses == ("1 x a comma in a label became a semicolon: Final Cut parts keywords at commas",)


# --- Dartfish

#: As Dartfish writes them; the second has a title with its number, the third none.
CLIP = """<LIBRARY_ITEM><NAME>match.mp4</NAME><ID>0</ID><VERSION subversion="1">2.0</VERSION>
<LIBRARY_ITEM Color="Color2" IN="175180000" OUT="251470000" ItemType="Marker.Event" UNIT="RefTime">
<CATEGORIES><CATEGORY name="ODK">O</CATEGORY></CATEGORIES>
<Library.MDProperties><Property Name="Title">Play (1)</Property></Library.MDProperties></LIBRARY_ITEM>
<LIBRARY_ITEM IN="300000000" OUT="350000000" ItemType="Marker.Event" UNIT="RefTime">
<CATEGORIES><CATEGORY name="ODK">D</CATEGORY></CATEGORIES></LIBRARY_ITEM>
<LIBRARY_ITEM ItemType="GameTime"><ID>0</ID></LIBRARY_ITEM><TYPE>1</TYPE></LIBRARY_ITEM>"""
EVENTS = "\ufeffName;Position;Duration;ODK\nPlay (1);17518;7629;O\nPlay (2);30000;5000;\n"


def test_dartfish_files_are_read(tmp_path):
    (tmp_path / "x.dartclip").write_text(CLIP)
    assert list(read(tmp_path / "x.dartclip")) == [
        Annotation("match.mp4", "Play", 17.518, 25.147, comment="ODK=O"), Annotation("match.mp4", "D", 30.0, 35.0)
    ]  # fmt: skip
    (tmp_path / "m.csv").write_text(EVENTS)
    assert list(read(tmp_path / "m.csv")) == [
        Annotation("m", "Play", 17.518, 25.147, comment="ODK=O"), Annotation("m", "Play", 30.0, 35.0)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["x.dartclip", "x.csv"])
def test_labels_that_end_like_dartfish_numbers_come_back(tmp_path, name):
    rows = [Annotation("x", "camera (2)", 1.0, 2.0), Annotation("x", "camera", 1.0, 2.5)]
    write(AnnotationTable.of(rows), tmp_path / name, "dartfish" if name != "x.csv" else "dartfish-csv")
    assert list(read(tmp_path / name)) == rows


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.dartclip", CLIP.replace("RefTime", "Frames", 1), r"event 1 \(Play \(1\)\): its unit is 'Frames'"),
        ("x.dartclip", CLIP.replace('OUT="350000000"', 'OUT="3"'), "event 2 .*from 30 to 3e-07 s"),
        ("x.csv", EVENTS.replace("7629", "soon"), "line 2: 'soon' is no number, must be a duration"),
        ("x.anvil", '<annotation><body><track name="t" type="primary"><el index="0" start="2" end="1"/></track></body>'
         "</annotation>", "track 't': element 0: its end 1 is not after its start 2"),
        ("x.anvil", '<annotation><body><track name="t" type="singleton" ref="u"><el index="0" ref="0"/></track></body>'
         "</annotation>", "refers to 'u', which is no other track"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path / name)


# --- Anvil

ANVIL = """<annotation><head><specification src="s.xml"/><video src="C:\\clips\\v.avi"/></head><body>
<track name="speech.words" type="primary"><el index="0" start="0.5" end="1.25"><attribute name="token">hello</attribute>
<attribute name="hand">left</attribute></el><el index="1" start="2" end="3"/></track>
<track name="phase" type="span" ref="speech.words"><el index="0" start="0" end="1">
<attribute name="type">stroke</attribute></el></track>
<track name="beat" type="primarypoint"><el index="0" time="4.5"/></track>
<track name="sub" type="subdivision" ref="speech.words"><el-group ref="0"><el index="0"/></el-group></track>
</body></annotation>"""


def test_anvil_tracks_of_other_specifications_are_read(tmp_path):
    (tmp_path / "x.anvil").write_text(ANVIL)
    table = read(tmp_path / "x.anvil")
    assert list(table) == [
        Annotation("v.avi", "hello", 0.5, 1.25, comment="hand=left"),
        Annotation("v.avi", "stroke", 0.5, 3.0),
        Annotation("v.avi", "speech.words", 2.0, 3.0),
        Annotation("v.avi", "beat", 4.5, None),
    ]
    assert table.notes == ("1 x track 'sub' of subdivisions left out",)


def test_anvil_leaves_nothing_behind_where_it_cannot_write(tmp_path):
    (tmp_path / "x.anvil").mkdir()
    with pytest.raises(OSError, match=r"x\.anvil"):
        write_anvil(AnnotationTable.of([Annotation("v", "a", 0.0, 2.0)]), tmp_path / "x.anvil", Context())
    assert [p.name for p in tmp_path.iterdir()] == ["x.anvil"]


def test_anvil_finds_the_tracks_that_its_specification_names(tmp_path):
    rows = [Annotation("v", "a", 0.0, 2.0), Annotation("v", "b", 1.0, 3.0), Annotation("v", "c", 1.5)]
    write(AnnotationTable.of(rows), tmp_path / "x.anvil")
    root = ET.parse(tmp_path / "x.anvil").getroot()
    named = ET.parse(tmp_path / root.find("head/specification").get("src")).getroot()
    known = {t.get("name"): t.get("type") for t in named.iter("track-spec")}
    assert {t.get("name"): t.get("type") for t in root.iter("track")}.items() <= known.items()
    many = AnnotationTable.of([Annotation("v", "a", k / 10, 9.0) for k in range(20)])
    assert write(many, tmp_path / "x.anvil")[0].startswith("4 x a segment that overlaps 16 others left out")
    assert len(read(tmp_path / "x.anvil")) == 16
