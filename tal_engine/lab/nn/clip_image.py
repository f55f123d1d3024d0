"""CLIP's image tower through open_clip, on the middle frame of a snippet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from ...errors import UsageError
from .clip import read_clip
from .preprocess import Fit, Preprocess

#: open_clip's names of what is done to the shape.
_FITS: dict[str, Fit] = {"shortest": "shorter", "squash": "stretch"}


class ClipImage(nn.Module):
    """The image tower of an open_clip model, frozen: frames [N, window, H, W, 3] uint8 of any H, W -> [N, joint].

    Reads frame window // 2, resizes, crops and normalises it as the model was trained. The feature is what the tower
    gives, not scaled to length 1.

    Args:
        model: what open_clip.create_model gives; only its image side is kept.

    Raises:
        UsageError: the model prepares its pictures in a way that `nn.preprocess` does not know.
    """

    reads: Literal["frames", "flow"] = "frames"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.visual = model.visual
        self.prepare = _preprocess(self.visual.preprocess_cfg)
        self.dim = int(self.visual.output_dim)
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor) -> Tensor:
        return self.embed(self.prepare(frames[:, frames.shape[1] // 2]))

    def embed(self, pictures: Tensor) -> Tensor:
        """Embed prepared images [N, 3, size, size] as [N, joint]."""
        embedding: Tensor = self.visual(pictures)
        return embedding

    def describe(self, window: int) -> dict[str, str]:
        """Describe what is done to a snippet, for the contract."""
        return {"frames": f"{window // 2} of {window}", **self.prepare.describe()}


def load_clip_image(name: str, weights: str | Path | None) -> ClipImage:
    """Load the image tower of a CLIP model from a file. Arguments and errors: `clip.read_clip`."""
    return ClipImage(read_clip(name, weights).model("image"))


def _preprocess(settings: dict[str, Any]) -> Preprocess:
    size, resize, method = settings["size"], settings["resize_mode"], settings["interpolation"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width or resize not in _FITS or method != "bicubic":
        raise UsageError(
            f"the model reads {width} x {height} pixels, resized by {resize!r} and {method!r}; known are squares, "
            "'shortest' or 'squash', and 'bicubic'"
        )
    return Preprocess(height, height, method="bicubic", fit=_FITS[resize], mean=settings["mean"], std=settings["std"])
