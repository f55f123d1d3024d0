"""Segments of somebody who was hardly seen are left out, by hand."""

from __future__ import annotations

import numpy as np

from tal_engine.inference.seen import of_seen
from tal_engine.pose.features import DIM
from tal_engine.records import PROPOSAL, Features, Proposals
from tal_engine.timeline import Timeline


def kept(seen: list[float], *spans: tuple[float, float]) -> list[tuple[float, float]]:
    """Spans that stay, of snippets of half a second that show so much of the person each."""
    pose = np.zeros((len(seen), DIM), np.float32)
    pose[:, -1] = seen
    duration = 0.5 * len(seen)
    data = np.array([(a, b, 1.0, 0) for a, b in spans], PROPOSAL)
    found = of_seen(Proposals(data, duration), Features({"pose": pose}, Timeline(0.0, 0.5, 0.5), duration, {}))
    assert found.duration == duration
    return [(float(d["start"]), float(d["end"])) for d in found.data]


def test_who_flashes_up_does_nothing():
    flash = [0.0] * 6 + [1.0] + [0.0] * 5
    assert kept(flash, (3.0, 3.5), (2.0, 5.0)) == []
    assert kept([0.0] * 10 + [0.5, 0.5, 0.5], (5.0, 6.5)) == []  # at the end of a video: 0.75 s in all


def test_who_is_there_for_a_second_and_most_of_an_action_does_it():
    there = [0.0] * 4 + [1.0] * 4 + [0.0] * 4
    assert kept(there, (2.0, 4.0), (2.5, 3.0), (3.0, 5.0), (3.5, 6.0)) == [(2.0, 4.0), (2.5, 3.0), (3.0, 5.0)]
    assert kept([1.0, 1.0], (0.0, 1.0)) == [(0.0, 1.0)]
    assert kept([1.0, 1.0]) == []
