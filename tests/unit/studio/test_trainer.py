"""The trainer: what heads learn from, what they find, weights that they begin with; its process; its plan."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the studio needs [serve]")
pytest.importorskip("httpx", reason="the studio needs [serve]")
pytest.importorskip("torch", reason="training needs [train]")

import httpx

from tal_engine import TALEngine
from tal_engine.errors import FitError
from tal_engine.features import save_features
from tal_engine.lab.fitting.outcomes import Outcomes, average_precision
from tal_engine.lab.studio.exporting import export
from tal_engine.lab.studio.heads import course_of, learned_from
from tal_engine.lab.studio.lessons import AROUND_S, lessons_of
from tal_engine.lab.studio.measuring import figures
from tal_engine.lab.studio.run import train
from tal_engine.lab.studio.telling import Telling
from tal_engine.records import Features
from tal_engine.studio.labels import Label
from tal_engine.studio.order import FEATURES, HEADS, RESULT, Order, OrderedVideo, read_json, read_order, write_order
from tal_engine.studio.training import Trainer
from tal_engine.timeline import Timeline
from tests.studios import asked, edit, point, studio, videos
from tests.studying import studying
from tests.waiting import LONG_S, until, within

CLASSES = ("run", "sit")
STEP_S, COUNT, WIDTH = 0.5, 60, 48


def features(seed, actions):
    """Noise about a direction of its own for each class, and one for where nothing happens."""
    rng = np.random.default_rng(seed)
    ways = 2 * np.linalg.qr(np.random.default_rng(99).normal(size=(WIDTH, 3)))[0].T
    x = rng.normal(0, 0.3, (COUNT, WIDTH)) + ways[2]
    for start, end, label in actions:
        x[int(start / STEP_S) : int(end / STEP_S)] += ways[CLASSES.index(label)] - ways[2]
    return Features({"rgb": x.astype(np.float32)}, Timeline(0.0, STEP_S, STEP_S), COUNT * STEP_S)


def order(folder, *, clicks=True, held=2):
    """Six videos with an action of each class; the last ones are held out, with their truth."""
    made = []
    for k in range(6):
        actions = [(2.0 + k, 6.0 + k, "run"), (16.0 + k, 21.0 + k, "sit")]
        save_features(folder / FEATURES / "tiny" / f"v{k}.npz", features(k, actions))
        out = k >= 6 - held
        labels = [
            Label(f"v{k}-{c}", f"v{k}", "segment" if out else "point", s if out else s + 1.5, e if out else s + 1.5, c)
            for s, e, c in actions
        ]
        kept = tuple(labels) if clicks else ()
        made.append(OrderedVideo(f"v{k}", f"v{k}.mp4", f"/nowhere/v{k}.mp4", 30.0, out, True, (), kept))
    return Order(1, CLASSES, tuple(made), encoders="tiny", steps=60)


def test_a_training_finds_actions_and_the_next_one_begins_where_it_ended(tmp_path, capsys):
    wanted = order(tmp_path)
    first = train(tmp_path, wanted, Telling())
    assert (first["head"], first["labels"], first["measures"]["measure"]) == ("lacp", 8, "mAP@0.5")
    assert first["measures"]["mAP"] > 0.6
    assert first["measures"]["low"] <= first["measures"]["mAP"] <= first["measures"]["high"]
    found = read_json(tmp_path / RESULT, "result")
    best = max((s for s in found["videos"]["v0"]["segments"] if s[2] == "run"), key=lambda s: s[3])
    assert best[0] < 4.0 < best[1]
    curves = np.array(found["videos"]["v0"]["curves"])
    assert curves.shape == (3, COUNT)
    assert curves[0, 5:11].mean() > curves[0, 20:30].mean() + 0.3
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert list(dict.fromkeys(states)) == ["features", "training", "measuring"]
    again = train(tmp_path, replace(wanted, revision=2), Telling())
    assert json.loads((tmp_path / HEADS / "0" / "checkpoint.json").read_text())["step"] == 24
    assert again["measures"]["mAP"] > 0.6
    assert learned_from(tmp_path) == {"v0", "v1", "v2", "v3"}
    # A video that heads have learned from is held out from now on: they begin from nothing.
    other = tuple(replace(v, held_out=v.id in ("v0", "v5")) for v in wanted.videos)
    train(tmp_path, replace(wanted, videos=other), Telling())
    assert json.loads((tmp_path / HEADS / "0" / "checkpoint.json").read_text())["step"] == 60
    leaked = tuple(replace(v, held_out=v.id in ("v1", "v5")) for v in wanted.videos)
    with pytest.raises(FitError, match=r"v1.mp4 is held out now, and the head has learned from it"):
        export(tmp_path, replace(wanted, videos=leaked), tmp_path / "a.plan", Telling())
    before = (tmp_path / RESULT).read_bytes()
    with pytest.raises(FitError, match="no labels to learn from"):
        train(tmp_path, order(tmp_path, clicks=False), Telling())
    assert (tmp_path / RESULT).read_bytes() == before


def test_of_a_video_that_is_not_finished_only_what_lies_around_its_labels_is_learned():
    marks = (Label("a", "v", "point", 10.0, 10.0, "run"), Label("b", "v", "nothing", 25.0, 28.0, ""))
    video = OrderedVideo("v", "v.mp4", "", 30.0, False, False, (), marks)
    made = {"v": features(0, [])}
    lessons = lessons_of([video, replace(video, id="w", held_out=True)], made | {"w": made["v"]})
    around, nothing = lessons.videos
    assert (around.background, nothing.background) == (False, True)
    assert len(lessons.features[around.name]) == round(2 * AROUND_S / STEP_S)
    assert around.points[0].seconds == pytest.approx(AROUND_S)
    np.testing.assert_array_equal(lessons.features[nothing.name].streams["rgb"], made["v"].streams["rgb"][50:56])
    whole = lessons_of([replace(video, done=True)], made).videos[0]
    assert [p.seconds for p in whole.points] == [10.0]


@pytest.mark.parametrize(("segments", "head"), [(9, "lacp"), (10, "actionformer")])
def test_few_segments_are_learned_as_points(segments, head):
    def marks(k):
        return tuple(Label(f"{c}{k}", f"v{k}", "segment", s, s + 3.0, c) for s, c in ((2.0, "run"), (16.0, "sit")))

    done = [OrderedVideo(f"v{k}", f"v{k}.mp4", "", 30.0, False, True, (), marks(k)) for k in range(segments)]
    lessons = lessons_of(done, {v.id: features(k, []) for k, v in enumerate(done)})
    assert course_of(Order(1, CLASSES, tuple(done)), lessons, {}).rule.head == head


def test_figures_of_videos_that_count_twice_are_those_of_videos_that_are_there_twice(rng):
    n = 40
    o = Outcomes(rng.uniform(size=n), rng.uniform(size=n) < 0.5, rng.integers(0, 2, n), rng.integers(0, 3, n),
                 np.array([[5, 4, 6], [3, 7, 2]]), np.array([1.0, 0.5, 2.0]))  # fmt: skip
    passing, weights = o.score > 0.6, np.array([2, 0, 1])
    rows = np.concatenate([np.flatnonzero(o.video == v) for v in (0, 0, 2)])
    mine = [rows[o.label[rows] == c] for c in (0, 1)]
    ap = [average_precision(o.score[m], o.right[m], int(p)) for m, p in zip(mine, (16, 8), strict=True)]
    alarms = int((passing & ~o.right)[rows].sum()) / 4.0
    assert figures(o, passing, weights) == pytest.approx((np.mean(ap), alarms))


def test_an_order_is_read_as_it_was_written(tmp_path):
    wanted = order(tmp_path)
    odd = replace(wanted.videos[0], path="/v/bad\udcff 100%.mp4")  # a file's name that is not Unicode
    wanted = replace(wanted, videos=(odd, *wanted.videos[1:]))
    write_order(tmp_path, wanted)
    assert read_order(tmp_path) == wanted
    with pytest.raises(FileNotFoundError):
        write_order(tmp_path / "removed", wanted)
    assert not (tmp_path / "removed").exists()


def test_a_trainer_that_is_killed_begins_again_and_one_that_fails_says_why(tmp_path, monkeypatch):
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4")
    one = studio(folder, encoders="tiny")
    script = tmp_path / "fake.py"
    monkeypatch.setattr("tal_engine.studio.training._COMMAND", [sys.executable, str(script)])
    counter = tmp_path / "runs"
    script.write_text(
        f"import os, signal, sys\nopen({str(counter)!r}, 'a').write('x')\n"
        f"n = len(open({str(counter)!r}).read())\n"
        'print(\'{"state": "training", "step": 1, "steps": 2, "left_s": 1.0}\', flush=True)\n'
        "if n == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        'if n == 2: print(\'{"state": "failed", "detail": "nothing to learn"}\'); sys.exit(1)\n'
        "if n == 3: sys.stdin.read()\n"
    )
    trainer: Trainer = one.trainer
    trainer.begin()
    trainer.start()
    until(lambda: trainer.progress.state == "failed")
    assert (trainer.progress.detail, counter.read_text()) == ("nothing to learn", "xx")
    trainer.start()
    until(lambda: trainer.progress.state == "training" and counter.read_text() == "xxx")
    trainer.stop()
    until(lambda: trainer.progress.state == "idle")
    assert not trainer.document["auto"]
    within(one.close)


def test_an_export_waits_for_a_training_that_is_due(tmp_path, monkeypatch):
    one = studio(videos(tmp_path / "v", "a.mp4"), encoders="tiny", auto_train=True, settle_seconds=1e6)
    script, runs = tmp_path / "fake.py", tmp_path / "runs"
    monkeypatch.setattr("tal_engine.studio.training._COMMAND", [sys.executable, str(script)])
    script.write_text(
        f"import sys\nopen({str(runs)!r}, 'a').write(' '.join(sys.argv[3:4]) + ';')\nprint('{{\"state\": \"done\"}}')"
    )
    one.trainer.begin()
    one.trainer.edited()
    within(lambda: one.trainer.call("--export", "a.plan"))
    within(lambda: one.trainer.call("--export", "b.plan"))
    assert runs.read_text() == "--features;;--export;--export;"
    within(one.close)


def test_videos_that_come_get_features_and_are_learned_from_where_there_are_labels(tmp_path, monkeypatch):
    one = studio(videos(tmp_path / "v", "a.mp4"), encoders="tiny", auto_train=True, settle_seconds=0.0)
    script, runs = tmp_path / "fake.py", tmp_path / "runs"
    monkeypatch.setattr("tal_engine.studio.training._COMMAND", [sys.executable, str(script)])
    script.write_text(
        f"import sys\nopen({str(runs)!r}, 'a').write(' '.join(sys.argv[3:4]) + ';')\nprint('{{\"state\": \"done\"}}')"
    )
    runs.touch()
    one.trainer.begin()
    for learns, done in ((False, "--features;--features;"), (True, "--features;--features;;")):
        until(lambda: runs.read_text().endswith("--features;") and one.trainer.progress.state == "idle")
        one.trainer.came(learns)
        until(lambda done=done: runs.read_text() == done)
    within(one.close)


def test_an_export_says_why_there_is_no_plan_and_ends_with_the_studio(tmp_path, monkeypatch, caplog):
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4")
    script = tmp_path / "fake.py"
    monkeypatch.setattr("tal_engine.studio.training._COMMAND", [sys.executable, str(script)])
    script.write_text('print(\'{"state": "failed", "detail": "no head was trained yet: train first"}\')')
    with studying(folder, encoders="tiny") as one:
        headers = {"Authorization": f"Bearer {one.studio.options.token}"}

        def export(name):
            return httpx.post(f"{one.base}/api/export", json={"output": name}, headers=headers, timeout=LONG_S)

        refused = export("a")
        assert (refused.status_code, refused.json()["detail"]) == (409, "no head was trained yet: train first")
        script.write_text('import sys\nprint(\'{"state": "exporting"}\', flush=True)\nsys.stdin.read()')
        with ThreadPoolExecutor() as pool:
            waits = pool.submit(export, "b")
            until(lambda: one.studio.trainer.progress.state == "exporting")
            one.studio.trainer.stop()
            assert (waits.result().status_code, waits.result().json()["detail"]) == (409, "it was stopped")
            waits = pool.submit(export, "b")
            until(lambda: one.studio.trainer.progress.state == "exporting")
            one.stop()
            assert (waits.result().status_code, waits.result().json()["detail"]) == (503, "the studio ends")
    assert not [r for r in caplog.records if r.exc_info]


def test_from_a_click_to_a_plan_that_works(tmp_path):
    """The real encoders, the real process: features, training, the plan."""
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4", "d.mp4", frames=80)
    one = studio(folder, encoders="tiny", steps=3, heads=1, classes=("run",))

    async def talk(c):
        free = [v for v in one.library.videos if v not in one.project.state.held_out]
        for k, video in enumerate(free):
            sent = await c.post("/api/edits", json=edit(video, f"edit-000{k}", ("add", point(f"x{k}", 1.5), 0)))
            assert sent.status_code == 200
        assert (await c.post("/api/training", json={"action": "start"})).status_code == 202
        until(lambda: one.findings.revision == one.project.state.revision or one.trainer.progress.state == "failed")
        assert one.trainer.progress.detail == ""
        assert (await c.put("/api/thresholds", json={"run": 0.7})).status_code == 200
        made = await c.post("/api/export", json={"output": "mine"})
        assert (made.status_code, made.json()["classes"]) == (201, ["run"])
        assert (await c.post("/api/export", json={"output": "mine"})).status_code == 409
        streams = await c.post("/api/streams", json={"source": "nowhere.mp4"})
        assert (streams.status_code, "must be a video of the project" in streams.json()["detail"]) == (422, True)
        assert (await c.get("/label-studio/health")).json()["plan"] == "mine"
        return made.json()["path"]

    plan = asked(one, talk)
    with TALEngine.load(plan) as engine:
        assert list(engine.localize(folder / "a.mp4").vocabulary) == ["run"]
        assert engine.plan.manifest.thresholds.classes == {"run": 0.7}  # as people set it, without calibration too
