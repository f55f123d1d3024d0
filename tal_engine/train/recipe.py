"""Settings by name: published recipes, the demonstration's own, widths that follow the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ..data.dataset import DataSet
from ..errors import UsageError
from ..heads.interface import Recipe
from ..methods import Method
from ..nn.text import TextEncoder
from .options import TrainOptions

#: For a few hundred short videos on a CPU. The distillation weight is smaller than published: the tiny image tower
#: knows far less than CLIP. Classes are kept from a low video probability on, since some videos show many.
DEMO = Recipe(
    {"kd_weight": 2.0, "class_threshold": 0.01},
    {"steps": 1200, "batch": 10, "pairs": 3, "length": 96, "learning_rate": 5e-4, "save_every": 500},
)
#: For the feature simulator: narrow features, some hundred short videos, a minute or two on a core. Chosen on another
#: simulated world than benchmarks use, where CO2-Net gains nothing from more steps. There PVLR does best with little
#: distillation (mAP@0.1:0.7 of one seed: weight 0 69, 2 67, 200 far from trained); 2 keeps the term on. UM's margin is
#: a length of features: 100 is for 2048 wide ones (with it 25, with 20 39, with 5 70).
SIMULATOR = Recipe(
    {"kd_weight": 2.0, "margin": 5.0},
    {"steps": 1000, "batch": 10, "pairs": 3, "length": 96, "learning_rate": 1e-3},
)
#: Recipes that every method has.
COMMON = {"demo": DEMO, "simulator": SIMULATOR}
#: Width of the tiny encoders.
DEMO_WIDTHS = {"rgb": 128, "flow": 128, "joint": 128}


def recipe(method: Method, name: str) -> Recipe:
    """Settings of a method by name; those of `COMMON` are known for every method.

    Raises:
        UsageError: it has no such recipe; the message lists them.
    """
    if name in COMMON and name not in method.RECIPES:
        known = {f.name for f in fields(method.Config)}
        return Recipe({k: v for k, v in COMMON[name].config.items() if k in known}, COMMON[name].train)
    if name not in method.RECIPES:
        known_names = ", ".join(sorted({*COMMON, *method.RECIPES}))
        raise UsageError(f"{method.name} has no recipe {name!r}; known: {known_names}")
    return method.RECIPES[name]


def data_widths(data: DataSet, streams: Sequence[str], text: TextEncoder | None) -> dict[str, int]:
    """Widths of the feature streams, and "joint", that of the text tower, if there is one.

    Raises:
        UsageError: the text tower and the "clip" stream are not of the same space.
    """
    widths = data.widths(streams)
    if text is None:
        return widths
    if widths.get("clip", text.dim) != text.dim:
        raise UsageError(f"{data.name}: stream 'clip' is {widths['clip']} wide, its text tower gives {text.dim}")
    return {**widths, "joint": text.dim}


def fitted(config: Any, widths: Mapping[str, int], keep: Collection[str] = ()) -> Any:
    """A config whose width fields ("rgb", "flow", "joint", ...) follow the data; those in `keep` stay."""
    known = {f.name for f in fields(config)}
    changes = {k: v for k, v in widths.items() if k in known and k not in keep}
    return replace(config, **changes)


def demo_config(method: Method) -> Any:
    """A method's config for the demonstration, at the width of the tiny encoders."""
    return fitted(method.Config(**recipe(method, "demo").config), DEMO_WIDTHS)


def demo_options() -> TrainOptions:
    """Training options of the demonstration."""
    return TrainOptions(**DEMO.train)
