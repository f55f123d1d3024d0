"""Frames as they are stored to the pictures that encoders read, by a graph on the device that runs the encoders.

Colours are converted as libswscale does it for 8-bit 4:2:0 on x86, which the usual way takes: coefficients of 13 bits,
each product cut to a whole number, chroma samples repeated. Whole numbers below 2**24 are exact in float32, so pictures
that stay as decoded are the same, value for value. What scales them weighs areas and neighbours as `video.snippet`
does, and is rounded once, where OpenCV has its own rounding. The twin is tests/reference/yuv.py.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .._util.yuv import ONE, coefficients
from ..backends.onnx_write import GraphWriter
from ..errors import UsageError
from ..options import SnippetOptions
from ..records import Snippets

if TYPE_CHECKING:
    from .._util.yuv import Layout
    from ..backends import Backend, Runtime
    from ..backends.card_tensor import CardBackend, CardTensor
    from ..plan.manifest import Manifest

#: Sizes of frames whose graphs are kept.
_KEPT = 8


def weights(stored: int, scaled: int, first: int, count: int, *, area: bool) -> NDArray[np.float64]:
    """Compute weights [count, stored] of the stored samples in samples `first` to `first + count` of a scaled side."""
    step = stored / scaled
    places = np.arange(first, first + count)[:, None]
    samples = np.arange(stored)
    if area:
        covered = np.minimum(samples + 1, (places + 1) * step) - np.maximum(samples, places * step)
        shares: NDArray[np.float64] = np.maximum(covered, 0.0)
        return np.asarray(shares / shares.sum(1, keepdims=True))
    centre = np.clip((places + 0.5) * step - 0.5, 0, stored - 1)
    return np.asarray(np.maximum(1 - np.abs(samples - centre), 0.0))


def conversion_graph(layout: Layout, options: SnippetOptions) -> bytes:
    """Build an ONNX graph: planes [N, size] uint8 -> frames [N, H, W, 3] uint8 RGB, scaled and cropped."""
    writer = GraphWriter("convert")
    writer.input("planes", np.uint8, ("N", layout.size))
    rgb = _coloured(writer, layout, *_planes(writer, layout))
    high, wide = layout.height, layout.width
    if options.resize:
        high = wide = options.crop
        rgb = writer.add("Round", _scaled(writer, layout, options, rgb))
    rgb = writer.add("Transpose", writer.cast(rgb, np.uint8), perm=(0, 2, 3, 1))
    writer.output(rgb, "frames", np.uint8, ("N", high, wide, 3))
    return writer.serialized()


def _planes(writer: GraphWriter, layout: Layout) -> tuple[str, str]:
    """Split planes into Y [N, 1, H, W] and chroma [N, 2, h, w], float32."""
    pixels, (rows, columns) = layout.height * layout.width, layout.chroma
    real = writer.cast("planes", np.float32)
    luma, chroma = writer.split("Split", 2, real, writer.ints(pixels, 2 * rows * columns), axis=1)
    luma = writer.add("Reshape", luma, writer.ints(-1, 1, layout.height, layout.width))
    if layout.kind == "nv12":
        by_turns = writer.add("Reshape", chroma, writer.ints(-1, rows, columns, 2))
        return luma, writer.add("Transpose", by_turns, perm=(0, 3, 1, 2))
    return luma, writer.add("Reshape", chroma, writer.ints(-1, 2, rows, columns))


def _coloured(writer: GraphWriter, layout: Layout, luma: str, chroma: str) -> str:
    """Convert to RGB [N, 3, H, W], whole numbers in 0..255."""
    of_luma, of_chroma = coefficients(layout)

    def times(value: str, by: list[int]) -> str:
        factor = np.array(by, np.float32).reshape(1, -1, 1, 1) / ONE
        return writer.add("Floor", writer.add("Mul", value, writer.constant(factor)))

    bright = times(writer.add("Sub", luma, writer.floats(0.0 if layout.full else 16.0)), [of_luma])
    u, v = writer.split("Split", 2, writer.add("Sub", chroma, writer.floats(128.0)), writer.ints(1, 1), axis=1)
    of_u = times(u, [0, of_chroma["gu"], of_chroma["bu"]])
    of_v = times(v, [of_chroma["rv"], of_chroma["gv"], 0])
    tint = _repeated(writer, layout, writer.add("Add", of_u, of_v))
    return writer.add("Clip", writer.add("Add", bright, tint), writer.floats(0.0), writer.floats(255.0))


def _repeated(writer: GraphWriter, layout: Layout, chroma: str) -> str:
    """Add up chroma's share of each colour and repeat it to the size of luma, [N, 3, H, W]."""
    rows, columns = layout.chroma
    apart = writer.add("Reshape", chroma, writer.ints(-1, 3, rows, 1, columns, 1))
    twice = writer.add("Expand", apart, writer.ints(1, 1, 1, 2, 1, 2))
    whole = writer.add("Reshape", twice, writer.ints(-1, 3, 2 * rows, 2 * columns))
    if (layout.height, layout.width) == (2 * rows, 2 * columns):
        return whole
    return writer.add("Slice", whole, writer.ints(0, 0), writer.ints(layout.height, layout.width), writer.ints(2, 3))


