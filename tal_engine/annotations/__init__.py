"""Annotation and detection files of the field, read into one form.

    read_annotations(path)   ActivityNet-style JSON (ActivityNet, ActionFormer, OpenTAD, LACP, GTEA,
                             BEOID), BMN's JSON, the folder of THUMOS14's text files, the folder of
                             the W-TALC npy layout (with allow_pickle)
    read_labels(path)        what people have: CSV of labels, points or segments, folders as labels, JSON with or
                             without segments (`labels`); bad rows are left out and named
    read(path), write(table, path), convert(path, output)
                             any tool's file (`formats`), in one table with subjects, points, scores and comments
    read_detections(path)    ActivityNet result JSON, THUMOS14 text, our CSV and JSON Lines

Nothing is unpickled unless asked for, and then only arrays, lists, numbers and texts.
"""

from .detections import align_names, read_detections
from .formats import AnnotationTable, convert, read, write
from .labels import Labels, read_labels
from .readers import read_annotations
from .truth import AnnotatedVideo, Annotations

__all__ = [
    "AnnotatedVideo",
    "AnnotationTable",
    "Annotations",
    "Labels",
    "align_names",
    "convert",
    "read",
    "read_annotations",
    "read_detections",
    "read_labels",
    "write",
]
