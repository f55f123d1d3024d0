"""Proposals -> fewer proposals: non-maximum suppression in the C++ core."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from .. import _core
from ..options import NmsOptions
from ..records import Proposals


def native_options(options: NmsOptions) -> _core.NmsOptions:
    """The same options as the C++ struct."""
    return _core.NmsOptions(**{**asdict(options), "kind": getattr(_core.NmsKind, options.kind)})


def suppress(proposals: Proposals, options: NmsOptions) -> Proposals:
    """Suppress overlapping proposals of the same class; best first, scores decayed."""
    data = proposals.data
    kept, value, _ = _core.suppress(
        data["start"], data["end"], data["score"], data["label"], np.array([0, len(data)]), native_options(options)
    )
    out = data[kept].copy()
    out["score"] = value
    return Proposals(out, proposals.duration)
