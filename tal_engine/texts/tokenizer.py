"""Texts to token numbers: hashed words, or what a tokenizer.json says, read by the library of that format."""

from __future__ import annotations

import html
import json
import re
import string
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .._util.extras import need
from ..errors import PlanError, PlanFault

if TYPE_CHECKING:  # text towers are trained where pydantic, which plans need, may be missing
    from ..plan.text_fields import TokenizerRecord

#: How a text is cleaned before it is cut into tokens, by open_clip's names.
Clean = Literal["none", "whitespace", "lower", "canonicalize"]


class Tokenizer(Protocol):
    """Cuts texts into tokens.

    special: numbers of the token before a text, None where there is none, of the one behind it, and of padding.
    """

    special: tuple[int | None, int, int]

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's tokens, without start and end."""


def rows_of(tokenizer: Tokenizer, texts: Sequence[str], context: int) -> NDArray[np.int64]:
    """Return token numbers [N, context]: start, the text as far as there is room, end, padding.

    Example:
        >>> words = Words({"words": ["push", "ups"], "first": 3, "buckets": 1}, (0, 1, 2))
        >>> rows_of(words, ["push ups"], 6).tolist()
        [[0, 4, 5, 1, 2, 2]]
    """
    start, stop, pad = tokenizer.special
    first = [] if start is None else [start]
    rows = np.full((len(texts), context), pad, np.int64)
    for row, text in zip(rows, texts, strict=True):
        tokens = [*first, *tokenizer.encode(text)[: context - 1 - len(first)], stop]
        row[: len(tokens)] = tokens
    return rows


class Words:
    """Lower-case words of letters and digits by a list; those that are not in it share hashed numbers.

    Args:
        table: words; first, the number of the first hash bucket; buckets, how many. The words follow the buckets.
        special: see `Tokenizer`.
    """

    def __init__(self, table: Mapping[str, Any], special: tuple[int | None, int, int]) -> None:
        self.special = special
        self._first, self._buckets = int(table["first"]), int(table["buckets"])
        self._ids = {str(w): self._first + self._buckets + i for i, w in enumerate(table["words"])}

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's words."""
        words = re.findall(r"[a-z0-9]+", text.lower())
        return [self._ids.get(w, self._first + zlib.crc32(w.encode()) % self._buckets) for w in words]


class TokenizerJson:
    """What a tokenizer.json says.

    Args:
        content: of the file.
        special: see `Tokenizer`.
        clean: what is done to a text before.

    Raises:
        MissingExtraError: the library `tokenizers` is not installed.
        ValueError: not such a file.
    """

    def __init__(self, content: bytes, special: tuple[int | None, int, int], clean: Clean = "none") -> None:
        self.special, self._clean = special, clean
        try:
            self._tokenizer = need("tokenizers").Tokenizer.from_str(content.decode())
        except Exception as e:  # the library raises Exception itself
            if isinstance(e, ImportError):
                raise
            raise ValueError(f"not a tokenizer.json ({e})") from e
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's tokens."""
        return list(self._tokenizer.encode(cleaned(text, self._clean), add_special_tokens=False).ids)


def cleaned(text: str, how: Clean) -> str:
    """Clean a text as open_clip's tokenizers do, but for the repair of broken encodings.

    Example:
        >>> cleaned("A  push-up!", "lower"), cleaned("A  push-up!", "canonicalize")
        ('a push-up!', 'a pushup')
    """
    if how == "none":
        return text
    text = " ".join(html.unescape(html.unescape(text)).split())
    if how == "canonicalize":
        text = " ".join(text.replace("_", " ").translate(str.maketrans("", "", string.punctuation)).split())
    return text if how == "whitespace" else text.lower()


def open_tokenizer(record: TokenizerRecord, content: bytes, name: str = "plan") -> Tokenizer:
    """Open a plan's tokenizer.

    Raises:
        PlanError: the member is not what the record says.
        MissingExtraError: the library that reads it is not installed.
    """
    special = (record.start, record.stop, record.pad)
    try:
        if record.kind == "words":
            return Words(json.loads(content), special)
        return TokenizerJson(content, special, record.clean)
    except (ValueError, KeyError, TypeError) as e:
        raise PlanError(PlanFault.BAD_VALUE, f"{name}: {record.member}: {e}") from e
