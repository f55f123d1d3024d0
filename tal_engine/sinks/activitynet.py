"""ActivityNet detection JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import write_text
from ..records import Localization


def video_id(source: str) -> str:
    """The name of a video in result files: its file name without the ending."""
    return Path(source).stem


def document(results: Iterable[Localization]) -> dict[str, Any]:
    """``{"version", "results": {video: [{label, score, segment}]}, "external_data"}``, seconds to 6 decimals."""
    found: dict[str, list[dict[str, Any]]] = {}
    plans: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    for result in results:
        name = video_id(result.info.source)
        found[name] = [
            {"label": s.label, "score": round(s.score, 6), "segment": [round(s.start, 6), round(s.end, 6)]}
            for s in result
        ]
        plans[name] = f"sha256:{result.info.plan}"
        if result.info.warnings:
            notes[name] = list(result.info.warnings)
    external: dict[str, Any] = {"used": False, "plan": sorted(set(plans.values()))}
    if notes:
        external["warnings"] = notes
    return {"version": "VERSION 1.3", "results": found, "external_data": external}


def write(path: str | Path, results: Iterable[Localization]) -> None:
    """Write one file for all videos."""
    write_text(path, json.dumps(document(results), indent=1) + "\n")
