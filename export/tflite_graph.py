"""Networks of pictures, as TensorFlow Lite stores them, to ONNX graphs of any batch; the dozen operators of BlazePose.

Pictures are [N, H, W, C] there and [N, C, H, W] inside the graph. Weights stay float16 as they are stored, and are cast
when the graph is loaded: half the size, the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..backends.onnx_write import GraphWriter
from ..errors import ExportError
from .tflite_file import Network, Operator, Table, TensorInfo

_SAME = 0
#: Activations that are part of an operator, by their number in the schema.
_RELU, _RELU6 = 1, 3


@dataclass
class Converter:
    """Adds the operators of a network to a graph, one after the other.

    Args:
        network: as it was read.
        writer: of the graph.
        names: of values in the graph by the number of their tensor; [N, C, H, W] where the tensor is a picture.
    """

    network: Network
    writer: GraphWriter
    names: dict[int, str]
    _needed: set[int] = field(default_factory=set)

    def run(self, outputs: Mapping[int, str]) -> None:
        """Convert what the outputs need, and nothing else; `outputs` are names by the tensors' numbers.

        Raises:
            ExportError: an operator has options that are not converted.
        """
        self._needed = set(outputs)
        wanted = []
        for operator in reversed(self.network.operators):
            if self._needed & set(operator.outputs):
                wanted.append(operator)
                self._needed |= set(operator.inputs)
        for operator in reversed(wanted):
            self.names[operator.outputs[0]] = _CONVERT[operator.kind](self, operator)
        for number, name in outputs.items():
            tensor = self.network.tensors[number]
            value = self._stored_order(number)
            self.writer.output(value, name, np.float32, ("N", *tensor.shape[1:]))

    def _tensor(self, number: int) -> TensorInfo:
        return self.network.tensors[number]

    def constant(self, number: int) -> np.ndarray:
        """Return the values of a constant, through what unpacks and casts it."""
        tensor = self._tensor(number)
        if tensor.value is not None:
            return tensor.value
        makers = [o for o in self.network.operators if number in o.outputs]
        if not makers or makers[0].kind not in ("DEQUANTIZE", "DENSIFY"):
            raise ExportError(f"tensor {tensor.name!r} is not constant")
        return self.constant(makers[0].inputs[0])

    def weights(self, value: np.ndarray) -> str:
        """Put weights into the graph, float16 as stored, cast to float32 for use."""
        name = self.writer.constant(np.ascontiguousarray(value))
        return self.writer.cast(name, np.float32) if value.dtype == np.float16 else name

    def _stored_order(self, number: int) -> str:
        """Return a tensor as it is stored: pictures with channels last."""
        value = self.names[number]
        picture = len(self._tensor(number).shape) == 4
        return self.writer.add("Transpose", value, perm=(0, 2, 3, 1)) if picture else value

    def activated(self, value: str, kind: int) -> str:
        """Apply an operator's own activation.

        Raises:
            ExportError: it is none of ReLU and ReLU6.
        """
        if kind == 0:
            return value
        if kind == _RELU:
            return self.writer.add("Relu", value)
        if kind == _RELU6:
            return self.writer.add("Clip", value, self.writer.floats(0.0), self.writer.floats(6.0))
        raise ExportError(f"activation {kind} is not converted")

    def pads(self, operator: Operator, kernel: tuple[int, int], options: Table) -> dict[str, tuple[int, ...]]:
        """Return strides and paddings of a window that moves over a picture: "same" pads more behind than before."""
        stride = (options.number(2), options.number(1))
        sizes = self._tensor(operator.inputs[0]).shape[1:3]
        total = (0, 0)
        if options.number(0, "<b") == _SAME:
            needed = ((-(-n // s) - 1) * s + k - n for n, s, k in zip(sizes, stride, kernel, strict=True))
            total = tuple(max(v, 0) for v in needed)  # type: ignore[assignment]
        before = tuple(t // 2 for t in total)
        after = tuple(t - b for t, b in zip(total, before, strict=True))
        return {"strides": stride, "pads": (*before, *after), "kernel_shape": kernel}


def _options(operator: Operator) -> Table:
    if operator.options is None:
        raise ExportError(f"{operator.kind} has no options")
    return operator.options


def _convolution(c: Converter, operator: Operator) -> str:
    deep, options = operator.kind == "DEPTHWISE_CONV_2D", _options(operator)
    dilation = tuple(options.number(field, default=1) for field in ((6, 5) if deep else (5, 4)))
    if dilation != (1, 1):
        raise ExportError(f"{operator.kind} with dilation {dilation} is not converted")
    stored = c.constant(operator.inputs[1])
    kernel = (int(stored.shape[1]), int(stored.shape[2]))
    # [1, H, W, C * m], a filter for each channel, or [O, H, W, C].
    weights = stored.transpose(3, 0, 1, 2) if deep else stored.transpose(0, 3, 1, 2)
    group = c.network.tensors[operator.inputs[0]].shape[3] if deep else 1
    inputs = [c.names[operator.inputs[0]], c.weights(weights)]
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        inputs.append(c.weights(c.constant(operator.inputs[2])))
    value = c.writer.add("Conv", *inputs, group=group, **c.pads(operator, kernel, options))
    return c.activated(value, options.number(4 if deep else 3, "<b"))


def _add(c: Converter, operator: Operator) -> str:
    made = [c.names[i] for i in operator.inputs if i in c.names]
    if len(made) < 2:
        raise ExportError("ADD of a constant is not converted")
    return c.activated(c.writer.add("Add", *made), _options(operator).number(0, "<b"))


def _pad(c: Converter, operator: Operator) -> str:
    (n, h, w, channels) = c.constant(operator.inputs[1]).tolist()
    begin, end = zip(n, channels, h, w, strict=True)
    return c.writer.add("Pad", c.names[operator.inputs[0]], c.writer.ints(*begin, *end))


def _reshape(c: Converter, operator: Operator) -> str:
    value = c._stored_order(operator.inputs[0])
    shape = c.network.tensors[operator.outputs[0]].shape
    if len(shape) == 4:
        raise ExportError(f"RESHAPE to {shape} is not converted: a picture of a vector")
    return c.writer.add("Reshape", value, c.writer.ints(-1, *shape[1:]))


def _resize(c: Converter, operator: Operator) -> str:
    options = _options(operator)
    size = c.network.tensors[operator.outputs[0]].shape[1:3]
    before = c.network.tensors[operator.inputs[0]].shape[1:3]
    corners, half = options.number(2, "<b"), options.number(3, "<b")
    mode = "align_corners" if corners else "half_pixel" if half else "asymmetric"
    scales = (1.0, 1.0, size[0] / before[0], size[1] / before[1])
    given = c.writer.constant(np.array(scales, np.float32))
    return c.writer.add(
        "Resize", c.names[operator.inputs[0]], "", given, mode="linear", coordinate_transformation_mode=mode
    )


def _concatenated(c: Converter, operator: Operator) -> str:
    axis = _options(operator).number(0)
    rank = len(c.network.tensors[operator.outputs[0]].shape)
    if rank == 4:
        axis = {1: 2, 2: 3, 3: 1}[axis % 4]
    return c.writer.add("Concat", *(c.names[i] for i in operator.inputs), axis=axis)


def _pooled(c: Converter, operator: Operator) -> str:
    options = _options(operator)
    kernel = (options.number(4), options.number(3))
    value = c.writer.add("MaxPool", c.names[operator.inputs[0]], **c.pads(operator, kernel, options))
    return c.activated(value, options.number(5, "<b"))


def _space(c: Converter, operator: Operator) -> str:
    size = _options(operator).number(0)
    return c.writer.add("DepthToSpace", c.names[operator.inputs[0]], blocksize=size, mode="DCR")


def _unused(c: Converter, operator: Operator) -> str:
    """Unpack nothing: `Converter.constant` does where the values are used."""
    return ""


_CONVERT: dict[str, Callable[[Converter, Operator], str]] = {
    "ADD": _add,
    "CONCATENATION": _concatenated,
    "CONV_2D": _convolution,
    "DENSIFY": _unused,
    "DEPTHWISE_CONV_2D": _convolution,
    "DEPTH_TO_SPACE": _space,
    "DEQUANTIZE": _unused,
    "LOGISTIC": lambda c, o: c.writer.add("Sigmoid", c.names[o.inputs[0]]),
    "MAX_POOL_2D": _pooled,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
}


def picture_graph(network: Network, name: str, scale: float, offset: float, outputs: Mapping[int, str]) -> bytes:
    """Convert a network of one picture input to an ONNX graph.

    The graph reads "pictures", uint8 [N, H, W, 3] RGB, and scales them itself.

    Args:
        network: as it was read.
        name: of the graph.
        scale: of the pictures' values.
        offset: added to the scaled values.
        outputs: names by index of the network's outputs; what none of them needs is left out.

    Raises:
        ExportError: the network has another input, or an operator that is not converted.
    """
    (number,) = network.inputs
    _, high, wide, channels = network.tensors[number].shape
    writer = GraphWriter(name)
    writer.input("pictures", np.uint8, ("N", high, wide, channels))
    real = writer.add("Transpose", writer.cast("pictures", np.float32), perm=(0, 3, 1, 2))
    real = writer.add("Mul", real, writer.floats(scale))
    if offset:
        real = writer.add("Add", real, writer.floats(offset))
    Converter(network, writer, {number: real}).run({network.outputs[i]: n for i, n in outputs.items()})
    return writer.serialized()
