"""What every runtime offers, and which one a machine gets."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, UsageError
from ..extras import need

log = logging.getLogger("tal_engine")


class Backend(Protocol):
    """A loaded graph. `run` is safe to call from several threads."""

    #: Where it runs, for people: "ONNX Runtime 1.31 (CPU)".
    description: str

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name."""
        ...


def open_backend(graph: bytes, name: str, device: str = "auto", *, threads: int = 0, strict: bool = False) -> Backend:
    """Load an ONNX graph on a device.

    Args:
        graph: a serialized ONNX model.
        name: what the graph is called in messages.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: CPU threads of the runtime; 0 lets it choose.
        strict: raise instead of falling back to the CPU when the device is not there.

    Raises:
        BackendError: the graph cannot be loaded, or `strict` and the device is missing.
        UsageError: an unknown device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"device is {device!r}, must be 'auto', 'cpu', 'cuda' or 'cuda:N'")
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
