"""bfloat16 inside a graph, as half precision is (`precision`): the same nodes, the other type of 16 bits.

It is meant for TensorRT: ONNX Runtime's CPU has no convolutions and hardly a kernel in bfloat16. Where a graph cannot
run, `emulated` makes one of float32 that rounds every value as the real one would.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._util.extras import need
from ..errors import ExportError
from .precision import Share, constants, half_typed, share_of, types_of

#: The first set of operators in which convolutions take bfloat16.
OPSET = 22


def to_bfloat(content: bytes, member: str, places: Iterable[str] = ()) -> tuple[bytes, Share]:
    """Convert a graph to bfloat16; see `precision.to_half`.

    Raises:
        ExportError: it cannot be converted, or less than half of its weights could be.
    """
    onnx = need("onnx")
    need("onnxruntime")
    try:
        newer = onnx.version_converter.convert_version(onnx.load_from_string(content), OPSET)
        # A converted tensor keeps its name; its bits have to be rounded from float32, not from float16.
        wide = {name: onnx.numpy_helper.to_array(t).copy() for name, t in constants(newer.graph).items()}
        model = half_typed(newer, places)
        _retype(model, wide)
        onnx.checker.check_model(model, full_check=True)
    except Exception as e:  # onnx and the converter raise many types, AssertionError among them
        raise ExportError(f"{member}: cannot be converted to bf16 ({type(e).__name__}: {e})") from e
    share = share_of(model, "bf16")
    share.refuse_less_than_half(member)
    return model.SerializeToString(), share


def _retype(model: Any, wide: dict[str, Any]) -> None:
    """Turn float16 into bfloat16: constants, and outputs of casts."""
    onnx = need("onnx")
    half, brain = onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16
    kind = onnx.helper.tensor_dtype_to_np_dtype(brain)
    for name, tensor in constants(model.graph).items():
        if tensor.data_type == half:
            value = wide.get(name, onnx.numpy_helper.to_array(tensor))
            tensor.CopyFrom(onnx.numpy_helper.from_array(value.astype(kind), name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == half:
                attribute.i = brain


def emulated(content: bytes) -> bytes:
    """Emulate bfloat16 in float32: round every value to bfloat16 where the given graph holds it as that.

    Sums inside an operator are computed in float32, as on tensor cores.
    """
    onnx = need("onnx")
    model = onnx.load_from_string(content)
    full, brain = onnx.TensorProto.FLOAT, onnx.TensorProto.BFLOAT16
    types = types_of(onnx.shape_inference.infer_shapes(model).graph)
    for name, tensor in constants(model.graph).items():
        if tensor.data_type == brain:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype("float32"), name))
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Constant":
            continue
        for i, name in enumerate(node.output):
            if types.get(name) == brain:
                node.output[i] = f"{name}_exact"
                nodes += [
                    onnx.helper.make_node("Cast", [f"{name}_exact"], [f"{name}_rounded"], to=brain),
                    onnx.helper.make_node("Cast", [f"{name}_rounded"], [name], to=full),
                ]
        if node.op_type == "Cast":
            for attribute in node.attribute:
                attribute.i = full if attribute.name == "to" and attribute.i == brain else attribute.i
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(copies)
    return bytes(model.SerializeToString())
