"""Live sources that need no camera: files, folders, stdin, lists, plain network streams, and what cannot be reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from tal_engine._util.redaction import redact
from tal_engine.errors import SourceError, UsageError
from tal_engine.live.addresses import address_of, expand_streams
from tal_engine.live.connection import Connection
from tal_engine.live.live_source import LiveSource, open_live
from tal_engine.options import LiveOptions
from tal_engine.video import open_video
from tal_engine.video.source import Frame, VideoSource
from tests.makers import moving_square, write_audio_only, write_mp4
from tests.unit.video.test_video_times import write_stamped
from tests.waiting import LONG_S, within


def contents(frames):
    return [(f.pts_seconds, f.image().tobytes()) for f in frames]


def all_of(source, **options):
    with open_live(str(source), LiveOptions(**options)) as live:
        found = list(live.frames())
        assert live.state == "ended"
    return found, live


def failure(source, **options):
    """The error of a source that fails by itself."""
    with open_live(str(source), LiveOptions(**{"reconnect_limit": 4.0, **options})) as live:
        with pytest.raises(SourceError) as e:
            within(lambda: list(live.frames()))
        assert live.state == "failed"
        assert live.poll() is None
    assert e.value.exit_code == 5
    return str(e.value)


# -- files -------------------------------------------------------------------------------------


def make_file(kind, folder):
    images = list(moving_square(60, 48, 64))
    if kind == "vfr":
        times = np.cumsum(np.random.default_rng(0).integers(5, 90, 60)).tolist()
        return write_stamped(folder / "v.mkv", times)
    if kind == "stamps":
        times = [1000 + i * 40 for i in range(60)]
        times[20], times[30] = times[10], 6000
        return write_stamped(folder / "v.mkv", times)
    if kind == "hurt":
        path = write_mp4(folder / "v.mp4", images, options={"movflags": "faststart"})
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
        path.write_bytes(data)
        return path
    return write_mp4(folder / f"v.{kind}", images, audio=kind == "mp4")


@pytest.mark.parametrize("kind", ["mp4", "ts", "mkv", "vfr", "stamps", "hurt"])
def test_a_file_gives_what_open_video_gives(tmp_path, kind):
    path = make_file(kind, tmp_path)
    with open_video(path) as video:
        wanted = contents(video.frames)
    found, live = all_of(path)
    assert contents(found) == wanted
    assert len(wanted) > 20
    assert live.coverage.frames["damaged"] == video.lost
    assert (live.coverage.totals["damaged"] > 0) == (video.lost > 0)
    assert live.frame_seconds == video.frame_seconds
    assert set(video.warnings) == set(live.warnings)
    np.testing.assert_allclose(np.diff([f.wall for f in found]), np.diff([f.pts_seconds for f in found]), atol=1e-5)


def test_real_videos_give_what_open_video_gives(shared):
    path = shared / "videos" / "v_GGSY1Qvo990.mp4"
    with open_video(path) as video:
        wanted = [(f.pts_seconds, f.image()[::40, ::40].tobytes()) for f in video.frames]
    found, _ = all_of(path)
    assert [(f.pts_seconds, f.image()[::40, ::40].tobytes()) for f in found] == wanted


def paced(clip, realtime, monkeypatch):
    """Waits of a source whose clock stands still between them, its frames, and what it is ahead of their time."""
    now, waits, wait, lives = [100.0], [], threading.Event.wait, []

    def waited(self, seconds=None):
        if seconds and lives and self is lives[0]._closing:
            waits.append(seconds)
            now[0] += seconds
            return False
        return wait(self, seconds)

    monkeypatch.setattr(threading.Event, "wait", waited)
    begin = threading.Event()
    options = LiveOptions(realtime=realtime)
    connect = lambda: (begin.wait(LONG_S), Connection(open_video(clip), ends=True))[1]  # noqa: E731
    with LiveSource("x", connect, options, now=lambda: now[0]) as live:
        lives.append(live)
        begin.set()
        frames = list(live.frames())
    return waits, frames, now[0]


def test_a_file_is_paced(clip, monkeypatch):
    """At the pace of its time stamps; the wall clock of each frame is when it is due."""
    waits, frames, end = paced(clip, True, monkeypatch)
    assert waits == pytest.approx([0.04] * 99)
    assert end == pytest.approx(100.0 + frames[-1].pts_seconds)
    assert np.diff([f.wall for f in frames]) == pytest.approx(0.04, abs=1e-5)
    waits, frames, end = paced(clip, False, monkeypatch)
    assert (waits, len(frames), end) == ([], 100, 100.0)


def test_files_that_cannot_be_used_are_named(tmp_path):
    assert "no.mp4: no such file" in failure(tmp_path / "no.mp4")
    assert failure(f"gate={tmp_path / 'no.mp4'}").startswith("gate: ")
    assert failure(f"n={tmp_path / 'no.mp4'}").startswith("n: "), "the name is a letter of the path"
    (tmp_path / "text.mp4").write_text("no video, " * 50)
    assert "cannot be read as a video" in failure(tmp_path / "text.mp4")
    write_audio_only(tmp_path / "sound.mp4")
    assert "no moving pictures" in failure(tmp_path / "sound.mp4")


# -- folders -----------------------------------------------------------------------------------


def test_a_folder_of_images_in_natural_order(tmp_path):
    images = [np.full((20, 30, 3), (200, i * 10, 20), np.uint8) for i in range(12)]
    for i, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"shot{i}.png"), image[..., ::-1])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "shot5.png").write_bytes(b"broken")
    found, live = all_of(tmp_path, fps=10.0)
    kept = [i for i in range(12) if i != 5]
    np.testing.assert_allclose([f.pts_seconds for f in found], [i / 10 for i in kept])
    assert all((f.image() == images[i]).all() for f, i in zip(found, kept, strict=True))
    assert live.coverage.frames["damaged"] == 1
    assert [(m.start, m.end, m.reason) for m in live.coverage.missed] == [(0.5, 0.6, "damaged")]
    (tmp_path / "none").mkdir()
    assert "has no images" in failure(tmp_path / "none")


# -- stdin -------------------------------------------------------------------------------------

READ_STDIN = """
import hashlib, sys
from tal_engine.options import LiveOptions
from tal_engine.live.live_source import open_live
with open_live("-", LiveOptions(raw=sys.argv[1])) as live:
    for f in live.frames():
        print(repr(f.pts_seconds), f.image().shape, hashlib.sha1(f.image().tobytes()).hexdigest())
    print(live.name, live.state, live.coverage.frames["damaged"])
