"""Half precision inside a graph: typed ONNX with casts, so that a runtime needs to know nothing of it.

Inputs and outputs keep their types. Weights and the operators that carry the work become float16; what half precision
cannot hold stays float32 (see `_wide_nodes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Literal

import numpy as np

from .._util.extras import need
from ..errors import ExportError

#: Operators that sum up, normalise, exponentiate or count; those that ONNX Runtime's list adds have no half kernels.
WIDE_OPERATORS = frozenset(
    {
        *("Softmax", "LogSoftmax", "Log", "Exp", "Pow", "Sqrt", "Reciprocal", "Div", "Softplus", "CumSum", "Range"),
        *("Resize", "Round", "Floor", "Ceil", "Mod", "LayerNormalization", "InstanceNormalization"),
        *("GroupNormalization", "LpNormalization", "RMSNormalization", "GlobalAveragePool", "ReduceSum", "ReduceMean"),
        *("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd"),
    }
)
#: Operators that only move values: they stay as wide as what they move.
_MOVES = frozenset(
    {
        *("Expand", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Transpose", "Slice", "Concat", "Split", "Identity"),
        *("Tile", "Pad"),
    }
)
#: Operators that bring weights in, if they read constants.
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Gather", "GatherElements", "GatherND"})
#: The range in which half precision keeps its 11 bits.
_SMALLEST, _LARGEST = 2.0**-14, 65504.0


@dataclass(frozen=True)
class Share:
    """What a graph really holds of a precision, and of float32: bytes of weights, and nodes.

    Nodes count by the type of what they give; at int8, only those that have weights count, by the type of these.
    """

    precision: str
    bytes: int
    wide_bytes: int
    nodes: int
    wide_nodes: int

    def figures(self) -> dict[str, int]:
        """Return the figures of the manifest's parity record."""
        p = self.precision
        sizes = {f"{p}_bytes": self.bytes, "fp32_bytes": self.wide_bytes}
        return sizes | {f"{p}_nodes": self.nodes, "fp32_nodes": self.wide_nodes}

    def refuse_less_than_half(self, member: str) -> None:
        """Check that at least half of the weights have the precision.

        Raises:
            ExportError: fewer have.
        """
        if self.bytes * 4 // BYTES[self.precision] <= self.wide_bytes:
            raise ExportError(
                f"{member}: {self.precision} was asked for, but only {self.bytes} bytes of its weights can be "
                f"{self.precision} and {self.wide_bytes} stay fp32: export it as fp32"
            )


#: Bytes of a weight.
BYTES = {"fp16": 2, "bf16": 2, "int8": 1}


def to_half(content: bytes, member: str, places: Iterable[str] = ()) -> tuple[bytes, Share]:
    """Convert a graph to half precision.

    Args:
        content: a serialized ONNX model in float32.
        member: name of the file in the plan.
        places: float inputs that are places in time, not signals. Half precision has steps of 2 from 2048 on, so what
            is computed from places alone stays float32.

    Returns:
        The converted model, whose inputs and outputs are those of the given one, and what it holds.

    Raises:
        ExportError: it cannot be converted, or less than half of its weights could be.
    """
    onnx = need("onnx")
    need("onnxruntime")
    try:
        model = half_typed(onnx.load_from_string(content), places)
        onnx.checker.check_model(model, full_check=True)
    except Exception as e:  # onnx and the converter raise many types, AssertionError among them
        raise ExportError(f"{member}: cannot be converted to fp16 ({type(e).__name__}: {e})") from e
    share = share_of(model)
    share.refuse_less_than_half(member)
    return model.SerializeToString(), share


def half_typed(model: Any, places: Iterable[str]) -> Any:
    """Run ONNX Runtime's converter with our choice of nodes, then remove needless casts."""
    half = need("onnxruntime.transformers.float16")
    model = need("onnx").shape_inference.infer_shapes(model)
    for i, node in enumerate(model.graph.node):
        node.name = f"n{i}_{node.op_type}"  # the converter knows nodes by name
    model = half.convert_float_to_float16(
        model,
        keep_io_types=True,
        disable_shape_infer=True,
        op_block_list=[*WIDE_OPERATORS, *half.DEFAULT_OP_BLOCK_LIST],
        node_block_list=sorted(_wide_nodes(model, places)),
    )
    _without_round_trips(model.graph)
    _sorted_and_needed(model.graph)
    del model.graph.value_info[:]
    return model


