"""Decoding on a card, up to the card: a PyNvVideoCodec that decodes with FFmpeg stands in for the library."""

from __future__ import annotations

import sys

import av
import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.errors import BackendError, MissingExtraError, UsageError, VideoError
from tal_engine.video import open_video
from tests.makers import moving_square, tiny_plan, write_mp4


class Frame:
    """NV12 in memory of its own, as the library lends it."""

    def __init__(self, frame):
        y, u, v = (
            np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width].ravel() for p in frame.planes
        )
        self._bytes, self._pts = np.concatenate([y, np.stack([u, v], 1).ravel()]), frame.pts

    def framesize(self):
        return self._bytes.nbytes

    def GetPtrToPlane(self, plane):  # noqa: N802 - the library's name
        assert plane == 0
        return self._bytes.ctypes.data

    def getPTS(self):  # noqa: N802
        return self._pts


class Library:
    def __init__(self, breaks=None):
        self.breaks, self.asked = breaks, []

    def CreateDemuxer(self, filename):  # noqa: N802
        return Demuxer(filename)

    def CreateDecoder(self, **asked):  # noqa: N802
        if self.breaks == "no card":
            raise RuntimeError("cuInit failed:\n no CUDA-capable device")
        self.asked.append(asked)
        return self

    def Decode(self, packet):  # noqa: N802
        if self.breaks == "decode":
            raise RuntimeError("CUDA_ERROR_INVALID_VALUE")
        return [Frame(f) for f in packet.decode()]


class Demuxer:
    def __init__(self, filename):
        self._container = av.open(filename)
        self.GetNvCodecId = lambda: "h264"

    def __iter__(self):
        return self._container.demux(self._container.streams.video[0])


@pytest.fixture
def library(monkeypatch):
    made = Library()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", made)
    return made


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "b.mp4"
    frames = [f[:, :, ::-1] if i % 2 else f for i, f in enumerate(moving_square(60, 48, 64))]

    def reordered(stream):
        stream.options = {"preset": "medium", "bf": "3"}

    return write_mp4(path, [np.ascontiguousarray(f) for f in frames], prepare=reordered)


def shown(path, decoder):
    with open_video(path, decoder=decoder) as video:
        frames = [(f.pts_seconds, f.image()) for f in video.frames]
        return frames, video.warnings, video.decoded, video.lost, video.seen


def test_frames_are_those_of_ffmpeg(library, clip):
    (wanted, *counts), (found, *same) = shown(clip, "ffmpeg"), shown(clip, "nvdec")
    assert [s for s, _ in found] == [s for s, _ in wanted]
    for (_, a), (_, b) in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    assert same == counts
    assert len(found) == 60
    assert library.asked == [{"gpuid": 0, "codec": "h264", "usedevicememory": False}]


def test_an_engine_says_the_same(library, clip, tmp_path):
    plan = tiny_plan(tmp_path / "t.plan")
    results = [TALEngine(plan, "cpu", decoder=d).localize(clip, min_score=-np.inf) for d in ("ffmpeg", "nvdec")]
    assert list(results[0]) == list(results[1])
    records = [TALEngine(plan, "cpu", decoder=d).features(clip).contract for d in ("ffmpeg", "nvdec")]
    assert records[0] == records[1]


@pytest.mark.parametrize(("breaks", "said"), [("no card", "cuInit failed: no CUDA"), ("decode", "INVALID_VALUE")])
def test_without_a_card_it_says_what_helps(library, clip, breaks, said):
    library.breaks = breaks
    with pytest.raises(BackendError, match=rf"decoder 'nvdec' does not work here \(RuntimeError: .*{said}.*'ffmpeg'"):
        shown(clip, "nvdec")


def test_what_it_does_not_decode_is_named(library, tmp_path):
    path = write_mp4(tmp_path / "a.mp4", moving_square(8, 48, 64), pix_fmt="yuv444p")
    with pytest.raises(VideoError, match=r"h264 yuv444p 64 x 48, decoder 'nvdec' decodes h264, hevc"):
        shown(path, "nvdec")


def test_a_library_that_is_missing_is_named(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", None)
    with pytest.raises(MissingExtraError, match=r"nvdec"):
        shown(clip, "nvdec")
    with pytest.raises(UsageError, match="decoder is 'cuvid', must be one of 'ffmpeg', 'nvdec'"):
        open_video(clip, decoder="cuvid")
