"""Public weights: layouts told apart, faults named, and a real head from file to segments."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tal_engine.engine import TALEngine
from tal_engine.errors import CheckpointError, ExportError, UsageError
from tal_engine.export import bundle
from tal_engine.export.encoders import EncoderSet
from tal_engine.nn.tiny import TinyText
from tal_engine.options import I3D_SNIPPETS
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tal_engine.train import checkpoint, public
from tal_engine.vocabulary import Vocabulary

THREE = Vocabulary(["run", "jump", "sit"])
W, C = 8, 3


def layer(name, out, inputs, kernel=1, bias=True):
    shape = (out, inputs, kernel) if kernel else (out, inputs)
    found = {f"{name}.weight": torch.randn(shape) * 0.2}
    return found | ({f"{name}.bias": torch.randn(out) * 0.2} if bias else {})


def consensus(autoencoded):
    state, half = {}, W // 2
    for tower in ("vAttn", "fAttn"):
        parts = {"channel_conv.0": (W, W, 3), "bit_wise_attn.0": (W, half if autoencoded else W, 3),
                 "attention.0": (half, W, 3), "attention.3": (half, half, 3), "attention.5": (1, half, 1)}  # fmt: skip
        if autoencoded:
            parts |= {"AE_e.0": (half, W, 3), "AE_d.0": (W, half, 3)}
        for name, shape in parts.items():
            state |= layer(f"{tower}.{name}", *shape)
    return state | layer("fusion.0", 2 * W, 2 * W, 3 if autoencoded else 1)


def co2():
    state = consensus(False) | layer("feat_encoder.0", 2 * W, 2 * W, 3)
    return state | layer("classifier.1", 2 * W, 2 * W, 3) | layer("classifier.4", C + 1, 2 * W)


def basnet():
    a, b = "filter_module.conv_", "cas_module.conv_"
    state = layer(f"{a}1.0", 6, 2 * W) | layer(f"{a}2.0", 1, 6) | layer(f"{b}1.0", 2 * W, 2 * W, 3)
    return state | layer(f"{b}2.0", 2 * W, 2 * W, 3) | layer(f"{b}3.0", C + 1, 2 * W, bias=False)


def um():
    return layer("cas_module.conv.0", 2 * W, 2 * W, 3) | layer("cas_module.classifier.0", C, 2 * W, bias=False)


def cola():
    a = "actionness_module."
    return layer(f"{a}f_embed.0", 2 * W, 2 * W, 3) | layer(f"{a}f_cls.0", C, 2 * W, bias=False)


def aicl():
    a = "actionness_module."
    state = layer(f"{a}base_module.0", 6, 2 * W, 3) | layer(f"{a}cls.0", C, 6)
    for s in ("rgb", "flow"):
        state |= layer(f"{a}action_module_{s}.0", 6, W, 3) | layer(f"{a}cls_{s}", 1, 6)
    return state


def hamnet():
    a, b = "net.classifier.", "net.attention."
    state = layer(f"{a}1", 2 * W, 2 * W, 3) | layer(f"{a}4", 2 * W, 2 * W, 3) | layer(f"{a}7", C + 1, 2 * W)
    state |= layer(f"{b}0", 6, 2 * W, 3) | layer(f"{b}2", 6, 6, 3) | layer(f"{b}4", 1, 6)
    return {"state_dict": state, "epoch": 3, "hparams": argparse.Namespace(lr=1e-5)}


def pvlr(text):
    state = consensus(True) | layer("fusion2.0", 2 * W, 2 * W, 3)
    for part in ("fc_mean", "fc_var"):
        state |= layer(f"snippet_prob_encoder.{part}", text.dim, 2 * W, 0)
    return state | {"embedding.weight": torch.randn(text.context, text.width)}


def pvlr_anet(text):
    state, a = consensus(False) | layer("fusion2.0", 2 * W, 2 * W, 3), "snippet_prob_encoder."
    state |= layer(f"{a}mu_enc", text.dim, 2 * W, 0) | layer(f"{a}var_enc.0", text.dim, 2 * W, 0)
    state |= layer(f"{a}var_enc.3", text.dim, text.dim, 0)
    return state | {"embedding.weight": torch.randn(text.context, text.width)}


@pytest.fixture
def words():
    torch.manual_seed(0)
    return TinyText(["run", "jump", "sit", "down"]).eval().requires_grad_(False)


def written(folder, state, name="w.pth"):
    torch.save(state, folder / name)
    return folder / name


def changed(state, key, value=None):
    state = dict(state)
    if value is None:
        del state[key]
    else:
        state[key] = value
    return state


@pytest.mark.parametrize("make", [co2, basnet, um, cola, aicl, hamnet])
def test_layouts_become_checkpoints(make, tmp_path):
    torch.manual_seed(0)
    state = make()
    found = public.read(written(tmp_path, state), THREE)
    assert found.method.name == make.__name__
    assert (found.config.rgb, found.config.flow) == (W, W)
    assert found.unused == (("feat_encoder.0.weight", "feat_encoder.0.bias") if make is co2 else ())
    public.save(tmp_path / "c", found)
    loaded = checkpoint.load(tmp_path / "c")
    assert loaded.vocabulary == THREE
    streams = {s: torch.randn(1, 7, W) for s in ("rgb", "flow")}
    a, b = (found.method.freeze(n)(**streams) for n in (found.net, loaded.network()))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0)
    # Every tensor of the file arrived: nothing kept its random value.
    theirs = sorted(float(v.sum()) for k, v in state.get("state_dict", state).items() if "feat_encoder" not in k)
    ours = sorted(float(v.sum()) for v in found.net.state_dict().values())
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_an_imported_head_exports_without_encoders(tmp_path):
    torch.manual_seed(0)
    public.save(tmp_path / "c", public.read(written(tmp_path, um()), THREE))
    loaded = checkpoint.load(tmp_path / "c")
    plan = bundle.export(loaded, None, tmp_path / "p.plan", name="p")
    assert plan.manifest.snippet == I3D_SNIPPETS
    assert plan.manifest.streams == {"rgb": W, "flow": W}
    x = np.random.default_rng(0).normal(size=(30, W)).astype(np.float32)
    result = TALEngine.load(tmp_path / "p.plan", "cpu").localize({"rgb": x, "flow": x})
    assert result.info.duration == pytest.approx(30 * 16 / 25)
    with pytest.raises(ExportError, match="no encoder was given"):
        bundle.export(loaded, EncoderSet(I3D_SNIPPETS, {}, {}, None), tmp_path / "q.plan", name="q")


@pytest.mark.parametrize("make", [pvlr, pvlr_anet])
def test_pvlr_with_and_without_the_text_tower(make, words, tmp_path):
    torch.manual_seed(0)
    state = make(words) | {f"clipmodel.visual.{i}.weight": torch.zeros(2) for i in range(12)}
    path = written(tmp_path, state)
    with pytest.raises(UsageError, match=r"folded_text cannot be made from embedding\.weight without the text tower"):
        public.read(path, THREE)
    found = public.read(path, THREE, text=words)
    assert found.unused == ("clipmodel.visual.* (12 tensors)",)
    assert (found.config.prompt, found.config.joint) == ("full", words.dim)
    torch.testing.assert_close(found.net.prompt.context.detach(), state["embedding.weight"])
    public.save(tmp_path / "c", found)
    assert checkpoint.load(tmp_path / "c").network().folded_text.abs().sum() > 0


def test_faults_are_named(tmp_path):
    def fails(error, match, state, *args, **kwargs):
        with pytest.raises(error, match=match):
            public.read(written(tmp_path, state), *args, **kwargs)

    fails(CheckpointError, r"missing cas_module\.conv\.0\.bias \(embed\.conv\.bias here\)",
          changed(um(), "cas_module.conv.0.bias"), THREE)  # fmt: skip
    fails(CheckpointError, r"cas_module\.conv\.0\.bias .* is \[5\], the network has \[16\]",
          changed(um(), "cas_module.conv.0.bias", torch.zeros(5)), THREE)  # fmt: skip
    fails(CheckpointError, r"fusion2\.0|without|missing", changed(co2(), "classifier.1.weight"), THREE)
    fails(CheckpointError, "no known public layout", {"x.weight": torch.zeros(1)})
    fails(CheckpointError, "Boosting-WTAL: its classes are text queries", consensus(True))
    fails(CheckpointError, "I3D: these are weights of an encoder", {"Conv3d_1a_7x7.conv3d.weight": torch.zeros(1)})
    fails(CheckpointError, "no state dict", {"epoch": 3})
    fails(UsageError, "has 3 classes; only the 20 of THUMOS14", um())
    fails(UsageError, "has 3 classes, 2 names were given", um(), Vocabulary(["a", "b"]))
    fails(UsageError, r"has the keys of UM \(um\), not of 'cola'", um(), THREE, method="cola")
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        public.read(tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        public.read(tmp_path / "absent.npz")


class _Code:
    def __reduce__(self):
        return (print, ("executed",))


def test_pickles_that_hold_code_are_refused(tmp_path, capsys):
    path = written(tmp_path, {"cas_module.conv.0.weight": _Code()})
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        public.read(path)
    assert "executed" not in capsys.readouterr().out


def test_safetensors_and_the_default_classes(tmp_path):
    state = um() | layer("cas_module.classifier.0", 20, 2 * W, bias=False)
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    assert public.read(tmp_path / "w.safetensors").vocabulary.names == public.THUMOS14
    assert list(public.THUMOS14) == sorted(public.THUMOS14)


def test_the_command_line_says_what_it_left_out(tmp_path):
    torch.manual_seed(0)
    (tmp_path / "names.txt").write_text("run\njump\nsit\n")
    tal = Path(sys.executable).with_name("tal")
    command = [tal, "import", written(tmp_path, co2()), "-o", tmp_path / "c"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "has 3 classes" in done.stderr) == (2, True)
    assert not (tmp_path / "c").exists()
    command += ["--classes", tmp_path / "names.txt", "--cfg-options", "class_threshold=0.3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not used: feat_encoder.0.weight" in done.stderr
    loaded = checkpoint.load(tmp_path / "c")
    assert (loaded.vocabulary, loaded.config.class_threshold) == (THREE, 0.3)


#: Largest overlap of a segment with the truth, as measured. At the published threshold the finer settings split the
#: action into several segments.
SETTINGS = {"24_12_15": 0.4392, "24_24_25": 0.4019, "None_None_None": 0.6364}


def stored(shared, setting, stream="rgb"):
    """Features of the real video; a window ends at each timestamp."""
    path = shared / "features" / "v_GGSY1Qvo990" / f"i3d_v_GGSY1Qvo990_None_raft_{setting}_{stream}.npz"
    with np.load(path) as data:
        x, ends = data["features"], data["timestamps_ms"] / 1000
    step = float(np.diff(ends).mean())
    # Named STACK_STEP_FPS; at the video's own rate a stack is 64 frames, one after the other.
    width = step if "None" in setting else 24 / float(setting.split("_")[2])
    return Features({stream: x}, Timeline(max(float(ends[0]) - width, 0.0), step, width), 18.16)


def by_hand(weights, x):
    """STPN in NumPy: (weighted activations, video probabilities)."""

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    hidden = np.maximum(x @ weights["Attention.dense.kernel"] + weights["Attention.dense.bias"], 0)
    attention = sigmoid(hidden @ weights["Attention.dense_1.kernel"] + weights["Attention.dense_1.bias"])
    kernel, bias = weights["Classification.class_weight.kernel"], weights["Classification.class_weight.bias"]
    return attention * sigmoid(x @ kernel), sigmoid((attention * x).mean(0) @ kernel + bias)


def overlap(segment, start, end):
    inside = max(0.0, min(segment.end, end) - max(segment.start, start))
    return inside / (max(segment.end, end) - min(segment.start, start))


@pytest.fixture(scope="module")
def stpn_plan(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stpn")
    tal = Path(sys.executable).with_name("tal")
    weights = shared / "heads" / "stpn_thumos14" / "stpn_thumos14_rgb.npz"
    plan = folder / "x.plan"
    for command in (["import", weights, "-o", folder / "c"], ["export", folder / "c", "--no-encoders", "-o", plan]):
        done = subprocess.run([tal, *map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return plan


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_real_head_on_real_features(setting, shared, stpn_plan):
    with np.load(shared / "heads" / "stpn_thumos14" / "stpn_thumos14_rgb.npz") as weights:
        features = stored(shared, setting)
        cas, video = by_hand(dict(weights), features.streams["rgb"])
    result = TALEngine.load(stpn_plan, "cpu").localize(features)
    np.testing.assert_allclose(result.activations.cas, cas, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.activations.video, video, rtol=0, atol=1e-5)
    best = result[0]
    assert public.THUMOS14[int(video.argmax())] == best.label == "CleanAndJerk"
    overlaps = [overlap(s, 5.82, 16.20) for s in result if s.label == "CleanAndJerk"]
    assert max(overlaps) == pytest.approx(SETTINGS[setting], abs=1e-3)
