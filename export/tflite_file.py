"""Reads TensorFlow Lite files: tables of a flatbuffer, as far as networks of pictures need it.

Written from the public schema (tensorflow/lite/schema/schema.fbs), whose field numbers it uses. Knows no ONNX.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportError

#: Types of tensors by their numbers in the schema.
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 9: np.int8}
_IDENTIFIER = b"TFL3"
#: Operators by their numbers in the schema: those that can be converted.
OPERATORS = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 5: "DEPTH_TO_SPACE", 6: "DEQUANTIZE",
    14: "LOGISTIC", 17: "MAX_POOL_2D", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 34: "PAD", 124: "DENSIFY",
}  # fmt: skip


class Table:
    """A table of a flatbuffer; fields are read by their number in the schema, each with its default."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._layout = at - _number(data, "<i", at)

    @classmethod
    def root(cls, data: bytes) -> Self:
        """Return the root table of a TensorFlow Lite file.

        Raises:
            ExportError: the bytes are of another kind.
        """
        if data[4:8] != _IDENTIFIER:
            raise ExportError(f"not a TensorFlow Lite file: bytes 4 to 8 are {data[4:8]!r}, must be {_IDENTIFIER!r}")
        return cls(data, _number(data, "<I", 0))

    def number(self, field: int, form: str = "<i", default: int = 0) -> int:
        """Read a number of a `struct` form."""
        place = self._place(field)
        return default if place is None else _number(self._data, form, place)

    def table(self, field: int) -> Table | None:
        """Read a table; None where it is left out."""
        place = self._place(field)
        return None if place is None else Table(self._data, place + _number(self._data, "<I", place))

    def tables(self, field: int) -> list[Table]:
        """Read a vector of tables."""
        begin, count = self._vector(field)
        places = (begin + 4 * i for i in range(count))
        return [Table(self._data, p + _number(self._data, "<I", p)) for p in places]

    def array(self, field: int, dtype: Any = np.int32) -> NDArray[Any]:
        """Read a vector of numbers."""
        begin, count = self._vector(field)
        return np.frombuffer(self._data, dtype, count, begin) if count else np.zeros(0, dtype)

    def text(self, field: int) -> str:
        """Read a text."""
        begin, count = self._vector(field)
        return self._data[begin : begin + count].decode()

    def _place(self, field: int) -> int | None:
        slot = 4 + 2 * field
        if slot >= _number(self._data, "<H", self._layout):
            return None
        offset = _number(self._data, "<H", self._layout + slot)
        return self._at + offset if offset else None

    def _vector(self, field: int) -> tuple[int, int]:
        """Return where the elements of a vector begin, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = place + _number(self._data, "<I", place)
        return start + 4, _number(self._data, "<I", start)


def _number(data: bytes, form: str, at: int) -> int:
    try:
        return int(struct.unpack_from(form, data, at)[0])
    except struct.error as e:
        raise ExportError(f"the file ends before byte {at}: it is cut off or damaged") from e


@dataclass(frozen=True)
class TensorInfo:
    """A tensor: its shape (pictures are [N, H, W, C]), and its values if they are constant."""

    name: str
    shape: tuple[int, ...]
    value: NDArray[Any] | None


@dataclass(frozen=True)
class Operator:
    """A step of a network: what it does, the numbers of the tensors it reads (-1: left out) and makes."""

    kind: str
    options: Table | None
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """A network as it is stored."""

    tensors: Sequence[TensorInfo]
    operators: Sequence[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_network(data: bytes) -> Network:
    """Read the first network of a TensorFlow Lite file.

    Raises:
        ExportError: the file is of another kind, cut off, or has an operator that is not in `OPERATORS`.
    """
    model = Table.root(data)
    kinds = [_kind(code) for code in model.tables(1)]
    graph, buffers = model.tables(2)[0], model.tables(4)
    tensors = [_tensor(t, buffers) for t in graph.tables(0)]
    operators = [
        Operator(kinds[o.number(0, "<I")], o.table(4), tuple(map(int, o.array(1))), tuple(map(int, o.array(2))))
        for o in graph.tables(3)
    ]
    return Network(tensors, operators, tuple(map(int, graph.array(1))), tuple(map(int, graph.array(2))))


def _kind(code: Table) -> str:
    number = max(code.number(0, "<b"), code.number(3))  # the older field holds up to 127
    if number not in OPERATORS:
        raise ExportError(f"operator {number} of the file is not converted; known: {', '.join(OPERATORS.values())}")
    return OPERATORS[number]


def _tensor(table: Table, buffers: Sequence[Table]) -> TensorInfo:
    shape = tuple(map(int, table.array(0)))
    kind = table.number(1, "<b")
    if kind not in _TYPES:
        raise ExportError(f"tensor {table.text(3)!r} has type {kind}, known: {sorted(_TYPES)}")
    flat = buffers[table.number(2, "<I")].array(0, np.uint8)
    if not flat.size:
        return TensorInfo(table.text(3), shape, None)
    values = flat.view(_TYPES[kind])
    sparsity = table.table(6)
    whole = values.reshape(shape) if sparsity is None else dense(values, shape, sparsity)
    return TensorInfo(table.text(3), shape, whole)


def dense(values: NDArray[Any], shape: tuple[int, ...], sparsity: Table) -> NDArray[Any]:
    """Unpack a sparse tensor.

    Its values lie in the order of a walk through its dimensions, and of the blocks that some are cut into; each is
    dense, or lists by segments which of its places hold something.
    """
    order, blocks = sparsity.array(0), sparsity.array(1)
    found = np.zeros((1, 0), np.int64)  # coordinates of the places walked so far, in the order of the walk
    sizes = []
    for level in sparsity.tables(2):
        if level.number(0, "<b"):  # compressed
            begin, index = _indices(level, 3), _indices(level, 5)
            counts = np.diff(begin)
            found = np.hstack([np.repeat(found, counts, 0), index[:, None]])
            sizes.append(0)
        else:
            size = level.number(1)
            found = np.hstack([np.repeat(found, size, 0), np.tile(np.arange(size), len(found))[:, None]])
            sizes.append(size)
    place = {int(dim): found[:, i] for i, dim in enumerate(order)}
    extent = {int(dim): sizes[i] for i, dim in enumerate(order)}
    rank = len(shape)
    where = [place[d] for d in range(rank)]
    for i, dim in enumerate(map(int, blocks)):
        where[dim] = where[dim] * extent[rank + i] + place[rank + i]
    out = np.zeros(shape, values.dtype)
    out[tuple(where)] = values
    return out


def _indices(level: Table, field: int) -> NDArray[np.int64]:
    """Read a vector of indices, which is a table around numbers of 32, 16 or 8 bits."""
    kind, table = level.number(field - 1, "<b"), level.table(field)
    if table is None or kind not in (1, 2, 3):
        raise ExportError(f"a sparse tensor has indices of kind {kind}, must be 1, 2 or 3")
    dtype = {1: np.int32, 2: np.uint16, 3: np.uint8}[kind]
    return table.array(0, dtype).astype(np.int64)
