"""A path that exists is a file, and neither a name nor a content opens anything else; all on loopback."""

import http.server
import os
import shutil
import threading
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tal_engine._util.files import check_outputs
from tal_engine._util.opening import MEDIA_FORMATS, live_options, playlist_kind
from tal_engine.cli.inputs import expand_inputs
from tal_engine.errors import MissingExtraError, SourceError, UsageError, VideoError, VideoFault
from tal_engine.live.addresses import address_of, is_url
from tal_engine.live.live_source import open_live
from tal_engine.options import LiveOptions
from tal_engine.outputs.render.video_writer import Movie
from tal_engine.video import open_video
from tests.makers import moving_square, write_mp4
from tests.waiting import LONG_S


class Counting(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, with ranges; what was asked for is counted."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.token and f"token={self.server.token}" not in self.path:
            return self.send_error(403)
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        data, first = path.read_bytes(), 0
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            first, last = int(first), min(int(last or len(data) - 1), len(data) - 1)
            part = data[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        else:
            part = data
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)
        return None

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args):
        pass


@pytest.fixture
def web(tmp_path):
    """A server of tmp_path/web; `asked` are the paths that were asked for."""
    (tmp_path / "web").mkdir()
    handler = partial(Counting, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked, server.token, server.folder = [], "", tmp_path / "web"
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join(LONG_S)


def count(source):
    with open_video(source) as video:
        return sum(1 for _ in video.frames)


def live_count(source, **options):
    with open_live(str(source), LiveOptions(source_timeout=5.0, reconnect_limit=0.5, **options)) as live:
        frames = 0
        try:
            for _ in live.frames():
                frames += 1
        except SourceError as e:
            return frames, str(e)
        return frames, ""


def failure(source):
    with pytest.raises(VideoError) as e:
        count(source)
    return e.value


NAMES = [
    "12:30:45.mp4", "http:x.mp4", "-dash.mp4", "100%.mp4", "a%03d.mp4", "q?x=1.mp4", "a b#c.mp4", "[1]{2}*.mp4",
    "é.mp4", "data:,x.mp4", "pipe:0", "no ending", "crypto:clip.mp4", "NAME=x.mp4", "file:a.mp4", "playlist:a.mp4",
    "\n.mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_exists_is_a_file(clip, tmp_path, monkeypatch, name):
    shutil.copy(clip, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert count(name) == count(tmp_path / name) == 100
    if name.strip() == name:  # blanks around a source are no part of it
        assert live_count(name) == (100, "")


def test_a_name_that_is_no_text_is_a_file(clip, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff:\xfe.mp4")
    try:
        shutil.copy(clip, path)
    except OSError:
        pytest.skip("this file system takes text only")
    assert count(path) == 100


@pytest.mark.parametrize("name", ["img%03d.png", "img*.png", "a?b.jpg", "p.png", "x%d.webp"])
def test_a_picture_is_one_picture_and_no_pattern(tmp_path, name):
    for path in (name, "img001.png", "img002.png", "img000.png", "x1.webp", "x2.webp"):
        assert cv2.imwrite(str(tmp_path / path), np.zeros((32, 48, 3), np.uint8))
    assert count(tmp_path / name) == 1


def test_a_camera_s_number_that_is_a_file_is_that_file(clip, tmp_path, monkeypatch):
    shutil.copy(clip, tmp_path / "0")
    monkeypatch.chdir(tmp_path)
    assert live_count("0") == (100, "")


def write_list(path, kind, target):
    texts = {
        "m3u8": f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{target}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{target}'\n",
        "mpd": f'<?xml version="1.0"?>\n<MPD><Period><BaseURL>{target}</BaseURL></Period></MPD>\n',
        "pls": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n",
        "m3u": f"{target}\n",
    }
    path.write_text(texts[kind])
    return path


@pytest.mark.parametrize("kind", ["m3u8", "ffconcat", "mpd", "pls", "m3u"])
@pytest.mark.parametrize("disguise", ["", ".mp4"])
def test_a_playlist_is_refused_by_name_and_fetches_nothing(web, tmp_path, clip, kind, disguise):
    shutil.copy(clip, web.folder / "seg.mp4")
    if kind == "m3u" and disguise:
        pytest.skip("nothing but its ending tells it")
    path = write_list(tmp_path / f"list.{kind}{disguise}", kind, f"{web.url}/seg.mp4")
    e = failure(path)
    assert e.fault is VideoFault.NOT_A_VIDEO
    assert f"{path.name}: is " in str(e)
    assert "list" in str(e) or "manifest" in str(e)
    assert ("playlist:" in str(e)) == (kind in ("m3u8", "ffconcat", "mpd"))
    assert f"{path.name}: is " in live_count(path)[1]
    assert web.asked == []


def write_segment(path, frames=100):
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for image in moving_square(frames, 64, 96):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


@pytest.mark.parametrize("kind", ["m3u8", "ffconcat"])
def test_a_playlist_that_is_asked_for_reads_files_of_this_machine(tmp_path, kind):
    write_segment(tmp_path / "seg")
    path = write_list(tmp_path / f"show.{kind}", kind, "seg")
    assert count(f"playlist:{path}") == 100
    assert live_count(f"playlist:{path}") == (100, "")


@pytest.mark.parametrize("kind", ["m3u8", "ffconcat"])
def test_a_playlist_that_is_asked_for_reads_no_addresses(web, tmp_path, kind):
    write_segment(web.folder / "seg.ts")
    path = write_list(tmp_path / f"show.{kind}", kind, f"{web.url}/seg.ts")
    with pytest.raises(VideoError):
        count(f"playlist:{path}")
    assert web.asked == []


@pytest.mark.parametrize("name", ["seg", "seg.php", "seg.mp4.html"])
def test_segments_of_a_playlist_may_be_called_anything(web, name):
    write_segment(web.folder / name)
    write_list(web.folder / "live.m3u8", "m3u8", name)
    assert live_count(f"{web.url}/live.m3u8") == (100, "")


def test_a_segment_that_is_a_file_of_this_machine_is_refused_and_said(web, tmp_path):
    write_segment(tmp_path / "private.ts")
    write_list(web.folder / "live.m3u8", "m3u8", f"file://{tmp_path}/private.ts")
    before = av.logging.get_level()
    frames, error = live_count(f"{web.url}/live.m3u8")
    assert frames == 0
    assert "private.ts" in error
    assert "'file' not on whitelist" in error
    assert av.logging.get_level() == before


def test_live_addresses_list_what_they_may_use():
    for where in ("http://h/x", "rtsp://h/x", "udp://h:1", "-"):
        told = live_options(where)
        assert "file" not in told["protocol_whitelist"].split(",")
        assert not {"concat", "image2", "lavfi"} & set(told["format_whitelist"].split(","))
    for where in ("concat://a", "FILE:///x", "nosuch://x"):
        with pytest.raises(UsageError, match="Protocol not found"):
            live_options(where)


def test_media_formats_are_known_to_ffmpeg():
    """A wrong letter in the list would refuse a format; an FFmpeg may be built without some of them."""
    known = {part for name in av.formats_available for part in name.split(",")}
    listed = MEDIA_FORMATS.split(",")
    assert len(set(listed)) == len(listed)
    assert {"mov", "matroska", "avi", "mpegts", "flv", "asf", "ogg", "gif", "png_pipe"} <= set(listed)
    assert len(known & set(listed)) > 0.9 * len(listed)
    assert not {"hls", "dash", "concat", "image2", "lavfi", "sdp", "rtsp", "tee"} & set(listed)


def test_what_a_playlist_begins_with():
    assert playlist_kind(b"\xef\xbb\xbf\n#EXTM3U\n", "x.mp4") == "an HLS playlist (m3u8)"
    assert playlist_kind(b"v=0\r\no=-\r\nm=video 5004 RTP/AVP 96\r\n", "x") == "a session description (sdp)"
    assert playlist_kind(b"\0\0\0\x18ftypmp42", "x.m3u8") == ""


@pytest.mark.parametrize("name", ["12:30.mp4", "a%d?.mp4", "http:x.mkv", "-x.mov"])
def test_a_video_is_written_to_the_file_of_its_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    movie = Movie(name)
    for i, image in enumerate(moving_square(5, 48, 64)):
        movie.write(image, i / 25)
    movie.close()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert count(name) == 5


# Addresses


def test_an_address_is_read_as_the_file_is(web, clip):
    pytest.importorskip("aiohttp")
    shutil.copy(clip, web.folder / "clip.mp4")
    web.token = "hush"
    url = f"{web.url}/clip.mp4?token=hush"
    with open_video(url) as remote, open_video(clip) as local:
        assert "hush" not in remote.name
        assert [(f.pts_seconds, f.image().sum()) for f in remote.frames] == [
            (f.pts_seconds, f.image().sum()) for f in local.frames
        ]
    assert web.asked


def test_an_address_that_cannot_be_read_says_why_without_its_token(web, tmp_path):
    pytest.importorskip("aiohttp")
    (web.folder / "page.html").write_text("<html>" * 100)
    for path, text in (("none.mp4", "no such file"), ("page.html", "cannot be read as a video")):
        e = failure(f"http://user:hush@127.0.0.1:{web.server_port}/{path}?token=hush")
        assert text in str(e)
        assert "hush" not in str(e)
        assert e.exit_code == 5
    web.token = "other"
    assert "HTTP status 403" in str(failure(f"{web.url}/x.mp4?token=hush"))
    assert "cannot be reached" in str(failure("http://127.0.0.1:1/x.mp4"))


def test_an_address_that_holds_a_playlist_fetches_nothing_else(web, tmp_path, clip):
    pytest.importorskip("aiohttp")
    shutil.copy(clip, web.folder / "seg.mp4")
    write_list(web.folder / "list.mp4", "m3u8", f"{web.url}/seg.mp4")
    failure(f"{web.url}/list.mp4")
    assert web.asked
    assert not [path for path in web.asked if "seg" in path]


def test_addresses_that_are_not_read_are_refused_by_name():
    for address, text in (
        ("rtsp://u:hush@h/x", r"rtsp://\*\*\*@h/x: is a live source; tal stream reads it"),
        ("https://h/x.m3u8?token=hush", r"is a playlist; tal stream reads it"),
        ("nosuch://h/x.mp4", "nosuch:// is not read; http, https, s3 and gs are"),
        ("zip://x.mp4", "zip:// is not read"),
        ("file://other/x.mp4", "names the machine 'other'"),
    ):
        with pytest.raises(UsageError, match=text) as e:
            open_video(address)
        assert "hush" not in str(e.value)


def test_a_long_address_is_no_path(tmp_path):
    address = f"s3a+nosuch://h/x.mp4?token={'x' * 5000}"
    with pytest.raises(UsageError, match="is not read"):
        open_video(address)
    assert expand_inputs([address]) == [address]
    assert is_url(address)
    assert address_of(f"door={address}") == ("door", address)
    check_outputs({"--output": tmp_path / "out.json"}, [address])
    assert failure("x" * 5000 + ".mp4").fault is VideoFault.MISSING


def test_an_address_that_was_made_a_path_is_told_apart_from_a_missing_file():
    e = failure(Path("https://user:hush@h/x.mp4"))
    assert "https://***@h/x.mp4: no such file; addresses are read as texts" in str(e)
    assert "hush" not in str(e)


def test_a_file_system_that_is_not_installed_is_named(monkeypatch):
    fsspec = pytest.importorskip("fsspec")

    def absent(*args, **kwargs):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(MissingExtraError, match="pip install s3fs"):
        open_video("s3://bucket/x.mp4")


def test_any_file_system_of_fsspec_is_read(clip, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/names/v.mp4", clip.read_bytes())
    assert count("memory://names/v.mp4") == 100
    assert live_count("memory://names/v.mp4") == (100, "")
    spaced = tmp_path / "a b%20.mp4"
    shutil.copy(clip, spaced)
    assert count(spaced.as_uri()) == 100
    assert failure("memory://names/none.mp4").fault is VideoFault.MISSING


def test_a_connection_that_is_lost_keeps_what_was_read(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    write_mp4(tmp_path / "v.mp4", moving_square(100, 64, 96))
    data = (tmp_path / "v.mp4").read_bytes()

    class Breaking(fsspec.implementations.memory.MemoryFile):
        def read(self, size=-1):
            if self.tell() > len(data) // 2 and size < 1000:
                raise RuntimeError("https://h/x?token=hush")
            return super().read(size)

    from tal_engine.video.remote import _Fetched

    file = _Fetched(Breaking(None, "x", data))
    file.seek(len(data) - 10)
    with pytest.raises(av.error.FFmpegError, match="connection was lost") as e:
        file.read(5)
    assert "hush" not in str(e.value)
