"""Base heads, one file each: features to activations. Heads know `nn` and never each other."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ...errors import UsageError

HEADS = {
    "aicl": "tal_engine.lab.heads.aicl",
    "basnet": "tal_engine.lab.heads.basnet",
    "co2": "tal_engine.lab.heads.co2",
    "cola": "tal_engine.lab.heads.cola",
    "hamnet": "tal_engine.lab.heads.hamnet",
    "lacp": "tal_engine.lab.heads.lacp",
    "stpn": "tal_engine.lab.heads.stpn",
    "transformer": "tal_engine.lab.heads.transformer",
    "um": "tal_engine.lab.heads.um",
}


def load_head(name: str) -> ModuleType:
    """Return the module of a base head by name."""
    if name not in HEADS:
        raise UsageError(f"unknown head {name!r}; known: {', '.join(sorted(HEADS))}")
    return importlib.import_module(HEADS[name])


def head_config(name: str, what: str, widths: Any, *options: Mapping[str, Any]) -> Any:
    """Create the config of a base head that a method is built on.

    Args:
        name: of the head.
        what: the last of the options is called in messages, such as "base_options".
        widths: has the widths of the streams, as a `StreamConfig` does.
        options: fields that differ from the head's own defaults; later ones count.

    Raises:
        UsageError: the head has no such field.
    """
    given = {key: value for each in options for key, value in each.items()}
    try:
        return load_head(name).Config(rgb=widths.rgb, flow=widths.flow, widths=widths.widths, **given)
    except TypeError as e:
        raise UsageError(f"{what} of {name}: {str(e).removeprefix('Config.__init__() got an ')}") from e
