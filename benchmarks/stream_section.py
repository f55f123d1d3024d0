"""measured.md on streams, from the parts of bench_stream that were run, and which promises they broke."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pages import machine_lines, table

Figures = Mapping[str, Any]

#: The curve at the largest latency may be so many points below the file.
CLOSE_POINTS = 2.0


def section(document: Mapping[str, Any]) -> str:
    """Lines of each part; a part that was not run has none."""
    figures, last = document["figures"], document["machine"]
    lines = [line for part, say in PARTS.items() if part in figures for line in say(figures[part])]
    made = {part: document.get("parts", {}).get(part, {}).get("machine", last) for part in figures}
    return "\n".join([*lines, *machine_lines(made, "onnxruntime")])


def broken(part: str, f: Figures) -> list[str]:
    """Promises that the figures of a part break, in words."""
    return _BROKEN[part](f) if part in _BROKEN else []


def _late(f: Figures) -> list[str]:
    return [
        f"{name}: {s['later_than_declared']} late finals" for name, s in f["sets"].items() if s["later_than_declared"]
    ]


def _memory(f: Figures) -> list[str]:
    return [words for run in f["runs"].values() for words in run["broken"]]


def _chunks(f: Figures) -> list[str]:
    other = f["chunkings"] - f["equal_but_for_scores"]
    return [f"{other} chunkings gave other finals"] if other else []


def _curve(f: Figures) -> list[str]:
    short = f["offline"]["map_10_70"] - _largest(f)["map_10_70"]
    return [f"{short:.2f} points under the file at the largest latency"] if short > CLOSE_POINTS else []


def _rtsp(f: Figures) -> list[str]:
    out = [f"error: {f['error']}"] if f["error"] else []
    if f["later_than_declared"]:
        out.append(f"{f['later_than_declared']} late finals")
    if f["gaps_in_the_coverage_map"] < f["gaps_over_a_second"]:
        out.append(f"{f['gaps_over_a_second'] - f['gaps_in_the_coverage_map']} gaps are not in the coverage map")
    return out


_BROKEN: dict[str, Callable[[Figures], list[str]]] = {
    "lateness": _late, "memory": _memory, "chunks": _chunks, "curve": _curve, "rtsp": _rtsp,
}  # fmt: skip


def _largest(f: Figures) -> Figures:
    """The row that waits longest in a window that covers the video."""
    return next(r for r in f["rows"] if r["window_s"] == "covering" and r["latency_s"] == "window")


def lateness(f: Figures) -> list[str]:
    rows = [
        f"{name} ({s['videos']} videos, {s['finals']} finals): p50 {s['lateness_s']['p50']:.2f} s, "
        f"p99 {s['lateness_s']['p99']:.2f} s, longest {s['lateness_s']['max']:.2f} s of {s['declared_s']:.2f} s "
        f"declared, {s['later_than_declared']} later"
        for name, s in f["sets"].items()
    ]
    return [f"- From the end of an action to its final: {'; '.join(rows)}."]


def memory(f: Figures) -> list[str]:
    rows = [
        f"{run['hours']:.3g} stream-hours of {what}: {run['slope']['mib_per_hour']:+.3f} ± "
        f"{run['slope']['standard_error']:.3f} MiB an hour (noise up to {run['slope']['noise']:.3f}), "
        f"{run['rss_mib']['last']:.0f} MiB at the end, "
        f"{run['late_events']} of {run['finals']} finals late, {run['times_real_time']:.0f}x real time"
        for what, run in f["runs"].items()
    ]
    return [f"- Memory (`tal certify --synthetic`), slope over the last four fifths: {'; '.join(rows)}."]


def chunks(f: Figures) -> list[str]:
    return [
        f"- {f['chunkings']} random chunkings of {f['seconds']:.0f} s of video ({f['finals']} finals, window "
        f"{f['window_s']:g} s): {f['equal_bit_for_bit']} equal bit for bit, {f['equal_but_for_scores']} equal in all "
        f"but scores (which differ by at most {f['largest_score_difference']:.1g}, as encoders batch otherwise)."
    ]


def curve(f: Figures) -> list[str]:
    latencies = sorted({r["latency_s"] for r in f["rows"]}, key=lambda x: math.inf if x == "window" else x)
    head = ["window, s", *(f"{x:g} s" if x != "window" else "the window" for x in latencies)]
    body = []
    for window in dict.fromkeys(r["window_s"] for r in f["rows"]):
        mine = {r["latency_s"]: r for r in f["rows"] if r["window_s"] == window}
        cells = [f"{mine[x]['map_10_70']:.1f} ({mine[x]['aedt_50_s']:.1f} s)" if x in mine else "" for x in latencies]
        body.append([f"{window:g}" if window != "covering" else "covers the video", *cells])
    o = f["offline"]
    return [
        f"- What waiting buys, on {f['videos']} held-out procedural videos ({f['instances']} instances): mean "
        f"mAP@0.1:0.7 of the finals, and AEDT at tIoU 0.5, by window and look-ahead; the file as a whole has "
        f"{o['map_10_70']:.1f}:",
        "",
        *table(head, body),
        "",
    ]


def rtsp(f: Figures) -> list[str]:
    faults = ", ".join(f"{n} {kind}" for kind, n in sorted(f["faults"].items()))
    missed = ", ".join(f"{k} {v:.1f}" for k, v in f["not_analysed_s"].items() if v) or "none"
    return [
        f"- A served camera on loopback, {f['stream_minutes']:g} stream-minutes at {f['speed']:g}x, with {faults}, and "
        f"jitter, double, backward and corrupted frames all the time: {f['finals']} finals, the longest after "
        f"{f['longest_lateness_s']:.2f} s of {f['declared_s']:.2f} s declared; {f['served_s']:.1f} s served, "
        f"{f['shown_s']:.1f} s seen, not analysed (s): {missed}, unaccounted {f['unaccounted_s']:.1f} s; "
        f"{f['gaps_in_the_coverage_map']} of {f['gaps_over_a_second']} gaps in the coverage map; drift "
        f"{1000 * f['drift_s']:.0f} ms."
    ]


def streams(f: Figures) -> list[str]:
    last = next((r for r in reversed(f["rows"]) if r["sustained"]), f["rows"][0])
    stages = ", ".join(f"{k} {v / last['wall_s']:.2f}" for k, v in last["engine_s"].items())
    cost = "" if f["cpu_of_a_stream"] is None else f"; one more stream takes {f['cpu_of_a_stream']:.2f} cores"
    return [
        f"- Streams of {f['size']} at {f['fps']} fps that {f['cores']} cores sustain with nothing dropped: "
        f"**{f['sustained']}**{cost}. At {last['streams']}: {last['cores_used']:.2f} cores used (reading "
        f"{last['cores_of_reading']:.2f}; seconds a second of the engine's thread: {stages}), other processes "
        f"{last['cores_used_by_others']:.2f}. A snippet takes {f['ms_a_snippet']['flow']:g} ms of flow in "
        f"{f['ms_a_snippet']['flow and encoders']:g} ms of flow and encoders."
    ]


def card(f: Figures) -> list[str]:
    return [f"- Encoders and head on a card ({f['runs_on']}), flow and all else on the processor:", *streams(f)]


PARTS: dict[str, Callable[[Figures], list[str]]] = {
    "lateness": lateness, "memory": memory, "chunks": chunks, "curve": curve, "rtsp": rtsp, "streams": streams,
    "card": card,
}  # fmt: skip
