"""``tal certify``: what it measures is what happens, and a broken promise is found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.diagnostics.soak_test import SAMPLES, certify, feature_steps, frame_steps, slope_of
from tal_engine.errors import UsageError
from tal_engine.options import StreamOptions
from tests.integration.test_cli import tal
from tests.waiting import alone

OPTIONS = StreamOptions(window=3.2, step=0.32, look_ahead=0.96, gap=0.32)
ALL = float("-inf")
#: Bytes that leak a step.
LEAK = 2**16
#: The resident size of a process in which nothing grows: this one's own depends on the tests before.
FLAT = {"resident": lambda: 100 * 2**20}
HOURS = np.linspace(0.1, 24, SAMPLES)


@pytest.fixture(scope="module")
def engine(plan_path):
    return TALEngine.load(plan_path, "cpu")


@pytest.fixture
def rows(rng):
    return {"rgb": rng.normal(0, 1, (40, 4)).astype(np.float32)}


def test_slope_is_that_of_the_line_and_its_error_that_of_the_noise():
    rng, slopes, errors = np.random.default_rng(0), [], []
    for _ in range(200):
        s = slope_of(HOURS, 100 + 0.5 * HOURS + rng.normal(0, 2, SAMPLES))
        slopes.append(s.mib_per_hour)
        errors.append(s.standard_error)
    assert np.mean(slopes) == pytest.approx(0.5, abs=0.01)
    assert np.mean(errors) == pytest.approx(np.std(slopes), rel=0.25)


def test_samples_that_are_alike_do_not_make_noise_a_slope():
    rng, beyond = np.random.default_rng(0), 0
    for _ in range(200):
        noise = rng.normal(0, 1, SAMPLES)
        for i in range(1, SAMPLES):
            noise[i] += 0.7 * noise[i - 1]
        s = slope_of(HOURS, noise)
        beyond += abs(s.mib_per_hour) > 2 * s.standard_error
    assert beyond < 0.1 * 200  # 5 % by the normal law; about 40 % if they were taken for independent


@pytest.mark.parametrize(
    ("mib", "flat"),
    [
        (np.full(SAMPLES, 100.0), True),
        (100 + 0.02 * HOURS, True),  # half a MiB a day
        (100 - HOURS, True),
        (100 + 50 * np.minimum(HOURS / 2, 1), True),  # warms up
        (100 + 0.2 * HOURS, False),
        (100 + np.floor(HOURS / 3), False),  # steps
    ],
)
def test_growth_is_told_from_noise(mib, flat):
    s = slope_of(HOURS, mib)
    assert s.flat == flat
    assert s.noise >= 1 / s.hours


def test_a_sound_stream_is_certified(engine, rows):
    stream = engine.open_stream("s", OPTIONS, min_score=ALL)
    told = []
    found = certify(
        stream, "features", feature_steps(stream, rows), 0.2, lambda done, of: told.append((done, of)), **FLAT
    )
    assert found.broken == ()
    assert found.finals > 100
    assert found.hours == pytest.approx(0.2, rel=0.01)
    assert 0 < found.lateness_s["p50"] <= found.lateness_s["p99"] <= found.lateness_s["max"]
    assert found.lateness_s["max"] <= found.declared_latency_s
    assert found.lateness_s["max"] == pytest.approx(max(found.curve["lateness_s"]), abs=1e-3)
    assert found.lateness_s["max"] >= stream.state.finalizer.worst_latency_s - 1e-9
    assert [len(v) for v in found.curve.values()] == [SAMPLES] * 4
    assert len(told) == SAMPLES
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_leak_is_found(engine, rows):
    stream, kept = engine.open_stream("s", OPTIONS, min_score=ALL), []

    def leaking():
        for step in feature_steps(stream, rows):
            kept.append(LEAK)
            yield step

    found = certify(stream, "features", leaking(), 0.2, resident=lambda: 2**27 + sum(kept))
    assert not found.slope.flat
    grown = len(kept) * LEAK / 2**20 / 0.2
    assert found.slope.mib_per_hour == pytest.approx(grown, rel=0.01)
    assert any("memory grows" in words for words in found.broken)


#: A process of its own that certifies the plan of its first argument twice after a run to warm up: as it is, and with a
#: leak of so many bytes a step. Prints MiB an hour of both.
MEASURED = """
import json, mmap, sys
import numpy as np
from tal_engine import TALEngine
from tal_engine.diagnostics.soak_test import certify, feature_steps
from tal_engine.options import StreamOptions

