"""What a plan says of its text tower: classes can then be given as texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import pydantic

from .fields import Name, Size, Strict, Width

#: A prompt: what is said of a class, with the place of its text.
Prompt = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=1000, pattern=r"\{\}")]
Token = Annotated[int, pydantic.Field(ge=0, lt=2**31)]


class TokenizerRecord(Strict):
    """How texts become tokens: a list of words, or a tokenizer.json.

    start, stop, pad: numbers of the token before a text (None: there is none), of the one behind it, of padding.
    """

    kind: Literal["words", "tokenizer.json"]
    member: Name
    clean: Literal["none", "whitespace", "lower", "canonicalize"] = "none"
    start: Token | None
    stop: Token
    pad: Token


class TextHead(Strict):
    """How texts become a head without training; `texts.head` has the equations."""

    prompts: Annotated[list[Prompt], pydantic.Field(min_length=1, max_length=100)]
    #: Texts of what is no class; a snippet that is more like one of them is background.
    background: Annotated[list[Name], pydantic.Field(min_length=1, max_length=1000)]
    #: Factor of the cosines before the softmax, e^logit_scale of the pair: 1 / temperature.
    scale: Annotated[float, pydantic.Field(gt=0, le=1000, allow_inf_nan=False)]
    #: Share of the video's mean feature that is taken from each snippet: test-time mean.
    centre: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.0
    #: Snippets of the moving average over similarities, odd.
    smooth: Annotated[int, pydantic.Field(ge=1, le=999)] = 1

    @pydantic.field_validator("smooth")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"is {value}, must be odd: as many snippets before as behind")
        return value


class TextTower(Strict):
    """A text tower in a plan: tokens [N, context] int64 to embeddings [N, dim] of the space of one stream."""

    name: Name
    member: Name
    weights_sha256: str
    #: Whose features lie in the same space.
    stream: Name
    dim: Width
    context: Size
    tokenizer: TokenizerRecord
    head: TextHead

    @property
    def members(self) -> list[str]:
        """Files that it needs."""
        return [self.member, self.tokenizer.member]

    def check(self, streams: Mapping[str, int]) -> None:
        """Refuse a tower that embeds into the space of no stream.

        Raises:
            ValueError: naming the stream.
        """
        if streams.get(self.stream) != self.dim:
            raise ValueError(f"texts.stream is {self.stream}[{self.dim}], streams are {dict(streams)}")
