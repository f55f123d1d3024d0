"""bench_stream: broken promises are found in its figures, and its account of a camera adds up."""

from __future__ import annotations

import bench_stream
import pytest
import stream_load
from stream_rtsp import FPS, Seen, _account
from stream_section import PARTS, broken, section

MACHINE = {"cpu": "a CPU", "cores": 2, "python": "3.11", "versions": {"onnxruntime": "1"}}
SLOPE = {"mib_per_hour": 0.01, "standard_error": 0.02, "hours": 19.2, "noise": 0.05, "flat": True}
FIGURES = {
    "lateness": {
        "sets": {
            "procedural": {
                "videos": 2, "finals": 9, "declared_s": 12.84, "later_than_declared": 0,
                "lateness_s": {"p50": 8.0, "p99": 9.0, "max": 9.6},
            }
        }
    },
    "memory": {
        "runs": {
            "features": {
                "hours": 24.0, "slope": SLOPE, "rss_mib": {"last": 230.0}, "late_events": 0, "finals": 99,
                "times_real_time": 400.0, "broken": [],
            }
        }
    },
    "chunks": {
        "chunkings": 100, "seconds": 20.6, "finals": 183, "window_s": 10.0, "equal_bit_for_bit": 99,
        "equal_but_for_scores": 100, "largest_score_difference": 1e-6,
    },
    "curve": {
        "videos": 44, "instances": 300, "offline": {"map_50": 80.0, "map_10_70": 75.0},
        "rows": [
            {"window_s": 30.0, "latency_s": 2.0, "map_10_70": 60.0, "aedt_50_s": 2.5},
            {"window_s": "covering", "latency_s": 2.0, "map_10_70": 61.0, "aedt_50_s": 2.6},
            {"window_s": "covering", "latency_s": "window", "map_10_70": 74.9, "aedt_50_s": 30.5},
        ],
    },
    "rtsp": {
        "stream_minutes": 20.0, "speed": 4.0, "faults": {"stall": 3, "restart": 2}, "error": None, "finals": 50,
        "declared_s": 12.84, "longest_lateness_s": 11.5, "later_than_declared": 0, "longest_wait_for_a_frame_s": 5.0,
        "served_s": 1200.0, "shown_s": 1100.0, "not_analysed_s": {"gap": 60.0, "dropped": 0.0, "reconnect": 39.0},
        "unaccounted_s": 1.0, "drift_s": 0.01, "gaps_over_a_second": 5, "gaps_in_the_coverage_map": 5,
    },
    "streams": {
        "size": "320x240", "fps": 25, "cores": 2, "sustained": 4, "cpu_of_a_stream": 0.07,
        "ms_a_snippet": {"flow": 4.0, "flow and encoders": 9.0},
        "rows": [
            {"streams": n, "sustained": n < 8, "wall_s": 65.0, "cores_used": 0.1 * n, "cores_of_reading": 0.01 * n,
             "cores_used_by_others": 0.0, "engine_s": {"frames": 6.5 * n, "encode": 13.0}}
            for n in (1, 4, 8)
        ],
    },
}  # fmt: skip
FIGURES["card"] = {**FIGURES["streams"], "cores": 16, "runs_on": "ONNX Runtime (CUDA on card 0)"}


def document(*parts):
    return {"figures": {p: FIGURES[p] for p in parts}, "machine": MACHINE}


def test_all_parts_can_be_run_and_told():
    assert set(FIGURES) == set(PARTS) == set(bench_stream.PARTS)
    text = section(document(*FIGURES))
    assert "longest 9.60 s of 12.84 s declared, 0 later" in text
    assert "99 equal bit for bit, 100 equal in all but scores (which differ by at most 1e-06" in text
    assert "| covers the video | 61.0 (2.6 s) | 74.9 (30.5 s) |" in text
    assert "| 30 | 60.0 (2.5 s) |  |" in text
    assert "on a card (ONNX Runtime (CUDA on card 0))" in text
    assert "**4**; one more stream takes 0.07 cores. At 4: 0.40 cores used" in text
    assert "frames 0.40, encode 0.20" in text
    assert "2 restart, 3 stall" in text


def test_parts_that_were_not_run_are_not_told():
    lines = section(document("chunks")).splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("- Machine: a CPU")


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("chunks", {"equal_but_for_scores": 98}, "2 chunkings gave other finals"),
        ("rtsp", {"error": "gone"}, "error: gone"),
        ("rtsp", {"later_than_declared": 3}, "3 late finals"),
        ("rtsp", {"gaps_in_the_coverage_map": 4}, "1 gaps are not in the coverage map"),
        ("curve", {"offline": {"map_50": 80.0, "map_10_70": 77.0}}, "2.10 points under the file"),
        ("memory", {"runs": {"features": {"broken": ["memory grows"]}}}, "memory grows"),
        ("lateness", {"sets": {"a": {"later_than_declared": 1}}}, "a: 1 late finals"),
    ],
)
def test_broken_promises_are_found(part, changes, words):
    assert broken(part, FIGURES[part]) == []
    assert words in broken(part, {**FIGURES[part], **changes})[0]


def account(missing, intervals):
    """Of 100 s of pictures without those of numbers in `missing`; the clock is 0.5 s off."""
    seen = Seen()
    for n in range(2500):
        if n not in missing:
            seen.numbers.append(n)
            seen.seconds.append(n / FPS + 0.5)
    told = sum(i["end"] - i["start"] for i in intervals)
    coverage = {
        "seconds": 100.5,
        "not_analysed": {"gap": told},
        "frames": {},
        "intervals_left_out": 0,
        "intervals": intervals,
    }
    return _account(seen, 2500, coverage)


def test_a_gap_that_the_coverage_map_knows():
    found = account(range(1000, 1100), [{"start": 40.5, "end": 44.5}])
    assert (found["gaps_over_a_second"], found["gaps_in_the_coverage_map"]) == (1, 1)
    assert found["unaccounted_s"] == pytest.approx(0.0, abs=1e-6)
    assert found["drift_s"] == 0.0


def test_a_gap_that_the_coverage_map_lacks():
    found = account(range(1000, 1100), [{"start": 42.5, "end": 44.5}])
    assert (found["gaps_over_a_second"], found["gaps_in_the_coverage_map"]) == (1, 0)
    assert found["unaccounted_s"] == pytest.approx(2.0, abs=1e-6)
    assert found["not_in_the_map"][0]["served_s"] == [999 / FPS, 1100 / FPS]


def test_the_cost_of_a_stream_is_the_slope():
    rows = [{"streams": n, "cores_used": 0.1 + 0.05 * n} for n in (1, 2, 4)]
    assert stream_load._slope(rows) == 0.05
    assert stream_load._slope(rows[:1]) is None
