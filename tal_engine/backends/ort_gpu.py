"""ONNX Runtime on NVIDIA cards: its CUDA and TensorRT execution providers, with buffers that stay on the card.

Inputs are copied into buffers that are bound once for a shape, outputs come from such buffers. Encoders run in
batches of one size, so that their launches are captured once as a CUDA graph and replayed.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..errors import BackendError
from ..manifest import Graph
from .base import DeviceName, RunOptions
from .ort import PROVIDERS, cannot_run, open_session, session_options
from .ort_tensorrt import TensorRTSettings

log = logging.getLogger("tal_engine")

_NUMPY = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}  # fmt: skip

#: How CUDA, cuBLAS and ONNX Runtime's arena say that memory is short.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OUT_OF_MEMORY|ALLOC_FAILED|[Ff]ailed to allocate memory|Available memory of"
)


@dataclass(frozen=True)
class _Bound:
    """Buffers on the card for inputs of certain shapes, and the binding that names them."""

    shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
    inputs: dict[str, Any]
    binding: Any


class OrtGpuBackend:
    """One ONNX Runtime session on a card.

    Calls from several threads wait for each other: buffers and CUDA graphs serve one at a time.
    """

    def __init__(
        self, graph: bytes, name: str, device: DeviceName, options: RunOptions, spec: Graph | None = None
    ) -> None:
        _load_libraries()
        self._name, self._device, self._rows = name, device, options.rows
        #: Whether a batch may be run in parts: encoders', and heads' by what the manifest says of their shapes.
        self._parts = bool(options.rows) or (spec is not None and _is_batched(spec))
        self._lock = threading.Lock()
        self._bound: _Bound | None = None
        self._tensorrt: TensorRTSettings | None = None
        if device.kind == "ort-tensorrt":
            self._tensorrt = TensorRTSettings(graph, name, device, options, spec)
        self._session, self._captures = self._open(graph, options)
        self._outputs = [o.name for o in self._session.get_outputs()]
        fixed = all(isinstance(d, int) for i in self._session.get_inputs() for d in i.shape[1:])
        #: Whether batches are filled up to one size, as capturing a CUDA graph asks.
        self._fixed = bool(self._rows) and fixed
        self._captures = self._captures and self._fixed
        graphs = ", CUDA graphs" if self._captures else ""
        self.description = (
            f"ONNX Runtime {ort.__version__} ({PROVIDERS[device.kind][1]} on card {device.index}{graphs})"
        )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name.

        Raises:
            BackendError: a wrong shape or type, too little memory even for one row, or the runtime failed.
        """
        with self._lock:
            total = len(next(iter(feeds.values())))
            if not self._parts or total == 0:
                return self._whole(feeds)
            parts: list[dict[str, NDArray[np.float32]]] = []
            done = 0
            while done < total:
                part = {n: a[done : done + (self._rows or total)] for n, a in feeds.items()}
                out = self._part(part)
                if out is not None:
                    parts.append(out)
                    done += len(next(iter(part.values())))
        return {n: np.concatenate([p[n] for p in parts]) for n in self._outputs}

    def _part(self, part: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]] | None:
        """Outputs of at most `rows` rows; None if they were too many for the card, which takes fewer from then on."""
        count = len(next(iter(part.values())))
        whole = {n: _filled(a, self._rows) for n, a in part.items()} if self._fixed else part
        try:
            return {n: a[:count] for n, a in self._call(whole).items()}
        except BackendError as e:
            tried = len(next(iter(whole.values())))
            if not _OUT_OF_MEMORY.search(str(e)):
                raise
            self._bound = None
            if tried == 1:
                raise self._exhausted(" even for batches of one", e) from e
            self._rows = tried // 2
            log.warning(
                "%s: card %d is out of memory, going on in batches of %d", self._name, self._device.index, self._rows
            )
            return None

    def _whole(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """What cannot be run in parts."""
        try:
            return self._call(feeds)
        except BackendError as e:
            if not _OUT_OF_MEMORY.search(str(e)):
                raise
            self._bound = None
            raise self._exhausted("", e) from e

    def _exhausted(self, when: str, error: BackendError) -> BackendError:
        return BackendError(
            f"{self._name}: card {self._device.index} is out of memory{when}; free some of it, choose another card "
            f"(cuda:N) or --device cpu ({error})"
        )

    def _call(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        if self._tensorrt is not None:
            self._tensorrt.check(feeds)
        try:
            bound = self._bind(feeds)
            for n, value in bound.inputs.items():
                value.update_inplace(np.ascontiguousarray(feeds[n]))
            self._session.run_with_iobinding(bound.binding, self._run_options())
            values = bound.binding.copy_outputs_to_cpu()
        except Exception as e:  # onnxruntime raises its own types, one per status code
            raise cannot_run(self._name, feeds, e) from e
        return dict(zip(self._outputs, values, strict=True))

    def _bind(self, feeds: Mapping[str, NDArray[Any]]) -> _Bound:
        """Buffers for these shapes; those of the shapes before are given back first."""
        shapes = {n: (a.shape, a.dtype) for n, a in feeds.items()}
        if self._bound is not None and self._bound.shapes == shapes:
            return self._bound
        self._bound = None
        binding, card = self._session.io_binding(), ("cuda", self._device.index)
        inputs = {n: ort.OrtValue.ortvalue_from_shape_and_type(list(s), t, *card) for n, (s, t) in shapes.items()}
        for n, value in inputs.items():
            binding.bind_ortvalue_input(n, value)
        known = {
            symbol: size
            for i in self._session.get_inputs()
            for symbol, size in zip(i.shape, feeds[i.name].shape, strict=True)
            if isinstance(symbol, str)
        }
        for o in self._session.get_outputs():
            shape = [known.get(d) if isinstance(d, str) else d for d in o.shape]
            if all(isinstance(d, int) for d in shape):
                made = ort.OrtValue.ortvalue_from_shape_and_type(shape, _NUMPY[o.type], *card)
                binding.bind_ortvalue_output(o.name, made)
            else:  # a size that only the graph knows
                binding.bind_output(o.name, *card)
        self._bound = _Bound(shapes, inputs, binding)
        return self._bound

    def _run_options(self) -> Any:
        found = ort.RunOptions()
        if self._captures:
            # One captured graph for each size of batch: a smaller one comes with new buffers.
            found.add_run_config_entry("gpu_graph_id", str(self._rows))
        else:
            found.add_run_config_entry("gpu_graph_id", "-1")
            # As on the CPU: memory of the longest video is not kept for the next.
            found.add_run_config_entry("memory.enable_memory_arena_shrinkage", f"gpu:{self._device.index}")
        return found

    def _open(self, graph: bytes, options: RunOptions) -> tuple[Any, bool]:
        """A session, and whether it can capture CUDA graphs."""
        if self._rows and self._device.kind == "cuda":
            try:
                return self._session_with(graph, options, {"enable_cuda_graph": "1"}), True
            except BackendError as e:  # such as nodes that stay on the CPU
                log.info("%s: runs without CUDA graphs (%s)", self._name, e)
        return self._session_with(graph, options, {}), False

    def _session_with(self, graph: bytes, options: RunOptions, more: dict[str, str]) -> Any:
        cuda = {"device_id": str(self._device.index), "arena_extend_strategy": "kSameAsRequested", **more}
        if options.gpu_memory_mib:
            cuda["gpu_mem_limit"] = str(options.gpu_memory_mib * 2**20)
        providers: list[Any] = [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]
        if self._tensorrt is not None:
            providers.insert(0, ("TensorrtExecutionProvider", self._tensorrt.options))
        session = open_session(graph, self._name, session_options(options), providers)
        wanted, name, _ = PROVIDERS[self._device.kind]
        if (got := session.get_providers()[0]) != wanted:
            raise BackendError(
                f"{self._device}: ONNX Runtime's {name} does not load here, the session runs on {got}: a driver, CUDA, "
                f"cuDNN or TensorRT library is missing (pip install 'onnxruntime-gpu[cuda,cudnn]')"
            )
        return session


def _load_libraries() -> None:
    """Make CUDA and cuDNN from pip's packages known to ONNX Runtime, which looks for them in the system only."""
    load = getattr(ort, "preload_dlls", None)  # since ONNX Runtime 1.21
    if load is not None:
        with redirect_stdout(sys.stderr):  # it prints its complaints, and stdout is for results
            load()


def _is_batched(spec: Graph) -> bool:
    """Rows of a batch are independent where every input and output has the batch as its first dimension."""
    return all(t.shape[:1] == ["B"] for t in (*spec.inputs, *spec.outputs))


def _filled(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """So many rows: the last one again where there are too few. Rows do not see each other, so the others stay."""
    short = rows - len(array)
    return np.concatenate([array, np.repeat(array[-1:], short, axis=0)]) if short else array
