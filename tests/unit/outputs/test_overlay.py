"""Videos that are written: annotated ones, and clips of events; read back picture by picture."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tal_engine.errors import SinkError, UsageError, VideoError
from tal_engine.outputs.render import overlay
from tal_engine.outputs.render.frame_ring import Ring
from tal_engine.outputs.render.overlay import Annotator, LiveOverlay
from tal_engine.outputs.render.panel import COLOURS, OTHERS, Inks, Panel, colour, lanes_of
from tal_engine.outputs.render.video_writer import Movie
from tal_engine.outputs.sinks.clips import LiveClips, clip_name
from tal_engine.records import Info, Segment
from tal_engine.results import Localization
from tal_engine.vocabulary import Vocabulary
from tests.events import PLAN, event, final, provisional
from tests.makers import moving_square, write_mp4
from tests.waiting import no_thread_left, stays, until

TAL = Path(sys.executable).with_name("tal")
FPS = 25


def numbered(count, height=48, width=64):
    """Pictures that tell their number: its bits as white and black fields, which survive any encoder."""
    for i in range(count):
        image = np.full((height, width, 3), 0, np.uint8)
        for bit in range(16):
            if i >> bit & 1:
                image[(bit // 8) * height // 2 : (bit // 8 + 1) * height // 2, bit % 8 * 8 : bit % 8 * 8 + 8] = 255
        yield image


def number(image):
    height = image.shape[0]
    return sum(
        1 << bit for bit in range(16) if image[(bit // 8) * height // 2 + height // 4, bit % 8 * 8 + 4].mean() > 127
    )


def read(path):
    """(seconds, picture) of a video."""
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def near(pixel, wanted):
    return np.abs(pixel.astype(int) - np.array(wanted)).max() < 40


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_movie_keeps_pictures_and_times(ending, tmp_path):
    path = tmp_path / f"m{ending}"
    images = list(numbered(60))
    times = [k / FPS for k in range(60)]
    movie = Movie(path, FPS)
    for t, image in zip(times, images, strict=True):
        movie.write(image, t)
        movie.write(image, t)  # not later: left out
    movie.close()
    found = read(path)
    assert [number(image) for _, image in found] == list(range(60))
    assert [t for t, _ in found] == pytest.approx(times, abs=1e-3)


def test_movie_of_odd_and_changing_size(tmp_path):
    movie = Movie(tmp_path / "m.mp4")
    for k, shape in enumerate([(33, 47), (33, 47), (66, 94), (7, 5)]):
        movie.write(np.full((*shape, 3), 200, np.uint8), k / FPS)
    movie.close()
    assert [image.shape for _, image in read(tmp_path / "m.mp4")] == [(34, 48, 3)] * 4


def test_movie_of_nothing_and_bad_endings(tmp_path):
    Movie(tmp_path / "m.mp4").close()
    for name in ("m", "m.webm", "m.txt"):
        with pytest.raises(UsageError, match=r"must be one of \.mp4"):
            Movie(tmp_path / name)
    movie = Movie(tmp_path / "nowhere" / "m.mp4")
    movie.write(next(numbered(1)), 0.0)
    with pytest.raises(SinkError, match=r"nowhere/m\.mp4: cannot be written \(No such file"):
        movie.close()


def test_without_h264(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    movie = Movie(tmp_path / "m.mp4")
    for k, image in enumerate(numbered(10)):
        movie.write(image, k / FPS)
    movie.close()
    assert [number(image) for _, image in read(tmp_path / "m.mp4")] == list(range(10))
    with av.open(str(tmp_path / "m.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    monkeypatch.setattr(av, "codecs_available", set())
    movie = Movie(tmp_path / "n.mp4")
    with pytest.raises(SinkError, match="none of the encoders libx264, mpeg4"):
        movie.write(image, 0.0)


def test_overlay_shows_what_is_on(tmp_path):
    segments = [Segment(1.0, 2.0, "run", 0.9), Segment(3.0, 4.0, "jump", 0.5)]
    result = Localization(segments, Info("v", duration=4.0), Vocabulary(["run", "jump"]))
    frames = [(k / FPS, np.full((240, 320, 3), 128, np.uint8)) for k in range(100)]
    overlay.write(tmp_path / "o.mp4", result, frames, FPS)
    assert all((image == 128).all() for _, image in frames)  # the caller's pictures are untouched
    found = read(tmp_path / "o.mp4")
    assert len(found) == 100
    panel = Panel(240, 320, 2, named=("run", "jump"))
    inks = {"run": colour("run"), "jump": colour("jump")}
    assert len(set(inks.values())) == 2
    for t, image in found:
        assert image.shape == (240 + panel.rows, 320, 3)
        assert near(image[:238], 128)  # nothing is drawn into the picture
        on = [s for s in segments if s.start <= t + 1e-6 < s.end]
        square = image[240 + round(0.7 * panel.line), panel.line // 3 + 3]
        assert near(square, inks[on[0].label] if on else (25, 25, 25)), t
        for lane, (name, middle) in enumerate((("run", 0.375), ("jump", 0.875))):
            row = 240 + sum(panel.lane(lane)) // 2
            assert near(image[row, panel.column(middle)], inks[name]) or abs(t - 4 * middle) < 0.08
            assert near(image[row, panel.column(0.6)], (52, 52, 52)) or abs(t - 2.4) < 0.08
            cursor = panel.column(t / 4.0)
            assert image[row, max(cursor - 2, 0) : cursor + 3].min(axis=1).max() > 110, t


@pytest.mark.parametrize(("height", "width"), [(48, 64), (240, 320), (1080, 1920), (1280, 720)])
def test_a_panel_has_room_for_its_names_and_time(height, width):
    names = ("clean and jerk", "a class with a name that is longer than any picture is wide", "sit")
    panel = Panel(height, width, 3, named=names)
    segment = Segment(0.0, 2.0, names[1], 0.5)
    drawn = panel.draw(1.0, [segment], (0.0, 4.0), names, "0:01.0 / 0:04.0", Inks())
    assert drawn.shape == (panel.rows, width, 3)
    assert (panel.rows + height) % 2 == 0
    assert panel.rows < height or height < 240
    left, right = panel.strip
    assert left <= 0.36 * width + 1 < right < width
    below = drawn[panel.lane(1)[0] : panel.lane(1)[1]]
    assert (below[:, left:right] == colour(names[1])).all(axis=2).any()
    written = (drawn[panel.lane(0)[0] : panel.lane(0)[1], :left] > 180).any()
    assert written == (width >= 120)


def test_lanes_and_colours_are_told_apart():
    segments = [Segment(0, 1, f"class {i}", 1 - i / 20) for i in range(9)]
    assert lanes_of(segments) == (*(f"class {i}" for i in range(5)), OTHERS)
    assert lanes_of([Segment(0, 1, "run ?", 0.2), Segment(1, 2, "run", 0.1)]) == ("run",)
    inks = Inks()
    assert {inks(f"class {i}") for i in range(len(COLOURS))} == set(COLOURS)
    assert inks("class 3 ?") == inks("class 3")
    assert Inks()("run") == colour("run")


def test_people_are_drawn_in_colours_of_their_own(tmp_path):
    class Someone:
        def __init__(self, subject, x, visible=1.0):
            self.subject, self.visible = subject, np.full(33, visible)
            self.points = np.random.default_rng(subject).uniform(-20, 20, (33, 3)) + np.array([x, 60, 0])

    people = [Someone(0, 40), Someone(1, 120), Someone(2, 200, visible=0.1), Someone(3, np.nan)]
    people[3].points = np.full((33, 3), 1e9)
    asked = []
    image = np.zeros((120, 240, 3), np.uint8)
    annotate = Annotator(3, people=lambda picture, seconds: asked.append((picture.shape, seconds)) or people)
    drawn = annotate(image, 1.0, [], (0.0, 2.0), "")
    other = annotate(np.zeros((60, 120, 3), np.uint8), 1.5, [], (0.0, 2.0), "")  # all get the size of the first
    assert asked == [((120, 240, 3), 1.0), ((120, 240, 3), 1.5)]
    assert other.shape == drawn.shape
    assert not image.any()
    for columns, inks in ((slice(0, 80), {0}), (slice(80, 160), {1}), (slice(160, 240), set())):
        there = {i for i in range(4) if (drawn[:120, columns] == COLOURS[i]).all(axis=2).any()}
        assert there == inks


def test_overlay_is_whole_or_not_there(tmp_path):
    def breaks():
        yield 0.0, np.zeros((48, 64, 3), np.uint8)
        raise VideoError(None, "gone")

    result = Localization([], Info("v", duration=1.0), Vocabulary(["a"]))
    with pytest.raises(VideoError, match="gone"):
        overlay.write(tmp_path / "o.mp4", result, breaks(), FPS)
    assert not list(tmp_path.iterdir())


def test_live_overlay_draws_what_becomes_final_in_time(tmp_path):
    gray = np.full((96, 128, 3), 128, np.uint8)
    with LiveOverlay(tmp_path / "o.mp4", 4.0, span_s=5.0) as sink:
        for k in range(250):
            t = k / FPS
            sink.push(gray, t)
            if k == 100:
                sink.write(final("a", 1.0, 2.0, label="run"))  # at 4 s: in time for all of it
            if k == 200:
                sink.write(final("b", 3.0, 5.0, label="jump"))  # at 8 s: too late for what was shown until 4 s
            if k == 150:
                sink.write(provisional("c", 6.0, label="sit"))  # open, and withdrawn before its time comes
            if k == 220:
                sink.write(event(id="c", kind="withdrawn", start=6.0, end=None))
    found = read(tmp_path / "o.mp4")
    assert len(found) == 250
    for t, image in found:
        square = image[96 + round(0.7 * 14), 14 // 3 + 3]
        shown = next((n for n in ("run", "jump", "sit") if near(square, colour(n))), None)
        wanted = "run" if 1.0 <= t < 1.99 else "jump" if 4.0 <= t < 4.99 else None
        if min(abs(t - e) for e in (1.0, 2.0, 4.0, 5.0)) > 0.05:
            assert shown == wanted, t


def test_live_overlay_can_be_played_after_a_crash(tmp_path):
    sink = LiveOverlay(tmp_path / "o.mp4", 0.5)
    for k, image in enumerate(numbered(400)):
        sink.push(image, k / FPS)
    shutil.copy(tmp_path / "o.mp4", tmp_path / "crashed.mp4")
    sink.close()
    assert len(read(tmp_path / "crashed.mp4")) >= 250
    with LiveOverlay(tmp_path / "o.mp4", 0.5) as again:  # a restart writes beside it
        assert again.path.name == "o.000001.mp4"
    assert len(read(tmp_path / "o.mp4")) == 400


def test_live_overlay_is_bounded(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    with LiveOverlay(tmp_path / "o.mp4", 1e6, max_bytes=200_000) as sink:
        for k in range(100):
            sink.push(noise, k / FPS)
            sink.write(final(f"e{k}", k / FPS - 100, k / FPS - 99))
            assert sink._ring.size <= 200_000 + 40_000
            assert len(sink._segments) <= 60
        assert sink.early > 50
    assert len(read(tmp_path / "o.mp4")) == 100


def test_ring_keeps_seconds_and_bytes():
    ring = Ring(2.0, max_side=32)
    image = next(numbered(1))
    gone = [k.seconds for i in range(200) for k in ring.push(image, i / FPS)]
    assert len(ring) == 51
    assert gone == [i / FPS for i in range(149)]
    assert ring.lost == gone[-1]
    assert ring.push(image, 1.0) == []  # time that went back
    assert [k.seconds for k in ring.between(6.0, 6.1)] == [6.0, 6.04, 6.08]
    assert ring.between(6.0, 6.1)[0].image().shape == (24, 32, 3)
    for name, value in (("seconds", 0), ("max_bytes", 0), ("max_side", -1)):
        with pytest.raises(UsageError, match=name):
            Ring(**{"seconds": 1.0, name: value})


def letters(folder):
    path = folder / "not-cut.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_clip_names():
    assert clip_name("cam1-12.5") == "cam1-12.5"
    odd = ["a/b", "a_b", "a b", "..", "", ".hidden", "é" * 300, "x" * 300, "a\0b"]
    names = [clip_name(n) for n in odd]
    assert len(set(names)) == len(odd)
    assert all(len(n) < 120 and n not in ("", ".", "..") and "/" not in n and n[0] != "." for n in names)


def test_a_clip_is_cut_once(tmp_path):
    def cut():
        with LiveClips(tmp_path, ring_s=6.0, pad_s=0.4) as sink:
            for k, image in enumerate(numbered(80)):
                sink.push(image, k / FPS)
            sink.write(final("../a", 1.0, 2.0))
            sink.write(provisional("p", 1.0))
        return (tmp_path / f"{clip_name('../a')}.mp4").stat().st_mtime_ns

    first = cut()
    assert cut() == first
    assert len(list(tmp_path.iterdir())) == 2
    about = tmp_path / f"{clip_name('../a')}.json"
    document = json.loads(about.read_text())
    assert document["event"] == final("../a", 1.0, 2.0).to_dict()
    assert (document["plan"], document["pictures"], document["complete"]) == (PLAN, 45, True)
    about.unlink()  # a crash between the two: it is cut again
    assert cut() > first
    assert about.exists()


def test_live_clips(tmp_path):
    with LiveClips(tmp_path, ring_s=6.0, pad_s=0.4) as sink:
        for k, image in enumerate(numbered(500)):
            sink.push(image, k / FPS)
            if k == 150:
                sink.write(final("whole", 2.0, 3.0))
                until(lambda: (tmp_path / "whole.json").exists())
            if k == 300:
                sink.write(final("late", 5.0, 8.0))  # at 12 s the ring begins at 6 s
                until(lambda: (tmp_path / "late.json").exists())
            if k == 400:
                sink.write(final("gone", 1.0, 2.0))
            if k == 490:
                sink.write(final("cut off", 19.0, 30.0))  # the stream ends before the action's pad
    whole, late = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("whole", "late"))
    assert [number(i) for _, i in read(tmp_path / "whole.mp4")] == list(range(40, 85))
    assert (whole["complete"], whole["lacks"]) == (True, {})
    assert (late["complete"], late["lacks"]) == (False, {"start_s": pytest.approx(1.4, abs=0.05)})
    assert [number(i) for _, i in read(tmp_path / "late.mp4")] == list(range(150, 210))
    cut = json.loads((tmp_path / f"{clip_name('cut off')}.json").read_text())
    assert cut["lacks"] == {"end_s": pytest.approx(10.44, abs=0.05)}
    (letter,) = letters(tmp_path)
    assert letter["event"]["id"] == "gone"
    assert "no pictures" in letter["reason"]


def test_live_clips_wait_for_the_pad_and_hold_up_nothing(tmp_path):
    images = list(numbered(100))
    with no_thread_left("tal-clips"), LiveClips(tmp_path, ring_s=30.0, pad_s=1.0) as sink:
        for k in range(50):
            sink.push(images[k], k / FPS)
        sink.write(final("a", 0.5, 1.9))
        assert stays(lambda: not (tmp_path / "a.json").exists())
        for k in range(50, 100):
            sink.push(images[k], k / FPS)
        until(lambda: (tmp_path / "a.json").exists())
    assert [number(i) for _, i in read(tmp_path / "a.mp4")] == list(range(73))


def tal(*args):
    return subprocess.run([TAL, *map(str, args)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_mp4(tmp_path_factory.mktemp("clip") / "a.mp4", moving_square(100, 48, 64))


def test_localize_writes_subtitles_and_video(clip, plan_path, tmp_path):
    for kind in ("srt", "vtt"):
        out = tmp_path / f"a.{kind}"
        done = tal("localize", clip, "--plan", plan_path, "-o", out, "-q", "--save-video", tmp_path / f"{kind}.mp4")
        assert (done.returncode, done.stderr) == (0, "")
        assert out.read_text().count(" --> ") >= 1
        shown = tal("localize", clip, "--plan", plan_path, "--format", kind, "-q").stdout
        assert shown == out.read_text()
        found = read(tmp_path / f"{kind}.mp4")
        assert len(found) == 100
        assert found[0][1].shape[0] > 48
        assert found[0][1].shape[1:] == (64, 3)


def test_localize_refuses_early(clip, plan_path, tmp_path):
    other = tmp_path / "b.mp4"
    shutil.copy(clip, other)
    for arguments, words in (
        ((clip, other, "-o", tmp_path / "r.srt"), "holds one video, got 2"),
        ((tmp_path / "f.npz", "--save-video", tmp_path / "o.mp4"), "holds only features"),
        ((other, "--save-video", other), "is the input itself"),
        ((clip, "--save-video", tmp_path / "o.txt"), "must be one of .mp4"),
    ):
        done = tal("localize", *arguments, "--plan", plan_path)
        assert done.returncode == 2
        assert words in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["b.mp4"]


FULL = """
import resource, sys, numpy as np
from tal_engine.outputs.render import overlay, video_writer
from tal_engine.errors import SinkError
from tal_engine.records import Info
from tal_engine.results import Localization
from tal_engine.vocabulary import Vocabulary
rng = np.random.default_rng(0)
frames = ((k / 25, rng.integers(0, 256, (120, 160, 3), np.uint8)) for k in range(int(sys.argv[3])))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    overlay.write(sys.argv[1], Localization([], Info("v", duration=4.0), Vocabulary(["a"])), frames, 25)
except SinkError as e:
    print(e)
