"""What the tools' own libraries (benchmarks/judge_formats.py) showed of their files, kept as cases."""

from __future__ import annotations

import json

import pytest

from tal_engine.annotations.formats import Annotation, AnnotationTable, Media, read, write
from tal_engine.errors import DataError, UsageError

#: As VIA 3 exports "Only Temporal Segments as CSV": one segment, one region of a frame.
TEMPORAL = (
    "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n"
    "# CSV_HEADER = metadata_id,file_list,temporal_segment_start,temporal_segment_end,metadata\n"
    '"1_a","[""clips/v.mp4""]",1.04,2.5,"{""action"":""groom""}"\n'
    '"1_b","[""clips/v.mp4""]",3,,"{""action"":""rear""}"'
)


def test_via_tables_of_segments_alone_are_read(tmp_path):
    (tmp_path / "x.csv").write_text(TEMPORAL)
    assert [(r.video, r.label, r.start, r.end) for r in read(tmp_path / "x.csv")] == [
        ("v.mp4", "groom", 1.04, 2.5), ("v.mp4", "rear", 3.0, None)
    ]  # fmt: skip
    (tmp_path / "x.csv").write_text(TEMPORAL.replace("1.04,2.5", "2.5,1.04"))
    with pytest.raises(DataError, match=r"line 3: its end 1\.04 is not after its start 2\.5"):
        read(tmp_path / "x.csv")


def test_fiftyone_knows_videos_without_their_endings(tmp_path):
    rows = [Annotation("day.1/v_0.5.mp4", "groom", 0.0, 1.0)]
    write(AnnotationTable.of(rows, {"day.1/v_0.5.mp4": Media(fps=25.0)}), tmp_path / "x.json", "fiftyone")
    assert list(json.loads((tmp_path / "x.json").read_text())["labels"]) == ["day.1/v_0.5"]
    rows.append(Annotation("day.1/v_0.5.avi", "groom", 0.0, 1.0))
    with pytest.raises(UsageError, match=r"'day.1/v_0.5.avi' and another video are both 'day.1/v_0.5'"):
        write(AnnotationTable.of(rows), tmp_path / "x.json", "fiftyone", fps=25)
