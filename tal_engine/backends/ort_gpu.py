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
from ..plan.fields import Graph
from .card_tensor import is_lost, lost
from .checked import check_rows
from .ort import PROVIDERS, StoppableRun, cannot_run, open_session, session_options
from .ort_io import declared
from .ort_tensorrt import TensorRTSettings
from .protocol import DeviceName, RunOptions

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

    #: Where buffers lie, as ONNX Runtime names it; "cpu" in tests, which run all of this on the host.
    memory = "cuda"

    def __init__(
        self, graph: bytes, name: str, device: DeviceName, options: RunOptions, spec: Graph | None = None
    ) -> None:
        _load_libraries()
        self._name, self._device, self._rows = name, device, options.rows
        #: Whether a batch may be run in parts: encoders', and heads' by what the manifest says of their shapes.
        self._parts = bool(options.rows) or (spec is not None and _is_batched(spec))
        self._lock = threading.Lock()
        self._bound: _Bound | None = None
        self._watching: StoppableRun | None = None
        #: The error that took the card away from this process; all further calls fail with it.
        self._lost: BackendError | None = None
        self._tensorrt: TensorRTSettings | None = None
        if device.kind == "ort-tensorrt":
            self._tensorrt = TensorRTSettings(graph, name, device, options, spec)
        self._session, self._captures = self._open(graph, options)
        self.declared = declared(self._session, graph)
        self._outputs = [o.name for o in self._session.get_outputs()]
        named = set(self._outputs) if spec is None else {t.name for t in spec.outputs}
        self._rowed = [n for n in self._outputs if n in named]
        fixed = all(isinstance(d, int) for i in self._session.get_inputs() for d in i.shape[1:])
        #: Whether batches are filled up to one size, as capturing a CUDA graph asks.
        self._fixed = bool(self._rows) and fixed
        self._captures = self._captures and self._fixed
        graphs = ", CUDA graphs" if self._captures else ""
        self.description = (
            f"ONNX Runtime {ort.__version__} ({PROVIDERS[device.kind][1]} on card {device.index}{graphs})"
        )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Compute outputs by name from inputs by name.

        Raises:
            BackendError: a wrong shape or type, too little memory even for one row, or the runtime failed.
        """
        return self._run(feeds, None)

    def start(self, feeds: Mapping[str, NDArray[Any]]) -> StoppableRun:
        """Prepare a run that another thread may end between two nodes of the graph; a replayed CUDA graph is one."""
        call = StoppableRun(lambda: self._run(feeds, call))
        return call

    def _run(self, feeds: Mapping[str, NDArray[Any]], call: StoppableRun | None) -> dict[str, NDArray[np.float32]]:
        with self._lock:
            self._watching = call
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
        """Compute outputs of at most `rows` rows; None if they exceeded the memory, and fewer are used from then on."""
        count = len(next(iter(part.values())))
        whole = {n: _filled(a, self._rows) for n, a in part.items()} if self._fixed else part
        try:
            out = self._call(whole)
            check_rows(self._name, {n: out[n] for n in self._rowed}, len(next(iter(whole.values()))))
            return {n: a[:count] for n, a in out.items()}
        except BackendError as e:
            tried = len(next(iter(whole.values())))
            if not out_of_memory(e):
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
        """Run what cannot be split."""
        try:
            return self._call(feeds)
        except BackendError as e:
            if not out_of_memory(e):
                raise
            self._bound = None
            raise self._exhausted("", e) from e

    def _exhausted(self, when: str, error: BackendError) -> BackendError:
        return BackendError(
            f"{self._name}: card {self._device.index} is out of memory{when}; free some of it, choose another card "
            f"(cuda:N) or --device cpu ({error})"
        )

    def _call(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        self._check(feeds)
        try:
            bound = self._bind(feeds)
            for n, value in bound.inputs.items():
                value.update_inplace(np.ascontiguousarray(feeds[n]))
            self._session.run_with_iobinding(bound.binding, self._run_options())
            values = bound.binding.copy_outputs_to_cpu()
        except Exception as e:  # onnxruntime raises its own types, one per status code
            raise self._failed(feeds, e) from e
        return dict(zip(self._outputs, values, strict=True))

    def _failed(self, feeds: Mapping[str, Any], why: Exception) -> BackendError:
        """Create the error of a failed call; one that lost the GPU is kept for the calls after it."""
        if is_lost(why):
            self._lost, self._bound = lost(self._name, self._device.index, why), None
            return self._lost
        return cannot_run(self._name, feeds, why)

    def _check(self, feeds: Mapping[str, Any]) -> None:
        """Refuse what cannot run: shapes beyond an engine's profile, and everything once the card is lost."""
        if self._lost is not None:
            raise BackendError(str(self._lost)) from self._lost
        if self._tensorrt is not None:
            self._tensorrt.check(feeds)

    def _bind(self, feeds: Mapping[str, NDArray[Any]]) -> _Bound:
        """Allocate buffers for these shapes, after freeing those of the shapes before."""
        shapes = {n: (a.shape, a.dtype) for n, a in feeds.items()}
        if self._bound is not None and self._bound.shapes == shapes:
            return self._bound
        self._bound = None
        binding, card = self._session.io_binding(), (self.memory, self._device.index)
        inputs = {n: ort.OrtValue.ortvalue_from_shape_and_type(list(s), t, *card) for n, (s, t) in shapes.items()}
        for n, value in inputs.items():
            binding.bind_ortvalue_input(n, value)
        sizes = {
            symbol: size
            for i in self._session.get_inputs()
            for symbol, size in zip(i.shape, feeds[i.name].shape, strict=True)
            if isinstance(symbol, str)
        }
        for o in self._session.get_outputs():
            shape = [sizes.get(d) if isinstance(d, str) else d for d in o.shape]
            if all(isinstance(d, int) for d in shape):
                output = ort.OrtValue.ortvalue_from_shape_and_type(shape, _NUMPY[o.type], *card)
                binding.bind_ortvalue_output(o.name, output)
            else:  # a size that only the graph knows
                binding.bind_output(o.name, *card)
        self._bound = _Bound(shapes, inputs, binding)
        return self._bound

    def _run_options(self, captured: bool = True) -> Any:
        run_options = ort.RunOptions()
        if self._captures and captured:
            # One captured graph for each size of batch: a smaller one comes with new buffers.
            run_options.add_run_config_entry("gpu_graph_id", str(self._rows))
        else:
            run_options.add_run_config_entry("gpu_graph_id", "-1")
            # As on the CPU: memory of the longest video is not kept for the next.
            run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", f"gpu:{self._device.index}")
        return run_options if self._watching is None else self._watching.watch(run_options)

    def _open(self, graph: bytes, options: RunOptions) -> tuple[Any, bool]:
        """Open a session, and return whether it can capture CUDA graphs."""
        if self._rows and self._device.kind == "cuda":
            try:
                return self._session_with(graph, options, {"enable_cuda_graph": "1"}), True
            except BackendError as e:  # such as nodes that stay on the CPU
                log.info("%s: runs without CUDA graphs (%s)", self._name, e)
        return self._session_with(graph, options, {}), False

    def _session_with(self, graph: bytes, options: RunOptions, more: dict[str, str]) -> Any:
        cuda = {"device_id": str(self._device.index), "arena_extend_strategy": "kSameAsRequested", **more}
        cuda["use_tf32"] = "0"  # precision lives in the graph: by default float32 is multiplied with 10 bits
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


def out_of_memory(error: object) -> bool:
    """Return whether an error means that the GPU is out of memory."""
    return bool(_OUT_OF_MEMORY.search(str(error)))


def _load_libraries() -> None:
    """Make CUDA and cuDNN from pip's packages known to ONNX Runtime, which looks for them in the system only."""
    load = getattr(ort, "preload_dlls", None)  # since ONNX Runtime 1.21
    if load is not None:
        with redirect_stdout(sys.stderr):  # it prints its complaints, and stdout is for results
            load()


def _is_batched(spec: Graph) -> bool:
    """Return whether every input and output has the batch as its first dimension, so that rows are independent."""
    return all(t.shape[:1] == ["B"] for t in (*spec.inputs, *spec.outputs))


def _filled(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Pad to `rows` rows by repeating the last one; rows are independent, so real outputs are unaffected."""
    short = rows - len(array)
    return np.concatenate([array, np.repeat(array[-1:], short, axis=0)]) if short else array
