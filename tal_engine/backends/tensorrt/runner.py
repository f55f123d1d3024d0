"""Runs an engine: TensorRT and TensorRT-RTX through the module that is passed in, memory through a `Device`.

Knows execution contexts, buffers and profiles. Where engines come from is `engines`'s matter.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...plan.fields import EngineRecord, Graph, Tensor
from ..checked import check_rows
from ..cuda import Device, DeviceMemoryError
from ..engine_cache import is_intact, read_blob, write_blob
from ..profile import describe, sizes_of
from .builder import engine_io
from .context import Context
from .edition import Flavour, make_logger
from .inspector import check_io

log = logging.getLogger("tal_engine")

Arrays = dict[str, NDArray[Any]]

#: Contexts of one engine at most, each with memory of its own on the card; further threads wait.
CONTEXTS = 4


class TensorRTBackend:
    """An engine, loaded. `run` is safe to call from several threads: each call has a context of its own."""

    def __init__(
        self,
        flavour: Flavour,
        engine: bytes,
        record: EngineRecord,
        graph: Graph,
        device: Device,
        runtime_cache: Path | None = None,
    ) -> None:
        """Load an engine.

        Args:
            flavour: the library, of the version that built it.
            engine: the file.
            record: what is on record of it.
            graph: names, types and shapes by the manifest.
            device: the card.
            runtime_cache: file where TensorRT-RTX keeps what it compiles at run time.

        Raises:
            BackendError: the engine is not the recorded one, or does not load here.
        """
        if not is_intact(engine, record):
            raise BackendError(f"{record.member}: was changed, its hash is wrong; it is not loaded")
        self._graph, self._record, self._device = graph, record, device
        self._logger = make_logger(flavour.module)
        self._runtime = flavour.module.Runtime(self._logger)
        # An engine may carry code for the host, which would run on loading: refused, whoever built it.
        self._runtime.engine_host_code_allowed = False
        device.use()
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise BackendError(f"{record.member}: does not load on {device.name}: {self._logger.complaints()}")
        check_io(engine_io(flavour.module, self._engine), graph, record.profile)
        self._settings, self._compiled = _settings(flavour, self._engine, runtime_cache)
        self._unsaved = runtime_cache if self._compiled is not None else None
        self._idle: list[Context] = []
        self._free = threading.BoundedSemaphore(CONTEXTS)
        self._lock = threading.Lock()
        self._rows = record.profile.get("B", (1, 1, 1))[2]
        # Rows are independent where every input and output has the batch as its first dimension.
        self._batched = all(t.shape[:1] == ["B"] for t in (*graph.inputs, *graph.outputs))
        self.description = f"{flavour.title} on {device.name} ({', '.join(record.layers) or 'layers not inspected'})"
        self._finalizer = weakref.finalize(self, _close, self._idle)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Compute outputs by name from inputs by name.

        A batch smaller than the profile's is padded and cut again; a larger one is run in parts.

        Raises:
            BackendError: wrong names, types or shapes; a size outside of the profile; out of memory at one row.
        """
        arrays = self._checked(feeds)
        if not self._batched:
            try:
                return self._run(arrays)
            except DeviceMemoryError as e:
                raise self._too_large(arrays) from e
        rows = len(arrays[self._graph.inputs[0].name])
        parts, at = [], 0
        while at < rows:
            part = {n: a[at : at + self._rows] for n, a in arrays.items()}
            try:
                parts.append(self._padded(part))
                at += len(part[self._graph.inputs[0].name])
            except DeviceMemoryError as e:
                self._halve(part, e)
        return {n: np.concatenate([p[n] for p in parts]) if len(parts) > 1 else a for n, a in parts[0].items()}

    def _halve(self, part: Arrays, error: DeviceMemoryError) -> None:
        """Take half as many rows from now on."""
        rows, least = len(next(iter(part.values()))), self._record.profile.get("B", (1, 1, 1))[0]
        if rows <= least:
            raise self._too_large(part) from error
        with self._lock:
            self._rows = max(least, min(self._rows, rows // 2))
            idle, self._idle[:] = list(self._idle), []
        for context in idle:
            context.close()
        log.warning("%s: out of memory at %d rows, going on with %d", self._record.member, rows, self._rows)

    def _too_large(self, arrays: Arrays) -> BackendError:
        shapes = {n: list(a.shape) for n, a in arrays.items()}
        return BackendError(
            f"{self._record.member}: {self._device.name} has not enough memory for inputs {shapes}; "
            "free some of it, or use another device"
        )

    def _padded(self, arrays: Arrays) -> Arrays:
        """Run a batch of at most the profile's largest; its last row is repeated up to the profile's least."""
        rows = len(next(iter(arrays.values())))
        lack = max(self._record.profile.get("B", (1, 1, 1))[0] - rows, 0)
        filled = arrays
        if lack:
            filled = {n: np.concatenate([a, np.repeat(a[-1:], lack, axis=0)]) for n, a in arrays.items()}
        out = self._run(filled)
        check_rows(self._record.graph, out, rows + lack)
        return {n: a[:rows] for n, a in out.items()} if lack else out

    def _run(self, arrays: Arrays) -> Arrays:
        self._device.use()
        with self._context() as context:
            return context.run(arrays)

    @contextmanager
    def _context(self) -> Iterator[Context]:
        """Lend a context that no other thread uses; it is returned if the run succeeded."""
        with self._free:
            with self._lock:
                context = self._idle.pop() if self._idle else None
            if context is None:
                context = Context(self._engine, self._settings, self._graph, self._device, self._logger)
            try:
                yield context
            except BaseException:
                context.close()
                raise
            with self._lock:
                self._idle.append(context)
            self._keep_compiled()

    def _keep_compiled(self) -> None:
        """Save after the first run what TensorRT-RTX compiled, so that the next process need not."""
        with self._lock:
            path, self._unsaved = self._unsaved, None
        if path is not None:
            write_blob(path, bytes(self._compiled.serialize()))

    def _checked(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Check inputs against the engine: names, types and shapes match, every size lies in the profile."""
        member, profile = self._record.graph, self._record.profile
        wanted = {t.name: t for t in self._graph.inputs}
        if set(feeds) != set(wanted):
            raise BackendError(f"{member}: reads {sorted(wanted)}, was given {sorted(feeds)}")
        sizes: dict[str, int] = {}
        for name, tensor in wanted.items():
            _check_array(member, tensor, feeds[name])
            for dimension, size in sizes_of(tensor, feeds[name].shape).items():
                if sizes.setdefault(dimension, size) != size:
                    raise BackendError(f"{member}: {dimension} is {size} in {name}, {sizes[dimension]} elsewhere")
        for dimension, size in sizes.items():
            least, best, largest = profile[dimension]
            if dimension == "B" and self._batched and size:
                continue
            if not least <= size <= largest:
                wider = f"{dimension}={min(size, least) or 1}:{best}:{max(size, largest)}"
                raise BackendError(
                    f"{member}: {dimension} is {size}, the engine was built for {least} to {largest} "
                    f"({describe(profile)}): tal plan build --profile {wider}, or use another device"
                )
        return {n: np.ascontiguousarray(a) for n, a in feeds.items()}


def _check_array(member: str, tensor: Tensor, array: NDArray[Any]) -> None:
    """Check type, rank and fixed sizes."""
    shape = array.shape
    fits = len(shape) == len(tensor.shape)
    fits = fits and all(isinstance(d, str) or d == n for d, n in zip(tensor.shape, shape, strict=True))
    if array.dtype != tensor.dtype or not fits:
        raise BackendError(
            f"{member}: {tensor.name} is {array.dtype} {list(shape)}, must be {tensor.dtype} {tensor.shape}"
        )


def _settings(flavour: Flavour, engine: Any, path: Path | None) -> tuple[Any, Any]:
    """Return how contexts are created, and the runtime cache of TensorRT-RTX (None for TensorRT).

    Contexts take no memory by themselves: the library would take what the profile's largest sizes need.
    """
    strategy = flavour.module.ExecutionContextAllocationStrategy.USER_MANAGED
    if not hasattr(flavour.module, "IRuntimeCache"):
        return strategy, None
    config = engine.create_runtime_config()
    config.set_execution_context_allocation_strategy(strategy)
    cache = config.create_runtime_cache()
    kept = read_blob(path) if path is not None else b""
    if kept and not cache.deserialize(kept):
        log.info("%s: is of another card, driver or version; starting a new one", path)
    config.set_runtime_cache(cache)
    return config, cache


def _close(idle: list[Context]) -> None:
    """Give back what the contexts hold."""
    for context in idle:
        context.close()
    idle.clear()
