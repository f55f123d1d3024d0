"""Writes small ONNX graphs as bytes, so that the runtime can make some without the onnx package.

Knows the field numbers of onnx.proto that this needs, and no operator; tests check what it writes with onnx.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..plan.protobuf import BYTES, FIXED32, VARINT, message_of, varint

#: An attribute of a node: a number, a text, or whole numbers.
Attribute = int | float | str | Sequence[int]
#: Sizes of dimensions, or names of free ones.
Shape = Sequence[int | str]

_Part = tuple[int, int, bytes]

_OPSET, _IR = 18, 9
_KINDS = {"float32": 1, "float16": 10, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}
# Field numbers of onnx.proto.
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET, _OPSET_VERSION = 1, 7, 8, 2
_NODE, _NAME, _INITIALIZER, _INPUT, _OUTPUT = 1, 2, 5, 11, 12
_IN, _OUT, _OP, _ATTRIBUTE = 1, 2, 4, 5
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW = 1, 2, 8, 9
_ATTRIBUTE_KINDS = {float: (2, 1), int: (3, 2), str: (4, 3), tuple: (8, 7)}  # field of the value, type of attribute
_ATTRIBUTE_TYPE = 20


class GraphWriter:
    """A graph that grows node by node; each `add` names its result.

    Example:
        >>> writer = GraphWriter("double")
        >>> writer.input("x", np.float32, ("N",))
        >>> writer.output(writer.add("Add", "x", "x"), "y", np.float32, ("N",))
        >>> graph = writer.serialized()
    """

    def __init__(self, name: str) -> None:
        self._name, self._count = name, 0
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []

    def input(self, name: str, dtype: DTypeLike, shape: Shape) -> None:
        """Declare an input."""
        self._inputs.append(_value(name, dtype, shape))

    def output(self, value: str, name: str, dtype: DTypeLike, shape: Shape) -> None:
        """Declare a value to be an output of this name."""
        self._nodes.append(_node("Identity", [value], [name], {}))
        self._outputs.append(_value(name, dtype, shape))

    def constant(self, value: NDArray[np.generic]) -> str:
        """Put an array into the graph; its name."""
        name = self._fresh("c")
        parts = [(_DIMS, VARINT, varint(d)) for d in value.shape]
        parts += [(_DATA_TYPE, VARINT, varint(_KINDS[value.dtype.name])), (_TENSOR_NAME, BYTES, name.encode())]
        little = value.astype(value.dtype.newbyteorder("<"), copy=False)
        self._constants.append(message_of([*parts, (_RAW, BYTES, little.tobytes())]))
        return name

    def floats(self, *values: float) -> str:
        """Add a float32 constant; a single number becomes a scalar."""
        return self.constant(np.array(values if len(values) > 1 else values[0], np.float32))

    def ints(self, *values: int) -> str:
        """Add a constant [N] int64."""
        return self.constant(np.array(values, np.int64))

    def add(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Append a node of one output; the name of that. An input "" is left out."""
        name = self._fresh("v")
        self._nodes.append(_node(op, inputs, [name], attributes))
        return name

    def split(self, op: str, outputs: int, *inputs: str, **attributes: Attribute) -> list[str]:
        """Append a node of several outputs; their names."""
        names = [self._fresh("v") for _ in range(outputs)]
        self._nodes.append(_node(op, inputs, names, attributes))
        return names

    def cast(self, value: str, dtype: DTypeLike) -> str:
        """Append a conversion to another type."""
        return self.add("Cast", value, to=_KINDS[np.dtype(dtype).name])

    def serialized(self) -> bytes:
        """Serialize the graph as an ONNX file."""
        parts = [(_NODE, BYTES, n) for n in self._nodes] + [(_NAME, BYTES, self._name.encode())]
        parts += [(_INITIALIZER, BYTES, c) for c in self._constants]
        parts += [(_INPUT, BYTES, i) for i in self._inputs] + [(_OUTPUT, BYTES, o) for o in self._outputs]
        opset = message_of([(_OPSET_VERSION, VARINT, varint(_OPSET))])
        model = [(_MODEL_IR, VARINT, varint(_IR)), (_MODEL_GRAPH, BYTES, message_of(parts))]
        return message_of([*model, (_MODEL_OPSET, BYTES, opset)])

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"


def _node(op: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, Attribute]) -> bytes:
    parts: list[_Part] = [(_IN, BYTES, name.encode()) for name in inputs]
    parts += [(_OUT, BYTES, name.encode()) for name in outputs]
    parts += [(_OP, BYTES, op.encode())]
    return message_of([*parts, *((_ATTRIBUTE, BYTES, _attribute(n, v)) for n, v in attributes.items())])


def _attribute(name: str, value: Attribute) -> bytes:
    content = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
    number, kind = _ATTRIBUTE_KINDS[type(content)]
    contents: list[_Part]
    if isinstance(content, tuple):
        contents = [(number, VARINT, _signed(v)) for v in content]
    elif isinstance(content, str):
        contents = [(number, BYTES, content.encode())]
    elif isinstance(content, float):
        contents = [(number, FIXED32, struct.pack("<f", content))]
    else:
        contents = [(number, VARINT, _signed(content))]
    return message_of([(1, BYTES, name.encode()), *contents, (_ATTRIBUTE_TYPE, VARINT, varint(kind))])


def _signed(value: int) -> bytes:
    """Encode an integer, negative ones as 64 bits of two's complement."""
    return varint(value & (2**64 - 1))


def _value(name: str, dtype: DTypeLike, shape: Shape) -> bytes:
    dims = [message_of([(1, VARINT, varint(d)) if isinstance(d, int) else (2, BYTES, d.encode())]) for d in shape]
    sizes = message_of([(1, BYTES, d) for d in dims])
    tensor = message_of([(1, VARINT, varint(_KINDS[np.dtype(dtype).name])), (2, BYTES, sizes)])
    return message_of([(1, BYTES, name.encode()), (2, BYTES, message_of([(1, BYTES, tensor)]))])
