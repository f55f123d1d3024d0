"""ONNX Runtime on a card with inputs and outputs that stay there: what one graph gives, the next one reads in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from .card_tensor import CardTensor
from .ort_gpu import _NUMPY, OrtGpuBackend, out_of_memory

T = TypeVar("T")


class BoundSession:
    """A session whose inputs and outputs are addresses in the memory of a device.

    Args:
        session: an ONNX Runtime session.
        memory: kind of the memory as ONNX Runtime names it: "cuda", or "cpu", which tests use.
        index: number of the card.
    """

    def __init__(self, session: Any, memory: str, index: int) -> None:
        self._session, self._memory, self._index = session, memory, index
        self._outputs = [o.name for o in session.get_outputs()]

    def allocate(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> CardTensor:
        """Allocate an array with undefined content."""
        value = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype.type, self._memory, self._index)
        return CardTensor(value.data_ptr(), shape, dtype, self._index, value)

    def send(self, array: NDArray[Any]) -> CardTensor:
        """Copy an array to the device."""
        tensor = self.allocate(array.shape, array.dtype)
        tensor.owner.update_inplace(np.ascontiguousarray(array))
        return tensor

    def run(
        self, feeds: Mapping[str, CardTensor], into: Mapping[str, CardTensor], options: Any
    ) -> dict[str, CardTensor]:
        """Compute outputs by name; those in `into` are written there, ONNX Runtime allocates the others."""
        binding = self._session.io_binding()
        for n, t in feeds.items():
            binding.bind_input(n, self._memory, self._index, t.dtype.type, list(t.shape), t.address)
        for n in self._outputs:
            if n in into:
                t = into[n]
                binding.bind_output(n, self._memory, self._index, t.dtype.type, list(t.shape), t.address)
            else:
                binding.bind_output(n, self._memory, self._index)
        self._session.run_with_iobinding(binding, options)
        values = dict(zip(self._outputs, binding.get_outputs(), strict=True))
        return {n: into[n] if n in into else self._found(v) for n, v in values.items()}

    def _found(self, value: Any) -> CardTensor:
        dtype = np.dtype(_NUMPY[value.data_type()])
        return CardTensor(value.data_ptr(), tuple(value.shape()), dtype, self._index, value)


class OrtCardBackend(OrtGpuBackend):
    """`OrtGpuBackend` that also takes and gives arrays which never leave the card: a `CardBackend`."""

    @property
    def card(self) -> int:
        """Number of the card whose memory it reads."""
        return self._device.index

    def allocate(self, shape: tuple[int, ...]) -> CardTensor:
        """Allocate a float32 array on the GPU with undefined content.

        Raises:
            BackendError: the GPU is out of memory, or is lost.
        """
        return self._guarded({}, lambda: self._bound_session.allocate(shape, np.dtype(np.float32)))

    def send(self, array: NDArray[Any]) -> CardTensor:
        """Copy an array to the GPU.

        Raises:
            BackendError: the GPU is out of memory, or is lost.
        """
        return self._guarded({}, lambda: self._bound_session.send(array))

    def receive(self, tensor: CardTensor) -> NDArray[Any]:
        """Copy to the host a whole array that `allocate`, `send` or `run_on_card` returned.

        Raises:
            BackendError: the GPU is lost.
        """
        return self._guarded({}, lambda: np.array(tensor.owner.numpy()).reshape(tensor.shape))

    def run_on_card(
        self, feeds: Mapping[str, CardTensor], into: Mapping[str, CardTensor] = MappingProxyType({})
    ) -> dict[str, CardTensor]:
        """Compute outputs by name from inputs by name, none of which leaves the GPU.

        Batches are neither padded nor split, and no CUDA graph is captured or replayed: those belong to the buffers
        of `run`.

        Args:
            feeds: inputs, on this GPU.
            into: where outputs are to be written; ONNX Runtime allocates the others.

        Raises:
            BackendError: a wrong shape or type, too little memory, the GPU is lost, or the runtime failed.
        """
        options = self._run_options(captured=False)
        return self._guarded(feeds, lambda: self._bound_session.run(feeds, into, options))

    @property
    def _bound_session(self) -> BoundSession:
        return BoundSession(self._session, self.memory, self._device.index)

    def _guarded(self, feeds: Mapping[str, Any], work: Callable[[], T]) -> T:
        with self._lock:
            self._check(feeds)
            try:
                return work()
            except Exception as e:  # onnxruntime raises its own types, one per status code
                failed = self._failed(feeds, e)
                raise (self._exhausted("", failed) if out_of_memory(failed) else failed) from e
