"""CLIP's towers through open_clip, from a weights file of one's own: the file, and the text tower. No downloads."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..._util.extras import need
from ...errors import CheckpointError, UsageError
from .text import ClipTokens
from .weights import read_tensors, refuse_other_keys


class ClipText(ClipTokens):
    """The text tower of an open_clip model, frozen: tokens to the joint space, read at the end token.

    Args:
        model: what open_clip.create_model gives; only its text side is kept.
    """

    positions: Tensor
    project: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        tower = getattr(model, "text", model)  # open_clip has the tower inside of some models, spread over others
        self.token, self.blocks, self.norm = tower.token_embedding, tower.transformer, tower.ln_final
        self.register_buffer("positions", tower.positional_embedding.detach())
        self.register_buffer("project", tower.text_projection.detach())
        self.context, self.width = self.positions.shape
        self.dim = int(self.project.shape[1])
        self.eval().requires_grad_(False)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.token(tokens)
        return embedded

    def encode(self, embedded: Tensor, end: Tensor) -> Tensor:
        length = embedded.shape[1]
        mask = torch.full((length, length), float("-inf"), device=embedded.device).triu(1)
        x = self.norm(self.blocks(embedded + self.positions[:length], attn_mask=mask))
        return x[torch.arange(len(x), device=x.device), end] @ self.project


#: What a weights file may be, for messages.
ACCEPTED = (
    "read are: OpenAI's TorchScript archive (NAME.pt of github.com/openai/CLIP) and open_clip's checkpoints (.pt, "
    ".bin, .safetensors); files of transformers (keys text_model.*, vision_model.*) name their tensors otherwise"
)

#: What OpenAI's files tell of themselves among the tensors.
_ABOUT = {"input_resolution", "context_length", "vocab_size"}


@dataclass(frozen=True)
class ClipFile:
    """A weights file that is read: tensors by the names that OpenAI and open_clip share.

    name: of the architecture, as open_clip has it. source: for messages. quick_gelu: OpenAI trained with a quick
    approximation of GELU; its weights do not say so.
    """

    name: str
    state: Mapping[str, Tensor]
    source: str
    quick_gelu: bool

    def model(self, side: Literal["text", "image"]) -> Any:
        """Build the open_clip model, in float32, with the weights of one side; the other side is random.

        Raises:
            UsageError: unknown architecture.
            CheckpointError: keys are missing, unexpected or of another shape; the message names them.
        """
        with _quiet():
            model = need("open_clip").create_model(
                architecture(self.name), pretrained=None, load_weights=False, force_quick_gelu=self.quick_gelu
            )
        _fill(model, self.state, self.source, side)
        return model.eval().requires_grad_(False)


def read_clip(name: str, weights: str | Path | None) -> ClipFile:
    """Read a weights file of CLIP.

    Args:
        name: of the architecture, as open_clip knows it: RN50, ViT-B-16, ViT-B-32, ... Files that OpenAI trained but
            that are no longer its archive need the name with -quickgelu.
        weights: OpenAI's TorchScript archive, an open_clip checkpoint (.pt, .bin) or its .safetensors.

    Raises:
        UsageError: unknown architecture, or no file: it says where such files come from.
        CheckpointError: not such a file.
    """
    model_name = architecture(name)
    if weights is None:
        raise UsageError(f"CLIP {name} needs its weights file and nothing is downloaded: take {name}.pt; {ACCEPTED}")
    state, openai = _read(Path(weights))
    return ClipFile(model_name, state, str(weights), openai)


def load_clip_text(name: str, weights: str | Path | None) -> ClipText:
    """Load the text tower of a CLIP model from a file. Arguments and errors: `read_clip`, `ClipFile.model`."""
    return ClipText(read_clip(name, weights).model("text"))


def build_clip_text(name: str, state: Mapping[str, Tensor], source: str, *, quick_gelu: bool) -> ClipText:
    """Build the text tower of a CLIP model from weights in memory; those of the text side are enough."""
    return ClipText(ClipFile(name, state, source, quick_gelu).model("text"))


def architecture(name: str) -> str:
    """Return the name in open_clip's spelling."""
    wanted = name.replace("/", "-")
    models = need("open_clip").list_models()
    if wanted not in models:
        close = [m for m in models if m.lower().startswith(wanted.lower()[:4])]
        raise UsageError(f"unknown CLIP architecture {name!r}; like it: {', '.join(close[:12]) or 'none'}")
    return wanted


def _read(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Return the state and whether the file is OpenAI's archive; nothing but tensors is unpickled."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file of CLIP; {ACCEPTED}").missing(path)
    if _is_torchscript(path):
        try:
            with warnings.catch_warnings():  # torch advises to write other files; this one is OpenAI's
                warnings.simplefilter("ignore")
                return dict(torch.jit.load(str(path), map_location="cpu").state_dict()), True
        except RuntimeError as e:
            raise CheckpointError(f"{path}: cannot be read as weights ({e})") from e
    state = read_tensors(path)
    # The archive's own state dict, saved again, still tells its origin.
    return state, "input_resolution" in state


def _is_torchscript(path: Path) -> bool:
    try:
        reader = torch._C.PyTorchFileReader(str(path))
    except RuntimeError:
        return False
    return "constants.pkl" in reader.get_all_records()


def _fill(model: nn.Module, state: Mapping[str, Tensor], source: str, side: str) -> None:
    """Load one side; every key of it must be there with its shape."""
    of_image = side == "image"
    parameters = model.state_dict()
    sided = {k: v for k, v in parameters.items() if k.startswith("visual.") == of_image and not k.startswith("logit_")}
    wanted = {k: v for k, v in sided.items() if not k.endswith("num_batches_tracked")}
    unexpected = {k for k in state if k.startswith("visual.") == of_image and k not in parameters} - _ABOUT
    refuse_other_keys(f"{source} ({side} tower)", set(wanted) - set(state), unexpected, ACCEPTED)
    for k, v in wanted.items():
        if state[k].shape != v.shape:
            shape, needed = list(state[k].shape), list(v.shape)
            raise CheckpointError(f"{source}: {k} is {shape}, needs {needed}; is this another architecture?")
    model.load_state_dict({k: state[k].float() for k in wanted}, strict=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip warns of random weights before ours are loaded."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
