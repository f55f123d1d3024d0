"""The parts of a student: its network, its teacher's head in torch, the head with one input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tal_engine.backends import open_backend
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import ExportError, TrainingError
from tal_engine.export.student_plan import joined_head, make_student_plan
from tal_engine.lab.distilling.head_in_torch import TorchHead
from tal_engine.lab.distilling.lessons import lesson_of
from tal_engine.lab.distilling.options import DistillOptions, student_snippets
from tal_engine.lab.distilling.parts import Alone, luma_of
from tal_engine.lab.distilling.student import Student, shares_of
from tal_engine.lab.distilling.training import HeadError, head_error, train
from tal_engine.plan.archive import read_plan, with_members
from tal_engine.records import Features
from tests.makers import _model, tiny_plan

SMALL = DistillOptions(frames=4, moments=2, width=4, epochs=12, threads=1)


@pytest.fixture(scope="module")
def demo():
    return read_plan(EMBEDDED_PLAN)


def streams_of(plan, length=40, seed=0):
    rng = np.random.default_rng(seed)
    return {s: rng.normal(size=(1, length, d)).astype(np.float32) for s, d in plan.manifest.streams.items()}


def test_a_head_in_torch_is_the_head(demo):
    head = demo.manifest.head
    content, feeds = demo.files[head.member], streams_of(demo)
    wanted = open_backend(content, head.member, "cpu").run(feeds)
    found = TorchHead(content)({n: torch.from_numpy(x) for n, x in feeds.items()})
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), value, atol=1e-4)


_CONSTANTS = {
    "k": np.random.default_rng(0).normal(size=(3, 4, 1, 3)).astype(np.float32),
    "b": np.float32([1, 2, 3]), "one": np.array([1], np.int64), "two": np.array([2], np.int64),
    "shape": np.array([0, -1, 5], np.int64), "least": np.array(-0.5, np.float32), "g": np.ones(5, np.float32),
}  # fmt: skip
#: Chains of operators that heads have and the demonstration's has not; the last output is "y".
_CHAINS = {
    "planar": [
        (("Unsqueeze", ["x", "two"], ["a"]), {}),
        (("Conv", ["a", "k", "b"], ["c"]), {"pads": [0, 2, 0, 0], "kernel_shape": [1, 3]}),
        (("Squeeze", ["c", "two"], ["d"]), {}), (("Relu", ["d"], ["y"]), {}),
    ],
    "norms": [
        (("LayerNormalization", ["x", "g"], ["a"]), {"axis": -1}), (("Softmax", ["a"], ["s"]), {"axis": 1}),
        (("Clip", ["a", "least"], ["e"]), {}), (("ReduceSum", ["e", "one"], ["r"]), {"keepdims": 1}),
        (("Mul", ["s", "r"], ["y"]), {}),
    ],
    "shapes": [
        (("Reshape", ["x", "shape"], ["a"]), {}), (("Slice", ["a", "one", "two", "two"], ["c"]), {}),
        (("Gather", ["a", "one"], ["e"]), {"axis": 1}), (("Sub", ["c", "e"], ["f"]), {}),
        (("Tanh", ["f"], ["y"]), {}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("chain", _CHAINS)
def test_operators_of_other_heads(chain):
    used = {name for (_, inputs, _), _ in _CHAINS[chain] for name in inputs}
    constants = {n: v for n, v in _CONSTANTS.items() if n in used}
    content = _model(_CHAINS[chain], [("x", "float32", ["B", 4, 5])], [("y", "float32", None)], constants)
    x = np.random.default_rng(1).normal(size=(2, 4, 5)).astype(np.float32)
    (wanted,) = open_backend(content, "head.onnx", "cpu").run({"x": x}).values()
    np.testing.assert_allclose(TorchHead(content)({"x": torch.from_numpy(x)})["y"].numpy(), wanted, atol=1e-5)


def test_a_head_that_torch_does_not_know_leaves_features_alone():
    nodes = [(("Einsum", ["rgb", "w"], ["cas"]), {"equation": "btd,dc->btc"})]
    weights = {"w": np.eye(4, dtype=np.float32)}
    content = _model(nodes, [("rgb", "float32", ["B", "T", 4])], [("cas", "float32", ["B", "T", 4])], weights)
    with pytest.raises(ExportError, match=r"head\.onnx: operator Einsum has no counterpart"):
        TorchHead(content)
    plan = tiny_plan()
    odd = with_members(plan.manifest, {**plan.files, "head.onnx": content})
    error, note = head_error(odd, shares_of(odd.manifest, SMALL), SMALL)
    assert error is None
    assert "learned from features alone: head.onnx: operator Einsum" in note


def test_the_joined_head_splits_what_it_reads(demo):
    head, widths = demo.manifest.head, demo.manifest.streams
    content, joined = joined_head(demo.files[head.member], head, {"student": widths})
    feeds = streams_of(demo)
    wanted = open_backend(demo.files[head.member], head.member, "cpu").run(feeds)
    found = open_backend(content, head.member, "cpu").run({"student": np.concatenate(list(feeds.values()), -1)})
    assert joined.inputs[0].shape == ["B", "T", sum(widths.values())]
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


def test_luma_of_the_graph_and_of_kept_pictures_agree():
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 64, 64, 3), np.uint8)
    kept = luma_of(frames)
    assert (kept.shape, kept.dtype) == ((3, 4, 64, 64, 1), np.uint8)
    np.testing.assert_allclose(kept[..., 0], frames @ np.array([0.299, 0.587, 0.114]), atol=0.5001)
    net = Alone(SMALL, 6).eval()
    with torch.no_grad():
        whole, rounded = net(torch.from_numpy(frames)), net.embed(torch.from_numpy(kept).float())
    np.testing.assert_allclose(whole.numpy(), rounded.numpy(), atol=0.02)


@pytest.mark.parametrize("side", [64, 80, 96, 112, 128])
@pytest.mark.parametrize("colours", ["luma", "rgb"])
def test_all_sides_give_features(side, colours):
    net = Alone(DistillOptions(frames=4, moments=2, width=4, side=side, colours=colours), 7).eval()
    assert net(torch.zeros(2, 4, side, side, 3, dtype=torch.uint8)).shape == (2, 7)


BAR = {"frames": {"rgb": 4}}


def bar_lessons(seed=0):
    """Videos whose teacher says where a bright bar stands in each half of a snippet."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(4):
        places = rng.integers(8, 56, (60, 2))
        away = np.abs(np.arange(64) - np.repeat(places, 2, 1)[..., None])
        pictures = np.where(away < 4, 220, 40)[:, :, None, :, None].repeat(64, 2).astype(np.uint8)
        features = np.concatenate([places, 3 * places[:, ::-1]], 1).astype(np.float32)
        out.append(lesson_of({"frames": pictures}, {"rgb": features}, BAR))
    return out


