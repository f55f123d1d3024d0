"""Decoding and cutting: time is the frames' own, memory is one batch, every bad file has a name."""

from __future__ import annotations

import shutil
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.errors import UsageError, VideoError, VideoFault
from tal_engine.options import SnippetOptions
from tal_engine.video import cut, open_video
from tal_engine.video.source import Frame, VideoSource
from tests.makers import moving_square, write_audio_only, write_mp4
from tests.waiting import alone

SMALL = SnippetOptions(window=8, stride=8, resize=32, crop=32, flow="none")


def snippets(source, options=SMALL, **kwargs):
    with open_video(source, **kwargs) as video:
        batches = list(cut(video, options))
    return np.concatenate([b.frames for b in batches]), video.seen, video


def fault(path):
    with pytest.raises(VideoError) as e, open_video(path) as video:
        list(cut(video, SMALL))
    assert str(path) in str(e.value)
    assert e.value.exit_code == 5
    return e.value.fault


# -- a textbook grid ---------------------------------------------------------------------------


def numbered(times, frame_seconds):
    """A source whose frames are 4 x 4 pictures of their own number."""
    frames = (Frame(t, lambda i=i: np.full((4, 4, 3), i, np.uint8)) for i, t in enumerate(times))
    return VideoSource("numbers", frames, 25.0, frame_seconds)


def grid(times, frame_seconds, fps):
    """Number of the frame on screen at the centre of each slot."""
    end = times[-1] + frame_seconds
    shown, slot = [], 0
    while (slot + 0.5) / fps < end or slot == 0:
        before = [i for i, t in enumerate(times) if t <= (slot + 0.5) / fps]
        shown.append(before[-1] if before else 0)
        slot += 1
    return shown


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=40),
    st.sampled_from([5.0, 24.0, 25.0, 29.97]),
    st.integers(1, 5),
    st.integers(1, 7),
    st.sampled_from(["pad", "drop"]),
)
def test_cut_equals_textbook(steps, fps, window, stride, tail):
    times = list(np.cumsum([0, *steps[:-1]]) * 0.0131 + 0.001 * steps[0])
    options = SnippetOptions(fps=fps, window=window, stride=stride, resize=4, crop=4, flow="none", tail=tail)
    found = list(cut(numbered(times, 0.04), options, batch=3))
    slots = grid(times, 0.04, fps)
    wanted = []
    for first in range(0, len(slots), stride):
        part = slots[first : first + window]
        covered = first and first - stride + window >= len(slots)  # the window before reached the end
        whole = len(part) == window
        if whole or (not covered and (tail == "pad" or not wanted)):
            wanted.append(part + [part[-1]] * (window - len(part)))
    got = np.concatenate([b.frames for b in found])[..., 0, 0, 0].tolist()
    assert got == wanted
    assert [b.first for b in found] == list(range(0, len(wanted), 3))


# -- windows ----------------------------------------------------------------------------------


def test_array_equals_file(tmp_path):
    images = np.stack(list(moving_square(70, 40, 60)))
    path = write_mp4(tmp_path / "v.mkv", images, codec="ffv1", pix_fmt="bgr0")
    from_file, end_file, _ = snippets(path)
    from_array, end_array, _ = snippets(images, fps=25.0)
    np.testing.assert_array_equal(from_file, from_array)
    assert end_file == pytest.approx(end_array, abs=2e-3)


def test_short_video_is_padded_with_its_last_frame():
    images = np.stack(list(moving_square(3, 32, 32)))
    for tail in ("pad", "drop"):
        frames, end, _ = snippets(images, SnippetOptions(window=8, stride=8, resize=32, crop=32, tail=tail), fps=25.0)
        assert len(frames) == 1
        assert (frames[0, 3:] == images[2]).all()
        assert end == pytest.approx(0.12)


def test_memory_holds_one_batch():
    """Frames are made one by one: what is alive never exceeds a batch and a window."""
    alive, most = set(), 0

    def image(i):
        nonlocal most
        alive.add(i)
        most = max(most, len(alive))
        return np.zeros((4, 4, 3), np.uint8)

    frames = (Frame(i / 25, lambda i=i: image(i)) for i in range(4000))
    options = SnippetOptions(window=4, stride=4, resize=4, crop=4, flow="none")
    for _ in cut(VideoSource("x", frames, 25.0, 0.04), options, batch=2):
        alive.clear()
    assert most <= 2 * 4 + 4


# -- bad files ---------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    assert fault(tmp_path / "no.mp4") is VideoFault.MISSING


def test_text_renamed(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("this is not a video, " * 100)
    assert fault(path) is VideoFault.NOT_A_VIDEO


def test_empty_file(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    assert fault(path) is VideoFault.NOT_A_VIDEO


def test_folder_instead_of_file(tmp_path):
    assert fault(tmp_path) is VideoFault.NOT_A_VIDEO


def test_audio_only(tmp_path):
    write_audio_only(tmp_path / "sound.mp4")
    assert fault(tmp_path / "sound.mp4") is VideoFault.NO_VIDEO_STREAM


def test_no_frames(tmp_path, clip):
    """A header that promises frames and no data behind it."""
    whole = write_mp4(tmp_path / "w.mp4", moving_square(30, 32, 32), options={"movflags": "faststart"})
    data = whole.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: data.index(b"mdat") + 8])
    assert fault(path) is VideoFault.NO_FRAMES


def test_truncated_file_gives_what_decodes_and_says_what_is_lost(tmp_path):
    options = {"movflags": "faststart"}
    whole = write_mp4(tmp_path / "w.mp4", moving_square(250, 96, 128), options=options)
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    frames, end, video = snippets(path)
    assert 1.0 < end < 9.0
    assert len(frames) == int(np.ceil(end * 25 / 8))
    assert any("ends early" in w and "of 10.00 s" in w for w in video.warnings)