"""


def from_stdin(data, raw=""):
    run = subprocess.run(
        [sys.executable, "-c", READ_STDIN, raw], input=data, capture_output=True, check=True, timeout=LONG_S
    )
    return run.stdout.decode().splitlines()


def test_raw_frames_on_stdin():
    images = np.random.default_rng(0).integers(0, 255, (7, 12, 20, 3), dtype=np.uint8)
    *lines, end = from_stdin(images.tobytes() + b"rest", "20x12@30000/1001")
    assert [float(text.split()[0]) for text in lines] == pytest.approx([i * 1001 / 30000 for i in range(7)])
    assert len({text.split()[-1] for text in lines}) == 7
    assert "(12, 20, 3)" in lines[0]
    assert end == "stdin ended 1"


@pytest.mark.parametrize("ending", ["ts", "mkv"])
def test_a_container_on_stdin_gives_what_its_file_gives(tmp_path, ending):
    import hashlib

    path = write_mp4(tmp_path / f"v.{ending}", moving_square(50, 32, 48), audio=True)
    *lines, end = from_stdin(path.read_bytes())
    with open_video(path) as video:
        wanted = [(f.pts_seconds, hashlib.sha1(f.image().tobytes()).hexdigest()) for f in video.frames]
    assert [(float(t.split()[0]), t.split()[-1]) for t in lines] == [(pytest.approx(s), h) for s, h in wanted]
    assert end.startswith("stdin ended")


@pytest.mark.parametrize("text", ["20x12", "20x12@0", "0x12@25", "x@", "20*12@25", "20x12@25/0"])
def test_raw_layouts_that_make_no_sense(text):
    with pytest.raises(UsageError, match="WIDTHxHEIGHT@FPS"):
        open_live("-", LiveOptions(raw=text))


# -- names and lists ---------------------------------------------------------------------------


def test_passwords_are_never_shown():
    url = "rtsp://admin:s3cret@10.0.0.5:554/live?channel=1&token=abc&x_password=s3cret"
    assert redact(f"{url} is gone") == "rtsp://***@10.0.0.5:554/live?channel=1&token=***&x_password=*** is gone"
    assert address_of(url).uri == url
    assert "s3cret" not in address_of(url).name
    for secret in ("hdnts=st=1~hmac=s3cret", "md5=s3cret", "sessionId=s3cret", "X-Amz-Signature=s3cret", "jwt=s3cret"):
        assert redact(f"http://h/live.m3u8?a=1&{secret}") == f"http://h/live.m3u8?a=1&{secret.split('=')[0]}=***"
    assert redact("http://h/a@b?x=1") == "http://h/a@b?x=1"
    assert address_of(f"door = {url}".replace(" ", "")) == ("door", url)


@pytest.mark.parametrize("password", ["s3/cret", "s3#cret", "s3?cret", "s3 cret", "s3:cret", "s3@cret", "s3/cr@et"])
def test_passwords_that_no_address_may_hold_are_not_shown_either(password):
    """Somebody typed them as they are: what ffmpeg makes of it is its affair, what we show is ours."""
    shown = address_of(f"rtsp://admin:{password}@10.0.0.5:554/live/1").name
    assert shown == "rtsp://***@10.0.0.5:554/live/1"


@pytest.mark.parametrize(
    "plain",
    ["rtsp://h:554/a@b", "http://h:80?x=a@b", "rtsp://[fe80::1]:554/a@b", "http://h/a:b@c", "udp://@239.0.0.1:5"],
)
def test_what_is_no_password_is_shown(plain):
    assert redact(plain).replace("***", "") == plain


def test_passwords_in_paths_are_not_shown():
    recorder = "rtsp://h/user=admin_password=s3cret_channel={}_stream=0.sdp"
    assert redact(recorder.format(1)) == "rtsp://h/user=admin_password=***_channel=1_stream=0.sdp"
    assert redact("http://h/a;token=s3cret") == "http://h/a;token=***"


@pytest.mark.parametrize("name", ["living room", "a+b", "50%", "Tür 1", "(north)", "a,b;c", "it's"])
def test_names_as_people_write_them(name):
    assert address_of(f"{name}=rtsp://h/1?a=b") == (name, "rtsp://h/1?a=b")


@pytest.mark.parametrize(
    "source", ["rtsp://h/1?a=b", "d/a=b.mp4", "C:\\x=y.mp4", "?a=b", "=x.mp4", os.fsdecode(b"\xe9=x.mp4")]
)
def test_what_is_no_name(source):
    assert address_of(source).uri == source


def test_a_name_that_is_no_unicode_can_be_written(tmp_path):
    source = os.fsdecode(b"caf\xe9.mp4")
    assert address_of(source) == ("caf\\udce9.mp4", source)


def test_a_list_that_windows_wrote(tmp_path):
    listed = tmp_path / "yard.streams"
    listed.write_bytes("\ufeffdoor=rtsp://h/1\r\n# the rest\r\n\r\nyard=rtsp://h/2  # one\r\n".encode())
    assert expand_streams(listed) == ["door=rtsp://h/1", "yard=rtsp://h/2"]


def test_lists_of_streams(tmp_path, clip):
    shutil.copy(clip, tmp_path / "clip.mp4")
    listed = tmp_path / "yard.streams"
    listed.write_text("# cameras\nrtsp://a:b@h/1#frag  # the gate\n\ndoor=rtsp://h/2?a=b\nclip.mp4\nshed=clip.mp4\n0\n")
    near = str(tmp_path / "clip.mp4")
    assert expand_streams(listed) == ["rtsp://a:b@h/1#frag", "door=rtsp://h/2?a=b", near, f"shed={near}", "0"]
    assert expand_streams("rtsp://h/list.txt") == ["rtsp://h/list.txt"]
    assert expand_streams("v.mp4") == ["v.mp4"]
    with pytest.raises(SourceError, match=r"no\.streams: cannot be read as a list"):
        expand_streams(tmp_path / "no.streams")
    for text, error in (("# none\n", SourceError), ("a.mp4\na.mp4", UsageError), ("-\n-", UsageError)):
        listed.write_text(text)
        with pytest.raises(error):
            expand_streams(listed)


@pytest.mark.parametrize(
    ("field", "value"),
    [("policy", "drop"), ("buffer", 1), ("source_timeout", 0), ("reconnect_longest", 0.1), ("reconnect_limit", -1),
     ("transport", "tls"), ("fps", 0), ("reconnect_first", float("inf"))],
)  # fmt: skip
def test_options_that_make_no_sense_are_named(field, value):
    with pytest.raises(UsageError, match=f"{field} is "):
        LiveOptions(**{field: value})


# -- policies, through the thread --------------------------------------------------------------


def numbers(policy, count=500, buffer=8):
    """What is left when the taker comes after the last frame."""
    images = [np.full((2, 2, 3), i % 256, np.uint8) for i in range(count)]
    frames = (Frame(i / 25, lambda i=i: images[i]) for i in range(count))
    live = LiveSource(
        "x",
        lambda: Connection(VideoSource("x", frames, 25.0, 0.04), ends=True),
        LiveOptions(policy=policy, buffer=buffer),
    )
    if policy != "wait":
        live._thread.join(LONG_S)
    with live:
        return [round(f.pts_seconds * 25) for f in live.frames()], live.coverage


def test_policies_of_a_source():
    assert numbers("wait")[0] == list(range(500))
    taken, coverage = numbers("drop_oldest")
    assert taken == list(range(492, 500))
    assert coverage.to_dict()["not_analysed"]["dropped"] == pytest.approx(492 / 25)
    assert coverage.seen_seconds == pytest.approx(8 / 25)
    assert numbers("drop_latest")[0] == list(range(8))
    taken, coverage = numbers("adaptive")
    assert len(taken) == 8
    assert coverage.totals["dropped"] == pytest.approx(492 / 25)


def test_an_error_nobody_thought_of_is_told(caplog):
    def broken():
        yield Frame(0.0, lambda: np.zeros((2, 2, 3), np.uint8))
        raise RuntimeError("what is this: 'http://me:hush@h/?token=hush'")

    live = LiveSource("x", lambda: Connection(VideoSource("x", broken(), 25.0, 0.04), True), LiveOptions())
    with pytest.raises(SourceError, match=r"x: reading failed \(RuntimeError: what is this: 'http://\*\*\*@h/") as e:
        list(live.frames())
    assert "test_live.py" in caplog.text
    assert "hush" not in caplog.text + str(e.value)
