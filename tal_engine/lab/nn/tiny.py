"""Small encoders in the roles of the real ones: I3D RGB, I3D flow, and the two towers of CLIP.

They take what the real encoders take (uint8 frames, flow in pixels, words) and give what those
give (one vector a snippet, one vector a text), so everything around them is the real thing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._util.files import whole_file
from ...errors import CheckpointError
from ...texts.tokenizer import Clean, Words
from .text import TextEncoder

#: The weights that ship with the package.
TINY_WEIGHTS = Path(__file__).parents[1] / "assets" / "tiny_encoders.safetensors"

#: Width of every feature and of the joint image-text space.
DIM = 128

_TOP = 96  # channels of the last picture
#: Width of what a trunk gives for one picture.
REGIONS = 9 * _TOP


def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class _Trunk(nn.Module):
    """Pictures [N, C, H, W] to vectors [N, REGIONS] that remember roughly where things are."""

    def __init__(self, channels: int, widths: Sequence[int], first_stride: int) -> None:
        super().__init__()
        a, b, c = widths
        self.layers = nn.Sequential(
            _block(channels, a, 5, first_stride), _block(a, b), _block(b, c), _block(c, _TOP), _block(_TOP, _TOP, 3, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        # 7 x 7 cells to 3 x 3 overlapping regions: average pooling with fixed sizes exports cleanly.
        return functional.avg_pool2d(self.layers(x), 3, 2).flatten(1)


class _OverTime(nn.Module):
    """Vectors of a few moments [B, T, D] to one vector [B, DIM]."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(inputs, DIM)
        self.mix = nn.Conv1d(DIM, DIM, 3, padding=1)
        self.out = nn.Linear(2 * DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.squeeze(x)).transpose(1, 2)
        x = x + functional.relu(self.mix(x))
        return self.out(torch.cat([x.mean(-1), x.amax(-1)], dim=1))


class TinyRGB(nn.Module):
    """Appearance of a snippet: the role of I3D RGB.

    frames [B, 16, 112, 112, 3] uint8 -> [B, DIM]; sees every fourth frame, flow sees the rest.
    """

    reads: Literal["frames", "flow"] = "frames"

    def __init__(self) -> None:
        super().__init__()
        self.trunk = _Trunk(3, (24, 48, 96), 2)
        self.time = _OverTime(REGIONS)

    @staticmethod
    def prepare(frames: Tensor) -> Tensor:
        """Convert uint8 [B, 16, H, W, 3] to [B, 4, 3, H, W] in [-1, 1]."""
        return frames[:, 1::4].permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0

    def forward(self, frames: Tensor) -> Tensor:
        return self.embed(self.prepare(frames))

    def embed(self, x: Tensor) -> Tensor:
        """Embed prepared frames."""
        b, t = x.shape[:2]
        return self.time(self.trunk(x.flatten(0, 1)).reshape(b, t, -1))


