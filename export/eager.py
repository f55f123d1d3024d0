"""PyTorch as a runtime: a network behind the same face as its graph, for the gate and for benchmarks.

Runs whatever module it is given, as it is; no part of a plan. torch is loaded when a network is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._util.extras import need

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
        """Compute outputs by name from inputs by name."""
        with self._torch.inference_mode():
            results = self._module(**{n: self._torch.from_numpy(a).to(self._device) for n, a in feeds.items()})
        outputs = results if isinstance(results, dict) else {"feature": results}
        return {name: value.float().cpu().numpy() for name, value in outputs.items()}
