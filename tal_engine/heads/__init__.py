"""Base heads, one file each: features to activations. Heads know `nn` and never each other."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import UsageError

HEADS = {
    "aicl": "tal_engine.heads.aicl",
    "basnet": "tal_engine.heads.basnet",
    "co2": "tal_engine.heads.co2",
    "cola": "tal_engine.heads.cola",
    "hamnet": "tal_engine.heads.hamnet",
    "lacp": "tal_engine.heads.lacp",
    "stpn": "tal_engine.heads.stpn",
    "transformer": "tal_engine.heads.transformer",
    "um": "tal_engine.heads.um",
}


def load_head(name: str) -> ModuleType:
    """The module of a base head by name."""
    if name not in HEADS:
        raise UsageError(f"unknown head {name!r}; known: {', '.join(sorted(HEADS))}")
    return importlib.import_module(HEADS[name])
