"""VGG Image Annotator 3 (VIA): projects in JSON, and the CSV that it exports.

Times are seconds; [start, end] is a segment, [time] a still frame. A value of metadata is a text, or the id of an
option of its attribute; each segment may have values of several attributes, and each is a row here.

Source: VIA 3's `_via_data.prototype.project_export_csv` and its project template.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from ..._util.files import write_text
from ..._util.untrusted import guarded, listed, parse_json, read_json, read_text
from ...errors import DataError
from .format import Context, Format, holds
from .lines import seconds
from .table import Annotation, AnnotationTable

_HEAD = "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata"
#: The head of "Only Temporal Segments as CSV".
_SEGMENTS = "# CSV_HEADER = metadata_id,file_list,temporal_segment_start,temporal_segment_end,metadata"
#: Attributes of ours: id -> name.
_ATTRIBUTES = {"1": "action", "2": "subject", "3": "score", "4": "comment"}


class _Values:
    """Makes rows of metadata: {attribute id: value} with the attributes' names and options."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        named: dict[str, Any] = {k: {"aname": v} if isinstance(v, str) else v for k, v in attributes.items()}
        self._names = {k: str(v.get("aname", k)) for k, v in named.items()}
        self._options = {k: v["options"] for k, v in named.items() if isinstance(v.get("options"), dict)}
        self.left_out: Counter[str] = Counter()

    def rows(self, video: str, z: list[float], xy: list[Any], metadata: Mapping[str, Any]) -> Iterator[Annotation]:
        """Yield the rows of one entry.

        Raises:
            ValueError: its times are malformed.
        """
        if not z or (xy and len(z) < 2):
            self.left_out["region of a frame left out"] += bool(xy)
            return
        times = [seconds(str(t)) for t in z[:2]]
        if len(times) == 2 and times[1] <= times[0]:
            raise ValueError(f"its end {times[1]:g} is not after its start {times[0]:g}")
        values = {self._names.get(k, k): self._options.get(k, {}).get(str(v), v) for k, v in metadata.items()}
        common = {"subject": str(values.pop("subject", "")), "comment": str(values.pop("comment", ""))}
        score = str(values.pop("score", ""))
        for value in values.values():
            if str(value).strip():
                yield Annotation(
                    video, str(value).strip(), times[0], times[1] if len(times) == 2 else None,
                    common["subject"], float(score) if score else None, common["comment"],
                )  # fmt: skip


def read_via_csv(path: Path, context: Context) -> AnnotationTable:
    """Read an exported table: of all annotations, or "Only Temporal Segments".

    The latter names attributes and not their options, so a chosen option is known by its id alone.

    Raises:
        DataError: naming every row that cannot be read.
    """
    text = read_text(path, "table of VIA")
    attributes: Any = {}
    for line in text.splitlines()[:20]:
        if line.startswith(("# ATTRIBUTE = ", "# ATTRIBUTES = ")):
            attributes = parse_json(line.partition(" = ")[2], str(path))
    rows, wrong, parse = list[Annotation](), list[str](), _segment if _SEGMENTS in text else _entry
    with guarded(path, "table of VIA"):
        values = _Values(attributes)
        for number, cells in enumerate(csv.reader(io.StringIO(text)), 1):
            if not cells or cells[0].startswith("#"):
                continue
            try:
                files, z, xy, metadata = parse(cells)
                rows += values.rows(PurePath(files[0]).name, z, xy, metadata)
            except (ValueError, IndexError, TypeError) as e:
                wrong.append(f"line {number}: {e}")
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows, notes=[f"{n} x {what}" for what, n in values.left_out.items()])


def _entry(cells: list[str]) -> tuple[Any, ...]:
    """Return files, times, region and metadata of a row of the whole table."""
    files, z, xy, metadata = (json.loads(cells[k]) for k in (1, 3, 4, 5))
    return files, z, xy, metadata


