"""Writes small video files by PyAV's own encoders and muxers, and cuts, joins and overwrites them as life does."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 25
STEP = Fraction(1, RATE)
WIDTH, HEIGHT = 64, 48
#: Intra-only codecs, and those that PyAV's muxers get without options.
PIXELS = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le", "gif": "rgb8", "rawvideo": "yuv420p", "dnxhd": "yuv422p"}
X264 = {"preset": "ultrafast", "bf": "0"}
#: B-frames in a fixed pattern with a pyramid, so that pictures are shown in another order from the first group on.
B_FRAMES = {"preset": "medium", "bf": "3", "b_strategy": "0", "x264-params": "b-adapt=0:scenecut=0"}
QUIET = {"libx265": {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"}, "libsvtav1": {"preset": "12"}}


#: Time stamps go into the file as they are.
TS = {"avoid_negative_ts": "disabled", "mpegts_copyts": "1"}


@dataclass
class Recipe:
    """How a file is written. stamp: changes packets before they are muxed; prepare: sets what a camera would set."""

    codec: str = "libx264"
    form: str | None = None
    times: Sequence[Fraction] = field(default_factory=lambda: even(50))
    rate: Fraction = Fraction(RATE)
    base: Fraction = Fraction(1, 90_000)
    options: dict[str, str] = field(default_factory=lambda: dict(X264))
    mux: dict[str, str] = field(default_factory=dict)
    gop: int = 12
    size: tuple[int, int] = (WIDTH, HEIGHT)
    audio: float = 0.0
    audio_at: float = 0.0
    stamp: Callable[[list[av.Packet]], None] | None = None
    prepare: Callable[[Any], None] | None = None
    mark: Callable[[av.VideoFrame], None] | None = None


def even(count: int, step: Fraction = STEP) -> list[Fraction]:
    return [i * step for i in range(count)]


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A bar that moves, so that all pictures differ."""
    image = np.full((height, width, 3), 40, np.uint8)
    x = number * 3 % width
    image[:, x : x + 8] = 230
    return image


def write(path: Path, recipe: Recipe) -> Path:
    """Write the file of a recipe."""
    with av.open(str(path), "w", format=recipe.form, options=recipe.mux) as out:
        stream = out.add_stream(recipe.codec, rate=recipe.rate)
        stream.width, stream.height = recipe.size
        stream.pix_fmt = PIXELS.get(recipe.codec, "yuv420p")
        context = stream.codec_context
        if recipe.codec not in ("mjpeg", "prores_ks", "gif", "ffv1", "dnxhd", "rawvideo", "png"):
            context.gop_size = recipe.gop
        context.time_base = recipe.base
        if recipe.codec == "mpeg2video":
            context.thread_count = 1  # with slices in several threads, interlaced pictures get other bytes at each run
        stream.options = dict(recipe.options)
        if recipe.prepare:
            recipe.prepare(stream)
        if recipe.audio:
            sound(out, recipe.audio, recipe.audio_at)
        packets = encoded(stream, recipe)
        if recipe.stamp:
            recipe.stamp(packets)
        for packet in packets:
            out.mux(packet)
    return path


