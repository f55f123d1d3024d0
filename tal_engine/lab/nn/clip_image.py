"""CLIP's image tower through open_clip, on the middle frame of a snippet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...errors import UsageError
from .clip import ClipFile, read_clip
from .preprocess import Fit, Method, Preprocess

#: open_clip's names of what is done to the shape.
_FITS: dict[str, Fit] = {"shortest": "shorter", "squash": "stretch"}
#: And of how pixels are weighed; "random" is what was trained with, and bicubic is then tested with.
_METHODS: dict[str, Method] = {"bicubic": "bicubic", "bilinear": "triangle", "random": "bicubic"}


class ClipImage(nn.Module):
    """The image tower of an open_clip model, frozen: frames [N, window, H, W, 3] uint8 of any H, W -> [N, joint].

    Reads frame window // 2, resizes, crops and normalises it as the model was trained. The feature is what the tower
    gives, not scaled to length 1.

    Args:
        model: what open_clip.create_model gives, or its image tower; only the image side is kept.
        pixels: mean, std, interpolation and resize mode of its weights; default: what the model says.

    Raises:
        UsageError: the model prepares its pictures in a way that `nn.preprocess` does not know.
    """

    reads: Literal["frames", "flow"] = "frames"

    def __init__(self, model: Any, pixels: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.visual = getattr(model, "visual", model)
        self.prepare = _preprocess({**(pixels or self.visual.preprocess_cfg), "size": self.visual.image_size})
        self.eval().requires_grad_(False)

    @cached_property
    def dim(self) -> int:
        """Width of what it gives; not every tower of open_clip says."""
        device = next(self.parameters()).device
        with torch.no_grad():
            return int(self.embed(torch.zeros(1, 3, self.prepare.crop, self.prepare.crop, device=device)).shape[1])

    def forward(self, frames: Tensor) -> Tensor:
        return self.embed(self.prepare(frames[:, frames.shape[1] // 2]))

    def embed(self, pictures: Tensor) -> Tensor:
        """Embed prepared images [N, 3, size, size] as [N, joint]."""
        embedding: Tensor | tuple[Tensor, ...] = self.visual(pictures)
        return embedding[0] if isinstance(embedding, tuple) else embedding  # CoCa's gives its tokens too

    def describe(self, window: int) -> dict[str, str]:
        """Describe what is done to a snippet, for the contract."""
        return {"frames": f"{window // 2} of {window}", **self.prepare.describe()}


def load_clip_image(name: str, weights: str | Path | None) -> ClipImage:
    """Load the image tower of a CLIP model from a file. Arguments and errors: `clip.read_clip`."""
    return image_of(read_clip(name, weights))


def image_of(file: ClipFile) -> ClipImage:
    """Build the image tower of a weights file, with the pixels of its published tag.

    Raises:
        UsageError: the published weights of the name prepare pixels differently and no tag is given.
        CheckpointError: see `clip.ClipFile.image_tower`.
    """
    pixels = file.model.pixels()  # before the weights are looked at
    return ClipImage(file.image_tower(), pixels)


def _preprocess(settings: dict[str, Any]) -> Preprocess:
    size, resize, method = settings["size"], settings["resize_mode"], settings["interpolation"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width or resize not in _FITS or method not in _METHODS:
        raise UsageError(
            f"the model reads {width} x {height} pixels, resized by {resize!r} and {method!r}; known are squares, "
            "'shortest' or 'squash', and 'bicubic' or 'bilinear'"
        )
    mean, std, fit = settings["mean"], settings["std"], _FITS[resize]
    return Preprocess(height, height, method=_METHODS[method], fit=fit, mean=mean, std=std)
