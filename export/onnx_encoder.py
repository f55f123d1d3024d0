"""A network that somebody exported, as an encoder of a plan: its preparation goes in front, its pooling behind.

What comes out is checked by a run: on pictures of several sizes and batches, against the network as it is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._util.extras import need
from ..backends import Backend, open_backend
from ..errors import ExportError, ParityError, TALError
from ..lab.nn.onnx_contract import OnnxContract, read_contract
from ..plan.fields import Encoder, Graph
from ..plan.fields import Tensor as TensorSpec
from .gate import FP32, difference
from .to_onnx import OPSET, to_onnx

_FEATURE, _READY = "feature", "ready"
#: Heights and widths of the pictures of the check.
_SIZES = ((90, 131), (143, 100))


class _Preparation(nn.Module):
    """Snippets [N, window, H, W, 3] uint8 to what the network reads."""

    def __init__(self, contract: OnnxContract) -> None:
        super().__init__()
        self.prepare, self.chosen, self.layout = contract.prepare, contract.chosen, contract.layout
        self.turned = contract.colors == "bgr"

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """Choose frames, prepare each, and order the dimensions; means of BGR networks are given in their order."""
        picked = frames[:, self.chosen]
        picked = picked.flip(-1) if self.turned else picked
        x = self.prepare(picked.flatten(0, 1))
        count = len(self.chosen)
        x = x.reshape(-1, count, *x.shape[1:])  # N T C H W
        order = {"NCTHW": (0, 2, 1, 3, 4), "NTCHW": (0, 1, 2, 3, 4), "NTHWC": (0, 1, 3, 4, 2)}
        if self.layout in order:
            return {_READY: x.permute(*order[self.layout]).contiguous()}
        x = x[:, 0]
        return {_READY: x if self.layout == "NCHW" else x.permute(0, 2, 3, 1).contiguous()}


def onnx_encoder(path: Path) -> tuple[Encoder, bytes]:
    """Make an encoder of an ONNX file and the contract beside it.

    Raises:
        UsageError: the contract is missing or makes no sense.
        ExportError: the file is no network, its input does not fit the layout, or its batch is of a fixed size.
        ParityError: the encoder differs from the network.
    """
    contract = read_contract(path)
    onnx = need("onnx")
    try:
        network = onnx.load(str(path))
    except Exception as e:  # the library raises types of its own
        raise ExportError(f"{path}: not an ONNX file that can be read ({e})") from e
    reads, gives = _ends(network, contract, path)
    example = {"frames": torch.zeros(2, contract.window, 120, 160, 3, dtype=torch.uint8)}
    before, graph = to_onnx(_Preparation(contract).eval(), example, {0: "B", 2: "H", 3: "W"}, path.name)
    content = _joined(onnx.load_from_string(before), network, reads, gives, contract, path)
    dim = _check(path, network, gives, content, contract)
    member = f"encoder_{contract.stream}.onnx"
    out = TensorSpec(name=_FEATURE, dtype="float32", shape=["B", dim])
    record = Encoder(
        name=contract.name,
        stream=contract.stream,
        reads="frames",
        dim=dim,
        weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        graph=Graph(member=member, inputs=graph.inputs, outputs=[out]),
        preprocess=contract.describe(),
    )
    return record, content


def _ends(network: Any, contract: OnnxContract, path: Path) -> tuple[str, str]:
    """Return the names of the network's input and output.

    Raises:
        ExportError: they do not fit the contract.
    """
    stored = {i.name for i in network.graph.initializer}
    inputs = [i for i in network.graph.input if i.name not in stored]
    outputs = [o.name for o in network.graph.output]
    if len(inputs) != 1:
        raise ExportError(f"{path}: reads {[i.name for i in inputs]}, an encoder has one input")
    if contract.output is None and len(outputs) != 1:
        raise ExportError(f"{path}: gives {outputs}; say in the contract which: output: NAME")
    gives = contract.output or outputs[0]
    if gives not in outputs:
        raise ExportError(f"{path}: has no output {gives!r}, it gives {outputs}")
    dims = [d.dim_value or d.dim_param or "?" for d in inputs[0].type.tensor_type.shape.dim]
    sizes = {"C": 3, "T": contract.frames, "H": contract.crop, "W": contract.crop}
    if len(dims) != len(contract.layout):
        raise ExportError(f"{path}: reads {inputs[0].name} {dims}, layout {contract.layout} has {len(contract.layout)}")
    if isinstance(dims[0], int):
        raise ExportError(
            f"{path}: reads {inputs[0].name} {dims}, {dims[0]} at a time: export it with a free first dimension"
        )
    for letter, size in zip(contract.layout[1:], dims[1:], strict=True):
        if isinstance(size, int) and size != sizes[letter]:
            raise ExportError(f"{path}: reads {inputs[0].name} {dims}, by the contract {letter} is {sizes[letter]}")
    return inputs[0].name, gives


def _joined(before: Any, network: Any, reads: str, gives: str, contract: OnnxContract, path: Path) -> bytes:
    """Put preparation, network and pooling into one graph.

    Raises:
        ExportError: they cannot be joined.
    """
    onnx, compose = need("onnx"), need("onnx.compose")
    try:
        versions = {o.domain: o.version for o in network.opset_import}
        if versions.get("", OPSET) != OPSET:
            network = need("onnx.version_converter").convert_version(network, OPSET)
        before.ir_version = network.ir_version = max(before.ir_version, network.ir_version)
        joined = compose.merge_models(
            compose.add_prefix(before, "tal_"),
            compose.add_prefix(network, "net_"),
            io_map=[(f"tal_{_READY}", f"net_{reads}")],
            outputs=[f"net_{gives}"],
        )
        _pooled(onnx, joined, f"net_{gives}", contract)
        _renamed(joined, "tal_frames", "frames")
        content: bytes = joined.SerializeToString()
    except TALError:
        raise
    except Exception as e:  # the library raises types of its own
        raise ExportError(f"{path}: cannot be joined with its preparation ({e})") from e
    return content


def _pooled(onnx: Any, model: Any, last: str, contract: OnnxContract) -> None:
    """Append the pooling, and call the result by the name that encoders have."""
    graph, helper = model.graph, onnx.helper
    rank = len(next(o for o in graph.output if o.name == last).type.tensor_type.shape.dim)
    nodes = []
    if contract.pooling == "mean" and rank > 2:
        axes = list(range(1, rank - 1)) if contract.channels == "last" else list(range(2, rank))
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(axes, np.int64), "tal_axes"))
        nodes.append(helper.make_node("ReduceMean", [last, "tal_axes"], [_FEATURE], keepdims=0))
    elif contract.pooling == "cls":
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(0, np.int64), "tal_first"))
        nodes.append(helper.make_node("Gather", [last, "tal_first"], [_FEATURE], axis=1))
    else:
        nodes.append(helper.make_node("Identity", [last], [_FEATURE]))
    graph.node.extend(nodes)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(_FEATURE, onnx.TensorProto.FLOAT, None))


def _renamed(model: Any, old: str, new: str) -> None:
    for value in model.graph.input:
        value.name = new if value.name == old else value.name
    for node in model.graph.node:
        node.input[:] = [new if n == old else n for n in node.input]


def _check(path: Path, network: Any, gives: str, content: bytes, contract: OnnxContract) -> int:
    """Run the encoder and the network as it is; return the width of the features.

    Raises:
        ExportError: one does not run, or what comes out is not [N, D].
        ParityError: they differ.
    """
    try:
        whole = open_backend(content, path.name, "cpu")
        alone = open_backend(network.SerializeToString(), path.name, "cpu")
        worst, dim = 0.0, 0
        for batch, (height, width) in zip((1, 3), _SIZES, strict=True):
            rng = np.random.default_rng(batch)
            frames = rng.integers(0, 256, (batch, contract.window, height, width, 3), np.uint8)
            found = whole.run({"frames": frames})[_FEATURE]
            if found.ndim != 2 or len(found) != batch:
                shape = list(found.shape)
                raise ExportError(f"{path}: gives {shape} for {batch} snippets; choose a pooling that makes [N, D]")
            dim = found.shape[1]
            wanted = np.concatenate([_by_hand(alone, network, gives, f[None], contract) for f in frames])
            if not (np.isfinite(wanted).all() and np.isfinite(found).all()):
                raise ExportError(
                    f"{path}: gives NaN or infinite features for random pictures: look at mean and std of its contract "
                    "(values are 0..255 without them), and at its weights and precision"
                )
            worst = max(worst, difference({_FEATURE: wanted}, {_FEATURE: found}))
    except (TALError, RuntimeError) as e:
        raise e if isinstance(e, ExportError) else ExportError(f"{path}: does not run ({e})") from e
    if not worst <= FP32.tensor:
        raise ParityError(f"{path}: as an encoder it differs by {worst:.3g}, allowed is {FP32.tensor:g}")
    return dim


def _by_hand(
    alone: Backend, network: Any, gives: str, frames: NDArray[np.uint8], contract: OnnxContract
) -> NDArray[np.float32]:
    """Run the network on one snippet that torch has prepared, and pool what it gives with NumPy."""
    stored = {i.name for i in network.graph.initializer}
    reads = next(i.name for i in network.graph.input if i.name not in stored)
    with torch.no_grad():
        ready = _Preparation(contract)(torch.from_numpy(frames))[_READY].numpy()
    out = alone.run({reads: ready})[gives]
    if contract.pooling == "cls":
        return out[:, 0]
    if contract.pooling == "mean" and out.ndim > 2:
        mean: NDArray[np.float32] = out.mean(
            tuple(range(1, out.ndim - 1) if contract.channels == "last" else range(2, out.ndim))
        )
        return mean
    return out
