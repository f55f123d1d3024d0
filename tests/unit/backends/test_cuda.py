"""The calls to the CUDA runtime, with functions of host memory behind NVIDIA's own names and signatures.

NVIDIA's module is there without a card: a name that it does not have, or a value that it does not take, is an error.
"""

from __future__ import annotations

import ctypes
import inspect

import numpy as np
import pytest

from tal_engine.backends import cuda
from tal_engine.backends.cuda import CudaDevice, DeviceMemoryError
from tal_engine.errors import BackendError

real = pytest.importorskip("cuda.bindings.runtime", reason="comes with tal-engine[engines], where NVIDIA's cards are")
OK = real.cudaError_t.cudaSuccess


class Emulated:
    """NVIDIA's module with a card: 1 MB of memory."""

    def __init__(self):
        self.blocks, self.current, self.streams = {}, None, set()

    def __getattr__(self, name):
        found = getattr(real, name)  # it has to be there
        if name.startswith("cuda") and inspect.isbuiltin(found):
            raise AssertionError(f"{name} is not emulated")
        return found

    def cudaGetDeviceCount(self):  # noqa: N802
        return OK, 2

    def cudaGetDeviceProperties(self, index):  # noqa: N802
        found = real.cudaDeviceProp()
        found.major, found.minor, found.name = 8, 9, (b"Card %d" % index).ljust(256, b"\0")
        return OK, found

    def cudaSetDevice(self, index):  # noqa: N802
        self.current = index
        return (OK,)

    def cudaMalloc(self, size):  # noqa: N802
        if size > 1_000_000:
            return real.cudaError_t.cudaErrorMemoryAllocation, None
        block = ctypes.create_string_buffer(size)
        self.blocks[ctypes.addressof(block)] = block
        return OK, ctypes.addressof(block)

    def cudaHostAlloc(self, size, flags):  # noqa: N802
        assert flags == real.cudaHostAllocDefault
        return self.cudaMalloc(size)

    def cudaFree(self, address):  # noqa: N802
        del self.blocks[address]
        return (OK,)

    cudaFreeHost = cudaFree  # noqa: N815

    def cudaStreamCreateWithFlags(self, flags):  # noqa: N802
        assert flags == real.cudaStreamNonBlocking
        self.streams.add(77)
        return OK, real.cudaStream_t(77)

    def cudaStreamDestroy(self, stream):  # noqa: N802
        self.streams.remove(int(real.cudaStream_t(stream)))
        return (OK,)

    def cudaStreamSynchronize(self, stream):  # noqa: N802
        assert int(real.cudaStream_t(stream)) in self.streams
        return (OK,)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):  # noqa: N802
        kinds = real.cudaMemcpyKind
        assert kind in (kinds.cudaMemcpyHostToDevice, kinds.cudaMemcpyDeviceToHost)
        assert int(real.cudaStream_t(stream)) in self.streams
        ctypes.memmove(target, source, size)
        return (OK,)


@pytest.fixture
def emulated(monkeypatch):
    found = Emulated()
    monkeypatch.setattr(cuda, "need", lambda name: found)
    return found


def test_there_and_back(emulated, rng):
    device = CudaDevice(1)
    assert (device.name, device.target) == ("Card 1", "sm89")
    device.use()
    assert emulated.current == 1
    stream, address = device.stream(), device.allocate(1000)
    there, back = device.allocate_host(1000), device.allocate_host(1000)
    there[:] = rng.integers(0, 256, 1000, dtype=np.uint8)
    back[:] = 0
    device.copy_in(address, there, 1000, stream)
    device.copy_out(back, address, 600, stream)
    device.wait(stream)
    assert np.array_equal(back[:600], there[:600])
    assert not back[600:].any()
    device.free(address)
    device.free_host(there)
    device.free_host(back)
    device.destroy(stream)
    assert not emulated.blocks
    assert not emulated.streams


def test_out_of_memory(emulated):
    with pytest.raises(DeviceMemoryError, match="cuda:0: out of memory"):
        CudaDevice(0).allocate(2_000_000)


def test_other_errors_have_their_name(emulated):
    emulated.cudaStreamSynchronize = lambda stream: (real.cudaError_t.cudaErrorInvalidValue,)
    with pytest.raises(BackendError, match="cuda:0: cudaErrorInvalidValue"):
        CudaDevice(0).wait(1)


def test_card_that_is_not_there(emulated):
    with pytest.raises(BackendError, match="cuda:2: this machine has 2 NVIDIA cards"):
        CudaDevice(2)


def test_no_driver(emulated):
    emulated.cudaGetDeviceCount = lambda: (real.cudaError_t.cudaErrorInsufficientDriver, None)
    with pytest.raises(BackendError, match="this machine has no NVIDIA cards"):
        CudaDevice(0)


def test_a_lost_card_is_named(emulated):
    emulated.cudaStreamSynchronize = lambda stream: (real.cudaError_t.cudaErrorIllegalAddress,)
    with pytest.raises(BackendError, match=r"card 0 is lost to this process.*cudaErrorIllegalAddress"):
        CudaDevice(0).wait(7)
