"""The measured part of docs/files.md from the stored results: python benchmarks/files_section.py [--check]."""

from __future__ import annotations

import sys
from typing import Any

from common import stored
from pages import ROOT, check_asked, filled, machine_lines, table, write_or_check

PAGE = ROOT / "docs" / "files.md"


def section(document: dict[str, Any]) -> str:
    """Totals, the files by container, and each file that differs from the reference."""
    f = document["figures"]
    rows = f["rows"]
    differ = [r for r in rows if not r["equal"]]
    lines = [
        f"{f['files']} files against {f['reference']} (the engine's libavformat is {f['libavformat']}): "
        f"**{f['frames_share']:.2%}** of all frames are read. Times equal those of `ffmpeg` within "
        f"{1000 * f['equal_within_s']:.1f} ms in {f['equal']} files. In the other {len(differ)} the reason is named "
        f"below, and {sum(r['true'] for r in differ)} of them have the true times. The largest error against the "
        f"truth is {worst(rows):.3f} s.",
        "",
        *table(["container", "files", "codecs", "frames read", "equal to ffmpeg"], by_container(rows)),
        "",
        *table(
            ["file", "frames", "ffmpeg", "off ffmpeg, s", "off the truth, s", "why they differ"],
            [different(r) for r in differ],
        ),
        "",
        *machine_lines({"bench_files": document["machine"]}, "av"),
    ]
    return "\n".join(lines)


def worst(rows: list[dict[str, Any]]) -> float:
    return max(r["true_error_s"] or 0.0 for r in rows)


def by_container(rows: list[dict[str, Any]]) -> list[list[str]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["container"], []).append(row)
    return [
        [
            container,
            str(len(own)),
            ", ".join(sorted({r["codec"].removeprefix("lib") for r in own})),
            f"{sum(r['frames'] for r in own)} of {sum(r['true_frames'] for r in own)}",
            str(sum(r["equal"] for r in own)),
        ]
        for container, own in sorted(found.items())
    ]


def different(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['container']} {row['codec'].removeprefix('lib')}, {row['odd']}",
        str(row["frames"]),
        str(row["ffmpeg_frames"]),
        *("frames differ" if row[k] is None else f"{row[k]:.3f}" for k in ("error_s", "true_error_s")),
        row["reason"] or "not explained",
    ]


def main() -> None:
    page = filled(PAGE, {"bench_files": lambda: section(stored("bench_files"))})
    if not write_or_check({PAGE: page}, check_asked()):
        sys.exit("docs/files.md differs from the stored results: run benchmarks/files_section.py")


if __name__ == "__main__":
    main()
