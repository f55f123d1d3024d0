"""Outputs of commands: one for each input, never over an input, through pipes and links; and exit statuses."""

import csv
import json
import os
import shutil
import signal
import stat
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from tal_engine._util.names import VIDEO_SUFFIXES
from tal_engine.cli.inputs import expand_inputs, expand_sources
from tal_engine.errors import CheckpointError, FeatureError, PlanError, PlanFault, SnapshotError, UsageError, VideoError
from tal_engine.inference.extraction import Extraction, extract_all
from tal_engine.outputs.render.overlay import LiveOverlay
from tal_engine.outputs.sinks.registry import SinkOptions, open_sink
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tests.events import final
from tests.integration.test_cli import TAL, tal
from tests.makers import moving_square, write_mp4
from tests.waiting import LONG_S, until

POSIX = pytest.mark.skipif(os.name != "posix", reason="pipes and signals of POSIX")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory):
    """DAY/CAMERA/00.10.mp4: two videos of one file name, of different length."""
    root = tmp_path_factory.mktemp("recorder")
    for day, count in (("mon", 100), ("tue", 60)):
        (root / day / "cam").mkdir(parents=True)
        write_mp4(root / day / "cam" / "00.10.mp4", moving_square(count, 48, 64))
    return root


@pytest.mark.parametrize("form", ["json", "csv", "jsonl"])
def test_two_videos_of_one_file_name_are_both_kept(recorder, plan_path, tmp_path, form):
    more = ("--save-video", tmp_path / "s.mp4", "--plot", tmp_path / "p.png") if form == "json" else ()
    done = tal("localize", recorder, "--plan", plan_path, "-o", tmp_path / f"r.{form}", "-q", *more)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / f"r.{form}").read_text()
    if form == "json":
        assert sorted(json.loads(text)["results"]) == ["mon/cam/00.10", "tue/cam/00.10"]
        pictures = {f"{k}-{d}-cam-00.10.{e}" for d in ("mon", "tue") for k, e in (("s", "mp4"), ("p", "png"))}
        assert {p.name for p in tmp_path.iterdir()} == pictures | {"r.json"}
    else:
        rows = csv.DictReader(text.splitlines()) if form == "csv" else map(json.loads, text.splitlines())
        key = "video" if form == "csv" else "source"
        assert {r[key] for r in rows} == {str(p) for p in recorder.rglob("*.mp4")}


@pytest.mark.parametrize("option", ["-o", "--plot", "--save-video"])
def test_an_output_never_overwrites_an_input(recorder, plan_path, tmp_path, option):
    source = tmp_path / "clip.mp4"
    shutil.copy(next(recorder.rglob("*.mp4")), source)
    (tmp_path / "link.mp4").symlink_to(source)
    before = source.read_bytes()
    for target in (source, tmp_path / "link.mp4"):
        done = tal("localize", source, "--plan", plan_path, option, target, "--format", "csv", "-q")
        assert done.returncode == 2
        assert "is the input itself" in done.stderr
    assert source.read_bytes() == before
    assert (tmp_path / "link.mp4").is_symlink()


@POSIX
def test_output_through_a_pipe_a_link_and_standard_output(recorder, plan_path, tmp_path):
    source, got = recorder / "mon" / "cam" / "00.10.mp4", []
    os.mkfifo(tmp_path / "pipe.json")
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe.json").read_text()))
    reader.start()
    assert tal("localize", source, "--plan", plan_path, "-o", tmp_path / "pipe.json", "-q").returncode == 0
    reader.join(LONG_S)
    assert list(json.loads(got[0])["results"]) == ["00.10"]
    assert stat.S_ISFIFO((tmp_path / "pipe.json").stat().st_mode)

    (tmp_path / "link.json").symlink_to("real.json")
    assert tal("localize", source, "--plan", plan_path, "-o", tmp_path / "link.json", "-q").returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == json.loads(got[0])

    done = tal("localize", source, "--plan", plan_path, "-o", "/dev/stdout", "--format", "activitynet", "-q")
    assert json.loads(done.stdout) == json.loads(got[0])


@POSIX
@pytest.mark.parametrize("kind", ["jsonl", "csv", "srt", "vtt"])
def test_sinks_of_streams_write_through(tmp_path, kind):
    with open_sink(f"{kind}:/dev/null") as sink:
        sink.write(final("1"))
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    with open_sink(f"{kind}:{pipe}") as sink:
        sink.write(final("1"))
        sink.write(final("2", 5.0, 6.0))
    reader.join(LONG_S)
    with open_sink(f"{kind}:{tmp_path / 'file'}") as sink:
        sink.write(final("1"))
        sink.write(final("2", 5.0, 6.0))
    assert got == [(tmp_path / "file").read_text()]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@POSIX
