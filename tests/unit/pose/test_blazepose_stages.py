"""Decoding, suppression, regions, refinement and smoothing, held against slow twins and against geometry."""

from __future__ import annotations

import numpy as np
import pytest

from tal_engine.pose import detection, gates, landmarks
from tal_engine.pose.one_euro import OneEuro, Smoothing
from tal_engine.pose.region import SIDE, Region
from tests.reference import blazepose as slow


def raw_boxes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    boxes = rng.normal(0, 8, (2254, 12)).astype(np.float32)
    boxes[:, 2:4] = rng.uniform(10, 60, (2254, 2))
    return boxes, rng.normal(-4, 3, (2254, 1)).astype(np.float32)


def test_detections_are_those_of_the_slow_decoder_and_suppression(rng):
    boxes, scores = raw_boxes(rng)
    found = detection.decode(boxes, scores, 1.0, (0.0, 0.0), 0.5)
    wanted = slow.decode(boxes, scores, 0.5)
    assert len(found) == len(wanted) > 100
    for ours, (score, box, points) in zip(found, wanted, strict=True):
        assert ours.score == pytest.approx(score)
        np.testing.assert_allclose(ours.box, box, atol=1e-3)
        np.testing.assert_allclose(ours.points, points, atol=1e-3)
    people, wanted = detection.one_each(found), slow.one_each(wanted)
    assert 1 < len(people) == len(wanted) < len(found)
    for ours, (score, box, points) in zip(people, wanted, strict=True):
        assert ours.score == pytest.approx(score)
        np.testing.assert_allclose(ours.box, box, atol=1e-2)
        np.testing.assert_allclose(ours.points, points, atol=1e-2)
    assert [d.score for d in detection.one_each(found, 2)] == [d.score for d in people[:2]]
    assert detection.one_each([]) == []


def test_detections_lie_in_the_picture_that_was_letterboxed(rng):
    image = np.zeros((100, 448, 3), np.uint8)
    image[40:60, 200:260] = 255
    square, step, corner = detection.letterboxed(image)
    assert (square.shape, step, corner) == ((224, 224, 3), 2.0, (0.0, -174.0))
    rows, columns = np.nonzero(square[..., 0] > 128)
    at = np.array([columns.mean(), rows.mean()]) * step + corner
    np.testing.assert_allclose(at, [229.5, 49.5], atol=1.5)
    boxes, scores = raw_boxes(rng)
    plain, placed = (detection.decode(boxes, scores, *where) for where in ((1.0, (0.0, 0.0)), (step, corner)))
    np.testing.assert_allclose(placed[0].points, plain[0].points * step + corner, rtol=1e-4)


def test_tiles_cover_a_picture_and_leave_out_who_is_cut(rng):
    for high, wide in ((240, 320), (1080, 1920), (1920, 1080), (100, 100), (1, 50), (110, 100)):
        parts = detection.tiles(high, wide)
        assert len(parts) in ((0,) if max(high, wide) < 1.25 * min(high, wide) else (2, 3))
        for left, top, side in parts:
            assert (left + side <= wide, top + side <= high) == (True, True)
        if parts:
            assert (parts[0][:2], sum(parts[-1][k] + parts[-1][2] for k in (0, 1))) == ((0, 0), high + wide)
    tile, point = (80, 0, 240), np.zeros(2, np.float32)
    for x, whole in ((100, False), (130, True), (300, True)):  # the right border is the picture's own
        at = np.array([x, 120], np.float32)
        person = detection.Detection(0.9, np.zeros(4, np.float32), np.stack([at, at - (0, 80), at, point]))
        assert detection.is_whole(person, tile, 240, 320) == whole


def test_a_region_is_upright_and_points_come_back_to_their_pixels():
    image = np.zeros((300, 400, 3), np.uint8)
    image[98:103, 148:153] = 255  # the upper end of the circle; the person lies on the left side
    region = Region.around(np.array([200.0, 100.0]), np.array([150.0, 100.0]))
    assert (region.side, np.degrees(region.angle)) == (pytest.approx(125.0), pytest.approx(-90.0))
    cut = region.crop(image)
    rows, columns = np.nonzero(cut[..., 0] > 128)
    found = np.array([[columns.mean() / SIDE, rows.mean() / SIDE, 0.0]], np.float32)
    np.testing.assert_allclose(found[0, :2], [0.5, 0.1], atol=0.01)  # above the middle: 50 of 62.5 pixels
    np.testing.assert_allclose(region.to_picture(found)[0, :2], [150, 100], atol=1)
    up = region.to_world(np.array([[0.0, -1.0, 0.5]], np.float32))
    np.testing.assert_allclose(up, [[-1, 0, 0.5]], atol=1e-6)


@pytest.mark.parametrize("broken", [(np.nan, 0, 10, 0), (0, 0, 1, 0), (0, 0, 1e6, 0), (2000, 0, 50, 0)])
def test_regions_that_lead_nowhere_are_told(broken):
    assert not Region(*broken).is_sound(240, 320)
    assert Region(160, 120, 200, 0.3).is_sound(240, 320)


def test_points_move_to_the_centre_of_their_heat_map(rng):
    points = rng.uniform(-0.1, 1.1, (39, 3)).astype(np.float32)
    heat = rng.normal(-3, 3, (64, 64, 39)).astype(np.float32)
    heat[..., 5] = -9  # nothing is confident: the point stays
    found = landmarks.refined(points, heat)
    for k in range(39):
        wanted = slow.refined(tuple(points[k, :2].tolist()), heat[..., k].tolist())
        np.testing.assert_allclose(found[k, :2], wanted, atol=1e-5)
    np.testing.assert_array_equal(found[:, 2], points[:, 2])
    np.testing.assert_array_equal(found[5], points[5])


def test_one_euro_smooths_as_the_paper_says(rng):
    how = Smoothing(0.5, 0.3, 1.0)
    fast, twins = OneEuro(how), [slow.OneEuro(0.5, 0.3, 1.0) for _ in range(6)]
    values, t = np.cumsum(rng.normal(0, 1, (20, 2, 3)), 0), 0.0
    for row in values.astype(np.float32):
        t += float(rng.uniform(0.01, 0.1))
        found = fast(row, t, 2.5)
        wanted = [twin(float(x), t, 2.5) for twin, x in zip(twins, row.ravel(), strict=True)]
        np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-4, atol=1e-5)
    still = [fast(values[-1].astype(np.float32), t + i / 25) for i in range(1, 200)]
    np.testing.assert_allclose(still[-1], values[-1], atol=0.1)


def test_a_skeleton_that_is_not_one_is_told_from_one(rng):
    world = rng.normal(0, 0.3, (33, 3)).astype(np.float32)
    world[12::2], world[11:33:2] = world[11:33:2] * [-1, 1, 1], world[11:33:2]
    points = np.concatenate([world[:, :2] * 120 + (300, 200), world[:, 2:]], 1).astype(np.float32)
    fit = gates.fitted(points, world)
    assert (fit.scale, fit.off) == (pytest.approx(120, rel=1e-3), pytest.approx(0, abs=1e-3))
    np.testing.assert_allclose(fit.origin, [300, 200], atol=0.1)
    other = points + rng.normal(0, 60, points.shape).astype(np.float32)
    assert gates.fitted(other, world).off > 0.3
    half = world.copy()
    half[27] = half[25]  # a shin without length
    assert gates.alike(half) == pytest.approx(0, abs=1e-6)
    assert gates.inside(np.full((33, 3), 0.5)) == 1.0
