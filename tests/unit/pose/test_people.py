"""Several people of one video: each with features, segments and a colour of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.batch.record import _row
from tal_engine.errors import UsageError
from tal_engine.outputs.render import overlay
from tal_engine.outputs.writers import activitynet, csv_table, jsonl, subtitles
from tal_engine.pose.features import DIM, POSE_SNIPPETS
from tal_engine.pose.follow import FollowedPoses, notes_of
from tal_engine.pose.people import FoundPeople
from tests.makers import tiny_plan
from tests.unit.pose.test_pose_encoder import pose_plan
from tests.unit.pose.test_tracking import Stage

FPS, COUNT = 12.5, 24
#: The second person is there for the middle half, a third for two pictures.
PLACES = [np.array([[100.0 + 2 * i, 110.0], [400.0, 120.0], [550.0, 100.0]]) for i in range(COUNT)]


class Timed(Stage):
    """A stage whose people come and go with the pictures, which tell their number."""

    def detect(self, image, *, closely=False):
        self.places = there(int(image[0, 0, 0]))
        return super().detect(image, closely=closely)

    def locate(self, image, regions):
        self.places = there(int(image[0, 0, 0]))
        return super().locate(image, regions)

    def _in(self, region):
        found = super()._in(region)
        near = min(np.hypot(*(p - (region.x, region.y))) for p in self.places)
        return found if near < 60 else replace(found, presence=0.0)


def there(number: int) -> np.ndarray:
    who = [True, 6 <= number < 18, 10 <= number < 12]
    return PLACES[min(number, COUNT - 1)][who]


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack([np.full((240, 640, 3), i, np.uint8) for i in range(COUNT)])


@pytest.fixture(scope="module")
def engine() -> TALEngine:
    made = TALEngine(pose_plan(), "cpu")
    poses = made._stages.poses
    stage = Timed(PLACES[0])
    made._stages.encoders[:] = [replace(poses, estimator=stage)]
    made._stages.poses = made._stages.encoders[0]
    return made


def test_each_person_has_features_of_its_own(frames):
    found = FoundPeople(POSE_SNIPPETS, 3)
    followed = FollowedPoses(POSE_SNIPPETS, found=found)
    main = [followed(Timed(PLACES[0]), frames[6 * n : 6 * n + 6], n) for n in range(4)]
    alone = FollowedPoses(POSE_SNIPPETS)
    wanted = [alone(Timed(PLACES[0]), frames[6 * n : 6 * n + 6], n) for n in range(4)]
    np.testing.assert_array_equal(main, wanted)  # the main person is followed as if it were alone
    assert found.subjects == [0, 1]  # who is seen for less than half a second is nobody
    first, second = (found.features(s, 4) for s in (0, 1))
    assert (first[:, -1] == 1).all()
    assert second[0, -1] == 0 < second[1, -1] < second[2, -1] == 1  # newcomers are looked for four times a second
    assert not second[3].any()
    assert [p.subject for p in found(frames[0], 8 / FPS)] == [0, 1]
    assert [p.subject for p in found(frames[0], -1.0)] == []
    assert first.shape == (4, DIM)


def test_segments_say_whose_they_are_in_every_form(engine, frames, tmp_path, monkeypatch):
    monkeypatch.setattr("tal_engine.inference.seen.LEAST_S", 0.5)  # the video is short
    result = engine.localize(frames, fps=FPS, people=3)
    assert {s.subject for s in result} == {0, 1}
    assert [s.score for s in result] == sorted((s.score for s in result), reverse=True)
    assert len(engine.localize(frames, fps=FPS, people=3, top_k=1)) == 1
    best = result[0]
    assert best.title == f"{best.label} #{best.subject}"
    assert result.to_dict()["segments"][0]["subject"] == best.subject
    assert csv_table.text([result]).splitlines()[0] == "video,label,start,end,score,domain,subject"
    assert all('"subject": ' in line for line in jsonl.lines(result))
    assert all("subject" in row for row in next(iter(activitynet.document([result])["results"].values())))
    assert f"{best.label} #{best.subject} (" in subtitles.text(result, "srt")
    overlay.write(tmp_path / "a.mp4", result, ((i / FPS, f) for i, f in enumerate(frames)), FPS, result.people)
    assert (tmp_path / "a.mp4").stat().st_size > 0
    plain = engine.localize(frames, fps=FPS)
    assert {s.subject for s in plain} == {None}
    assert plain.people is None
    kept = engine.localize(frames, fps=FPS, keep_people=True)  # for annotated videos: no one is looked for again
    assert kept == plain
    assert [[p.subject for p in kept.people(frames[0], t)] for t in (0.5, 1.0)] == [[0], [0]]
    assert "subject" not in plain.to_dict()["segments"][0]
    assert csv_table.text([plain]).splitlines()[0] == "video,label,start,end,score,domain"
    assert "up to 2 people are in the picture, the largest is followed" in " ".join(plain.info.warnings)
    assert not any("people are in the picture" in w for w in result.info.warnings)
    mine = [s for s in result if s.subject == 0]
    assert [replace(s, subject=None) for s in mine] == list(plain)


def test_people_are_for_videos_and_plans_of_poses(engine, frames):
    with pytest.raises(UsageError, match="plan tiny reads no poses"):
        TALEngine(tiny_plan(), "cpu").localize(frames, fps=FPS, people=2)
    with pytest.raises(UsageError, match="was given for features"):
        engine.localize({"pose": np.zeros((3, DIM), np.float32)}, people=2)
    with pytest.raises(UsageError, match=r"people is 17, must be in 1\.\.16"):
        engine.localize(frames, fps=FPS, people=17)


def test_records_of_batches_keep_the_person_and_read_those_without():
    assert _row(1, 2, "run", 0.5, 3) == (1.0, 2.0, "run", 0.5, 3)
    assert _row(1, 2, "run", 0.5) == (1.0, 2.0, "run", 0.5, None)


@pytest.mark.parametrize(("step", "moves"), [(0.0, False), (0.4, True)])
def test_a_picture_of_a_person_is_told_from_one_who_moves(step, moves):
    rng, followed = np.random.default_rng(0), FollowedPoses(POSE_SNIPPETS)
    stage = Stage(np.zeros((0, 2)))
    for n in range(9):
        frames = rng.integers(0, 20, (6, 240, 640, 3), dtype=np.uint8)  # frames differ by their noise
        stage.places = np.array([[200.0 + step * n * 6 + rng.normal(0, 0.3), 120.0]])
        followed(stage, frames, n)
    assert followed.counts.pictures == 54
    said = any("does not move" in note for note in notes_of(followed.counts, "pose"))
    assert said == (not moves)


def test_a_stream_goes_on_from_a_snapshot(engine, frames, tmp_path):
    with engine.open_stream("s") as stream:
        before = [e for i, f in enumerate(frames[:15]) for e in stream.push(f, i / FPS)]
        stream.snapshot(tmp_path / "s.npz")
    with engine.open_stream("s") as again:
        again.restore(tmp_path / "s.npz")
        after = [e for i, f in enumerate(frames[15:], 15) for e in again.push(f, i / FPS)] + again.flush()
        assert not again.failed
        assert not any("no person" in note for note in again.state.notes)  # it finds its people anew
    whole = [e for e in (*before, *after) if e.is_final]
    with engine.open_stream("s") as stream:
        once = [e for i, f in enumerate(frames) for e in stream.push(f, i / FPS)] + stream.flush()
    assert [(e.label, e.start) for e in whole] == [(e.label, e.start) for e in once if e.is_final]
