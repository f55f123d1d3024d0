"""What is to be said of 8-bit plans on this machine's CPU."""

from __future__ import annotations

from .._util.instructions import instructions
from .manifest import Manifest


def int8_notes(manifest: Manifest) -> list[str]:
    """Note how this CPU multiplies 8-bit numbers, and a parity check on another processor; [] for other precisions."""
    if manifest.precision != "int8":
        return []
    here, notes = instructions(), []
    if here.saturate:
        notes.append(f"int8 without VNNI ({here}): sums are kept exact by slower instructions")
    gated = sorted({str(part.get("instructions", "unknown instructions")) for part in manifest.parity.values()})
    if gated and gated != [str(here)]:
        notes.append(f"int8 plan {manifest.name} was gated on {'; '.join(gated)}, this is {here}: tal plan verify")
    return notes
