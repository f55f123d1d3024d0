"""What videos are called: which endings are endings, how several are told apart, and names from elsewhere.

A dot inside a name is part of it: ``clip_660.0_810.0`` and ``gate.north`` have no ending. Two videos of one file name
in two folders are called by as much of their paths as tells them apart: ``day1/00.10`` and ``day2/00.10``.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from ..errors import DataError, UsageError
from .redaction import redact

#: Endings of video files: those in a folder count as its videos; a file that is named is always tried.
VIDEO_SUFFIXES = frozenset([
    ".3g2", ".3gp", ".apng", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265", ".264", ".265",
    ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe",
    ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv",
    ".wtv", ".y4m",
])  # fmt: skip
#: Endings of pictures.
IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
#: Endings of files that list other files or addresses, which are played one after another.
PLAYLIST_SUFFIXES = frozenset([".ffconcat", ".m3u", ".m3u8", ".mpd", ".pls", ".sdp"])
#: How a playlist that lies on this machine is asked for: it may then read other files of this machine, no addresses.
PLAYLIST = "playlist:"
#: Endings of files of motion capture, which stand in the place of videos.
MOTION_SUFFIXES = frozenset([".amc", ".bvh"])
#: All that is an ending and no part of a video's name; features are kept under their video's name.
MEDIA_ENDINGS = VIDEO_SUFFIXES | IMAGE_SUFFIXES | PLAYLIST_SUFFIXES | MOTION_SUFFIXES | {".npz", ".npy"}

#: Letters that some file system does not take in a name, and those that are part of a path.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
#: Longest name of a file that is made of a video's name, bytes.
_LONGEST = 180

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)([^?#]*)")


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether a path exists; False for texts that cannot be paths, such as long addresses."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for names that are too long


def visible(paths: Iterable[Path]) -> Iterator[Path]:
    """Skip hidden files: dot-files are leftovers of killed runs or of other systems, not videos."""
    return (p for p in paths if not p.name.startswith("."))


def ending(name: str) -> str:
    """Return the media ending of a file's name, as it is written, or ""."""
    dot = name.rfind(".")
    suffix = name[dot:] if dot > 0 else ""
    return suffix if suffix.lower() in MEDIA_ENDINGS else ""


def without_ending(name: str) -> str:
    """Remove a name's media ending, if it has one; any other dot is part of the name."""
    return name[: len(name) - len(ending(name))]


def video_name(source: str | os.PathLike[str]) -> str:
    """Return a video's shortest name: the end of its path or address, without a media ending."""
    return next(_candidates(os.fspath(source)))


def _parts(source: str) -> list[str]:
    """Split a path into folders and name, or an address into host and path, without user and parameters."""
    source = source.removeprefix(PLAYLIST)
    if match := _ADDRESS.match(redact(source)):
        return [p for p in (match[1].rpartition("@")[2], *match[2].split("/")) if p] or [redact(source)]
    return [p for p in source.split("/") if p not in ("", ".")] or [source]


def _candidates(source: str) -> Iterator[str]:
    """Yield names from short to long: each end of the path, without and with the ending."""
    parts = _parts(source)
    for count in range(1, len(parts) + 1):
        whole = "/".join(parts[-count:])
        yield without_ending(whole)
        if ending(whole):
            yield whole


def path_ends(source: str | os.PathLike[str]) -> list[str]:
    """List names that a video's other files may have: ends of its path without a media ending, longest first."""
    ends = [without_ending(name) for name in _candidates(os.fspath(source))]
    return [e for e in reversed(list(dict.fromkeys(ends))) if ".." not in e.split("/")]


