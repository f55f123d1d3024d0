"""What is declared of a network that somebody exported to ONNX: which frames it reads, how, and what it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pydantic

from ..._util.extras import need
from ...errors import UsageError
from ...options import SnippetOptions
from ...plan.fields import Name, Size, Strict
from .preprocess import Fit, Method, Preprocess

#: Files beside NET.onnx that hold its contract, the likeliest first.
CONTRACTS = ("{stem}.yaml", "encoder.yaml")

#: How a network wants its input: N clips or pictures, C channels, T frames, H rows, W columns.
Layout = Literal["NCTHW", "NTCHW", "NTHWC", "NCHW", "NHWC"]
Three = Annotated[list[float], pydantic.Field(min_length=3, max_length=3)]


class OnnxContract(Strict):
    """The contract of one network, as `encoder.yaml` has it.

    window: slots of a snippet; frames: how many of them are read, evenly from the first on (layouts with T; those
    without read the middle one). mean, std: of channels, for values in 0..1; without them values stay 0..255. pooling:
    what becomes of an output of more than [N, D]: "mean" over all but channels, or "cls", the first of tokens.
    channels: where the output has them, "last" for tokens [N, L, D], "first" for maps [N, D, T, H, W].
    """

    name: Name = ""
    stream: Name = "video"
    fps: Annotated[float, pydantic.Field(gt=0)] = 25.0
    window: Size = 16
    stride: Size = 16
    frames: Size = 1
    resize: Size
    crop: Size
    fit: Fit = "shorter"
    interpolation: Literal["bicubic", "bilinear", "opencv-bilinear"] = "bicubic"
    mean: Three | None = None
    std: Three | None = None
    colors: Literal["rgb", "bgr"] = "rgb"
    layout: Layout
    pooling: Literal["none", "mean", "cls"] = "none"
    channels: Literal["first", "last"] = "last"
    #: Of its outputs; default: the only one.
    output: str | None = None

    @pydantic.model_validator(mode="after")
    def _fits(self) -> OnnxContract:
        if self.frames > self.window:
            raise ValueError(f"frames is {self.frames}, a window has {self.window}")
        if "T" not in self.layout and self.frames != 1:
            raise ValueError(f"layout {self.layout} reads one frame, frames is {self.frames}")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together")
        if self.crop > self.resize:
            raise ValueError(f"crop is {self.crop}, must be at most resize ({self.resize})")
        return self

    @property
    def snippet(self) -> SnippetOptions:
        """The grid of its snippets; frames stay as decoded, since its graph resizes them."""
        return SnippetOptions(fps=self.fps, window=self.window, stride=self.stride, resize=0, crop=0, flow="none")

    @property
    def chosen(self) -> list[int]:
        """The slots of a snippet that are read."""
        if "T" not in self.layout:
            return [self.window // 2]
        return [i * (self.window // self.frames) for i in range(self.frames)]

    @property
    def prepare(self) -> Preprocess:
        """What is done to each frame."""
        methods: dict[str, Method] = {"bicubic": "bicubic", "bilinear": "triangle", "opencv-bilinear": "bilinear"}
        method = methods[self.interpolation]
        return Preprocess(self.resize, self.crop, method=method, fit=self.fit, mean=self.mean, std=self.std)

    def describe(self) -> dict[str, str]:
        """Describe what is done to a snippet, for the contract of features."""
        frames = f"{', '.join(map(str, self.chosen))} of {self.window}"
        return {
            "frames": frames, **self.prepare.describe(), "colors": self.colors, "layout": self.layout,
            "pooling": self.pooling,
        }  # fmt: skip


def read_contract(network: Path) -> OnnxContract:
    """Read the contract beside an ONNX file.

    Raises:
        UsageError: there is none, or a field is missing, unknown or makes no sense; the message names it.
    """
    names = [c.format(stem=network.stem) for c in CONTRACTS]
    paths = [network.with_name(n) for n in names]
    path = next((p for p in paths if p.is_file()), None)
    if path is None:
        raise UsageError(
            f"{network}: nothing says what it reads; write {names[0]} or {names[1]} beside it, with layout, window, "
            "stride, resize, crop, mean, std and pooling"
        )
    yaml = need("yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = OnnxContract.model_validate(content)
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "contract"
        raise UsageError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from e
    except (OSError, ValueError, yaml.YAMLError) as e:
        raise UsageError(f"{path}: not a contract ({e})") from e
    return found if found.name else found.model_copy(update={"name": network.stem})
