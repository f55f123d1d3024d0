"""Feature files of other extractors: which file is whose, and the array in it. Nothing is unpickled into objects."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .._util import pickles
from .._util.arrays import ArrayFile, as_float32, memory_limit
from .._util.extras import need
from .._util.names import visible
from .._util.untrusted import guarded, read_bytes
from ..errors import FeatureError, UsageError

#: How the files of a folder are named: a file a video and kind of feature, a file a video, an archive of all videos.
Layout = Literal["video_features", "files", "hdf5"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

#: Ends of names that video_features gives to what is no feature.
_CLOCK = ("fps", "timestamps_ms")
#: Ends that it gives to features; others are taken where a file of `_CLOCK` says what the name before them is.
_KINDS = ("rgb", "flow", "clip", "resnet", "r21d", "s3d", "timm", "vggish")
_ENDS = (".npy", ".npz", ".csv", ".pkl")
_HDF5 = (".h5", ".hdf5")
#: The array of an .npz, in this order: of OpenTAD, of video_features' own .npz.
_KEYS = ("feats", "features")


class Clock(NamedTuple):
    """Where in time rows are, as files say it: frames a second, and seconds of each row; None where none do."""

    fps: float | None = None
    times: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class ForeignVideo:
    """The features of a video somewhere: by name, what reads each, [T, D], and its clock.

    source: a file of it, for messages.
    """

    name: str
    source: Path
    arrays: dict[str, Callable[[], NDArray[np.float32]]]
    clock: Callable[[], Clock] = Clock


def foreign_videos(source: Path, layout: Layout | None, pattern: str = "{name}") -> tuple[Layout, list[ForeignVideo]]:
    """List the videos whose features lie in a folder or file, by name.

    Args:
        source: a folder of files, or an HDF5 file.
        layout: how they are named; None: as they look.
        pattern: how a file's name is made of a video's, for "files" and "hdf5".

    Raises:
        UsageError: the pattern has no {name}, or nothing of the layout is there.
        FeatureError: the HDF5 file cannot be read.
        MissingExtraError: it is one and h5py is not installed.
    """
    if pattern.count("{name}") != 1:
        raise UsageError(f"pattern {pattern!r} must hold {{name}} once, such as 'v_{{name}}'")
    if not source.exists():
        raise UsageError(f"{source}: is not there")
    chosen = layout or _layout(source)
    if chosen == "hdf5":
        return chosen, list(_of_hdf5(source, pattern))
    if not source.is_dir():
        raise UsageError(f"{source}: is a file, layout {chosen} is a folder")
    files = sorted(p for p in visible(source.iterdir()) if p.suffix in _ENDS and p.is_file())
    found = _of_video_features(files) if chosen == "video_features" else _of_files(files, pattern)
    if not found:
        raise UsageError(f"{source}: holds no features of layout {chosen}{_others(source, files)}")
    return chosen, found


def _others(source: Path, files: Sequence[Path]) -> str:
    if files:
        return f"; its files are such as {files[0].name}"
    if any(source.glob("*.pt")):
        return ", but .pt files: save them with numpy.save, since torch is not asked here"
    return f" (files that end in {', '.join(_ENDS)})"


def _layout(source: Path) -> Layout:
    if source.is_file() and source.suffix in _HDF5:
        return "hdf5"
    names = [p.stem for p in source.iterdir()] if source.is_dir() else []
    return "video_features" if any(n.endswith("_timestamps_ms") for n in names) else "files"


def _of_video_features(files: Sequence[Path]) -> list[ForeignVideo]:
    """Group NAME_KIND files: the longest NAME that a file of the clock tells of, else what is before a known kind."""
    by_stem = {p.stem: p for p in files}
    clocked = {s.removesuffix(f"_{c}") for s in by_stem for c in _CLOCK if s.endswith(f"_{c}")}
    videos: dict[str, dict[str, Path]] = {}
    for stem, path in by_stem.items():
        parts = stem.split("_")
        heads = ["_".join(parts[:i]) for i in range(len(parts) - 1, 0, -1)]
        name = next((h for h in reversed(heads) if h in clocked), None) or (heads[0] if parts[-1] in _KINDS else None)
        if name is not None:
            videos.setdefault(name, {})[stem.removeprefix(f"{name}_")] = path
    out = []
    for name, of in sorted(videos.items()):
        arrays = {kind: _reader(path) for kind, path in of.items() if kind not in _CLOCK}
        if arrays:
            clock = [of.get(c) for c in _CLOCK]
            out.append(ForeignVideo(name, next(iter(of.values())), arrays, lambda c=clock: _clock(*c)))  # type: ignore[misc]
    return out


def _clock(fps: Path | None, times: Path | None) -> Clock:
    rate = None if fps is None else float(np.ravel(read_array(fps, dimensions=None))[0])
    if rate is not None and not (np.isfinite(rate) and rate > 0):
        raise FeatureError(f"{fps}: frames a second are {rate}, must be positive")
    if times is None:
        return Clock(rate)
    return Clock(rate, np.ravel(read_array(times, dimensions=None)).astype(np.float64) / 1000)


def _of_files(files: Sequence[Path], pattern: str) -> list[ForeignVideo]:
    before, after = pattern.split("{name}")
    fit = [
        p for p in files if p.stem.startswith(before) and p.stem.endswith(after) and len(p.stem) > len(before + after)
    ]
    return [ForeignVideo(_named(p.stem, before, after), p, {"features": _reader(p)}) for p in fit]


def _named(stem: str, before: str, after: str) -> str:
    return stem.removeprefix(before).removesuffix(after)


def _of_hdf5(source: Path, pattern: str) -> Iterator[ForeignVideo]:
    before, after = pattern.split("{name}")
    h5py = need("h5py")
    with guarded(source, "HDF5 file", FeatureError), h5py.File(source, "r") as file:
        names = [n for n in file if n.startswith(before) and n.endswith(after)]
    if not names:
        raise UsageError(f"{source}: holds nothing that is named like {pattern!r}")

    def reader(key: str) -> Callable[[], NDArray[np.float32]]:
        return lambda: _from_hdf5(source, key)

    for name in sorted(names):
        yield ForeignVideo(_named(name, before, after), source, {"features": reader(name)})


def _from_hdf5(source: Path, key: str) -> NDArray[np.float32]:
    """Read a video's dataset, or the only one of its group (ActivityNet's C3D)."""
    h5py = need("h5py")
    with guarded(f"{source}: {key!r}", "HDF5 file", FeatureError), h5py.File(source, "r") as file:
        found = file[key]
        if isinstance(found, h5py.Group):
            sets = [v for v in found.values() if isinstance(v, h5py.Dataset)]
            if len(sets) != 1:
                raise ValueError(f"it is a group of {len(sets)} arrays, must be an array or hold one")
            found = sets[0]
        if found.ndim != 2 or found.nbytes > memory_limit() or found.dtype.kind not in "fiu":
            raise ValueError(f"it is {found.dtype} of shape {list(found.shape)}, must be numbers [T, D]")
        return as_float32(np.asarray(found))


def _reader(path: Path) -> Callable[[], NDArray[np.float32]]:
    return lambda: read_array(path)


def read_array(path: Path, dimensions: int | None = 2) -> NDArray[np.float32]:
    """Read the one array of a file: ``.npy``, ``.npz`` (feats, features or its only one), ``.csv``, ``.pkl``.

    Args:
        path: of the file.
        dimensions: that it must have; None: any.

    Raises:
        FeatureError: there is none, it is no array of numbers, or of other dimensions.
    """
    array = as_float32(_READ[path.suffix](path))
    if dimensions is not None and (array.ndim != dimensions or not array.size):
        raise FeatureError(f"{path}: has shape {list(array.shape)}, must be [T, D]")
    return array


def _numpy(path: Path) -> NDArray[Any]:
    with ArrayFile(path, limit=memory_limit()) as file:
        if file.names is None:
            return file.read()
        name = next((k for k in _KEYS if k in file.names), file.names[0] if len(file.names) == 1 else None)
        if name is None:
            raise FeatureError(f"{path}: has arrays {', '.join(sorted(file.names)[:8])}, none is 'feats' or 'features'")
        return file.read(name)


def _csv(path: Path) -> NDArray[Any]:
    """Read numbers between commas; the first line may be names (MMAction2)."""
    data = read_bytes(path, "feature file", FeatureError, memory_limit())
    with guarded(path, "feature file", FeatureError):
        first = data.split(b"\n", 1)[0]
        try:
            [float(cell) for cell in first.split(b",")]
            names = 0
        except ValueError:
            names = 1
        return np.loadtxt(io.BytesIO(data), np.float32, delimiter=",", skiprows=names, ndmin=2)


def _pickle(path: Path) -> NDArray[Any]:
    """Read an array, or a list of rows, that somebody pickled."""
    data = read_bytes(path, "feature file", FeatureError, memory_limit())
    with guarded(path, "feature file", FeatureError):
        found = pickles.load(data)
        rows = found if isinstance(found, list) else [found]
        values = [r.value if isinstance(r, pickles.Array) else r for r in rows]
        array = np.asarray(values if isinstance(found, list) else values[0])
        if array.dtype.kind not in "fiu":
            raise ValueError(f"it holds {type(found).__name__} of {array.dtype}, must be an array of numbers")
        return array


_READ: dict[str, Callable[[Path], NDArray[Any]]] = {".npy": _numpy, ".npz": _numpy, ".csv": _csv, ".pkl": _pickle}
