"""One training run of a benchmark: a method with some fields changed, on a data set, scored by its last weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from tal_engine.lab.data.dataset import DataSet
from tal_engine.lab.methods import load_method
from tal_engine.lab.nn.image_towers import open_text
from tal_engine.lab.nn.text import TextEncoder
from tal_engine.lab.training.recipe import fitted, recipe
from tal_engine.lab.training.runs import train_head, videos_of
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.lab.training.training_report import figures_of
from tal_engine.lab.training.validation import scores

SEEDS = (0, 1, 2)
#: A figure of a run, and its name in a report. A method without a CAS has no mIoU.
_FIGURES = {"map_10_70": "0.1:0.7", "map_50": "0.5", "foreground_iou": "mIoU foreground",
            "background_iou": "mIoU background"}  # fmt: skip


class Variant(NamedTuple):
    """A method with some fields of its config, and of its training options, changed.

    trained: False for a variant that has nothing to train; its figures are those of the network as it is built.
    """

    method: str
    changes: Mapping[str, Any] = MappingProxyType({})
    seeds: tuple[int, ...] = SEEDS
    train: Mapping[str, Any] = MappingProxyType({})
    trained: bool = True


def prepared(
    data: DataSet, variant: Variant, seed: int, settings: str = "simulator"
) -> tuple[Any, Any, TrainOptions, TextEncoder | None]:
    """Method, config at the data's widths, training options, text tower; `settings`: the recipe's name."""
    method = load_method(variant.method)
    chosen = recipe(method, settings)
    config = fitted(method.Config(**{**chosen.config, **variant.changes}), widths(data))
    text = None
    if method.uses_text:
        spec = data.text
        text = open_text(spec.tower, name=spec.name, weights=spec.weights, dim=spec.dim, seed=spec.seed)
    return method, config, TrainOptions(**{**chosen.train, **variant.train, "seed": seed, "device": "cpu"}), text


def widths(data: DataSet) -> dict[str, int]:
    found = data.widths(("rgb", "flow", "clip"))
    return {"rgb": found["rgb"], "flow": found["flow"], "joint": found["clip"]}


def measured(data: DataSet, variant: Variant, seed: int, folder: Path, settings: str = "simulator") -> dict[str, float]:
    """One training run; figures of the last weights in percent, and CPU seconds. Its checkpoint is left in `folder`."""
    method, config, options, text = prepared(data, variant, seed, settings)
    began = time.process_time()
    if variant.trained:
        run = train_head(method, config, options, data, folder, text=text)
        last = {k: s.mean for k, s in run.rows[0].figures.items()}
    else:
        last = as_built(data, variant, seed, settings)
    taken = time.process_time() - began if variant.trained else 0.0
    found = {k: round(100 * last[v], 2) for k, v in _FIGURES.items() if v in last}
    return found | {"training_cpu_s": round(taken, 1)}


def as_built(data: DataSet, variant: Variant, seed: int, settings: str = "simulator") -> dict[str, float]:
    """Figures of a network that was not trained, by a report's names."""
    method, config, options, text = prepared(data, variant, seed, settings)
    torch.manual_seed(seed)
    net = method.build(config, data.vocabulary, text)
    return figures_of(scores(method, net, config, data.vocabulary, videos_of(method, config, options, data, "test")))


def about(data: DataSet) -> dict[str, Any]:
    """What rows of one part share."""
    return {
        "protocol": data.protocol,
        "classes": len(data.vocabulary),
        **{f"{role}_videos": len(data.subset(role)) for role in ("train", "test")},
        "test_instances": sum(len(v.instances) for v in data.subset("test")),
        "widths": widths(data),
    }
