"""What an ONNX file holds: how many numbers of which type, which operators. Read without the onnx package.

Reads the protocol-buffer fields that this needs and skips the others; tests hold it against onnx.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

# Field numbers of onnx.proto.
_GRAPH = 7  # ModelProto
_NODE, _INITIALIZER = 1, 5  # GraphProto
_OP, _ATTRIBUTE = 4, 5  # NodeProto
_TENSOR, _SUBGRAPH = 5, 6  # AttributeProto
_DIMS, _TYPE = 1, 2  # TensorProto

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

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
    graphs = [value for number, value in _fields(memoryview(graph)) if number == _GRAPH]
    if not graphs:
        raise ValueError("no graph inside")
    while graphs:
        for number, value in _fields(_message(graphs.pop())):
            if number == _INITIALIZER:
                numbers.update(_tensor(_message(value)))
            elif number == _NODE:
                name, tensors, inner = _node(_message(value))
                operators[name] += 1
                graphs += inner
                for tensor in tensors:
                    numbers.update(_tensor(tensor))
    return Contents(dict(numbers), dict(operators))


def _node(node: memoryview) -> tuple[str, list[memoryview], list[memoryview | int]]:
    """Operator, constants and inner graphs of a node."""
    name, tensors, inner = "", list[memoryview](), list[memoryview | int]()
    for number, value in _fields(node):
        if number == _OP:
            name = bytes(_message(value)).decode(errors="replace")
        elif number == _ATTRIBUTE:
            for kind, content in _fields(_message(value)):
                if kind == _TENSOR:
                    tensors.append(_message(content))
                elif kind == _SUBGRAPH:
                    inner.append(content)
    return name, tensors, inner


def _tensor(tensor: memoryview) -> dict[str, int]:
    """How many numbers of which precision."""
    size, kind = 1, 0
    for number, value in _fields(tensor):
        if number == _DIMS:
            for dim in [value] if isinstance(value, int) else _packed(value):
                size *= dim
        elif number == _TYPE and isinstance(value, int):
            kind = value
    return {_WORDS.get(kind, "index" if kind in _INTEGERS else "other"): size}


def _packed(numbers: memoryview) -> Iterator[int]:
    at = 0
    while at < len(numbers):
        value, at = _varint(numbers, at)
        yield value


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("not an ONNX model: a number where a message should be")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and content of each field; contents of fixed size are views of their bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"not a protocol buffer: wire type {wire} at byte {at}")
        if at + length > len(message):
            raise ValueError(f"not a protocol buffer: a field of {length} bytes at byte {at} of {len(message)}")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"not a protocol buffer: a number at byte {at} does not end")
