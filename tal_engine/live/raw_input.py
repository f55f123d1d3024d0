"""Sources without a container: folders of images, and raw frames on stdin. Frames have no time, so they are counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from .._util.names import IMAGE_SUFFIXES, visible
from ..errors import SourceError, UsageError
from ..video.source import Frame, Image, VideoSource

_RAW = re.compile(r"(\d+)x(\d+)@(\d+(?:\.\d+)?)(?:/(\d+))?")


def open_folder(folder: Path, fps: float, name: str) -> VideoSource:
    """Open a folder of images in natural order of their names (frame2 before frame10), at `fps` frames per second.

    An image that cannot be read is skipped and counts as `lost`; the one before stays on screen.

    Raises:
        SourceError: the folder has no images.
    """
    paths = sorted((p for p in visible(folder.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
    if not paths:
        raise SourceError(f"{name}: the folder {folder} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    video = VideoSource(name, iter(()), fps, 1.0 / fps, duration=len(paths) / fps)
    video.frames = _read_images(paths, video)
    return video


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key by which numbers in names compare as numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]


def _read_images(paths: list[Path], video: VideoSource) -> Iterator[Frame]:
    for i, path in enumerate(paths):
        try:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        except cv2.error:  # it declares more pixels than OpenCV reads
            image = None
        if image is None:
            video.lost += 1
            video.warnings.append(f"{path}: cannot be read as an image")
            continue
        video.limits.check_picture(str(path), image.shape[1], image.shape[0], "the picture is")
        video.decoded += 1
        rgb: Image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        yield Frame(i / video.fps, lambda rgb=rgb: rgb)  # type: ignore[misc]


class RawLayout(NamedTuple):
    """Size in pixels and frames per second of a stream without a header."""

    width: int
    height: int
    fps: float


def parse_raw(text: str, option: str = "raw") -> RawLayout:
    """Parse WIDTHxHEIGHT@FPS; FPS may be a fraction.

    Raises:
        UsageError: `text` of this option is something else.
    """
    match = _RAW.fullmatch(text)
    values = [float(group or 1) for group in match.groups()] if match else [0.0]
    if not all(v > 0 for v in values):
        raise UsageError(f"{option} is {text!r}, must be WIDTHxHEIGHT@FPS, such as 320x240@25 or 640x480@30000/1001")
    return RawLayout(int(values[0]), int(values[1]), values[2] / values[3])


def open_raw(stream: BinaryIO, layout: RawLayout, name: str) -> VideoSource:
    """Open consecutive rgb24 frames without any header."""
    video = VideoSource(name, iter(()), layout.fps, 1.0 / layout.fps)
    video.frames = _read_raw(stream, (layout.height, layout.width, 3), video)
    return video


def _read_raw(stream: BinaryIO, shape: tuple[int, int, int], video: VideoSource) -> Iterator[Frame]:
    size = shape[0] * shape[1] * shape[2]
    while len(data := stream.read(size)) == size:
        image: Image = np.frombuffer(data, np.uint8).reshape(shape)
        yield Frame(video.decoded / video.fps, lambda image=image: image)  # type: ignore[misc]
        video.decoded += 1
    if data:
        video.lost += 1
        video.warnings.append(f"the last frame has {len(data)} of {size} bytes: it is left out")
