"""Convolutions over time as convolutions over pictures of height 1.

The same numbers, on better kernels: ONNX Runtime blocks channels only in 2-D convolutions (measured here: a head of
50 M parameters takes a tenth to a quarter less time), and its quantized convolutions are fused only where no transpose
stands between them and their scales. TensorRT runs 1-D convolutions as 2-D ones anyway.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from .._util.extras import need

#: Operators that work value by value, so they can stand in the picture too and be fused with the convolution.
_BY_VALUE = frozenset({"LeakyRelu", "Relu", "Sigmoid", "Tanh"})
_SPATIAL = ("kernel_shape", "strides", "dilations", "pads")
_AXIS = "planar_axis"


def to_planar(model: Any) -> Any:
    """Replace an ONNX model's 1-D convolutions of constant weights by 2-D ones; return the model itself if it has none.

    Models with branches or loops stay as they are, since what those read cannot be seen from outside.
    """
    read_otherwise = {n for x in model.graph.node for i, n in enumerate(x.input) if (x.op_type, i) != ("Conv", 1)}
    weights = {i.name: i for i in model.graph.initializer if i.name not in read_otherwise}
    nested = any(a.HasField("g") for n in model.graph.node for a in n.attribute)
    if nested or not any(_is_flat(n, weights) for n in model.graph.node):
        return model
    changed = deepcopy(model)
    _Pass(changed.graph, weights).run()
    del changed.graph.value_info[:]
    return changed


def _is_flat(node: Any, weights: dict[str, Any]) -> bool:
    return node.op_type == "Conv" and node.input[1] in weights and len(weights[node.input[1]].dims) == 3


class _Pass:
    """One walk over the nodes. `pictures`: name of the 4-D form of a tensor that has one."""

    def __init__(self, graph: Any, weights: dict[str, Any]) -> None:
        self.graph, self.weights = graph, weights
        self.onnx = need("onnx")
        self.nodes: list[Any] = []
        self.pictures: dict[str, str] = {}
        self.flat = {t.name for t in (*graph.input, *graph.initializer)}

    def run(self) -> None:
        wide = {n.input[1] for n in self.graph.node if _is_flat(n, self.weights)}
        for node in self.graph.node:
            if _is_flat(node, self.weights):
                self._convolution(node)
            elif node.op_type in _BY_VALUE and node.input[0] in self.pictures:
                self._by_value(node)
            else:
                for name in node.input:
                    self._flatten(name)
                self.nodes.append(deepcopy(node))
                self.flat.update(node.output)
        for value in self.graph.output:
            self._flatten(value.name)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        for weight in self.graph.initializer:
            if weight.name in wide:
                weight.dims.insert(2, 1)
        axis = self.onnx.numpy_helper.from_array(np.array([2], np.int64), _AXIS)
        self.graph.initializer.append(axis)

    def _convolution(self, node: Any) -> None:
        changed = deepcopy(node)
        changed.input[0] = self._picture(node.input[0])
        changed.output[0] = self._own(node.output[0])
        del changed.attribute[:]
        changed.attribute.extend(self._attribute(a) for a in node.attribute)
        self.nodes.append(changed)

    def _attribute(self, attribute: Any) -> Any:
        """Return the attribute for two dimensions, the first of which has size 1."""
        if attribute.name not in _SPATIAL:
            return attribute
        own = list(attribute.ints)
        values = [0, own[0], 0, own[1]] if attribute.name == "pads" else [1, *own]
        return self.onnx.helper.make_attribute(attribute.name, values)

    def _by_value(self, node: Any) -> None:
        changed = deepcopy(node)
        changed.input[0] = self.pictures[node.input[0]]
        changed.output[0] = self._own(node.output[0])
        self.nodes.append(changed)

    def _own(self, name: str) -> str:
        self.pictures[name] = f"{name}_planar"
        return self.pictures[name]

    def _picture(self, name: str) -> str:
        """Return the 4-D form of a tensor, adding it if needed."""
        if name not in self.pictures:
            node = self.onnx.helper.make_node("Unsqueeze", [name, _AXIS], [self._own(name)], name=f"{name}_unsqueeze")
            self.nodes.append(node)
        return self.pictures[name]

    def _flatten(self, name: str) -> None:
        """Add the 3-D form of a tensor that exists in 4-D only."""
        if name in self.pictures and name not in self.flat:
            node = self.onnx.helper.make_node("Squeeze", [self.pictures[name], _AXIS], [name], name=f"{name}_squeeze")
            self.nodes.append(node)
            self.flat.add(name)
