"""ONNX Runtime: CPU and CUDA execution providers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..errors import BackendError

log = logging.getLogger("tal_engine")


class OrtBackend:
    """One ONNX Runtime session."""

    def __init__(self, graph: bytes, name: str, device: str, *, threads: int = 0, strict: bool = False) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Without the arena memory goes back after each call: a head that once saw an hour of
        # video does not keep an hour's worth of buffers.
        options.enable_cpu_mem_arena = False
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            index = int(device.partition(":")[2] or 0)
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": index}))
        try:
            self._session = ort.InferenceSession(graph, options, providers=providers)
        except Exception as e:  # onnxruntime raises its own types, one per status code
            raise BackendError(f"{name}: ONNX Runtime {ort.__version__} cannot load the graph ({e})") from e
        got = self._session.get_providers()[0]
        wanted = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
        if got != wanted:
            message = f"{name}: {wanted} was asked for, the session runs on {got}"
            if strict:
                raise BackendError(message)
            log.warning("%s", message)
        self._name = name
        self._outputs = [o.name for o in self._session.get_outputs()]
        self.description = f"ONNX Runtime {ort.__version__} ({got.removesuffix('ExecutionProvider')})"

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name.

        Raises:
            BackendError: a wrong shape or type, or the runtime failed.
        """
        try:
            values = self._session.run(self._outputs, dict(feeds))
        except Exception as e:  # onnxruntime raises its own types, one per status code
            shapes = {n: list(a.shape) for n, a in feeds.items()}
            raise BackendError(f"{self._name}: cannot run on inputs {shapes} ({e})") from e
        return dict(zip(self._outputs, values, strict=True))
