"""Each example runs, on small inputs, in this process; C and C++ are tested in tests/unit/core/test_cpp_package.py."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from tal_engine import TALEngine
from tests.fitted import QUICK, QUICK_RULES, write_world
from tests.makers import write_mp4

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Examples that are run by a test elsewhere, or cannot be imported here.
ELSEWHERE = {"gstreamer.py", "ray_train.py"}


def example(name):
    """What an example defines; its block for the command line is not run."""
    return runpy.run_path(str(EXAMPLES / name))


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A plan without a threshold, so that there is something to see."""
    from tal_engine.options import ProposalOptions, SegmentOptions
    from tests.makers import tiny_plan

    path = tmp_path_factory.mktemp("plans") / "all.plan"
    tiny_plan(path, segment=SegmentOptions(min_score=-100.0), proposal=ProposalOptions(class_threshold=-100.0))
    return path


@pytest.fixture(scope="module")
def expected(everything, clip):
    with TALEngine.load(everything) as engine:
        return engine.localize(clip).segments


@pytest.mark.parametrize(
    "words",
    [
        ("asyncio_localize.py", "nowhere.mp4"), ("features_only.py", "nowhere.mp4", "x.npz"),
        ("file.py", "nowhere.mp4"), ("fit_from_csv.py", ".", "nowhere.csv"), ("folder.py", "nowhere"),
        ("many_rtsp.py", "a=nowhere.mp4"),
        ("own_encoder.py", "nowhere", "x.csv"), ("webcam.py", "nowhere.mp4"), ("gstreamer.py", "nowhere.mp4"),
    ],
)  # fmt: skip
def test_a_missing_file_is_one_line_without_a_traceback(words, tmp_path, monkeypatch):
    """In the terminal's way; without arguments it says how it is called."""
    name, *rest = words
    if name in ("fit_from_csv.py", "own_encoder.py"):
        pytest.importorskip("torch", reason="fitting needs [train]")
    if name == "gstreamer.py":
        pytest.importorskip("gi", reason="needs GStreamer and PyGObject")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *rest])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert "nowhere" in stopped.value.code
    assert "\n" not in stopped.value.code
    if name != "webcam.py":
        monkeypatch.setattr(sys, "argv", [name])
        with pytest.raises(SystemExit, match=re.escape(name)):
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_file(everything, expected, clip, capsys):
    assert example("file.py")["main"](clip, everything).segments == expected
    assert len(capsys.readouterr().out.splitlines()) == len(expected) > 3


def test_folder(everything, expected, clip, tmp_path):
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "b.mp4").write_bytes(b"no video")
    assert example("folder.py")["main"](tmp_path, everything) == [tmp_path / "b.mp4"]
    (kept,) = json.loads((tmp_path / "a.json").read_text())["results"].values()
    assert len(kept) == len(expected)


def test_webcam_up_to_the_device(everything, clip, capsys):
    """A file in the camera's place: cameras are tested up to their device."""
    report = example("webcam.py")["main"](clip, everything)
    assert 0 < report["frames"] <= 100  # it keeps up with a busy machine by leaving out some
    assert "final" in capsys.readouterr().out


def test_many_rtsp(everything, clip, capsys):
    finals = example("many_rtsp.py")["main"](f"door={clip}", f"yard={clip}", plan=everything)
    assert finals["door"] == finals["yard"] > 0
    lines = capsys.readouterr().out.splitlines()
    assert {json.loads(line)["source"] for line in lines} == {"door", "yard"}


def test_fastapi_app(everything, expected, clip, monkeypatch):
    pytest.importorskip("fastapi", reason="the service needs [serve]")
    from starlette.testclient import TestClient

    monkeypatch.setenv("TAL_PLAN", str(everything))
    with TestClient(example("fastapi_app.py")["create_app"]()) as client:
        done = client.post("/segments", files={"file": ("my.mp4", clip.read_bytes())})
        assert [s["label"] for s in done.json()] == [s.label for s in expected]
        bad = client.post("/segments", files={"file": ("my.mp4", b"no video")})
        assert bad.status_code == 422
        assert bad.json()["detail"].startswith("my.mp4: ")


