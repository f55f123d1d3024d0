"""Text towers by name, as data descriptions name them."""

from __future__ import annotations

from pathlib import Path

from ...errors import UsageError
from .text import TextEncoder

TOWERS = ("clip", "hashed", "tiny")


def open_text(
    tower: str, *, name: str = "", weights: str | Path | None = None, dim: int = 0, seed: int = 0
) -> TextEncoder:
    """Open a frozen text tower.

    Args:
        tower: "clip" (`name` and `weights`; see `nn.clip`), "hashed" (`dim` and `seed`; no weights, no
            meaning), or "tiny" (the demonstration's own).
        name: the architecture, for "clip".
        weights: a weights file, for "clip" and, instead of the one that ships, for "tiny".
        dim: of the joint space, for "hashed"; 64 without it.
        seed: of the random layer, for "hashed".

    Raises:
        UsageError: an unknown tower, or what it needs is not given.
        CheckpointError: the weights cannot be used.
    """
    if tower == "clip":
        from .clip import load_clip_text

        return load_clip_text(name or "RN50", weights)
    if tower == "hashed":
        from .hashed_text import HashedText

        return HashedText(dim or 64, seed)
    if tower == "tiny":
        from .tiny import TINY_WEIGHTS, load_tiny

        return load_tiny(weights or TINY_WEIGHTS).text
    raise UsageError(f"unknown text tower {tower!r}; known: {', '.join(TOWERS)}")
