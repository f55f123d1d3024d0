"""Labels that there are already, of any format, as labels of a project."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

from ..annotations import read
from ..annotations.formats.table import Annotation, AnnotationTable
from ..annotations.labels.label_files import VideoFiles
from ..annotations.labels.label_rows import RowError
from ..errors import DataError
from .classes import with_classes
from .labels import Label
from .library import Library, Video
from .project import Project
from .state import FILE

_MOST_PROBLEMS = 50


def import_labels(path: Path, library: Library, project: Project) -> dict[str, Any]:
    """Add the labels of a file to a project; those that it has already are not added again.

    A file has all actions of the videos that it names, as it has for `tal fit`: those videos are done.

    Args:
        path: a file or folder of any format that `tal_engine.annotations.read` reads.
        library: the videos.
        project: gets classes and labels.

    Returns:
        file, labels (how many were added), problems (rows that were left out).

    Raises:
        DataError: it cannot be read, or is about other videos.
        OSError: the project cannot be written.
    """
    digest = _digest(path)
    if (known := project.state.imported.get(digest)) is not None:
        return known
    table = read(path, video=library.folder)
    problems: list[str] = [*table.notes]
    rows = _of_library(table, library, problems)
    if not rows:
        why = f" ({problems[0]})" if problems else ""
        raise DataError(f"{path}: none of its labels is of a video in {library.folder}{why}")
    names = sorted({r.label for _, r in rows if r.label})
    with_classes(project, names)
    there = {_said(x) for x in project.state.labels.values()}
    added = [x for v, r in rows if (x := _label(v, r, path.name, problems)) is not None
             and _said(x) not in there]  # fmt: skip
    _tell_whole(project, rows)
    project.add_all(f"import-{digest}-{uuid.uuid4().hex}", FILE + path.name, added)
    shown = [*dict.fromkeys(problems)]
    more = [f"and {len(shown) - _MOST_PROBLEMS} others"] if len(shown) > _MOST_PROBLEMS else []
    done = {"file": path.name, "labels": len(added), "problems": [*shown[:_MOST_PROBLEMS], *more]}
    project.note("imported", digest=digest, **done)
    return done


def _said(x: Label) -> tuple[object, ...]:
    """Give what makes two labels the same: two persons may do the same at once."""
    return x.video, x.kind, x.start, x.end, x.label, x.subject


def _of_library(table: AnnotationTable, library: Library, problems: list[str]) -> list[tuple[Video, Annotation]]:
    """Find the video of each row; those of other videos are left out, and named in one problem."""
    files = {v.path: v for v in library.videos.values() if v.path is not None}
    finder = VideoFiles(files, library.folder)
    rows: list[tuple[Video, Annotation]] = []
    strange: dict[str, str] = {}
    for row in table:
        try:
            rows.append((files[finder.find(row.video)], row))
        except RowError as e:
            strange.setdefault(row.video, f"{e.wrong}; {e.allowed}")
    if strange:
        rest = f", and {len(strange) - 1} more such videos" if len(strange) > 1 else ""
        problems.append(f"{next(iter(strange.values()))}{rest}: their labels are left out")
    return rows


def _label(video: Video, row: Annotation, file: str, problems: list[str]) -> Label | None:
    """Make a label of a row with a time; None where it has none, or one that is not in the video."""
    if row.start is None or not row.label:
        return None
    end = row.start if row.end is None else row.end
    if not 0 <= row.start <= end:
        problems.append(f"{video.name}: {row.label!r} from {row.start:g} to {end:g} s, must be 0 <= start <= end")
        return None
    if video.duration:
        if row.start > video.duration:
            problems.append(f"{video.name}: {row.label!r} at {row.start:g} s is after its end, {video.duration:g} s")
            return None
        end = min(end, max(video.duration, row.start))
    kind = "point" if row.end is None or row.start == end else "segment"
    return Label(uuid.uuid4().hex, video.id, kind, row.start, end, row.label, row.subject, row.comment, FILE + file)  # type: ignore[arg-type]


def _tell_whole(project: Project, rows: list[tuple[Video, Annotation]]) -> None:
    """Keep labels of whole videos; one without a name says that none of the actions occurs."""
    told: dict[str, set[str]] = {}
    for video, row in rows:
        if row.start is None:
            told.setdefault(video.id, set()).update([row.label] if row.label else [])
    if told:
        project.note("told", told={v: sorted(of | set(project.state.videos[v].told)) for v, of in told.items()})
    for video_id in dict.fromkeys(v.id for v, _ in rows):
        project.note("watched", id=video_id, fields={"done": True})


def _digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        try:
            found.update(file.read_bytes())
        except OSError as e:
            raise DataError(f"{file}: cannot be read ({e.strerror})") from e
    return found.hexdigest()[:32]