def encoded(stream: Any, recipe: Recipe) -> list[av.Packet]:
    packets: list[av.Packet] = []
    for i, time in enumerate(recipe.times):
        frame = av.VideoFrame.from_ndarray(picture(i, *recipe.size), format="rgb24")
        frame.pts, frame.time_base = round(time / recipe.base), recipe.base
        if recipe.mark:
            recipe.mark(frame)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def sound(out: Any, seconds: float, start: float) -> None:
    """Silence from `start` on."""
    stream = out.add_stream("aac" if "ts" in out.format.name or "mp4" in out.format.name else "mp2", rate=16_000)
    stream.layout = "mono"
    size = 1024 if stream.codec_context.name == "aac" else 1152
    kind = "fltp" if size == 1024 else "s16"
    first = round(start * 16_000)
    for i in range(max(1, int(seconds * 16_000) // size)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, size), np.float32 if size == 1024 else np.int16), kind, "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, first + i * size, Fraction(1, 16_000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def decoding_times(packets: list[av.Packet]) -> None:
    """What careless muxers write: each packet is stamped as if it were shown at once."""
    for i, packet in enumerate(packets):
        packet.pts = packet.dts = round(i * STEP / packet.time_base)


def matroska_claims(data: bytearray, seconds: float) -> None:
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", seconds * 1000)


def flv_claims(data: bytearray, seconds: float) -> None:
    at = data.index(b"duration") + 9
    data[at : at + 8] = struct.pack(">d", seconds)


def mp4_claims(data: bytearray, share: float) -> None:
    """The durations of the movie, its track and its media."""
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = data.index(box) + offset
        (ticks,) = struct.unpack(">I", data[at : at + 4])
        data[at : at + 4] = struct.pack(">I", int(ticks * share))
    if b"elst" in data:
        at = data.index(b"elst")
        data[at : at + 4] = b"free"


def avi_claims(data: bytearray, frames: int) -> None:
    at = data.index(b"avih") + 24
    data[at : at + 4] = struct.pack("<I", frames)
    at = data.index(b"strh") + 40
    data[at : at + 4] = struct.pack("<I", frames)


def sparse_ts(folder: Path) -> Path:
    """A picture every 9 s for longer than the counter of 33 bits counts."""
    recipe = Recipe(times=even(10_800, Fraction(9)), rate=Fraction(1, 9), mux=TS, size=(32, 32), gop=60)
    return write(folder / "v.ts", recipe)


def uneven(count: int = 60) -> list[Fraction]:
    """Steps of 20 to 200 ms without a pattern."""
    rng = np.random.default_rng(0)
    return [Fraction(int(t), 1000) for t in np.concatenate([[0], np.cumsum(rng.integers(1, 10, count - 1) * 20)])]


def last_for(seconds: float) -> Callable[[list[av.Packet]], None]:
    def stamp(packets: list[av.Packet]) -> None:
        for packet in packets:
            packet.duration = round(STEP / packet.time_base)
        packets[-1].duration = round(Fraction(seconds) / packets[-1].time_base)

    return stamp


def part(path: Path, count: int, start: float = 0.0, **changes: Any) -> bytes:
    """A transport stream whose clock starts at `start`."""
    shift = Fraction(start).limit_denominator(90_000)
    recipe = Recipe(times=even(count), base=STEP, mux=TS, audio_at=start, **changes)

    def moved(packets: list[av.Packet]) -> None:
        for packet in packets:
            packet.pts, packet.dts = round(packet.pts * STEP * 90_000), round(packet.dts * STEP * 90_000)
            packet.time_base = Fraction(1, 90_000)
        ticks = round(shift * 90_000)
        for packet in packets:
            packet.pts += ticks  # of which the muxer keeps 33 bits
            packet.dts += ticks

    recipe.stamp = moved
    return write(path, recipe).read_bytes()


def flv_reset(folder: Path) -> Path:
    """The tags of two recordings behind one header."""
    path = folder / "v.flv"
    one = write(folder / "one.flv", Recipe(base=Fraction(1, 1000))).read_bytes()
    tags, at = [], 13
    while at < len(one):
        size = 11 + int.from_bytes(one[at + 1 : at + 4], "big") + 4
        tags.append((one[at], one[at : at + size]))
        at += size
    pictures = b"".join(tag for kind, tag in tags if kind == 9)
    path.write_bytes(one[:13] + b"".join(tag for _, tag in tags) + pictures)
    return path


def hls(folder: Path) -> Path:
    """A playlist of three pieces, each with a clock of its own."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:3", "#EXT-X-PLAYLIST-TYPE:VOD"]
    for i, start in enumerate((1.4, 400.0, 1.4)):
        part(folder / f"{i}.ts", 50, start)
        lines += ["#EXT-X-DISCONTINUITY"] * (i > 0) + ["#EXTINF:2.0,", f"{i}.ts"]
    path = folder / "v.m3u8"
    path.write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    return path
