"""The tables of published detections in tal_engine/metrics/README.md, from the stored results of bench_gold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines, table


def section(document: Mapping[str, Any]) -> str:
    """Printed figures against ours, then every file by every protocol with what ties decide."""
    files = document["figures"]["files"]
    claims = [(name, claim) for name, row in files.items() for claim in row["claims"]]
    head = ["file", "rules", "figures by", "reached", "missed"]
    missing = [name for name, row in files.items() if not any(c["kind"] == "published" for c in row["claims"])]
    return "\n".join(
        [
            *table(head, [_claim(name, claim) for name, claim in claims]),
            "",
            f"{_count(claims, 'published')} published figures and {_count(claims, 'recomputed')} recomputed ones "
            "(given by public evaluators on the file; nobody printed them) are reached. No published figure is "
            f"known of {', '.join(f'`{_short(name)}`' for name in missing)}.",
            "",
            *table(
                ["file", "protocol", "tIoU", "mean mAP", "points that ties decide", "points between orders"],
                [_protocol(name, p, row) for name, f in files.items() for p, row in f["protocols"].items()],
            ),
            "",
            "*Points that ties decide*: mean mAP with all true positives first among equal scores, less that with all "
            "last. *Points between orders*: the largest difference at one overlap between our order, the listed one "
            "and numpy's sort, where other detections may also be matched.",
            "",
            *machine_lines({"bench_gold": document["machine"]}, "numpy"),
        ]
    )


def _short(name: str) -> str:
    return name.removeprefix("gtea_tcn_frame_predictions/").replace("detection_result_", "")


def _claim(name: str, claim: Mapping[str, Any]) -> list[str]:
    digits = claim["digits"]
    missed = [f"{d['at']}: {d['printed']}, ours {d['ours']:.3f}" for d in digits if not d["reached"]]
    good = f"{len(digits) - len(missed)} of {len(digits)}"
    return [f"`{_short(name)}`", claim["rules"], f"{claim['source']} ({claim['kind']})", good, "; ".join(missed)]


def _count(claims: list[tuple[str, Mapping[str, Any]]], kind: str) -> str:
    digits = [d["reached"] for _, claim in claims if claim["kind"] == kind for d in claim["digits"]]
    return f"{sum(digits)} of {len(digits)}"


def _protocol(name: str, protocol: str, row: Mapping[str, Any]) -> list[str]:
    orders = f"{row['order_points']:.2f}" if "order_points" in row else ""
    figures = [f"{row['mean_map']:.2f}", f"{row['tie_points']:.2f}", orders]
    return [f"`{_short(name)}`", f"`{protocol}`", row["tious"], *figures]
