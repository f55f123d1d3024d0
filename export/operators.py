"""Which operators TensorRT's ONNX parser takes, and of which types; a static check, no TensorRT needed.

The table is onnx-tensorrt's operators.md, release 10.1 (2024-06, ONNX operator sets 9 to 20), for the types that plans
use, and what TensorRT-RTX 1.7.1's parser was seen to take beyond it. That parser alone has read our graphs (the tests
ask it): those of TensorRT 10 and 11 were not at hand, nor were later lists.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from tal_engine.backends.onnx_wire import widen_bytes
from tal_engine.extras import need
from tal_engine.plan import Plan

log = logging.getLogger("tal_engine")

_FLOATS = frozenset({"FLOAT", "FLOAT16", "BFLOAT16"})
_NUMBERS = _FLOATS | {"INT32", "INT64"}
_ANY = _NUMBERS | {"BOOL"}
_BY_TYPES = {
    _FLOATS: """Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos
        Cosh CumSum Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool
        GroupNormalization HardSigmoid HardSwish Hardmax InstanceNormalization IsInf LRN LSTM LayerNormalization
        LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization PRelu Pow RNN
        RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal Resize Round Scan Selu Sigmoid Sin
        Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Upsample""",
    frozenset({"FLOAT", "FLOAT16"}): "DeformConv GridSample Mish NonMaxSuppression NonZero RoiAlign",
    _NUMBERS: """Abs Add ArgMax ArgMin DepthToSpace Div Equal Gelu Greater GreaterOrEqual IsNaN Less LessOrEqual Max
        Mean Min Mod Mul Neg Pad Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
        ReduceProd ReduceSum ReduceSumSquare Relu Scatter ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum
        TopK""",
    _ANY: """Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND Identity If Loop
        OneHot Reshape ReverseSequence Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where""",
    frozenset({"BOOL"}): "And Not Or Xor",
    _ANY | {"UINT8"}: "Cast CastLike",
    _FLOATS | {"INT8"}: "QuantizeLinear DequantizeLinear",
}
#: ONNX element types that an operator may read, by operator.
SUPPORTED = {name: types for types, names in _BY_TYPES.items() for name in names.split()}
#: Beyond the list; the parser of TensorRT-RTX 1.7.1 reads graphs with them (our own, tried).
_TRIED = {"Clip": {"INT64"}, "Equal": {"BOOL"}}
#: What the table restricts further and our exporters could meet: these have to be constants.
_CONSTANT_INPUTS = {"CumSum": (1,), "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2)}
_PAIR = ("QuantizeLinear", "DequantizeLinear")
#: TopK's k has to be below this.
TOP_K = 3840


@dataclass(frozen=True)
class Unsupported:
    """A node that TensorRT's parser would refuse, and why."""

    node: str
    why: str


def unsupported(content: bytes) -> list[Unsupported]:
    """What of a graph is outside the table; [] if nothing is.

    The builder casts bytes to float first (`onnx_wire.widen_bytes`): a graph that reads them is checked after that.
    """
    onnx = need("onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    fixed = {i.name: i for i in model.graph.initializer}
    made = [(n.output[0], a) for n in model.graph.node for a in n.attribute if n.op_type == "Constant"]
    fixed |= {name: a.t for name, a in made if a.name == "value"}
    types |= {name: t.data_type for name, t in fixed.items()}
    found = []
    for i, node in enumerate(model.graph.node):
        for why in _faults(onnx, node, types, fixed):
            found.append(Unsupported(f"{node.op_type} {node.name or i}", why))
    return found


def _faults(onnx: Any, node: Any, types: dict[str, int], fixed: dict[str, Any]) -> list[str]:
    if node.domain not in ("", "ai.onnx"):
        return [f"domain {node.domain!r} is not ONNX's own"]
    if node.op_type not in SUPPORTED:
        return ["no such operator in TensorRT's parser"]
    read = {onnx.TensorProto.DataType.Name(types[n]) for n in node.input[:1] if types.get(n)}
    faults = [f"reads {t}" for t in sorted(read - SUPPORTED[node.op_type] - _TRIED.get(node.op_type, set()))]
    for at in _CONSTANT_INPUTS.get(node.op_type, ()):
        if len(node.input) > at and node.input[at] not in fixed:
            faults.append(f"input {at} is computed, must be constant")
    zero = fixed.get(node.input[2]) if node.op_type in _PAIR and len(node.input) > 2 else None
    if zero is not None and onnx.numpy_helper.to_array(zero).any():
        faults.append("its zero point is not 0")
    if node.op_type == "TopK" and node.input[1] in fixed:
        k = int(onnx.numpy_helper.to_array(fixed[node.input[1]]).max())
        faults += [f"k is {k}, must be below {TOP_K}"] if k >= TOP_K else []
    return faults


def warn_unsupported(plan: Plan) -> None:
    """Log what of a plan TensorRT would not read: it still runs everywhere else, so this is no error."""
    for graph in plan.manifest.graphs:
        for x in unsupported(widen_bytes(plan.files[graph.member])):
            log.warning("%s: %s: %s: TensorRT will not read this plan", graph.member, x.node, x.why)
