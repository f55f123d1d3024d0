"""Eight bits inside a graph: static quantization with Q/DQ pairs that ONNX Runtime's CPU and TensorRT both read.

Weights are int8 a channel, activations int8 with zero point 0, which TensorRT demands; ONNX Runtime turns them into
uint8 on processors whose instructions want that. Each quantized operator has pairs of its own: where two share one,
ONNX Runtime leaves their convolutions in float32 and unpacks their weights at every call. An activation's range is the
largest value in a file of the calibration set, averaged over its files: where one odd video sets the range (a cut that
the flow takes for movement), all others pay for it.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .._util.extras import need
from ..errors import ExportError
from .planar import to_planar
from .precision import Share

_KINDS = ("Conv", "Gemm", "MatMul")
#: An operator with a smaller share of the graph's weights stays wide: logits of attentions, similarities to texts and
#: classifiers decide most and cost least.
_SMALL = 0.01
#: Convolutions over fewer channels of pictures stay wide.
_CHANNELS = 16


def to_int8(content: bytes, member: str, samples: Sequence[Mapping[str, NDArray[Any]]]) -> tuple[bytes, Share]:
    """Quantize the operators that carry a graph's weights.

    Products of two activations (attention), norms, softmaxes and what `_SMALL` names stay float32.

    Args:
        content: a serialized ONNX model in float32.
        member: name of the file in the plan.
        samples: inputs by name, as the graph will see them.

    Returns:
        The quantized model, whose inputs and outputs are those of the given one, and what it holds.

    Raises:
        ExportError: it cannot be quantized, or less than half of its weights could be.
    """
    onnx = need("onnx")
    tools = need("onnxruntime.quantization")
    try:
        model = to_planar(onnx.load_from_string(content))
        for i, node in enumerate(model.graph.node):
            node.name = f"n{i}_{node.op_type}"  # the quantizer knows nodes by name
        chosen = _heavy(model)
        if chosen:
            model = _quantized(tools, model, chosen, samples)
            _apart(model)
            onnx.checker.check_model(model, full_check=True)
    except Exception as e:  # onnx and the quantizer raise many types, AssertionError among them
        raise ExportError(f"{member}: cannot be quantized to int8 ({type(e).__name__}: {e})") from e
    share = int8_share(model)
    share.refuse_less_than_half(member)
    return bytes(model.SerializeToString()), share


def _heavy(model: Any) -> list[str]:
    """Name the operators that are worth quantizing."""
    weights = {i.name: i for i in model.graph.initializer if i.data_type == need("onnx").TensorProto.FLOAT}
    dims = {
        n.name: (n.op_type, weights[n.input[1]].dims)
        for n in model.graph.node
        if n.op_type in _KINDS and n.input[1] in weights
    }
    sizes = {name: math.prod(d) for name, (_, d) in dims.items()}
    least = _SMALL * sum(sizes.values())
    # In 8 bits a convolution over few channels spends its time gathering them: as slow as float32, and less exact.
    thin = {name for name, (kind, d) in dims.items() if kind == "Conv" and len(d) == 4 and d[1] < _CHANNELS}
    return [name for name, size in sizes.items() if size >= least and name not in thin]


def _quantized(tools: Any, model: Any, chosen: list[str], samples: Sequence[Mapping[str, NDArray[Any]]]) -> Any:
    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            given = next(self.left, None)
            return None if given is None else dict(given)

    with tempfile.TemporaryDirectory(prefix="tal-int8-") as folder, _silent():
        path = Path(folder) / "model.onnx"
        tools.quantize_static(
            model, path, Reader(),
            quant_format=tools.QuantFormat.QDQ, activation_type=tools.QuantType.QInt8,
            weight_type=tools.QuantType.QInt8, per_channel=True, nodes_to_quantize=chosen,
            op_types_to_quantize=list(_KINDS), calibrate_method=tools.CalibrationMethod.MinMax,
            extra_options={
                "CalibMovingAverage": True,  # over files; its constant is of no effect within one reading
                "ActivationSymmetric": True, "WeightSymmetric": True, "DedicatedQDQPair": True,
                # TensorRT reads no int32; ONNX Runtime quantizes biases itself when it loads the graph.
                "QuantizeBias": False,
                # Both runtimes have products of int8 that give float32: their outputs need no rounding.
                "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"],
            },
        )  # fmt: skip
        return need("onnx").load(path)


def _apart(model: Any) -> None:
    """Give each operator int8 weights of its own, where levels of a pyramid share them.

    On processors with AVX2 and no VNNI ONNX Runtime 1.32 turns int8 weights into uint8 as it loads a graph, and fails
    where two operators read the same.
    """
    held = {i.name: i for i in model.graph.initializer if i.data_type == need("onnx").TensorProto.INT8}
    unpacked = {n.output[0]: n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in held}
    seen, made = set[str](), []
    for node in model.graph.node:
        for k, name in enumerate(node.input):
            if name in seen:
                pair = type(node)()
                pair.CopyFrom(unpacked[name])
                for j, tensor in enumerate(pair.input):
                    if tensor in held:
                        copy = model.graph.initializer.add()
                        copy.CopyFrom(held[tensor])
                        copy.name = pair.input[j] = f"{tensor}_of_{node.name}"
                pair.name, pair.output[0] = f"{pair.name}_of_{node.name}", f"{name}_of_{node.name}"
                node.input[k] = pair.output[0]
                made.append(pair)
            elif name in unpacked:
                seen.add(name)
    nodes = [*made, *model.graph.node]  # they read constants only: first is early enough
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def int8_share(model: Any) -> Share:
    """Count int8 and float32 weights of an ONNX model, and the operators that read them."""
    onnx = need("onnx")
    kinds = {onnx.TensorProto.INT8: "int8", onnx.TensorProto.FLOAT: "fp32"}
    weights = {i.name: i for i in model.graph.initializer if i.data_type in kinds}
    sizes = dict.fromkeys(kinds.values(), 0)
    for w in weights.values():
        # Zero points are no weights; scales are, and count as what they are.
        if not w.name.endswith("_zero_point"):
            sizes[kinds[w.data_type]] += math.prod(w.dims) * (1 if kinds[w.data_type] == "int8" else 4)
    unpacked = {n.output[0]: weights[n.input[0]] for n in model.graph.node
                if n.op_type == "DequantizeLinear" and n.input[0] in weights}  # fmt: skip
    heavy = [n.input[1] for n in model.graph.node if n.op_type in _KINDS]
    narrow, wide = sum(name in unpacked for name in heavy), sum(name in weights for name in heavy)
    return Share("int8", sizes["int8"], sizes["fp32"], narrow, wide)


@contextmanager
def _silent() -> Iterator[None]:
    """Silence the quantizer's advice on the root logger, which is for those who call it themselves."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