"""


def test_full_disk_while_a_video_is_written(tmp_path):
    """At the head, amid the pictures, and around the last byte: whole and readable, or told and gone.

    libx264's sizes differ by a few bytes from run to run, so no one limit is known to be the last byte.
    """

    def run(path, limit, pictures=100):
        command = [sys.executable, "-c", FULL, path, str(limit), str(pictures)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    whole = tmp_path / "whole.mp4"
    assert run(whole, 10**9) == ""
    size = whole.stat().st_size
    told, out = "o.mp4: cannot be written (File too large)", tmp_path / "o.mp4"
    for limit in (0, 10, 10_000, size // 2, size - 500):
        assert told in run(out, limit)
        assert [p.name for p in tmp_path.iterdir()] == ["whole.mp4"]
    assert told in run(out, 0, pictures=2)
    for limit in (size - 2, size - 1, size, size + 1):
        said = run(out, limit)
        assert told in said or (said == "" and len(read(out)) == 100)
        assert out.exists() == (said == "")
        out.unlink(missing_ok=True)
    assert run(out, size + 500) == ""
    assert len(read(out)) == 100


def test_a_movie_that_failed_is_left_alone(tmp_path):
    """libav crashes the process when it is given more after a head that could not be written."""
    code = (
        "import resource, sys, numpy as np\n"
        "from tal_engine.errors import SinkError\n"
        "from tal_engine.outputs.render.video_writer import Movie\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "movie, failed = Movie(sys.argv[1], live=True), 0\n"
        "for k in range(100):\n"
        "    try:\n"
        "        movie.write(np.zeros((48, 64, 3), np.uint8), k / 25)\n"
        "    except SinkError as e:\n"
        "        failed, told = failed + 1, str(e)\n"
        "movie.close()\n"
        "print(failed, told)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "o.mp4"], capture_output=True, text=True, check=True)
    failed, told = done.stdout.split(maxsplit=1)
    assert int(failed) > 40
    assert "o.mp4: cannot be written (File too large)" in told
