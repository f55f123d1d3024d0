"""From label files to labels of videos: rows that cannot be used are left out and named, the others are used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ..._util.names import VIDEO_SUFFIXES, without_ending
from ..._util.untrusted import listed
from ...errors import DataError
from ...records import Segment
from ..formats.convert import read, tool_of
from ..formats.registry import readable
from ..points import Point
from ..readers import read_annotations
from .label_files import VideoFiles, read_folders, video_files
from .label_json import read_activitynet, rows_of
from .label_rows import LabelRow, Problem, RowError, Rows, together
from .label_set import Labels, VideoLabels
from .label_table import read_table

T = TypeVar("T")

#: Formats that are read here, row by row, so that bad rows are left out and named.
_OWN = ("csv", "tsv", "studio", "activitynet", "thumos14")

#: Endings of files that are read as tables.
TABLES = (".csv", ".tsv", ".txt", ".tab")


def read_labels(
    path: str | Path,
    videos: str | Path | None = None,
    *,
    classes: Sequence[str] = (),
    allow_pickle: bool = False,
    fps: float | None = None,
) -> Labels:
    """Read the labels of videos: of whole videos, points, segments, or some of each.

    Args:
        path: a table (``.csv``, ``.tsv``, ``.txt``) with a header such as ``video,label``, ``video,time,label`` or
            ``video,start,end,label``; ActivityNet-style ``.json``, with or without segments; a folder whose folders are
            the classes (``CLASS/x.mp4``); one of the folder layouts of `read_annotations`; or a file of an annotation
            tool (ELAN, BORIS, CVAT, ...: ``docs/formats.md``), or a folder of them. See ``docs/labels.md``.
        videos: the folder of the videos; each row must then name one of its files, by name or relative path, with or
            without the ending. None takes names as they are, without media endings. A folder as `path` is its own.
        classes: the only labels that are allowed, and their order; default: those that occur.
        allow_pickle: see `read_annotations`.
        fps: frames a second, where a tool's file counts frames; default: the times of the frames of `videos`.

    Returns:
        What each video gives, and every row that was left out with the reason.

    Raises:
        DataError: missing, of no known layout, or no row can be used; the message lists the rows.
    """
    path = Path(path)
    found = _rows(path, allow_pickle, videos, fps)
    if videos is None and found.form == "folders":
        videos = path
    return gather(found, path, Path(videos) if videos is not None else None, classes)


def _rows(path: Path, allow_pickle: bool, videos: str | Path | None, fps: float | None) -> Rows:
    if path.is_dir():
        if (path / "annotations.json").is_file():
            return read_activitynet(path / "annotations.json")
        if (path / "segments.npy").exists() or any(path.glob("*_test.txt")) or any(path.glob("annotation_*/*_*.txt")):
            return rows_of(read_annotations(path, allow_pickle=allow_pickle))
        inside = None if _has_videos(path) else _tool_in(path)
        return read_folders(path) if inside is None else _of_tool(path, inside, videos, fps)
    if not path.exists():
        raise DataError(f"{path}: no such file of labels").missing(path)
    if path.is_file() and (tool := tool_of(path)) is not None and tool.name not in _OWN:
        return _of_tool(path, tool.name, videos, fps)
    readers: dict[str, Callable[[Path], Rows]] = {".json": read_activitynet, **dict.fromkeys(TABLES, read_table)}
    if path.suffix.lower() not in readers:
        tools = ", ".join(sorted({e for f in readable() for e in f.suffixes} - readers.keys()))
        known = f"labels are {', '.join(readers)}, or of a tool: {tools}"
        raise DataError(f"{path}: cannot tell the form of a {path.suffix!r} file; {known}")
    return readers[path.suffix.lower()](path)


def _has_videos(folder: Path) -> bool:
    return any(p.suffix.lower() in VIDEO_SUFFIXES for p in folder.rglob("*"))


def _tool_in(folder: Path) -> str | None:
    """Format of the first file in a folder that is of a tool: one video's labels a file, as tools write them."""
    files = (p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith("."))
    return next((tool.name for p in files if (tool := tool_of(p)) is not None), None)


def _of_tool(path: Path, name: str, videos: str | Path | None, fps: float | None) -> Rows:
    """Read a file of an annotation tool; frames are counted by the videos themselves, where their folder is known."""
    table = read(path, name, fps=fps, video=None if fps is not None else videos)
    rows = Rows(name, notes=list(table.notes))
    rows.durations = {video: m.duration for video, m in table.media.items() if m.duration}
    for number, r in enumerate(table, 1):
        where = f"annotation {number}"
        rows.rows.append(LabelRow(where, r.video, r.label, r.start, r.end, "", r.subject, r.score, r.comment))
    return rows


