"""Videos of a folder: folders as labels, and which file a name in a label file means."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ..._util.names import VIDEO_SUFFIXES, without_ending
from ...errors import DataError
from .label_rows import LabelRow, RowError, Rows

#: A folder of this name holds videos in which none of the actions occurs.
BACKGROUND = "_background"
#: Names for which a similar one is looked for; each is compared with every file.
_GUESSED = 20


def video_files(folder: Path) -> list[Path]:
    """List the videos in a folder and those below, in order, without hidden ones; feature files if there are no videos.

    Raises:
        DataError: not a folder, or it has neither.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of videos").missing(folder)
    files = sorted(p for p in folder.rglob("*") if not any(q[0] == "." for q in p.relative_to(folder).parts))
    for endings in (VIDEO_SUFFIXES, {".npz", ".npy"}):
        if found := [p for p in files if p.suffix.lower() in endings and p.is_file()]:
            return found
    raise DataError(f"{folder}: no videos in this folder")


def read_folders(root: Path) -> Rows:
    """Read ``ROOT/CLASS/x.mp4``: each video has the name of its first folder as its label.

    Raises:
        DataError: see `video_files`.
    """
    out = Rows("folders")
    for path in video_files(root):
        relative = path.relative_to(root)
        where = relative.as_posix()
        if len(relative.parts) < 2:
            out.leave_out(
                where, RowError("lies in no folder of a class", "videos lie in ROOT/CLASS/, such as run/x.mp4")
            )
            continue
        label = relative.parts[0]
        out.rows.append(LabelRow(where, where, "" if label == BACKGROUND else label))
    return out


class VideoFiles:
    """Finds the file that a label file means: by relative path or by name, with or without a media ending.

    names: what each file is called from now on: its path in the folder, without the media ending unless another file
    differs in nothing else. The name of a file thus does not depend on files in other folders.
    """

    def __init__(self, files: Iterable[Path], root: Path) -> None:
        self.root = root
        relative = {path: path.relative_to(root).as_posix() for path in files}
        bare: dict[str, list[Path]] = defaultdict(list)
        for path, name in relative.items():
            bare[without_ending(name)].append(path)
        self.names = {p: without_ending(n) if len(bare[without_ending(n)]) == 1 else n for p, n in relative.items()}
        self._ends: dict[str, list[Path]] = defaultdict(list)
        self._whole: dict[str, list[Path]] = defaultdict(list)
        for path, name in relative.items():
            for key in {name, without_ending(name)}:
                self._whole[key.casefold()].append(path)
                parts = key.casefold().split("/")
                for i in range(len(parts)):
                    self._ends["/".join(parts[i:])].append(path)
        self._relative, self._guesses = relative, 0

    def find(self, name: str) -> Path:
        """Return the file that a name means.

        Raises:
            RowError: it means none, or two; the message names both.
        """
        written = name.replace("\\", "/").removeprefix("./").strip("/")
        asked = written.casefold()
        for spelling in dict.fromkeys((asked, without_ending(asked))):
            for found in self._candidates(spelling):
                exact = [p for p in found if written in (self._relative[p], without_ending(self._relative[p]))]
                if len(found) == 1 or len(exact) == 1:
                    return (exact or found)[0]
                if found:
                    both = " and ".join(repr(self._relative[p]) for p in self._closest(found)[:2])
                    raise RowError(
                        f"video {name!r} may be {both}", "give as much of the path, and the ending, as it takes"
                    )
        raise RowError(f"video {name!r} is not in {self.root}{self._similar(asked)}", "names are those of its files")

    def _candidates(self, spelling: str) -> Iterable[list[Path]]:
        """Yield candidates: this path; paths that end so, or are an end of it; with and without ActivityNet's v_."""
        yield self._whole.get(spelling, [])
        yield self._ends.get(spelling, [])
        parts = spelling.split("/")
        for i in range(1, len(parts)):
            yield self._whole.get("/".join(parts[i:]), [])
        if len(parts) == 1:
            yield self._ends.get(f"v_{spelling}", [])
            if spelling.startswith("v_"):
                yield self._ends.get(spelling[2:], [])

    def _closest(self, found: list[Path]) -> list[Path]:
        return sorted(found, key=lambda p: (self._relative[p].count("/"), self._relative[p]))

    def _similar(self, asked: str) -> str:
        self._guesses += 1
        near = difflib.get_close_matches(asked, self._ends, 1, 0.8) if self._guesses <= _GUESSED else []
        return f" ({self._relative[self._ends[near[0]][0]]!r} is similar)" if near else ""