def test_a_file_of_events_behind_a_link_is_put_aside_and_the_link_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "events.jsonl"
    link.symlink_to("disk/events.jsonl")
    with open_sink(f"jsonl:{link}", SinkOptions(max_bytes=10)) as sink:
        sink.write(final("1"))
        sink.write(final("2"))
    assert link.is_symlink()
    assert sorted(p.name for p in (tmp_path / "disk").iterdir()) == ["events.000001.jsonl", "events.jsonl"]


@POSIX
def test_a_live_video_through_a_pipe(tmp_path):
    pipe, got = tmp_path / "live.mkv", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    with LiveOverlay(pipe, 0.1) as video:
        for i, image in enumerate(moving_square(30, 48, 64)):
            video.push(image, i / 25)
    reader.join(LONG_S)
    assert got[0].startswith(b"\x1a\x45\xdf\xa3")
    assert [p.name for p in tmp_path.iterdir()] == ["live.mkv"]


class FakeExtractor:
    """Gives features that say which video they are of."""

    def __call__(self, video, progress=None):
        x = np.full((1, 2), video.stat().st_size, np.float32)
        return Extraction(Features({"rgb": x}, Timeline(0.0, 1.0, 1.0), 1.0, {}), {}, [])


def test_features_of_one_file_name_are_all_written(recorder, tmp_path):
    videos = sorted(recorder.rglob("*.mp4"))
    outcome = extract_all(videos, tmp_path, FakeExtractor(), workers=2)
    assert sorted(outcome.made) == videos
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.npz"))
    assert written == ["mon/cam/00.10.npz", "tue/cam/00.10.npz"]
    for video, path in zip(videos, written, strict=True):
        with np.load(tmp_path / path) as file:
            assert file["rgb"][0, 0] == video.stat().st_size


def test_a_folder_is_its_videos_and_what_is_left_out_is_said(tmp_path, capsys):
    names = ["a.mp4", "b.GIF", "sub/c.mkv", ".a.mp4.x1y2.mp4", ".hidden/d.mp4", "._a.mp4", "e.m2ts", "note.txt"]
    for name in [*names, "thumb.png", "list.m3u8", "frames/0001.jpg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = expand_sources([tmp_path, tmp_path / "sub" / ".." / "a.mp4"])
    assert [p.name for p in found] == ["a.mp4", "b.GIF", "e.m2ts", "c.mkv"]
    said = capsys.readouterr().err
    assert "left out: 2 pictures such as" in said
    assert "1 playlist such as" in said
    assert {".gif", ".mp4", ".ts", ".m2ts", ".asf"} <= VIDEO_SUFFIXES
    with pytest.raises(VideoError, match=r"no videos in this folder, only 1 picture such as .*0001\.jpg"):
        expand_sources([tmp_path / "frames"])


def test_a_killed_write_is_no_video_of_the_next_scan(tmp_path):
    code = "import os, sys; from tal_engine._util.files import whole_file\n"
    code += "with whole_file(sys.argv[1]): os.kill(os.getpid(), 9)"
    subprocess.run([Path(TAL).with_name("python"), "-c", code, tmp_path / "v.mp4"], check=False, timeout=LONG_S)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(VideoError, match="no videos"):
        expand_sources([tmp_path])


def test_addresses_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("playlist:x.mp4").write_bytes(b"x")
    given = ["https://h/a.mp4", "s3://b/c.mp4", "playlist:show.m3u8"]
    assert expand_inputs([*given, "https://h/a.mp4", "playlist:x.mp4"]) == [*given, Path("playlist:x.mp4")]
    with pytest.raises(UsageError, match="no input"):
        expand_inputs([])


MISSING = {
    "video": ("localize", "none.mp4"),
    "features": ("localize", "none.npz"),
    "plan": ("localize", "none.mp4", "--plan", "none.plan"),
    "inspected plan": ("plan", "inspect", "none.plan"),
    "annotations": ("eval", "none.json", "none.csv"),
    "truth": ("localize", "none.mp4", "--truth", "none.json"),
    "stream": ("stream", "none.mp4", "-q"),
    "description": ("data", "check", "none.yaml"),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_missing_input_of_any_kind_has_one_status(tmp_path, what):
    done = tal(*MISSING[what], cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    assert "none." in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_know_their_status():
    assert PlanError(PlanFault.MISSING_FILE, "x").exit_code == 5
    assert PlanError(PlanFault.NOT_A_PLAN, "x").exit_code == 1
    assert [e("x").missing().exit_code for e in (FeatureError, CheckpointError, SnapshotError, UsageError)] == [5] * 4
    assert (FeatureError("x").exit_code, UsageError("x").exit_code) == (1, 2)


@POSIX
def test_sigterm_ends_with_143_and_leaves_nothing_half_written(tmp_path):
    begun = [TAL, "demo", "render", "-o", tmp_path, "--split", "train", "--count", "500", "--workers", "1"]
    process = subprocess.Popen(begun, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        videos = tmp_path / "videos"
        until(lambda: videos.is_dir() and list(videos.iterdir()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 143
    finally:
        process.kill()
        process.wait()
    assert not [p.name for p in videos.iterdir() if p.name.startswith(".")]
