"""Gives graphs that read bytes a cast first: TensorRT takes uint8 at a graph's door and nowhere behind it.

What a graph computes stays the same: bytes are exact in float32. Not done at export, since ONNX Runtime's encoders
would then widen every frame of a snippet before they take the few that they read.
"""

from __future__ import annotations

from ..._util.extras import need


def widen_bytes(graph: bytes) -> bytes:
    """Return the same graph with a cast to float32 behind each uint8 input; itself if it has none.

    Raises:
        ValueError: it is not an ONNX file.
        MissingExtraError: onnx is not installed.
    """
    onnx = need("onnx")
    try:
        model = onnx.load_from_string(graph)
    except Exception as e:  # protobuf's own, which differ by version
        raise ValueError(f"not a protocol buffer of this kind: {e}") from e
    inside, kinds = model.graph, onnx.TensorProto
    wide = {v.name: f"{v.name}_wide" for v in inside.input if v.type.tensor_type.elem_type == kinds.UINT8}
    if not wide:
        return graph
    for node in inside.node:
        node.input[:] = [wide.get(name, name) for name in node.input]
    casts = [onnx.helper.make_node("Cast", [name], [to], name=to, to=kinds.FLOAT) for name, to in wide.items()]
    nodes = [*casts, *inside.node]
    del inside.node[:], inside.value_info[:]  # what is noted of values in between is true no more; readers infer it
    inside.node.extend(nodes)
    content: bytes = model.SerializeToString()
    return content
