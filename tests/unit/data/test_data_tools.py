"""Point labels, conversion of public layouts, and what `tal data` prints and writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine.annotations import AnnotatedVideo, read_annotations
from tal_engine.annotations.points import Point, points_outside, read_fps, read_points
from tal_engine.cli.data import app
from tal_engine.errors import FeatureError
from tal_engine.lab.data.check import check
from tal_engine.lab.data.convert_layouts import convert
from tal_engine.lab.data.dataset import open_dataset
from tal_engine.records import Segment
from tests.unit.annotations.test_annotations import Evil, npy_folder
from tests.unit.data.test_dataset import DATABASE, entry, root, write  # noqa: F401 - a fixture

POINTS = "class,class_index,start_frame,stop_frame,video_id,point\nrun,0,10,90,v,60\nrun,0,100,200,v,30\n"


def tal(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def test_points_of_lacp(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(POINTS)
    assert read_points(path, {"v": 30.0}) == {"v": (Point(1.0, "run"), Point(2.0, "run"))}
    with pytest.raises(FeatureError, match="line 2: points are frames, and video 'v' has no frame rate"):
        read_points(path)
    path.write_text("class,video_id\nrun,v\n")
    with pytest.raises(FeatureError, match="column 'point' is missing"):
        read_points(path, {"v": 30.0})
    (tmp_path / "fps.json").write_text('{"v": 30, "w": 0}')
    with pytest.raises(FeatureError, match=r"'w' has 0 frames a second"):
        read_fps(tmp_path / "fps.json")


def test_points_of_sf_net(tmp_path):
    for i in (1, 2):
        (tmp_path / f"A{i}.txt").write_text("".join(f"v{k},{k + i / 10},run\n\n" for k in range(20)))
    assert read_points(tmp_path / "A1.txt")["v3"] == (Point(3.1, "run"),)
    assert read_points(tmp_path, annotator=2)["v3"] == (Point(3.2, "run"),)
    drawn = read_points(tmp_path, seed=0)
    assert drawn == read_points(tmp_path, seed=0) != read_points(tmp_path, seed=1)
    assert {round(of[0].seconds % 1, 1) for of in drawn.values()} == {0.1, 0.2}
    with pytest.raises(FeatureError, match=r"annotator is 3, must be in 1\.\.2"):
        read_points(tmp_path, annotator=3)
    (tmp_path / "A1.txt").write_text("v,later,run\n")
    with pytest.raises(FeatureError, match="line 1: 'v,later,run' is not"):
        read_points(tmp_path, annotator=1)


def test_points_outside_instances():
    video = AnnotatedVideo("v", "train", 9.0, (Segment(1.0, 2.0, "run", 1.0),))
    points = {"v": (Point(1.0, "run"), Point(2.0, "run"), Point(2.1, "run"), Point(1.5, "jump"))}
    assert [p for _, p in points_outside(points, [video])] == [Point(2.1, "run"), Point(1.5, "jump")]


def test_public_points(shared):
    points = shared / "thumos14/points"
    found = read_points(points / "point_gaussian/point_labels.csv", read_fps(points / "fps_dict.json"))
    assert (len(found), sum(map(len, found.values()))) == (200, 3003)
    truth = read_annotations(shared / "thumos14/reduced_npy", allow_pickle=True)
    assert points_outside(found, truth) == []
    for name, videos, outside in (("GTEA", 21, [3, 6, 10, 1]), ("BEOID", 46, [17, 12, 26, 24])):
        folder = shared / f"gtea_beoid/{name}-Annotations"
        truth = read_annotations(folder, allow_pickle=True)
        drawn = [read_points(folder / "single_frames", annotator=k) for k in (1, 2, 3, 4)]
        assert {len(of) for of in drawn} == {videos}
        assert [len(points_outside(of, truth)) for of in drawn] == outside


def w_talc(folder, **changes):
    (folder / "Small-Annotations").mkdir(parents=True)
    npy_folder(folder / "Small-Annotations", **{"labels_all": np.array([["a"], ["b"]], object), **changes})
    joint = np.empty(2, object)
    joint[0], joint[1] = np.zeros((14, 6), np.float32), np.ones((8, 6), np.float64)
    np.save(folder / "Small-I3D-JOINTFeatures.npy", joint, allow_pickle=True)
    for role, name, length in (("test", "v", 14), ("train", "w", 9)):
        (folder / "CLIP" / role).mkdir(parents=True)
        np.save(folder / "CLIP" / role / f"{name}.npy", np.zeros((length, 5), np.float32))
    return folder


def test_conversion_of_the_w_talc_layout(tmp_path):
    source = w_talc(tmp_path / "source")
    with pytest.raises(FeatureError, match="convert it with --allow-pickle"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    data = open_dataset(convert(source, tmp_path / "out", allow_pickle=True))
    assert (data.name, list(data.vocabulary)) == ("Small", ["a", "b"])
    assert [(v.labels, v.instance_labels) for v in data.videos] == [(("a",), ("a", "b")), (("b",), ())]
    found = data.features(data.subset("train"), ("rgb", "flow", "clip"))["w"]
    assert {s: (a.shape, a.dtype.name) for s, a in found.streams.items()} == {
        "rgb": ((8, 3), "float32"),
        "flow": ((8, 3), "float32"),
        "clip": ((8, 5), "float32"),
    }


def test_conversion_names_what_does_not_fit(tmp_path):
    source = w_talc(tmp_path / "source")
    rows = np.empty(1, object)
    rows[0] = np.zeros((3, 6))
    np.save(source / "Small-I3D-JOINTFeatures.npy", rows, allow_pickle=True)
    with pytest.raises(FeatureError, match="has features of 1 videos, the annotations have 2"):
        convert(source, tmp_path / "out", allow_pickle=True)
    evil = np.array([Evil(), None], object)
    np.save(source / "Small-I3D-JOINTFeatures.npy", evil, allow_pickle=True)
    with pytest.raises(FeatureError, match=r"refused builtins\.eval"):
        convert(source, tmp_path / "out", allow_pickle=True)
    np.save(source / "Other-Features.npy", rows, allow_pickle=True)
    with pytest.raises(FeatureError, match=r"more than one of files of features.*--features"):
        convert(source, tmp_path / "out", allow_pickle=True)
    with pytest.raises(FeatureError, match=r"needs one folder of npy annotations .* has none"):
        convert(tmp_path / "out", tmp_path / "out2", allow_pickle=True)


def test_conversion_of_an_archive(shared, tmp_path):
    data = open_dataset(convert(shared / "features/gym_i3d_21classes.npz", tmp_path))
    assert (len(data.videos), len(data.vocabulary)) == (505, 21)
    assert data.widths(("rgb", "flow")) == {"rgb": 1024, "flow": 1024}
    assert len(data.features(data.subset("test")[:5], ("rgb",))) == 5
    assert all(v.labels == (v.name.rpartition("_")[0],) for v in data.videos)


def test_check_of_thumos14(shared):
    done = tal("check", shared / "thumos14/reduced_npy", "--allow-pickle")
    assert done.exit_code == 0, done.output
    assert "28 noted: labels of the whole video differ" in done.output
    assert "validation_0000316: video: HammerThrow, ThrowDiscus; instances: HammerThrow" in done.output


def test_check_finds_what_is_broken(root):  # noqa: F811
    np.save(root / "i3d/a.npy", np.full((20, 8), np.nan, np.float32))
    long = {**DATABASE, "d": entry(labels=["run"]), "b": {**entry(label="jump"), "duration": 17.0}}
    np.save(root / "i3d/d.npy", np.load(root / "i3d/b.npy"))
    np.save(root / "clip/train/d.npy", np.load(root / "clip/train/b.npy"))
    (root / "p.txt").write_text("a,1.5,run\nb,9.0,jump\n")
    path = write(root, long, points={"path": "p.txt"})
    _, document = check(path)
    assert list(document["excluded"]) == ["a"]
    assert "NaN" in document["excluded"]["a"][0]
    assert set(document["notes"]) == {"points", "no points", "length", "same features"}
    assert document["usable"] == {"train": ["b", "d"], "test": ["c"]}
    done = tal("check", path, "--json", "-o", root / "manifest.json")
    assert done.exit_code == 0, done.output
    assert json.loads((root / "manifest.json").read_text()) == document == json.loads(done.stdout)
    rest = open_dataset(write(root, long, exclude="manifest.json"))
    assert [v.name for v in rest.subset("train")] == ["b", "d"]


def test_check_keeps_the_truth_of_short_videos(root):  # noqa: F811
    _, document = check(write(root, min_snippets=21))
    assert (document["usable"], document["excluded"]) == ({"train": ["b"], "test": ["c"]}, {})
    assert document["notes"]["too short"] == {"a": "20 snippets, min_snippets is 21"}


def test_check_fails_where_nothing_is_usable(root):  # noqa: F811
    for path in root.glob("i3d/*.npy"):
        path.unlink()
    done = tal("check", write(root))
    assert "3 excluded: features missing" in done.output
    assert isinstance(done.exception, FeatureError)
    assert "no video is usable; the first: a: " in str(done.exception)


def test_simulate_and_convert_from_the_command_line(tmp_path):
    done = tal("simulate", "-o", tmp_path / "s", "--videos", 8, "--test", 4, "--classes", 3, "--options", "rgb=16")
    assert done.exit_code == 0, done.output
    assert tal("check", tmp_path / "s/data.yaml").exit_code == 0
    assert open_dataset(tmp_path / "s/data.yaml").widths(("rgb", "flow")) == {"rgb": 16, "flow": 64}
    refused = tal("convert", tmp_path / "s/public", "-o", tmp_path / "t")
    assert "made of pickles" in str(refused.exception)
    assert tal("convert", tmp_path / "s/public", "-o", tmp_path / "t", "--allow-pickle").exit_code == 0
