"""Tensors as the Open Inference Protocol (KServe v2) writes them: numbers in JSON, or raw bytes behind it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.untrusted import parse_json
from ..errors import DataError, UsageError
from .problems import ProblemError

#: Length of the JSON in front of raw tensors, in the header of requests and responses.
LENGTH_HEADER = "Inference-Header-Content-Length"
DTYPE = "FP32"


def request_of(body: bytes, length: str | None) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Take a request apart.

    Args:
        body: of the request.
        length: bytes of its JSON, as its header has them; None where all of it is JSON.

    Returns:
        The JSON, and the tensors by name.

    Raises:
        ProblemError: it cannot be parsed.
        UsageError: a tensor is malformed.
    """
    if length is not None and not (length.isdecimal() and len(length) < 12 and int(length) <= len(body)):
        raise ProblemError("bad-syntax", f"{LENGTH_HEADER} is {length[:40]!r}, must be at most {len(body)}")
    size = len(body) if length is None else int(length)
    try:
        document = parse_json(body[:size], "request")
    except DataError as e:
        raise ProblemError("bad-syntax", str(e)) from e
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise UsageError("the request is no object with a list of inputs")
    rest, tensors = memoryview(body)[size:], dict[str, NDArray[np.float32]]()
    for entry in document["inputs"]:
        name, shape = _header(entry)
        if name in tensors:
            raise UsageError(f"input {name!r} is given twice")
        count = math.prod(shape)
        raw = _parameters(entry).get("binary_data_size")
        if raw is None:
            values = _numbers(name, entry.get("data"), count)
        else:
            if type(raw) is not int or raw != 4 * count or raw > len(rest):
                raise UsageError(
                    f"input {name!r} has {raw!r} raw bytes, its shape takes {4 * count}, {len(rest)} are left"
                )
            values, rest = np.frombuffer(rest[:raw], "<f4"), rest[raw:]
        tensors[name] = values.reshape(shape)
        if not np.isfinite(values).all():
            raise UsageError(f"input {name!r} has values that are NaN or infinite")
    if len(rest):
        raise UsageError(f"{len(rest)} bytes are left behind the last input")
    return document, tensors


def _header(entry: Any) -> tuple[str, tuple[int, ...]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise UsageError("an input is no object with a name")
    name, shape = entry["name"][:200], entry.get("shape")
    if entry.get("datatype") != DTYPE:
        raise UsageError(f"input {name!r} is of type {str(entry.get('datatype'))[:40]!r}, must be {DTYPE!r}")
    ok = isinstance(shape, list) and 1 <= len(shape) <= 8 and all(type(n) is int and 0 < n < 2**31 for n in shape)
    if not ok:
        raise UsageError(f"input {name!r} has shape {str(shape)[:100]}, must be a list of positive sizes")
    return name, tuple(entry["shape"])


def _parameters(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    found = entry.get("parameters")
    return found if isinstance(found, dict) else {}


def _numbers(name: str, data: Any, count: int) -> NDArray[np.float32]:
    """Return numbers of JSON: a flat list, or nested ones."""
    try:
        values = np.asarray(data)
    except ValueError:
        values = np.empty(0, object)
    if values.dtype.kind not in "iuf" or values.size != count:
        raise UsageError(f"input {name!r} has no list of {count} numbers as its data")
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        return values.astype(np.float32).ravel()


def response_of(
    model: str, request: Mapping[str, Any], outputs: Mapping[str, NDArray[np.float32]]
) -> tuple[bytes, int | None]:
    """Build the body of a response, and the length of its JSON where raw tensors follow it.

    Args:
        model: its name.
        request: the JSON of the request, which says which outputs are wanted and how.
        outputs: by name.

    Raises:
        UsageError: there is no such output.
    """
    wanted = request.get("outputs")
    entries = wanted if isinstance(wanted, list) and wanted else [{"name": n} for n in outputs]
    all_raw = _parameters(request).get("binary_data_output") is True
    described, raw = list[dict[str, Any]](), list[bytes]()
    for entry in entries:
        name = str(entry.get("name") if isinstance(entry, dict) else entry)
        if name not in outputs:
            raise UsageError(f"output is {name[:100]!r}, must be one of {', '.join(outputs)}")
        values = np.ascontiguousarray(outputs[name], "<f4")
        one: dict[str, Any] = {"name": name, "datatype": DTYPE, "shape": list(values.shape)}
        if (_parameters(entry) if isinstance(entry, dict) else {}).get("binary_data", all_raw) is True:
            raw.append(values.tobytes())
            one["parameters"] = {"binary_data_size": values.nbytes}
        else:
            one["data"] = [x if math.isfinite(x) else None for x in values.ravel().tolist()]
        described.append(one)
    document: dict[str, Any] = {"model_name": model, "model_version": "1", "outputs": described}
    if isinstance(request.get("id"), str):
        document["id"] = request["id"]
    text = json.dumps(document).encode()
    return (text + b"".join(raw), len(text)) if raw else (text, None)
