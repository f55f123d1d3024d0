"""What is read of odd files, beside Debian's ffmpeg program: python benchmarks/bench_files.py [WORDS OF A CASE].

Every file of odd_cases.py is read by the engine and by `ffmpeg -vf showinfo`, which prints each decoded frame and its
time. Compared are the number of frames and each frame's time. Where they differ, the reason is named, and the true
times from the first picture on decide, which are known because the files are generated.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
from common import finish
from odd_cases import Case, all_cases

from tal_engine.video import open_video

#: Times closer than this are equal: containers round to milliseconds or to 1/90,000 s, and showinfo to six digits.
EQUAL_S = 0.0021
_FRAME = re.compile(r"\bn: *\d+ pts: *\S+ +pts_time:(\S+)")

#: Why the ffmpeg program gives other times: (containers, what is odd about the file), and the reason. Only for the
#: table; the engine itself decides by the packets' time stamps and knows no such list.
DECODING_TIMES = "the container stores decoding times; ffmpeg shows frames late by the decoder's delay"
REASONS: list[tuple[set[str], str, str]] = [
    ({"avi", "asf"}, "B-frames", DECODING_TIMES),
    ({"mp4", "mkv", "flv", "ts", "nut"}, "stamps are decoding times", "ffmpeg takes them for presentation times"),
    ({"vob", "mpg"}, "", "program streams stamp some frames only; ffmpeg repeats or skips a frame time between"),
    (
        {"ts"},
        "joined",
        "ffmpeg closes up a joint by the latest packet of any stream, and by its estimate of how long it lasts",
    ),
    ({"ts"}, "27 h", "ffmpeg takes the wrapped counter for a new clock and closes the step"),
    ({"flv"}, "set back", "ffmpeg repairs clocks of MPEG-TS, MPEG-PS and HLS only, and shows both parts at once"),
    ({"m2v"}, "", "no times are stored; ffmpeg counts from the decoder's delay on"),
    ({"nut"}, "B-frames", "FFmpeg knows no start time of this file, and ffmpeg keeps the decoder's delay before it"),
    ({"mkv"}, "with sound", "FFmpeg 5.1 counts the priming of the sound as part of the file, FFmpeg 8 does not"),
    ({"asf"}, "", "FFmpeg knows no start time of this file, and ffmpeg keeps the delay of its first frame"),
]


def by_engine(path: Path) -> dict[str, Any]:
    with open_video(f"playlist:{path}" if path.suffix == ".m3u8" else path) as video:
        times = [frame.pts_seconds for frame in video.frames]
    return {"times": times, "stays": video.frame_seconds, "lost": video.lost, "warnings": video.warnings}


def by_ffmpeg(path: Path) -> list[float | None]:
    """Seconds of each frame that the program decodes; None: it knows none."""
    command = ["ffmpeg", "-hide_banner", "-nostats", "-i", str(path), "-map", "0:v:0", "-vf", "showinfo"]
    done = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-f", "null", "-"], capture_output=True, text=True, timeout=600
    )
    found = _FRAME.findall(done.stderr)
    return [None if time == "NOPTS" else float(time) for time in found]


def error(found: Sequence[float | None], wanted: Sequence[float | None]) -> float | None:
    """The largest difference in seconds; None: the numbers of frames differ, or one side knows no times."""
    a, b = [t for t in found if t is not None], [t for t in wanted if t is not None]
    if not len(found) == len(a) == len(b) == len(wanted) or not a:
        return None
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def from_first(times: Sequence[float | None]) -> list[float | None]:
    first = times[0] if times else None
    return [None if t is None or first is None else t - first for t in times]


def compared(case: Case, folder: Path) -> dict[str, Any]:
    path = case.make(folder)
    ours, theirs = by_engine(path), by_ffmpeg(path)
    truth = None if case.times is None else [float(t) for t in case.times]
    row: dict[str, Any] = {
        "container": case.container,
        "codec": case.codec,
        "odd": case.odd,
        "frames": len(ours["times"]),
        "ffmpeg_frames": len(theirs),
        "true_frames": None if truth is None else len(truth),
        "error_s": error(ours["times"], theirs),
        "true_error_s": None if truth is None else error(from_first(ours["times"]), truth),
        "ffmpeg_true_error_s": None if truth is None else error(from_first(theirs), truth),
        "stays_s": ours["stays"],
        "true_stays_s": case.stays,
        "lost": ours["lost"],
        "warnings": ours["warnings"],
    }
    row["equal"] = row["error_s"] is not None and row["error_s"] <= EQUAL_S
    row["true"] = row["true_error_s"] is not None and row["true_error_s"] <= EQUAL_S
    row["reason"] = None if row["equal"] else reason(case)
    return row


def reason(case: Case) -> str | None:
    return next((why for names, odd, why in REASONS if case.container in names and odd in case.odd), None)


def seconds(value: float | None) -> str:
    return "frames differ" if value is None else f"{value:.3f}"


def main() -> None:
    av.logging.set_level(av.logging.PANIC)
    wanted = " ".join(sys.argv[1:])
    rows = []
    for case in all_cases():
        if wanted not in case.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = compared(case, Path(folder))
        rows.append(row)
        state = "equal" if row["equal"] else row["reason"] or "NOT EXPLAINED"
        print(
            f"{case.name:60} {row['frames']:5} of {row['ffmpeg_frames']:5}  seconds off ffmpeg's "
            f"{seconds(row['error_s']):>13}, off the truth {seconds(row['true_error_s']):>13}  {state}",
            flush=True,
        )
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    figures = {
        "reference": f"ffmpeg {version}",
        "libavformat": ".".join(map(str, av.library_versions["libavformat"])),
        "equal_within_s": EQUAL_S,
        "files": len(rows),
        "equal": sum(r["equal"] for r in rows),
        "explained": sum(not r["equal"] and r["reason"] is not None for r in rows),
        "true": sum(r["true"] for r in rows),
        "frames_share": sum(r["frames"] for r in rows) / max(sum(r["true_frames"] or r["frames"] for r in rows), 1),
        "rows": rows,
    }
    if wanted:
        print({k: v for k, v in figures.items() if k != "rows"})
    else:
        finish("bench_files", figures)


if __name__ == "__main__":
    main()
