"""What a format is: its name, how it is told, read and written, and what it can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

from ..._util.names import without_ending
from ...errors import UsageError
from .characters import spelled_out
from .frame_clock import FrameClock, clock_of
from .table import AnnotationTable

if TYPE_CHECKING:
    from ..labels.label_files import VideoFiles

#: What rows may have that not every format can hold.
Feature = Literal["segments", "points", "video_labels", "subject", "score", "comment", "overlaps"]


@dataclass
class Context:
    """What readers and writers are told beside the file, and where they say what got lost.

    Args:
        fps: frames a second, for formats that count frames and do not say their rate.
        video: the video file that is annotated, or a folder of them: their frames' times are the clock of such formats.
        name: name of the video where the file does not say it.

    Attributes:
        losses: what got lost, with its count. dropped: rows that are lost. renamed: labels of which a loss says so.
        assumed: what was taken for granted of the clock, a sentence each.

    Raises:
        UsageError: fps and video are both given.
    """

    fps: float | None = None
    video: str | Path | None = None
    name: str | None = None
    losses: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    renamed: set[str] = field(default_factory=set)
    assumed: dict[str, None] = field(default_factory=dict)
    _timed: dict[str, None] = field(default_factory=dict, repr=False)
    _clocks: dict[Path, FrameClock] = field(default_factory=dict, repr=False)
    _files: VideoFiles | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.fps is not None and self.video is not None:
            raise UsageError(
                f"fps {self.fps:g} and video {self.video} are both given: one alone is the clock of frames"
            )

    def lose(self, what: str, count: int = 1) -> None:
        """Enter that something could not be held; equal sentences are counted."""
        if count:
            self.losses[what] += count

    def drop(self, what: str, count: int = 1) -> None:
        """Enter that rows could not be held at all."""
        self.lose(what, count)
        self.dropped += count

    def clock(self, video: str = "", stated: float | None = None) -> FrameClock:
        """Choose the clock of frames: of the given video, at the given rate, or as the file states.

        Args:
            video: name of the video, to find it where a folder was given.
            stated: frames a second that the file states.

        Raises:
            UsageError: there is none of these, or one video would be the clock of several.
            VideoError: the video cannot be read.
        """
        path = self._video_file(video)
        if video:
            self._timed[without_ending(PurePath(video).name)] = None
        if path is not None:
            self._check_names(path)
            if path not in self._clocks:
                self._clocks[path] = clock_of(path)
            return self._clocks[path]
        rate = stated if self.fps is None else self.fps
        if rate is None:
            raise UsageError("frames are counted and nothing says how many a second: give --fps or --video")
        if self.fps is not None:
            self._note_rate(self.fps, video, stated)
        return FrameClock(rate)

    def _note_rate(self, fps: float, video: str, stated: float | None) -> None:
        if stated is not None and abs(stated - fps) > 1e-3 * fps:
            self.assumed[f"{fps:g} frames a second as given, though the file states {stated:g} of {video!r}"] = None
        if len(self._timed) > 1:
            self.assumed[f"{fps:g} frames a second taken for every video, though there are several"] = None

    def _check_names(self, path: Path) -> None:
        """Check that the clock of one video file is that of one video; another name of it is noted.

        Raises:
            UsageError: several videos were asked for.
        """
        if self.video is None or Path(self.video).is_dir():
            return
        names = list(self._timed)
        if len(names) > 1:
            raise UsageError(
                f"{path} cannot be the clock of several videos ({', '.join(map(repr, names))}): name the folder of all "
                "videos, or give --fps"
            )
        if names and names[0] != without_ending(path.name):
            self.assumed[f"the frames of {path.name} are the clock of {names[0]!r}, which is called otherwise"] = None

    def video_file(self, name: str) -> Path | None:
        """Return the video file that a name stands for, where one or a folder was given and has it."""
        try:
            return self._video_file(name)
        except UsageError:
            return None

    def _video_file(self, name: str) -> Path | None:
        """Return the given video, or the one of a name in the given folder."""
        if self.video is None or not Path(self.video).is_dir():
            return None if self.video is None else Path(self.video)
        from ..labels.label_files import VideoFiles, video_files  # labels read files of tools, and so import this
        from ..labels.label_rows import RowError

        if self._files is None:
            self._files = VideoFiles(video_files(Path(self.video)), Path(self.video))
        try:
            return self._files.find(name)
        except RowError as e:
            raise UsageError(f"{self.video}: {e}; its frames are the clock of the labels") from e

    def named(self, path: Path) -> str:
        """Name of the video of a file that does not say it."""
        if self.name is None and self.video is not None and not Path(self.video).is_dir():
            return Path(self.video).name
        return self.name or path.stem


Reader = Callable[[Path, Context], AnnotationTable]
Writer = Callable[[AnnotationTable, Path, Context], None]


@dataclass(frozen=True)
class Format:
    """One annotation format.

    Attributes:
        name: what ``--from`` and ``--to`` call it.
        title: what its users call it.
        suffixes: endings of its files, longest first.
        read, write: None where it is only written, or only read.
        holds: what of a row survives writing.
        one_video: a file holds one video; several are written to a folder, a file each.
        by_name: is written only where it is named: its endings say too little.
        unit: of its times, for the documentation: what is written, and how it is rounded.
        unfit: characters that its files cannot hold, as in a character class of a regular expression.
        recognise: whether a file, by its first 64 KiB as text, is of this format; None: by its ending alone.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    holds: frozenset[Feature]
    unit: str
    read: Reader | None = None
    write: Writer | None = None
    one_video: bool = False
    by_name: bool = False
    unfit: str = ""
    recognise: Callable[[str], bool] | None = None


def holds(*features: Feature) -> frozenset[Feature]:
    """Return what a format holds, beside segments."""
    return frozenset(("segments", *features))


def without(table: AnnotationTable, form: Format, context: Context) -> AnnotationTable:
    """Select the rows that a format can hold, in characters that it can hold; record what is lost."""
    kinds = table.kinds
    keep = kinds == "segment"
    for kind, feature, words in (
        ("point", "points", "a point in time left out"),
        ("video", "video_labels", "a label of a whole video left out"),
    ):
        if feature in form.holds:
            keep = keep | (kinds == kind)
        else:
            context.drop(f"{words}: {form.title} cannot hold it", int((kinds == kind).sum()))
    kept = table if keep.all() else table.where(keep)
    for column, words in (("subject", "a subject"), ("comment", "a comment")):
        if column not in form.holds:
            context.lose(f"{words} left out: {form.title} cannot hold it", int((getattr(kept, column) != "").sum()))
    if "score" not in form.holds:
        context.lose(f"a score left out: {form.title} cannot hold it", int((kept.score == kept.score).sum()))
    written, said = spelled_out(kept, form.unfit)
    for words, count in said:
        context.lose(f"{form.title}: {words}", count)
    return written


def choices(formats: Iterable[Format]) -> str:
    """List names of formats for messages."""
    return ", ".join(sorted(f.name for f in formats))
