"""What a built engine says of itself: its layers, with the types they really have, and its inputs and outputs.

An engine can be loaded, and so inspected, only on a machine with a card. What the builder lists when it is done is the
same table, and is there on every machine. Both are read here; both are text whose form is the library's own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import BackendError
from ...plan.fields import Graph, Tensor
from ..profile import Range, shapes_of

#: Our word for each of the library's; of the types that a layer touches the first one in this order is its precision.
_WORDS = {
    "int4": ("int4",),
    "fp4": ("fp4", "fp4e2m1"),
    "int8": ("int8",),
    "fp8": ("fp8", "fp8_e4m3"),
    "fp16": ("half", "fp16", "float16"),
    "bf16": ("bfloat16", "bf16"),
    "fp32": ("float", "fp32", "float32"),
    "other": ("int32", "int64", "bool", "uint8"),
}
_PRECISION_OF = {word: name for name, words in _WORDS.items() for word in words}
_TYPE = re.compile(r"Datatype: (\w+)")
_IO = re.compile(
    r"Name: (?P<name>.+?), IOMode: (?P<mode>Input|Output), DataType: (?P<type>\w+), Dimensions: \[(?P<shape>[^]]*)\]"
)
_ENDS = [re.compile(rf"{end}Shape: \[([^]]*)\]") for end in ("Min", "Opt", "Max")]
#: numpy's names of what a graph may read and give.
_NUMPY = {"float": "float32", "half": "float16", "int64": "int64", "int32": "int32", "uint8": "uint8", "bool": "bool"}


@dataclass(frozen=True)
class Io:
    """An input or output of an engine; -1 is a free dimension."""

    name: str
    is_input: bool
    dtype: str
    shape: tuple[int, ...]
    #: Least, best and largest shape; of inputs.
    profile: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Listing:
    """An engine as it describes itself."""

    layers: dict[str, int] = field(default_factory=dict)
    io: list[Io] = field(default_factory=list)


def read_builder(messages: Iterable[str]) -> Listing | None:
    """Parse the table among the builder's messages; None if there is none."""
    text = next((m for m in messages if m.startswith("Layers:")), None)
    if text is None:
        return None
    layers, _, tensors = text.partition("I/O Tensors:")
    io = [_io(line) for line in tensors.splitlines() if "IOMode" in line]
    return Listing(count(_TYPE.findall(line) for line in layers.splitlines()), io)


def read_inspector(text: str) -> dict[str, int]:
    """Count layers by precision in the JSON of the library's engine inspector."""
    layers = json.loads(text).get("Layers", [])
    return count(_types(layer) for layer in layers if isinstance(layer, dict))


def count(layers: Iterable[Sequence[str]]) -> dict[str, int]:
    """Count layers by precision: the narrowest numeric type among a layer's inputs, constants and outputs.

    Layers without data (signals between streams) do not count.
    """
    order = list(_WORDS)
    counts: Counter[str] = Counter()
    for types in layers:
        names = {_PRECISION_OF.get(t.lower(), "other") for t in types}
        if names:
            counts[min(names, key=order.index)] += 1
    return dict(sorted(counts.items(), key=lambda item: order.index(item[0])))


def _types(layer: Mapping[str, Any]) -> list[str]:
    """List the types of a layer's tensors. TensorRT 10 words them as "Row major linear FP16 format"."""
    tensors = [t for key in ("Inputs", "Constants", "Outputs") for t in layer.get(key) or [] if isinstance(t, dict)]
    texts = [str(t.get("Datatype") or t.get("Format/Datatype") or "") for t in tensors]
    return [w for text in texts for w in re.findall(r"\w+", text) if w.lower() in _PRECISION_OF]


def _io(line: str) -> Io:
    match = _IO.search(line)
    if match is None:
        raise BackendError(f"the builder lists a tensor in a form that is not known: {line.strip()[:200]}")
    ends = [e.search(line) for e in _ENDS]
    profile = tuple(_shape(e.group(1)) for e in ends if e is not None)
    dtype = _NUMPY.get(match["type"].lower(), match["type"])
    return Io(match["name"], match["mode"] == "Input", dtype, _shape(match["shape"]), profile)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split(",") if n.strip())


def check_io(engine_io: Sequence[Io], graph: Graph, profile: Mapping[str, Range]) -> None:
    """Check an engine's inputs and outputs against the manifest, and its profile against the one requested.

    Raises:
        BackendError: naming the tensor and what differs.
    """
    for kind, tensors, is_input in (("input", graph.inputs, True), ("output", graph.outputs, False)):
        of = {io.name: io for io in engine_io if io.is_input == is_input}
        if set(of) != {t.name for t in tensors}:
            raise BackendError(f"{graph.member}: the engine has {kind}s {sorted(of)}, manifest says {_names(tensors)}")
        for tensor in tensors:
            _check_tensor(of[tensor.name], tensor, graph.member, profile)


def _check_tensor(io: Io, tensor: Tensor, member: str, profile: Mapping[str, Range]) -> None:
    fixed = tuple(d if isinstance(d, int) else -1 for d in tensor.shape)
    same = len(io.shape) == len(fixed) and all(a == b or -1 in (a, b) for a, b in zip(io.shape, fixed, strict=True))
    if io.dtype != tensor.dtype or not same:
        raise BackendError(
            f"{member}: {tensor.name} of the engine is {io.dtype} {list(io.shape)}, "
            f"manifest says {tensor.dtype} {tensor.shape}"
        )
    if io.is_input and io.profile and io.profile != shapes_of(tensor, profile):
        ranges = " to ".join(str(list(s)) for s in io.profile)
        raise BackendError(f"{member}: {tensor.name} of the engine takes {ranges}, not the profile that was asked")


def _names(tensors: Iterable[Tensor]) -> list[str]:
    return sorted(t.name for t in tensors)
