"""Which operators TensorRT's ONNX parser takes, of which types and with which attributes.

The table (`operator_table`) is what TensorRT-RTX 1.7.1's parser takes, asked node by node (`operator_probes`). Where
that parser is installed it is asked about a plan's graphs themselves, and its word counts. The parsers of TensorRT 10
and 11 were not at hand; they have plugins (NonZero, RoiAlign, DeformConv) that TensorRT-RTX lacks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from .._util.extras import need
from ..backends.tensorrt.widen import widen_bytes
from ..plan.archive import Plan
from .operator_probes import has_parser, refused
from .operator_table import TYPES_OF

log = logging.getLogger("tal_engine")

#: Attributes whose other values the parser refuses.
_ALLOWED: dict[str, dict[str, tuple[Any, ...]]] = {
    "Resize": {
        "antialias": (0,),
        "keep_aspect_ratio_policy": (b"stretch",),
        "coordinate_transformation_mode": (
            b"half_pixel", b"align_corners", b"asymmetric", b"pytorch_half_pixel", b"tf_half_pixel_for_nn",
        ),
    },
    "ScatterElements": {"reduction": (b"none",)},
    "ScatterND": {"reduction": (b"none",)},
    "AveragePool": {"dilations": ([1], [1, 1], [1, 1, 1])},
    "MaxPool": {"dilations": ([1], [1, 1], [1, 1, 1])},
}  # fmt: skip
_PAIR = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Unsupported:
    """A node that TensorRT's parser would refuse, and why."""

    node: str
    why: str


def unsupported(content: bytes) -> list[Unsupported]:
    """List what in a graph is outside of the table; [] if nothing is.

    The builder casts bytes to float first (`widen_bytes`): a graph that reads them is checked after that.
    """
    onnx = need("onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    fixed = {i.name: i for i in model.graph.initializer}
    attributes = [(n.output[0], a) for n in model.graph.node for a in n.attribute if n.op_type == "Constant"]
    fixed |= {name: a.t for name, a in attributes if a.name == "value"}
    types |= {name: t.data_type for name, t in fixed.items()}
    faults = []
    for i, node in enumerate(model.graph.node):
        for why in _faults(onnx, node, types, fixed):
            faults.append(Unsupported(f"{node.op_type} {node.name or i}", why))
    return faults


def _faults(onnx: Any, node: Any, types: dict[str, int], fixed: dict[str, Any]) -> list[str]:
    if node.domain not in ("", "ai.onnx"):
        return [f"domain {node.domain!r} is not ONNX's own"]
    types_taken = TYPES_OF.get(node.op_type, frozenset())
    if not types_taken:
        return ["no such operator in TensorRT's parser"]
    read = {onnx.TensorProto.DataType.Name(types[n]) for n in node.input[:1] if types.get(n)}
    faults = [f"reads {t}" for t in sorted(read - types_taken)]
    allowed = _ALLOWED.get(node.op_type, {})
    for a in node.attribute:
        value = onnx.helper.get_attribute_value(a)
        if a.name in allowed and value not in allowed[a.name]:
            shown = value.decode() if isinstance(value, bytes) else value
            faults.append(f"{a.name} is {shown}, must be {_shown(allowed[a.name])}")
    if node.op_type == "MaxPool" and len(node.output) > 1 and node.output[1]:
        faults.append("gives indices")
    zero = fixed.get(node.input[2]) if node.op_type in _PAIR and len(node.input) > 2 else None
    if zero is not None and onnx.numpy_helper.to_array(zero).any():
        faults.append("its zero point is not 0")
    return faults


def _shown(values: tuple[Any, ...]) -> str:
    return " or ".join(v.decode() if isinstance(v, bytes) else str(v) for v in values)


def parser_says(content: bytes) -> list[Unsupported] | None:
    """List what TensorRT-RTX's own parser refuses of a graph; None where it is not installed.

    Where the table knows the reason too, the entry names the node; else it holds the parser's text.
    """
    if not has_parser():
        return None
    said = refused(content)
    if not said:
        return []
    return unsupported(content) or [Unsupported("graph", text) for text in said]


def warn_unsupported(plan: Plan) -> None:
    """Log what of a plan TensorRT would not read: it still runs everywhere else, so this is no error."""
    for graph in plan.manifest.graphs:
        content = widen_bytes(plan.files[graph.member])
        said = parser_says(content)
        for x in unsupported(content) if said is None else said:
            log.warning("%s: %s: %s: TensorRT will not read this plan", graph.member, x.node, x.why)
