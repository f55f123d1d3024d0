"""Annotation formats: what a round trip does to times, who judged what we write, how long reading takes.

    python benchmarks/bench_formats.py [--rows 10000] [--table-rows 1000000] [--rounds 5]

formats  each format that is written: seconds of processor time to write and read the rows, the largest change of a time
         in milliseconds, and frames that changed, at 25 and at 30000/1001 frames a second. Tables of frames and EDL get
         a twentieth of the rows: they are read frame by frame.
tables   CSV and Parquet of a million rows against pandas' own reader, interleaved: ratio of median processor times.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from common import RESULTS, finish

from tal_engine.annotations.formats import Annotation, AnnotationTable, FrameClock, Media, read, write
from tal_engine.annotations.formats.format import Format
from tal_engine.annotations.formats.registry import writable

RATES = {"25": 25.0, "29.97": 30000 / 1001}
#: Who judges what we write, in tests/unit/annotations/formats: package, and what it does there.
JUDGES = {
    "elan": ("pympi-ling", "reads the same milliseconds, and what it writes is read"),
    "textgrid": ("praat-parselmouth", "Praat itself loads it with the same boundaries; praatio reads and writes it"),
    "boris": ("boris-behav-obs", "BORIS's own code opens it, finds no unpaired state, and the same events"),
    "boris-tabular": ("boris-behav-obs", "the table that BORIS exports is read as the same events"),
    "boris-aggregated": ("boris-behav-obs", "the rows that BORIS exports are read as the same events"),
    "nwb": ("ndx-ethogram", "pynwb finds it valid and reads the same seconds; what it writes is read"),
    "fcpxml": (
        "otio-fcpx-xml-adapter",
        "what it writes at 24 a second is read; it knows no keyword ranges: those follow Apple's reference",
    ),
    "label-studio": (
        "label-studio-sdk",
        "takes our predictions as valid for our labelling set-up; the editor was not run",
    ),
    "srt": ("srt", "reads the same milliseconds, and what it writes is read; pysubs2 reads the same"),
    "vtt": ("webvtt-py", "reads the same starts"),
    "otio": ("opentimelineio", "writes and reads it"),
    "edl": ("otio-cmx3600-adapter", "writes and reads it"),
    "parquet": ("pyarrow", "writes and reads it"),
}
_SHORT = {"per-frame", "asoid", "edl", "cvat"}


def rows_of(count: int, fps: float) -> AnnotationTable:
    """Segments of 20 labels one after another, on frames; seeded."""
    rng, clock, frame, out = random.Random(0), FrameClock(fps), 0, []
    for _ in range(count):
        frame += rng.randint(1, 40)
        length = rng.randint(1, 30)
        start, end = clock.seconds(frame), clock.seconds(frame + length)
        out.append(Annotation("v.mp4", f"class{rng.randint(0, 19):02d}", start, end))
        frame += length
    return AnnotationTable.of(out, {"v.mp4": Media("v.mp4", clock.seconds(frame + 50), fps)})


def measured(form: Format, count: int, folder: Path) -> dict[str, Any]:
    """Both rates of one format; times of the first."""
    out: dict[str, Any] = {"rows": count}
    for name, fps in RATES.items():
        if form.name == "edl" and name != "25":
            continue  # time codes of whole rates
        table, path = rows_of(count, fps), folder / f"{form.name}{form.suffixes[0]}"
        began = time.process_time()
        losses = write(table, path, form.name)
        wrote = time.process_time()
        found = read(path, form.name, fps=fps)
        done = time.process_time()
        out |= {} if "write_s" in out else {"write_s": round(wrote - began, 3), "read_s": round(done - wrote, 3)}
        out[name] = changed(table, found, fps) | ({"losses": list(losses)} if losses else {})
    return out


def changed(table: AnnotationTable, found: AnnotationTable, fps: float) -> dict[str, Any]:
    """Largest change of a start or end, ms, and rows whose frames are others; rows in order of time."""
    if len(table) != len(found):
        return {"largest_ms": None, "other_frames": abs(len(table) - len(found))}
    old, new = (sorted(t, key=lambda r: (r.start or 0.0, r.label)) for t in (table, found))
    pairs = [(a, b) for x, y in zip(old, new, strict=True) for a, b in ((x.start, y.start), (x.end, y.end))]
    known = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    clock = FrameClock(fps)
    frames = [
        Counter((r.label, *clock.frames(r.start or 0.0, r.end or 0.0)) for r in t if r.end is not None)
        for t in (old, new)
    ]
    ends_lost = sum(r.end is None for r in new)
    return {
        "largest_ms": round(1000 * max(known), 6),
        "other_frames": sum((frames[0] - frames[1]).values()) if not ends_lost else None,
        "ends_lost": ends_lost,
    }


def tables(count: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Our reader against pandas', CSV and Parquet."""
    import pandas as pd

    table = rows_of(count, 25.0)
    out = {}
    for name, theirs in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        path = folder / f"large.{name}"
        write(table, path)
        times: dict[str, list[float]] = {"ours": [], "pandas": []}
        for _ in range(rounds):
            for who, call in (("ours", read), ("pandas", theirs)):
                began = time.process_time()
                call(path)
                times[who].append(time.process_time() - began)
        medians = {who: statistics.median(t) for who, t in times.items()}
        out[name] = {
            "rows": count, "rounds": rounds,
            "ours_s": round(medians["ours"], 3), "pandas_s": round(medians["pandas"], 3),
            "speed_of_pandas": round(medians["pandas"] / medians["ours"], 3),
            "least": round(min(p / o for p, o in zip(times["pandas"], times["ours"], strict=True)), 3),
            "most": round(max(p / o for p, o in zip(times["pandas"], times["ours"], strict=True)), 3),
        }  # fmt: skip
        print(f"{name}: {out[name]}", file=sys.stderr, flush=True)
    return out