def _segment(cells: list[str]) -> tuple[Any, ...]:
    """Return the same of a row of temporal segments: regions have a start and no end there."""
    files, metadata = json.loads(cells[1]), json.loads(cells[4])
    z = [float(x) for x in cells[2:4] if x]
    return files, z, [], metadata


def read_via(path: Path, context: Context) -> AnnotationTable:
    """Read a project.

    Raises:
        DataError: no project of VIA 3, or entries whose times are none.
    """
    project = read_json(path, "VIA project")
    rows, wrong = list[Annotation](), list[str]()
    with guarded(path, "VIA 3 project"):
        values = _Values(project["attribute"])
        for name, entry in project["metadata"].items():
            files = project["view"][str(entry["vid"])]["fid_list"]
            video = project["file"][str(files[0])]["fname"]
            try:
                rows += values.rows(video, entry["z"], entry["xy"], entry["av"])
            except ValueError as e:
                wrong.append(f"entry {name!r}: {e}")
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows, notes=[f"{n} x {what}" for what, n in values.left_out.items()])


def _values(r: Annotation) -> dict[str, str]:
    found = {"1": r.label, "2": r.subject, "3": "" if r.score is None else repr(r.score), "4": r.comment}
    return {k: v for k, v in found.items() if v}


def _times(r: Annotation) -> list[float]:
    return [r.start or 0.0] if r.end is None else [r.start or 0.0, r.end]


def write_via_csv(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write the table as VIA exports it."""
    buffer = io.StringIO()
    buffer.write(f"# Exported by tal_engine\n# ATTRIBUTE = {json.dumps(_attributes())}\n{_HEAD}\n")
    rows = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for k, r in enumerate(table, 1):
        rows.writerow([f"1_{k}", json.dumps([r.video]), 0, json.dumps(_times(r)), "[]", json.dumps(_values(r))])
    write_text(path, buffer.getvalue())


def write_via(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a project that VIA 3 opens; a view for each video."""
    ids = {name: str(k) for k, name in enumerate(table.videos, 1)}
    project = {
        "project": {"pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__",
                    "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__", "pname": path.stem,
                    "data_format_version": "3.1.1", "creator": "tal_engine",
                    "created": 0, "vid_list": list(ids.values())},
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}},
                   "ui": {"file_content_align": "center", "file_metadata_editor_visible": True,
                          "spatial_metadata_editor_visible": True, "temporal_segment_metadata_editor_visible": True,
                          "spatial_region_label_attribute_id": "", "gtimeline_visible_row_count": "4"}},
        "attribute": _attributes(),
        "file": {i: {"fid": i, "fname": name, "type": 4, "loc": 1, "src": ""} for name, i in ids.items()},
        "view": {i: {"fid_list": [i]} for i in ids.values()},
        "metadata": {f"1_{k}": {"vid": ids[r.video], "flg": 0, "z": _times(r), "xy": [], "av": _values(r)}
                     for k, r in enumerate(table, 1)},
    }  # fmt: skip
    write_text(path, json.dumps(project) + "\n")


def _attributes() -> dict[str, Any]:
    """Describe attributes of temporal segments that hold free text (type 1)."""
    common = {"anchor_id": "FILE1_Z2_XY0", "type": 1, "desc": "", "options": {}, "default_option_id": ""}
    return {k: {"aname": name, **common} for k, name in _ATTRIBUTES.items()}


_HOLDS = holds("points", "subject", "score", "comment", "overlaps")
FORMATS = (
    Format("via", "VIA 3 project", (".json",), _HOLDS, "seconds, all digits", read_via, write_via, by_name=True,
           recognise=lambda head: '"__VIA_PROJECT' in head or ('"vid_list"' in head and '"pname"' in head)),
    Format("via-csv", "VIA 3 CSV", (".csv",), _HOLDS, "seconds, all digits", read_via_csv, write_via_csv, by_name=True,
           recognise=lambda head: "# CSV_HEADER = metadata_id" in head),
)  # fmt: skip
