"""The record of what made a feature: kept beside features and in plans, compared field by field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..errors import FeatureError
from ..options import SnippetOptions
from ..plan import Encoder


def contract_of(snippet: SnippetOptions, encoders: Iterable[Encoder]) -> dict[str, Any]:
    """What these encoders on these snippets make."""
    made = {e.stream: {"name": e.name, "weights_sha256": e.weights_sha256, "dim": e.dim} for e in encoders}
    return {"snippet": asdict(snippet), "encoders": made}


def check_contract(found: dict[str, Any], wanted: dict[str, Any], source: str) -> list[str]:
    """Compare the record of stored features with what a head was trained on.

    Streams that the head does not read are ignored.

    Returns:
        Warnings: what could not be compared because it is not recorded.

    Raises:
        FeatureError: naming the first field that differs and both values.
    """
    if not found:
        return [f"{source}: carries no record of its origin; nothing proves that it matches the head"]
    for field, value in wanted["snippet"].items():
        other = found.get("snippet", {}).get(field, value)
        if other != value:
            raise FeatureError(f"{source}: snippet.{field} is {other!r}, the head was trained on {value!r}")
    warnings = []
    for stream, encoder in wanted["encoders"].items():
        made = found.get("encoders", {}).get(stream)
        if made is None:
            warnings.append(f"{source}: stream {stream!r} carries no record of its encoder")
            continue
        for field, value in encoder.items():
            if made.get(field) != value:
                raise FeatureError(
                    f"{source}: {stream} {field} is {made.get(field)!r}, the head was trained on {value!r}"
                )
    return warnings
