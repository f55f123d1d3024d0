"""TV-L1 by `tvl1_graphs` on a runtime of ONNX: on a card all of it stays there between the pictures and the flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, open_backend
from ..errors import UsageError
from ..flow_options import TVL1, Tvl1Parameters
from ..options import SnippetOptions
from ..records import Snippets
from . import tvl1_graphs as graphs
from .source import VideoSource

#: OpenCV stops its pyramid before a side gets shorter than this.
_SMALLEST_SIDE = 16
#: Iterations between two questions whether all pairs have stopped; `inner` is a multiple of it.
_ITERATIONS = 5

Opener = Callable[[bytes, str], Backend]


@dataclass
class OnnxTvl1:
    """TV-L1 on a device of ONNX Runtime, `batch` pairs at a time: a `video.flow.FlowSource`.

    Args:
        device: as `TALEngine.load` takes it.
        batch: pairs of frames at a time.
        opened: loads a graph; by default on the device, strictly.

    Raises:
        BackendError: the device does not work here.
    """

    device: str = "cpu"
    batch: int = 64
    parameters: Tvl1Parameters = TVL1
    opened: Opener | None = None
    name = "onnx"
    _backends: dict[str, Backend] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        opened = self.opened or (lambda graph, name: open_backend(graph, name, self.device, strict=True))
        serialized = {"resize": graphs.resize_graph(), "warp": graphs.warp_graph(), "median": graphs.median_graph()}
        serialized["iterate"] = graphs.iterate_graph(self.parameters, _ITERATIONS)
        self._backends = {name: opened(graph, f"tvl1 {name}") for name, graph in serialized.items()}

    def __call__(self, snippets: Iterable[Snippets], options: SnippetOptions, video: VideoSource) -> Iterator[Snippets]:
        """Add flow to snippets.

        Raises:
            UsageError: the options ask for another method than TV-L1.
        """
        if options.flow != "tvl1":
            raise UsageError(f"flow is {options.flow!r}, must be 'tvl1' to be computed by ONNX graphs")
        from .flow import with_flow

        return with_flow(snippets, options, self.pairs)

    def pairs(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute flow [P, H, W, 2] between grey images [P, H, W].

        Raises:
            UsageError: the two differ in shape, or are smaller than 3 x 3 pixels.
        """
        if before.shape != after.shape or before.ndim != 3 or min(before.shape[1:]) < 3:
            shapes = f"{list(before.shape)} and {list(after.shape)}"
            raise UsageError(f"pictures are {shapes}, must be two [P, H, W] of one shape, at least 3 x 3 pixels")
        out = np.empty((*before.shape, 2), np.float32)
        for i in range(0, len(before), self.batch):
            a, b = (x[i : i + self.batch, None].astype(np.float32) for x in (before, after))
            out[i : i + self.batch] = np.moveaxis(self._flow(a, b), 1, -1)
        return out

    def _flow(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute flow [B, 2, H, W] between images [B, 1, H, W], from coarse to fine."""
        sizes = _sizes(before.shape[2:], self.parameters)
        levels = [(self._there(before), self._there(after))]
        for size in sizes[1:]:
            ratio = 1 / self.parameters.scale_step
            levels.append(tuple(self._resized(x, size, (ratio, ratio)) for x in levels[-1]))
        flow = self._there(np.zeros((len(before), 2, *sizes[-1]), np.float32))
        for (a, b), size in zip(reversed(levels), reversed(sizes), strict=True):
            if flow.shape[2:] != size:
                ratio_of = (flow.shape[2] / size[0], flow.shape[3] / size[1])
                flow = self._resized(flow, size, ratio_of, 1 / self.parameters.scale_step)
            flow = self._one_scale(a, b, flow, size)
        return self._here(flow)

    def _one_scale(self, before: Any, after: Any, flow: Any, size: tuple[int, int]) -> Any:
        count, (high, wide) = flow.shape[0], size
        places = {"columns": np.arange(wide, dtype=np.float32), "rows": np.arange(high, dtype=np.float32)}
        fixed = {name: self._there(a) for name, a in places.items()} | {"before": before, "after": after}
        enough = self._there(np.array(self.parameters.epsilon**2 * high * wide, np.float32))
        dual = self._there(np.zeros((count, 4, high, wide), np.float32))
        for _ in range(self.parameters.warps):
            fields = self._run("warp", fixed | {"flow": flow})
            still = self._there(np.ones((count, 1, 1, 1), np.float32))
            for _ in range(self.parameters.outer):
                flow = self._run("median", {"flow": flow, "going": still})["filtered"]
                for _ in range(self.parameters.inner // _ITERATIONS):
                    feeds = {"flow": flow, "dual": dual, **fields, "still": still, "enough": enough}
                    flow, dual, still = self._run("iterate", feeds).values()
                    if not self._here(still).any():
                        break
                if not self._here(still).any():
                    break
        return flow

    def _resized(self, x: Any, size: tuple[int, int], ratio: tuple[float, float], factor: float = 1.0) -> Any:
        down, across = (_weights(s, n, r) for s, n, r in zip(x.shape[2:], size, ratio, strict=True))
        there = {"down": self._there(down * np.float32(factor)), "across": self._there(np.ascontiguousarray(across.T))}
        return self._run("resize", {"x": x, **there})["resized"]

    def _run(self, name: str, feeds: Mapping[str, Any]) -> dict[str, Any]:
        backend: Any = self._backends[name]
        run = getattr(backend, "run_on_card", backend.run)
        outputs: dict[str, Any] = run(feeds)
        return outputs

    def _there(self, array: NDArray[np.float32]) -> Any:
        """Copy the array to where the graphs run."""
        backend: Any = self._backends["resize"]
        return backend.send(array) if hasattr(backend, "send") else array

    def _here(self, array: Any) -> NDArray[np.float32]:
        backend: Any = self._backends["resize"]
        copied: NDArray[np.float32] = backend.receive(array) if hasattr(backend, "receive") else array
        return copied


def _sizes(size: tuple[int, ...], parameters: Tvl1Parameters) -> list[tuple[int, int]]:
    """List the heights and widths of the pyramid, from fine to coarse."""
    sizes = [(size[0], size[1])]
    while len(sizes) < parameters.scales:
        high, wide = (round(side * parameters.scale_step) for side in sizes[-1])
        if min(high, wide) < _SMALLEST_SIDE:
            break
        sizes.append((high, wide))
    return sizes


def _weights(stored: int, scaled: int, ratio: float) -> NDArray[np.float32]:
    """Compute bilinear weights [scaled, stored]; `ratio` is source per target pixels before sizes were rounded."""
    centre = np.clip((np.arange(scaled)[:, None] + 0.5) * ratio - 0.5, 0, stored - 1)
    return np.asarray(np.maximum(1 - np.abs(np.arange(stored) - centre), 0.0), np.float32)
