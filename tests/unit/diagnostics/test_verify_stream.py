"""`tal verify-stream`: equal where it is promised, measured where it is not, and loud where a promise breaks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tal_engine import Segment, TALEngine
from tal_engine.diagnostics import stream_check as module
from tal_engine.diagnostics.stream_check import difference, verify
from tal_engine.errors import UsageError
from tal_engine.options import StreamOptions
from tests.integration.test_cli import tal

SHORT = StreamOptions(window=2, step=0.64, look_ahead=0.64, gap=0.32)


def test_promises_hold_on_a_clip(plan_path, clip):
    engine = TALEngine.load(plan_path, device="cpu", threads=1)
    runs = []
    found = verify(engine, clip, SHORT, chunkings=3, progress=lambda done, total: runs.append((done, total)))
    assert found.ok
    assert found.whole.none
    assert found.whole.common
    assert [c.none for c in found.chunks] == [True] * 3
    short = verify(engine, clip, StreamOptions(window=0.64, step=0.32, look_ahead=0, gap=0), chunkings=1)
    assert short.ok
    assert not short.window.none  # what two snippets show is something else, and is told
    assert found.worst_latency_s <= found.declared_latency_s
    assert runs == [(i, 6) for i in range(1, 7)]


def test_a_broken_promise_is_found(plan_path, clip, monkeypatch):
    """An engine whose features depend on how many snippets come at once."""
    engine = TALEngine.load(plan_path, device="cpu", threads=1)
    sound = engine.encode_snippets
    monkeypatch.setattr(
        engine, "encode_snippets", lambda s: {n: v + (len(v) > 1) * np.arange(4.0) for n, v in sound(s).items()}
    )
    found = verify(engine, clip, SHORT, chunkings=3)
    assert not found.ok
    assert found.whole.none
    assert any(list(c.lines()) for c in found.chunks)


def test_a_stream_that_is_not_the_file_is_found(plan_path, clip, monkeypatch):
    engine = TALEngine.load(plan_path, device="cpu", threads=1)
    sound = module._frame_by_frame
    monkeypatch.setattr(module, "_frame_by_frame", lambda *a: (sound(*a)[0][1:], sound(*a)[1]))
    found = verify(engine, clip, SHORT, chunkings=1)
    assert not found.whole.none
    assert len(found.whole.vanished) == 1
    assert not found.ok


def test_differences_are_matched_by_class_and_overlap():
    first = [Segment(0, 10, "run", 0.5), Segment(20, 30, "run", 0.7), Segment(0, 10, "sit", 0.5)]
    second = [Segment(0.5, 10, "run", 0.6), Segment(0, 10, "sit", 0.5), Segment(50, 60, "jump", 0.9)]
    found = difference(first, second)
    assert found.appeared == (second[2],)
    assert found.vanished == (first[1],)
    assert list(found.lines()) == [
        "appeared: jump 50.00 - 60.00 (0.900)",
        "vanished: run 20.00 - 30.00 (0.700)",
        "moved: run 0.00 - 10.00 (0.500): +500 ms, +0 ms, score +0.1000",
    ]
    assert difference(first, first).none


def test_no_chunking_is_no_proof(plan_path, clip):
    with pytest.raises(UsageError, match="chunkings is 0, must be at least 1"):
        verify(TALEngine.load(plan_path, device="cpu"), clip, chunkings=0)


def test_the_command(plan_path, clip):
    settings = [text for name in ("window=2", "look_ahead=1", "gap=0.5") for text in ("--stream-options", name)]
    done = tal("verify-stream", clip, "--plan", plan_path, "--chunkings", "2", *settings)
    assert done.returncode == 0, done.stderr
    assert "2 random chunkings against frame by frame: equal" in done.stdout
    assert "the stream with a window over all of it against the file: equal" in done.stdout
    assert "none later" in done.stdout
    document = json.loads(tal("verify-stream", clip, "--plan", plan_path, "--chunkings", "1", "--json").stdout)
    assert document["ok"] is True
    assert document["late_events"] == 0


def test_nothing_to_compare_proves_nothing(plan_path, clip):
    engine = TALEngine.load(plan_path, device="cpu")
    found = verify(engine, clip, SHORT, chunkings=1, min_score=1e9)
    assert (found.ok, found.compared, found.to_dict()["compared"]) == (True, False, False)
    assert verify(engine, clip, SHORT, chunkings=1, min_score=float("-inf")).compared
    done = tal("verify-stream", clip, "--plan", plan_path, "--chunkings", "1", "--conf", "1e9")
    assert done.returncode == 3
    assert "equal" not in done.stdout
    assert "random chunkings against frame by frame: nothing to compare" in done.stdout
    assert "lower --conf" in done.stderr


def test_a_broken_promise_is_exit_status_3(monkeypatch, plan_path, clip):
    from typer.testing import CliRunner

    from tal_engine.cli import main, verify_stream

    engine = TALEngine.load(plan_path, device="cpu", threads=1)
    report = verify(engine, clip, SHORT, chunkings=1)
    object.__setattr__(report, "late_events", 1)
    monkeypatch.setattr(verify_stream, "verify", lambda *a, **k: report)
    if "verify-stream" not in {c.name for c in main.app.registered_commands}:
        verify_stream.register(main.app)
    done = CliRunner().invoke(main.app, ["verify-stream", str(clip), "--plan", str(plan_path)])
    assert done.exit_code == 3
    assert "1 later" in done.stdout
