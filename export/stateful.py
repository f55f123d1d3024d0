"""A head as a graph that remembers: it reads new snippets and what it remembered, and runs on the last ones of both.

The memory goes in and out as tensors, so whoever runs the graph keeps it: Triton as implicit state of a sequence.
"""

from __future__ import annotations

from typing import Any

from .._util.extras import need
from ..errors import ExportError

#: Input, [B, 1] int32: not 0 where a sequence begins, and what was remembered is forgotten.
START = "START"

_END = 2**62


def state_names(stream: str) -> tuple[str, str]:
    """Return the names of a stream's memory [B, K, D]: input and output."""
    return f"{stream}_state", f"{stream}_next_state"


def windowed(content: bytes, streams: list[str], longest: int) -> bytes:
    """Put a memory in front of a head.

    Args:
        content: a serialized ONNX head that reads `streams`, [B, T, D] each, and a free T.
        streams: names of its inputs.
        longest: snippets that it runs on at most.

    Returns:
        A serialized graph of the same outputs. It reads each stream's new snippets, each memory, and `START`.

    Raises:
        ExportError: the head does not read one of the streams.
    """
    onnx = need("onnx")
    model = onnx.load_from_string(content)
    graph, nodes = model.graph, list(_constants(onnx, longest))
    nodes += [
        onnx.helper.make_node("Cast", [START], ["memory_start"], to=onnx.TensorProto.INT64),
        onnx.helper.make_node("ReduceMax", ["memory_start"], ["memory_restart"], keepdims=0),
    ]
    inputs = {i.name: i for i in graph.input}
    for stream in streams:
        if stream not in inputs:
            raise ExportError(f"the head reads {sorted(inputs)}, not {stream!r}")
        _rename(graph, stream, f"{stream}_window")
        nodes += _memory(onnx, graph, stream, inputs[stream])
    graph.input.append(onnx.helper.make_tensor_value_info(START, onnx.TensorProto.INT32, ["B", 1]))
    rest = list(graph.node)
    del graph.node[:]
    del graph.value_info[:]
    graph.node.extend([*nodes, *rest])
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _constants(onnx: Any, longest: int) -> list[Any]:
    values = {"memory_end": [_END], "memory_time": [1], "memory_last": [-longest]}
    tensor = onnx.helper.make_tensor
    return [
        onnx.helper.make_node("Constant", [], [n], value=tensor(n, onnx.TensorProto.INT64, [1], v))
        for n, v in values.items()
    ]


def _memory(onnx: Any, graph: Any, stream: str, read: Any) -> list[Any]:
    """Create nodes that reset at a start, append new snippets and keep the last; also return their input and output."""
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    before, after = state_names(stream)
    width = read.type.tensor_type.shape.dim[2].dim_value
    read.type.tensor_type.shape.dim[1].dim_param = f"{stream}_new"
    graph.input.append(info(before, onnx.TensorProto.FLOAT, ["B", f"{stream}_kept", width]))
    graph.output.append(info(after, onnx.TensorProto.FLOAT, ["B", "T", width]))
    return [
        node("Shape", [before], [f"{before}_length"], start=1, end=2),
        node("Mul", [f"{before}_length", "memory_restart"], [f"{before}_begin"]),
        node("Slice", [before, f"{before}_begin", "memory_end", "memory_time"], [f"{before}_kept"]),
        node("Concat", [f"{before}_kept", stream], [f"{before}_joined"], axis=1),
        node("Slice", [f"{before}_joined", "memory_last", "memory_end", "memory_time"], [f"{stream}_window"]),
        node("Identity", [f"{stream}_window"], [after]),
    ]


def _rename(graph: Any, old: str, new: str) -> None:
    """Let the nodes read another tensor."""
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
