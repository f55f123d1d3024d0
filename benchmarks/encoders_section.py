"""What docs/encoders.md and docs/texts.md say of measured figures, from the stored results of bench_encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import stored
from pages import machine_lines, plus_minus, table


def _part(name: str) -> tuple[dict[str, Any], list[str]]:
    document = stored("encoders")
    machine = document.get("parts", {}).get(name, document).get("machine", {})
    return document["figures"].get(name, {}), machine_lines({name: machine}, "onnxruntime")


def names() -> str:
    f, machine = _part("names")
    rows = f["towers"].values()
    tried = sum(len(r["names"]) for r in rows)
    lines = [
        f"- {f['exported']} of {tried} names that were tried, of {f['names']}, export, run behind the gate on other "
        "sizes and batches than the example's, and prepare two pictures as open_clip's own transform does; "
        f"{f['whole']} of them whole, the others in the same layout with two blocks. Worst difference from eager "
        f"torch, of the largest value: {f['worst_parity']:.1e}.",
        *[f"- Not: `{n}`: {e if isinstance(e, str) else 'differs'}." for n, e in f["failed"].items()],
        *_speed(),
        *machine,
    ]
    return "\n".join(lines)


def _speed() -> list[str]:
    f, _ = _part("speed")
    if not f:
        return []
    head = ["image tower", "eager torch, ms a snippet", "graph, ms a snippet", "ratio"]
    rows = [
        [f"`{n}`", f"{r['eager_ms']:.1f}", f"{r['graph_ms']:.1f}", f"{r['eager_ms'] / r['graph_ms']:.2f}"]
        for n, r in f["towers"].items()
    ]
    return ["", f"{f['threads']} threads, {f['batch']} snippets at a time, preparation included on both sides:", "",
            *table(head, rows), ""]  # fmt: skip


def precision() -> str:
    """Say which towers convert, and what rounding moves."""
    f, machine = _part("precision")
    if not f:
        return "Not measured yet: `python benchmarks/bench_encoders.py --parts precision`."
    head = ["tower, random weights", "MB fp32 / fp16 / int8", "least cosine fp16 / int8", "ms a snippet fp32 / int8"]
    rows = []
    for name, r in f["towers"].items():
        half, eight = r["fp16"], r["int8"]
        if "error" in half or "error" in eight:
            rows.append([f"`{name}`", half.get("error", "fp16: yes"), eight.get("error", "int8: yes"), ""])
            continue
        sizes = " / ".join(f"{of['megabytes']:.0f}" for of in (r, half, eight))
        cosines = f"{half['cosine_least']:.5f} / {eight['cosine_least']:.5f}"
        rows.append([f"`{name}`", sizes, cosines, f"{r['fp32_ms']:.1f} / {eight['ms']:.1f}"])
    said = "has" if f["vnni"] else "has no"
    return "\n".join([
        *table(head, rows), "",
        f"- Processor time on {f['threads']} thread; this machine {said} VNNI as ONNX Runtime sees it. Features are of "
        "drawn videos that were not calibrated on.",
        *machine,
    ])  # fmt: skip


def texts() -> str:
    f, machine = _part("zero_shot")
    kinds: Mapping[str, str] = {
        "texts": "texts, no training",
        "chance": "random directions in place of texts",
        "trained": "CO2-Net on the same features, from labels of 40 videos",
    }
    rows = [[kinds[k], plus_minus(r["map_50"]), plus_minus(r["map_10_70"])] for k, r in f["rows"].items()]
    return "\n".join(
        [
            f"The small pair that ships knows the drawn world from captions of single frames. Held out: "
            f"{', '.join(f['held_out'])}; {f['videos']} videos of three seeds, {f['instances']} instances.",
            "",
            *table(["", "mAP@0.5", "mean mAP@0.1:0.7"], rows),
            "",
            "The head is no better than chance: so few labels teach little of one frame a snippet. What motion adds: "
            "the drawn figure's plan, trained on RGB and flow of 140 videos, has AP@0.5 "
            f"{_by_motion(f['held_out'])} on other videos of the same kind.",
            "",
            *_requery(),
            *machine,
        ]
    )


def _by_motion(classes: list[str]) -> str:
    known = stored("first_light")["figures"]["embedded"]["ap_50_by_class"]
    return ", ".join(f"{known[c]:.0f} ({c})" for c in classes)


def _requery() -> list[str]:
    f, _ = _part("requery")
    if not f:
        return []
    each = [
        f"{w} wide ({r['bytes'] / 1e9:.2f} GB): {1000 * r['seconds_one_text']:.0f} ms for one new text "
        f"({1000 * r['cpu_seconds_one_text']:.0f} ms of processor time), {1000 * r['seconds_five_texts']:.0f} ms for "
        f"five, at a load of {r['load']:g} on two cores"
        for w, r in f.items()
        if w != "hours"
    ]
    return [f"- {f['hours']} hours at 0.64 s a snippet, from text to segments: {'; '.join(each)}."]
