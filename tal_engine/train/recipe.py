"""Training a head on a folder of videos: features, batches, loop. And the demo's own choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from ..data.batches import BatchSampler
from ..data.catalog import read_catalog
from ..data.features import FeatureStore
from ..features import EncoderGraph
from ..methods import Method
from ..nn.text import TextEncoder
from ..options import SnippetOptions
from .loop import fit
from .options import TrainOptions

#: (task, done, total, note)
Bar = Callable[[str, int, int, str], None]


class Encoders(Protocol):
    """What training needs of a set of encoders (``tal_engine.export.encoders.EncoderSet``)."""

    snippet: SnippetOptions
    text: TextEncoder

    def open(self, streams: Any, device: str = ...) -> list[EncoderGraph]: ...


def demo_config(method: Method) -> Any:
    """A method's config at the width of the tiny encoders.

    The distillation weight is smaller than published: the tiny image tower knows far less than
    CLIP. Classes are kept from a low video probability on, since some videos show many.
    """
    wanted = {"rgb": 128, "flow": 128, "joint": 128, "kd_weight": 2.0, "class_threshold": 0.01}
    known = {f.name for f in fields(method.Config)}
    return method.Config(**{k: v for k, v in wanted.items() if k in known})


def demo_options() -> TrainOptions:
    """Training options for a few hundred short videos on a CPU."""
    return TrainOptions(steps=1200, batch=10, pairs=3, length=96, learning_rate=5e-4, save_every=500)


def train_head(
    method: Method,
    config: Any,
    options: TrainOptions,
    data: Path,
    output: Path,
    *,
    encoders: Encoders,
    subset: str = "train",
    resume: bool = False,
    bar: Bar | None = None,
) -> nn.Module:
    """Train a method on the videos of a folder and leave a checkpoint.

    Args:
        method: what to train.
        config: its configuration.
        options: of the loop.
        data: folder with annotations.json and videos.
        output: folder of the checkpoint.
        encoders: make the features.
        subset: whose labels are read; their times are not.
        resume: go on from the checkpoint in `output`.
        bar: progress.
    """
    catalog = read_catalog(data)
    videos = catalog.subset(subset)
    store = FeatureStore(catalog, encoders.snippet, encoders.open(method.training_streams(config)))

    def extracted(done: int, total: int) -> None:
        if bar is not None:
            bar("features", done, total, "")

    def trained(step: int, steps: int, terms: dict[str, float]) -> None:
        if bar is not None and (step % 10 == 0 or step == steps):
            bar("training", step, steps, f"loss {sum(terms.values()):.3f}")

    batches = BatchSampler(
        videos,
        store.extract(videos, extracted),
        catalog.vocabulary,
        method.training_streams(config),
        length=options.length,
        size=options.batch,
        pairs=options.pairs,
    )
    provenance = {"data": f"{len(videos)} videos of subset {subset!r}, video-level labels", "contract": store.contract}
    return fit(
        method, config, catalog.vocabulary, encoders.text, batches, options, output,
        provenance=provenance, resume=resume, report=trained,
    )  # fmt: skip
