"""The videos of a studio: which files there are, which of the project's they are, and what is known of each."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .._util.names import VIDEO_SUFFIXES, without_ending
from .._util.opening import open_local
from ..annotations.labels.label_files import video_files
from ..errors import DataError, VideoError
from ..video.decode import first_video_stream
from .project import Project
from .state import Watched

_END_BYTES = 64 << 10
_THREADS = 4
#: What browsers play: container by ending, codec, and pixels of 8 bits.
_ENDINGS = {".mp4": {"h264", "av1", "vp9"}, ".m4v": {"h264"}, ".mov": {"h264"}, ".webm": {"vp8", "vp9", "av1"}}
_PIXELS = frozenset(["yuv420p", "yuvj420p", "nv12"])
#: Larger ones are played by a proxy.
LARGEST = (1920, 1088)


@dataclass
class Video:
    """A video: its file (None: it is not there), and what the file says. problem: title and detail, or None."""

    id: str
    name: str
    path: Path | None = None
    size: int = 0
    duration: float = 0.0
    fps: float = 0.0
    frames: int = 0
    width: int = 0
    height: int = 0
    codec: str = ""
    pixels: str = ""
    playable: bool = False
    problem: tuple[str, str] | None = None


@dataclass
class Library:
    """All videos by id, and what is odd about them as a whole."""

    folder: Path
    videos: dict[str, Video] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def usable(self) -> list[Video]:
        """Return the videos that can be read."""
        return [v for v in self.videos.values() if v.path is not None and v.problem is None]


def library_of(folder: Path, project: Project) -> Library:
    """Find the videos of a folder, those that a project knows by what it knows of them, and add the others to it.

    A file is one that the project knows if path and size are the same; else name and size; else size and content.

    Raises:
        DataError: no such folder, or no videos in it.
        OSError: the project cannot be written.
    """
    out = Library(folder)
    files = sizes_of(folder, project.folder)
    if not files:
        raise DataError(f"{folder}: no videos in this folder")
    out.videos = _taken(folder, files, dict(project.state.videos), project)
    for known_video in project.state.videos.values():
        if known_video.id not in out.videos:
            told = f"{known_video.name} ({known_video.size} bytes) is not in {folder}"
            lost = Video(known_video.id, known_video.name, problem=("The video is not there", told))
            out.videos[lost.id] = lost
    out.problems = _odd(out.videos.values(), project)
    return out


def added(library: Library, files: Iterable[Path], project: Project) -> list[Video]:
    """Add files that came while the studio runs to a library; return the videos that they are.

    A file may be a video that was lost or moved, or one that could not be read before because it was not whole.

    Args:
        library: changed, in one step.
        files: in its folder.
        project: that knows the videos.

    Raises:
        OSError: the project cannot be written.
    """
    sizes, at = {p: _size(p) for p in files}, {v.path: v for v in library.videos.values() if v.path is not None}
    with project.lock:
        state = project.state
        whole = [at[p] for p in sizes if p in at and at[p].problem is not None and not state.of_video(at[p].id)]
        for v in whole:
            assert v.path is not None  # noqa: S101 - a key of `at`
            project.note("video", id=v.id, name=v.name, size=sizes[v.path], digest=digest(v.path))
        again = {v.path for v in whole}
        here = {p: n for p, n in sizes.items() if p not in at or p in again}
        lost = {v.id for v in library.videos.values() if v.path is None or v.path in again or not v.path.exists()}
        taken = _taken(library.folder, here, {i: state.videos[i] for i in lost}, project)
    library.videos = {**library.videos, **taken}
    library.problems = _odd(library.videos.values(), project)
    return list(taken.values())


def _taken(folder: Path, files: Mapping[Path, int], known: dict[str, Watched], project: Project) -> dict[str, Video]:
    """Make videos of files: those that are known keep their ids, the others are added to the project."""
    names = {p: _shown(p.relative_to(folder).as_posix()) for p in files}
    found, out = _matched(files, names, known), dict[str, Video]()
    for path, size in files.items():
        name, mine = names[path], found.get(path)
        if mine is None:
            mine = _new_id(name, size, project)
            project.note("video", id=mine, name=name, size=size, digest=digest(path))
        elif project.state.videos[mine].name != name:
            project.note("video", id=mine, name=name, size=size, digest=project.state.videos[mine].digest)
        out[mine] = Video(mine, name, path, size)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="tal-studio-probe") as pool:
        list(pool.map(_probe, out.values()))
    return out


def copies_of(videos: Iterable[str], project: Project) -> set[str]:
    """Return videos with those that have the same content.

    Args:
        videos: their ids.
        project: that knows them.
    """
    known, wanted = project.state.videos, set(videos)
    same = {(known[i].size, known[i].digest) for i in wanted if i in known and known[i].digest}
    return wanted | {v.id for v in known.values() if (v.size, v.digest) in same}


def now(video: Video) -> tuple[str, str] | None:
    """Return the problem of a video as it is now: files are moved and replaced while a studio runs.

    Args:
        video: as it was when the studio began.
    """
    if video.problem is not None or video.path is None:
        return video.problem
    try:
        size = video.path.stat().st_size
    except OSError as e:
        return "The video is not there any more", f"{video.name}: {e.strerror}; put it back, or start the studio again"
    if size != video.size:
        told = f"{video.name} had {video.size} bytes, and has {size}: start the studio again"
        return "The video is another one now", told
    return None


def sizes_of(folder: Path, project: Path) -> dict[Path, int]:
    """Return the videos of a folder with their sizes in bytes, in order, without those below the project's folder.

    Args:
        folder: of the videos.
        project: its folder.

    Raises:
        DataError: no such folder, or no videos in it.
    """
    files, inside = video_files(folder), project.resolve()
    mine = (p for p in files if p.suffix.lower() in VIDEO_SUFFIXES and not p.resolve().is_relative_to(inside))
    return {p: _size(p) for p in mine}


def _shown(name: str) -> str:
    """Write a name in Unicode, also where the file system's bytes are none."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def digest(path: Path) -> str:
    """Return a digest of the beginning and the end of a file; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            found = hashlib.sha256(file.read(_END_BYTES))
            file.seek(max(_size(path) - _END_BYTES, 0))
            found.update(file.read(_END_BYTES))
    except OSError:
        return ""
    return found.hexdigest()[:32]


def _new_id(name: str, size: int, project: Project) -> str:
    for salt in range(1000):
        found = hashlib.sha256(f"{name}\n{size}\n{salt}".encode(errors="surrogateescape")).hexdigest()[:12]
        if found not in project.state.videos:
            return found
    raise AssertionError("a thousand ids are taken")


def _matched(sizes: Mapping[Path, int], names: Mapping[Path, str], known: dict[str, Watched]) -> dict[Path, str]:
    """Find which of the videos that are known each file is."""
    left, files = dict(known), list(sizes)
    found: dict[Path, str] = {}
    if not left:
        return found
    for exact in (True, False):
        for p in files:
            at = [v.id for v in left.values() if v.size == sizes[p] and _named_so(v.name, names[p], exact)]
            if p not in found and len(at) == 1:
                found[p] = at[0]
                del left[at[0]]
    for p in files:
        same = [v.id for v in left.values() if v.size == sizes[p] and v.digest]
        if p not in found and same and (told := digest(p)):
            at = [i for i in same if left[i].digest == told]
            if len(at) == 1:
                found[p] = at[0]
                del left[at[0]]
    return found


def _named_so(known: str, name: str, exact: bool) -> bool:
    return known == name if exact else known.rpartition("/")[2] == name.rpartition("/")[2]


def _probe(video: Video) -> None:
    """Read what a file says of itself."""
    assert video.path is not None  # noqa: S101 - of the folder
    try:
        with open_local(video.path) as container:
            source, stream = first_video_stream(video.name, container)
            context = stream.codec_context
            video.duration, video.fps = float(source.duration or 0.0), float(source.fps)
            video.width, video.height = stream.width or 0, stream.height or 0
            video.codec, video.pixels = context.name or "", context.pix_fmt or ""
            video.frames = stream.frames or round(video.duration * video.fps)
            video.playable = _plays(video)
    except VideoError as e:
        video.problem = ("The video cannot be read", str(e).replace(str(video.path), video.name))
    except Exception as e:  # what libraries raise of files that are broken in new ways must not end the studio
        video.problem = ("The video cannot be read", f"{video.name}: {type(e).__name__}: {e}")


def _plays(video: Video) -> bool:
    codecs = _ENDINGS.get(Path(video.name).suffix.lower(), set())
    fits = max(video.width, video.height) <= LARGEST[0] and min(video.width, video.height) <= LARGEST[1]
    return fits and video.pixels in _PIXELS and any(c in video.codec for c in codecs)


def _odd(videos: Iterable[Video], project: Project) -> list[str]:
    """Say which names are alike, and which files are the same."""
    bare, same = defaultdict[str, list[str]](list), defaultdict[tuple[int, str], list[str]](list)
    for v in videos:
        bare[without_ending(v.name.rpartition("/")[2]).casefold()].append(v.name)
        if v.path is not None and (told := project.state.videos[v.id].digest):
            same[v.size, told].append(v.name)
    alike = [f"names alike: {', '.join(sorted(of))}; files of labels must give the path" for of in bare.values()
             if len(of) > 1]  # fmt: skip
    return alike + [f"the same file twice: {', '.join(sorted(of))}" for of in same.values() if len(of) > 1]
