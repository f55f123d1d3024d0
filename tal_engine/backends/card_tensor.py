"""Arrays that stay in a card's memory, and what the driver says when a card is lost. Loads no runtime."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, UsageError

#: Errors after which CUDA answers every further call of the process with the same error.
_LOST = re.compile(
    r"illegal (memory access|address|instruction)|device-side assert|unspecified launch failure|misaligned address"
    r"|uncorrectable (ECC|NVLink)|fallen off the bus|device is lost|GPU is lost|cudaError(IllegalAddress|Assert"
    r"|LaunchFailure|IllegalInstruction|MisalignedAddress|InvalidPc|HardwareStackError|ECCUncorrectable"
    r"|DevicesUnavailable|ContextIsDestroyed)|CUDA (failure|error) (46|214|220|700|709|710|71[4-9])\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CardTensor:
    """An array in the memory of a card, in C order.

    address: of its first byte. owner: whatever holds the memory; it lives at least as long as this record.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    card: int
    owner: Any = field(repr=False, compare=False)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of the array, bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def rows(self, first: int, count: int) -> CardTensor:
        """Return rows `first` to `first + count` of the same memory.

        Raises:
            UsageError: the array does not have these rows.
        """
        if first < 0 or count < 0 or first + count > len(self):
            raise UsageError(f"rows {first}..{first + count} of an array of {len(self)} rows")
        width = self.nbytes // len(self) if len(self) else 0
        return replace(self, address=self.address + first * width, shape=(count, *self.shape[1:]))

    def reshaped(self, *shape: int) -> CardTensor:
        """Return the same memory in another shape.

        Raises:
            UsageError: the shape holds another number of values.
        """
        if math.prod(shape) != math.prod(self.shape):
            raise UsageError(f"shape {list(shape)} for an array of shape {list(self.shape)}")
        return replace(self, shape=shape)


def is_lost(why: object) -> bool:
    """Return whether an error means that the process can no longer use the GPU."""
    return bool(_LOST.search(str(why)))


def lost(name: str, card: int, why: object) -> BackendError:
    """Create the error of a graph whose GPU is lost, with the remedy."""
    return BackendError(
        f"{name}: card {card} is lost to this process, which cannot use it again: start the process anew, or choose "
        f"another card (cuda:N) or --device cpu; nvidia-smi tells whether the driver still sees the card ({why})"
    )


class CardBackend(Protocol):
    """A graph on a card whose inputs and outputs may stay there."""

    @property
    def card(self) -> int:
        """Number of the card."""
        ...

    def allocate(self, shape: tuple[int, ...]) -> CardTensor:
        """Allocate a float32 array with undefined content."""
        ...

    def send(self, array: NDArray[Any]) -> CardTensor:
        """Copy an array to the GPU."""
        ...

    def receive(self, tensor: CardTensor) -> NDArray[Any]:
        """Copy to the host a whole array that `allocate`, `send` or `run_on_card` returned."""
        ...

    def run_on_card(
        self, feeds: Mapping[str, CardTensor], into: Mapping[str, CardTensor] = ...
    ) -> dict[str, CardTensor]:
        """Compute outputs by name from inputs by name; outputs in `into` are written there."""
        ...
