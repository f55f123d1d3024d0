"""Who is in a skeleton file of several persons, and when."""

from __future__ import annotations

import numpy as np
import pytest

from tal_engine.errors import DataError
from tal_engine.pose.files import read_skeleton
from tal_engine.pose.persons import persons_of
from tal_engine.pose.skeleton import LAYOUTS
from tal_engine.pose.skeleton_options import SkeletonOptions


def table(path, columns, rows):
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, r)) for r in rows)]) + "\n")
    return path


def told(people):
    return [(p.name, p.first, p.last) for p in people]


@pytest.mark.parametrize("column", ["subject", "Person", "track"])
def test_rows_by_frame_and_by_landmark_name_the_same_persons_as_reading_them_does(tmp_path, column):
    names = LAYOUTS["coco17"].names
    points = [f"{n}_{a}" for n in names for a in "xy"]
    spans = {"10": (0, 3), "9": (1, 4), "bo": (2, 3)}
    rng = np.random.default_rng(0)
    rows = [(t / 2, who, *rng.uniform(size=len(points)).round(3)) for who, (a, b) in spans.items()
            for t in range(2 * a, 2 * b + 1)]  # fmt: skip
    wide = table(tmp_path / "wide.csv", ["time", column, *points], rows)
    long = table(
        tmp_path / "long.csv", ["time", column, "landmark", "x", "y"],
        [(r[0], r[1], n, *r[2 + 2 * k : 4 + 2 * k]) for r in rows for k, n in enumerate(names)],
    )  # fmt: skip
    for path in (wide, long):
        found = persons_of(path)
        assert told(found) == [("9", 1, 4), ("10", 0, 3), ("bo", 2, 3)]  # numbers as numbers
        for person in found:
            times = read_skeleton(path, SkeletonOptions(subject=person.name)).times
            assert (times[0], times[-1]) == (person.first, person.last)


def test_frames_are_counted_where_their_rate_is_known_and_short_visits_are_nobody(tmp_path):
    columns = ["frame", "subject", "nose_x", "nose_y"]
    rows = [(0, "a", 1, 1), (100, "a", 1, 1), (50, "b", 1, 1), (60, "b", 1, 1), (7, "", 1, 1), ("?", "a", 1, 1)]
    path = table(tmp_path / "p.csv", columns, rows)
    assert told(persons_of(path, 25.0)) == [("a", 0, 4)]
    assert told(persons_of(path)) == [("a", None, None), ("b", None, None)]


def test_of_very_many_those_who_are_seen_longest_are_taken(tmp_path):
    rows = [(t, f"p{k}", 1, 1) for k in range(300) for t in (0, k + 1)]
    found = persons_of(table(tmp_path / "p.csv", ["time", "track", "nose_x", "nose_y"], rows))
    assert [p.name for p in found] == sorted(f"p{k}" for k in range(200, 300))


def test_what_is_no_skeleton_of_named_persons_names_nobody(tmp_path):
    label = table(tmp_path / "labels.csv", ["video", "start", "end", "label", "subject"], [("a", 0, 1, "run", "Ana")])
    nameless = table(tmp_path / "one.csv", ["time", "nose_x", "nose_y"], [(0, 1, 1), (2, 1, 1)])
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert [persons_of(p) for p in (label, nameless, empty, tmp_path / "none.bvh")] == [()] * 4
    (tmp_path / "odd.csv").write_bytes(b"time,subject,nose_x,nose_y\n0,\xff\xfe,1,1\n")
    with pytest.raises(DataError, match=r"odd\.csv: not a CSV of landmarks"):
        persons_of(tmp_path / "odd.csv")
    with pytest.raises(DataError, match="no such CSV of landmarks"):
        persons_of(tmp_path / "gone.csv")
