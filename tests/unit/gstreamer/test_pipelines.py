"""The element in whole pipelines: of the example, and of gst-launch-1.0 in the system's own Python."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tal_engine
from tal_engine import TALEngine
from tal_engine.gstreamer import plugin_folder
from tests.waiting import LONG_S


def test_the_example_reads_a_file(gst, plan_path, tmp_path):
    written = tmp_path / "my.webm"
    text = "videotestsrc num-buffers=60 pattern=ball ! video/x-raw,width=64,height=48,framerate=25/1 ! vp8enc"
    try:
        made = gst.parse_launch(f"{text} ! webmmux ! filesink location={written}")
    except Exception as e:
        pytest.skip(f"no encoder (apt-get install gstreamer1.0-plugins-good): {e}")
    made.set_state(gst.State.PLAYING)
    made.get_bus().timed_pop_filtered(gst.CLOCK_TIME_NONE, gst.MessageType.EOS | gst.MessageType.ERROR)
    made.set_state(gst.State.NULL)
    main = runpy.run_path(str(Path(__file__).parents[3] / "examples" / "gstreamer.py"))["main"]
    with TALEngine.load(plan_path) as engine:
        wanted = {e.id for e in engine.watch(f"tal={written}").run()}
    assert {e["id"] for e in main(written, plan_path)} == wanted
    with pytest.raises(SystemExit, match=r"no\.plan"):
        main(written, tmp_path / "no.plan")


def test_gst_launch_finds_it_and_tells_events(gst, plan_path, tmp_path):
    """By the system's loader of Python plugins, in the system's Python."""
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("no gst-launch-1.0 (apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base)")
    paths = [str(Path(tal_engine.__file__).parents[1]), *(p for p in sys.path if p.endswith("site-packages"))]
    environment = {
        **os.environ, "GST_PLUGIN_PATH": str(plugin_folder()), "GST_REGISTRY": str(tmp_path / "registry.bin"),
        "PYTHONPATH": os.pathsep.join(paths),
    }  # fmt: skip

    def run(*words):
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=LONG_S, check=False)

    if run("gst-inspect-1.0", "--exists", "talocalize").returncode:
        pytest.skip("the system's Python cannot load it (apt-get install gstreamer1.0-python3-plugin-loader)")
    done = run(
        "gst-launch-1.0", "-m", "videotestsrc", "num-buffers=60", "pattern=ball", "!",
        "video/x-raw,width=96,height=64,framerate=25/1", "!", "videoconvert", "!", "talocalize", f"plan={plan_path}",
        "min-score=-100", "window=2", "look-ahead=0.3", "stream=cam", "!", "videoconvert", "!", "fakesink",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = re.findall(r"tal-event, kind=\(string\)final, .*source=\(string\)cam", done.stdout)
    assert events
    wrong = run(
        "gst-launch-1.0", "videotestsrc", "!", "videoconvert", "!", "talocalize", "plan=no.plan", "!", "fakesink"
    )
    assert wrong.returncode != 0
    assert "no.plan" in wrong.stderr
