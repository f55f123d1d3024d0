"""A plan whose pictures or flow are made another way: `with_snippet` and `tal plan build --resize-of --flow`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine import TALEngine, read_plan
from tal_engine.cli import main
from tal_engine.errors import UsageError
from tal_engine.plan.archive import parse_plan, plan_bytes, with_snippet
from tal_engine.pose.plans import open_plan
from tests.makers import moving_square, write_mp4


@pytest.fixture(scope="module")
def fast():
    return with_snippet(open_plan("demo"), resize_of="yuv", flow="dis_ultrafast")


def test_only_the_snippet_changes_and_the_former_way_is_kept(fast):
    demo = open_plan("demo")
    assert (fast.manifest.snippet.resize_of, fast.manifest.snippet.flow) == ("yuv", "dis_ultrafast")
    assert fast.manifest.provenance["trained_on"] == {"resize_of": "rgb", "flow": "dis"}
    assert fast.sha256 != demo.sha256
    for graph in demo.manifest.graphs:
        assert bytes(fast.files[graph.member]) == bytes(demo.files[graph.member])
    read = parse_plan(plan_bytes(fast), "fast")
    assert read.manifest == fast.manifest


def test_going_back_keeps_what_it_was_trained_on(fast):
    back = with_snippet(fast, resize_of="rgb", flow="dis")
    assert back.manifest.snippet == open_plan("demo").manifest.snippet
    assert back.manifest.provenance["trained_on"] == {"resize_of": "rgb", "flow": "dis"}
    assert with_snippet(back, flow="dis") is back


def test_pictures_of_stored_frames_give_nearly_the_same_features(tmp_path):
    """By the cosine of each snippet's features with those of the usual way."""
    video = write_mp4(tmp_path / "v.mp4", moving_square(64, 240, 320), 25.0)
    found = []
    for plan in (open_plan("demo"), with_snippet(open_plan("demo"), resize_of="yuv")):
        engine = TALEngine(plan, "cpu", threads=1)
        found.append(engine._stages.prepare(video, None, False, None).features.streams)
    for name in ("rgb", "flow"):
        a, b = (streams[name] for streams in found)
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosine.min() > 0.98


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flow": "tvl1"}, "flow is 'tvl1', must be one of 'dis', 'dis_ultrafast'"),
        ({"resize_of": "yiq"}, "resize_of is 'yiq'"),
    ],
)
def test_what_cannot_be(change, words):
    with pytest.raises(UsageError, match=words):
        with_snippet(open_plan("demo"), **change)


def test_a_plan_of_poses_has_no_such_pictures():
    with pytest.raises(UsageError, match="encoders of plan people"):
        with_snippet(open_plan("people"), resize_of="yuv")


def run(*words: object):
    main._register()
    return CliRunner().invoke(main.app, ["plan", "build", *map(str, words)])


def test_the_command_writes_it(tmp_path):
    out = Path(tmp_path / "fast.plan")
    words = ("demo", "--backend", "onnxruntime", "--resize-of", "yuv", "--flow", "dis_ultrafast", "-o", out)
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert read_plan(out).manifest.snippet.resize_of == "yuv"


def test_engines_are_built_of_a_plan_that_lies_there(tmp_path):
    done = run("demo", "--resize-of", "yuv", "-o", tmp_path)
    assert isinstance(done.exception, UsageError)
    assert "--resize-of and --flow are for --backend onnxruntime" in str(done.exception)
