"""One execution context with its stream and its buffers, which grow and are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...plan.fields import Graph, Tensor
from ..cuda import Device, DeviceMemoryError


class _Buffer:
    """Memory on the card and, for tensors that come or go, as much on the host where the card can reach it."""

    def __init__(self, device: Device, *, with_host: bool = True) -> None:
        self._device, self._with_host = device, with_host
        self.size = self.address = 0
        self.host: NDArray[np.uint8] = np.empty(0, np.uint8)

    def grow(self, size: int) -> None:
        """Hold at least so many bytes."""
        size = max(size, 1)  # an empty tensor needs an address too
        if size <= self.size:
            return
        self.close()
        self.address = self._device.allocate(size)
        try:
            if self._with_host:
                self.host = self._device.allocate_host(size)
        except BaseException:
            self._device.free(self.address)
            raise
        self.size = size

    def close(self) -> None:
        if self.size:
            self.size = 0
            self._device.free(self.address)
            if self._with_host:
                self._device.free_host(self.host)


class Context:
    """An execution context. Not safe to share between threads; many of one engine run side by side."""

    def __init__(self, engine: Any, settings: Any, graph: Graph, device: Device, logger: Any) -> None:
        """Create the context.

        Args:
            engine: loaded.
            settings: argument of `create_execution_context`; the context's memory has to be left to us.
            graph: what the engine runs.
            device: the GPU of the engine.
            logger: of the library.

        Raises:
            DeviceMemoryError: the library gives no context.
        """
        self._graph, self._device, self._logger = graph, device, logger
        self._context = engine.create_execution_context(settings)
        if self._context is None:
            raise DeviceMemoryError(f"{graph.member}: no execution context on {device.name}: {logger.complaints()}")
        self._stream = device.stream()
        self._buffers = {t.name: _Buffer(device) for t in (*graph.inputs, *graph.outputs)}
        self._workspace = _Buffer(device, with_host=False)
        self._open = True

    def run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute outputs from inputs whose sizes lie in the profile."""
        for tensor in self._graph.inputs:
            self._start_input(tensor, arrays[tensor.name])
        lacking = self._context.infer_shapes()
        if lacking:
            raise BackendError(f"{self._graph.member}: the engine cannot tell the shape of {', '.join(lacking)}")
        shapes = {t.name: self._output(t) for t in self._graph.outputs}
        # As much as these shapes need, not as much as the profile's largest would: a short video is cheap, and half a
        # batch takes half the memory.
        self._workspace.grow(self._context.update_device_memory_size_for_shapes())
        self._context.set_device_memory(self._workspace.address, self._workspace.size)
        if not self._context.execute_async_v3(self._stream):
            raise BackendError(f"{self._graph.member}: the engine failed: {self._logger.complaints()}")
        for tensor in self._graph.outputs:
            buffer = self._buffers[tensor.name]
            self._device.copy_out(buffer.host, buffer.address, _bytes(tensor, shapes[tensor.name]), self._stream)
        self._device.wait(self._stream)
        return {t.name: self._taken(t, shapes[t.name]) for t in self._graph.outputs}

    def _start_input(self, tensor: Tensor, array: NDArray[Any]) -> None:
        """Set shape and address, and start the copy."""
        buffer = self._buffers[tensor.name]
        buffer.grow(array.nbytes)
        buffer.host[: array.nbytes] = array.reshape(-1).view(np.uint8)
        if not self._context.set_input_shape(tensor.name, array.shape):
            raise BackendError(f"{self._graph.member}: the engine refuses {tensor.name} {list(array.shape)}")
        self._context.set_tensor_address(tensor.name, buffer.address)
        self._device.copy_in(buffer.address, buffer.host, array.nbytes, self._stream)

    def _output(self, tensor: Tensor) -> tuple[int, ...]:
        """Allocate an output and return its shape."""
        shape = tuple(self._context.get_tensor_shape(tensor.name))
        if min(shape, default=0) < 0:
            raise BackendError(f"{self._graph.member}: the size of {tensor.name} {list(shape)} depends on values")
        buffer = self._buffers[tensor.name]
        buffer.grow(_bytes(tensor, shape))
        self._context.set_tensor_address(tensor.name, buffer.address)
        return shape

    def _taken(self, tensor: Tensor, shape: tuple[int, ...]) -> NDArray[Any]:
        """Copy an output, since the buffer serves the next run."""
        raw = self._buffers[tensor.name].host[: _bytes(tensor, shape)]
        return raw.view(tensor.dtype).reshape(shape).copy()

    def close(self) -> None:
        """Give memory and stream back."""
        if self._open:
            self._open = False
            self._device.use()
            for buffer in (*self._buffers.values(), self._workspace):
                buffer.close()
            self._device.destroy(self._stream)
            self._context = None


def _bytes(tensor: Tensor, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
