"""Graphs whose weights are half-precision numbers, stored as such: half the bytes, the same results to the bit.

The graph casts each weight to float32 where it is read. ONNX Runtime and TensorRT do that once, when they load it, so a
packed graph computes what the given one does, as fast. `export.precision` is another matter: there half precision is
what is computed in. What tracing noted about each node goes too: it is a quarter of a small head, and says nothing to a
runtime.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._util.extras import need
from ..backends import open_backend
from ..options import timeline_of
from ..plan.archive import Plan, with_members
from . import gate

#: Least numbers of a weight that is packed: below, the cast is longer than what it saves.
_LEAST = 64
_SUFFIX = "_half"


def packed(content: bytes) -> bytes:
    """Store a graph's float32 weights as float16 where that loses nothing.

    Args:
        content: a serialized ONNX model. Weights that half precision cannot hold exactly stay as they are.
    """
    onnx = need("onnx")
    model = onnx.load_from_string(content)
    casts = []
    for weight in model.graph.initializer:
        half = _as_half(weight)
        if half is not None:
            name = weight.name
            weight.CopyFrom(onnx.numpy_helper.from_array(half, name + _SUFFIX))
            casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    for node in nodes:
        del node.metadata_props[:]
    _replace(model.graph.node, nodes)
    return bytes(model.SerializeToString())


def unpacked(content: bytes) -> bytes:
    """Give a packed graph its float32 weights back; any other graph is returned as it is.

    Args:
        content: a serialized ONNX model.
    """
    onnx = need("onnx")
    model = onnx.load_from_string(content)
    weights = {i.name: i for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT16}
    casts = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "Cast" and _is_packed(n, weights)}
    if not casts:
        return content
    for half, name in casts.items():
        value = onnx.numpy_helper.to_array(weights[half]).astype(np.float32)
        weights[half].CopyFrom(onnx.numpy_helper.from_array(value, name))
    wanted = set(casts.values())
    _replace(model.graph.node, [n for n in model.graph.node if wanted.isdisjoint(n.output)])
    return bytes(model.SerializeToString())


def packed_head(plan: Plan) -> Plan:
    """Pack the head of a float32 plan, and check that it finds the same segments.

    Args:
        plan: one whose weights were rounded to half precision (`people_plan.rounded`); others stay as large as before.

    Raises:
        ParityError: the packed head gives other tensors or segments.
    """
    manifest = plan.manifest
    head = manifest.head
    small = packed(plan.files[head.member])
    wanted, tested = (open_backend(content, head.member, "cpu") for content in (plan.files[head.member], small))
    stages = gate.Stages(manifest.proposal, manifest.nms, timeline_of(manifest.snippet))
    gate.check_segments(
        (wanted, None), (tested, None), head.member, stages, gate.random_features(head), gate.LIMITS["fp32"]
    )
    return with_members(manifest, {**plan.files, head.member: small})


def _as_half(weight: Any) -> Any:
    """Return a float32 weight as float16, or None if it is another, small, or would change."""
    onnx = need("onnx")
    if weight.data_type != onnx.TensorProto.FLOAT:
        return None
    value = onnx.numpy_helper.to_array(weight)
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    return half if value.size >= _LEAST and np.array_equal(half.astype(np.float32), value) else None


def _is_packed(node: Any, weights: dict[str, Any]) -> bool:
    return node.input[0] in weights and node.input[0] == node.output[0] + _SUFFIX


def _replace(field: Any, values: list[Any]) -> None:
    """Replace a repeated field of a message; its own entries are copied before they go."""
    copies = [type(v).FromString(v.SerializeToString()) for v in values]
    del field[:]
    field.extend(copies)