def gather(found: Rows, source: Path, folder: Path | None = None, classes: Sequence[str] = ()) -> Labels:
    """Collect labels from the rows that a reader of any layout found; see `read_labels`.

    Raises:
        DataError: no row can be used.
    """
    problems, notes = list(found.problems), list(found.notes)
    names, paths, unlabelled = _named(found.rows, folder, problems)
    allowed = tuple(classes)
    of: dict[str, list[LabelRow]] = defaultdict(list)
    for row in found.rows:
        if row.video not in names:
            continue
        if allowed and row.label and row.label not in allowed:
            problems.append(Problem(row.where, f"label {row.label!r} is no class", f"allowed are {', '.join(allowed)}"))
            continue
        of[names[row.video]].append(row)
    known = {names[v]: d for v, d in found.durations.items() if v in names}
    doubtful = {names[v]: tuple(d) for v, d in found.ambiguous.items() if v in names}
    videos = {
        n: _video(n, paths.get(n), rows, known.get(n, 0.0), doubtful.get(n, ()), problems)
        for n, rows in sorted(of.items())
    }
    used = sorted({label for v in videos.values() for label in v.labels})
    if not used:
        what = [str(p) for p in together(problems)] or ["it has no rows that name a class"]
        raise DataError(f"{source}: no labels are left: {listed(what)}")
    order = allowed or (found.classes if set(used) <= set(found.classes) else ())
    notes += _odd_names(used)
    unseen = [name for name in unlabelled if name not in videos]
    return Labels(
        source, videos, order or tuple(used), tuple(together(_by_line(problems))), tuple(notes), tuple(unseen), folder
    )


def _named(
    rows: Sequence[LabelRow], folder: Path | None, problems: list[Problem]
) -> tuple[dict[str, str], dict[str, Path], list[str]]:
    """Return the names of the rows' videos, the file of each, and all names of the folder."""
    asked = dict.fromkeys(row.video for row in rows)
    if folder is None:
        return {v: without_ending(v.replace("\\", "/").removeprefix("./")) for v in asked}, {}, []
    files = VideoFiles(video_files(folder), folder)
    names: dict[str, str] = {}
    paths: dict[str, Path] = {}
    wrong: dict[str, RowError] = {}
    for video in asked:
        try:
            path = files.find(video)
            names[video] = files.names[path]
            paths[names[video]] = path
        except RowError as e:
            wrong[video] = e
    for row in rows:
        if (why := wrong.get(row.video)) is not None:
            problems.append(Problem(row.where, why.wrong, why.allowed))
    return names, paths, list(files.names.values())


def _video(
    name: str,
    path: Path | None,
    rows: Sequence[LabelRow],
    duration: float,
    doubtful: tuple[tuple[float, float], ...],
    problems: list[Problem],
) -> VideoLabels:
    """Combine the rows of one video."""
    told: dict[str, str] = {}
    points: dict[Point, LabelRow] = {}
    segments: dict[Segment, LabelRow] = {}
    empty = [row for row in rows if not row.label]
    subset = group = ""
    for row in rows:
        wrong = _elsewhere(name, "subset", row.subset, subset) or _elsewhere(name, "group", row.group, group)
        if wrong:
            problems.append(Problem(row.where, *wrong))
            continue
        subset, group = subset or row.subset, group or row.group
        if row.start is None:
            told.setdefault(row.label, row.where)
        elif row.end is None:
            _once(points, Point(row.start, row.label), row, problems)
        else:
            _once(segments, Segment(row.start, row.end, row.label, 1.0), row, problems)
    told.pop("", None)
    acts = bool(told or points or segments)
    if acts:
        problems += [Problem(r.where, f"says that nothing happens in video {name!r}, which has labels in other rows",
                             "an empty label is a video's only one") for r in empty]  # fmt: skip
    at = sorted(segments, key=lambda s: (s.start, s.end, s.label))
    return VideoLabels(name, path, tuple(sorted(told)), tuple(sorted(points)), tuple(at), not acts, subset, duration,
                       doubtful, group)  # fmt: skip


def _elsewhere(video: str, what: str, named: str, before: str) -> tuple[str, str] | None:
    """Say what is wrong with a row that puts a video into a second subset or group; None where it does not."""
    if not named or not before or named == before:
        return None
    return f"puts video {video!r} into {what} {named!r}, which is in {before!r}", f"a video is in one {what}"


def _once(found: dict[T, LabelRow], item: T, row: LabelRow, problems: list[Problem]) -> None:
    """Take a point or a segment; of two persons who do the same at once the video has it once, and nothing is wrong."""
    first = found.setdefault(item, row)
    if first is not row and first.subject == row.subject:
        problems.append(Problem(row.where, f"repeats {first.where}", "each point and each segment is there once"))


def _by_line(problems: list[Problem]) -> list[Problem]:
    """Sort problems in the order of the file's lines, if they are of lines."""
    return sorted(problems, key=lambda p: int(n) if (n := p.where.removeprefix("line ")).isdecimal() else 0)


def _odd_names(labels: Sequence[str]) -> list[str]:
    """Note classes that may be one by mistake."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        alike["".join(label.casefold().split())].append(label)
    return [f"classes {' and '.join(map(repr, same))} differ only in capitals or blanks: are they one?"
            for same in alike.values() if len(same) > 1]  # fmt: skip
