"""Labels that people have, read into one form: of whole videos, points, segments, or some of each.

    labels = read_labels("labels.csv", "videos/")
    labels.videos["day1/cat"].segments      # told, points, segments, background: what each video gives
    labels.kind, labels.counts()            # "video", "point", "segment" or "mixed"; what there is of each class
    labels.problems                         # rows that were left out: where, what is wrong, what is allowed

A reader of another format makes `LabelRow` values and gives them to `gather`. ``docs/labels.md`` has the formats.
"""

from .label_reader import TABLES, gather, read_labels
from .label_rows import Kind, LabelRow, Problem, Rows
from .label_set import LEAST_VIDEOS, ClassCount, Labels, VideoLabels

__all__ = [
    "LEAST_VIDEOS",
    "TABLES",
    "ClassCount",
    "Kind",
    "LabelRow",
    "Labels",
    "Problem",
    "Rows",
    "VideoLabels",
    "gather",
    "read_labels",
]
