"""Video encoders of `transformers`, from a local folder in the layout of its hub: V-JEPA 2 and VideoMAE.

The folder holds config.json, preprocessor_config.json (or video_preprocessor_config.json) and *.safetensors. Networks
are the library's, pixels are what the folder says, and nothing is downloaded. A feature is the mean of the last tokens.
"""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from ..._util.extras import need
from ...errors import CheckpointError, UsageError
from ...options import SnippetOptions
from .preprocess import Method, Preprocess
from .weights import read_tensors, refuse_other_keys

#: Clips as published: V-JEPA 2 sees 4 frames a second, VideoMAE every fourth of 64. Frames stay as decoded.
SNIPPETS = {
    "vjepa2": SnippetOptions(fps=4.0, window=16, stride=2, resize=0, crop=0, flow="none"),
    "videomae": SnippetOptions(fps=25.0, window=64, stride=16, resize=0, crop=0, flow="none"),
}
#: Pillow's numbers of its methods.
_METHODS: dict[int, Method] = {2: "triangle", 3: "bicubic"}
_PREPARATION = ("video_preprocessor_config.json", "preprocessor_config.json")
#: Ends of names of one tensor, in files of the hub and in networks: both are in use.
_ALIASES = (("q_bias", "query.bias"), ("v_bias", "value.bias"))
_ORIGIN = "give a folder of the hub's layout: config.json, preprocessor_config.json, *.safetensors"


class VideoTower(nn.Module):
    """A video network: frames [N, window, H, W, 3] uint8 of any H, W -> [N, width].

    Args:
        net: pixels [N, T, 3, size, size] to tokens [N, L, width].
        prepare: of each frame.
        frames: so many are read, evenly from the first on; 0 reads all.
    """

    reads: Literal["frames", "flow"] = "frames"

    def __init__(self, net: nn.Module, prepare: Preprocess, frames: int) -> None:
        super().__init__()
        self.net, self.prepare, self.frames = net, prepare, frames
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor) -> Tensor:
        picked = frames[:, self._chosen(frames.shape[1])]
        x = self.prepare(picked.flatten(0, 1))
        return self.embed(x.reshape(-1, picked.shape[1], *x.shape[1:]))

    def embed(self, clips: Tensor) -> Tensor:
        """Embed prepared clips [N, T, 3, size, size] as [N, width]."""
        tokens: Tensor = self.net(clips).last_hidden_state
        return tokens.mean(1)

    def _chosen(self, window: int) -> list[int]:
        count = self.frames or window
        if window < count:
            raise UsageError(f"window is {window}, the network reads {count} frames of a snippet")
        return [i * (window // count) for i in range(count)]

    def describe(self, window: int) -> dict[str, str]:
        """Describe what is done to a snippet, for the contract."""
        chosen = ", ".join(map(str, self._chosen(window)))
        return {"frames": f"{chosen} of {window}", **self.prepare.describe(), "pooling": "mean of the last tokens"}


def load_video(family: str, folder: Path | None) -> VideoTower:
    """Load a video encoder from a folder, frozen, in float32.

    Args:
        family: "vjepa2" or "videomae".
        folder: of the hub's layout.

    Raises:
        UsageError: no folder is given, or it is of another family.
        CheckpointError: a file is missing or is not what it should be; keys that are missing are named.
        MissingExtraError: `transformers` is not installed.
    """
    if folder is None:
        raise UsageError(f"{family} needs its weights and nothing is downloaded: {_ORIGIN}")
    config = _json(folder / "config.json")
    if config.get("model_type") != family:
        raise UsageError(f"{folder}: is of {config.get('model_type')!r}, not {family}")
    prepare = _prepared(folder)
    transformers = need("transformers")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: holds no *.safetensors; {_ORIGIN}")
    state = {k: v for f in files for k, v in read_tensors(f).items()}
    if family == "vjepa2":
        net: nn.Module = transformers.VJEPA2Model(transformers.VJEPA2Config(**config)).encoder
        state = {k.removeprefix("vjepa2."): v for k, v in state.items()}
        own = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
        frames = 0
    else:
        net = transformers.VideoMAEModel(transformers.VideoMAEConfig(**config))
        heads = ("decoder", "encoder_to_decoder", "mask_token", "position_embeddings", "fc_norm", "classifier")
        own = {k.removeprefix("videomae."): v for k, v in state.items() if not k.startswith(heads)}
        frames = int(config.get("num_frames", 16))
    wanted = net.state_dict()
    own = {_renamed(k, wanted): v for k, v in own.items()}
    refuse_other_keys(str(folder), set(wanted) - set(own), set(own) - set(wanted), _ORIGIN)
    try:
        net.load_state_dict({k: own[k].float() for k in wanted})
    except RuntimeError as e:
        raise CheckpointError(f"{folder}: weights have other shapes than config.json says ({e})") from e
    return VideoTower(net, prepare, frames)


def _renamed(key: str, wanted: Container[str]) -> str:
    """Return the network's name of a tensor: files of the hub have other ones than some versions of the library."""
    for pair in _ALIASES:
        for old, new in (pair, pair[::-1]):
            if key not in wanted and key.endswith(f".{old}") and (other := key.removesuffix(old) + new) in wanted:
                return other
    return key


def _prepared(folder: Path) -> Preprocess:
    path = next((folder / n for n in _PREPARATION if (folder / n).is_file()), folder / _PREPARATION[-1])
    found = _json(path)
    try:
        crop, size = found["crop_size"], found["size"]
        side = int(crop["height"] if isinstance(crop, dict) else crop)
        shorter = int(size["shortest_edge"] if isinstance(size, dict) else size)
        method = _METHODS[int(found.get("resample", 2))]
        return Preprocess(shorter, side, method=method, mean=found["image_mean"], std=found["image_std"])
    except (KeyError, TypeError, ValueError) as e:
        raise CheckpointError(f"{path}: does not say how pixels are prepared ({e!r})") from e


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise CheckpointError(f"{path}: cannot be read ({e}); {_ORIGIN}") from e
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: is no object")
    return found
