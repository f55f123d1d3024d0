"""The loop, checkpoints and export."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from tal_engine.errors import CheckpointError, ExportError, ParityError, TrainingError, UsageError
from tal_engine.export import bundle, parity
from tal_engine.export.encoder_graphs import EncoderSet
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.methods import load_method
from tal_engine.lab.nn.tiny import TinyEncoders, TinyFlow, TinyImage, TinyRGB, load_tiny, save_tiny
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.options import NmsOptions, ProposalOptions, SnippetOptions
from tal_engine.plan.fields import Encoder, Graph
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, OPTIONS, WIDTH, run_fit, small_config, weights


def test_the_same_seed_trains_the_same_network(tmp_path, text):
    run_fit(tmp_path / "a", text)
    run_fit(tmp_path / "b", text)
    run_fit(tmp_path / "c", text, replace(OPTIONS, seed=1))
    a, b, c = (weights(tmp_path / k) for k in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_resume_continues_bit_for_bit(tmp_path, text):
    run_fit(tmp_path / "whole", text)
    run_fit(tmp_path / "part", text, replace(OPTIONS, steps=3))
    run_fit(tmp_path / "part", text, resume=True)
    whole, part = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all(torch.equal(whole[k], part[k]) for k in whole)


def test_interrupting_saves_a_checkpoint_that_resumes(tmp_path, text):
    def stop(step, steps, terms):
        if step == 4:
            import signal

            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_fit(tmp_path / "part", text, report=stop)
    assert checkpoint.load(tmp_path / "part").step == 4
    run_fit(tmp_path / "part", text, resume=True)
    run_fit(tmp_path / "whole", text)
    whole, part = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all(torch.equal(whole[k], part[k]) for k in whole)


def test_a_loss_that_is_not_finite_stops_and_is_named(tmp_path, text):
    pvlr = load_method("pvlr")
    config = small_config(pvlr, kd_weight=float("inf"))
    with pytest.raises(TrainingError, match=r"loss term 'kd' is not finite at step 0, videos v\d, v\d, v\d, .*saved"):
        run_fit(tmp_path / "x", text, config=config)
    assert checkpoint.load(tmp_path / "x").step == 0


def test_resume_refuses_another_run(tmp_path, text):
    run_fit(tmp_path / "a", text)
    pvlr = load_method("pvlr")
    with pytest.raises(CheckpointError, match="its config is"):
        run_fit(tmp_path / "a", text, config=small_config(pvlr, kd_weight=1.0), resume=True)
    with pytest.raises(CheckpointError, match="its seed is 0, this run has 7"):
        run_fit(tmp_path / "a", text, replace(OPTIONS, seed=7), resume=True)
    with pytest.raises(CheckpointError, match=r"its clip_norm is 0\.0, this run has 1\.0"):
        run_fit(tmp_path / "a", text, replace(OPTIONS, clip_norm=1.0), resume=True)
    with pytest.raises(CheckpointError, match="its method is pvlr, this run has co2"):
        run_fit(tmp_path / "a", text, method="co2", resume=True)
    with pytest.raises(CheckpointError, match="its vocabulary is"):
        run_fit(tmp_path / "a", text, names=Vocabulary(["jump", "run", "sit down"]), resume=True)
    with pytest.raises(CheckpointError, match='its data is "test", this run has "other"'):
        run_fit(tmp_path / "a", text, provenance={"data": "other"}, resume=True)
    with pytest.raises(CheckpointError, match=r"no checkpoint\.json"):
        run_fit(tmp_path / "none", text, resume=True)


def test_checkpoint_round_trip_and_export_need_no_text_tower(tmp_path, text):
    net = run_fit(tmp_path / "a", text).net
    found = checkpoint.load(tmp_path / "a")
    assert (found.step, found.method.name, found.vocabulary, found.train) == (6, "pvlr", NAMES, OPTIONS)
    again = found.network()
    x = {s: torch.randn(1, 9, WIDTH) for s in ("rgb", "flow")}
    torch.testing.assert_close(found.method.freeze(net)(**x), found.method.freeze(again)(**x))


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (lambda f: (f / "checkpoint.json").unlink(), "half written"),
        (lambda f: (f / "checkpoint.json").write_text("{"), "damaged"),
        (lambda f: (f / "weights.safetensors").unlink(), "missing or not the file"),
        (lambda f: (f / "weights.safetensors").write_bytes(b"x"), "missing or not the file"),
        (lambda f: edit(f, "format", 99), "format 99"),
        (lambda f: edit(f, "method", "magic"), "unknown method 'magic'"),
        (lambda f: edit(f, "config", {"nonsense": 1}), "unknown field 'nonsense'"),
    ],
)
def test_hurt_checkpoints_are_named(tmp_path, text, hurt, words):
    run_fit(tmp_path / "a", text, replace(OPTIONS, steps=1))
    hurt(tmp_path / "a")
    with pytest.raises(CheckpointError, match=words):
        checkpoint.load(tmp_path / "a")


def edit(folder, field, value):
    path = folder / "checkpoint.json"
    document = json.loads(path.read_text())
    document[field] = value
    path.write_text(json.dumps(document))


def test_train_options_name_value_and_range():
    with pytest.raises(UsageError, match="steps is -1"):
        TrainOptions(steps=-1)
    with pytest.raises(UsageError, match="pairs is 9"):
        TrainOptions(pairs=9)
    with pytest.raises(UsageError, match="learning_rate is -1"):
        TrainOptions(learning_rate=-1)
    with pytest.raises(UsageError, match=r"sampling is 'some', must be one of .*random_perturb"):
        TrainOptions(sampling="some")
    with pytest.raises(UsageError, match="select is 'validation', which needs evaluations"):
        TrainOptions(select="validation")
    with pytest.raises(UsageError, match="ema is 1, must be in"):
        TrainOptions(ema=1)
    with pytest.raises(UsageError, match="amp is 'fp16', which needs device 'cuda'"):
        TrainOptions(amp="fp16", device="cpu")


def fake_encoders(text, sha="a" * 64):
    graph = Graph(member="encoder.onnx", inputs=[], outputs=[])
    specs = {
        s: Encoder(name=f"fake-{s}", stream=s, reads="frames", dim=WIDTH, weights_sha256=sha, graph=graph)
        for s in ("rgb", "flow")
    }
    return EncoderSet(SnippetOptions(), specs, {}, text)


def trained(folder, text, sha="a" * 64):
    made = {s: {"weights_sha256": sha} for s in ("rgb", "flow")}
    return run_fit(folder, text, replace(OPTIONS, steps=1), provenance={"contract": {"encoders": made}})


def test_export_makes_a_plan_that_localizes_features(tmp_path, text):
    from tal_engine import TALEngine

    trained(tmp_path / "c", text)
    found = checkpoint.load(tmp_path / "c")
    plan = bundle.export(found, None, tmp_path / "p.plan", name="p")
    engine = TALEngine.load(tmp_path / "p.plan", "cpu")
    assert engine.plan.manifest.method.config == json.loads(json.dumps(asdict(found.config)))
    assert (plan.manifest.provenance["step"], plan.manifest.provenance["weights"]) == (1, "weights")
    assert set(plan.files) == {"head.onnx"}
    assert plan.manifest.streams == {"rgb": WIDTH, "flow": WIDTH}
    features = {s: np.random.default_rng(0).normal(size=(40, WIDTH)).astype(np.float32) for s in ("rgb", "flow")}
    assert len(engine.localize(features)) > 0


def test_export_refuses_other_encoders(tmp_path, text):
    trained(tmp_path / "c", text)
    with pytest.raises(ExportError, match="trained on encoder weights aaaaaaaaaaaa, fake-rgb has bbbbbbbbbbbb"):
        bundle.export(checkpoint.load(tmp_path / "c"), fake_encoders(text, "b" * 64), tmp_path / "p.plan", name="p")
    assert not (tmp_path / "p.plan").exists()


def test_the_gate_refuses_a_graph_that_differs(tmp_path, text, monkeypatch):
    """The graph is traced from weights that are then changed by a hair."""
    trained(tmp_path / "c", text)
    found = checkpoint.load(tmp_path / "c")

    def sabotage(module, *args):
        content = to_onnx(module, *args)
        module.classify.mean.weight.data *= 1.01
        module.classify.text.data += 0.01
        return content

    monkeypatch.setattr(bundle, "to_onnx", sabotage)
    with pytest.raises(ParityError, match=r"head\.onnx: differs by") as e:
        bundle.export(found, None, tmp_path / "p.plan", name="p")
    assert e.value.exit_code == 3
    assert not (tmp_path / "p.plan").exists()


def test_the_gate_compares_segments(text):
    pvlr = load_method("pvlr")
    torch.manual_seed(0)
    frozen = pvlr.freeze(pvlr.build(small_config(pvlr), NAMES, text).eval())
    example = {s: torch.randn(1, 9, WIDTH) for s in ("rgb", "flow")}

    class Shifted(nn.Module):
        """Tensors within tolerance of zero, segments elsewhere: many activations near a threshold."""

        def forward(self, rgb, flow):
            out = frozen(rgb=rgb, flow=flow)
            attention = out["attention"] * 0 + 0.1 + (torch.arange(rgb.shape[1]) % 2) * 4e-5
            return {"cas": out["cas"] * 0, "attention": attention}

    class Other(Shifted):
        def forward(self, rgb, flow):
            out = super().forward(rgb, flow)
            return {**out, "attention": out["attention"] - 3e-5}

    content, graph = to_onnx(Other(), example, {0: "B", 1: "T"}, "head.onnx")
    with pytest.raises(ParityError, match="segments differ"):
        parity.check_head(Shifted(), content, graph, ProposalOptions(), NmsOptions(), Timeline(0, 1, 1))


@pytest.mark.parametrize("net", [TinyRGB, TinyFlow, TinyImage])
def test_tiny_encoders_export(net):
    torch.manual_seed(0)
    net = net().eval()
    shape = (2, 16, 112, 112, 3 if net.reads == "frames" else 2)
    example = torch.zeros(shape, dtype=torch.uint8 if net.reads == "frames" else torch.float32)
    content, graph = to_onnx(net, {net.reads: example}, {0: "B"}, "e.onnx")
    assert parity.check_encoder(net, content, graph)["tensor"] < 1e-5
    assert graph.inputs[0].shape == ["B", *shape[1:]]
    assert graph.outputs[0].shape == ["B", 128]
    net.eval().trunk.layers[0][0].weight.data *= 1.1
    with pytest.raises(ParityError, match=r"e\.onnx"):
        parity.check_encoder(net, content, graph)


def test_tiny_weights_round_trip(tmp_path):
    torch.manual_seed(0)
    encoders = TinyEncoders(["run", "jump"]).eval()
    save_tiny(tmp_path / "t.safetensors", encoders, {"seed": 0})
    again = load_tiny(tmp_path / "t.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(encoders.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert again.text.words == ("run", "jump")
    (tmp_path / "bad.safetensors").write_bytes(b"junk" * 10)
    with pytest.raises(CheckpointError, match="not a file of the tiny encoders"):
        load_tiny(tmp_path / "bad.safetensors")
