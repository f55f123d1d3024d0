"""A plan's head as a function of torch, so that an error of its activations has a gradient in the features.

Plans hold heads as ONNX graphs. Those of our methods are made of few operators; a head with another one is told by
name, and the student then learns from features alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..._util.extras import need
from ...errors import ExportError

Values = dict[str, Tensor]
Operator = Callable[[list[Any], dict[str, Any]], Tensor]


class TorchHead:
    """A head's graph, run by torch: streams [B, T, D] by name -> outputs by name.

    Args:
        content: a serialized ONNX model.
        member: its name in messages.

    Raises:
        ExportError: an operator that is not known here; the message names it.
    """

    def __init__(self, content: bytes, member: str = "head.onnx") -> None:
        onnx = need("onnx")
        graph = onnx.load_from_string(content).graph
        unknown = sorted({n.op_type for n in graph.node} - {*_PLAIN, *_OTHERS})
        if unknown:
            raise ExportError(f"{member}: operator {unknown[0]} has no counterpart in torch here")
        helper = onnx.helper
        self._fixed: Values = {
            i.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(i))) for i in graph.initializer
        }
        self._nodes = [
            (n.op_type, list(n.input), n.output[0], {a.name: helper.get_attribute_value(a) for a in n.attribute})
            for n in graph.node
        ]
        self._outputs = [o.name for o in graph.output]

    def __call__(self, streams: Mapping[str, Tensor]) -> Values:
        """Run the graph."""
        values: Values = {**self._fixed, **streams}
        for kind, inputs, output, attributes in self._nodes:
            given = [values[name] if name else None for name in inputs]
            values[output] = _PLAIN[kind](*given) if kind in _PLAIN else _OTHERS[kind](given, attributes)
        return {name: values[name] for name in self._outputs}


def _conv(x: list[Any], a: dict[str, Any]) -> Tensor:
    """Convolve over any number of axes; pads are (before..., after...)."""
    axes = x[1].dim() - 2
    pads = list(a.get("pads", [0] * 2 * axes))
    around = [p for axis in reversed(range(axes)) for p in (pads[axis], pads[axis + axes])]
    run = (functional.conv1d, functional.conv2d)[axes - 1]
    bias = x[2] if len(x) > 2 else None
    return run(
        functional.pad(x[0], around), x[1], bias, list(a.get("strides", [1] * axes)), 0,
        list(a.get("dilations", [1] * axes)), int(a.get("group", 1)),
    )  # fmt: skip


def _axes(x: list[Any], a: dict[str, Any]) -> list[int]:
    if len(x) > 1 and x[1] is not None:
        return [int(i) for i in x[1].reshape(-1)]
    return [int(i) for i in a.get("axes", range(x[0].dim()))]


def _clip(x: list[Any], _: dict[str, Any]) -> Tensor:
    least, most = [*x[1:], None, None][:2]
    return torch.clamp(x[0], least, most)


def _gather(x: list[Any], a: dict[str, Any]) -> Tensor:
    axis, places = int(a.get("axis", 0)), x[1]
    found = torch.index_select(x[0], axis, places.reshape(-1) % x[0].shape[axis])
    return found.reshape(*x[0].shape[:axis], *places.shape, *x[0].shape[axis + 1 :])


def _reshape(x: list[Any], _: dict[str, Any]) -> Tensor:
    sizes = [x[0].shape[i] if n == 0 else int(n) for i, n in enumerate(x[1].tolist())]
    found: Tensor = x[0].reshape(sizes)
    return found


def _shape(x: list[Any], a: dict[str, Any]) -> Tensor:
    return torch.tensor(x[0].shape[int(a.get("start", 0)) : a.get("end")], dtype=torch.int64)


def _slice(x: list[Any], _: dict[str, Any]) -> Tensor:
    axes = x[3].tolist() if len(x) > 3 and x[3] is not None else range(len(x[1]))
    steps = x[4].tolist() if len(x) > 4 and x[4] is not None else [1] * len(x[1])
    out: Tensor = x[0]
    for axis, first, last, step in zip(axes, x[1].tolist(), x[2].tolist(), steps, strict=True):
        places = torch.arange(out.shape[axis])[slice(first, last)][::step]
        out = torch.index_select(out, axis, places)
    return out


def _unsqueeze(x: list[Any], a: dict[str, Any]) -> Tensor:
    out: Tensor = x[0]
    for axis in sorted(_axes(x, a)):
        out = out.unsqueeze(axis)
    return out


def _squeeze(x: list[Any], a: dict[str, Any]) -> Tensor:
    out: Tensor = x[0]
    for axis in sorted((i % x[0].dim() for i in _axes(x, a)), reverse=True):
        out = out.squeeze(axis)
    return out


def _mean(x: list[Any], a: dict[str, Any]) -> Tensor:
    return torch.mean(x[0], _axes(x, a), keepdim=bool(a.get("keepdims", 1)))


def _norm(x: list[Any], a: dict[str, Any]) -> Tensor:
    return torch.sqrt((x[0] ** 2).sum(_axes(x, a), keepdim=bool(a.get("keepdims", 1))))


def _layer_norm(x: list[Any], a: dict[str, Any]) -> Tensor:
    shape = x[0].shape[int(a.get("axis", -1)) :]
    return functional.layer_norm(x[0], shape, x[1], x[2] if len(x) > 2 else None, float(a.get("epsilon", 1e-5)))


def _gemm(x: list[Any], a: dict[str, Any]) -> Tensor:
    left = x[0].T if a.get("transA") else x[0]
    right = x[1].T if a.get("transB") else x[1]
    out = float(a.get("alpha", 1.0)) * (left @ right)
    return out + float(a.get("beta", 1.0)) * x[2] if len(x) > 2 else out


#: ONNX's data types by number that a Cast in a head may ask for.
_TYPES = {1: torch.float32, 7: torch.int64, 9: torch.bool}

#: Operators that have no attributes.
_PLAIN: dict[str, Callable[..., Tensor]] = {
    "Add": operator.add, "Div": operator.truediv, "Erf": torch.erf, "Exp": torch.exp, "Identity": torch.Tensor.clone,
    "MatMul": operator.matmul, "Mul": operator.mul, "Neg": torch.neg, "Pow": operator.pow, "Relu": functional.relu,
    "Sigmoid": torch.sigmoid, "Sqrt": torch.sqrt, "Sub": operator.sub, "Tanh": torch.tanh,
    "Expand": lambda x, sizes: x * torch.ones(sizes.tolist(), dtype=x.dtype),
}  # fmt: skip

_OTHERS: dict[str, Operator] = {
    "Cast": lambda x, a: x[0].to(_TYPES[a["to"]]),
    "Clip": _clip,
    "Concat": lambda x, a: torch.cat(x, int(a["axis"])),
    "Conv": _conv,
    "Gather": _gather,
    "Gemm": _gemm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda x, a: functional.leaky_relu(x[0], float(a.get("alpha", 0.01))),
    "ReduceL2": _norm,
    "ReduceMean": _mean,
    "ReduceSum": lambda x, a: torch.sum(x[0], _axes(x, a), keepdim=bool(a.get("keepdims", 1))),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": lambda x, a: torch.softmax(x[0], int(a.get("axis", -1))),
    "Squeeze": _squeeze,
    "Transpose": lambda x, a: x[0].permute(*a["perm"]),
    "Unsqueeze": _unsqueeze,
}