def _scaled(writer: GraphWriter, layout: Layout, options: SnippetOptions, rgb: str) -> str:
    """Scale the image and crop it, [N, 3, crop, crop]."""
    sides = (layout.height, layout.width)
    area = options.interpolation == "area" and options.resize < min(sides)
    down, across = (
        weights(side, scaled, (scaled - options.crop) // 2, options.crop, area=area).astype(np.float32)
        for side, scaled in zip(sides, options.fitted_size(*sides), strict=True)
    )
    narrow = writer.add("MatMul", rgb, writer.constant(np.ascontiguousarray(across.T)))
    return writer.add("MatMul", writer.constant(down), narrow)


@dataclass(frozen=True)
class Conversion:
    """A loaded `conversion_graph`; `shape`: of the pictures that it makes."""

    backend: Backend
    shape: tuple[int, int, int]

    def __call__(self, snippets: Snippets) -> Snippets:
        """Convert snippets of stored frames [N, window, size] to images [N, window, H, W, 3], one snippet at a time."""
        run = cast("Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]", self.backend.run)
        return replace(snippets, frames=np.stack([run({"planes": one})["frames"] for one in snippets.frames]))

    def on_card(self, planes: CardTensor) -> CardTensor:
        """Convert frames that lie on the GPU, where the images stay; one snippet at a time, to save memory."""
        count, window, size = planes.shape
        backend = cast("CardBackend", self.backend)
        bytes_ = count * window * math.prod(self.shape)
        memory = backend.allocate((-(-bytes_ // 4),))
        frames = replace(memory, shape=(count, window, *self.shape), dtype=np.dtype(np.uint8))
        for i in range(count):
            place = frames.rows(i, 1).reshaped(window, *self.shape)
            backend.run_on_card({"planes": planes.rows(i, 1).reshaped(window, size)}, {"frames": place})
        return frames


class Conversions:
    """Graphs for frames of several layouts, loaded when the first of each comes. Safe to share between threads.

    Args:
        options: of the snippets.
        opened: loads a graph on the device of the encoders.
    """

    def __init__(self, options: SnippetOptions, opened: Callable[[bytes], Backend]) -> None:
        self._options, self._opened = options, opened
        self._lock = threading.Lock()
        self._kept: OrderedDict[Layout, Conversion] = OrderedDict()

    def __call__(self, layout: Layout) -> Conversion:
        """Return the conversion of frames of this layout.

        Raises:
            BackendError: its graph cannot be loaded.
        """
        with self._lock:
            if layout not in self._kept:
                side = self._options.crop
                shape = (side, side, 3) if side else (layout.height, layout.width, 3)
                self._kept[layout] = Conversion(self._opened(conversion_graph(layout, self._options)), shape)
            self._kept.move_to_end(layout)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[layout]


def conversions_for(manifest: Manifest, runtime: Runtime) -> Conversions:
    """Create the conversions on the device of a plan's encoders.

    Raises:
        UsageError: an encoder reads flow or poses, which are computed from images on the host.
    """
    reader = next((e for e in manifest.encoders if e.reads in ("flow", "pose")), None)
    if reader is not None:
        what = "flow, which is" if reader.reads == "flow" else "poses, which are"
        raise UsageError(
            f"convert_on_device: encoder {reader.name} of plan {manifest.name} reads {what} computed of pictures on "
            "the processor; they are converted there"
        )
    return Conversions(manifest.snippet, lambda graph: runtime.open(graph, "convert"))
