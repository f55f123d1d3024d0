"""What somebody who starts a studio decides."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from .._util.repeats import repeated
from ..errors import UsageError, require
from ..serve.settings import ServeOptions, is_loopback


@dataclass(frozen=True, kw_only=True)
class StudioOptions:
    """Options of a studio.

    Raises:
        UsageError: a value makes no sense.

    >>> StudioOptions(videos=Path("clips")).folder
    PosixPath('clips.studio')
    """

    videos: Path
    #: The project; default: beside the videos.
    project: Path | None = None
    #: Labels that there are already, of any format that is read.
    labels: Path | None = None
    classes: tuple[str, ...] = ()
    #: Names of persons that labels can be about, beside those that skeletons and labels name.
    subjects: tuple[str, ...] = ()
    #: Folder of skeleton files, which say who is in each video; None: beside the videos.
    skeletons: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8766
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    #: Encoders by name, joined by "+"; None takes the best that is installed.
    encoders: str | None = None
    #: Train by itself after edits.
    auto_train: bool = True
    #: Seconds without an edit before training begins by itself.
    settle_seconds: float = 4.0
    #: Seconds between two looks for videos that came into the folder.
    look_seconds: float = 3.0
    #: Training steps of each head; None: as the rules say.
    steps: int | None = None
    #: Heads that are trained, each with a seed of its own: where they differ is what is not known.
    heads: int = 2
    #: Share of the videos that are held out to measure on.
    held_out: float = 0.3
    seed: int = 0

    #: For the protocol of Label Studio: how addresses of videos may begin, its own address, and its key.
    sources: tuple[str, ...] = ()
    label_studio: str = ""
    label_studio_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        require(0 < self.held_out < 1, "held_out", self.held_out, "in (0, 1)")
        require(1 <= self.heads <= 8, "heads", self.heads, "in 1..8")
        require(self.settle_seconds >= 0, "settle_seconds", self.settle_seconds, "0 or more")
        require(self.look_seconds > 0, "look_seconds", self.look_seconds, "above 0")
        require(self.steps is None or self.steps >= 1, "steps", self.steps, "at least 1")
        if twice := repeated(self.classes):
            raise UsageError(f"class {twice[0]!r} is there twice, must be different names")
        if "" in self.classes:
            raise UsageError(f"classes are {', '.join(self.classes)!r}, must be names")

    @property
    def folder(self) -> Path:
        """Of the project."""
        return self.project or self.videos.parent / f"{self.videos.resolve().name}.studio"

    def serving(self) -> ServeOptions:
        """Give the options of the listening side."""
        return ServeOptions(
            host=self.host, port=self.port, tokens=(self.token,), state=self.folder / "service",
            hosts=("localhost", "127.0.0.1", "[::1]", self.host) if is_loopback(self.host) else (), drain_seconds=2.0,
            sources=self.sources, label_studio=self.label_studio, label_studio_key=self.label_studio_key,
        )  # fmt: skip