def test_a_student_learns_what_can_be_learned():
    net = train(bar_lessons(), BAR, SMALL, HeadError(tiny_plan(), BAR), lambda *_: None)
    held = bar_lessons(9)[0]
    with torch.no_grad():
        found = net.features(held.tensors(0, len(held)))
    unexplained = ((found.numpy() - held.features) ** 2).mean(0) / held.features.var(0)
    assert unexplained.max() < 0.5


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path, caplog):
    class StoppedError(Exception):
        pass

    def stop(done, *_):
        if done == 2:
            raise StoppedError

    options, lessons = replace(SMALL, epochs=4), bar_lessons()[:1]
    whole = train(lessons, BAR, options, None, lambda *_: None)
    with pytest.raises(StoppedError):
        train(lessons, BAR, options, None, stop, tmp_path)
    told = []
    rest = train(lessons, BAR, options, None, lambda done, *_: told.append(done), tmp_path)
    assert told == [3, 4]
    for a, b in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    train(lessons, BAR, replace(options, seed=1), None, lambda done, *_: told.append(done), tmp_path)
    assert told[2:] == [1, 2, 3, 4]  # another training has a state of its own
    for path in tmp_path.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:100])
    train(lessons, BAR, options, None, lambda done, *_: told.append(done), tmp_path)
    assert told[6:] == [1, 2, 3, 4]
    assert "is damaged, the training begins anew" in caplog.text


def test_a_loss_that_is_not_finite_stops_the_training():
    lesson = bar_lessons()[0]
    broken = lesson_of(lesson.kept, {"rgb": np.full_like(lesson.features, np.inf)}, BAR)
    with pytest.raises(TrainingError, match="the student's loss is nan in step 1 of epoch 1"):
        train([broken], BAR, SMALL, None, lambda *_: None)


def test_what_the_student_saw_goes_into_the_plan(demo):
    snippet = student_snippets(demo.manifest.snippet, SMALL)
    torch.manual_seed(0)
    shares = shares_of(demo.manifest, SMALL)
    (part,) = Student(SMALL, {"frames": 256}).eval().parts
    rng = np.random.default_rng(0)
    seen = [Features({"student": rng.normal(size=(20, 256)).astype(np.float32)}, None, 12.8) for _ in range(4)]
    plan = make_student_plan(
        demo, [(part, shares["frames"])], snippet, name="s", preprocess={"frames": {}}, record={}, seen=seen
    )
    assert plan.manifest.domain.videos == 4
    assert plan.manifest.calibration == demo.manifest.calibration
    assert plan.manifest.streams == {"student": 256}
