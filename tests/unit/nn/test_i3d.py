"""I3D: every stage against its NumPy twin, public weights files in each layout, the graph of the plan."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from tal_engine.backends import open_backend
from tal_engine.errors import CheckpointError, UsageError
from tal_engine.export.encoder_graphs import encoder_graph, weights_hash
from tal_engine.features import EncoderGraph
from tal_engine.lab.nn.i3d import I3D, I3DRGB, I3DFlow
from tal_engine.lab.nn.i3d_weights import load_i3d
from tal_engine.options import SnippetOptions
from tal_engine.records import Snippets
from tal_engine.timeline import Timeline
from tests.reference import i3d as reference


def randomized(net: nn.Module, seed: int = 0) -> nn.Module:
    """Weights that keep activations near 1, so that relative differences mean something at every depth."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if name.endswith("conv3d.weight"):
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("bn.weight", "running_var")):
            value.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith(("bn.bias", "running_mean")):
            value.normal_(0, 0.2, generator=generator)
    return net.eval().requires_grad_(False)


def arrays(net: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.double().numpy() for k, v in net.state_dict().items()}


def apart(found: torch.Tensor, wanted: np.ndarray) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found.double().numpy() - wanted).max() / np.abs(wanted).max())


# Full width, odd sizes in all axes, and axes that SAME pads on one side only, on both, and not at all.
@pytest.mark.parametrize(
    ("channels", "narrow", "size"),
    [(3, 1, (9, 33, 47)), (2, 8, (9, 33, 47)), (3, 8, (16, 47, 33)), (2, 8, (17, 64, 50)), (3, 8, (10, 35, 66))],
)
def test_every_stage_equals_its_twin(channels, narrow, size):
    net = randomized(I3D(channels, narrow))
    x = np.random.default_rng(1).uniform(-1, 1, (2, channels, *size))
    stages = zip(net.endpoints(torch.from_numpy(x).float()), reference.endpoints(x, arrays(net)), strict=True)
    for (name, found), (same, wanted) in stages:
        assert name == same
        assert np.abs(wanted).max() > 0.1, name
        assert apart(found, wanted) <= 1e-4, name


@pytest.mark.parametrize("frames", [9, 17])
def test_the_feature_equals_its_twin(frames):
    """From pixels, on a picture larger than the pool needs; the longer window leaves two steps to average."""
    rng = np.random.default_rng(2)
    rgb, flow = randomized(I3DRGB(16)), randomized(I3DFlow(16))
    seen = rng.integers(0, 256, (1, frames, 193, 225, 3), dtype=np.uint8)
    moved = rng.uniform(-20, 20, (1, frames, 193, 225, 2))
    for net, given, scaled in (
        (rgb, torch.from_numpy(seen), seen / 255 * 2 - 1),
        (flow, torch.from_numpy(moved).float(), moved / 20),
    ):
        wanted = reference.feature(np.moveaxis(scaled, -1, 1), arrays(net))
        assert net(given).shape == (1, net.dim)
        assert apart(net(given), wanted) <= 1e-4


def test_keys_and_sizes_are_the_published_ones():
    state = I3DRGB().state_dict()
    assert sum(v.numel() for v in I3DRGB().parameters()) == 12_287_264
    assert sum(v.numel() for v in I3DFlow().parameters()) == 12_265_312
    leaves = {"conv3d.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"}
    units = {"Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"}
    blocks, branches = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"), ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
    units |= {f"Mixed_{n}.{b}" for n in blocks for b in branches}
    assert set(state) == {f"{u}.{leaf}" for u in units for leaf in leaves}
    assert list(state["Conv3d_1a_7x7.conv3d.weight"].shape) == [64, 3, 7, 7, 7]
    assert list(I3DFlow().state_dict()["Conv3d_1a_7x7.conv3d.weight"].shape) == [64, 2, 7, 7, 7]
    assert next(m for m in I3DRGB().modules() if isinstance(m, nn.BatchNorm3d)).eps == 1e-3


