"""Settings by name: published recipes, the demonstration's own, widths that follow the data."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from ...errors import UsageError
from ..data.dataset import DataSet
from ..heads.interface import Recipe
from ..heads.streams import IMAGE, PUBLISHED, StreamConfig, default_streams, with_streams
from ..methods import Method
from ..nn.hashed_text import HashedText
from ..nn.text import TextEncoder
from .training_options import TrainOptions

C = TypeVar("C")

log = logging.getLogger("tal_engine")

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
    """Return the settings of a method by name; those of `COMMON` exist for every method.

    Raises:
        UsageError: unknown recipe; the message lists the known ones.
    """
    if name in COMMON and name not in method.RECIPES:
        names = {f.name for f in fields(method.Config)}
        return Recipe({k: v for k, v in COMMON[name].config.items() if k in names}, COMMON[name].train)
    if name not in method.RECIPES:
        known_names = ", ".join(sorted({*COMMON, *method.RECIPES}))
        raise UsageError(f"{method.name} has no recipe {name!r}; known: {known_names}")
    return method.RECIPES[name]


def data_widths(data: DataSet, streams: Sequence[str], text: TextEncoder | None) -> dict[str, int]:
    """Return the widths of the feature streams, and of the text tower as "joint", if there is one.

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
    """Set a config's width fields ("rgb", "flow", "joint", ...) from the data; those in `keep` stay."""
    names = {f.name for f in fields(config)}
    changes = {k: v for k, v in widths.items() if k in names and k not in keep}
    return replace(config, **changes)


def on_data(
    method: Method, config: C, data: DataSet, text: TextEncoder | None, keep: Collection[str] = ()
) -> tuple[C, TextEncoder | None]:
    """Set a config's streams and widths from the data, and choose the text tower to train with.

    The network classifies by all streams but that of an image-text model, "clip", and by that one if there is no
    other, unless `keep` names the streams. A method that reads texts where nothing has a text tower gets one that
    hashes words, with a warning.

    Args:
        method: what is trained.
        config: of the method.
        data: where its features come from.
        text: the text tower of the data's encoders, if they have one.
        keep: fields of the config that the user named, such as "rgb" or "widths.pose"; they stay, but a width of 0 in
            `widths` becomes the data's.

    Raises:
        UsageError: the method compares snippets with texts, and the data has no stream of an image-text model.
        DataError: a named stream does not exist.
    """
    named = {k.partition(".")[0] for k in keep}
    if isinstance(config, StreamConfig):
        chosen = config.visual if named & {*PUBLISHED, "widths"} else dict.fromkeys(default_streams(data.streams), 0)
        found = data.widths(tuple(chosen))
        kept = {s: w for s, w in chosen.items() if w and ("widths" in named or s in named)}
        config = with_streams(config, {**found, **kept})
    streams = method.training_streams(config)
    if IMAGE in streams and IMAGE not in data.streams:
        raise UsageError(_no_image(method, data))
    if text is None and method.uses_text:
        text = HashedText()
        log.warning(
            "%s reads texts, and nothing here has a text tower: class names are hashed words, which carry no meaning; "
            "an encoder with a text tower is clip:ViT-B-32 or videoclip-xl", method.name,
        )  # fmt: skip
    widths = data_widths(data, streams, text)
    if isinstance(config, StreamConfig):  # the streams have theirs; one may be called as another field is
        widths = {k: w for k, w in widths.items() if k == "joint" and text is not None}
    return fitted(config, widths, named), text


def _no_image(method: Method, data: DataSet) -> str:
    without = getattr(method, "WITHOUT_IMAGE", "")
    other = f", or train without it: --cfg-options {without}" if without else ""
    return (
        f"{method.name} compares snippets with texts by the stream {IMAGE!r} of an image-text model, {data.name} has "
        f"{', '.join(data.streams)}: add an encoder that makes it, such as clip:ViT-B-32 or videoclip-xl{other}"
    )


def demo_config(method: Method) -> Any:
    """Return a method's config for the demonstration, at the width of the tiny encoders."""
    return fitted(method.Config(**recipe(method, "demo").config), DEMO_WIDTHS)


def demo_options() -> TrainOptions:
    """Return the training options of the demonstration."""
    return TrainOptions(**DEMO.train)