def test_asyncio_localize(everything, expected, clip):
    results, finals = asyncio.run(example("asyncio_localize.py")["main"](clip, clip, plan=everything))
    assert [r.segments for r in results] == [expected, expected]
    assert finals


def test_features_only(everything, expected, clip, tmp_path):
    found, best = example("features_only.py")["main"](clip, tmp_path / "my.npz", everything)
    assert found.segments == expected
    assert list(best) == [max(expected, key=lambda s: s.score)]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="fitting needs [train]")
    from tal_engine.lab.fitting import rules

    monkeypatch.setattr(rules, "RULES", QUICK_RULES)
    monkeypatch.chdir(tmp_path)


def test_fit_from_csv(quick, tmp_path, capsys):
    world = write_world(tmp_path / "world")
    report = example("fit_from_csv.py")["main"](world / "f", world / "segments.csv", curve=False, **QUICK)
    assert Path("mine.plan").exists()
    assert "jump" in capsys.readouterr().out
    assert report.output == Path("mine.plan")


def test_own_encoder(quick, tmp_path):
    """Actions that are colours: what the example's encoder sees."""
    rows = []
    for i in range(12):
        rng = np.random.default_rng(i)
        frames = np.repeat(rng.integers(60, 90, (80, 4, 4, 3), np.uint8), 8, axis=1).repeat(8, axis=2)
        start = int(rng.integers(16, 40))
        frames[start : start + 24, ..., i % 3] += 120
        (tmp_path / "videos").mkdir(exist_ok=True)
        write_mp4(tmp_path / "videos" / f"v{i:02d}.mp4", frames, fps=8)
        rows.append([f"v{i:02d}", start / 8, start / 8 + 3, ("red", "green", "blue")[i % 3]])
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["video", "start", "end", "label"], *rows])
    report = example("own_encoder.py")["main"]("videos", "labels.csv", curve=False, folds=2)
    with TALEngine.load(report.output) as engine:
        (best,) = engine.localize("features/v00.npz", top_k=1)
    assert best.label == "red"


def test_first_steps_notebook(everything, clip, tmp_path, monkeypatch):
    """Its cells run, on a shorter video and another plan; and it is stored as it ran: with outputs, without errors."""
    import matplotlib.pyplot as plt

    from tal_engine.demo import demo_set

    def short(folder, *_):
        (folder / "videos").mkdir(parents=True)
        (folder / "videos" / "test_00000.mp4").write_bytes(clip.read_bytes())
        (folder / "annotations.json").write_text(
            json.dumps({"database": {"test_00000": {"annotations": [{"segment": [0.0, 1.0], "label": "run"}]}}})
        )
        return folder / "annotations.json"

    monkeypatch.setattr(demo_set, "render_split", short)
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    cells = json.loads((EXAMPLES / "first_steps.ipynb").read_text())["cells"]
    space = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert {o["output_type"] for o in cell["outputs"]} <= {"stream", "execute_result", "display_data"}
            text = "".join(cell["source"]).replace("TALEngine.load()", f"TALEngine.load({str(everything)!r})")
            exec(compile(text, "first_steps.ipynb", "exec"), space)  # our own document
    plt.close("all")
    assert sum(bool(c.get("outputs")) for c in cells) == 6
    assert Path("segments.vtt").read_text().startswith("WEBVTT")


def test_each_example_is_run():
    """Also of those that are added later."""
    here = {p.name for p in EXAMPLES.glob("*.py")}
    tests = {n.removeprefix("test_") for n in vars(sys.modules[__name__]) if n.startswith("test_")}
    assert here - ELSEWHERE == {n for n in here if any(t.startswith(n.removesuffix(".py")) for t in tests)}
