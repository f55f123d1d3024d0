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
            *_requery(),
            *machine,
        ]
    )


def _requery() -> list[str]:
    f, _ = _part("requery")
    if not f:
        return []
    each = [
        f"{w} wide: {1000 * r['seconds_one_text']:.0f} ms for one new text, {1000 * r['seconds_five_texts']:.0f} ms "
        f"for five ({r['bytes'] / 1e9:.2f} GB)"
        for w, r in f.items()
        if w != "hours"
    ]
    return [f"- {f['hours']} hours at 0.64 s a snippet, from text to segments: {'; '.join(each)}."]
