"""Optical flow that somebody computed before: folders of jpg pairs, or npz files, put on the grid of slots.

Stored flow i goes from slot i to slot i + 1 of the grid that the snippets are cut from, so it has to be computed on
the same frames a second. Nothing is resampled in time: flow between other frames is other flow.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FlowError
from ..options import SnippetOptions
from ..records import Snippets
from .flow import finished
from .grid import slots_of
from .snippet import cropped, fit, fitted_size
from .source import VideoSource

_IMAGE = re.compile(r"flow_([xy])_(\d+)\.jpg")


@dataclass(frozen=True)
class StoredFlow:
    """Flow of one video: `read(i)` gives field i of `count`, [H, W, 2] float32 (x, y), pixels."""

    name: str
    count: int
    read: Callable[[int], NDArray[np.float32]]


@dataclass(frozen=True)
class FlowFiles:
    """A folder with the flow of many videos: ``ROOT/NAME/flow_x_00001.jpg`` (and y), or ``ROOT/NAME.npz``.

    bound: pixels that 0 and 255 of a jpg stand for, with the sign; denseflow's ``-b``.
    """

    root: Path
    bound: float = 20.0
    name = "stored"

    def __call__(self, snippets: Iterable[Snippets], options: SnippetOptions, video: VideoSource) -> Iterator[Snippets]:
        """The snippets of a video with its stored flow; see `with_stored_flow`."""
        flow = open_flow(self.root, Path(video.name).stem, self.bound)
        return with_stored_flow(snippets, options, flow, lambda: video.seen)


def open_flow(root: Path, name: str, bound: float = 20.0) -> StoredFlow:
    """Find the flow of a video.

    Raises:
        FlowError: there is none, a jpg of a pair or between two others is missing, or an npz is not as it should be.
    """
    if (root / name).is_dir():
        return _images(root / name, bound)
    if (root / f"{name}.npz").is_file():
        return _archive(root / f"{name}.npz")
    raise FlowError(f"{root}: no flow of {name!r}; looked for {name}/flow_x_00001.jpg and {name}.npz")


def with_stored_flow(
    snippets: Iterable[Snippets], options: SnippetOptions, flow: StoredFlow, seen: Callable[[], float]
) -> Iterator[Snippets]:
    """Add stored flow to snippets as if it were computed: fitted as frames are, last one repeated, clipped.

    Fields are of whole frames, whatever `flow_of` says: they are resized and cropped as frames are, and their values
    grow with the resize. Frames that repeat move by zero, whatever is stored: 8-bit flow has no exact zero.

    Args:
        seen: seconds of video that were read, asked at the end to check the count: one field a slot, or one less.

    Raises:
        FlowError: there are fewer or more fields than the video's slots ask for, or one cannot be read.
    """
    size = options.for_flow
    for batch in snippets:
        frames = batch.frames
        out = np.zeros((*frames.shape[:2], size.crop, size.crop, 2), np.float32)
        moves = (frames[:, :-1] != frames[:, 1:]).any((2, 3, 4))
        for i, j in np.argwhere(moves).tolist():
            slot = (batch.first + i) * options.stride + j
            if slot >= flow.count:
                raise FlowError(f"{flow.name}: has {flow.count} fields, snippet {batch.first + i} needs field {slot}")
            out[i, j] = _fitted(flow.read(slot), size)
        yield replace(batch, frames=cropped(frames, options), flow=finished(out, options.flow_clip))
    slots = slots_of(seen(), options)
    if flow.count not in (slots - 1, slots):
        raise FlowError(
            f"{flow.name}: has {flow.count} fields, the video has {slots} slots at {options.fps:g} a second, which "
            f"takes {slots - 1} (or {slots} with a last one that is not read)"
        )


def _fitted(field: NDArray[np.float32], options: SnippetOptions) -> NDArray[np.float32]:
    h, w = field.shape[:2]
    tall, wide = fitted_size(h, w, options)
    return fit(field, options) * np.array([wide / w, tall / h], np.float32)


def _images(folder: Path, bound: float) -> StoredFlow:
    """Numbers may begin at 0 (open-mmlab/denseflow) or 1 (yjxiong/dense_flow), and follow one another."""
    found: dict[str, dict[int, Path]] = {"x": {}, "y": {}}
    for path in folder.iterdir():
        if match := _IMAGE.fullmatch(path.name):
            found[match[1]][int(match[2])] = path
    numbers = sorted(found["x"].keys() | found["y"].keys())
    if not numbers:
        raise FlowError(f"{folder}: no flow; looked for files such as flow_x_00001.jpg")
    first = min(numbers[0], 1)
    wanted = range(first, numbers[-1] + 1)
    missing = [f"flow_{axis}_{n:05d}.jpg" for n in wanted for axis in "xy" if n not in found[axis]]
    if missing:
        raise FlowError(f"{folder}: {len(missing)} files are missing, the first is {missing[0]}")

    def read(i: int) -> NDArray[np.float32]:
        x, y = (_grey(found[axis][first + i]) for axis in "xy")
        if x.shape != y.shape:
            raise FlowError(f"{folder}: field {first + i} is {list(x.shape)} in x and {list(y.shape)} in y")
        return np.stack([x, y], -1).astype(np.float32) * np.float32(2 * bound / 255) - np.float32(bound)

    return StoredFlow(str(folder), len(wanted), read)


def _grey(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FlowError(f"{path}: is not a picture that can be read")
    return image.astype(np.uint8, copy=False)


def _archive(path: Path) -> StoredFlow:
    """An npz with `flow` [F, H, W, 2], float16 or float32 pixels; held in memory."""
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = file["flow"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise FlowError(f"{path}: cannot be read as an npz with an array 'flow' ({e})") from e
    if fields.ndim != 4 or fields.shape[-1] != 2 or fields.dtype not in (np.float16, np.float32):
        raise FlowError(
            f"{path}: 'flow' is {list(fields.shape)} of {fields.dtype}, must be [F, H, W, 2] of float16 or float32"
        )
    if not np.isfinite(fields).all():
        raise FlowError(f"{path}: 'flow' has values that are NaN or infinite")
    return StoredFlow(str(path), len(fields), lambda i: fields[i].astype(np.float32))
