"""Tokenizers of text towers: CLIP's byte pairs, or a hub's in a local folder. Nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from ..._util.extras import need
from ...errors import CheckpointError, UsageError
from ...texts.spoken import spoken
from ...texts.tokenizer import Clean, Tokenizer, TokenizerJson
from .open_clip_models import OpenClipModel

__all__ = ["ClipTokenizer", "FolderTokenizer", "StoredTokenizer", "spoken", "tokenizer_of"]

#: The file of a hub's folder, and those that say what its special tokens are.
_JSON, _CONFIG = "tokenizer.json", "tokenizer_config.json"


class StoredTokenizer(Tokenizer, Protocol):
    """A tokenizer that plans can keep."""

    def stored(self) -> tuple[bytes, Clean]:
        """Return it as a tokenizer.json, and how texts are cleaned before."""


class ClipTokenizer:
    """CLIP's byte pairs, as open_clip brings them."""

    def __init__(self) -> None:
        self._tokenizer = need("open_clip.tokenizer").SimpleTokenizer()
        self.special: tuple[int | None, int, int] = (self._tokenizer.sot_token_id, self._tokenizer.eot_token_id, 0)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's tokens, without start and end."""
        return list(self._tokenizer.encode(text))

    def stored(self) -> tuple[bytes, Clean]:
        """Return it as a tokenizer.json, and how texts are cleaned before.

        Raises:
            MissingExtraError: the library `tokenizers` is not installed.
        """
        t, own = need("tokenizers"), self._tokenizer
        merges = sorted(own.bpe_ranks, key=own.bpe_ranks.__getitem__)
        made = t.Tokenizer(t.models.BPE(own.encoder, merges, end_of_word_suffix="</w>"))
        pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
        split = t.pre_tokenizers.Split(t.Regex(pattern), "removed", invert=True)
        byte_level = t.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.pre_tokenizer = t.pre_tokenizers.Sequence([split, byte_level])
        return made.to_str().encode(), "lower"


class FolderTokenizer(TokenizerJson):
    """A hub's tokenizer from a folder with its tokenizer.json and tokenizer_config.json.

    Args:
        folder: the folder.
        clean: how texts are cleaned before.
        strip_end: the end token is replaced by padding of number 0, as CLIPA has it.

    Raises:
        CheckpointError: a file is missing or is not what it should be.
    """

    def __init__(self, folder: Path, clean: Clean = "whitespace", *, strip_end: bool = False) -> None:
        try:
            self.content = (folder / _JSON).read_bytes()
            config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
            super().__init__(self.content, (None, 0, 0), clean)
            self.special = self._special(config, strip_end)
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise CheckpointError(f"{folder}: not a tokenizer's folder, with {_JSON} and {_CONFIG} ({e})") from e
        self.clean = clean

    def stored(self) -> tuple[bytes, Clean]:
        """Return its tokenizer.json, and how texts are cleaned before."""
        return self.content, self.clean

    def _special(self, config: dict[str, Any], strip_end: bool) -> tuple[int | None, int, int]:
        """Read off which tokens stand around a text, from what the tokenizer itself adds."""
        plain, full = (self._tokenizer.encode("a", add_special_tokens=s).ids for s in (False, True))
        at = next(i for i in range(len(full) - len(plain) + 1) if full[i : i + len(plain)] == plain)
        before, behind = full[:at], full[at + len(plain) :]
        if len(before) > 1 or len(behind) != 1:
            raise ValueError(
                f"it adds {len(before)} tokens before a text and {len(behind)} behind it, not 0 or 1 and 1"
            )
        pad = config["pad_token"]
        pad_id = self._tokenizer.token_to_id(pad["content"] if isinstance(pad, dict) else pad)
        if pad_id is None:
            raise ValueError(f"pad_token {pad!r} is none of its tokens")
        return (before[0] if before else None), (0 if strip_end else behind[0]), pad_id


def tokenizer_of(model: OpenClipModel, folder: str | Path | None) -> StoredTokenizer:
    """Open the tokenizer of an open_clip model.

    Args:
        model: the model.
        folder: of its tokenizer, where that lies in a hub.

    Raises:
        UsageError: it lies in a hub and no folder is given, or a folder is given for a model that brings its own.
        CheckpointError: the folder cannot be used.
        MissingExtraError: the library `tokenizers` is not installed.
    """
    hub = model.hub_tokenizer
    if not hub:
        if folder is not None:
            raise UsageError(f"{folder}: {model.name} brings its own tokenizer, none is needed")
        return ClipTokenizer()
    if folder is None:
        raise UsageError(
            f"texts of {model.name} are cut into tokens by {hub} of a hub, and nothing is downloaded: give the folder "
            f"with its {_JSON} and {_CONFIG} (--weights tokenizer=FOLDER)"
        )
    more = model.config["text_cfg"].get("tokenizer_kwargs", {})
    return FolderTokenizer(
        Path(folder), more.get("clean", "whitespace"), strip_end=bool(more.get("strip_sep_token", False))
    )
