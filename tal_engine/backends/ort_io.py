"""What an ONNX Runtime session declares of its inputs and outputs."""

from __future__ import annotations

from typing import Any

from ..plan.graph_contents import outputs_without_shape
from .checked import Declared

#: numpy's names of ONNX Runtime's types; of all others there are no inputs or outputs in plans.
_NUMPY = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(int64)": "int64",
    "tensor(int32)": "int32", "tensor(int16)": "int16", "tensor(int8)": "int8", "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}  # fmt: skip


def declared(session: Any, graph: bytes) -> list[Declared]:
    """List the inputs and outputs of a session on this serialized graph."""
    try:
        unknown = outputs_without_shape(graph)
    except ValueError:  # the session has read it; that we cannot only costs the distinction
        unknown = set()
    tensors = []
    for is_input, values in ((True, session.get_inputs()), (False, session.get_outputs())):
        for value in values:
            shape = tuple(d if isinstance(d, int | str) else None for d in value.shape)
            # A scalar and a tensor of unknown rank look alike here.
            has_rank = shape or value.name not in unknown
            tensors.append(
                Declared(value.name, is_input, _NUMPY.get(value.type, value.type), shape if has_rank else None)
            )
    return tensors
