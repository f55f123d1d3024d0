"""Small video files of every container, odd in every way that real ones are: what bench_files.py and tests read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from odd_files import (
    B_FRAMES,
    QUIET,
    RATE,
    STEP,
    X264,
    Recipe,
    avi_claims,
    decoding_times,
    even,
    flv_claims,
    flv_reset,
    hls,
    last_for,
    matroska_claims,
    mp4_claims,
    part,
    sparse_ts,
    uneven,
    write,
)


@dataclass(frozen=True)
class Case:
    """A file to make. times: true seconds of all shown pictures, from the first one on; None: not known beforehand."""

    container: str
    codec: str
    odd: str
    make: Callable[[Path], Path]
    times: Sequence[Fraction] | None = None
    #: Seconds that the last picture stays, where the file says so.
    stays: float | None = None
    #: Takes seconds to make.
    slow: bool = False

    @property
    def name(self) -> str:
        return f"{self.container} {self.codec} {self.odd}"


# -- plain and reordered -----------------------------------------------------------------------------


def simple(container: str, codec: str, odd: str = "plain", **changes: Any) -> Case:
    """A case of one recipe, at a constant rate unless `times` says otherwise."""
    shown = changes.pop("shown", None)
    stays, slow = changes.pop("stays", None), changes.pop("slow", False)
    if codec != "libx264":
        changes.setdefault("options", dict(QUIET.get(codec, {})))
    recipe = Recipe(codec=codec, **changes)
    recipe.base = changes.get("base", 1 / recipe.rate)
    times = recipe.times if shown is None else shown
    first = times[0] if times else 0
    return Case(
        container,
        codec,
        odd,
        lambda folder: write(folder / f"v.{container}", recipe),
        [t - first for t in times],
        stays,
        slow,
    )


def plain() -> list[Case]:
    pairs = (
        "mp4:libx264 mp4:libx265 mp4:mpeg4 mp4:libvpx-vp9 mp4:libsvtav1 mov:libx264 mov:prores_ks mov:mjpeg "
        "mkv:libx264 mkv:ffv1 mkv:libx265 webm:libvpx webm:libvpx-vp9 webm:libsvtav1 avi:libx264 avi:mpeg4 avi:mjpeg "
        "avi:msmpeg4v3 avi:rawvideo asf:libx264 asf:wmv2 flv:libx264 flv:flv1 ts:libx264 ts:libx265 ts:mpeg2video "
        "mpg:mpeg1video vob:mpeg2video ogg:libvpx nut:libx264 mxf:mpeg2video rm:rv20 ivf:libvpx gif:gif h264:libx264 "
        "hevc:libx265 m4v:mpeg4 mjpeg:mjpeg m2v:mpeg2video"
    )
    cases = [simple(*pair.split(":")) for pair in pairs.split()]
    cases.append(simple("3gp", "h263", size=(176, 144)))
    return cases


def reordered() -> list[Case]:
    """B-frames, where containers keep presentation times, decoding times only, or none."""
    bf = {"bf": "2", "b_strategy": "0"}
    stamped, others = ["mp4", "mov", "mkv", "flv", "ts", "nut"], ["avi", "asf", "h264", "vob"]
    cases = [simple(c, "libx264", "B-frames", options=B_FRAMES) for c in stamped + others]
    cases += [simple(c, "mpeg4", "B-frames", options=bf) for c in ["mp4", "mkv", "avi", "asf", "nut", "m4v"]]
    cases += [simple(c, "mpeg2video", "B-frames", options=bf) for c in ["ts", "vob", "avi", "asf", "mxf", "mkv", "m2v"]]
    hevc = {"preset": "medium", "x265-params": "log-level=none:bframes=3"}
    cases += [simple(c, "libx265", "B-frames", options=hevc) for c in ["mp4", "mkv", "ts", "hevc"]]
    for container in ("mp4", "mkv", "flv", "ts", "nut"):
        times = "B-frames, stamps are decoding times"
        cases.append(simple(container, "libx264", times, options=B_FRAMES, stamp=decoding_times))
    return cases


# -- clocks ------------------------------------------------------------------------------------------


def joined(odd: str, parts: Sequence[tuple[int, float]], codec: str = "libx264", **changes: Any) -> Case:
    """Transport streams of (frames, start of the clock) one after another in one file."""

    def make(folder: Path) -> Path:
        path = folder / "v.ts"
        data = [part(folder / f"{i}.ts", n, s, codec=codec, **changes) for i, (n, s) in enumerate(parts)]
        path.write_bytes(b"".join(data))
        return path

    return Case("ts", codec, odd, make, even(sum(n for n, _ in parts)))


def clocks() -> list[Case]:
    wrap = 2**33 / 90_000
    bf, b2 = {"options": dict(B_FRAMES)}, {"options": {"bf": "2", "b_strategy": "0"}}
    return [
        joined("joined", [(50, 1.4), (75, 1.4)]),
        joined("joined five times", [(30, 1.4), (50, 1.4), (40, 1.4), (30, 1.4), (60, 1.4)]),
        joined("joined, B-frames", [(50, 1.4), (75, 1.4)], **bf),
        joined("joined, B-frames", [(50, 1.4), (75, 1.4)], "mpeg2video", **b2),
        joined("joined, clock set forward 1000 s", [(50, 1.4), (75, 1000.0)]),
        joined("joined, clock set back 20 h", [(50, 72_000.0), (75, 1.4)]),
        joined("joined, clock set forward and back", [(50, 1.4), (50, 500.0), (50, 2.0), (50, 9000.0)]),
        joined("joined, part of one frame", [(50, 1.4), (1, 1.4), (50, 1.4)]),
        joined("counter wraps", [(100, wrap - 2.0)]),
        joined("counter wraps, B-frames", [(100, wrap - 2.0)], **bf),
        joined("counter wraps, then joined", [(100, wrap - 2.0), (50, 1.4)]),
        joined("clock starts at 10 h", [(50, 36_000.0)]),
        joined("joined, with sound", [(50, 1.4), (75, 1.4)], audio=2.0),
        both("mpg", "mpeg1video"),
        both("vob", "mpeg2video", options={"bf": "2", "b_strategy": "0"}),
        both("h264", "libx264"),
        both("mjpeg", "mjpeg", options={}),
        Case("flv", "libx264", "clock set back by a reconnecting recorder", flv_reset, even(100)),
        Case("m3u8", "libx264", "discontinuity", hls, even(150)),
    ]


def both(container: str, codec: str, **changes: Any) -> Case:
    """The same file twice in one."""
    changes.setdefault("options", {} if codec != "libx264" else dict(X264))

    def make(folder: Path) -> Path:
        one = write(folder / f"one.{container}", Recipe(codec=codec, base=STEP, **changes)).read_bytes()
        path = folder / f"v.{container}"
        path.write_bytes(one + one)
        return path

    odd = "joined, B-frames" if changes["options"].get("bf", "0") != "0" else "joined"
    return Case(container, codec, odd, make, even(100))


# -- claims ------------------------------------------------------------------------------------------


def claims() -> list[Case]:
    slow = {"times": even(1000, Fraction(1, 10)), "rate": Fraction(10), "gop": 100}
    times = slow["times"]

    def claiming(container: str, odd: str, change: Callable[[bytearray], None], codec: str = "libx264") -> Case:
        def make(folder: Path) -> Path:
            options = dict(X264) if codec == "libx264" else {}
            base = Fraction(1, 10) if container == "avi" else Fraction(1, 1000)
            path = write(folder / f"v.{container}", Recipe(codec=codec, base=base, options=options, **slow))
            data = bytearray(path.read_bytes())
            change(data)
            path.write_bytes(data)
            return path

        return Case(container, codec, odd, make, times)

    return [
        claiming("mkv", "claims 10 s of 100", lambda d: matroska_claims(d, 10.0)),
        claiming("mkv", "claims 0.04 s of 100", lambda d: matroska_claims(d, 0.04)),
        claiming("mkv", "claims 500 s, has 100", lambda d: matroska_claims(d, 500.0)),
        claiming("flv", "claims 10 s of 100", lambda d: flv_claims(d, 10.0)),
        claiming("mp4", "claims 10 s of 100", lambda d: mp4_claims(d, 0.1)),
        claiming("mov", "claims 10 s of 100", lambda d: mp4_claims(d, 0.1), "mjpeg"),
        claiming("avi", "claims 10 s of 100", lambda d: avi_claims(d, 100), "mpeg4"),
        Case(
            "ts",
            "libx264",
            "27 h, counter wraps",
            lambda f: sparse_ts(f),
            even(10_800, Fraction(9)),
            slow=True,
        ),
    ]


# -- rates, ends, starts -----------------------------------------------------------------------------


def rates() -> list[Case]:
    ms = Fraction(1, 1000)
    containers = ["mp4", "mkv", "flv", "asf", "ts", "nut"]
    cases = [simple(c, "libx264", "variable rate", times=uneven(), base=ms) for c in containers]
    cases.append(simple("webm", "libvpx-vp9", "variable rate", times=uneven(), base=ms))
    cases.append(simple("mp4", "libx264", "variable rate, B-frames", times=uneven(), base=ms, options=B_FRAMES))
    cases.append(simple("mkv", "libx264", "variable rate, B-frames", times=uneven(), base=ms, options=B_FRAMES))
    dropped = [t for t in even(60) if not 10 <= t * RATE < 20]
    cases.append(simple("avi", "libx264", "frames dropped while captured", times=dropped))
    pause = even(25) + [61 + t for t in even(25)]
    cases += [simple(c, "libx264", "pause of 60 s", times=pause, base=ms) for c in ("mp4", "mkv", "flv")]
    for rate in (Fraction(30_000, 1001), Fraction(24_000, 1001), Fraction(15_000, 1001), Fraction(1, 3), Fraction(240)):
        times = even(40, 1 / rate)
        cases.append(simple("mp4", "libx264", f"{float(rate):.6g} fps", times=times, rate=rate))
    for container in ("mkv", "avi", "ts"):
        times = even(40, Fraction(1001, 30_000))
        cases.append(simple(container, "libx264", "29.97 fps", times=times, rate=Fraction(30_000, 1001)))
    return cases


def ends_and_starts() -> list[Case]:
    ms = Fraction(1, 1000)
    still = {"base": ms, "stamp": last_for(10.0), "stays": 10.0}
    slides = [Fraction(t) for t in (0, 30, 60)]
    late = [t + 2 for t in even(50)]
    keep = {"avoid_negative_ts": "disabled"}
    early = [t - Fraction(2, 5) for t in even(50)]
    cut = [t for t in early if t >= 0]
    return [
        simple("mp4", "libx264", "last picture stays 10 s", **still),
        simple("mov", "mjpeg", "last picture stays 10 s", **still),
        simple("mp4", "libx264", "slides of 30 s", times=slides, base=ms, stamp=last_for(2.0), stays=2.0),
        simple("mkv", "libx264", "slides of 30 s", times=slides, base=ms),
        simple("mp4", "libx264", "one picture", times=even(1)),
        simple("mkv", "libx264", "one picture", times=even(1)),
        simple("mp4", "libx264", "starts at 2 s", times=late, base=ms, mux=keep),
        simple("mkv", "libx264", "starts at 2 s", times=late, base=ms, mux=keep),
        simple("mp4", "libx264", "edit list cuts 10 pictures off", times=early, base=ms, mux=keep, shown=cut),
        simple("mp4", "libx264", "edit list for B-frames", options=B_FRAMES, base=ms),
        simple("mp4", "libx264", "in fragments", mux={"movflags": "frag_keyframe+empty_moov"}, base=ms),
        simple("mp4", "libx264", "with sound", audio=2.0, base=ms),
        simple("mkv", "libx264", "with sound", audio=2.0, base=ms),
    ]


# -- pictures ----------------------------------------------------------------------------------------


def pictures() -> list[Case]:
    def interlaced(stream: Any) -> None:
        stream.codec_context.flags |= 1 << 18 | 1 << 29  # interlaced DCT and motion estimation

    def turned(stream: Any) -> None:
        stream.set_display_rotation(90)

    def wide(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    return [
        simple("ts", "mpeg2video", "interlaced", prepare=interlaced),
        simple("vob", "mpeg2video", "interlaced", prepare=interlaced),
        simple("mp4", "libx264", "interlaced", options=X264 | {"x264-params": "interlaced=1:tff=1"}),
        simple("ts", "libx264", "interlaced, B-frames", options=B_FRAMES | {"x264-params": "interlaced=1:b-adapt=0"}),
        simple("mp4", "libx264", "turned", prepare=turned),
        simple("mov", "libx264", "turned, B-frames", prepare=turned, options=B_FRAMES),
        simple("mp4", "libx264", "pixels 4:3", prepare=wide),
    ]


def all_cases() -> list[Case]:
    """Every file, by what is odd about it."""
    groups: Iterable[list[Case]] = (
        plain(),
        reordered(),
        clocks(),
        claims(),
        rates(),
        ends_and_starts(),
        pictures(),
    )
    return [case for group in groups for case in group]
