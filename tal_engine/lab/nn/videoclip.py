"""VideoCLIP-XL: eight frames to one vector, and long texts to the same space. Nothing is downloaded.

Wang et al., "VideoCLIP-XL: Advancing Long Description Understanding for Video CLIP Models" (EMNLP 2024). A ViT-L/14
whose 8 x 256 patches and one class token attend to each other at once, and Long-CLIP's text tower of 248 tokens.

The key layout is that of the public VideoCLIP-XL.bin, seen in public copies of its code and in a printed list of the
vision tower's tensors; it was not checked on the file itself, which was out of reach. Frames are prepared as in the
public demo: stretched to 224 x 224, OpenCV's bilinear, ImageNet's mean and deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import CheckpointError, UsageError
from .preprocess import IMAGENET, Preprocess
from .text import ClipTokens
from .weights import read_tensors, refuse_other_keys

#: Prefixes of the two towers in the file.
VISION, TEXT = "vision_model.vision_encoder.", "text_model."

#: In the file, and not needed for features: temperatures.
_UNUSED = {"vision_model.temp", "text_model.logit_scale"}

#: Positions below are CLIP's own; those from here on were added for long texts (Long-CLIP).
_KEPT = 20

_ORIGIN = (
    "take VideoCLIP-XL.bin (or VideoCLIP-XL-v2.bin) of huggingface.co/alibaba-pai/VideoCLIP-XL; read are state dicts "
    f"with the keys {VISION}* and {TEXT}* (.bin, .pt, .safetensors)"
)


@dataclass(frozen=True)
class Sizes:
    """Of the two towers; defaults are the published model's: 304 M and 124 M parameters."""

    width: int = 1024
    layers: int = 24
    patch: int = 14
    pixels: int = 224
    frames: int = 8
    dim: int = 768
    text_width: int = 768
    text_layers: int = 12
    context: int = 248
    vocabulary: int = 49408
    #: Width of an attention head, in both towers.
    head: int = 64


class _Attention(nn.Module):
    """Self-attention with the parameter names of nn.MultiheadAttention."""

    def __init__(self, width: int, head: int, causal: bool) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self._heads, self._head, self._causal = width // head, head, causal

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        joint = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = joint.reshape(n, length, 3, self._heads, self._head).permute(2, 0, 3, 1, 4)
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=self._causal)
        return self.out_proj(out.transpose(1, 2).reshape(n, length, width))


class _QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class _Block(nn.Module):
    """Pre-norm transformer block, [N, L, width]."""

    def __init__(self, width: int, head: int, causal: bool) -> None:
        super().__init__()
        self.attn = _Attention(width, head, causal)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", _QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class _Transformer(nn.Module):
    def __init__(self, width: int, layers: int, head: int, causal: bool) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(_Block(width, head, causal) for _ in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x)