engine = TALEngine.load(sys.argv[1], "cpu", threads=1)
rows = {"rgb": np.random.default_rng(0).normal(0, 1, (40, 4)).astype(np.float32)}
kept = []

def growth(leak):
    options = StreamOptions(window=3.2, step=0.32, look_ahead=0.96, gap=0.32)
    stream = engine.open_stream("s", options, min_score=float("-inf"))

    def steps():
        for step in feature_steps(stream, rows):
            if leak:
                kept.append(mmap.mmap(-1, leak))  # pages of its own: an allocator may have room
                kept[-1].write(b"x" * leak)
            yield step

    return certify(stream, "features", steps(), 0.1).slope.mib_per_hour

growth(0)
print(json.dumps([growth(0), growth(int(sys.argv[2]))]))
"""


def test_a_process_of_its_own_measures_a_leak_and_nothing_without_one(plan_path):
    """The leak is hundreds of times the MiB or so that an allocator moves by itself."""
    sound, leaking = alone(MEASURED, plan_path, LEAK)
    leak = 3600 / OPTIONS.step * LEAK / 2**20
    assert leaking == pytest.approx(leak, rel=0.2)
    assert abs(sound) < leak / 10


def test_a_late_final_is_found(engine, rows):
    stream = engine.open_stream("s", OPTIONS, min_score=ALL)
    slow = engine.open_stream("s", StreamOptions(window=3.2, step=0.32, look_ahead=3.2, gap=0.32), min_score=ALL)
    slow.state.timing = stream.state.timing  # promises what it does not keep
    found = certify(slow, "features", feature_steps(slow, rows), 0.1, **FLAT)
    assert 0 < found.late_events < found.finals
    assert found.lateness_s["max"] > found.declared_latency_s == stream.declared_latency_s
    assert any("came later than" in words for words in found.broken)


def test_silence_certifies_nothing(engine, rows):
    stream = engine.open_stream("s", OPTIONS, min_score=1e9)
    found = certify(stream, "features", feature_steps(stream, rows), 0.05, **FLAT)
    assert found.finals == 0
    assert found.lateness_s == {}
    assert any("nothing became final" in words for words in found.broken)


def test_frames_leap_and_repeat(engine, clip):
    stream = engine.open_stream("s", OPTIONS, min_score=ALL)
    found = certify(stream, "frames", frame_steps(stream, clip), 0.2, **FLAT)
    assert found.hours == pytest.approx(0.2, rel=0.02)
    assert found.frames_refused > 100
    assert found.unanalysed_s == pytest.approx(1.5 * OPTIONS.max_still, abs=0.5)  # one leap in 720 s
    assert found.finals > 100
    assert found.late_events == 0


def test_hours_must_be_some(engine, rows):
    stream = engine.open_stream("s", OPTIONS)
    with pytest.raises(UsageError, match="hours"):
        certify(stream, "features", feature_steps(stream, rows), 0)


def test_command_writes_a_page_and_its_figures(plan_path, clip, tmp_path):
    small = ("--window", 3.2, "--step", 0.32, "--look-ahead", 0.96, "--stream-options", "gap=0.32", "--conf=-1e9")
    done = tal(
        "certify", clip, "--plan", plan_path, *small, "--hours", 0.05, "--frame-hours", 0.05, "-o", tmp_path / "r"
    )
    document = json.loads((tmp_path / "r.json").read_text())
    assert [r["what"] for r in document["runs"]] == ["features", "frames"]
    assert all(r["late_events"] == 0 and r["finals"] for r in document["runs"])
    held = not any(r["broken"] for r in document["runs"])  # so short a run may see an allocator's last growth
    assert done.returncode == (0 if held else 3), done.stderr
    page = (tmp_path / "r.html").read_text()
    assert page.count("<svg") == 2
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert "curve" not in json.loads(done.stdout)["runs"][0]


def test_command_exits_3_when_nothing_was_seen(plan_path, clip):
    done = tal("certify", clip, "--plan", plan_path, "--conf", 1e9, "--hours", 0.05, "--frame-hours", 0)
    assert done.returncode == 3
    assert "broken: features: nothing became final" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("x.mp4", "--synthetic"), ("--hours", 0, "--frame-hours", 0), ("--synthetic", "--hours", 0, "--frame-hours", 0)],
)
def test_command_usage(arguments):
    done = tal("certify", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
