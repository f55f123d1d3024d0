"""The plans that ship: the drawn figure's, and that for people, which does what README shows."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.annotations import read_annotations
from tal_engine.demo.demo_set import annotation, script_of, write_annotations, write_video
from tal_engine.demo.render import render
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.metrics import evaluate
from tests.integration.test_cli import tal

#: Of each video: enough for a few actions, and a minute less to draw and to read than all of it.
SECONDS = 30


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The first seconds of three videos that no training run has seen: another seed, split, bodies and scenes."""
    folder = tmp_path_factory.mktemp("held_out")
    entries = {}
    for script in (script_of("test", 77, i) for i in range(3)):
        write_video(folder / "videos" / f"{script.name}.mp4", islice(render(script), 25 * SECONDS), 25)
        entry = annotation(script, "test", 77)
        begun = [a for a in entry["annotations"] if a["segment"][1] <= SECONDS]
        entries[script.name] = {**entry, "duration": SECONDS, "annotations": begun}
    write_annotations(folder / "annotations.json", entries)
    return folder


def test_it_finds_actions_in_videos_it_never_saw(data):
    engine = TALEngine.load("demo", "cpu")
    truth = {v.name: list(v.instances) for v in read_annotations(data / "annotations.json")}
    found = {name: list(engine.localize(data / "videos" / f"{name}.mp4", min_score=-np.inf, top_k=0)) for name in truth}
    score = evaluate(truth, found, tious=(0.3, 0.5))
    # A floor far under the benchmark's figure: it catches a wrong plan or runtime, not noise.
    assert score.at(0.3) > 0.4
    assert score.at(0.5) > 0.3


def test_default_segments_are_few_and_in_the_video(data):
    engine = TALEngine.load("demo", "cpu")
    result = engine.localize(data / "videos" / "test_00000.mp4")
    assert 1 <= len(result) <= 60
    for segment in result:
        assert 0 <= segment.start < segment.end <= result.info.duration
        assert segment.label in engine.plan.vocabulary
        assert 1 >= segment.score >= engine.plan.manifest.thresholds.classes[segment.label]
    assert result.info.calibrated
    assert result.info.domain > engine.plan.manifest.domain.warn_below
    assert result.info.warnings == []


def test_it_passed_the_gate_and_says_where_it_comes_from():
    plan = TALEngine.load("demo", "cpu").plan
    log = json.loads(EMBEDDED_PLAN.with_suffix(".json").read_text())
    assert log["plan_sha256"] == plan.sha256
    assert plan.manifest.parity
    assert "demonstration" in plan.manifest.description
    steps = {s["what"]: s for s in log["steps"]}
    assert steps["trained pvlr"]["config"] == plan.manifest.method.config
    assert steps["exported"]["parity"] == plan.manifest.parity
    (least,) = {round(v, 9) for v in plan.manifest.thresholds.classes.values()}  # the operating point, calibrated
    known = plan.manifest.calibration.classes["jog"](np.array([round(steps["exported"]["min_score"], 4)]))
    assert least == pytest.approx(float(known[0]), abs=1e-6)
    fitted = steps["calibrated scores and fitted the domain"]
    assert plan.manifest.calibration.ece == fitted["calibration"]["ece"] < 0.05
    assert len(plan.files[plan.manifest.domain.member]) == fitted["domain"]["bytes"] < 300_000
    assert EMBEDDED_PLAN.stat().st_size < 8e6


def test_the_demo_prints_found_beside_true(tmp_path):
    done = tal("demo", "run", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "true instance" in done.stdout
    assert "tIoU" in done.stdout
    document = json.loads((tmp_path / "out" / "segments.json").read_text())
    assert document["external_data"]["plan_name"] == ["demo"]
    truth = json.loads((tmp_path / "out" / "demo" / "annotations.json").read_text())
    found = {(round(s["segment"][0]), s["label"]) for s in document["results"]["test_00000"]}
    true = [(s["segment"], s["label"]) for s in truth["database"]["test_00000"]["annotations"]]
    hits = [any(label == name and abs(at - s) <= 2 for at, label in found) for (s, _), name in true]
    assert sum(hits) >= len(hits) / 2, (found, true)
    assert (tmp_path / "out" / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "annotated.mp4").stat().st_size > 100_000


def test_the_demo_shows_a_real_video_beside_it_and_keeps_what_is_there(shared, tmp_path):
    clip = shared / "videos" / "v_GGSY1Qvo990.mp4"
    done = tal("demo", "run", "-o", "out", "--video", clip, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no --plan given: the plan for people" in done.stderr
    for name, plan in (("segments", "demo"), (f"{clip.stem}-segments", "people")):
        document = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert document["external_data"]["plan_name"] == [plan]
        assert any(document["results"].values())  # an empty table shows nobody anything
    again = tal("demo", "run", "-o", "out", cwd=tmp_path)
    assert again.returncode != 0
    assert "--overwrite" in again.stderr


def test_the_drawn_figure_s_plan_is_called_by_name(data, tmp_path):
    words = ("-o", tmp_path / "o.json", "--plot", tmp_path / "t.png", "--plan", "demo")
    done = tal("localize", data / "videos" / "test_00001.mp4", *words)
    assert done.returncode == 0, done.stderr
    assert "no --plan given" not in done.stderr
    assert json.loads((tmp_path / "o.json").read_text())["external_data"]["plan_name"] == ["demo"]
    assert (tmp_path / "t.png").stat().st_size > 10_000


def test_real_videos_decode_localize_and_plot(shared, tmp_path):
    engine = TALEngine.load("demo", "cpu")
    for path in sorted((shared / "videos").glob("*.mp4")):
        result = engine.localize(path)
        assert result.info.duration > 5
        # One of the clips has pixels that are not square, which is told and no fault.
        (told,) = (w for w in result.info.warnings if not w.startswith("pixels are"))
        assert "unlike anything that plan demo was trained on" in told
        assert result.info.out_of_domain
        result.plot(tmp_path / "t.png")


def test_the_plan_for_people_names_nothing_false_in_real_videos(shared):
    """Of the clips only the lifter does what the plan knows: she bends, lunges, stands up; nobody is a jumping jack."""
    engine = TALEngine.load(device="cpu")
    lifter = engine.localize(shared / "videos" / "v_GGSY1Qvo990.mp4")
    assert {s.label for s in lifter} <= {"bend", "lunge", "squat", "stand up"}
    assert not any("no person was found" in w for w in lifter.info.warnings)
    assert "jumping jack" not in {s.label for s in engine.localize(shared / "videos" / "v_ZNVhz7ctTq0.mp4")}


def test_the_command_says_that_a_real_video_is_unlike_what_it_was_trained_on(shared, tmp_path):
    out = tmp_path / "o.json"
    done = tal(
        "localize", shared / "videos" / "demo.mp4", "-o", out, "--save-video", tmp_path / "v.mp4", "--plan", "demo"
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "unlike anything that plan demo was trained on" in said
    assert "tal fit" in said
    external = json.loads(out.read_text())["external_data"]
    assert external["domain"]["demo"] < 0.01
    assert any("tal fit" in w for w in external["warnings"]["demo"])