class TinyFlow(nn.Module):
    """Motion of a snippet: the role of I3D flow.

    flow [B, 16, 112, 112, 2] float32 pixels a slot -> [B, DIM].
    """

    reads: Literal["frames", "flow"] = "flow"

    def __init__(self) -> None:
        super().__init__()
        self.trunk = _Trunk(8, (32, 64, 96), 1)
        self.time = _OverTime(REGIONS)

    @staticmethod
    def prepare(flow: Tensor) -> Tensor:
        """Convert [B, 16, H, W, 2] to four moments of four flow fields each, at half the size: [B, 4, 8, H/2, W/2]."""
        b, k, h, w, _ = flow.shape
        x = flow.permute(0, 1, 4, 2, 3).reshape(b * 4, (k // 4) * 2, h, w)
        return functional.avg_pool2d(x, 2).reshape(b, 4, (k // 4) * 2, h // 2, w // 2) / 4.0

    def forward(self, flow: Tensor) -> Tensor:
        return self.embed(self.prepare(flow))

    def embed(self, x: Tensor) -> Tensor:
        """Embed prepared flow."""
        b, t = x.shape[:2]
        return self.time(self.trunk(x.flatten(0, 1)).reshape(b, t, -1))


class TinyImage(nn.Module):
    """Image tower: the role of CLIP's. Reads the middle frame of a snippet.

    frames [B, 16, 112, 112, 3] uint8 -> [B, DIM].
    """

    reads: Literal["frames", "flow"] = "frames"

    def __init__(self) -> None:
        super().__init__()
        self.trunk = _Trunk(3, (32, 64, 96), 2)
        self.out = nn.Sequential(nn.Linear(REGIONS, 256), nn.ReLU(), nn.Linear(256, DIM))

    @staticmethod
    def prepare(frames: Tensor) -> Tensor:
        """Convert the middle frame of uint8 [B, 16, H, W, 3] to [B, 3, H, W] in [-1, 1]."""
        return frames[:, frames.shape[1] // 2].permute(0, 3, 1, 2).float() / 127.5 - 1.0

    def forward(self, frames: Tensor) -> Tensor:
        return self.embed(self.prepare(frames))

    def embed(self, x: Tensor) -> Tensor:
        """Embed prepared images in the joint space."""
        return self.out(self.trunk(x))


class TinyText(TextEncoder):
    """Text tower: the role of CLIP's. Words, a two-layer transformer, the vector at the end token.

    Words outside of the vocabulary share hashed buckets, so any text has an embedding.
    """

    context = 32
    width = 96
    dim = DIM
    _START, _END, _PAD, _BUCKETS = 0, 1, 2, 64

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self.words = tuple(words)
        self._table = {"words": list(self.words), "first": 3, "buckets": self._BUCKETS}
        self._tokenizer = Words(self._table, self.special)
        self.token = nn.Embedding(3 + self._BUCKETS + len(self.words), self.width)
        self.position = nn.Parameter(torch.randn(self.context, self.width) * 0.01)
        layer = nn.TransformerEncoderLayer(
            self.width, 4, 4 * self.width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(self.width)
        self.project = nn.Linear(self.width, DIM, bias=False)

    def tokenize(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def stored_tokenizer(self) -> tuple[Literal["words", "tokenizer.json"], bytes, Clean]:
        return "words", json.dumps(self._table).encode(), "none"

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        return self.token(tokens)

    @property
    def special(self) -> tuple[int | None, int, int]:
        return self._START, self._END, self._PAD

    def encode(self, embedded: Tensor, end: Tensor) -> Tensor:
        length = embedded.shape[1]
        mask = torch.full((length, length), float("-inf"), device=embedded.device).triu(1)
        # Told whether the mask is causal, torch does not look into it, which no graph can do.
        x = self.norm(self.blocks(embedded + self.position[:length], mask=mask, is_causal=False))
        return self.project(x[torch.arange(x.shape[0], device=x.device), end])


class TinyEncoders(nn.Module):
    """The four towers together."""

    def __init__(self, words: list[str]) -> None:
        super().__init__()
        self.rgb, self.flow, self.image = TinyRGB(), TinyFlow(), TinyImage()
        self.text = TinyText(words)


def save_tiny(path: str | Path, encoders: TinyEncoders, provenance: dict[str, Any]) -> None:
    """Write the weights with their vocabulary and origin as metadata."""
    metadata = {"words": json.dumps(list(encoders.text.words)), "provenance": json.dumps(provenance)}
    state = {k: v.contiguous() for k, v in encoders.state_dict().items()}
    with whole_file(path) as temporary:
        safetensors.torch.save_file(state, str(temporary), metadata)


def load_tiny(path: str | Path) -> TinyEncoders:
    """Read the weights.

    Raises:
        CheckpointError: missing, or not a file of these encoders.
    """
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            words = json.loads(file.metadata()["words"])
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
        encoders = TinyEncoders(words)
        encoders.load_state_dict(state)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as e:
        raise CheckpointError(f"{path}: not a file of the tiny encoders ({e})") from e
    return encoders.eval().requires_grad_(False)
