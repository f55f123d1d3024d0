"""DGAM's published key layout, and heads of its shape by a description in YAML, from file to exported plan."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tal_engine.engine import TALEngine
from tal_engine.errors import CheckpointError, UsageError
from tal_engine.export import bundle
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.training import checkpoint, import_weights
from tal_engine.vocabulary import Vocabulary
from tests.public_layouts import THREE, C, W, layer, written

DOCS = Path(__file__).parents[3] / "docs" / "import.md"
#: The description that docs/import.md shows.
DGAM_YAML = re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
HIDDEN = 6


def dgam(columns=C + 1, prefix="module."):
    """Random weights under the keys that DGAM saves, of one stream."""
    names = {"clf_head.fc1": (columns, W), "att_head.fc1": (HIDDEN, W), "att_head.fc2": (1, HIDDEN)}
    return {f"{prefix}{k}": v for name, shape in names.items() for k, v in layer(name, *shape, kernel=0).items()}


class Plain(nn.Module):
    """One stream of DGAM, as its paper has it, by torch's own layers."""

    def __init__(self, state, columns):
        super().__init__()
        self.clf_head, self.att_head = (
            nn.ModuleDict({"fc1": nn.Linear(W, columns)}),
            nn.ModuleDict({"fc1": nn.Linear(W, HIDDEN), "fc2": nn.Linear(HIDDEN, 1)}),
        )
        self.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})

    def forward(self, x):
        """x [T, D] -> weighted activations [T, C], attention [T], video probabilities [C]."""
        attention = self.att_head["fc2"](self.att_head["fc1"](x).relu()).sigmoid()
        pooled = (attention * x).sum(0) / attention.sum(0)
        video = self.clf_head["fc1"](pooled).softmax(-1)[:-1]
        weighted = attention * (x @ self.clf_head["fc1"].weight[:-1].T).sigmoid()
        return weighted, attention[:, 0], video


def by_hand(states, x):
    """Of both streams: mean activations and attention, the larger probability."""
    with torch.no_grad():
        found = [Plain(state, C + 1)(torch.tensor(x[s])) for s, state in states.items()]
    weighted, attention, video = (torch.stack(part) for part in zip(*found, strict=True))
    return weighted.mean(0), attention.mean(0), video.amax(0)


@pytest.fixture
def states():
    torch.manual_seed(0)
    return {"rgb": dgam(), "flow": dgam()}


@pytest.fixture
def features(rng):
    return {s: rng.normal(size=(30, W)).astype(np.float32) for s in ("rgb", "flow")}


def exported(found, folder):
    import_weights.save(folder / "c", found)
    bundle.export(checkpoint.load(folder / "c"), None, folder / "p.plan", name="p")
    return TALEngine.load(folder / "p.plan", "cpu")


