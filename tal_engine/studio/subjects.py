"""Whom labels can be about: persons of skeleton files beside the videos, and names that labels have already."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._util.names import without_ending
from ..errors import TALError, UsageError
from ..pose.persons import SeenPerson, in_order, persons_of
from .library import Video
from .project import Project

_ENDING = ".csv"
_LONGEST = 200


class Skeletons:
    """Who is in the skeleton file of each video; a file is read again only when it is another one. Safe to share.

    A skeleton file has the name of its video and the ending ``.csv``.

    Args:
        folder: of the skeleton files; None: beside the videos.
        videos: the folder of the videos.
    """

    def __init__(self, folder: Path | None, videos: Path) -> None:
        self._folder, self._videos, self._lock = folder, videos, threading.Lock()
        self._known: dict[Path, tuple[tuple[int, int], tuple[SeenPerson, ...]]] = {}

    def persons(self, video: Video) -> tuple[SeenPerson, ...]:
        """Return who is in a video; nobody where it has no skeleton file, or one of a person without a name.

        Args:
            video: of the library.

        Raises:
            DataError: its file cannot be read.
        """
        path = self._file(video)
        if path is None:
            return ()
        status = path.stat()
        now = status.st_mtime_ns, status.st_size
        with self._lock:  # of two pages that ask at once, one reads
            if self._known.get(path, (None,))[0] != now:
                self._known[path] = now, persons_of(path, video.fps)
            return self._known[path][1]

    def _file(self, video: Video) -> Path | None:
        if video.path is None:
            return None
        places = [video.path.with_name(without_ending(video.path.name) + _ENDING)]
        if self._folder is not None:
            inside = Path(without_ending(video.path.relative_to(self._videos).as_posix()) + _ENDING)
            places = [self._folder / inside, self._folder / inside.name]
        return next((p for p in places if p.is_file()), None)


def name_subjects(project: Project, names: Iterable[str]) -> None:
    """Keep names of persons that labels can be about in every video.

    Args:
        project: changed, unless it has them.
        names: of persons.

    Raises:
        UsageError: a name is empty or too long.
        OSError: the project cannot be written.
    """
    wanted = list(dict.fromkeys(names))
    if odd := [n for n in wanted if not n or len(n) > _LONGEST or not n.isprintable()]:
        raise UsageError(f"subject is {odd[0][:100]!r}, must be a name of 1 to {_LONGEST} printable characters")
    if set(wanted) - set(project.state.subjects):
        project.note("subjects", names=[*dict.fromkeys([*project.state.subjects, *wanted])])


def subjects_of(video: Video, skeletons: Skeletons, project: Project) -> dict[str, Any]:
    """Return whom labels of a video can be about, persons of its skeletons first.

    Args:
        video: of the library.
        skeletons: of its videos.
        project: whose labels and names are looked at.

    Returns:
        subjects (name; source: pose, project or labels; first and last second that it is seen, or None), and problem
        (title and detail, or None) where the skeletons cannot be read.
    """
    problem: dict[str, str] | None = None
    seen: tuple[SeenPerson, ...] = ()
    try:
        seen = skeletons.persons(video)  # without the project's lock: a long file takes seconds
    except (TALError, OSError) as e:
        problem = {"title": "Who is in the video is not known", "detail": str(e)}
    found = [{"name": p.name, "source": "pose", "first": p.first, "last": p.last} for p in seen]
    known = {p.name for p in seen}
    with project.lock:
        named = [n for n in project.state.subjects if n not in known]
        labelled = sorted({x.subject for x in project.state.labels.values()} - {"", *known, *named}, key=in_order)
    found += [{"name": n, "source": "project", "first": None, "last": None} for n in named]
    found += [{"name": n, "source": "labels", "first": None, "last": None} for n in labelled]
    return {"subjects": found, "problem": problem}
