"""ONNX Runtime on the CPU, and what its sessions on cards share with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..errors import BackendError
from .base import DeviceName, RunOptions

#: The execution provider of each kind of device, what people call it and what installs it.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "CPU", "cpu"),
    "cuda": ("CUDAExecutionProvider", "CUDA", "gpu"),
    "ort-tensorrt": ("TensorrtExecutionProvider", "TensorRT", "gpu,tensorrt"),
}


def missing_provider(device: DeviceName) -> str | None:
    """Why this ONNX Runtime has no such device, with the command that helps; None if it has."""
    provider, name, extra = PROVIDERS[device.kind]
    if provider in ort.get_available_providers():
        return None
    return f"this ONNX Runtime has no {name}: pip install 'tal-engine[{extra}]'"


def session_options(options: RunOptions) -> Any:
    """Options of every session."""
    found = ort.SessionOptions()
    found.intra_op_num_threads = options.threads
    found.log_severity_level = 3
    # Without the arena memory goes back after each call: a head that once saw an hour of
    # video does not keep an hour's worth of buffers.
    found.enable_cpu_mem_arena = False
    if options.rows:
        # Encoders run beside decoding: threads that spin between their calls take its core (measured: 28 % less CPU
        # time and 25 % less waiting for a video on two cores without).
        found.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return found


def open_session(graph: bytes, name: str, options: Any, providers: Sequence[Any]) -> Any:
    """A session.

    Raises:
        BackendError: ONNX Runtime does not load the graph.
    """
    try:
        return ort.InferenceSession(graph, options, providers=list(providers))
    except Exception as e:  # onnxruntime raises its own types, one per status code
        raise BackendError(f"{name}: ONNX Runtime {ort.__version__} cannot load the graph ({e})") from e


def cannot_run(name: str, feeds: Mapping[str, NDArray[Any]], why: object) -> BackendError:
    """The error of a graph that did not run."""
    shapes = {n: list(a.shape) for n, a in feeds.items()}
    return BackendError(f"{name}: cannot run on inputs {shapes} ({why})")


class OrtBackend:
    """One ONNX Runtime session on the CPU. ONNX Runtime allows calls from several threads."""

    def __init__(self, graph: bytes, name: str, options: RunOptions) -> None:
        self._session = open_session(graph, name, session_options(options), [PROVIDERS["cpu"][0]])
        self._name = name
        self._outputs = [o.name for o in self._session.get_outputs()]
        self.description = f"ONNX Runtime {ort.__version__} (CPU)"

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name.

        Raises:
            BackendError: a wrong shape or type, or the runtime failed.
        """
        try:
            values = self._session.run(self._outputs, dict(feeds))
        except Exception as e:  # onnxruntime raises its own types, one per status code
            raise cannot_run(self._name, feeds, e) from e
        return dict(zip(self._outputs, values, strict=True))
