"""What every runtime offers, which one a machine gets, and what is tried next. Knows no runtime's own calls."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, UsageError, require
from ..extras import missing, need

if TYPE_CHECKING:
    from ..manifest import EngineRecord, Graph

    Engine = tuple[EngineRecord, bytes]

log = logging.getLogger("tal_engine")

#: What is tried after each kind of device, best first. TensorRT is not a part of auto: it builds for minutes before
#: the first result, which somebody should have asked for.
_NEXT: dict[str, tuple[str, ...]] = {
    "auto": ("cuda", "cpu"),
    "tensorrt": ("cuda", "cpu"),
    "tensorrt-rtx": ("cuda", "cpu"),
    "ort-tensorrt": ("cuda", "cpu"),
    "cuda": ("cpu",),
    "cpu": (),
}

#: Kinds of devices as they are written; all but auto and cpu take a card's number, as in cuda:1.
DEVICES = tuple(_NEXT)


#: What a graph that is loaded on first use says of itself before.
NOT_LOADED = "not loaded yet"


class Backend(Protocol):
    """A loaded graph. `run` is safe to call from several threads."""

    @property
    def description(self) -> str:
        """Where it runs, for people: "ONNX Runtime 1.31 (CPU)"."""
        ...

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name."""
        ...


@dataclass(frozen=True)
class DeviceName:
    """Something that runs graphs: its kind, one of `DEVICES`, and which card."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.index else self.kind


@dataclass(frozen=True)
class RunOptions:
    """How graphs run, wherever they run."""

    #: CPU threads of the runtime; 0 lets it choose.
    threads: int = 0
    #: At most so much memory of the card for the arena of each graph, MiB; 0 sets no limit.
    gpu_memory_mib: int = 0
    #: Rows of a batch on a card, for graphs whose rows do not see each other (encoders). More are run in parts, and
    #: where the card has too little memory in smaller parts. 0: rows belong together (heads).
    rows: int = 0

    def __post_init__(self) -> None:
        for name in ("threads", "gpu_memory_mib", "rows"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")


def parse_device(text: str) -> DeviceName:
    """A device from how it is written: "auto", "cpu", "cuda", "cuda:1", "ort-tensorrt:0".

    Raises:
        UsageError: it is none.
    """
    cards = "|".join(k for k in DEVICES if k not in ("auto", "cpu"))
    found = re.fullmatch(rf"(auto|cpu)|({cards})(?::(\d+))?", text)
    allowed = ", ".join(repr(k) for k in DEVICES) + ", the last ones also with a card's number as in 'cuda:1'"
    require(found is not None, "device", text, f"one of {allowed}")
    kind, card, index = found.groups() if found else ("", "", "")
    return DeviceName(kind or card, int(index or 0))


def why_not(device: DeviceName) -> str | None:
    """Why a device cannot be here, with the command that helps; None if nothing speaks against it.

    It asks what is installed and loads no graph: what is installed may still not work.

    Raises:
        MissingExtraError: there is no runtime at all.
    """
    if device.kind in ("tensorrt", "tensorrt-rtx"):
        module = device.kind.replace("-", "_")
        return None if find_spec(module) else str(missing(module))
    need("onnxruntime")
    from .ort import missing_provider

    return missing_provider(device)


class Runtime:
    """Opens the graphs of one plan: what does not work here is found once, told once and not tried again.

    Safe to share between threads.
    """

    def __init__(self, device: str = "auto", options: RunOptions | None = None, *, strict: bool = False) -> None:
        wanted = parse_device(device)
        self._options, self._strict = options or RunOptions(), strict
        rest = [DeviceName(kind, wanted.index if kind != "cpu" else 0) for kind in _NEXT[wanted.kind]]
        #: For auto, what is not installed is no news.
        self._left = [d for d in rest if why_not(d) is None] if wanted.kind == "auto" else [wanted, *rest]
        #: Why graphs do not run where they were to, as it was logged.
        self.fallbacks: list[str] = []
        self._lock = threading.Lock()

    @property
    def device(self) -> DeviceName:
        """What graphs are opened on, as far as is known."""
        return self._left[0]

    @property
    def side_by_side(self) -> bool:
        """Calls of several threads run at the same time without sharing what they run on: one CPU thread each."""
        return self.device.kind == "cpu" and self._options.threads == 1

    def open(
        self, graph: bytes, name: str, *, rows: int = 0, spec: Graph | None = None, engines: Sequence[Engine] = ()
    ) -> Backend:
        """Load a graph.

        Args:
            graph: a serialized ONNX model.
            name: what the graph is called in messages.
            rows: see `RunOptions`.
            spec: what the manifest says of the graph; TensorRT takes the names of free dimensions from there.
            engines: engines that the plan brings, for TensorRT.

        Raises:
            BackendError: it cannot be loaded anywhere, or not on the device and `strict` is set.
        """
        options = RunOptions(self._options.threads, self._options.gpu_memory_mib, rows)
        with self._lock:
            while True:
                try:
                    return _open(graph, name, self.device, options, spec, engines)
                except BackendError as e:
                    if self._strict or len(self._left) == 1:
                        raise
                    self.fallbacks.append(str(e))
                    log.warning("%s; falling back to %s", e, self._left[1])
                    del self._left[0]


def open_backend(graph: bytes, name: str, device: str = "auto", *, threads: int = 0, strict: bool = False) -> Backend:
    """Load one ONNX graph on a device; `Runtime` loads several.

    Args:
        graph: a serialized ONNX model.
        name: what the graph is called in messages.
        device: see `parse_device`.
        threads: CPU threads of the runtime; 0 lets it choose.
        strict: raise instead of falling back when the device does not work here.

    Raises:
        BackendError: the graph cannot be loaded, or `strict` and the device does not work.
        UsageError: an unknown device.
    """
    return Runtime(device, RunOptions(threads), strict=strict).open(graph, name)


def _open(
    graph: bytes,
    name: str,
    device: DeviceName,
    options: RunOptions,
    spec: Graph | None,
    engines: Sequence[Engine],
) -> Backend:
    if device.kind in ("tensorrt", "tensorrt-rtx"):
        from .tensorrt_open import open_tensorrt

        if spec is None:
            raise UsageError(f"{name}: device {device} needs what the manifest says of the graph")
        return open_tensorrt(graph, spec, str(device), engines)
    if (reason := why_not(device)) is not None:
        raise BackendError(f"{device} was asked for, {reason}")
    if device.kind == "cpu":
        from .ort import OrtBackend

        return OrtBackend(graph, name, options)
    from .ort_gpu import OrtGpuBackend

    return OrtGpuBackend(graph, name, device, options, spec)


class LazyBackend:
    """A graph that is loaded when it is first used: an engine that only gets features never loads encoders."""

    def __init__(self, opened: Callable[[], Backend]) -> None:
        self._open, self._lock = opened, threading.Lock()
        self._backend: Backend | None = None

    def get(self) -> Backend:
        """The graph, loaded.

        Raises:
            BackendError: it cannot be loaded.
        """
        with self._lock:
            if self._backend is None:
                self._backend = self._open()
            return self._backend

    @property
    def description(self) -> str:
        """Of the graph, once it is loaded."""
        return NOT_LOADED if self._backend is None else self._backend.description

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name."""
        return self.get().run(feeds)
