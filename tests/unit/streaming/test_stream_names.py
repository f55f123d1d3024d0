"""`open_stream` takes a name and never a source; `watch` takes sources in any form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tal_engine import TALEngine
from tal_engine.errors import UsageError
from tal_engine.live.live_source import open_live
from tal_engine.streaming import StreamingLocalizer, StreamScheduler
from tests.makers import tiny_plan


@pytest.fixture(scope="module")
def engine():
    return TALEngine(tiny_plan(), "cpu", threads=1)


@pytest.mark.parametrize(
    "name", ["stream", "cam1", "gate.north", "0", "Tür 3", "a/b", "folder", "x" * 5000, "nul\0", ""]
)
def test_names(engine, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    assert isinstance(engine.open_stream(name), StreamingLocalizer)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("here.mp4", "a file"), ("no ending", "a file"), ("missing.mkv", "a file"), ("door=here.mp4", "a file"),
        ("/dev/video0", "a file"), ("folder/", "a folder"), ("./folder/inner", "a folder"), ("-", "stdin"),
        ("rtsp://user:pass@cam/1", "an address"), ("yard=https://cam/live.m3u8", "an address"),
    ],
)  # fmt: skip
def test_sources_are_no_names(engine, text, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder/inner").mkdir(parents=True)
    for name in ("here.mp4", "no ending"):
        Path(name).write_text("")
    with pytest.raises(UsageError, match=rf"{what}; engine\.watch\(\[.*\]\) reads it") as e:
        engine.open_stream(text)
    assert "user:pass" not in str(e.value)


@pytest.mark.parametrize("form", [list, tuple, iter, lambda s: (one for one in s)])
def test_sources_in_any_form(engine, clip, form):
    with engine.watch(form([clip, f"b={clip}", open_live(f"c={clip}")])) as scheduler:
        assert isinstance(scheduler, StreamScheduler)
        assert [m.name for m in scheduler.streams] == [str(clip), "b", "c"]


def test_one_path_or_one_opened_source(engine, clip):
    for source in (clip, open_live(str(clip))):
        with engine.watch(source) as scheduler:
            list(scheduler)
            assert [m.frames for m in scheduler.streams] == [100]


@pytest.mark.parametrize("source", [7, None, b"cam.mp4", 1.5, {"a": "b"}, [7], [None], ["a", b"b"], [["a"]]])
def test_what_is_no_source_is_named_by_its_kind(engine, source):
    with pytest.raises(UsageError, match=r"(sources are|a source is) a (int|NoneType|bytes|float|list|dict)"):
        engine.watch(source)
