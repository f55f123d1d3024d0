"""Which runtime a machine gets and what is tried next. Knows no runtime's own calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .._util.extras import missing, need
from ..errors import BackendError, UsageError
from .run_limit import LOAD_S, TimeLimit

if TYPE_CHECKING:
    from ..plan.fields import EngineRecord, Graph

    Engine = tuple[EngineRecord, bytes]
from .protocol import _NEXT, Backend, DeviceName, LimitedBackend, RunOptions, log, parse_device


def why_not(device: DeviceName) -> str | None:
    """Explain why a device cannot work here, with the command that helps; None if nothing speaks against it.

    It checks what is installed and loads no graph: what is installed may still not work.

    Raises:
        MissingExtraError: no runtime is installed.
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
    def supports_concurrent_runs(self) -> bool:
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
            spec: what the manifest says of the graph: it is held against that now and after every run, and TensorRT
                takes the names of free dimensions from there. None: nothing is compared.
            engines: engines that the plan brings, for TensorRT.

        Raises:
            BackendError: it cannot be loaded anywhere, or not on the device and `strict` is set.
            PlanError: it is not the graph that `spec` describes.
        """
        options = replace(self._options, rows=rows)
        with self._lock:
            while True:
                try:
                    opened = self._loaded(graph, name, options, spec, engines)
                    break
                except BackendError as e:
                    if self._strict or len(self._left) == 1:
                        raise
                    self.fallbacks.append(str(e))
                    log.warning("%s; falling back to %s", e, self._left[1])
                    del self._left[0]
        if options.timeout_s:
            opened = LimitedBackend(opened, name, options.timeout_s)
        if spec is None:
            return opened
        from .checked import CheckedBackend, CheckedCardBackend

        return CheckedCardBackend(opened, spec) if hasattr(opened, "run_on_card") else CheckedBackend(opened, spec)

    def _loaded(
        self, graph: bytes, name: str, options: RunOptions, spec: Graph | None, engines: Sequence[Engine]
    ) -> Backend:
        device = self.device
        # Where engines are built, minutes are usual.
        seconds = max(options.timeout_s, LOAD_S) if options.timeout_s and device.kind in ("cpu", "cuda") else 0.0
        limit = TimeLimit(name, seconds)
        return limit.call(lambda: _open(graph, name, device, options, spec, engines), what="loading it")


def open_backend(
    graph: bytes, name: str, device: str = "auto", *, threads: int = 0, strict: bool = False, spec: Graph | None = None
) -> Backend:
    """Load one ONNX graph on a device; `Runtime` loads several.

    Args:
        graph: a serialized ONNX model.
        name: what the graph is called in messages.
        device: see `parse_device`.
        threads: CPU threads of the runtime; 0 lets it choose.
        strict: raise instead of falling back when the device does not work here.
        spec: see `Runtime.open`.

    Raises:
        BackendError: the graph cannot be loaded, or `strict` and the device does not work.
        PlanError: it is not the graph that `spec` describes.
        UsageError: an unknown device.
    """
    return Runtime(device, RunOptions(threads), strict=strict).open(graph, name, spec=spec)


def _open(
    graph: bytes,
    name: str,
    device: DeviceName,
    options: RunOptions,
    spec: Graph | None,
    engines: Sequence[Engine],
) -> Backend:
    if device.kind in ("tensorrt", "tensorrt-rtx"):
        from .tensorrt.engines import open_tensorrt

        if spec is None:
            raise UsageError(f"{name}: device {device} needs what the manifest says of the graph")
        return open_tensorrt(graph, spec, str(device), engines)
    if (reason := why_not(device)) is not None:
        raise BackendError(f"{device} was asked for, {reason}")
    if device.kind == "cpu":
        from .ort import OrtBackend

        return OrtBackend(graph, name, options)
    from .ort_card import OrtCardBackend

    return OrtCardBackend(graph, name, device, options, spec)
