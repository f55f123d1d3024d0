"""CLIP's towers through open_clip, from a weights file of one's own: the file, and the text tower. No downloads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..._util.extras import need
from ...errors import CheckpointError, UsageError
from ...texts.tokenizer import Clean
from .open_clip_models import TAG, OpenClipModel, find
from .text import TextEncoder
from .tokens import ClipTokenizer, StoredTokenizer, spoken, tokenizer_of
from .weights import read_tensors, refuse_other_keys


class ClipText(TextEncoder):
    """The text tower of an open_clip model, frozen: tokens to the joint space.

    Towers differ: CLIP's attends to what came before and is read at the end token; SigLIP's attends to all, padding
    included, and is read at the last position; CoCa's appends a position of its own that is read.

    Args:
        model: what open_clip.create_model gives, or its text tower; only the text side is kept.
        tokenizer: of its texts; default: CLIP's.
    """

    positions: Tensor
    project: Tensor

    def __init__(self, model: Any, tokenizer: StoredTokenizer | None = None) -> None:
        super().__init__()
        tower = getattr(model, "text", model)  # open_clip has the tower inside of some models, spread over others
        self.tokenizer = tokenizer or ClipTokenizer()
        self.token, self.blocks, self.norm = tower.token_embedding, tower.transformer, tower.ln_final
        self.register_buffer("positions", tower.positional_embedding.detach())
        project = tower.text_projection
        self.head: nn.Linear | None = project if isinstance(project, nn.Linear) else None
        width = self.positions.shape[1]
        matrix = torch.eye(width) if project is None else project.weight.T if self.head is not None else project
        self.register_buffer("project", matrix.detach())
        self.own = getattr(tower, "cls_emb", None)
        self.causal = getattr(tower, "attn_mask", None) is not None
        self.pool = "last" if self.own is not None else getattr(tower, "pool_type", None) or model.text_pool_type
        self.context, self.width = len(self.positions) - (self.own is not None), width
        self.dim = int(self.project.shape[1])
        self.padded = not self.causal or self.own is not None or self.pool == "last"
        self.eval().requires_grad_(False)

    def tokenize(self, text: str) -> list[int]:
        return self.tokenizer.encode(spoken(text))

    @property
    def special(self) -> tuple[int | None, int, int]:
        return self.tokenizer.special

    def stored_tokenizer(self) -> tuple[Literal["words", "tokenizer.json"], bytes, Clean]:
        return "tokenizer.json", *self.tokenizer.stored()

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.token(tokens)
        return embedded

    def encode(self, embedded: Tensor, end: Tensor) -> Tensor:
        x, mask = embedded, self._mask(embedded, end)
        if self.own is not None:
            x = torch.cat([x, self.own.expand(x.shape[0], 1, -1)], 1)
        x = self.blocks(x + self.positions[: x.shape[1]], attn_mask=mask)
        rows = torch.arange(x.shape[0], device=x.device)
        at = {"first": torch.zeros_like(end), "last": torch.full_like(end, x.shape[1] - 1)}.get(self.pool, end)
        pooled = self.norm(x)[rows, at] @ self.project
        return pooled if self.head is None or self.head.bias is None else pooled + self.head.bias

    def _mask(self, embedded: Tensor, end: Tensor) -> Tensor | None:
        """Build what is added to attention: None, [L, L], or for CoCa [texts * heads, L + 1, L + 1]."""
        length = embedded.shape[1] + (self.own is not None)
        mask = torch.full((length, length), float("-inf"), device=embedded.device).triu(1) if self.causal else None
        if self.own is None or mask is None:
            return mask
        # CoCa's weights were trained with padding masked one position late, and open_clip keeps that.
        hidden = torch.arange(length, device=end.device)[None] > end[:, None] + 1
        added = torch.zeros(hidden.shape, device=embedded.device).masked_fill(hidden, float("-inf"))
        heads = self.blocks.resblocks[0].attn.num_heads
        return (mask[None] + added[:, None]).repeat_interleave(heads, 0)


#: What a weights file may be, for messages.
ACCEPTED = (
    "read are: OpenAI's TorchScript archive (NAME.pt of github.com/openai/CLIP) and open_clip's checkpoints (.pt, "
    ".bin, .safetensors); files of transformers (keys text_model.*, vision_model.*) name their tensors otherwise"
)

#: What OpenAI's files tell of themselves among the tensors.
_ABOUT = {"input_resolution", "context_length", "vocab_size"}
#: How the keys begin that belong to no text tower.
_NO_TEXT = ("visual.", "logit_", "text_decoder.")


@dataclass(frozen=True)
class ClipFile:
    """A weights file that is read: tensors by the names that OpenAI and open_clip share.

    model: the architecture. source: for messages. quick_gelu: OpenAI trained with a quick approximation of GELU; its
    weights do not say so.
    """

    model: OpenClipModel
    state: Mapping[str, Tensor]
    source: str
    quick_gelu: bool

    @property
    def name(self) -> str:
        """The architecture, as open_clip has it, with the tag of the weights if one was given."""
        return f"{self.model.name}{TAG}{self.model.tag}" if self.model.tag else self.model.name

    def image_tower(self) -> nn.Module:
        """Build the image tower, in float32, with its weights.

        Raises:
            CheckpointError: keys are missing, unexpected or of another shape; the message names them.
        """
        state = {k.removeprefix("visual."): v for k, v in self.state.items() if k.startswith("visual.")}
        return self._filled(self.model.image_tower(self.quick_gelu), state, "visual.", "image")

    def text_tower(self) -> nn.Module:
        """Build the text tower, in float32, with its weights.

        Raises:
            UsageError: it is a model of a hub.
            CheckpointError: keys are missing, unexpected or of another shape; the message names them.
        """
        tower = self.model.text_tower(self.quick_gelu)
        prefix = "text." if any(k.startswith("text.") for k in self.state) else ""
        kept = {k: v for k, v in self.state.items() if not k.startswith(_NO_TEXT) and k not in _ABOUT}
        state = {k.removeprefix(prefix): v for k, v in kept.items() if k.startswith(prefix)}
        return self._filled(tower, state, prefix, "text")

    def _filled(self, tower: nn.Module, state: Mapping[str, Tensor], prefix: str, side: str) -> nn.Module:
        """Load a tower; every key of it must be there with its shape."""
        wanted = {k: v for k, v in tower.state_dict().items() if not k.endswith("num_batches_tracked")}
        missing = {prefix + k for k in set(wanted) - set(state)}
        unexpected = {prefix + k for k in state if k not in wanted and not k.endswith("num_batches_tracked")}
        refuse_other_keys(f"{self.source} ({side} tower)", missing, unexpected, ACCEPTED)
        for k, v in wanted.items():
            if state[k].shape != v.shape:
                shape, needed = list(state[k].shape), list(v.shape)
                raise CheckpointError(
                    f"{self.source}: {prefix}{k} is {shape}, needs {needed}; is this another architecture?"
                )
        tower.load_state_dict({k: state[k].float() for k in wanted}, strict=False)
        return tower.eval().requires_grad_(False)


def read_clip(name: str, weights: str | Path | None) -> ClipFile:
    """Read a weights file of CLIP.

    Args:
        name: of the architecture, as open_clip knows it: RN50, ViT-B-16, ViT-B-32-SigLIP2-256, ..., with @TAG where
            its published weights prepare pixels differently. Files that OpenAI trained but that are no longer its
            archive need the name with -quickgelu.
        weights: OpenAI's TorchScript archive, an open_clip checkpoint (.pt, .bin) or its .safetensors.

    Raises:
        UsageError: unknown architecture, or no file: it says where such files come from.
        CheckpointError: not such a file.
    """
    model = find(name)
    if weights is None:
        raise UsageError(f"CLIP {name} needs its weights file and nothing is downloaded: take {name}.pt; {ACCEPTED}")
    state, openai = _read(Path(weights))
    if openai and not model.tag and "openai" in need("open_clip").list_pretrained_tags_by_model(model.name):
        model = OpenClipModel(model.name, "openai")
    return ClipFile(model, state, str(weights), openai)


def load_clip_text(name: str, weights: str | Path | None, tokenizer: str | Path | None = None) -> ClipText:
    """Load the text tower of a CLIP model from a file.

    Args:
        name: see `read_clip`.
        weights: see `read_clip`.
        tokenizer: folder of its tokenizer, for names whose tokenizer lies in a hub.

    Raises:
        UsageError: see `read_clip`; or the tokenizer is of a hub and no folder is given.
        CheckpointError: see `read_clip`.
    """
    tokens = tokenizer_of(find(name), tokenizer)
    return ClipText(read_clip(name, weights).text_tower(), tokens)


def build_clip_text(name: str, state: Mapping[str, Tensor], source: str, *, quick_gelu: bool) -> ClipText:
    """Build the text tower of a CLIP model from weights in memory; those of the text side are enough."""
    return ClipText(ClipFile(find(name), state, source, quick_gelu).text_tower())


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
