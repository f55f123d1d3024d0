"""ONNX Runtime on the CPU, and what its sessions on cards share with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from .._util.extras import other_runtime
from .._util.instructions import instructions
from ..errors import BackendError
from .ort_io import declared
from .protocol import DeviceName, RunOptions

#: The execution provider of each kind of device, what people call it and what installs it.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "CPU", "cpu"),
    "cuda": ("CUDAExecutionProvider", "CUDA", "gpu"),
    "ort-tensorrt": ("TensorrtExecutionProvider", "TensorRT", "gpu,tensorrt"),
}


def missing_provider(device: DeviceName) -> str | None:
    """Explain why this ONNX Runtime lacks the device, with the command that helps; None if it has it."""
    provider, name, extra = PROVIDERS[device.kind]
    if provider in ort.get_available_providers():
        return None
    return f"this ONNX Runtime has no {name}: {other_runtime(extra)}"


def session_options(options: RunOptions) -> Any:
    """Return the options that all sessions share."""
    session = ort.SessionOptions()
    session.intra_op_num_threads = options.threads
    session.log_severity_level = 3
    # Without the arena buffers are freed after each call: a head that once saw an hour of video does not keep an hour's
    # worth of them. `memory` hands what malloc keeps of it back to the system.
    session.enable_cpu_mem_arena = False
    if instructions().saturate:
        # 8-bit products take kernels that add in 32 bits. Not set where VNNI is: there it would give up VNNI's kernels,
        # which are exact already. Graphs without 8-bit operators are not changed.
        session.add_session_config_entry("session.x64quantprecision", "1")
    if options.rows:
        # Encoders run beside decoding: threads that spin between their calls take its core (measured: 28 % less CPU
        # time and 25 % less waiting for a video on two cores without).
        session.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return session


def open_session(graph: bytes, name: str, options: Any, providers: Sequence[Any]) -> Any:
    """Open a session.

    Raises:
        BackendError: ONNX Runtime does not load the graph.
    """
    try:
        session = ort.InferenceSession(graph, options, providers=list(providers))
    except Exception as e:  # onnxruntime raises its own types, one per status code
        raise BackendError(f"{name}: ONNX Runtime {ort.__version__} cannot load the graph ({e})") from e
    # It would keep the graph's bytes, beside the weights that it made of them, to open itself again with other
    # providers; nobody asks it to.
    session.disable_fallback()
    session._model_bytes = None
    return session


def cannot_run(name: str, feeds: Mapping[str, NDArray[Any]], why: object) -> BackendError:
    """Create the error of a graph that did not run."""
    shapes = {n: list(a.shape) for n, a in feeds.items()}
    return BackendError(f"{name}: cannot run on inputs {shapes} ({why})")


class StoppableRun:
    """Runs of a session whose options are watched, through which they are ended; see `protocol.StoppableCall`."""

    def __init__(self, run: Callable[[], dict[str, NDArray[np.float32]]]) -> None:
        self.run = run
        self._options: Any = None
        self._stopped = False

    def watch(self, options: Any) -> Any:
        """Register the options of the session's next run, which ends at once if `stop` was called before."""
        options.log_severity_level = 4  # that it was ended is told by the error, not by the library
        self._options = options
        if self._stopped:
            options.terminate = True
        return options

    def stop(self) -> None:
        """Let the run end with an error after the node that is running."""
        self._stopped = True
        if self._options is not None:
            self._options.terminate = True


class OrtBackend:
    """One ONNX Runtime session on the CPU. ONNX Runtime allows calls from several threads."""

    def __init__(self, graph: bytes, name: str, options: RunOptions, *, literal: bool = False) -> None:
        """Load a graph; `literal` runs every node as it is written, without optimizations (slow, for references)."""
        session_settings = session_options(options)
        if literal:
            session_settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = open_session(graph, name, session_settings, [PROVIDERS["cpu"][0]])
        self._name = name
        self.declared = declared(self._session, graph)
        self._outputs = [o.name for o in self._session.get_outputs()]
        self.description = f"ONNX Runtime {ort.__version__} (CPU)"

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Compute outputs by name from inputs by name.

        Raises:
            BackendError: a wrong shape or type, or the runtime failed.
        """
        return self._run(feeds, None)

    def start(self, feeds: Mapping[str, NDArray[Any]]) -> StoppableRun:
        """Prepare a run that another thread may end between two nodes of the graph, or two steps of a loop in it."""
        call = StoppableRun(lambda: self._run(feeds, options))
        options = call.watch(ort.RunOptions())
        return call

    def _run(self, feeds: Mapping[str, NDArray[Any]], options: Any) -> dict[str, NDArray[np.float32]]:
        try:
            values = self._session.run(self._outputs, dict(feeds), options)
        except Exception as e:  # onnxruntime raises its own types, one per status code
            raise cannot_run(self._name, feeds, e) from e
        return dict(zip(self._outputs, values, strict=True))
