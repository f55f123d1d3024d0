"""What docs/speed.md says, from the stored results of bench_limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import table

STAGES = ("decode", "convert", "flow", "encode", "rest")


def section(document: Mapping[str, Any]) -> str:
    """Every part that was measured."""
    found = document["figures"]
    parts = [
        make(document) for name, make in (("stages", stages), ("ways", ways), ("accuracy", accuracy)) if name in found
    ]
    machine = next(iter(document["parts"].values()))["machine"]
    return "\n\n".join([*parts, f"- Machine: {machine['cpu']}, {machine['cores']} cores; {machine['instructions']}."])


def stages(document: Mapping[str, Any]) -> str:
    """Processor seconds by stage of each clip, and the least of each."""
    figures = document["figures"]["stages"]
    rows = []
    for name, clip in figures["clips"].items():
        least = clip["least_s"]
        shown = [("the least", least, sum(least.values()))]
        shown += [(plan, r["cpu_s"], r["all_s"]) for plan, r in clip["plans"].items()]
        for plan, seconds, whole in shown:
            cells = [f"{max(seconds[s], 0.0):.3f}" for s in STAGES]
            rows.append([f"{name}, {clip['frames']} frames", plan, *cells, f"{whole / least['decode']:.2f}x"])
    return "\n".join(table(["clip", "plan", *STAGES, "all, times decoding alone"], rows))


def ways(document: Mapping[str, Any]) -> str:
    """Each way beside what it replaces."""
    rows = [
        [work, way, f"{ms:.3g}", f"{ms / next(iter(found.values())):.2f}"]
        for work, found in document["figures"]["ways"]["ms"].items()
        for way, ms in found.items()
    ]
    return "\n".join(table(["work", "way", "processor ms", "of the first"], rows))


def accuracy(document: Mapping[str, Any]) -> str:
    """Accuracy of each plan on the same videos."""
    figures = document["figures"]["accuracy"]
    rows = [[name, f"{r['map_50']:.1f}", f"{r['map_10_70']:.1f}"] for name, r in figures["plans"].items()]
    said = f"{figures['videos']} of the 44 held-out procedural videos, {figures['instances']} instances:"
    return "\n".join([said, "", *table(["plan", "mAP@0.5", "mean mAP@0.1:0.7"], rows)])


def peers(document: Mapping[str, Any]) -> str:
    """Soft-NMS beside its peers, in the same rounds."""
    names = next(iter(document["figures"]["rows"].values()))["times"]
    rows = [
        [work, f"{1e3 * r['ms']['ours']:.3g}", *(f"{1e3 * r['ms'][p]:.3g} ({r['times'][p]:.1f}x)" for p in names)]
        for work, r in document["figures"]["rows"].items()
    ]
    return "\n".join(table(["soft-NMS", "tal_engine, us", *(f"{p}, us" for p in names)], rows))


def shares(document: Mapping[str, Any]) -> str:
    """What two threads share of each call, and how the time for an interval of one group grows."""
    figures = document["figures"]
    rows = [
        [work, *(f"{r[k]:.3g}" for k in ("one_ms", "caller_ms", "shared_ms")), f"{r['at_most']:.2f}x"]
        for work, r in figures["shares"].items()
    ]
    sizes = list(next(iter(figures["growth"].values())))
    grown = [[work, *(f"{ns[n]:.0f}" for n in sizes)] for work, ns in figures["growth"].items()]
    lines = table(["processor ms", "one thread", "not shared", "shared by two", "two threads, at most"], rows)
    lines += ["", *table(["ns an interval, one group", *(f"{int(n):,}" for n in sizes)], grown), ""]
    return "\n".join([*lines, f"- Load when they were taken: {figures['load']}."])
