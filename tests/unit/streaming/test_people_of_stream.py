"""Several people of one stream: each has events of its own, within the promise, as if it were alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tal_engine import Event, StreamOptions, StreamScheduler, TALEngine
from tal_engine.errors import DataError, UsageError
from tal_engine.pose.features import DIM, POSE_SNIPPETS
from tal_engine.streaming.people_of_stream import SeenPeople
from tests.makers import tiny_plan
from tests.unit.pose.test_people import FPS, PLACES, engine, frames  # noqa: F401 - fixtures

OPTIONS = StreamOptions(window=4.8, step=0.48, look_ahead=0.96, gap=0.48)
EVERYTHING = {"min_score": -1e9, "top_k": 0, "calibrated": False}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr("tal_engine.inference.seen.LEAST_S", 0.3)  # the second person is there for a second


def told(engine, frames, people, **more):  # noqa: F811
    with engine.open_stream("door", OPTIONS, people=people, **EVERYTHING, **more) as stream:
        events = [e for i, f in enumerate(frames) for e in stream.push(f, i / FPS, wall=1000.0 + i / FPS)]
        events += stream.flush()
        return events, stream.declared_latency_s, stream.state.finalizer


def test_everybody_has_events_and_the_first_those_of_the_main_person(engine, frames):  # noqa: F811
    frames = np.concatenate([frames, np.repeat(frames[-1:], 40, axis=0)])  # pose stays: nothing new after 24 frames
    alone, latency, _ = told(engine, frames, 0)
    events, promised, finals = told(engine, frames, 3)
    assert promised == latency
    assert {e.subject for e in events} == {0, 1}  # a third is there for two pictures
    assert {e.subject for e in alone} == {None}
    mine = [(e.label, e.start, e.end, round(e.score, 5), e.decided_at, e.wall_time) for e in events if e.subject == 0]
    assert mine == [(e.label, e.start, e.end, round(e.score, 5), e.decided_at, e.wall_time) for e in alone]
    assert len({e.id for e in events}) == len(events)
    assert {e.source for e in events} == {"door"}
    second = [e for e in events if e.subject == 1]
    assert all(0.0 <= e.start < e.end < 2.5 for e in second)  # it is there from .5 to 1.5 s
    assert min(e.start for e in second) >= 0.47  # its clock is the stream's
    assert all(e.decided_at - e.end <= promised + 1e-6 for e in events)
    assert (finals.late_events, finals.worst_latency_s > 0) == (0, True)
    assert Event.from_json(second[0].to_json()) == second[0]
    assert '"subject": 1' in second[0].to_json()
    assert (second[0].title, alone[0].title) == (f"{second[0].label} #1", alone[0].label)
    assert "subject" not in alone[0].to_json()


def test_a_cut_lets_everybody_go_and_numbers_go_on(engine, frames):  # noqa: F811
    with engine.open_stream("door", OPTIONS, people=2, **EVERYTHING) as stream:
        before = [e for i, f in enumerate(frames) for e in stream.push(f, i / FPS)] + stream.flush()
        again = [e for i, f in enumerate(frames) for e in stream.push(f, 100 + i / FPS)] + stream.flush()
    ends = [(e.label, e.subject, round(e.start, 6)) for e in before]
    assert [(e.label, e.subject, round(e.start - 100, 6)) for e in again] == ends
    assert not {e.id for e in before} & {e.id for e in again}


def test_a_folder_of_pictures_is_watched_for_several_people(engine, frames, tmp_path):  # noqa: F811
    for i, frame in enumerate(np.repeat(frames, 2, axis=0)):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), frame)
    with engine.watch(str(tmp_path), OPTIONS, people=2, **EVERYTHING) as events:
        found = list(events)
    assert {e.subject for e in found} == {0, 1}
    with pytest.raises(UsageError, match="people is 2, must be 0 where states are saved"):
        StreamScheduler(engine, [str(tmp_path)], people=2, snapshots=tmp_path / "state")


def test_what_cannot_be_told_apart_is_refused(engine, frames, tmp_path):  # noqa: F811
    with pytest.raises(UsageError, match="plan tiny reads no poses"):
        TALEngine(tiny_plan(), "cpu").open_stream("door", people=2)
    with pytest.raises(UsageError, match=r"people is 17, must be in 1\.\.16"):
        engine.open_stream("door", people=17)
    with engine.open_stream("door", people=2) as stream:
        with pytest.raises(UsageError, match="tells people apart"):
            stream.push_features({"pose": np.zeros(DIM, np.float32)})
        stream.push(frames[0], 0.0)
        with pytest.raises(UsageError, match="is not saved"):
            stream.snapshot(tmp_path / "s.npz")
        assert stream.push(frames[1], 1 / FPS) == []  # it goes on
    with pytest.raises(DataError, match="subject is -1"):
        Event(
            kind="started", id="1", source="d", label="x", label_id=0, score=0.9, start=1.5, end=None, decided_at=2.0,
            pts=2.0, wall_time=None, plan="sha256:" + 64 * "0", subject=-1,
        )  # fmt: skip


def test_who_is_seen_in_a_part_of_a_snippet_has_features():
    seen = SeenPeople(POSE_SNIPPETS, 2)
    pose = np.ones((15, 4), np.float32) * np.arange(1, 16)[:, None] / 15
    for slot in range(12):
        seen.add(slot, [], {7: pose} if slot in (5, 6, 7) else {})
    assert [sorted(seen.rows(n)) for n in (0, 1, 2)] == [[7], [7], []]
    assert seen.rows(0)[7][-1] == pytest.approx(1 / 6)
    assert seen.rows(1)[7][-1] == pytest.approx(2 / 6)
    assert PLACES[0].shape == (3, 2)
