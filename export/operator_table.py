"""ONNX element types that TensorRT-RTX 1.7.1's parser takes, by operator.

Printed by ``python -m tal_engine.export.operator_probes`` from the parser itself; a test holds it against the one that
is installed. The operators in `_BY_HAND` take more than one node or input type to ask; they were tried once each.
"""

from __future__ import annotations

_PROBED = """
FLOAT FLOAT16 BFLOAT16 DOUBLE INT32 INT64 INT8 | Abs Add ArgMax ArgMin Clip DepthToSpace Div GlobalAveragePool
    GlobalMaxPool Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Neg Pow ReduceL1 ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Sign SpaceToDepth Sub Sum TopK
FLOAT FLOAT16 BFLOAT16 DOUBLE INT8 | Acos Acosh Asin Asinh Atan Atanh AveragePool Ceil Conv ConvTranspose Cos Cosh
    Einsum Elu Erf Exp Floor Gelu Gemm GridSample GroupNormalization HardSigmoid InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Log LogSoftmax MatMul MaxPool PRelu Reciprocal ReduceL2 ReduceLogSum ReduceLogSumExp
    Resize Round Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu
BOOL | And Not Or Where Xor
FLOAT DOUBLE | Celu MeanVarianceNormalization
INT32 INT64 | ConstantOfShape
FLOAT FLOAT16 BFLOAT16 DOUBLE INT32 INT64 | CumSum
INT8 | DequantizeLinear
- | BitwiseAnd Det NonZero Unique
FLOAT FLOAT16 BFLOAT16 DOUBLE INT32 INT64 INT8 UINT8 BOOL | Cast Dropout Equal Identity Shape Size
FLOAT FLOAT16 BFLOAT16 DOUBLE INT32 INT64 INT8 BOOL | Concat Expand EyeLike Flatten Gather GatherElements GatherND
    OneHot Pad Reshape ReverseSequence ScatterElements ScatterND Slice Split Squeeze Tile Transpose Trilu Unsqueeze
FLOAT FLOAT16 DOUBLE | GlobalLpPool LpNormalization LpPool Mish
FLOAT FLOAT16 DOUBLE INT8 | HardSwish
FLOAT FLOAT16 BFLOAT16 DOUBLE | BatchNormalization Hardmax Mean QuantizeLinear
FLOAT FLOAT16 BFLOAT16 DOUBLE INT64 INT8 | Relu
FLOAT FLOAT16 DOUBLE INT32 INT64 INT8 | Shrink
"""

_BY_HAND = {
    "FLOAT DOUBLE INT32 INT64": "Range",
    "FLOAT FLOAT16 BFLOAT16": "GRU LSTM NonMaxSuppression RNN RandomNormal RandomNormalLike RandomUniform "
    "RandomUniformLike Scan Upsample",
    "FLOAT FLOAT16 BFLOAT16 DOUBLE INT32 INT64 INT8 UINT8 BOOL": "CastLike Constant If Loop",
    "FLOAT FLOAT16 BFLOAT16 INT32 INT64": "Scatter",
    "-": "DeformConv RoiAlign",
}


def _read() -> dict[str, frozenset[str]]:
    lines: list[str] = []
    for line in _PROBED.strip().splitlines():
        if line.startswith("    "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    rows = [*(tuple(line.split(" | ")) for line in lines), *_BY_HAND.items()]
    return {name: frozenset(types.split()) - {"-"} for types, names in rows for name in names.split()}


#: Types that an operator may read as its first input; empty for operators that the parser knows and refuses, or that
#: were asked for and are unknown to it.
TYPES_OF = _read()