@pytest.mark.parametrize("size", [(8, 224, 224), (16, 192, 224)])
def test_what_leaves_nothing_to_pool_is_named(size):
    t, h, w = size
    with pytest.raises(UsageError, match=f"{t} frames of {w} x {h} pixels, needs at least 9 of 193 x 193"):
        I3DRGB(16)(torch.zeros(1, *size, 3, dtype=torch.uint8))


@pytest.mark.parametrize("net", [I3DRGB(16), I3DFlow(16)], ids=["rgb", "flow"])
def test_the_graph_gives_what_the_network_gives(net):
    """Behind the gate of the plan, then as the runtime calls it; any number of snippets."""
    randomized(net)
    spec, content = encoder_graph(net, "i3d", "rgb", SnippetOptions(window=9, stride=9, resize=193, crop=193))
    assert (spec.dim, spec.reads) == (net.dim, net.reads)
    assert spec.graph.inputs[0].shape == ["B", 9, 193, 193, net.channels]
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (4, 9, 193, 193, 3), dtype=np.uint8)
    flow = rng.uniform(-20, 20, (4, 9, 193, 193, 2)).astype(np.float32)
    found = EncoderGraph(spec, open_backend(content, "i3d", "cpu"))(Snippets(frames, flow, 0, Timeline(0, 1, 1), 4.0))
    wanted = net(torch.from_numpy(frames if net.reads == "frames" else flow)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


# -- weights files


def tensorflow(state: dict[str, torch.Tensor], prefix: str) -> dict[str, np.ndarray]:
    """The variables as TensorFlow 1 names and lays them out."""
    scopes = {
        "b0": "Branch_0/Conv3d_0a_1x1",
        "b1a": "Branch_1/Conv3d_0a_1x1",
        "b1b": "Branch_1/Conv3d_0b_3x3",
        "b2a": "Branch_2/Conv3d_0a_1x1",
        "b2b": "Branch_2/Conv3d_0b_3x3",
        "b3b": "Branch_3/Conv3d_0b_1x1",
    }
    leaves = {"conv3d.weight": "conv_3d/w", "bn.bias": "batch_norm/beta", "bn.running_mean": "batch_norm/moving_mean",
              "bn.running_var": "batch_norm/moving_variance"}  # fmt: skip
    found = {f"{prefix}Logits/Conv3d_0c_1x1/conv_3d/{k}": np.zeros(1, np.float32) for k in "wb"}
    for key, value in state.items():
        block, *branch, kind, leaf = key.split(".")
        if block == "logits" or f"{kind}.{leaf}" not in leaves:
            continue
        scope = "/".join([block, *(scopes[b] for b in branch)])
        if key.startswith("Mixed_5b.b2b"):
            scope = scope.replace("0b", "0a")
        array = value.numpy()
        laid = array.transpose(2, 3, 4, 1, 0) if kind == "conv3d" else array.reshape(1, 1, 1, 1, -1)
        found[f"{prefix}{scope}/{leaves[f'{kind}.{leaf}']}"] = laid
    return found


@pytest.fixture(scope="module")
def published():
    """A state dict with a classifier, and scales of 1, as the published files have."""
    net = randomized(I3DRGB())
    state = {k: torch.ones_like(v) if k.endswith("bn.weight") else v for k, v in net.state_dict().items()}
    return {**state, "logits.conv3d.weight": torch.zeros(4, 1024, 1, 1, 1), "logits.conv3d.bias": torch.zeros(4)}


def written(path, state):
    if path.suffix == ".npz":
        np.savez(path, **state)
    elif path.suffix == ".safetensors":
        safetensors.torch.save_file({k: torch.as_tensor(np.ascontiguousarray(v)) for k, v in state.items()}, str(path))
    else:
        torch.save(state, path)
    return path


def test_every_layout_holds_the_same_network(published, tmp_path):
    bare = {k: v for k, v in published.items() if not k.startswith("logits") and "num_batches" not in k}
    files = [
        written(tmp_path / "rgb.pt", published),
        written(tmp_path / "wrapped.pt", {"state_dict": {f"module.{k}": v for k, v in bare.items()}}),
        written(tmp_path / "rgb.safetensors", bare),
        written(tmp_path / "tf.npz", tensorflow(published, "RGB/inception_i3d/")),
        written(tmp_path / "kinetics600.safetensors", tensorflow(published, "")),
    ]
    hashes = {weights_hash(load_i3d(f, "rgb")) for f in files}
    net = I3DRGB()
    net.load_state_dict(bare, strict=False)
    assert hashes == {weights_hash(net)}


def test_faults_of_files_are_named(published, tmp_path):
    def fails(match, path, stream="rgb", error=CheckpointError):
        with pytest.raises(error, match=match):
            load_i3d(path, stream)

    fails(r"flow_imagenet\.pt of github\.com/piergiaj.*deepmind/kinetics-i3d.*\.npz", None, "flow", UsageError)
    fails(r"the stream of I3D is 'audio', must be 'rgb' or 'flow'", None, "audio", UsageError)
    fails(r"no such weights file of I3D rgb; nothing is downloaded; take models/rgb_imagenet\.pt", tmp_path / "x.pt")
    fails(
        "stem reads 3 channels, this stream has 2; RGB has 3, flow has 2", written(tmp_path / "a.pt", published), "flow"
    )
    less = {k: v for k, v in published.items() if k != "Mixed_4c.b2b.bn.bias"} | {"head.weight": torch.zeros(1)}
    fails(r"missing Mixed_4c\.b2b\.bn\.bias; unexpected head\.weight", written(tmp_path / "b.pt", less))
    variables = tensorflow(published, "RGB/inception_i3d/")
    variables["RGB/inception_i3d/Mixed_3b/gamma"] = variables.pop(
        "RGB/inception_i3d/Mixed_5b/Branch_2/Conv3d_0a_3x3/batch_norm/beta"
    )
    fails("missing Mixed_5b/Branch_2/Conv3d_0a_3x3/batch_norm/beta; unexpected Mixed_3b/gamma",
          written(tmp_path / "c.npz", variables))  # fmt: skip
    other = {**published, "Mixed_3b.b0.bn.bias": torch.zeros(5)}
    fails(
        r"Mixed_3b\.b0\.bn\.bias is \[5\] in torch's order, the network has \[64\]", written(tmp_path / "d.pt", other)
    )
    fails(
        "of no known layout of I3D, its keys begin with fc.bias",
        written(tmp_path / "e.pt", {"fc.bias": torch.zeros(1)}),
    )
    fails("holds no state dict", written(tmp_path / "f.pt", {"epoch": 3}))


def test_modules_checkpoints_and_junk_are_refused(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match="of no known layout of I3D, its keys begin with bias, weight"):
        load_i3d(tmp_path / "module.pt", "rgb")
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    (tmp_path / "junk.safetensors").write_bytes(b"no weights")
    (tmp_path / "junk.npz").write_bytes(b"PK\x03\x04 no weights")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "broken.pt").write_bytes(b"a.")  # torch's reader ends with an IndexError
    with pytest.raises(CheckpointError, match=r"objects\.npz: holds no state dict"):
        load_i3d(tmp_path / "objects.npz", "rgb")
    for name in ("junk.safetensors", "junk.npz", "empty.pt", "broken.pt"):
        with pytest.raises(CheckpointError, match=f"{name}: cannot be read as weights"):
            load_i3d(tmp_path / name, "rgb")
    (tmp_path / "model.ckpt.index").write_bytes(b"")
    for path in (tmp_path, tmp_path / "model.ckpt", tmp_path / "model.ckpt.data-00000-of-00001"):
        with pytest.raises(CheckpointError, match=r"checkpoints are not read; .*numpy\.savez"):
            load_i3d(path, "rgb")
