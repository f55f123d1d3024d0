"""The few calls to a card that engines need: memory, copies, streams.

Knows the CUDA runtime and nothing of graphs. A `Device` is a protocol, so that tests run everything above it on host
memory.
"""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._util.extras import need
from ..errors import BackendError
from .card_tensor import is_lost, lost


class DeviceMemoryError(BackendError):
    """The card has no memory left for what was asked."""


class Device(Protocol):
    """One card. Addresses and streams are integers, as the libraries take them."""

    #: For people: "NVIDIA H100 80GB HBM3".
    name: str
    #: Compute capability: "sm90".
    target: str

    def use(self) -> None:
        """Make it the calling thread's card; every other call needs that first."""

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes on the GPU and return their address.

        Raises:
            DeviceMemoryError: there is not enough memory.
        """

    def free(self, address: int) -> None:
        """Give memory of `allocate` back."""

    def allocate_host(self, size: int) -> NDArray[np.uint8]:
        """Allocate `size` bytes of host memory that the GPU can reach: [size] uint8.

        Raises:
            DeviceMemoryError: there is not enough memory.
        """

    def free_host(self, memory: NDArray[np.uint8]) -> None:
        """Give memory of `allocate_host` back; the array must not be used again."""

    def stream(self) -> int:
        """Create a new CUDA stream."""

    def destroy(self, stream: int) -> None:
        """Give a stream back."""

    def copy_in(self, address: int, memory: NDArray[np.uint8], size: int, stream: int) -> None:
        """Start a copy of `size` bytes to the card."""

    def copy_out(self, memory: NDArray[np.uint8], address: int, size: int, stream: int) -> None:
        """Start a copy of `size` bytes from the card."""

    def wait(self, stream: int) -> None:
        """Wait until everything queued in the stream is done."""


class CudaDevice:
    """A card of this machine, by the CUDA runtime.

    Raises:
        BackendError: no driver, or no card of this number.
    """

    def __init__(self, index: int) -> None:
        self._cuda = need("cuda.bindings.runtime")
        self._index = index
        count = _count(self._cuda)
        if not 0 <= index < count:
            raise BackendError(f"cuda:{index}: this machine has {count or 'no'} NVIDIA cards that its driver offers")
        properties = self._done(self._cuda.cudaGetDeviceProperties(index))
        self.name = bytes(properties.name).rstrip(b"\0").decode()
        self.target = f"sm{properties.major}{properties.minor}"

    def _done(self, result: tuple[Any, ...]) -> Any:
        """Return the result of a call, or raise its error."""
        error, *values = result
        if error == self._cuda.cudaError_t.cudaErrorMemoryAllocation:
            raise DeviceMemoryError(f"cuda:{self._index}: out of memory")
        if is_lost(error.name):
            raise lost("engine", self._index, error.name)
        if error != self._cuda.cudaError_t.cudaSuccess:
            raise BackendError(f"cuda:{self._index}: {error.name}")
        return values[0] if values else None

    def use(self) -> None:
        self._done(self._cuda.cudaSetDevice(self._index))

    def allocate(self, size: int) -> int:
        return int(self._done(self._cuda.cudaMalloc(size)))

    def free(self, address: int) -> None:
        self._done(self._cuda.cudaFree(address))

    def allocate_host(self, size: int) -> NDArray[np.uint8]:
        address = int(self._done(self._cuda.cudaHostAlloc(size, self._cuda.cudaHostAllocDefault)))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def free_host(self, memory: NDArray[np.uint8]) -> None:
        self._done(self._cuda.cudaFreeHost(memory.ctypes.data))

    def stream(self) -> int:
        return int(self._done(self._cuda.cudaStreamCreateWithFlags(self._cuda.cudaStreamNonBlocking)))

    def destroy(self, stream: int) -> None:
        self._done(self._cuda.cudaStreamDestroy(stream))

    def copy_in(self, address: int, memory: NDArray[np.uint8], size: int, stream: int) -> None:
        way = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._done(self._cuda.cudaMemcpyAsync(address, memory.ctypes.data, size, way, stream))

    def copy_out(self, memory: NDArray[np.uint8], address: int, size: int, stream: int) -> None:
        way = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._done(self._cuda.cudaMemcpyAsync(memory.ctypes.data, address, size, way, stream))

    def wait(self, stream: int) -> None:
        self._done(self._cuda.cudaStreamSynchronize(stream))


def _count(cuda: Any) -> int:
    """Count the GPUs that the driver offers; 0 without a driver."""
    error, count = cuda.cudaGetDeviceCount()
    return int(count) if error == cuda.cudaError_t.cudaSuccess else 0