class VideoClipVision(nn.Module):
    """Frames [N, window, H, W, 3] uint8 of any H, W -> [N, dim], not scaled to length 1.

    Reads every (window // 8)th frame, the first 8 of them: 0, 2, .., 14 of 16 (the public demo's rule).
    """

    reads: Literal["frames", "flow"] = "frames"

    def __init__(self, sizes: Sizes | None = None) -> None:
        super().__init__()
        s = sizes or Sizes()
        patches = (s.pixels // s.patch) ** 2
        self.sizes, self.dim = s, s.dim
        kernel = (1, s.patch, s.patch)
        self.conv1 = nn.Conv3d(3, s.width, kernel, kernel, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(s.width))
        self.positional_embedding = nn.Parameter(torch.zeros(patches + 1, s.width))
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, s.frames, s.width))
        self.ln_pre, self.ln_post = nn.LayerNorm(s.width), nn.LayerNorm(s.width)
        self.transformer = _Transformer(s.width, s.layers, s.head, causal=False)
        self.proj = nn.Parameter(torch.zeros(s.width, s.dim))
        mean, std = IMAGENET
        with torch.device("cpu"):  # not of the file, so never on the meta device
            self.prepare = Preprocess(s.pixels, s.pixels, method="bilinear", fit="stretch", mean=mean, std=std)

    def forward(self, frames: Tensor) -> Tensor:
        count = self.sizes.frames
        step = self._step(frames.shape[1])
        chosen = frames[:, : step * count : step]
        x = self.prepare(chosen.flatten(0, 1))
        return self.embed(x.reshape(-1, count, *x.shape[1:]))

    def embed(self, pictures: Tensor) -> Tensor:
        """Embed prepared images [N, frames, 3, pixels, pixels] as [N, dim]."""
        x = self.conv1(pictures.transpose(1, 2)).flatten(3).permute(0, 3, 2, 1)  # [N, patches, frames, width]
        x = x + self.positional_embedding[1:, None] + self.temporal_positional_embedding
        start = (self.class_embedding + self.positional_embedding[0]).expand(x.shape[0], 1, -1)
        # Patch by patch, each through time. The order of tokens does not matter to attention; this is the public one.
        x = self.transformer(self.ln_pre(torch.cat([start, x.flatten(1, 2)], dim=1)))
        return self.ln_post(x[:, 0]) @ self.proj

    def _step(self, window: int) -> int:
        if window < self.sizes.frames:
            raise UsageError(f"window is {window}, VideoCLIP-XL reads {self.sizes.frames} frames of a snippet")
        return window // self.sizes.frames

    def describe(self, window: int) -> dict[str, str]:
        """Describe what is done to a snippet, for the contract."""
        chosen = range(0, self._step(window) * self.sizes.frames, self._step(window))
        return {"frames": f"{', '.join(map(str, chosen))} of {window}", **self.prepare.describe()}


class VideoClipText(ClipTokens):
    """The text tower: CLIP's tokens, up to 248 of them, read at the end token."""

    def __init__(self, sizes: Sizes | None = None) -> None:
        super().__init__()
        s = sizes or Sizes()
        self.context, self.width, self.dim = s.context, s.text_width, s.dim
        self.token_embedding = nn.Embedding(s.vocabulary, s.text_width)
        self.positional_embedding = nn.Parameter(torch.zeros(s.context, s.text_width))
        self.positional_embedding_res = nn.Parameter(torch.zeros(s.context, s.text_width))
        self.transformer = _Transformer(s.text_width, s.text_layers, s.head, causal=True)
        self.ln_final = nn.LayerNorm(s.text_width)
        self.text_projection = nn.Parameter(torch.zeros(s.text_width, s.dim))

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens)

    def encode(self, embedded: Tensor, end: Tensor) -> Tensor:
        positions = torch.cat([self.positional_embedding[:_KEPT], self.positional_embedding_res[_KEPT:]])
        x = self.ln_final(self.transformer(embedded + positions[: embedded.shape[1]]))
        return x[torch.arange(x.shape[0], device=x.device), end] @ self.text_projection


def load_videoclip(path: str | Path | None, sizes: Sizes | None = None) -> tuple[VideoClipVision, VideoClipText]:
    """Load both towers from a file, frozen, in float32.

    Raises:
        UsageError: no file given: the message says where it comes from.
        CheckpointError: missing, not tensors by name, or with keys that are missing, unexpected or of another shape.
    """
    if path is None:
        raise UsageError(f"VideoCLIP-XL needs its weights file and nothing is downloaded: {_ORIGIN}")
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file of VideoCLIP-XL; {_ORIGIN}").missing(path)
    state = read_tensors(path)
    with torch.device("meta"):  # the file's tensors become the network's: nothing is initialised for naught
        vision, text = VideoClipVision(sizes), VideoClipText(sizes)
    _fill({VISION: vision, TEXT: text}, state, str(path))
    return vision.eval().requires_grad_(False), text.eval().requires_grad_(False)


def _fill(towers: Mapping[str, nn.Module], state: Mapping[str, Tensor], source: str) -> None:
    wanted = {prefix + k: v for prefix, net in towers.items() for k, v in net.state_dict().items()}
    refuse_other_keys(source, set(wanted) - set(state), set(state) - set(wanted) - _UNUSED, _ORIGIN)
    for k, v in wanted.items():
        if state[k].shape != v.shape:
            raise CheckpointError(f"{source}: {k} is {list(state[k].shape)}, needs {list(v.shape)}")
    for prefix, net in towers.items():
        net.load_state_dict({k: state[prefix + k].float() for k in net.state_dict()}, assign=True)
