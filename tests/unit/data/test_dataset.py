"""Data sets from descriptions: what is read, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import tal_engine
from tal_engine.errors import FeatureError
from tal_engine.features import save_features
from tal_engine.lab.data.dataset import open_dataset
from tal_engine.lab.data.description import Description, read_description
from tal_engine.records import Features
from tal_engine.timeline import Timeline

EXAMPLES = Path(tal_engine.__file__).parent / "lab" / "data" / "examples"
LENGTHS = {"a": 20, "b": 30, "c": 25}
FIELDS = {
    "name": "small",
    "annotations": "gt.json",
    "subsets": {"train": "validation", "test": "test"},
    "features": [
        {"path": "i3d/{name}.npy", "streams": {"rgb": [0, 4], "flow": [4, 8]}},
        {"path": "clip/{role}/{name}.npy", "stream": "clip"},
    ],
    "length": "first",
    "text": {"tower": "hashed", "dim": 6},
}


def entry(subset="validation", segments=((1.0, 3.0),), label="run", **more):
    annotations = [{"segment": list(s), "label": label} for s in segments]
    return {"subset": subset, "duration": 12.0, "annotations": annotations, **more}


DATABASE = {"a": entry(), "b": entry(label="jump"), "c": entry("test")}


def write(root, database=None, **changes):
    fields = {k: v for k, v in {**FIELDS, **changes}.items() if v is not None}
    (root / "gt.json").write_text(json.dumps({"database": database or DATABASE}))
    (root / "data.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    return root / "data.yaml"


@pytest.fixture
def root(tmp_path, rng):
    for name, length in LENGTHS.items():
        role = "test" if name == "c" else "train"
        for path, shape in ((f"i3d/{name}.npy", (length, 8)), (f"clip/{role}/{name}.npy", (length + 1, 6))):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / path, rng.normal(size=shape).astype(np.float32))
    return tmp_path


def test_a_description_is_a_data_set(root):
    data = open_dataset(write(root))
    assert (data.name, list(data.vocabulary), data.protocol) == ("small", ["jump", "run"], "activitynet")
    assert [v.name for v in data.subset("train")] == ["a", "b"]
    assert (data.has("test"), data.has("validation")) == (True, False)
    assert data.timeline == Timeline(0.0, 0.64, 0.64)
    assert data.widths(["clip", "flow", "rgb"]) == {"clip": 6, "flow": 4, "rgb": 4}
    seen = []
    found = data.features(data.subset("train"), ("rgb", "flow", "clip"), lambda *n: seen.append(n))
    assert seen == [(1, 2), (2, 2)]
    whole = np.load(root / "i3d/b.npy")
    np.testing.assert_array_equal(found["b"].streams["flow"], whole[:, 4:])
    assert {s: a.shape for s, a in found["b"].streams.items()} == {"rgb": (30, 4), "flow": (30, 4), "clip": (30, 6)}
    assert found["b"].duration == 12.0
    assert (data.text.tower, data.text.dim) == ("hashed", 6)


def test_roles_that_are_not_there(root):
    with pytest.raises(FeatureError, match=r"small: has no 'validation' videos.* train \(validation\), test \(test\)"):
        open_dataset(write(root)).subset("validation")
    with pytest.raises(FeatureError, match=r"subsets.train is 'training', the annotations have test, validation"):
        open_dataset(write(root, subsets={"train": "training"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": 1}, "colour: Extra inputs.*known fields: name, annotations"),
        ({"name": None}, "name: Field required"),
        ({"protocol": "mAP"}, "protocol: 'mAP' is not a protocol, known: activitynet"),
        ({"length": "longest"}, "length: Input should be 'equal', 'first' or 'shortest'"),
        ({"features": [{"path": "x.npy", "stream": "rgb"}]}, r"features.0: path or key must hold \{name\}"),
        ({"features": [{"path": "{video}.npy", "stream": "rgb"}]}, r"\{video\} is not known.*allowed: name, subset"),
        ({"features": [{"path": "{name}.npy"}]}, "needs either stream: NAME or streams"),
        ({"features": [{"path": "{name}.npy", "streams": {"rgb": [4, 4]}}]}, r"streams.rgb is \[4, 4\]"),
        ({"features": [{"path": "{name}.npy", "stream": "rgb"}] * 2}, "stream 'rgb' is described twice"),
        ({"classes": ["run"]}, "class 'jump' occurs in the annotations"),
        ({"classes": ["run", "jump", "sit"]}, "class 'sit' is among the classes and not in the annotations"),
        ({"labels": "video"}, "labels is 'video', and the annotations give none for 'a'"),
        ({"exclude": ["z"]}, "exclude names 'z'"),
        ({"exclude": "none.txt"}, "none.txt: no such list"),
        ({"annotations": "no.json"}, "no such annotation file"),
        ({"subsets": {}}, "subsets needs at least one"),
    ],
)
def test_wrong_descriptions_are_named(root, changes, words):
    with pytest.raises(FeatureError, match=words):
        open_dataset(write(root, **changes))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("- a", "is a list, a description is a mapping"),
        ("name: a\nname: b", "'name' is there twice"),
        ("name: !!python/object/apply:os.system [ls]", "not YAML"),
    ],
)
def test_wrong_yaml_is_named(tmp_path, text, words):
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(FeatureError, match=words):
        open_dataset(tmp_path / "d.yaml")
    with pytest.raises(FeatureError, match="no such description"):
        open_dataset(tmp_path / "e.yaml")


def refused(root, words, streams=("rgb", "clip"), **changes):
    data = open_dataset(write(root, **changes))
    with pytest.raises(FeatureError, match=words):
        data.features(data.subset("train"), streams)


def test_every_broken_video_is_listed(root):
    np.save(root / "i3d/a.npy", np.full((20, 8), np.nan, np.float32))
    (root / "clip/train/b.npy").unlink()
    data = open_dataset(write(root))
    with pytest.raises(FeatureError, match="2 of 2 videos") as e:
        data.features(data.subset("train"), ("rgb", "clip"))
    assert "a: stream 'rgb': feature 0 is NaN" in str(e.value)
    assert "b.npy: no such feature file" in str(e.value)


def test_lengths(root):
    refused(root, "streams differ in length.*length: first or shortest", length="equal")
    np.save(root / "clip/train/a.npy", np.zeros((19, 6), np.float32))
    refused(root, "a stream is shorter than the first one")
    data = open_dataset(write(root, length="shortest"))
    assert len(data.features(data.subset("train"), ("rgb", "clip"))["a"]) == 19
    np.save(root / "clip/train/a.npy", np.zeros((40, 6), np.float32))
    refused(root, "differ too much in length")


def test_widths_and_shapes(root):
    np.save(root / "i3d/b.npy", np.zeros((30, 9), np.float32))
    refused(root, r"b.npy: features are 9 wide, rgb\+flow needs 8")
    np.save(root / "i3d/b.npy", np.zeros((1, 30, 8), np.float32))
    refused(root, r"float32 of shape \[1, 30, 8\], features are numbers \[T, D\]")
    np.save(root / "i3d/b.npy", np.array([None, 1]), allow_pickle=True)
    refused(root, "b.npy: not a feature file.*tal data convert")
    refused(root, "no stream 'depth' is described; described: rgb, flow, clip", streams=("depth",))


def test_features_shorter_than_the_truth(root):
    long = {**DATABASE, "a": entry(segments=((1.0, 13.4),))}  # 20 snippets end at 12.8 s
    data = open_dataset(write(root, long, subsets={"train": "validation"}))
    data.features(data.subset("train"), ("rgb",))
    long["a"] = entry(segments=((1.0, 14.0),))
    refused(root, r"a: 20 snippets end at 12.80 s, 1.20 s before the last annotated instance", database=long)
    data = open_dataset(write(root, long, short_features="keep"))
    assert len(data.features(data.subset("train"), ("rgb",))["a"]) == 20


def test_a_damaged_file_does_not_hide_the_others(root):
    (root / "clip/train/a.npy").write_bytes(b"nothing")
    refused(root, r"1 of 2 videos have no features:\n  a: .*a\.npy: not a feature file")
    (root / "clip/train/b.npy").unlink()
    refused(root, "no video has a readable file of stream 'clip'")


def test_short_videos_are_left_out_and_their_truth_is_not(root):
    data = open_dataset(write(root, min_snippets=21))
    assert [v.name for v in data.subset("train")] == ["b"]
    assert [v.name for v in data.truth("train")] == ["a", "b"]
    with pytest.raises(FeatureError, match="every test video has fewer than 26 snippets"):
        open_dataset(write(root, min_snippets=26)).subset("test")


def test_labels_of_the_video(root):
    weak = {**DATABASE, "a": entry(labels=["jump", "run"]), "b": entry(labels=[])}
    data = open_dataset(write(root, weak, labels="video"))
    assert data.truth("train")[0].labels == ("jump", "run")
    with pytest.raises(FeatureError, match="1 training videos have no label: b"):
        data.subset("train")
    assert open_dataset(write(root, weak)).subset("train")[0].labels == ("run",)


@pytest.mark.parametrize("text", ["b\n\n", '["b"]', '{"excluded": {"b": ["no features"]}}'])
def test_excluded_videos(root, text):
    (root / "out.txt").write_text(text)
    data = open_dataset(write(root, exclude="out.txt"))
    assert [v.name for v in data.videos] == ["a", "c"]
    assert [v.name for v in open_dataset(write(root, exclude=["b"])).videos] == ["a", "c"]


def test_our_own_files_keep_their_record(root, rng):
    made = Features({"rgb": rng.normal(size=(20, 4)).astype(np.float32)}, Timeline(0, 0.64, 0.64), 9.0, {"snippet": {}})
    save_features(root / "own/a.npz", made)
    features = [{"path": "own/{name}.npz", "stream": "rgb"}]
    data = open_dataset(write(root, features=features, exclude=["b"]))
    found = data.features(data.subset("train"), ("rgb",))["a"]
    np.testing.assert_array_equal(found.streams["rgb"], made.streams["rgb"])
    assert found.contract == {"snippet": {}}
    refused(root, "a.npz: was made with Timeline", ("rgb",), features=features, snippet={"fps": 30}, exclude=["b"])


def test_the_features_of_video_features(shared, tmp_path):
    folder = shared / "features/v_GGSY1Qvo990"
    database = {"v_GGSY1Qvo990": entry(segments=((5.8, 16.2),))}
    pattern = str(folder / "i3d_{name}_None_raft_24_24_25_%s.npz")
    fields = {
        "features": [{"path": pattern % s, "stream": s, "width": 1024} for s in ("rgb", "flow")],
        "snippet": {"fps": 25, "window": 24, "stride": 24},
        "subsets": {"train": "validation"},
    }
    data = open_dataset(write(tmp_path, database, **fields))
    (found,) = data.features(data.subset("train"), ("rgb", "flow")).values()
    assert (len(found), found.timeline.step) == (18, 0.96)
    refused(tmp_path, "0.96 s apart, snippet says 0.64 s", ("rgb",), database=database, **(fields | {"snippet": {}}))


def test_an_archive_with_all_videos(tmp_path):
    np.savez(tmp_path / "all.npz", **{n: np.ones((k, 4), np.float32) for n, k in LENGTHS.items()})
    data_of_archive = [{"path": "all.npz", "stream": "rgb", "key": "{name}"}]
    data = open_dataset(write(tmp_path, features=data_of_archive))
    assert len(data.features(data.subset("test"), ("rgb",))["c"]) == 25
    np.savez(tmp_path / "all.npz", a=np.ones((20, 4), np.float32))
    refused(tmp_path, "has no array .b.; arrays: a", ("rgb",), features=data_of_archive)


def test_a_folder_of_videos_needs_encoders(root):
    (root / "annotations.json").write_text(json.dumps({"database": {"a": entry("train"), "c": entry("test")}}))
    data = open_dataset(root)
    assert [v.name for v in data.subset("train")] == ["a"]
    with pytest.raises(FeatureError, match="its features need encoders"):
        data.widths(["rgb"])


def test_thumos14_as_it_is_shared(shared, tmp_path):
    points = shared / "thumos14/points"
    fields = {
        "annotations": str(shared / "thumos14/reduced_npy"),
        "labels": "video",
        "protocol": "wtal-snippet",
        "points": {"path": str(points / "point_gaussian/point_labels.csv"), "fps": str(points / "fps_dict.json")},
    }
    with pytest.raises(FeatureError, match="allow_pickle"):
        open_dataset(write(tmp_path, **fields))
    data = open_dataset(write(tmp_path, **fields), allow_pickle=True)
    assert (len(data.subset("train")), len(data.subset("test")), len(data.vocabulary)) == (200, 212, 20)
    assert sum(v.labels != v.instance_labels for v in data.videos) == 28
    assert sum(map(len, data.points.values())) == 3003


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda p: p.stem)
def test_examples_are_descriptions(path):
    assert read_description(path).features


def test_the_readme_shows_a_description(tmp_path):
    text = (EXAMPLES.parent / "README.md").read_text()
    (tmp_path / "d.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    assert read_description(tmp_path / "d.yaml").name == "thumos14"
    assert all(f"`{name}`" in text for name in Description.model_fields)
