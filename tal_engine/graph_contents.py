"""What an ONNX file holds: how many numbers of which type, which operators. Read without the onnx package.

Reads the protocol-buffer fields that this needs and skips the others; tests hold it against onnx.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .protobuf import VARINT, fields, packed

# Field numbers of onnx.proto.
_GRAPH = 7  # ModelProto
_NODE, _INITIALIZER = 1, 5  # GraphProto
_OP, _ATTRIBUTE = 4, 5  # NodeProto
_TENSOR, _SUBGRAPH = 5, 6  # AttributeProto
_DIMS, _TYPE = 1, 2  # TensorProto

#: TensorProto.DataType, in the words of plans; what is left out counts as "other".
_WORDS = {1: "fp32", 10: "fp16", 16: "bf16", 11: "fp64", 3: "int8", 2: "int8", 21: "int4", 22: "int4"}
_INTEGERS = {6, 7, 5, 4, 12, 13, 9}


@dataclass(frozen=True)
class Contents:
    """Of a graph: numbers stored as constants by precision, and nodes by operator.

    Whole numbers that are no weights (shapes, axes, indices) count as "index".
    """

    numbers: dict[str, int]
    operators: dict[str, int]

    @property
    def precision(self) -> str:
        """The precision that most of the weights have; "" for a graph without any."""
        weights = {k: v for k, v in self.numbers.items() if k != "index"}
        return max(weights, key=lambda k: weights[k]) if weights else ""


def contents(graph: bytes) -> Contents:
    """Count what is in a serialized ONNX model.

    Raises:
        ValueError: it is not one.
    """
    numbers: Counter[str] = Counter()
    operators: Counter[str] = Counter()
    graphs = [f.message for f in fields(graph) if f.number == _GRAPH]
    if not graphs:
        raise ValueError("no graph inside")
    while graphs:
        for f in fields(graphs.pop()):
            if f.number == _INITIALIZER:
                numbers.update(_tensor(f.message))
            elif f.number == _NODE:
                name, tensors, inner = _node(f.message)
                operators[name] += 1
                graphs += inner
                for tensor in tensors:
                    numbers.update(_tensor(tensor))
    return Contents(dict(numbers), dict(operators))


def _node(node: memoryview) -> tuple[str, list[memoryview], list[memoryview]]:
    """Operator, constants and inner graphs of a node."""
    name, tensors, inner = "", list[memoryview](), list[memoryview]()
    for f in fields(node):
        if f.number == _OP:
            name = bytes(f.message).decode(errors="replace")
        elif f.number == _ATTRIBUTE:
            for part in fields(f.message):
                if part.number == _TENSOR:
                    tensors.append(part.message)
                elif part.number == _SUBGRAPH:
                    inner.append(part.message)
    return name, tensors, inner


def _tensor(tensor: memoryview) -> dict[str, int]:
    """How many numbers of which precision."""
    size, kind = 1, 0
    for f in fields(tensor):
        if f.number == _DIMS:
            for dim in [f.value] if f.wire == VARINT else packed(f.message):
                size *= dim
        elif f.number == _TYPE:
            kind = f.value
    return {_WORDS.get(kind, "index" if kind in _INTEGERS else "other"): size}
