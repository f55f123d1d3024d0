"""The part of docs/archives.md on throughput and kills, from the stored results of bench_archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines


def section(document: Mapping[str, Any]) -> str:
    """Say what `tal batch` did beside other ways, and what kills left."""
    t, k = document["figures"]["throughput"], document["figures"]["kill"]
    killed = " and ".join(f"{n} of {'workers' if what == 'worker' else 'whole runs'}" for what, n in k["kills"].items())
    lines = [
        f"- {t['clips']} rendered clips of 20 s, {len(t['seconds']['batch'])} rounds in turns, medians by the clock: "
        f"two workers have **{t['of_two_processes']:.2f}x** the throughput of two separate runs on halves, and "
        f"**{t['of_localize']:.2f}x** that of `tal localize FOLDER`.",
        f"- kill -9 at random moments, {killed}: of {k['videos']} videos {k['missing']} are missing, {k['twice']} are "
        f"there twice, and {k['segments_wrong']} have other segments than their row says.",
        *machine_lines({"all": document["machine"]}, "onnxruntime"),
        f"- Load of the machine before: {document['figures']['load_before']:.1f}.",
    ]  # fmt: skip
    return "\n".join(lines)
