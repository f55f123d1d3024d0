"""Planted actions: the truth is consistent, difficulty is difficult, and the files are read by the real readers."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from tal_engine.annotations import read_annotations
from tal_engine.cli.inputs import with_settings
from tal_engine.errors import UsageError
from tal_engine.lab.data.check import check
from tal_engine.lab.data.dataset import open_dataset
from tal_engine.lab.data.synthetic import TIMELINE, SimulatorOptions, World, simulate
from tal_engine.lab.data.write_public import write_simulation
from tal_engine.lab.nn.hashed_text import HashedText

SMALL = SimulatorOptions(train=24, test=12, classes=5, rgb=32, flow=32, joint=32)


def snippet_classes(world, v):
    """Class of each snippet (the number of classes is background), and whether its discriminative part is on."""
    centers = TIMELINE.centers(len(v.streams["rgb"]))
    label, strong = np.full(len(centers), len(world.names)), np.zeros(len(centers), bool)
    for s in v.instances:
        label[(centers >= s.start) & (centers < s.end)] = world.names.index(s.label)
    for a, b in v.discriminative:
        strong[(centers >= a) & (centers < b)] = True
    return label, strong


def columns(options, subset):
    world = World(options)
    videos = [v for v in simulate(options) if (v.subset == "test") == (subset == "test")]
    rows = [snippet_classes(world, v) for v in videos]
    i3d = np.concatenate([np.concatenate([v.streams["rgb"], v.streams["flow"]], 1) for v in videos])
    clip = np.concatenate([v.streams["clip"] for v in videos])
    return i3d, clip, np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows])


def test_the_truth_is_consistent():
    world = World(SMALL)
    videos = simulate(SMALL)
    assert [v.subset for v in videos] == ["validation"] * 24 + ["test"] * 12
    for v in videos:
        count = len(v.streams["rgb"])
        assert SMALL.snippets[0] <= count <= SMALL.snippets[1]
        assert v.duration == count * 0.64
        assert {s: a.shape for s, a in v.streams.items()} == dict.fromkeys(("rgb", "flow", "clip"), (count, 32))
        assert len(v.instances) <= SMALL.instances[1]
        for a, b in zip(v.instances, v.instances[1:], strict=False):
            assert 0 <= a.start < a.end <= b.start - 2 * 0.64 + 1e-9
        assert v.instances[-1].end <= v.duration + 1e-9
        for a, b in v.discriminative:
            assert any(s.start - 1e-9 <= a < b <= s.end + 1e-9 for s in v.instances)
    assert {s.label for v in videos if v.subset == "test" for s in v.instances} == set(world.names)


def test_labels_are_true_without_noise_and_sometimes_wrong_with_it():
    def wrong(options):
        return sum(set(v.labels) != {s.label for s in v.instances} for v in simulate(options) if v.subset != "test")

    assert wrong(with_settings(SMALL, ["difficulty=0"])) == 0
    hard = SimulatorOptions(train=200, test=10, difficulty=1.0, snippets=(60, 70))
    assert 5 <= wrong(hard) <= 30
    assert all(set(v.labels) == {s.label for s in v.instances} for v in simulate(hard) if v.subset == "test")


@pytest.fixture(scope="module")
def test_columns():
    return {d: columns(SimulatorOptions(difficulty=d), "test") for d in (0.0, 0.5, 1.0)}


def test_i3d_answers_to_the_discriminative_part_only(test_columns):
    options = SimulatorOptions()
    world = World(options)
    i3d, _, label, strong = test_columns[0.5]
    own = np.concatenate([world.streams["rgb"]["class"], world.streams["flow"]["class"]], 1)
    response = (i3d - i3d.mean(0)) @ own.T / 8  # of the signal's length, 4 in each stream
    of_class = response[np.arange(len(label)), np.minimum(label, len(world.names) - 1)]
    inside = label < len(world.names)
    assert of_class[inside & strong].mean() > 2 * of_class[inside & ~strong].mean() > 0
    assert of_class[inside & ~strong].mean() > 3 * abs(response[~inside].mean())


def test_clip_answers_to_all_of_an_action_and_to_its_surroundings(test_columns):
    options = SimulatorOptions()
    world = World(options)
    _, clip, label, strong = test_columns[0.5]
    text = HashedText(options.joint, options.text_seed)(list(world.names)).numpy()
    cosine = clip @ (text / np.linalg.norm(text, axis=1, keepdims=True)).T
    inside = label < len(world.names)
    right = cosine[np.arange(len(label)), np.minimum(label, len(world.names) - 1)]
    others = (cosine.sum(1) - right) / (len(world.names) - 1)
    for part in (inside & strong, inside & ~strong):
        assert (right[part] - others[part]).mean() > 0.25
        assert (cosine[part].argmax(1) == label[part]).mean() > 0.85
    near = np.zeros(len(label), bool)
    for shift in range(1, 4):
        near[:-shift] |= inside[shift:]
        near[shift:] |= inside[:-shift]
    near &= ~inside
    far = ~inside & ~near
    assert cosine[near].max(1).mean() > cosine[far].max(1).mean() + 0.05


def test_difficulty_is_difficult(test_columns):
    accuracy = []
    for i3d, clip, label, _ in test_columns.values():
        scores = []
        for x in (i3d, clip):
            half = len(x) // 2
            centroids = np.stack([x[:half][label[:half] == c].mean(0) for c in range(11)])
            distance = ((x[half:, None] - centroids[None]) ** 2).sum(2)
            scores.append((distance.argmin(1) == label[half:]).mean())
        accuracy.append(scores)
    easy, middle, hard = np.array(accuracy)
    assert (easy > middle).all()
    assert (middle > hard).all()
    assert easy.min() > 0.85


def test_words_make_features_of_classes_that_share_one_alike():
    """Texts and features of "high jump" and "long jump" are close; without the option only their texts are."""
    plain, related = World(SMALL), World(with_settings(SMALL, ["words=1"]))
    shared = np.array([[len(set(a.split()) & set(b.split())) for b in plain.names] for a in plain.names]) > 0
    pairs = shared & ~np.eye(len(shared), dtype=bool)
    assert pairs.any()
    text = plain.text @ plain.text.T
    assert text[pairs].min() > text[~shared].max()
    for stream in ("rgb", "flow"):
        for world, close in ((plain, False), (related, True)):
            own = world.streams[stream]["class"]
            np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1)
            cosine = own @ own.T
            assert (cosine[pairs].mean() > cosine[~shared].mean() + 0.15) == close
        for kind in ("shared", "ground", "scene"):
            np.testing.assert_array_equal(plain.streams[stream][kind], related.streams[stream][kind])


def digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_public_layout_is_read_and_clean(tmp_path):
    options = with_settings(SMALL, ["difficulty=0.3"])
    path = write_simulation(tmp_path / "a", options)
    data = open_dataset(path)
    assert (data.text.tower, data.text.dim, data.protocol) == ("hashed", 32, "wtal-seconds")
    assert data.widths(("rgb", "flow", "clip")) == {"rgb": 32, "flow": 32, "clip": 32}
    videos = simulate(options)
    found = data.features(data.truth("test"), ("rgb", "flow", "clip"))
    for v in (v for v in videos if v.subset == "test"):
        for stream, array in v.streams.items():
            np.testing.assert_array_equal(found[v.name].streams[stream], array)
    public = read_annotations(tmp_path / "a/public/Simulated-Annotations", allow_pickle=True)
    assert {v.name: v.instances for v in public} == {v.name: v.instances for v in data.videos}
    report, document = check(path)
    assert not document["excluded"]
    assert set(document["notes"]) <= {"labels"}
    assert {role: len(names) for role, names in report.usable.items()} == {"train": 24, "test": 12}
    write_simulation(tmp_path / "b", options)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    write_simulation(tmp_path / "c", with_settings(options, ["seed=1"]))
    assert digest(tmp_path / "a") != digest(tmp_path / "c")
    json.loads((tmp_path / "a/annotations.json").read_text())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("difficulty=2", r"difficulty is 2.0, must be in \[0, 1\]"),
        ("words=1.5", r"words is 1.5, must be in \[0, 1\]"),
        ("classes=99", "classes is 99, must be at least 2"),
        ("discriminative=9", r"must be at most parts \(4\)"),
        ("rgb=0", "rgb is 0, must be at least 1"),
    ],
)
def test_options_are_checked(changes, words):
    with pytest.raises(UsageError, match=words):
        with_settings(SMALL, [changes])
    with pytest.raises(UsageError, match=r"extent is \(5, 4\), must be 1 <= least"):
        SimulatorOptions(extent=(5, 4))
