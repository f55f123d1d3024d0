"""Gives graphs that read bytes a cast first: TensorRT takes uint8 at a graph's door and nowhere behind it.

Edits the ONNX file as protocol-buffer fields and knows the handful of field numbers that this needs. What a graph
computes stays the same: bytes are exact in float32.
"""

from __future__ import annotations

from ..protobuf import BYTES, VARINT, fields, message_of, varint

# Field numbers of onnx.proto.
_GRAPH = 7  # ModelProto
_NODE, _INPUT, _VALUE = 1, 11, 13  # GraphProto
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OP, _ATTRIBUTE = 1, 2, 3, 4, 5  # NodeProto
_VALUE_NAME, _VALUE_TYPE, _TENSOR, _ELEMENT = 1, 2, 1, 1  # ValueInfoProto, TypeProto, TypeProto.Tensor
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_KIND = 1, 3, 20  # AttributeProto
_UINT8, _FLOAT, _INT_KIND = 2, 1, 2


def widen_bytes(graph: bytes) -> bytes:
    """The same graph with a cast to float32 behind each uint8 input; itself if it has none.

    Raises:
        ValueError: it is not a protocol buffer.
    """
    model: list[tuple[int, int, bytes | memoryview]] = list(fields(graph))
    at = next((i for i, (number, _, _) in enumerate(model) if number == _GRAPH), None)
    if at is None:
        raise ValueError("no graph inside")
    inner = list(fields(model[at][2]))
    names = [n for f in inner if f.number == _INPUT for n in _uint8_name(bytes(f.content))]
    if not names:
        return graph
    wide = {name: name + b"_wide" for name in names}
    casts = [(_NODE, BYTES, _cast(name, wide[name])) for name in names]
    # What it notes of the types of values in between is true no more; readers infer them.
    rest = [(n, w, _renamed(bytes(c), wide) if n == _NODE else c) for n, w, c in inner if n != _VALUE]
    model[at] = (_GRAPH, BYTES, message_of([*casts, *rest]))
    return message_of(model)


def _uint8_name(value: bytes) -> list[bytes]:
    """Name of a graph input if it is a uint8 tensor."""
    kind = _first(_first(value, _VALUE_TYPE), _TENSOR)
    return [_first(value, _VALUE_NAME)] if _first(kind, _ELEMENT) == varint(_UINT8) else []


def _cast(source: bytes, target: bytes) -> bytes:
    to = message_of(
        [
            (_ATTRIBUTE_NAME, BYTES, b"to"),
            (_ATTRIBUTE_INT, VARINT, varint(_FLOAT)),
            (_ATTRIBUTE_KIND, VARINT, varint(_INT_KIND)),
        ]
    )
    return message_of(
        [
            (_NODE_INPUT, BYTES, source),
            (_NODE_OUTPUT, BYTES, target),
            (_NODE_NAME, BYTES, target),
            (_OP, BYTES, b"Cast"),
            (_ATTRIBUTE, BYTES, to),
        ]
    )


def _renamed(node: bytes, names: dict[bytes, bytes]) -> bytes:
    return message_of([(n, w, names.get(bytes(c), c) if n == _NODE_INPUT else c) for n, w, c in fields(node)])


def _first(message: bytes, number: int) -> bytes:
    """Content of the first field with this number; empty if there is none."""
    return next((bytes(f.content) for f in fields(message) if f.number == number), b"")
