"""Gives graphs that read bytes a cast first: TensorRT takes uint8 at a graph's door and nowhere behind it.

Edits the ONNX file as protocol-buffer fields, because the runtime does without the onnx package. Knows the handful of
field numbers that this needs; tests hold it against onnx. What a graph computes stays the same: bytes are exact in
float32.
"""

from __future__ import annotations

from collections.abc import Iterator

# Field numbers of onnx.proto.
_GRAPH = 7  # ModelProto
_NODE, _INPUT, _VALUE = 1, 11, 13  # GraphProto
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OP, _ATTRIBUTE = 1, 2, 3, 4, 5  # NodeProto
_VALUE_NAME, _VALUE_TYPE, _TENSOR, _ELEMENT = 1, 2, 1, 1  # ValueInfoProto, TypeProto, TypeProto.Tensor
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_KIND = 1, 3, 20  # AttributeProto
_UINT8, _FLOAT, _INT_KIND = 2, 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

#: A field: its number, its wire type, its content.
_Field = tuple[int, int, bytes]


def widen_bytes(graph: bytes) -> bytes:
    """The same graph with a cast to float32 behind each uint8 input; itself if it has none.

    Raises:
        ValueError: it is not a protocol buffer.
    """
    model = list(_fields(graph))
    at = next((i for i, (number, _, _) in enumerate(model) if number == _GRAPH), None)
    if at is None:
        raise ValueError("no graph inside")
    inner = list(_fields(model[at][2]))
    names = [n for number, _, content in inner if number == _INPUT for n in _uint8_name(content)]
    if not names:
        return graph
    wide = {name: name + b"_wide" for name in names}
    casts = [(_NODE, _BYTES, _cast(name, wide[name])) for name in names]
    # What it notes of the types of values in between is true no more; readers infer them.
    rest = [(n, w, _renamed(c, wide) if n == _NODE else c) for n, w, c in inner if n != _VALUE]
    model[at] = (_GRAPH, _BYTES, _message([*casts, *rest]))
    return _message(model)


def _uint8_name(value: bytes) -> list[bytes]:
    """Name of a graph input if it is a uint8 tensor."""
    kind = _first(_first(value, _VALUE_TYPE), _TENSOR)
    return [_first(value, _VALUE_NAME)] if _first(kind, _ELEMENT) == _varint(_UINT8) else []


def _cast(source: bytes, target: bytes) -> bytes:
    to = _message(
        [
            (_ATTRIBUTE_NAME, _BYTES, b"to"),
            (_ATTRIBUTE_INT, _VARINT, _varint(_FLOAT)),
            (_ATTRIBUTE_KIND, _VARINT, _varint(_INT_KIND)),
        ]
    )
    return _message(
        [
            (_NODE_INPUT, _BYTES, source),
            (_NODE_OUTPUT, _BYTES, target),
            (_NODE_NAME, _BYTES, target),
            (_OP, _BYTES, b"Cast"),
            (_ATTRIBUTE, _BYTES, to),
        ]
    )


def _renamed(node: bytes, names: dict[bytes, bytes]) -> bytes:
    return _message([(n, w, names.get(c, c) if n == _NODE_INPUT else c) for n, w, c in _fields(node)])


def _first(message: bytes, number: int) -> bytes:
    """Content of the first field with this number; empty if there is none."""
    return next((content for n, _, content in _fields(message) if n == number), b"")


def _fields(message: bytes) -> Iterator[_Field]:
    """The fields of a message in order; of numbers the raw bytes."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _BYTES:
            length, at = _read_varint(message, at)
            end = at + length
        elif wire == _VARINT:
            end = _read_varint(message, at)[1]
        elif wire in (_FIXED64, _FIXED32):
            end = at + (8 if wire == _FIXED64 else 4)
        else:
            raise ValueError(f"not a protocol buffer: wire type {wire} at byte {at}")
        if end > len(message):
            raise ValueError(f"not a protocol buffer: a field of {end - at} bytes at byte {at} of {len(message)}")
        yield number, wire, message[at:end]
        at = end


def _message(fields: list[_Field]) -> bytes:
    parts = []
    for number, wire, content in fields:
        parts.append(_varint(number << 3 | wire))
        if wire == _BYTES:
            parts.append(_varint(len(content)))
        parts.append(content)
    return b"".join(parts)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"not a protocol buffer: a number at byte {at} does not end")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
