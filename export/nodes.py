"""Writes an ONNX graph node by node, with names that count up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.extras import need


class Nodes:
    """Nodes and weights of a graph in the making; each method returns the name of what it made."""

    def __init__(self) -> None:
        self._onnx = need("onnx")
        self.made: list[Any] = []
        self.weights: list[Any] = []

    def nodes(self, op: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs."""
        names = [f"{op.lower()}_{len(self.made)}_{i}" for i in range(outputs)]
        self.made.append(self._onnx.helper.make_node(op, list(inputs), names, **attributes))
        return names

    def node(self, op: str, inputs: Sequence[str], *, name: str = "", **attributes: Any) -> str:
        """Add a node with one output, under a name that others know, or one of its own."""
        name = name or f"{op.lower()}_{len(self.made)}"
        self.made.append(self._onnx.helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def slice(self, of: str, axis: int, first: int, end: int) -> str:
        """Take a part of a tensor."""
        at = [self.ints(f"{what}_{len(self.made)}", [v]) for what, v in (("from", first), ("to", end), ("axis", axis))]
        return self.node("Slice", [of, *at])

    def linear(self, name: str, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """Multiply the last dimension by a layer's weights, as torch stores them."""
        product = self.node("MatMul", [x, self.floats(f"{name}_weight", weight.T.copy())])
        return self.node("Add", [product, self.floats(f"{name}_bias", bias)])

    def floats(self, name: str, values: NDArray[np.float32]) -> str:
        """Add a weight."""
        self.weights.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def ints(self, name: str, values: Sequence[int]) -> str:
        """Add whole numbers, such as a shape or axes."""
        self.weights.append(self._onnx.numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def scalar(self, name: str, value: int) -> str:
        """Add a whole number without a dimension."""
        self.weights.append(self._onnx.numpy_helper.from_array(np.array(value, np.int64), name))
        return name
