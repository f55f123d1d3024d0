"""The wire format of protocol buffers, as far as ONNX files need it. Knows fields and numbers, and no schema.

The runtime reads ONNX files with it, because it does without the onnx package; tests hold its readers against onnx.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """A field of a message: its number, its wire type, its raw content. Of a number, that is its varint."""

    number: int
    wire: int
    content: memoryview

    @property
    def value(self) -> int:
        """The number of a varint field.

        Raises:
            ValueError: it is none.
        """
        if self.wire != VARINT:
            raise ValueError(f"not a protocol buffer of this kind: field {self.number} is not a number")
        return read_varint(self.content, 0)[0]

    @property
    def message(self) -> memoryview:
        """The content of a field of bytes: a text, a message, packed numbers.

        Raises:
            ValueError: it is none.
        """
        if self.wire != BYTES:
            raise ValueError(f"not a protocol buffer of this kind: field {self.number} has no message")
        return self.content


def fields(message: bytes | memoryview) -> Iterator[Field]:
    """Yield the fields of a message, in order; contents are views, nothing is copied.

    Raises:
        ValueError: it is not a protocol buffer.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = read_varint(view, at)
        wire = key & 7
        if wire == BYTES:
            length, at = read_varint(view, at)
            end = at + length
        elif wire == VARINT:
            end = read_varint(view, at)[1]
        elif wire in (FIXED64, FIXED32):
            end = at + (8 if wire == FIXED64 else 4)
        else:
            raise ValueError(f"not a protocol buffer: wire type {wire} at byte {at}")
        if end > len(view):
            raise ValueError(f"not a protocol buffer: a field of {end - at} bytes at byte {at} of {len(view)}")
        yield Field(key >> 3, wire, view[at:end])
        at = end


def message_of(parts: Iterable[tuple[int, int, bytes | memoryview]]) -> bytes:
    """Serialize fields: number, wire type, content."""
    made = bytearray()
    for number, wire, content in parts:
        made += varint(number << 3 | wire)
        if wire == BYTES:
            made += varint(len(content))
        made += content
    return bytes(made)


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read the number that begins at byte `at`, and return where it ends.

    Raises:
        ValueError: it does not end.
    """
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"not a protocol buffer: a number at byte {at} does not end")


def packed(numbers: memoryview) -> Iterator[int]:
    """Yield the numbers that are packed into one field."""
    at = 0
    while at < len(numbers):
        value, at = read_varint(numbers, at)
        yield value


def varint(value: int) -> bytes:
    """Encode a number."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
