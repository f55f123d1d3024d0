"""What waiting buys: each point of the curve is a stream of its own, and the last one is the file."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
import stream_quality

from tal_engine import TALEngine
from tal_engine.diagnostics.latency_curve import latency_curve
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import FeatureError, UsageError
from tal_engine.features import save_features
from tal_engine.inference import suppress
from tal_engine.options import StreamOptions
from tal_engine.records import Features, Segment
from tal_engine.streaming import StreamState
from tal_engine.timeline import Timeline
from tests.integration.test_cli import tal

ALL = float("-inf")


@pytest.fixture(scope="module")
def engine():
    return TALEngine.load(EMBEDDED_PLAN, "cpu", threads=1)


@pytest.fixture(scope="module")
def features(engine):
    rng = np.random.default_rng(0)
    made = {}
    for name, count in (("v", 60), ("w", 31), ("short", 1)):
        streams = {n: rng.normal(0, 1, (count, d)).astype(np.float32) for n, d in engine.plan.manifest.streams.items()}
        made[name] = Features(streams, Timeline(0.0, 0.64, 0.64), 0.64 * count, engine.contract)
    return made


def key(start, end, label, score):
    return label, round(start, 6), round(end, 6), round(score, 5)


def alone(engine, name, features, options):
    """The textbook way: one stream, one window, one look-ahead."""
    state = StreamState(engine.plan.manifest.with_segment(ALL, 0), engine.plan.sha256, name, options)
    told = []
    for i in range(len(features)):
        state.push_row({stream: values[i] for stream, values in features.streams.items()})
        for w in state.windows():
            told += state.finalize(w, suppress(engine.propose(w.features), engine.plan.manifest.nms))
    list(state.flush(features.duration))
    for w in state.windows():
        told += state.finalize(w, suppress(engine.propose(w.features), engine.plan.manifest.nms))
    return [(name, e) for e in told if e.is_final]


def test_each_point_is_a_stream_of_its_own(engine, features):
    windows, look_aheads = (8.0, 20.0), (2.0, 12.0, math.inf)
    points = latency_curve(engine, features, windows, look_aheads, min_score=ALL, top_k=0)
    asked = [(w, x) for w, x in product(windows, look_aheads) if x <= w or math.isinf(x)]
    assert [(p.window_s, p.look_ahead_s) for p in points] == asked
    for p in points:
        options = StreamOptions(window=p.window_s, look_ahead=min(p.look_ahead_s, p.window_s))
        assert p.finals == [row for n, f in features.items() for row in alone(engine, n, f, options)]
        assert p.finals
        assert p.late_events == 0
        assert p.worst_latency_s <= p.declared_latency_s


def test_a_window_and_a_look_ahead_that_cover_the_video_give_the_file(engine, features):
    point = latency_curve(engine, features, [math.inf], [math.inf], min_score=ALL, top_k=0)[0]
    for name, f in features.items():
        found = [key(e.start, e.end, e.label, e.score) for v, e in point.finals if v == name]
        assert sorted(found) == sorted(
            key(s.start, s.end, s.label, s.score) for s in engine.localize(f, min_score=ALL, top_k=0)
        )
    table, decided = point.table(("nothing", *features))
    assert len(table) == len(decided) == len(point.finals)
    assert table.videos[0] == "nothing"
    first = next(e for v, e in point.finals if v == "v")
    truth = {"v": [Segment(first.start, first.end, first.label, 1.0)]}
    assert stream_quality._score(truth, point).hits[-1] == 1


def test_operating_point_and_options_are_the_plans_unless_given(engine, features):
    few = latency_curve(engine, features, [20.0], [4.0], min_score=1.0)[0]
    assert few.finals == []
    long = StreamOptions(min_action=5.0)
    told = latency_curve(engine, features, [20.0], [4.0], options=long, min_score=ALL, top_k=0)[0].finals
    assert told
    assert all(e.end - e.start >= 5.0 - 1e-6 for _, e in told)


@pytest.mark.parametrize(
    ("windows", "look_aheads", "says"),
    [
        ([], [1.0], r"windows is \[\]"),
        ([float("nan")], [1.0], "windows is"),
        ([8.0], [-1.0], "look_aheads is"),
        ([8.0], [9.0], r"windows is \[8.0\], must be 9 s or more"),
        ([1.0], [1.0], "step is 2.0, must be in"),
    ],
)
def test_what_makes_no_sense(engine, features, windows, look_aheads, says):
    with pytest.raises(UsageError, match=says):
        latency_curve(engine, features, windows, look_aheads)


def test_features_of_another_head(engine):
    f = Features({"x": np.zeros((4, 2), np.float32)}, Timeline(0.0, 0.64, 0.64), 2.56, {})
    with pytest.raises(FeatureError, match="the head reads"):
        latency_curve(engine, {"v": f}, [8.0], [2.0])


# -- the command -------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, features, engine):
    files = tmp_path / "features"
    files.mkdir()
    database = {}
    for name, f in features.items():
        save_features(files / f"{name}.npz", f)
        spans = [
            {"segment": [s.start, s.end], "label": s.label}
            for s in list(engine.localize(f, min_score=ALL, top_k=0))[:2]
        ]
        database[name] = {"subset": "test", "duration": f.duration, "annotations": spans}
    database["other"] = {"subset": "train", "duration": 9, "annotations": [{"segment": [0, 1], "label": "squat"}]}
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    return tmp_path


def test_command(folder):
    arguments = ("eval", folder / "gt.json", folder / "features", "--online", "--plan", "demo")
    more = ("--tiou-thresholds", "0.5", "--windows", "8,inf", "--latencies", "2,inf", "--json")
    done = tal(*arguments, *more)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["subset"] == "test"
    rows = told["curve"]
    assert [(r["window_s"], r["look_ahead_s"]) for r in rows] == [
        (8.0, 2.0), (8.0, "window"), ("covering", 2.0), ("covering", "window"),
    ]  # fmt: skip
    assert rows[-1]["map"] == told["offline"]["map"]
    assert told["offline"]["average_map"] > 0.5
    assert all(r["late_events"] == 0 and r["finals"] and r["lateness_s"]["max"] > 0 for r in rows)
    text = tal(*arguments, "--windows", "inf", "--latencies", "inf")
    assert "│   covers │    window │" in text.stdout
    assert "the file" in text.stdout


def test_command_says_what_is_left_out(folder, features):
    save_features(folder / "features" / "other.npz", features["v"])
    save_features(folder / "features" / "strange.npz", features["v"])
    arguments = ("eval", folder / "gt.json", folder / "features", "--online", "--subset", "test", "--windows", "8")
    done = tal(*arguments, "--latencies", "2", "--json")
    assert "2 of 5 files are no videos of subset test and are left out" in done.stderr
    (folder / "features" / "w.npz").unlink()
    done = tal(*arguments, "--latencies", "2", "--json")
    assert "1 videos of subset test have no file: all of their instances count as missed" in done.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--online", "--windows", "long"], "windows is 'long', must be seconds as 30,60,inf"),
        (["--online", "--latencies", "-1"], "latencies is '-1', must be"),
        (["--online", "--recall"], "--recall, --explain and --report take detections"),
        (
            ["--windows", "8"],
            "--plan, --windows, --latencies, --beside and --ray stream videos or features with --online",
        ),
        (["--online", "--subset", "train"], "none of its 3 files is a video of subset train"),
    ],
)
def test_command_refuses(folder, more, says):
    done = tal("eval", folder / "gt.json", folder / "features", *more)
    assert done.returncode == 2
    assert says in done.stderr


def test_two_files_of_one_video(folder, features):
    (folder / "features" / "again").mkdir()
    save_features(folder / "features" / "again" / "v.npz", features["v"])
    done = tal("eval", folder / "gt.json", folder / "features", "--online")
    assert done.returncode == 2
    assert "two files are called 'v'" in done.stderr
