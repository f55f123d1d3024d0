"""What can be chosen about a student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...errors import UsageError, require
from ...options import SnippetOptions

#: What a part of a student reads.
Reads = Literal["frames", "flow"]

#: Sides of pictures that the student's network halves four times.
_CELL = 16
#: What 0 and "auto" stand for, without flow and with it. DIS is made for pictures of about 112 pixels: of smaller ones
#: OpenCV looks at finer scales, which takes longer.
_USUAL: Mapping[bool, Mapping[str, Any]] = {
    False: {"side": 64, "moments": 1, "colours": "luma"},
    True: {"side": 112, "moments": 2, "colours": "rgb"},
}


#: Options that the network follows from.
_ARCHITECTURE = ("flow", "keep_frames", "frames", "side", "moments", "width", "colours")


@dataclass(frozen=True, kw_only=True)
class DistillOptions:
    """See docs/distill.md; defaults are those of `tal distill`."""

    #: "none", or the flow that the student reads in place of its teacher's: "dis_ultrafast" (cheapest) or "dis".
    flow: Literal["none", "dis", "dis_ultrafast"] = "none"
    #: The teacher's encoders of frames stay as they are, and see each frame as often as the teacher's rate has it; the
    #: student learns what its teacher makes of flow. For teachers whose encoders of frames are cheap. Needs flow.
    keep_frames: bool = False
    #: Frames that the student reads of each of the teacher's snippets, evenly spaced. The others are never converted.
    frames: int = 8
    #: Pixels of a side of its pictures: a square from the middle. 0: 64, with flow 112.
    side: int = 0
    #: Frames, and flow, are read in so many groups, each a picture whose channels they are. 0: 1, with flow 2.
    moments: int = 0
    #: Channels of the first layer; the others have twice to four times as many.
    width: int = 32
    #: "luma" reads brightness alone, "rgb" three colours; "auto": luma, with flow rgb.
    colours: Literal["auto", "luma", "rgb"] = "auto"
    #: Passes over the snippets of the training videos.
    epochs: int = 12
    #: Weight of the error of the head's activations, beside that of features. 0 leaves the head out.
    activations: float = 1.0
    #: Share of the videos that are held out, at least one.
    held_out: float = 0.15
    seed: int = 0
    #: Threads of the training.
    threads: int = 2
    #: Where what the teacher found is kept; None: beside the plan, NAME.distill.
    work: Path | None = None
    #: Replace a plan that is there.
    overwrite: bool = False
    #: "auto", "cpu" or "cuda": of the teacher.
    device: str = "auto"

    def __post_init__(self) -> None:
        flows = ("none", "dis", "dis_ultrafast")
        require(self.flow in flows, "flow", self.flow, "'none', 'dis' or 'dis_ultrafast'")
        allowed = "False without flow: a student that reads frames alone is all that there is"
        require(self.flow != "none" or not self.keep_frames, "keep_frames", self.keep_frames, allowed)
        for name, value in _USUAL[self.flow != "none"].items():
            if getattr(self, name) in (0, "auto"):
                object.__setattr__(self, name, value)  # the record of a plan says what was taken
        require(1 <= self.frames <= 64, "frames", self.frames, "in 1..64")
        ok = self.side % _CELL == 0 and 64 <= self.side <= 256
        require(ok, "side", self.side, f"a multiple of {_CELL} in 64..256")
        require(
            self.moments >= 1 and self.frames % self.moments == 0, "moments", self.moments,
            f"a divisor of frames ({self.frames})",
        )  # fmt: skip
        if self.flow != "none":
            ok = self.frames % (2 * self.moments) == 0
            require(ok, "frames", self.frames, f"a multiple of 2 * moments ({2 * self.moments}) with flow")
        require(4 <= self.width <= 256, "width", self.width, "in 4..256")
        require(self.colours in ("luma", "rgb"), "colours", self.colours, "'luma' or 'rgb'")
        require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        require(0 <= self.activations < float("inf"), "activations", self.activations, "0 or more, and finite")
        require(0 < self.held_out < 1, "held_out", self.held_out, "between 0 and 1")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.threads >= 1, "threads", self.threads, "at least 1")

    def course(self) -> dict[str, Any]:
        """Give what the student's weights follow from, beside its lessons."""
        return {**self.architecture(), **{n: getattr(self, n) for n in ("epochs", "activations", "seed", "threads")}}

    def architecture(self) -> dict[str, Any]:
        """Give what the student's network follows from."""
        return {name: asdict(self)[name] for name in _ARCHITECTURE}


def student_snippets(teacher: SnippetOptions, options: DistillOptions) -> SnippetOptions:
    """Return the snippets of a student: the same stretches of time as the teacher's, of fewer and smaller pictures.

    Raises:
        UsageError: so many frames a snippet do not fit the teacher's stride: snippets would begin between frames.

    >>> student_snippets(SnippetOptions(fps=25.0, window=16, stride=16), DistillOptions(frames=4, moments=1)).fps
    6.25
    """
    if options.frames * teacher.stride % teacher.window:
        allowed = f"such that frames * stride ({teacher.stride}) / window ({teacher.window}) of the teacher is whole"
        raise UsageError(f"frames is {options.frames}, must be {allowed}")
    slower = replace(
        teacher,
        fps=teacher.fps * options.frames / teacher.window,
        window=options.frames,
        stride=options.frames * teacher.stride // teacher.window,
        flow=options.flow,
    )
    if options.keep_frames:
        scaled = teacher.resize and teacher.interpolation == "area"
        return replace(slower, resize_of="yuv" if scaled else teacher.resize_of)
    return replace(
        slower, resize=options.side, crop=options.side, interpolation="area", resize_of="yuv", flow_of="crop"
    )


def fitted_options(teacher: SnippetOptions, options: DistillOptions) -> DistillOptions:
    """Give a student that reads its teacher's pictures their size.

    Raises:
        UsageError: with `keep_frames`, the teacher's pictures are no multiple of 16 pixels wide, or frames do not
            divide its window.
    """
    if not options.keep_frames:
        return options
    allowed = f"a divisor of the teacher's window ({teacher.window}) with keep_frames"
    require(teacher.window % options.frames == 0, "frames", options.frames, allowed)
    return replace(options, side=teacher.for_flow.crop)