@pytest.mark.parametrize("length", [400, 4000])
def test_damage_in_the_middle_does_not_stop(tmp_path, rng, length):
    """A few overwritten bytes, and many: what follows is found again, and the loss is said."""
    whole = write_mp4(tmp_path / "w.mp4", moving_square(250, 96, 128), options={"movflags": "faststart"})
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + length] = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
    path = tmp_path / "hurt.mp4"
    path.write_bytes(data)
    _, end, video = snippets(path)
    assert end == pytest.approx(10.0, abs=0.1)
    assert video.lost > 0
    assert any(f"{video.lost} pieces of the file could not be decoded" in w for w in video.warnings)


def test_truncated_file_whose_index_was_at_the_end(tmp_path):
    whole = write_mp4(tmp_path / "w.mp4", moving_square(250, 96, 128))
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    assert fault(path) is VideoFault.NOT_A_VIDEO


def test_cover_art_is_not_a_video(tmp_path):
    """Music with a cover picture has a video stream of one frame, which is no video."""
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        from tests.makers import add_silence

        add_silence(container, 1.0)
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in [*cover.encode(frame), *cover.encode(None)]:
            container.mux(packet)
    assert fault(path) is VideoFault.NO_VIDEO_STREAM


# -- bad arrays --------------------------------------------------------------------------------


def test_array_needs_a_rate():
    with pytest.raises(UsageError, match="fps is None"):
        open_video(np.zeros((3, 8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match="fps=25"):
        open_video("file.mp4", fps=25)


@pytest.mark.parametrize(
    ("frames", "kind", "words"),
    [
        (np.full((3, 8, 8, 3), np.nan, np.float32), VideoFault.BAD_FRAMES, "float32 and some values are NaN"),
        (np.zeros((3, 8, 8, 3), np.float64), VideoFault.BAD_FRAMES, "float64; must be uint8"),
        (np.zeros((3, 8, 8, 3), np.int16), VideoFault.BAD_FRAMES, "int16"),
        (np.zeros((3, 8, 8, 4), np.uint8), VideoFault.BAD_FRAMES, r"\[3, 8, 8, 4\]"),
        (np.zeros((8, 8), np.uint8), VideoFault.BAD_FRAMES, r"\[8, 8\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), VideoFault.NO_FRAMES, "no frames"),
        (np.zeros((3, 0, 8, 3), np.uint8), VideoFault.NO_FRAMES, "no frames"),
    ],
)
def test_bad_arrays_are_named(frames, kind, words):
    with pytest.raises(VideoError, match=words) as e:
        open_video(frames, fps=25.0)
    assert e.value.fault is kind


# -- real files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fps", "seconds"),
    [("v_GGSY1Qvo990.mp4", 19.62, 18.16), ("v_ZNVhz7ctTq0.mp4", 30.0, 14.05), ("demo.mp4", 28.0, 10.0)],
)
def test_real_videos(shared, name, fps, seconds):
    with open_video(shared / "videos" / name) as video:
        times = [f.pts_seconds for f in video.frames]
    assert video.fps == pytest.approx(fps, abs=0.01)
    assert all(a < b for a, b in pairwise(times))
    assert times[-1] + video.frame_seconds == pytest.approx(seconds, abs=0.15)


def test_files_are_closed(clip, tmp_path):
    copy = shutil.copy(clip, tmp_path / "c.mp4")
    for _ in range(200):
        with open_video(copy) as video:
            next(video.frames)


#: A process of its own that reads so many frames of a video; prints what of it is left, and the frames after its end.
LEFT = """
import gc, json, sys
from collections.abc import Generator
from itertools import islice
from av import VideoFrame
from av.codec.context import CodecContext
from av.container import Container
from tal_engine.video import open_video
from tal_engine.video.source import Frame

def read():
    with open_video(sys.argv[1]) as video:
        for frame in islice(video.frames, int(sys.argv[2])):
            frame.image()
    return video

read()  # what is made once
gc.collect()
gc.disable()
before = {id(x) for x in gc.get_objects()}
video = read()
left = [x for x in gc.get_objects() if id(x) not in before]
kinds = [type(x).__name__ for x in left if isinstance(x, Generator | CodecContext | Container | Frame)]
pictures = [x.width for x in left if isinstance(x, VideoFrame) and x.width > 16]
print(json.dumps([kinds, pictures, len(list(video.frames))]))
"""


@pytest.mark.parametrize("frames", [1, 5, 10_000])
def test_a_closed_source_leaves_nothing_for_the_garbage_collector(clip, frames):
    """It would come by late: what it counts is a few small objects, what they hold are decoders and pictures."""
    kinds, pictures, more = alone(LEFT, clip, frames)
    assert (kinds, pictures) == ([], [])
    assert more == 0  # nothing is decoded from what is closed, which would end the process


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_pictures_after_a_row_of_key_frames_are_not_left_out(tmp_path, codec):
    """Nothing is left out where nothing was asked to be, however close together key frames lie at first."""
    path, frames = tmp_path / "x.mp4", list(moving_square(40, 48, 64))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "100", "sc_threshold": "1000000000", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pict_type = av.video.frame.PictureType.I if i < 8 else av.video.frame.PictureType.NONE
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        keys = [p.is_keyframe for p in container.demux(video=0) if p.size]
    assert keys[:5] == [True] * 5
    assert not all(keys)
    with open_video(path) as video:
        assert len(list(video.frames)) == len(frames)
        assert video.warnings == []
