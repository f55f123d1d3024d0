"""Small graphs, one operator each, that ask TensorRT-RTX's ONNX parser what it takes; no card is needed.

``python -m tal_engine.export.operator_probes`` prints the table of `operator_table`; the tests hold it, and what
`operators` says beyond it, against the parser that is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._util.extras import need

#: ONNX element types that are asked for.
TYPES = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT32", "INT64", "INT8", "UINT8", "BOOL")
_SHAPE = (2, 4, 4, 4)


@dataclass(frozen=True)
class Probe:
    """One node. `same`: constants of the input's own type; `fixed`: of a type by name, "" for the input's.

    Constants follow the inputs, those of `same` first.

    gives: element type of the output, "" for the input's. more: further inputs of the input's type and shape.
    """

    operator: str
    attributes: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = _SHAPE
    more: int = 0
    same: Sequence[Any] = ()
    fixed: Sequence[tuple[str, Any]] = ()
    gives: str = ""
    outputs: int = 1

    def graph(self, kind: str) -> bytes:
        """Build the model that reads elements of type `kind`."""
        onnx = need("onnx")
        code = {n: getattr(onnx.TensorProto, n) for n in TYPES}
        given = [(kind, value) for value in self.same] + [(t or kind, value) for t, value in self.fixed]
        constants = [
            onnx.helper.make_tensor(f"c{i}", code[t], np.shape(v), np.ravel(v).tolist())
            for i, (t, v) in enumerate(given)
        ]
        inputs = [f"x{i}" for i in range(1 + self.more)]
        gives = code[self.gives or kind]
        node = onnx.helper.make_node(
            self.operator, [*inputs, *(c.name for c in constants)], [f"y{i}" for i in range(self.outputs)],
            **{k: code[v] if k == "to" else v for k, v in self.attributes.items()},
        )  # fmt: skip
        sides = [
            [onnx.helper.make_tensor_value_info(n, code[kind], self.shape) for n in inputs],
            [onnx.helper.make_tensor_value_info(n, gives, None) for n in node.output],
        ]
        graph = onnx.helper.make_graph([node], "probe", *sides, constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
        return bytes(model.SerializeToString())


_ALONE = """Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Det Dropout Elu Erf Exp Flatten Floor Gelu
    GlobalAveragePool GlobalLpPool GlobalMaxPool HardSigmoid HardSwish Hardmax Identity LeakyRelu Log LogSoftmax
    MeanVarianceNormalization Mish Neg Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus
    Softsign Sqrt Tan Tanh ThresholdedRelu Transpose Trilu"""
_TWO = "Add And Div MatMul Max Mean Min Mul Or PRelu Pow Sub Sum Xor BitwiseAnd"
_COMPARE = "Equal Greater GreaterOrEqual Less LessOrEqual"
_KERNEL = {"kernel_shape": [2, 2]}
_INDICES = ("INT64", np.zeros(_SHAPE, int))
_EACH = np.ones(4)

#: Operators as they are usual, by which types are asked.
PLAIN = (
    *(Probe(name) for name in _ALONE.split()),
    *(Probe(name, more=1) for name in _TWO.split()),
    *(Probe(name, more=1, gives="BOOL") for name in _COMPARE.split()),
    *(Probe(name, gives="BOOL") for name in ("IsInf", "IsNaN", "Not")),
    *(Probe(name, gives="INT64") for name in ("ArgMax", "ArgMin", "NonZero", "Shape", "Size")),
    Probe("AveragePool", _KERNEL),
    Probe("BatchNormalization", same=[_EACH] * 4),
    Probe("Cast", {"to": "FLOAT"}, gives="FLOAT"),
    Probe("Clip", same=[0, 1]),
    Probe("Concat", {"axis": 1}, more=1),
    Probe("ConstantOfShape", shape=(2,), gives="FLOAT"),
    Probe("Conv", same=[np.ones((3, 4, 1, 1))]),
    Probe("ConvTranspose", same=[np.ones((4, 3, 1, 1))]),
    Probe("CumSum", fixed=[("INT64", 1)]),
    Probe("DepthToSpace", {"blocksize": 2}),
    Probe("DequantizeLinear", fixed=[("FLOAT", 0.5)], gives="FLOAT"),
    Probe("Einsum", {"equation": "ij,jk->ik"}, shape=(2, 4), same=[np.ones((4, 3))]),
    Probe("Expand", fixed=[("INT64", list(_SHAPE))]),
    Probe("EyeLike", shape=(4, 4)),
    Probe("Gather", {"axis": 1}, fixed=[("INT64", [0, 1])]),
    Probe("GatherElements", {"axis": 0}, fixed=[_INDICES]),
    Probe("GatherND", fixed=[("INT64", [[0, 1]])]),
    Probe("Gemm", shape=(2, 4), same=[np.ones((4, 3))]),
    Probe("GridSample", same=[np.zeros((2, 4, 4, 2))]),
    Probe("GroupNormalization", {"num_groups": 2}, same=[np.ones(2), np.ones(2)]),
    Probe("InstanceNormalization", same=[_EACH, _EACH]),
    Probe("LRN", {"size": 3}),
    Probe("LayerNormalization", same=[_EACH, _EACH]),
    Probe("LpNormalization", {"axis": 1}),
    Probe("LpPool", _KERNEL),
    Probe("MaxPool", _KERNEL),
    Probe("Mod", {"fmod": 1}, more=1),
    Probe("OneHot", shape=(3,), fixed=[("INT64", 3), ("FLOAT", [0.0, 1.0])], gives="FLOAT"),
    Probe("Pad", fixed=[("INT64", [0, 0, 1, 1, 0, 0, 1, 1])]),
    Probe("QuantizeLinear", fixed=[("FLOAT", 0.5), ("INT8", 0)], gives="INT8"),
    Probe("Reshape", fixed=[("INT64", [2, -1])]),
    Probe("Resize", {"mode": "linear"}, fixed=[("FLOAT", []), ("FLOAT", [1.0, 1.0, 2.0, 2.0])]),
    Probe("ReverseSequence", fixed=[("INT64", [1, 1, 1, 1])]),
    Probe("ScatterElements", {"axis": 0}, fixed=[_INDICES, ("", np.ones(_SHAPE))]),
    Probe("ScatterND", fixed=[("INT64", [[0, 1]]), ("", np.ones((1, 4, 4)))]),
    Probe("Slice", fixed=[("INT64", [0]), ("INT64", [1]), ("INT64", [1])]),
    Probe("SpaceToDepth", {"blocksize": 2}),
    Probe("Split", {"num_outputs": 2, "axis": 0}, outputs=2),
    Probe("Squeeze", shape=(2, 1, 4), fixed=[("INT64", [1])]),
    Probe("Tile", fixed=[("INT64", [1, 1, 1, 2])]),
    Probe("TopK", {"axis": 0}, shape=(20_000,), fixed=[("INT64", [3])], outputs=2),
    Probe("Unique"),
    Probe("Unsqueeze", fixed=[("INT64", [0])]),
    Probe("Where", fixed=[("FLOAT", 1.0), ("FLOAT", 2.0)], gives="FLOAT"),
)

_RESIZE = [("FLOAT", []), ("FLOAT", [1.0, 1.0, 2.0, 2.0])]
_UPDATES = ("FLOAT", np.ones(_SHAPE))
#: What an attribute or a constant may change, read as FLOAT.
SPECIAL = (
    *(Probe("Resize", {"mode": m, "antialias": 1}, fixed=_RESIZE) for m in ("linear", "cubic")),
    *(Probe("Resize", {"mode": m}, fixed=_RESIZE) for m in ("nearest", "cubic")),
    *(
        Probe("Resize", {"mode": "linear", "coordinate_transformation_mode": m}, fixed=_RESIZE)
        for m in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric",
                  "tf_crop_and_resize")
    ),
    Probe("Resize", {"mode": "linear", "keep_aspect_ratio_policy": "not_larger"}, fixed=_RESIZE),
    Probe("Resize", {"mode": "cubic", "exclude_outside": 1}, fixed=_RESIZE),
    *(
        Probe("ScatterElements", {"axis": 0, "reduction": r}, fixed=[_INDICES, _UPDATES])
        for r in ("none", "add", "mul", "max", "min")
    ),
    *(
        Probe("ScatterND", {"reduction": r}, fixed=[("INT64", [[0, 1]]), ("FLOAT", np.ones((1, 4, 4)))])
        for r in ("none", "add", "mul", "max", "min")
    ),
    *(
        Probe("TopK", {"axis": 0}, shape=(20_000,), fixed=[("INT64", [k])], outputs=2)
        for k in (1, 3839, 3840, 4000, 20_000)
    ),
    *(Probe(p, {**_KERNEL, "dilations": [2, 2]}) for p in ("AveragePool", "MaxPool")),
    *(Probe(p, {**_KERNEL, "ceil_mode": 1}) for p in ("AveragePool", "MaxPool")),
    *(Probe("Pad", {"mode": m}, fixed=[("INT64", [0, 0, 1, 1, 0, 0, 1, 1])]) for m in ("reflect", "edge", "wrap")),
    Probe("MaxPool", _KERNEL, outputs=2),
    Probe("QuantizeLinear", fixed=[("FLOAT", 0.5), ("INT8", 3)], gives="INT8"),
    Probe("Conv", shape=(2, 4, 9), same=[np.ones((3, 4, 1))]),
    Probe("Conv", shape=(2, 4, 3, 3, 3), same=[np.ones((3, 4, 1, 1, 1))]),
)  # fmt: skip


def has_parser() -> bool:
    """Return whether TensorRT-RTX, with its parser, is installed."""
    return importlib.util.find_spec("tensorrt_rtx") is not None


def refused(content: bytes) -> list[str]:
    """List the objections of TensorRT-RTX's parser to a model; [] if it accepts it.

    Raises:
        MissingExtraError: the parser is not installed.
    """
    rtx = need("tensorrt_rtx")
    log = rtx.Logger(rtx.Logger.INTERNAL_ERROR)
    builder = rtx.Builder(log)
    network = builder.create_network()  # both have to outlive the parser
    parser = rtx.OnnxParser(network, log)
    if parser.parse(content):
        return []
    return [str(parser.get_error(i).desc()) for i in range(parser.num_errors)] or ["the parser gives no reason"]


def table() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each operator with the types that the installed parser accepts."""
    for probe in PLAIN:
        yield probe.operator, tuple(t for t in TYPES if not refused(probe.graph(t)))


def main() -> None:
    """Print the table as `operator_table` has it."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for operator, types in table():
        kinds.setdefault(types, []).append(operator)
    for types, operators in sorted(kinds.items(), key=lambda item: item[1]):
        print(" ".join(types) or "-", "|", " ".join(sorted(operators)))


if __name__ == "__main__":
    main()
