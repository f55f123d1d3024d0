"""Arrays to a card through pinned memory, one batch while the card works on another.

The thread that makes batches copies each into pinned memory and starts the transfer, so that the thread that runs
graphs never waits for one. Knows `cuda.Device` and no runtime; whatever reads the addresses lives in the same process.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .card_tensor import CardTensor
from .cuda import Device


@dataclass
class _Slot:
    """Memory of one batch on both sides, by the name of the array; it grows and is kept."""

    stream: int
    host: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    card: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Arrays of one batch on the card; `Uploader.release` takes their memory back."""

    tensors: dict[str, CardTensor]
    slot: _Slot = field(repr=False)


class Uploader:
    """A ring of batches on a card. One thread sends, another releases.

    Args:
        device: the card.
        index: its number.
        slots: batches that are on the card at the same time; a further one waits until one is released. Two are a
            double buffer; a queue of batches between the threads needs as many more as it is long.
    """

    def __init__(self, device: Device, index: int, slots: int = 2) -> None:
        self._device, self._index = device, index
        self._free: Queue[_Slot | None] = Queue()
        self._slots: list[_Slot] = []
        self._lock, self._closed = threading.Lock(), False
        device.use()
        for _ in range(slots):
            slot = _Slot(device.stream())
            self._slots.append(slot)
            self._free.put(slot)

    def send(self, arrays: Mapping[str, NDArray[Any]]) -> Batch:
        """Copy arrays to the GPU, complete on return; waits for a free slot.

        Raises:
            BackendError: the GPU is out of memory, the transfer failed, or the uploader was closed meanwhile.
        """
        slot = self._free.get()
        if slot is None or self._closed:
            self._free.put(None)
            raise BackendError("the uploader is closed")
        try:
            self._device.use()
            tensors = {n: self._copy(slot, n, a) for n, a in arrays.items()}
            self._device.wait(slot.stream)
        except BaseException:
            self._free.put(slot)
            raise
        return Batch(tensors, slot)

    def release(self, batch: Batch) -> None:
        """Take the memory of a batch back; nothing may read it any more."""
        self._free.put(batch.slot)

    def close(self) -> None:
        """Give all memory back, once nothing reads it any more. A thread that waits in `send` gets its error."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._free.put(None)
        self._device.use()
        for slot in self._slots:
            self._device.wait(slot.stream)
            for memory in slot.host.values():
                self._device.free_host(memory)
            for address in slot.card.values():
                self._device.free(address)
            self._device.destroy(slot.stream)

    def _copy(self, slot: _Slot, name: str, array: NDArray[Any]) -> CardTensor:
        """Start the transfer of one array."""
        size = array.nbytes
        if name not in slot.host or slot.host[name].nbytes < size:
            self._grow(slot, name, size)
        host = slot.host[name]
        host[:size].view(array.dtype).reshape(array.shape)[...] = array
        self._device.copy_in(slot.card[name], host, size, slot.stream)
        return CardTensor(slot.card[name], array.shape, array.dtype, self._index, slot)

    def _grow(self, slot: _Slot, name: str, size: int) -> None:
        """Replace a buffer by one of at least `size` bytes; a failure leaves none."""
        if name in slot.host:
            self._device.free_host(slot.host.pop(name))
            self._device.free(slot.card.pop(name))
        size = max(2 ** math.ceil(math.log2(max(size, 1))) if size < 2**20 else size, 1)
        host = self._device.allocate_host(size)
        try:
            slot.card[name] = self._device.allocate(size)
        except BaseException:
            self._device.free_host(host)
            raise
        slot.host[name] = host
