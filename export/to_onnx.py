"""torch modules to ONNX bytes with named tensors and free dimensions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tal_engine.errors import ExportError
from tal_engine.extras import need
from tal_engine.plan import Graph
from tal_engine.plan import Tensor as TensorSpec

OPSET = 18

_DTYPES = {torch.float32: "float32", torch.uint8: "uint8"}


def to_onnx(
    module: nn.Module,
    inputs: dict[str, Tensor],
    free: dict[int, str],
    member: str,
) -> tuple[bytes, Graph]:
    """Trace a module.

    Args:
        module: in eval mode; called with its inputs by name. Gives tensors by name, or one tensor, "feature".
        inputs: an example of every input, by name.
        free: dimensions (of every input) that may vary, with their names.
        member: name of the file in the plan.

    Returns:
        The serialized model and its description.

    Raises:
        ExportError: the module cannot be traced.
    """
    need("onnx")
    need("onnxscript")
    dims = {i: torch.export.Dim(name, min=1) if name != "B" else torch.export.Dim.AUTO for i, name in free.items()}
    try:
        with _quiet(), torch.no_grad():
            results = named(module.eval()(**inputs))
            program = torch.onnx.export(
                _Positional(module.eval(), list(inputs)),
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=list(results),
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=(tuple(dict(dims) for _ in inputs),),
                optimize=True,
                verbose=False,
            )
            if program is None:
                raise ExportError(f"{member}: the exporter gave no program")
            model = program.model_proto
            content = model.SerializeToString()
    except Exception as e:  # torch.onnx raises types of its own internals
        raise ExportError(f"{member}: cannot be exported to ONNX ({e})") from e

    # An output may lack a free dimension that the inputs have: class probabilities of a whole video have no T.
    varies = {o.name: [bool(d.dim_param) for d in o.type.tensor_type.shape.dim] for o in model.graph.output}

    def describe(name: str, value: Tensor) -> TensorSpec:
        here = varies.get(name, [True] * value.ndim)
        shape: list[int | str] = [free.get(i, n) if here[i] else n for i, n in enumerate(value.shape)]
        return TensorSpec(name=name, dtype=_DTYPES[value.dtype], shape=shape)

    graph = Graph(
        member=member,
        inputs=[describe(n, v) for n, v in inputs.items()],
        outputs=[describe(n, v) for n, v in results.items()],
    )
    return content, graph


def named(results: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    """What a module gave, by name; a single tensor is an encoder's feature."""
    return {"feature": results} if isinstance(results, Tensor) else results


class _Positional(nn.Module):
    """Tensors in and out in a fixed order, as the tracer wants them."""

    def __init__(self, module: nn.Module, inputs: list[str]) -> None:
        super().__init__()
        self.module, self.inputs = module, inputs

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        return tuple(named(self.module(**dict(zip(self.inputs, values, strict=True)))).values())


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks on the warnings and logging channels even when all is well."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [x.level for x in loggers]
    try:
        for x in loggers:
            x.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for x, level in zip(loggers, levels, strict=True):
            x.setLevel(level)
