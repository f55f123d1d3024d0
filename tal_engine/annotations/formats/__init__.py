"""Annotation files of every tool, read into one table and written from it.

    table = read("labels.eaf")                   told by the ending and the first bytes
    write(table, "labels.TextGrid")              gives what the format could not hold
    convert("labels.csv", "labels.eaf")          both, with a report

`docs/formats.md` says for each format what it holds, and how its times are counted and rounded.
"""

from .convert import Report, convert, read, write
from .frame_clock import FrameClock
from .table import Annotation, AnnotationTable, Media

__all__ = ["Annotation", "AnnotationTable", "FrameClock", "Media", "Report", "convert", "read", "write"]
