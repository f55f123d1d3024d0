"""Protobuf's text form of nested dicts: what Triton reads as config.pbtxt. Knows no schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


class Word(str):
    """A value that is a name of the schema, such as TYPE_FP32: written without quotes."""

    __slots__ = ()


def to_text(block: Mapping[str, Any]) -> str:
    """Format a message: mappings are messages; lists of mappings, repeated messages; other lists, repeated values."""
    return "".join(f"{line}\n" for line in _lines(block))


def _lines(block: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in block.items():
        for one in value if isinstance(value, list) and value and isinstance(value[0], Mapping) else [value]:
            if isinstance(one, Mapping):
                yield f"{indent}{key} {{"
                yield from _lines(one, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{key}: {_value(one)}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(v) for v in value)}]"
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=True)
    return str(value)
