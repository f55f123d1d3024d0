"""Small values: timeline, vocabulary, files, options, read-ahead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tal_engine._util import concurrency
from tal_engine._util.concurrency import Stopwatch, read_ahead
from tal_engine._util.extras import need
from tal_engine._util.files import whole_file, write_text
from tal_engine.errors import MissingExtraError, UsageError
from tal_engine.options import NmsOptions, ProposalOptions, SegmentOptions, SnippetOptions
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary
from tests.waiting import no_thread_left, stays, until


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 10), st.floats(1e-3, 10), st.integers(0, 10_000))
def test_timeline_round_trip(start, step, width, index):
    t = Timeline(start, step, width)
    assert float(t.index(t.left(index))) == pytest.approx(index, abs=1e-6 * (1 + abs(start) / step))
    assert float(t.right(index + 1)) == pytest.approx(float(t.left(index)) + width, abs=1e-6)


def test_timeline_group_spans_its_snippets():
    overlapping = Timeline(0.0, 0.32, 0.64)
    assert float(overlapping.left(2)) == pytest.approx(0.64)
    assert float(overlapping.right(4)) == pytest.approx(3 * 0.32 + 0.64)
    np.testing.assert_allclose(Timeline(1.0, 0.5, 0.5).centers(3), [1.25, 1.75, 2.25])


@pytest.mark.parametrize("bad", [(np.nan, 1, 1), (0, 0, 1), (0, 1, -1)])
def test_timeline_refuses(bad):
    with pytest.raises(ValueError, match="invalid Timeline"):
        Timeline(*bad)


def test_vocabulary():
    v = Vocabulary(["run", "jump"])
    assert (len(v), list(v), v.id("jump"), v.name(0), "run" in v) == (2, ["run", "jump"], 1, "run", True)
    assert v == Vocabulary(("run", "jump")) != Vocabulary(["jump", "run"])
    with pytest.raises(UsageError, match="unknown class 'sit'; known classes: run, jump"):
        v.id("sit")
    with pytest.raises(UsageError, match="label id 2 is outside"):
        v.name(2)
    for bad in ([], ["a", "a"], ["a", " "]):
        with pytest.raises(UsageError):
            Vocabulary(bad)


def test_whole_file_keeps_the_old_one_on_error(tmp_path):
    path = tmp_path / "sub" / "x.txt"
    write_text(path, "old")

    def broken():
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


def test_whole_file_keeps_permissions(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "a")
    path.chmod(0o640)
    write_text(path, "b")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SnippetOptions(fps=0), "fps is 0"),
        (lambda: SnippetOptions(window=0), "window is 0"),
        (lambda: SnippetOptions(crop=200), "crop is 200"),
        (lambda: SnippetOptions(interpolation="cubic"), "interpolation is 'cubic', must be 'area' or 'bilinear'"),
        (lambda: SnippetOptions(flow_of="all"), "flow_of is 'all', must be 'crop' or 'whole'"),
        (
            lambda: SnippetOptions(flow="raft"),
            "flow is 'raft', must be 'none', 'dis', 'dis_ultrafast', 'tvl1' or",
        ),
        (lambda: NmsOptions(kind="x"), "kind is 'x'"),
        (lambda: NmsOptions(threshold=2), "threshold is 2"),
        (lambda: ProposalOptions(upsample=0), "upsample is 0"),
        (lambda: SegmentOptions(top_k=-1), "top_k is -1"),
        (lambda: SegmentOptions(min_score=float("nan")), "min_score is nan"),
    ],
)
def test_options_name_value_and_range(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_missing_extra_prints_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tal-engine\[plot\]'"):
        need("matplotlib")


def test_read_ahead_gives_all_in_order():
    assert list(read_ahead(iter(range(100)))) == list(range(100))
    assert list(read_ahead(())) == []


def test_read_ahead_raises_at_the_right_place():
    def items():
        yield 1
        raise KeyError("boom")

    found = read_ahead(items())
    assert next(found) == 1
    with pytest.raises(KeyError):
        next(found)


def test_read_ahead_is_bounded_and_stops():
    made = []

    def endless():
        while True:
            made.append(1)
            yield 1

    with no_thread_left("tal-read-ahead"):
        found = read_ahead(endless(), depth=2)
        next(found)
        until(lambda: len(made) >= 3)
        assert stays(lambda: len(made) <= 5)
        found.close()


def test_stopwatch_does_not_count_twice(monkeypatch):
    watch, now = Stopwatch(), [100.0]
    monkeypatch.setattr(concurrency.time, "perf_counter", lambda: now[0])

    def takes(seconds, items):
        for i in items:
            now[0] += seconds
            yield i

    list(watch.pull("outer", takes(1.0, watch.pull("inner", takes(2.0, range(3))))))
    assert watch.seconds == {"inner": 6.0, "outer": 3.0}
