"""Which segments are cut: those of an archive's tables or of a file of results, with the videos that they are of."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..._util.extras import need
from ..._util.names import VIDEO_SUFFIXES, exists, path_ends, video_name, visible
from ...annotations import read_detections
from ...errors import DataError, UsageError, require
from ..archive.stores import open_store
from ..archive.tables import SEGMENTS

#: Files of results, by their ending; anything else is an archive's output.
RESULTS = frozenset([".json", ".jsonl", ".csv"])
_SAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, order=True)
class Clip:
    """A segment that is cut out of a video: seconds `start` to `end` of it, as they were found."""

    video: str
    start: float
    end: float
    label: str
    score: float
    subject: int | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Name of its file, without an ending: safe in any folder, and no two clips' alike.

        >>> from tal_engine.batch.clips.found import Clip
        >>> Clip("/day1/a b.mp4", 12.5, 15.0, "long jump", 0.9).name
        'a_b-0012.50-long_jump-c4b060cc'
        """
        whole = repr((self.video, self.start, self.end, self.label, self.subject))
        digest = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        plain = [_SAFE.sub("_", text).strip("._")[:60] or "-" for text in (video_name(self.video), self.label)]
        return f"{plain[0]}-{self.start:07.2f}-{plain[1]}-{digest}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is chosen of the segments: labels (none: all), scores from `min_score` on, the best `top` (0: all)."""

    labels: Sequence[str] = ()
    min_score: float | None = None
    top: int = 0

    def __post_init__(self) -> None:
        require(self.top >= 0, "top", self.top, "0 or more")

    def chosen(self, clips: Iterable[Clip], source: str) -> list[Clip]:
        """Return the clips that are wanted, by video and time.

        Args:
            clips: all that there are.
            source: what messages call their origin.

        Raises:
            UsageError: a label that no segment has, or nothing that is wanted.
        """
        every = list(clips)
        known = sorted({c.label for c in every})
        for label in self.labels:
            if label not in known:
                raise UsageError(f"{source}: no segment is a {label!r}; there are {', '.join(known) or 'none'}")
        least = float("-inf") if self.min_score is None else self.min_score
        kept = [c for c in every if (not self.labels or c.label in self.labels) and c.score >= least]
        if not kept:
            raise UsageError(f"{source}: no segment has a score of {least:g} or more")
        best = sorted(kept, key=lambda c: (-c.score, c))
        return sorted(best[: self.top] if self.top else best)


def clips_of(source: str, videos: Path | None = None, identity: str | None = None) -> list[Clip]:
    """Read the segments of an archive's output, or of a file of results, with the videos that they are of.

    Args:
        source: folder or address that `tal batch` wrote; or results (.json, .jsonl, .csv).
        videos: folder of the videos that results name, where the names are not paths of files.
        identity: of an output with the tables of several plans, those of ``plans/ID.json``.

    Raises:
        UsageError: several plans, and none is named; videos that are nowhere.
        DataError: what is there cannot be read.
        MissingExtraError: pyarrow or fsspec is not installed.
    """
    if "://" not in source and Path(source).suffix.lower() in RESULTS and not Path(source).is_dir():
        found = list(_of_results(Path(source)))
    else:
        found = list(_of_tables(source, identity))
    return _located(found, videos, source)


def _of_results(path: Path) -> Iterator[Clip]:
    table = read_detections(path)
    names = table.sources or table.videos
    columns = (table.video, table.start, table.end, table.label, table.score)
    for video, start, end, label, score in zip(*(c.tolist() for c in columns), strict=True):
        yield Clip(names[video], start, end, table.labels[label], score)


def _of_tables(source: str, identity: str | None) -> Iterator[Clip]:
    parquet = need("pyarrow.parquet")
    fs, root = open_store(source)
    try:
        plans = sorted(PurePosixPath(p).name for p in fs.ls(f"{root}/{SEGMENTS}", detail=False))
    except FileNotFoundError:
        raise UsageError(
            f"{source}: no output of tal batch, which has a folder {SEGMENTS}, and no {', '.join(sorted(RESULTS))}"
        ) from None
    known = [p.removeprefix("plan=") for p in plans if p.startswith("plan=")]
    if identity is not None and identity not in known:
        raise UsageError(f"{source}: no tables of {identity!r}; there are {', '.join(known) or 'none'}")
    if identity is None and len(known) > 1:
        raise UsageError(f"{source}: tables of {len(known)} plans or options, {', '.join(known)}: choose with --id")
    for path in sorted(fs.glob(f"{root}/{SEGMENTS}/plan={identity or ''.join(known)}/*.parquet")):
        try:
            rows: list[dict[str, Any]] = parquet.read_table(need("pyarrow").BufferReader(fs.cat_file(path))).to_pylist()
            for r in rows:
                yield Clip(r["video"], r["start"], r["end"], r["label"], r["score"], r["subject"])
        except (need("pyarrow").ArrowInvalid, KeyError) as e:
            raise DataError(f"{path}: not a part of an archive: {e}") from e


def _located(clips: list[Clip], folder: Path | None, source: str) -> list[Clip]:
    """Give each clip the path or address of its video."""
    files, at = _by_ends(folder), dict[str, str]()
    for name in dict.fromkeys(c.video for c in clips):
        found = next((files[end] for end in (name, *path_ends(name)) if end in files), [])
        if len(found) > 1:
            raise UsageError(f"{source}: the video {name!r} may be {found[0]} or {found[1]}")
        if found:
            at[name] = str(found[0])
        elif "://" in name or exists(name):
            at[name] = name
        else:
            where = f"nor in {folder}" if folder else "name the folder of the videos with --videos"
            raise UsageError(f"{source}: the video {name!r} is no file here, {where}")
    return [Clip(at[c.video], c.start, c.end, c.label, c.score, c.subject) for c in clips]


def _by_ends(folder: Path | None) -> dict[str, list[Path]]:
    """Return the videos of a folder by all that their paths end with, with and without their own ending."""
    by: dict[str, list[Path]] = defaultdict(list)
    for path in visible(sorted(folder.rglob("*"))) if folder is not None else ():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            parts = path.parts
            whole = ["/".join(parts[k:]) for k in range(len(parts))]
            for end in dict.fromkeys([*whole, *path_ends(path)]):
                by[end].append(path)
    return by
