"""PyTorch as a runtime: a network behind the same face as its graph, for the gate and for benchmarks.

Runs whatever module it is given, as it is; no part of a plan. torch is loaded when a network is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tal_engine.extras import need

if TYPE_CHECKING:
    from torch import nn


class EagerBackend:
    """A network in evaluation mode, run operator by operator."""

    def __init__(self, module: nn.Module, device: str = "cpu") -> None:
        """Take a module that reads its inputs by name and gives tensors by name, or one tensor, "feature".

        Raises:
            MissingExtraError: torch is not installed.
        """
        self._torch = need("torch")
        self._module, self._device = module.eval().to(device), device
        self.description = f"PyTorch {self._torch.__version__} eager ({device})"

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name."""
        with self._torch.inference_mode():
            found = self._module(**{n: self._torch.from_numpy(a).to(self._device) for n, a in feeds.items()})
        outputs = found if isinstance(found, dict) else {"feature": found}
        return {name: value.float().cpu().numpy() for name, value in outputs.items()}