def same(result, wanted):
    a = result.activations
    for got, value in zip((a.cas, a.attention, a.video), wanted, strict=True):
        np.testing.assert_allclose(got, value.numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("described", [False, True], ids=["known", "described"])
def test_random_weights_in_the_published_keys_give_the_same_activations_from_the_plan(
    described, states, features, tmp_path
):
    files = [written(tmp_path, state, f"final_{s}_0.29.pth") for s, state in states.items()]
    (tmp_path / "layout.yaml").write_text(DGAM_YAML)
    found = import_weights.read(files, THREE, layout=tmp_path / "layout.yaml" if described else None)
    assert (found.layout, found.method.name, found.unused) == ("DGAM", "stpn", ())
    assert found.sources == (*files, *([tmp_path / "layout.yaml"] if described else []))
    result = exported(found, tmp_path).localize(features)
    same(result, by_hand(states, features))
    assert {s.label for s in result} <= set(THREE)


def test_one_stream(states, features, tmp_path):
    path = written(tmp_path, states["rgb"], "rgb.pth")
    found = import_weights.read(path, THREE)
    assert found.config.streams == "rgb"
    only = {"rgb": features["rgb"]}
    same(exported(found, tmp_path).localize(only), by_hand({"rgb": states["rgb"]}, only))


@pytest.mark.parametrize(("columns", "names"), [(21, None), (101, 100)])
def test_21_and_101_columns_have_background_last(columns, names, tmp_path):
    path = written(tmp_path, dgam(columns), "rgb.pth")
    if names is not None:
        with pytest.raises(UsageError, match="has 100 classes; only the 20 of THUMOS14"):
            import_weights.read(path)
    found = import_weights.read(path, names and Vocabulary([f"class {i}" for i in range(names)]))
    assert len(found.vocabulary) == columns - 1
    if names is None:
        assert found.vocabulary.names == import_weights.THUMOS14


def test_another_head_of_the_shape(states, features, tmp_path):
    """TensorFlow's matrices, other names, no bias, background first, sigmoids of a mean over time."""
    torch.manual_seed(1)
    kernels = {"net/att1": (W, HIDDEN), "net/att2": (HIDDEN, 1), "net/cls": (W, C + 1)}
    state = {f"{k}.kernel": torch.randn(shape) * 0.3 for k, shape in kernels.items()} | {"step": torch.ones(1)}
    (tmp_path / "l.yaml").write_text(
        "attention: {hidden: net/att1, output: net/att2}\nclassifier: net/cls\nnames: {weight: kernel, bias: null}\n"
        "orientation: inputs_outputs\nbackground: first\n"
    )
    found = import_weights.read(written(tmp_path, state, "rgb.pth"), THREE, layout=tmp_path / "l.yaml")
    assert (found.layout, found.unused) == ("l", ("step",))
    x = torch.tensor(features["rgb"])
    attention = ((x @ state["net/att1.kernel"]).relu() @ state["net/att2.kernel"]).sigmoid()
    of = state["net/cls.kernel"][:, 1:]
    wanted = (attention * (x @ of).sigmoid(), attention[:, 0], ((attention * x).mean(0) @ of).sigmoid())
    same(exported(found, tmp_path).localize({"rgb": features["rgb"]}), wanted)


def test_bad_layouts_name_the_key_and_what_is_there(states, tmp_path):
    path = written(tmp_path, states["rgb"], "rgb.pth")

    def fails(text, match, error=UsageError):
        (tmp_path / "l.yaml").write_text(text)
        with pytest.raises(error, match=match):
            import_weights.read(path, THREE, layout=tmp_path / "l.yaml")

    fails("- 1\n", r"l\.yaml: is a list, a layout is a mapping of fields")
    fails("a: [", r"l\.yaml: not YAML")
    fails(DGAM_YAML.replace("clf_head", "cls_head"),
          r"rgb\.pth: has no cls_head\.fc1\.weight, which is classifier by .*l\.yaml; it has att_head\.",
          CheckpointError)  # fmt: skip
    fails(DGAM_YAML.replace("classifier:", "clasifier:"), r"l\.yaml: classifier: Field required")
    fails(DGAM_YAML + "depth: 3\n", r"l\.yaml: depth: .*; known fields: title, attention, classifier")
    fails(DGAM_YAML.replace("background: last", "background: middle"), r"background: .*'none', 'first' or 'last'")
    fails(DGAM_YAML.replace("clf_head.fc1", "module.clf_head.fc1"), r"classifier: 'module\..* is named without the")
    fails(DGAM_YAML.replace("att_head.fc2", "att_head.fc1"), "must be three different modules")
    fails(DGAM_YAML + "orientation: inputs_outputs\n",
          r"att_head\.fc1\.bias \(attention\.hidden of .* is \[6\], its weight has 8 outputs; orientation is inputs_",
          CheckpointError)  # fmt: skip
    swapped = (
        DGAM_YAML.replace("att_head.fc2", "x").replace("clf_head.fc1", "att_head.fc2").replace(": x", ": clf_head.fc1")
    )
    fails(
        swapped,
        r"attention\.output \(clf_head\.fc1\) \[4, 8\], classifier .* must be \[H, D\], \[1, H\]",
        CheckpointError,
    )
    fails(DGAM_YAML.replace("background: last", "background: none"), "has 4 classes, 3 names were given")
    with pytest.raises(UsageError, match=r"absent\.yaml"):
        import_weights.read(path, THREE, layout=tmp_path / "absent.yaml")
    state = dict(states["rgb"])
    state["module.clf_head.fc1.weight"] = torch.zeros(C + 1, W, 3)
    path = written(tmp_path, state, "rgb.pth")
    fails(DGAM_YAML, r"clf_head\.fc1\.weight \(classifier of .* is \[4, 8, 3\], must be a matrix", CheckpointError)


def test_an_imported_head_is_not_trained(states, features, tmp_path):
    found = import_weights.read(written(tmp_path, states["rgb"], "rgb.pth"), THREE)
    batch = Batch({"rgb": torch.tensor(features["rgb"])[None]}, torch.eye(3)[:1])
    with pytest.raises(UsageError, match="background=True, probability='softmax' are of imported heads"):
        found.net.loss(batch, 0)


def test_the_command_takes_a_layout(states, tmp_path):
    (tmp_path / "layout.yaml").write_text(DGAM_YAML)
    (tmp_path / "names.txt").write_text("run\njump\nsit\n")
    path = written(tmp_path, {f"my.{k}": v for k, v in dgam(prefix="").items()}, "flow.pth")
    tal = [
        Path(sys.executable).with_name("tal"),
        "import",
        path,
        "--classes",
        tmp_path / "names.txt",
        "-o",
        tmp_path / "c",
    ]
    done = subprocess.run(tal, capture_output=True, text=True, check=False)
    assert (done.returncode, "can be described: --layout layout.yaml" in done.stderr) == (1, True), done.stderr
    text = DGAM_YAML.replace("att_head", "my.att_head").replace("clf_head", "my.clf_head")
    (tmp_path / "layout.yaml").write_text(text)
    done = subprocess.run([*tal, "--layout", tmp_path / "layout.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert checkpoint.load(tmp_path / "c").config.streams == "flow"
