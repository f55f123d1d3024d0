"""What an ONNX file holds: how many numbers of which type, what it loads. Read without the onnx package.

Reads the protocol-buffer fields that this needs and skips the others; tests hold it against onnx.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .protobuf import VARINT, fields, packed

# Field numbers of onnx.proto.
_GRAPH = 7  # ModelProto
_NODE, _INITIALIZER, _OUTPUT = 1, 5, 12  # GraphProto
_VALUE_NAME, _VALUE_TYPE = 1, 2  # ValueInfoProto
_TENSOR_TYPE, _SHAPE = 1, 2  # TypeProto, TypeProto.Tensor
_OP, _ATTRIBUTE = 4, 5  # NodeProto
_TENSOR, _SUBGRAPH = 5, 6  # AttributeProto
_DIMS, _TYPE = 1, 2  # TensorProto

#: TensorProto.DataType, in the words of plans; what is left out counts as "other".
_WORDS = {1: "fp32", 10: "fp16", 16: "bf16", 11: "fp64", 3: "int8", 2: "int8", 21: "int4", 22: "int4"}
_INTEGERS = {6, 7, 5, 4, 12, 13, 9}


@dataclass(frozen=True)
class Contents:
    """Of a graph: numbers stored as constants, by precision.

    Whole numbers that are no weights (shapes, axes, indices) count as "index".
    """

    numbers: dict[str, int]

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
    graphs = [f.message for f in fields(graph) if f.number == _GRAPH]
    if not graphs:
        raise ValueError("no graph inside")
    while graphs:
        for f in fields(graphs.pop()):
            if f.number == _INITIALIZER:
                numbers.update(_tensor(f.message))
            elif f.number == _NODE:
                attributes = [part for a in fields(f.message) if a.number == _ATTRIBUTE for part in fields(a.message)]
                graphs += [part.message for part in attributes if part.number == _SUBGRAPH]
                for part in attributes:
                    if part.number == _TENSOR:
                        numbers.update(_tensor(part.message))
    return Contents(dict(numbers))


#: Messages inside of messages that can hold tensors or nodes: field number to kind, by kind.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": dict[int, str](),
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # TensorProto
#: Operators that load a file, or code, rather than compute.
_LOADERS = ("EPContext",)
#: One of these is in every graph that reaches outside: files are named by "location".
_SIGNS = (b"location", *(name.encode() for name in _LOADERS))


def reaches_outside(graph: bytes) -> str:
    """Say what in a serialized ONNX model is to be loaded from elsewhere: weights in other files, compiled code; or "".

    Raises:
        ValueError: it is not a model.
    """
    if not any(sign in graph for sign in _SIGNS):
        return ""
    left = [("model", memoryview(graph))]
    while left:
        kind, message = left.pop()
        for f in fields(message):
            if kind == "tensor" and f.number in (_EXTERNAL_DATA, _DATA_LOCATION) and bytes(f.content) != b"\0":
                return "a tensor that lies in another file"
            if kind == "node" and f.number == _OP and (name := bytes(f.message).decode(errors="replace")) in _LOADERS:
                return f"the operator {name}, which loads compiled code"
            if f.number in _INSIDE[kind]:
                left.append((_INSIDE[kind][f.number], f.message))
    return ""


def outputs_without_shape(graph: bytes) -> set[str]:
    """Return the names of a serialized ONNX model's outputs whose shape it does not state; a scalar's is stated.

    Raises:
        ValueError: it is not a model.
    """
    found = set()
    for model in fields(graph):
        for value in fields(model.message) if model.number == _GRAPH else ():
            if value.number == _OUTPUT:
                inside = {f.number: f for f in fields(value.message)}
                kind = fields(inside[_VALUE_TYPE].message) if _VALUE_TYPE in inside else iter(())
                shapes = [f for t in kind if t.number == _TENSOR_TYPE for f in fields(t.message) if f.number == _SHAPE]
                if not shapes and _VALUE_NAME in inside:
                    found.add(bytes(inside[_VALUE_NAME].message).decode(errors="replace"))
    return found


def _tensor(tensor: memoryview) -> dict[str, int]:
    """Count the numbers of a tensor by precision."""
    size, kind = 1, 0
    for f in fields(tensor):
        if f.number == _DIMS:
            for dim in [f.value] if f.wire == VARINT else packed(f.message):
                size *= dim
        elif f.number == _TYPE:
            kind = f.value
    return {_WORDS.get(kind, "index" if kind in _INTEGERS else "other"): size}
