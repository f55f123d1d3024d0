"""Files that users keep from earlier versions are read, and mean what they meant; see make.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.annotations import read_detections
from tal_engine.annotations.finals import read_finals
from tal_engine.events import Event
from tal_engine.features import load_features
from tests.golden.make import COUNT, CUT, FPS, STREAM, drawn, frames, pushed

FOLDER = Path(__file__).parent / "v0_1"


@pytest.fixture(scope="module")
def engine():
    return TALEngine.load(FOLDER / "tiny.plan", device="cpu", threads=1)


def rows(document):
    """(label, start, end, score) of the only video of an ActivityNet document."""
    (found,) = document["results"].values()
    return [(r["label"], *r["segment"], r["score"]) for r in found]


def assert_alike(found, kept):
    """The same segments in the same order; numbers to the digits that are stored."""
    assert len(found) == len(kept) > 10
    assert [r[0] for r in found] == [r[0] for r in kept]
    np.testing.assert_allclose([r[1:] for r in found], [r[1:] for r in kept], atol=2e-5)


def stored(name):
    return json.loads((FOLDER / name).read_text())


def events(name):
    found = [Event.from_json(line) for line in (FOLDER / name).read_text().splitlines()]
    return [(e.kind, e.label, e.start, e.end, e.score) for e in found]


def values(found):
    return [(e.kind, e.label, e.start, e.end, e.score) for e in found]


def assert_same_events(found, kept):
    assert len(found) == len(kept) > 10
    assert [e[:2] for e in found] == [e[:2] for e in kept]
    np.testing.assert_allclose([e[2:] for e in found], [e[2:] for e in kept], atol=2e-5)


def test_a_plan(engine):
    assert_alike(rows(engine.localize(frames(), fps=FPS).to_activitynet()), rows(stored("segments.json")))


def test_segments(engine, tmp_path):
    """JSON Lines of 0.1 (tal.segment/1) and those of today hold the same detections."""
    kept = read_detections(FOLDER / "segments.jsonl")
    engine.localize(frames(), fps=FPS).to_jsonl(tmp_path / "now.jsonl")
    line = json.loads((tmp_path / "now.jsonl").read_text().splitlines()[0])
    assert line["schema"] == "tal.segment/2"
    assert {"start", "end", "label_id"} < line.keys()
    found = read_detections(tmp_path / "now.jsonl")
    assert (found.videos, found.labels) == (kept.videos, kept.labels)
    for name in ("start", "end", "score"):
        np.testing.assert_allclose(getattr(found, name), getattr(kept, name), atol=2e-5)
    assert len(kept) == len(rows(stored("segments.json")))


def test_features(engine):
    found = engine.localize(load_features(FOLDER / "features.npz"))
    assert_alike(rows(found.to_activitynet()), rows(stored("segments.json")))


def test_a_snapshot(engine):
    stream = engine.open_stream("golden", STREAM)
    stream.restore(FOLDER / "snapshot.npz")
    found = [*pushed(stream, frames()[CUT:], CUT), *stream.flush(COUNT / FPS)]
    assert_same_events(values(found), events("events_after.jsonl"))


def test_events(engine):
    found = values(pushed(engine.open_stream("golden", STREAM), frames()[:CUT], 0))
    assert_same_events(found, events("events_before.jsonl"))
    table, _ = read_finals(FOLDER / "events_after.jsonl")
    assert len(table) == len([e for e in events("events_after.jsonl") if e[0] == "final"])


def test_a_checkpoint_and_its_plan(tmp_path):
    from tal_engine.export import bundle
    from tal_engine.lab.training import checkpoint

    plan = bundle.make_plan(checkpoint.load(FOLDER / "checkpoint"), None, name="golden")
    bundle.write_plan(tmp_path / "c.plan", plan)
    for path in (tmp_path / "c.plan", FOLDER / "cola.plan"):
        found = TALEngine.load(path, device="cpu", threads=1).localize(drawn())
        assert_alike(rows(found.to_activitynet()), rows(stored("cola.json")))


def test_training_goes_on(tmp_path):

    from tests.learning import run_fit

    shutil.copytree(FOLDER / "checkpoint", tmp_path / "c")
    run_fit(tmp_path / "c", None, method="cola", resume=True)  # it was at its last step: nothing is left to do
    kept, found = (json.loads((f / "checkpoint.json").read_text()) for f in (FOLDER / "checkpoint", tmp_path / "c"))
    assert (found["step"], found["sha256"]) == (kept["step"], kept["sha256"])


def test_a_plan_of_spec_4_with_calibrated_scores_and_a_domain():
    from tests.golden.make_spec_4 import drawn as features

    folder = FOLDER.parent / "spec_4"
    found = TALEngine.load(folder / "calibrated.plan", device="cpu", threads=1).localize(features(99)).to_activitynet()
    kept = json.loads((folder / "calibrated.json").read_text())
    assert_alike(rows(found), rows(kept))
    found, kept = found["external_data"], kept["external_data"]
    assert found["plan"] == kept["plan"]
    assert found["domain"] == pytest.approx(kept["domain"], abs=1e-3)
