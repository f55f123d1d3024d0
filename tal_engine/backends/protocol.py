"""What every runtime offers, which one a machine gets, and what is tried next. Knows no runtime's own calls."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from .run_limit import TimeLimit

if TYPE_CHECKING:
    from ..plan.fields import EngineRecord

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

_YEAR_S = 366 * 86_400

#: Kinds of devices as they are written; all but auto and cpu take a card's number, as in cuda:1.
DEVICES = tuple(_NEXT)
#: Those whose code has run on fakes of a card only, and never on one.
EXPERIMENTAL = frozenset({"tensorrt", "tensorrt-rtx", "ort-tensorrt"})

#: What a graph that is loaded on first use says of itself before.
NOT_LOADED = "not loaded yet"


class Backend(Protocol):
    """A loaded graph. `run` is safe to call from several threads."""

    @property
    def description(self) -> str:
        """Where it runs, for people: "ONNX Runtime 1.31 (CPU)"."""
        ...

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Compute outputs by name from inputs by name."""
        ...


class StoppableCall(Protocol):
    """One run of a graph that another thread may end; what backends that can give as `start(feeds)`."""

    def run(self) -> dict[str, NDArray[np.float32]]:
        """Compute outputs by name."""
        ...

    def stop(self) -> None:
        """Let `run` end with an error, as soon as it can."""
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
    #: Seconds for each call of a graph; 0 sets no limit.
    timeout_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("threads", "gpu_memory_mib", "rows"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        allowed = "0 (no limit) or a number of seconds up to a year"
        require(0 <= self.timeout_s <= _YEAR_S, "timeout", self.timeout_s, allowed)


def parse_device(text: str) -> DeviceName:
    """Parse a device such as "auto", "cpu", "cuda", "cuda:1" or "ort-tensorrt:0".

    Raises:
        UsageError: unknown device.
    """
    cards = "|".join(k for k in DEVICES if k not in ("auto", "cpu"))
    match = re.fullmatch(rf"(auto|cpu)|({cards})(?::(\d+))?", text)
    allowed = ", ".join(repr(k) for k in DEVICES) + ", the last ones also with a card's number as in 'cuda:1'"
    require(match is not None, "device", text, f"one of {allowed}")
    kind, card, index = match.groups() if match else ("", "", "")
    return DeviceName(kind or card, int(index or 0))


class LimitedBackend:
    """A graph whose calls end in time or with an error."""

    def __init__(self, backend: Backend, name: str, seconds: float) -> None:
        self._backend, self._limit = backend, TimeLimit(name, seconds)
        self.declared = getattr(backend, "declared", None)

    @property
    def description(self) -> str:
        """Of the graph."""
        return self._backend.description

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Compute outputs by name from inputs by name; see `Backend.run`.

        Raises:
            GraphTimeoutError: it did not end in time; see `TimeLimit.call`.
        """
        start = getattr(self._backend, "start", None)
        if start is None:
            return self._limit.call(lambda: self._backend.run(feeds))
        call: StoppableCall = start(feeds)
        return self._limit.call(call.run, call.stop)


class LazyBackend:
    """A graph that is loaded when it is first used: an engine that only gets features never loads encoders."""

    def __init__(self, opened: Callable[[], Backend]) -> None:
        self._open, self._lock = opened, threading.Lock()
        self._backend: Backend | None = None

    def get(self) -> Backend:
        """Return the graph, loading it first if needed.

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
        """Compute outputs by name from inputs by name."""
        return self.get().run(feeds)
