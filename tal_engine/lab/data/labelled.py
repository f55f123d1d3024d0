"""From labels to the parts of a data set that trains: what each video supervises, and which are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...annotations import AnnotatedVideo
from ...annotations.labels import Labels
from ...annotations.points import Point, Points
from ...vocabulary import Vocabulary
from .catalog import Catalog
from .description import Role
from .label_splits import Split, roles_of


def points_of_labels(labels: Labels) -> Points:
    """Collect the points of each video: given ones, and the centre of each segment that holds none of its class."""
    out: dict[str, tuple[Point, ...]] = {}
    for v in labels:
        middles = [
            Point((s.start + s.end) / 2, s.label)
            for s in v.segments
            if not any(p.label == s.label and s.start <= p.seconds <= s.end for p in v.points)
        ]
        out[v.name] = tuple(sorted({*v.points, *middles}))
    return out


@dataclass(frozen=True)
class LabelledParts:
    """What labels give to a data set; see `DataSet` for the fields."""

    catalog: Catalog
    roles: Mapping[Role, str]
    points: Points
    notes: tuple[str, ...]

    def fields(self) -> dict[str, Any]:
        """Return the fields of the data set."""
        return {
            "vocabulary": self.catalog.vocabulary,
            "videos": self.catalog.videos,
            "roles": self.roles,
            "points": self.points,
            "points_outside": "keep",
            "mixed": True,
            "notes": self.notes,
        }


def parts_of(labels: Labels, split: Split | None = None, roles: Mapping[Role, str] | None = None) -> LabelledParts:
    """Derive the parts of a data set from labels.

    Each video gives what it has. For methods that read points that is its clicks, and the middle of each segment
    without one.

    Args:
        labels: of the videos; `probed`, where their files are to be trusted.
        split: what is held out where the labels name no subsets.
        roles: role -> subset of the labels; None finds them by `roles_of`.

    Raises:
        DataError: see `roles_of`.
    """
    if roles is None:
        found = roles_of(labels, split or Split())
        subsets, roles, notes = found.subsets, found.roles, found.notes
    else:
        subsets, notes = {v.name: v.subset for v in labels}, ()
    videos: tuple[AnnotatedVideo, ...] = tuple(v.annotated(subsets[v.name]) for v in labels)
    paths = {v.name: v.path for v in labels if v.path is not None}
    catalog = Catalog(labels.folder or labels.source.parent, Vocabulary(labels.classes), videos, paths)
    return LabelledParts(catalog, roles, points_of_labels(labels), (*_left_out(labels), *labels.notes, *notes))


def _left_out(labels: Labels) -> list[str]:
    if not labels.problems:
        return []
    first = "; ".join(map(str, labels.problems[:3]))
    return [f"{labels.rows_left_out} rows of {labels.source} were left out (tal data check lists all): {first}"]