#: What was read instead where no library of the tool can be had.
SOURCES = {
    "via-csv": "VIA 3's own code, run for its project: both tables that it exports are read",
    "asoid": "no library was run; its documentation",
    "dartfish": "no library; files as the public readers of PyFootballVideo and YouChip-Stat take them",
    "dartfish-csv": "no library; the table as PyFootballVideo's public reader takes it",
    "coco": "no tool of its own: read again by us",
    "csv": "no tool of its own: read again by us",
    "tsv": "no tool of its own: read again by us",
    "chapters": "no library; YouTube's help on chapters",
    "activitynet": "no library; the data set's own files are read",
}


def elsewhere(name: str) -> dict[str, str | None] | None:
    """What a judge in an environment of its own said (benchmarks/judge_formats.py), if there is one."""
    stored = RESULTS / "judge_formats.json"
    judges = json.loads(stored.read_text())["figures"]["judges"].values() if stored.exists() else ()
    for said in (j for j in judges if j["format"] == name):
        wrong = sum(v for rate in RATES for k, v in said[rate].items() if "otherwise" in k or k == "invents")
        ways = "reads the same frames" + (
            ", and what it writes is read" if any(k.startswith("we_read") for k in said["25"]) else "; it writes none"
        )
        package, _, number = said["judge"].rpartition(" ")
        return {
            "package": package,
            "version": f"{number} ({said['date']})",
            "does": ways if not wrong else "other frames",
        }
    return None


def judge(name: str) -> dict[str, str | None]:
    """Package, its version here, and what it does."""
    if (said := elsewhere(name)) is not None:
        return said
    if name not in JUDGES:
        return {"package": None, "version": None, "does": SOURCES.get(name, "?")}
    package, does = JUDGES[name]
    try:
        found: str | None = version(package)
    except PackageNotFoundError:
        found = None
    return {"package": package, "version": found, "does": does}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--table-rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    forms = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in writable():
            count = args.rows // 20 if form.name in _SHORT else args.rows
            forms[form.name] = measured(form, count, Path(folder)) | {"judge": judge(form.name)}
            print(f"{form.name}: {forms[form.name]}", file=sys.stderr, flush=True)
        large = tables(args.table_rows, args.rounds, Path(folder))
    finish("bench_formats", {"formats": forms, "tables": large})


if __name__ == "__main__":
    main()