def distinct_names(sources: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Name several videos: each by the shortest end of its path that no other one has.

    Args:
        sources: paths or addresses.

    Raises:
        UsageError: the same source is given twice; the message names it.
    """
    return _apart([_candidates(_absolute(s)) for s in sources], sources, str)


def short_names(names: Sequence[str]) -> list[str]:
    """Do the same for names in a file of results, each given once; they need not be paths on this machine."""
    return _apart([chain(_candidates(n), [n]) for n in names], names, str)


def file_names(sources: Sequence[str | os.PathLike[str]], *, folders: bool = False) -> list[str]:
    """Do the same for names of files to write: without special characters, and distinct when case is ignored.

    If nothing else distinguishes two names, a hash of their whole paths does.

    Args:
        sources: see `distinct_names`.
        folders: keep ``/`` between folders; else it is written as ``-``.

    Raises:
        UsageError: the same source is given twice; the message names it.
    """
    safe = _safe_path if folders else _safe
    longer = [chain(_candidates(_absolute(s)), [_hashed(_absolute(s))]) for s in sources]
    return [safe(name) for name in _apart(longer, sources, lambda name: _folded(safe(name)))]


def _hashed(source: str) -> str:
    return f"{video_name(source)}-{hashlib.sha256(os.fsencode(source)).hexdigest()[:8]}"


def _absolute(source: str | os.PathLike[str]) -> str:
    text = os.fspath(source).removeprefix(PLAYLIST)
    return text if _ADDRESS.match(text) else os.path.abspath(text)  # noqa: PTH100 - Path.absolute keeps ".."


def _apart(
    longer: Sequence[Iterator[str]], sources: Sequence[str | os.PathLike[str]], key: Callable[[str], str]
) -> list[str]:
    """Choose the first name of each source whose key no other has: equal names are lengthened until they differ."""
    names = [next(c) for c in longer]
    while True:
        same: dict[str, list[int]] = defaultdict(list)
        for i, name in enumerate(names):
            same[key(name)].append(i)
        groups = [group for group in same.values() if len(group) > 1]
        if not groups:
            return names
        for group in groups:
            grown = {i: next(longer[i], None) for i in group}
            if all(name is None for name in grown.values()):
                both = " and ".join(repr(redact(os.fspath(sources[i]))) for i in group[:2])
                raise UsageError(f"{both} cannot be told apart in results, both are {names[group[0]]!r}: rename one")
            names = [grown.get(i) or name for i, name in enumerate(names)]


def _folded(name: str) -> str:
    """Normalise a name, so that names of one file on a disk that ignores case or accents' encodings are equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _safe(name: str) -> str:
    """Make a name a valid file name in any folder."""
    plain = _UNSAFE.sub("-", name).rstrip(" .") or "-"
    plain = f"_{plain}" if plain.startswith(".") else plain
    if len(os.fsencode(plain)) <= _LONGEST:
        return plain
    return f"{plain[:40]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"


def _safe_path(name: str) -> str:
    return "/".join(_safe(part) for part in name.split("/"))


class Finder:
    """Finds known videos by what a result calls them: the whole name, then without a media ending, then less path.

    Args:
        known: names as the truth has them; of two that differ only by their ending, neither is found without it.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = set(known)
        bare: dict[str, list[str]] = defaultdict(list)
        for name in self._known:
            bare[without_ending(name)].append(name)
        self._bare = {name: full_names[0] for name, full_names in bare.items() if len(full_names) == 1}

    def __call__(self, name: str) -> str | None:
        """Return the known name, or None."""
        if name in self._known:
            return name
        longest_first = reversed(list(_candidates(name)))
        for candidate in (without_ending(name), *longest_first):
            if candidate in self._known:
                return candidate
            if (full_name := self._bare.get(without_ending(candidate))) is not None:
                return full_name
        return None


def found_names(names: Sequence[str], known: Iterable[str], source: str) -> list[str | None]:
    """Match names of results to those of the truth, None for unknown ones.

    Args:
        names: names in the results, each once.
        known: names in the truth.
        source: what messages call the results' origin.

    Raises:
        DataError: two names are one video of the truth; it names both.
    """
    find, owner = Finder(known), dict[str, str]()
    matches = [find(name) for name in names]
    for name, match in zip(names, matches, strict=True):
        if match is not None and owner.setdefault(match, name) != name:
            raise DataError(f"{source}: {owner[match]!r} and {name!r} are both the video {match!r} of the truth")
    return matches
