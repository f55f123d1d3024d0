"""Optical flow that somebody computed before: folders of jpg pairs, or npz files, put on the grid of slots.

Stored flow i goes from slot i to slot i + 1 of the grid that the snippets are cut from, so it has to be computed on
the same frames a second. Nothing is resampled in time: flow between other frames is other flow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .._util.arrays import memory_limit, read_arrays
from .._util.names import path_ends, video_name
from ..errors import FlowError
from ..options import SnippetOptions
from ..records import Snippets
from .flow import finished
from .grid import slots_of
from .snippet import cropped, fit
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
        """Add the stored flow of a video to its snippets; see `with_stored_flow`."""
        flow = open_flow(self.root, video.name, self.bound)
        return with_stored_flow(snippets, options, flow, lambda: video.seen)


def open_flow(root: Path, name: str, bound: float = 20.0) -> StoredFlow:
    """Find the flow of a video, by as much of its path as there are folders of it in `root`.

    Raises:
        FlowError: there is none, a jpg of a pair or between two others is missing, or an npz is not as it should be.
    """
    for called in path_ends(name):
        if (root / called).is_dir():
            return _images(root / called, bound)
        if (root / f"{called}.npz").is_file():
            return _archive(root / f"{called}.npz")
    name = video_name(name)
    raise FlowError(f"{root}: no flow of {name!r}; looked for {name}/flow_x_00001.jpg and {name}.npz")


def with_stored_flow(
    snippets: Iterable[Snippets], options: SnippetOptions, flow: StoredFlow, seen: Callable[[], float]
) -> Iterator[Snippets]:
    """Add stored flow to snippets as if it were computed: fitted as frames are, last one repeated, clipped.

    Fields are of whole frames, whatever `flow_of` says: they are resized and cropped as frames are, and their values
    grow with the resize. Frames that repeat move by zero, whatever is stored: 8-bit flow has no exact zero.

    Args:
        snippets: batches of frames.
        options: size, crop and clipping.
        flow: the stored fields of the whole video.
        seen: returns the seconds of video that were read, to check the count at the end: one field a slot, or one less.

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
    tall, wide = options.fitted_size(h, w)
    return fit(field, options) * np.array([wide / w, tall / h], np.float32)


def _images(folder: Path, bound: float) -> StoredFlow:
    """Open a folder of flow images, numbered without gaps from 0 (open-mmlab/denseflow) or 1 (yjxiong/dense_flow)."""
    paths: dict[str, dict[int, Path]] = {"x": {}, "y": {}}
    for path in folder.iterdir():
        if match := _IMAGE.fullmatch(path.name):
            paths[match[1]][int(match[2])] = path
    numbers = sorted(paths["x"].keys() | paths["y"].keys())
    if not numbers:
        raise FlowError(f"{folder}: no flow; looked for files such as flow_x_00001.jpg")
    first = min(numbers[0], 1)
    wanted = range(first, numbers[-1] + 1)
    missing = [f"flow_{axis}_{n:05d}.jpg" for n in wanted for axis in "xy" if n not in paths[axis]]
    if missing:
        raise FlowError(f"{folder}: {len(missing)} files are missing, the first is {missing[0]}")

    def read(i: int) -> NDArray[np.float32]:
        x, y = (_grey(paths[axis][first + i]) for axis in "xy")
        if x.shape != y.shape:
            raise FlowError(f"{folder}: field {first + i} is {list(x.shape)} in x and {list(y.shape)} in y")
        return np.stack([x, y], -1).astype(np.float32) * np.float32(2 * bound / 255) - np.float32(bound)

    return StoredFlow(str(folder), len(wanted), read)


def _grey(path: Path) -> NDArray[np.uint8]:
    try:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # it declares more pixels than OpenCV reads
        image = None
    if image is None:
        raise FlowError(f"{path}: is not a picture that can be read")
    return image.astype(np.uint8, copy=False)


def _archive(path: Path) -> StoredFlow:
    """Open an npz with `flow` [F, H, W, 2], float16 or float32, in pixels; it is held in memory."""
    what = "archive (.npz) with an array 'flow'"
    fields = read_arrays(path, what, FlowError, names=("flow",), limit=memory_limit(), ratio_from=1 << 30)["flow"]
    if fields.ndim != 4 or fields.shape[-1] != 2 or fields.dtype not in (np.float16, np.float32):
        raise FlowError(
            f"{path}: 'flow' is {list(fields.shape)} of {fields.dtype}, must be [F, H, W, 2] of float16 or float32"
        )
    if not np.isfinite(fields).all():
        raise FlowError(f"{path}: 'flow' has values that are NaN or infinite")
    return StoredFlow(str(path), len(fields), lambda i: fields[i].astype(np.float32))
