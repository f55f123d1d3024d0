"""Labels on their way to training: what each video supervises, what is held out, what is said about the rest."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tal_engine.annotations.labels import read_labels
from tal_engine.annotations.points import Point
from tal_engine.cli.main import _register, app
from tal_engine.errors import DataError, UsageError
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.data.dataset import open_dataset
from tal_engine.lab.data.label_media import probed
from tal_engine.lab.data.label_splits import Split, roles_of
from tal_engine.lab.data.labelled import parts_of, points_of_labels
from tal_engine.lab.methods import load_method
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.run_record import data_hash
from tal_engine.lab.training.supervision import points_of, supervised
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tests.makers import moving_square, write_mp4

MIXED = """video,start,end,label
v0,1,3,run
v1,2,,jump
v2,,,run
v3,1,2,jump
v3,4,,run
v4,,,
v5,6,8,jump
v5,,,run
"""


@pytest.fixture(scope="module", autouse=True)
def registered():
    if not app.registered_commands:
        _register()


@pytest.fixture
def table(tmp_path):
    def make(text, name="labels.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


@pytest.fixture
def described(tmp_path, table):
    """Features of ten videos, and a description that names a file of labels."""

    def make(labels, changes=None, **more):
        rng = np.random.default_rng(0)
        (tmp_path / "rgb").mkdir(exist_ok=True)
        for i in range(10):
            np.save(tmp_path / "rgb" / f"v{i}.npy", rng.normal(size=(20 + i, 16)).astype(np.float32))
        document = {
            "name": "set",
            "labels": table(labels).name,
            "features": [{"path": "rgb/{name}.npy", "streams": {"rgb": [0, 8], "flow": [8, 16]}}],
        }
        (tmp_path / "data.yaml").write_text(yaml.safe_dump(document | more | (changes or {})))
        return tmp_path / "data.yaml"

    return make


def test_each_video_gives_its_points(table):
    points = points_of_labels(read_labels(table(MIXED)))
    assert points == {
        "v0": (Point(2.0, "run"),),  # the middle of a segment
        "v1": (Point(2.0, "jump"),),
        "v2": (),
        "v3": (Point(1.5, "jump"), Point(4.0, "run")),
        "v4": (),
        "v5": (Point(7.0, "jump"),),
    }
    clicked = "video,start,end,time,label\na,1,5,2,run\na,7,9,,run\n"
    assert points_of_labels(read_labels(table(clicked)))["a"] == (Point(2.0, "run"), Point(8.0, "run"))


def test_a_method_is_supervised_by_what_there_is(described, caplog):
    data = open_dataset(described(MIXED, split={"test": 0}))
    videos = data.subset("train")
    assert [v.name for v in supervised(data, videos, load_method("co2"))] == [f"v{i}" for i in range(6)]
    assert supervised(data, videos, load_method("lacp")) == list(videos), "their classes teach it"
    kept = supervised(data, videos, load_method("apn"))
    assert [v.name for v in kept] == ["v0", "v1", "v3", "v4"]
    assert "2 of 6 training videos lack points of some class and cannot supervise apn" in caplog.text
    assert "v2, v5" in caplog.text
    given = points_of(data, kept, TrainOptions())
    drawn = points_of(data, kept, TrainOptions(points="uniform"))
    assert drawn["v1"] == given["v1"]
    assert drawn["v3"][1] == Point(4.0, "run"), "clicks stay, segments are drawn in"
    assert drawn["v0"] != given["v0"]
    assert 1 <= drawn["v0"][0].seconds <= 3


def test_labels_of_videos_alone_cannot_supervise_points(described):
    data = open_dataset(described("video,label\nv0,run\nv1,jump\n"))
    with pytest.raises(DataError, match=r"none of the 2 training videos has points .* lacp reads points: give them"):
        supervised(data, data.subset("train"), load_method("lacp"))


def test_background_videos_train_and_have_no_label(described):
    data = open_dataset(described(MIXED, split={"test": 0}))
    videos = data.subset("train")
    assert [v.name for v in videos if v.background] == ["v4"]
    features = {v.name: Features({"rgb": np.zeros((9, 4), np.float32)}, Timeline(0, 1, 1), 9.0) for v in videos}
    more = {"length": 9, "size": 2, "pairs": 0, "sampling": "full"}
    batches = BatchSampler(videos, features, data.vocabulary, ("rgb",), **more)
    drawn = [batches.draw(np.random.default_rng(i)) for i in range(20)]
    labels = {name: tuple(of.tolist()) for b in drawn for name, of in zip(b.names, b.labels, strict=True)}
    assert labels["v4"] == (0.0, 0.0)
    assert labels["v3"] == (1.0, 1.0)
    with pytest.raises(DataError, match="no training video has a label"):
        BatchSampler([v for v in videos if v.background], features, data.vocabulary, ("rgb",), **more)


def many(count=20):
    rows = "".join(f"v{i},1,2,{('run', 'jump')[i % 2]}\n" for i in range(count))
    return f"video,start,end,label\n{rows}rare0,1,2,rare\nrare1,1,2,rare\nonce,1,2,once\nclick,3,,run\nnone,,,\n"


def test_held_out_videos_are_of_every_class_that_can_spare_one(table):
    labels = read_labels(table(many()))
    found = roles_of(labels, Split(test=0.2, validation=0.2, seed=1))
    named = [(s, c) for n, s in found.subsets.items() for c in labels.videos[n].labels]
    held = {r: Counter(c for s, c in named if s == r) for r in found.roles}
    assert held["test"] == {"run": 2, "jump": 2, "rare": 1}
    assert held["validation"] == {"run": 2, "jump": 2}
    assert (held["train"]["once"], held["train"]["rare"]) == (1, 1)
    assert found.subsets["click"] == "train", "no truth to score it by"
    assert found.subsets == roles_of(labels, Split(test=0.2, validation=0.2, seed=1)).subsets
    assert found.subsets != roles_of(labels, Split(test=0.2, validation=0.2, seed=2)).subsets
    assert set(roles_of(labels, Split(test=0)).subsets.values()) == {"train"}
    weak = roles_of(read_labels(table("video,label\na,run\nb,run\nc,run\n")), Split())
    assert set(weak.subsets.values()) == {"train"}
    assert "no videos are held out: scores need videos with segments" in weak.notes[0]


def test_subsets_of_the_labels_are_kept(table):
    labels = read_labels(
        table("video,start,end,label,split\na,1,2,run,Training\nb,1,2,run,val\nc,1,2,run,\nd,1,,run,val\n")
    )
    found = roles_of(labels, Split())
    assert found.subsets == {"a": "train", "b": "validation", "c": "train", "d": "validation"}
    assert found.roles == {"train": "train", "validation": "validation", "test": "validation"}
    assert found.notes == (
        "1 videos name no subset and are trained on",
        "1 held-out videos lack segments of some class: their truth is not whole",
        "no subset is for testing: the validation videos are scored",
    )
    with pytest.raises(DataError, match="subset 'fold1' is not known; allowed are dev, eval, test"):
        roles_of(read_labels(table("video,label,split\na,run,fold1\n")), Split())


@pytest.mark.parametrize(
    ("changes", "words"), [({"test": 1.0}, "test share is 1.0"), ({"test": 0.6, "validation": 0.5}, "below 1")]
)
def test_shares_that_leave_nothing(changes, words):
    with pytest.raises(UsageError, match=words):
        Split(**changes)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two videos of two seconds, and a file that is none."""
    root = tmp_path_factory.mktemp("set") / "videos"
    for name in ("a", "day1/b"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_mp4(root / f"{name}.mp4", moving_square(50, 32, 48))
    (root / "broken.mp4").write_bytes(b"no video")
    return root


SEGMENTS = "video,start,end,label\na,0.5,1,run\na,1.5,9,run\na,3,4,run\nb.mp4,1.9,,run\nb,2.9,,run\nbroken,1,2,run\n"


def test_labels_are_held_against_their_videos(videos, table):
    found = probed(read_labels(table(SEGMENTS), videos))
    assert found.videos["a"].duration == pytest.approx(2.0, abs=0.1)
    assert found.videos["a"].segments == (
        Segment(0.5, 1, "run", 1.0), Segment(1.5, found.videos["a"].duration, "run", 1.0)
    )  # fmt: skip
    assert found.videos["day1/b"].points == (Point(1.9, "run"),)
    wrong = [(p.where, p.wrong.partition(" (")[0]) for p in found.problems]
    assert wrong == [
        ("a", "a segment of 'run' from 3 s on lies after the end"),
        ("broken", "the video cannot be read"),
        ("day1/b", "a point of 'run' at 2.9 s lies after the end"),
    ]
    assert found.notes == ("1 segments end after their video, and are cut to it",)
    data = open_dataset(videos, labels=found)
    assert data.source._catalog.video_path(data.videos[1]) == videos / "day1" / "b.mp4"
    with pytest.raises(DataError, match="no labels are left: broken: the video cannot be read"):
        probed(read_labels(table("video,label\nbroken,run\n"), videos))


def test_check_says_what_there_is_and_what_was_left_out(videos, table):
    path = table(SEGMENTS + "nobody,1,2,run\n")
    done = CliRunner().invoke(app, ["data", "check", str(videos), "--labels", str(path)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "4 rows were left out:" in said
    assert f"line 8: video 'nobody' is not in {videos}" in said
    assert "broken: the video cannot be read" in said
    done = CliRunner().invoke(app, ["data", "check", str(videos), "--labels", str(path), "--json"])
    document = json.loads(done.stdout)["labels"]
    assert document["classes"] == [
        {"label": "run", "videos": 2, "points": 1, "segments": 2, "seconds": pytest.approx(1.0, abs=0.1),
         "without_times": 0, "groups": 0}
    ]  # fmt: skip
    assert (document["kind"], len(document["left_out"])) == ("mixed", 4)
    done = CliRunner().invoke(app, ["data", "check", str(videos), "--labels", str(table("video,label\nx,run\n"))])
    assert (done.exception.exit_code, type(done.exception)) == (1, DataError)
    done = CliRunner().invoke(app, ["data", "check", str(path), "--labels", str(path)])
    assert isinstance(done.exception, UsageError)
    for missing in ([str(videos), "--labels", "no.csv"], ["no", "--labels", str(path)]):
        assert CliRunner().invoke(app, ["data", "check", *missing]).exception.exit_code == 5
    done = CliRunner().invoke(app, ["data", "check", str(path), "--json"])
    assert json.loads(done.stdout)["labels"]["videos"] == 1


FAST = ["--steps", "2", "--train-options", "batch=4", "--train-options", "pairs=1", "--train-options", "length=8"]


def test_check_says_which_videos_are_held_out_together(videos, table):
    path = table("video,label,person\na,run,anna\nb,run,ben\n")
    done = CliRunner().invoke(app, ["data", "check", str(videos), "--labels", str(path)])
    assert done.exit_code == 0, done.output
    assert "2 groups, each held out as a whole by tal fit: anna, ben" in " ".join(done.output.split())


@pytest.mark.parametrize("method", ["stpn", "lacp"])
def test_a_description_may_name_labels(described, tmp_path, method):
    rows = "".join(f"v{i},1,{3 + i},{'ab'[i % 2]}\n" for i in range(9))
    path = described(f"video,start,end,label\n{rows}v9,,,\n")
    done = CliRunner().invoke(app, ["train", method, "--data", str(path), "-o", str(tmp_path / "c"), *FAST])
    assert done.exit_code == 0, (done.output, done.exception)
    report = json.loads((tmp_path / "c" / "report.json").read_text())
    assert report["history"][-1]["test"]["videos"] == 2
    assert "v9" in report["videos"]
    assert report["data_hash"].startswith("sha256:")
    assert {"tal_engine", "torch", "python"} <= report["versions"].keys()
    assert report["command"][0] == "tal"
    assert report["train"]["steps"] == checkpoint.load(tmp_path / "c").step == 2
    done = CliRunner().invoke(app, ["data", "check", str(path), "--json"])
    assert json.loads(done.stdout)["labels"]["videos"] == 10


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": "vidoe"}, "labels is 'vidoe', must be instances, video, or a file or folder/ of labels"),
        ({"annotations": "gt.json"}, "annotations and labels: labels.csv are both given"),
        ({"features": []}, "needs features, or videos: FOLDER to extract them from"),
        ({"labels": "video"}, "needs annotations: FILE, or labels: FILE"),
        ({"subsets": {"test": "late"}}, "subsets.test is 'late', the labels name none"),
    ],
)
def test_descriptions_of_labels_that_do_not_fit(described, fields, words):
    with pytest.raises(DataError, match=words):
        open_dataset(described("video,label\nv0,run\nv1,run\n", fields))


def test_the_hash_is_of_what_is_learned_from(described):
    data = open_dataset(described(MIXED, split={"test": 0}))
    videos = data.subset("train")
    features = data.features(videos, ["rgb"])
    found = data_hash(videos, features, ["rgb"], None)
    assert found == data_hash(videos, data.features(videos, ["rgb"]), ["rgb"], None)
    assert found != data_hash(videos[1:], features, ["rgb"], None)
    assert found != data_hash(videos, features, ["rgb"], data.points)
    features["v0"].streams["rgb"][3, 2] += 1
    assert found != data_hash(videos, features, ["rgb"], None)


def test_notes_of_rows_that_were_left_out_reach_training(table):
    parts = parts_of(read_labels(table("video,label\na,run\nb,run\n,run\n")))
    assert "1 rows of" in parts.notes[0]
    assert "line 4: names no video" in parts.notes[0]
