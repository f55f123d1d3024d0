"""The figures of docs/embedding.md, from the stored results of bench_image.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines


def section(document: Mapping[str, Any]) -> str:
    """What the image weighs, and that it served."""
    f = document["figures"]
    largest = ", ".join(f"{name} {size:.0f}" for name, size in f["largest_mib"].items())
    lines = [
        f"- **Size** of `Dockerfile` on a minimal Debian 12 of {f['base_mib']:.0f} MiB: {f['image_mib']:.0f} MiB, "
        f"{f['compressed_mib']:.0f} MiB by gzip. `/opt/tal` has {f['packages_mib']:.0f} of it; the largest: {largest}.",
        "- Run in bubblewrap with its own user, command and health check: "
        + ", ".join(f"{name.replace('_', ' ')}: {'yes' if f[name] else 'no'}" for name in _CHECKS) + ".",
    ]  # fmt: skip
    return "\n".join([*lines, *machine_lines({"": document["machine"]}, "onnxruntime")])


_CHECKS = ("root_is_read_only", "healthy", "ready", "needs_a_token", "localizes")
