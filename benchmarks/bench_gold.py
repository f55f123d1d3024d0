"""Every published detection file at hand, by every protocol that fits it, against the digits that its source prints.

    python benchmarks/bench_gold.py

Files and figures: gold_files.py. A figure is reached if ours rounds to it. Beside that, each file is scored by the
named protocols, with what equal scores decide: the span from all true positives last to all first, and how far the
orders of public evaluators are apart. Exits with 1, and stores nothing, if a figure is missed that was reached in the
stored results; files that are not there are skipped with a reason, and what is stored of them stays.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from common import SHARED, finish, stored
from gold_files import FRAMES, FRAMES_SOURCE, GOLD, Claim, Gold, reached

from tal_engine.annotations import align_names, read_annotations, read_detections
from tal_engine.annotations.tables import Table
from tal_engine.metrics import PROTOCOLS, Protocol, evaluate_tables
from tal_engine.metrics.detection import Ambiguous
from tal_engine.metrics.explain import tie_span

NAME = "bench_gold"
#: Orders of equal scores that public evaluators with the toolkit's matching have, and ours.
ORDERS: tuple[Literal["total", "listed", "argsort"], ...] = ("total", "listed", "argsort")
#: The orders act alike in all protocols of that matching; one a data set is enough, since two of them are slow.
ORDERED = ("activitynet", "wtal-seconds")


def loaded(gold: Gold, truth: str) -> tuple[Table, Table, dict[str, Any]]:
    """Truth, detections under its names, and stretches annotated as ambiguous."""
    annotated = read_annotations(SHARED / truth, allow_pickle=True)
    videos = annotated.subset(gold.subset)
    found, _ = align_names(read_detections(SHARED / "detections" / gold.file), tuple(videos))
    return annotated.table(gold.subset), found, {v.name: v.ambiguous for v in videos.values() if v.ambiguous}


def checked(claim: Claim, truth: Table, found: Table) -> dict[str, Any]:
    """Each printed figure beside ours."""
    e = evaluate_tables(truth, found, claim.rules)
    unit = 100.0 if claim.percent else 1.0
    digits = [
        {"at": f"{t:g}", "printed": printed, "ours": unit * float(m), "reached": reached(unit * float(m), printed)}
        for t, m, printed in zip(e.protocol.tious, e.mean_ap, claim.by_tiou, strict=True)
    ]
    if claim.average is not None:
        ours = unit * float(e.average)
        digits.append(
            {"at": "mean", "printed": claim.average, "ours": ours, "reached": reached(ours, claim.average)}
        )  # fmt: skip
    rules = f"{claim.rules.name}, ties={claim.rules.ties}"
    return {"rules": rules, "kind": claim.kind, "source": claim.source, "digits": digits}


def scored(truth: Table, found: Table, rules: Protocol, ambiguous: Ambiguous) -> dict[str, Any]:
    """Mean mAP in per cent by a protocol, and how much of it equal scores decide."""
    e = evaluate_tables(truth, found, rules, ambiguous=ambiguous)
    last, first = tie_span(truth, found, rules, ambiguous=ambiguous)
    row: dict[str, Any] = {
        "tious": f"{rules.tious[0]:g} to {rules.tious[-1]:g}",
        "videos": e.counts.videos,
        "instances": e.counts.instances,
        "detections": e.counts.detections,
        "mean_map": 100 * float(e.average),
        "tie_points": 100 * (first - last),
    }
    if rules.name in ORDERED:
        ways = [evaluate_tables(truth, found, replace(rules, ties=t), ambiguous=ambiguous).mean_ap for t in ORDERS]
        row["order_points"] = 100 * float(np.ptp(np.stack(ways), axis=0).max())
    return row


def of_file(gold: Gold) -> dict[str, Any]:
    """All that is measured of a file."""
    truth, found, _ = loaded(gold, gold.truth)
    claims = [checked(claim, truth, found) for claim in gold.claims]
    if gold.official is not None:
        official = replace(gold, subset={"train": "validation"}.get(gold.subset, gold.subset))
        truth, found, ambiguous = loaded(official, gold.official)
    else:
        ambiguous = {}
    protocols = {name: scored(truth, found, PROTOCOLS[name], ambiguous) for name in gold.protocols}
    return {"claims": claims, "protocols": protocols}


def frames() -> dict[str, Any]:
    """Shares of right frames of the frame predictions; no detections, so no protocol."""
    from scipy.io import loadmat  # type: ignore[import-untyped]

    out: dict[str, Any] = {}
    for folder, splits in FRAMES.items():
        digits = []
        for split, printed in splits.items():
            data = loadmat(SHARED / "detections" / "gtea_tcn_frame_predictions" / folder / f"{split}.mat")
            pairs = [(np.ravel(p), np.ravel(y)) for p, y in zip(np.ravel(data["P"]), np.ravel(data["Y"]), strict=True)]
            ours = sum(int((p == y).sum()) for p, y in pairs) / sum(p.size for p, _ in pairs)
            digits.append(
                {"at": f"split {split}", "printed": printed, "ours": ours, "reached": reached(ours, printed)}
            )  # fmt: skip
        rules = "share of right frames"
        claim = {"rules": rules, "kind": "recomputed", "source": FRAMES_SOURCE, "digits": digits}
        out[f"gtea_tcn_frame_predictions/{folder}"] = {"claims": [claim], "protocols": {}}
    return out


def measured() -> tuple[dict[str, Any], dict[str, str]]:
    """Figures by file; and why others were skipped."""
    files: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for gold in GOLD:
        wanted = [SHARED / "detections" / gold.file, SHARED / gold.truth]
        wanted += [SHARED / gold.official] if gold.official else []
        absent = [str(p.relative_to(SHARED)) for p in wanted if not p.exists()]
        if absent:
            skipped[gold.file] = f"no {', no '.join(absent)} in {SHARED}"
        else:
            files[gold.file] = of_file(gold)
    if (SHARED / "detections" / "gtea_tcn_frame_predictions").is_dir():
        files |= frames()
    else:
        skipped["gtea_tcn_frame_predictions"] = f"no such folder in {SHARED / 'detections'}"
    return files, skipped


def digits_of(files: dict[str, Any]) -> dict[tuple[str, ...], bool]:
    """Whether each printed figure is reached."""
    return {
        (name, claim["rules"], claim["source"], digit["at"], digit["printed"]): digit["reached"]
        for name, row in files.items()
        for claim in row["claims"]
        for digit in claim["digits"]
    }


def lost(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Figures that were reached and are missed now."""
    found = digits_of(now)
    return [" | ".join(key) for key, good in digits_of(before).items() if good and found.get(key) is False]


def main() -> None:
    files, skipped = measured()
    for name, why in skipped.items():
        print(f"{name}: skipped, {why}", file=sys.stderr)
    for key, good in digits_of(files).items():
        print(f"{'pass' if good else 'FAIL'}  {' | '.join(key)}", file=sys.stderr)
    if not files:
        sys.exit(0)
    before = stored(NAME).get("figures", {}).get("files", {})
    if gone := lost(before, files):
        sys.exit("reached before and missed now, nothing was stored:\n" + "\n".join(gone))
    finish(NAME, {"files": {**{k: v for k, v in before.items() if k in skipped}, **files}})


if __name__ == "__main__":
    main()