def share_of(model: Any, precision: Literal["fp16", "bf16"] = "fp16") -> Share:
    """Count what is of 16 bits and what is float32 in an ONNX model; casts do not count as nodes."""
    onnx = need("onnx")
    kinds = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}
    half, full = kinds[precision], onnx.TensorProto.FLOAT
    size = dict.fromkeys((half, full), 0)
    for weight in constants(model.graph).values():
        if weight.data_type in size:
            size[weight.data_type] += math.prod(weight.dims) * (4 if weight.data_type == full else 2)
    types = types_of(onnx.shape_inference.infer_shapes(model).graph)
    given = [types.get(n.output[0]) for n in model.graph.node if n.op_type not in {"Cast", "Constant"}]
    return Share(precision, size[half], size[full], given.count(half), given.count(full))


def _wide_nodes(model: Any, places: Iterable[str]) -> set[str]:
    """Name the nodes that stay float32, beside those of `WIDE_OPERATORS`.

    - What is computed from whole numbers (sizes, indices, pixels) and the inputs `places` alone, up to the first
      weights.
    - Constants outside the range of half precision (masks of -1e9, an epsilon of 1e-12), and what reads them.
    - Squares, which overflow from 256 on.
    - What only moves values that are wide already: between a norm and the division by it, 1e-12 must not become 0.
    """
    full = need("onnx").TensorProto.FLOAT
    types, fixed = types_of(model.graph), constants(model.graph)
    extreme = {name for name, value in fixed.items() if value.data_type == full and _is_extreme(value)}
    places, wide, names = set(places), set[str](), set[str]()
    for node in model.graph.node:
        inputs = [n for n in node.input if n]
        signals = [n for n in inputs if types.get(n) == full and n not in fixed and n not in places]
        weighs = node.op_type in _WEIGHTED and any(types.get(n) == full and n in fixed for n in inputs)
        if node.op_type != "Constant" and not signals and not weighs:
            places.update(node.output)
        stays = (
            places.issuperset(node.output)
            or not extreme.isdisjoint([*inputs, *node.output])
            or (node.op_type == "Mul" and inputs[0] == inputs[1])
            or (node.op_type in _MOVES and bool(signals) and wide.issuperset(signals))
        )
        if stays:
            names.add(node.name)
        if stays or node.op_type in WIDE_OPERATORS:
            wide.update(node.output)
    return names


def _is_extreme(tensor: Any) -> bool:
    """Return whether a tensor is too large for half precision, or a single number too small for it."""
    value = np.abs(need("onnx").numpy_helper.to_array(tensor))
    value = value[np.isfinite(value) & (value > 0)]
    return bool(value.size and (value.max() > _LARGEST or (value.size == 1 and value.max() < _SMALLEST)))


def constants(graph: Any) -> dict[str, Any]:
    """Return the constant tensors by name."""
    tensors = {i.name: i for i in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                tensors[node.output[0]] = attribute.t
    return tensors


def types_of(graph: Any) -> dict[str, int]:
    """Return the element types by name."""
    values = (*graph.input, *graph.output, *graph.value_info)
    return {v.name: v.type.tensor_type.elem_type for v in values} | {i.name: i.data_type for i in graph.initializer}


def _without_round_trips(graph: Any) -> None:
    """Connect float32 values directly where they pass through float16 to a node that reads float32.

    The converter puts a cast on each side of what stays wide, also between two nodes that both do, and to constants
    that it left as they are.
    """
    tensor, types = need("onnx").TensorProto, types_of(graph)
    casts = {n.output[0]: n for n in graph.node if n.op_type == "Cast"}
    source = {}
    for name, node in casts.items():
        given = node.input[0]
        if types.get(given) == tensor.FLOAT16 and given in casts:
            given = casts[given].input[0]
        if types.get(given) == types.get(name) == tensor.FLOAT:
            source[name] = given
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = source.get(name, name)
    for value in graph.output:  # keeps its name, so it keeps a cast: one that does nothing
        if value.name in source:
            casts[value.name].input[0] = source[value.name]


def _sorted_and_needed(graph: Any) -> None:
    """Put nodes behind what they read, and drop those that no output needs."""
    maker = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    after: dict[int, set[int]] = {}
    left = [maker[o.name] for o in graph.output if o.name in maker]
    while left:
        i = left.pop()
        if i not in after:
            after[i] = {maker[name] for name in graph.node[i].input if name in maker}
            left.extend(after[i])
    nodes = [graph.node[i] for i in TopologicalSorter(after).static_order()]
    whole = [deepcopy(n) for n in nodes]
    del graph.node[:]
    graph.node.extend(whole)
