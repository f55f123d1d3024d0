"""What every runtime offers, and which one a machine gets."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, UsageError
from ..extras import need

if TYPE_CHECKING:
    from ..manifest import EngineRecord, Graph

log = logging.getLogger("tal_engine")


class Backend(Protocol):
    """A loaded graph. `run` is safe to call from several threads."""

    #: Where it runs, for people: "ONNX Runtime 1.31 (CPU)".
    description: str

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name."""
        ...


def open_backend(
    graph: bytes,
    name: str,
    device: str = "auto",
    *,
    threads: int = 0,
    strict: bool = False,
    spec: Graph | None = None,
    engines: Sequence[tuple[EngineRecord, bytes]] = (),
) -> Backend:
    """Load an ONNX graph on a device.

    Args:
        graph: a serialized ONNX model.
        name: what the graph is called in messages.
        device: "auto", "cpu", "cuda", "tensorrt" or "tensorrt-rtx", the last three also with a card's number as in
            "cuda:1".
        threads: CPU threads of the runtime; 0 lets it choose.
        strict: raise instead of falling back when the device is not there.
        spec: what the manifest says of the graph; TensorRT takes the names of its free dimensions from there.
        engines: engines that the plan brings, for TensorRT.

    Raises:
        BackendError: the graph cannot be loaded, or `strict` and the device is missing.
        UsageError: an unknown device.
    """
    if not re.fullmatch(r"auto|cpu|(cuda|tensorrt|tensorrt-rtx)(:\d+)?", device):
        raise UsageError(
            f"device is {device!r}, must be 'auto', 'cpu', 'cuda', 'tensorrt' or 'tensorrt-rtx', the last three also "
            "with a card's number as in 'cuda:1'"
        )
    if device.startswith("tensorrt"):
        try:
            return _open_tensorrt(graph, name, device, spec, engines)
        except BackendError as e:
            if strict:
                raise
            log.warning("%s; falling back to ONNX Runtime", e)
            device = "auto"
    runtime = need("onnxruntime")
    from .ort import OrtBackend

    has_cuda = "CUDAExecutionProvider" in runtime.get_available_providers()
    if device.startswith("cuda") and not has_cuda:
        message = f"{device} was asked for, this ONNX Runtime has no CUDA: pip install 'tal-engine[gpu]'"
        if strict:
            raise BackendError(message)
        log.warning("%s; falling back to the CPU", message)
        device = "cpu"
    if device == "auto":
        device = "cuda" if has_cuda else "cpu"
    return OrtBackend(graph, name, device, threads=threads, strict=strict)


def _open_tensorrt(
    graph: bytes, name: str, device: str, spec: Graph | None, engines: Sequence[tuple[EngineRecord, bytes]]
) -> Backend:
    from .tensorrt_open import open_tensorrt

    if spec is None:
        raise UsageError(f"{name}: device {device} needs what the manifest says of the graph")
    return open_tensorrt(graph, spec, device, engines)
