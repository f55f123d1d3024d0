"""ActivityNet detection JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..._util.files import write_text
from ..._util.names import distinct_names
from ...records import VideoSegments


def document(results: Iterable[VideoSegments], names: Sequence[str] | None = None) -> dict[str, Any]:
    """Build ``{"version", "results": {video: [{label, score, segment}]}, "external_data"}``, seconds to 6 decimals.

    Args:
        results: of one video each.
        names: names of the videos; None for `names.distinct_names` of their sources.

    Raises:
        UsageError: two results have one name; the message names both sources.
    """
    results = list(results)
    names = distinct_names([r.info.source for r in results]) if names is None else names
    segments: dict[str, list[dict[str, Any]]] = {}
    plans: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    for name, result in zip(names, results, strict=True):
        segments[name] = [
            {"label": s.label, "score": round(s.score, 6), "segment": [round(s.start, 6), round(s.end, 6)]}
            | ({} if s.subject is None else {"subject": s.subject})
            for s in result
        ]
        plans[name] = f"sha256:{result.info.plan}"
        if result.info.warnings:
            notes[name] = list(result.info.warnings)
    external: dict[str, Any] = {"used": False, "plan": sorted(set(plans.values()))}
    if called := sorted({r.info.plan_name for r in results} - {""}):
        external["plan_name"] = called
    if domains := {
        n: round(r.info.domain, 6) for n, r in zip(names, results, strict=True) if r.info.domain is not None
    }:
        external["domain"] = domains
    if notes:
        external["warnings"] = notes
    return {"version": "VERSION 1.3", "results": segments, "external_data": external}


def write(path: str | Path, results: Iterable[VideoSegments], names: Sequence[str] | None = None) -> None:
    """Write one file for all videos; see `document`."""
    write_text(path, json.dumps(document(results, names), indent=1) + "\n")
