"""Sportscode's XML of instances, which Dartfish, Longomatch, Nacsport and Angles read and write too.

An instance has a start and an end in seconds, a code (the label), and labels of groups. Ours are "subject", "score" and
"comment".
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from ..._util.untrusted import listed
from ...errors import DataError
from .format import Context, Format, holds
from .lines import interval, timed
from .table import Annotation, AnnotationTable
from .xml_file import UNFIT, read_xml, write_xml


def read_sportscode(path: Path, context: Context) -> AnnotationTable:
    """Read all instances; groups of labels that are not ours come into the comment.

    Raises:
        DataError: naming every instance whose times cannot be.
    """
    root = read_xml(path, "Sportscode file", "file")
    name, rows, wrong = context.named(path), list[Annotation](), list[str]()
    for number, instance in enumerate(root.iterfind("ALL_INSTANCES/instance"), 1):
        code = (instance.findtext("code") or "").strip()
        groups = {
            (x.findtext("group") or "").strip(): (x.findtext("text") or "").strip() for x in instance.iterfind("label")
        }
        try:
            start, end = interval(instance.findtext("start") or "", instance.findtext("end") or "")
            score = float(groups.pop("score")) if "score" in groups else None
        except ValueError as e:
            wrong.append(f"instance {instance.findtext('ID') or number}: {e}")
            continue
        subject, comment = groups.pop("subject", ""), groups.pop("comment", "")
        comment = " ".join([comment, *(f"{k}={v}" if k else v for k, v in groups.items())]).strip()
        if code:
            rows.append(Annotation(name, code, start, end, subject, score, comment))
        else:
            wrong.append(f"instance {instance.findtext('ID') or number}: it has no code")
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows)


def write_sportscode(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write instances in order of start, and a row for each code."""
    root = ET.Element("file")
    instances = ET.SubElement(root, "ALL_INSTANCES")
    for number, r in enumerate(timed(table), 1):
        _instance(instances, number, r)
    rows = ET.SubElement(root, "ROWS")
    for label in table.labels:
        ET.SubElement(ET.SubElement(rows, "row"), "code").text = label
    write_xml(path, root)


def _instance(parent: ET.Element, number: int, r: Annotation) -> None:
    instance = ET.SubElement(parent, "instance")
    for tag, text in (("ID", str(number)), ("start", f"{r.start:.6f}"), ("end", f"{r.end:.6f}"), ("code", r.label)):
        ET.SubElement(instance, tag).text = text
    score = "" if r.score is None else repr(r.score)
    for group, text in (("subject", r.subject), ("score", score), ("comment", r.comment)):
        if text:
            label = ET.SubElement(instance, "label")
            ET.SubElement(label, "group").text = group
            ET.SubElement(label, "text").text = text


FORMATS = (
    Format("sportscode", "Sportscode XML", (".xml",), holds("subject", "score", "comment", "overlaps"),
           "seconds, 6 decimals", read_sportscode, write_sportscode, one_video=True, unfit=UNFIT, by_name=True,
           recognise=lambda head: "<ALL_INSTANCES" in head),
)  # fmt: skip
