"""torch modules to ONNX bytes with named tensors and free dimensions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .._util.extras import need
from ..errors import ExportError
from ..plan.fields import Graph
from ..plan.fields import Tensor as TensorSpec
from .planar import to_planar

OPSET = 18
#: What a protocol buffer may hold, in bytes.
LARGEST = 2**31

_DTYPES: dict[torch.dtype, Literal["float32", "uint8"]] = {torch.float32: "float32", torch.uint8: "uint8"}


def to_onnx(
    module: nn.Module,
    inputs: dict[str, Tensor],
    free: Mapping[int, str],
    member: str,
    *,
    own: Mapping[str, Mapping[int, str]] = MappingProxyType({}),
) -> tuple[bytes, Graph]:
    """Trace a module.

    Args:
        module: in eval mode; called with its inputs by name. Gives tensors by name, or one tensor, "feature".
        inputs: an example of every input, by name.
        free: dimensions (of every input) that may vary, with their names.
        member: name of the file in the plan.
        own: the same for single inputs, instead of `free`.

    Returns:
        The serialized model and its description.

    Raises:
        ExportError: the module cannot be traced, or its weights are too large for one file.
    """
    of = {n: own.get(n, free) for n in inputs}
    model, results = traced(module, inputs, of, member)
    content = model.SerializeToString()

    # An output may lack a free dimension that the inputs have: class probabilities of a whole video have no T. Some
    # names of free dimensions are made up by the exporter.
    places = {i: name for dims in of.values() for i, name in dims.items()}
    sizes = {name: inputs[n].shape[i] for n, dims in of.items() for i, name in dims.items()}
    varies = {
        o.name: {i: d.dim_param if d.dim_param in places.values() else _name(places[i], sizes, results[o.name].shape[i])
                 for i, d in enumerate(o.type.tensor_type.shape.dim) if d.dim_param}
        for o in model.graph.output
    }  # fmt: skip
    graph = Graph(
        member=member,
        inputs=[_spec(n, v, of[n]) for n, v in inputs.items()],
        outputs=[_spec(n, v, varies.get(n, free)) for n, v in results.items()],
    )
    return content, graph


def traced(
    module: nn.Module, inputs: dict[str, Tensor], free: Mapping[str, Mapping[int, str]], member: str
) -> tuple[Any, dict[str, Tensor]]:
    """Trace a module whose inputs may be of any type.

    Args:
        module: see `to_onnx`.
        inputs: see `to_onnx`.
        free: dimensions that may vary, by the name of the input.
        member: see `to_onnx`.

    Returns:
        The ONNX model, and what the module itself makes of the example.

    Raises:
        ExportError: the module cannot be traced, or weights are too large for one file.
    """
    need("onnx")
    need("onnxscript")
    size = sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))
    if size >= LARGEST:
        raise ExportError(
            f"{member}: its weights take {size / 1e9:.1f} GB; an ONNX file holds {LARGEST / 1e9:.1f} GB, and a plan's "
            "graphs are files that are whole in themselves: take a smaller network"
        )
    try:
        with _quiet(), torch.no_grad():
            results = named(module.eval()(**inputs))
            return to_planar(_traced(module, inputs, list(results), free)), results
    except Exception as e:  # torch.onnx raises types of its own internals
        raise ExportError(f"{member}: cannot be exported to ONNX ({e})") from e


def _name(usual: str, sizes: Mapping[str, int], size: int) -> str:
    """Name a free dimension as its usual place; "P" where it is of another size than the inputs' one."""
    return usual if sizes[usual] == size else "P"


def _traced(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: list[str], free: Mapping[str, Mapping[int, str]]
) -> Any:
    """Trace the ONNX model; `free` lists the free dimensions by the name of the input."""
    program = torch.onnx.export(
        _Positional(module.eval(), list(inputs)),
        tuple(inputs.values()),
        input_names=list(inputs),
        output_names=outputs,
        opset_version=OPSET,
        dynamo=True,
        dynamic_shapes=(tuple(_dims(free[n], getattr(module, "unproven_lengths", False)) for n in inputs),),
        optimize=True,
        verbose=False,
    )
    if program is None:
        raise ExportError("the exporter gave no program")
    return program.model_proto


def _dims(free: Mapping[int, str], unproven: bool) -> dict[int, Any]:
    """How each free dimension may vary.

    A named one is refused unless it is proven that the graph is for any size. A module that says `unproven_lengths`
    has lengths beyond such proofs, as where a sequence is cut into blocks and put together again; for it, as for the
    batch, the gate decides, which compares several.
    """
    loose = {*(free.values() if unproven else ()), "B"}
    return {i: torch.export.Dim.AUTO if name in loose else torch.export.Dim(name, min=1) for i, name in free.items()}


def _spec(name: str, value: Tensor, free: Mapping[int, str]) -> TensorSpec:
    return TensorSpec(name=name, dtype=_DTYPES[value.dtype], shape=[free.get(i, n) for i, n in enumerate(value.shape)])


def named(results: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a module's outputs by name; a single tensor is an encoder's feature."""
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
    """Silence the exporter, which warns and logs even when all is well."""
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
