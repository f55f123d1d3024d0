"""A description of somebody's head in YAML: which keys of a file are which layer, and how a video is scored.

For heads of STPN's shape: of each stream an attention of two layers and one classifier; docs/import.md shows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from ...errors import CheckpointError, UsageError
from ..data.description import Strict, read_model
from ..nn.weights import some_of
from .weight_layouts import Layout


class AttentionKeys(Strict):
    """Modules of the attention: features to `hidden`, ReLU, to `output`, sigmoid."""

    hidden: str = Field(min_length=1)
    output: str = Field(min_length=1)


class LeafNames(Strict):
    """What a module's tensors are called in the file; bias: null where the layers have none."""

    weight: str = Field(default="weight", min_length=1)
    bias: str | None = "bias"


class HeadLayout(Strict):
    """One head. Modules are named as in the file, without DataParallel's `module.` in front.

    title: for messages. orientation: of weights, [outputs, inputs] as torch has them, or [inputs, outputs] as
    TensorFlow has them. pooling, probability: see `heads.stpn.Config`. background: which class it is, if it is one.
    """

    title: str = ""
    attention: AttentionKeys
    classifier: str = Field(min_length=1)
    names: LeafNames = LeafNames()
    orientation: Literal["outputs_inputs", "inputs_outputs"] = "outputs_inputs"
    pooling: Literal["time", "attention"] = "time"
    probability: Literal["sigmoid", "softmax"] = "sigmoid"
    background: Literal["none", "first", "last"] = "none"

    @field_validator("classifier")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value.startswith("module."):
            raise ValueError(f"{value!r} is named without the leading 'module.' that DataParallel adds")
        return value

    @property
    def modules(self) -> dict[str, str]:
        """Field of this description -> module of the file."""
        return {"attention.hidden": self.attention.hidden, "attention.output": self.attention.output,
                "classifier": self.classifier}  # fmt: skip

    def layout(self, source: str) -> Layout:
        """Convert to the form of `weight_layouts.LAYOUTS`.

        Raises:
            UsageError: two layers are one module.
        """
        of = self.modules
        if len(set(of.values())) < len(of):
            raise UsageError(
                f"{source}: attention.hidden, attention.output and classifier must be three different modules"
            )
        ours = ("attention.{stream}.hidden", "attention.{stream}.logit", "classifier.{stream}")
        settings = {"pooling": self.pooling, "probability": self.probability, "background": self.background != "none"}
        table = dict(zip(of.values(), ours, strict=True))
        return Layout(self.title or Path(source).stem, (), "stpn", table, settings=settings)

    def as_torch(self, tensors: Mapping[str, Tensor], path: Path, source: str) -> dict[str, Tensor]:
        """Convert the head's tensors to those of torch's linear layers; the file's others stay.

        Raises:
            CheckpointError: a described tensor is missing or has another shape; the message names it.
        """
        out, shapes = dict(tensors), {}
        for what, module in self.modules.items():
            weight = self._matrix(out, what, path, source)
            bias = torch.zeros(len(weight))
            if self.names.bias is not None:
                bias = self._taken(out, f"{module}.{self.names.bias}", what, path, source)
            if bias.shape != weight.shape[:1]:
                raise CheckpointError(
                    f"{path}: {module}.{self.names.bias} ({what} of {source}) is {list(bias.shape)}, its weight has "
                    f"{len(weight)} outputs; orientation is {self.orientation}"
                )
            if what == "classifier" and self.background == "first":
                weight, bias = weight.roll(-1, 0), bias.roll(-1, 0)
            out |= {f"{module}.weight": weight.contiguous(), f"{module}.bias": bias}
            shapes[what] = tuple(weight.shape)
        (hidden, width), classes = shapes["attention.hidden"], shapes["classifier"][0]
        if list(shapes.values()) != [(hidden, width), (1, hidden), (classes, width)]:
            listing = ", ".join(f"{what} ({self.modules[what]}) {list(shape)}" for what, shape in shapes.items())
            raise CheckpointError(
                f"{path}: by {source} as [outputs, inputs]: {listing}; must be [H, D], [1, H] and [classes, D]"
            )
        return out

    def _matrix(self, tensors: dict[str, Tensor], what: str, path: Path, source: str) -> Tensor:
        """Return the weight of a layer, [outputs, inputs]."""
        key = f"{self.modules[what]}.{self.names.weight}"
        weight = self._taken(tensors, key, what, path, source)
        if weight.ndim == 3 and weight.shape[-1] == 1:
            weight = weight[..., 0]  # a convolution over one snippet
        if weight.ndim != 2:
            raise CheckpointError(f"{path}: {key} ({what} of {source}) is {list(weight.shape)}, must be a matrix")
        return weight.T if self.orientation == "inputs_outputs" else weight

    def _taken(self, tensors: dict[str, Tensor], key: str, what: str, path: Path, source: str) -> Tensor:
        if key not in tensors:
            raise CheckpointError(
                f"{path}: has no {key}, which is {what} by {source}; it has {some_of(sorted(tensors))}"
            )
        return tensors.pop(key)


def read_layout(path: Path) -> HeadLayout:
    """Read a description.

    Raises:
        UsageError: missing, not YAML, or a field that is unknown or wrong; the message names it.
    """
    layout: Any = read_model(path, HeadLayout, "layout", UsageError)
    return layout
