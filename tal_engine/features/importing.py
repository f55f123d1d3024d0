"""Features of other extractors as feature files of ours: what is known of them is recorded, what is not is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError, TALError, UsageError, require
from ..records import Features
from ..timeline import Timeline
from .contract import imported
from .foreign import Clock, ForeignVideo, Layout, foreign_videos
from .store import save_features

#: Times of rows may be so far from even, in steps: containers round them.
_UNEVEN = 0.25
#: Share by which a geometry that is given may differ from the times of rows.
_OFF = 0.02
#: Streams of one video may differ by so many rows; the longer are cut.
_MOST_CUT = 1


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What files do not say of themselves.

    layout, pattern: see `foreign_videos`. stream: name of the features where a file does not name them; or columns:
    name to [first, end). encoder: what made them, as records call it; "": the layout and the stream. fps, window,
    stride: of rows, in frames; 0: the files say it. resized: rows are spread evenly over the video, whatever its
    length. durations: of videos by name, seconds.
    """

    layout: Layout | None = None
    pattern: str = "{name}"
    stream: str = ""
    columns: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    encoder: str = ""
    fps: float = 0.0
    window: int = 0
    stride: int = 0
    resized: bool = False
    durations: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [bool(self.fps), bool(self.window), bool(self.stride)]
        if any(given) and not all(given):
            raise UsageError("fps, window and stride of rows go together: give all three, or none")
        for name in ("fps", "window", "stride"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "positive")
        if self.resized and any(given):
            raise UsageError("resized rows are as long as their video makes them: they have no fps, window and stride")
        if self.stream and self.columns:
            raise UsageError(f"stream {self.stream!r} and columns are both given: columns name their own streams")
        for name, (first, end) in self.columns.items():
            require(0 <= first < end, f"columns of {name}", f"{first}:{end}", "FIRST:END, 0 <= FIRST < END")


@dataclass
class ImportOutcome:
    """Names of the videos whose files were made, that were there before, and why others have none."""

    layout: Layout
    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, TALError] = field(default_factory=dict)


def import_features(
    source: Path,
    output: Path,
    options: ImportOptions,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> ImportOutcome:
    """Write ``OUTPUT/NAME.npz`` for each video whose features another extractor left in `source`.

    A file that cannot be taken does not stop the others; what is there is kept.

    Args:
        source: a folder, or an HDF5 file.
        output: folder, made if it is not there and there is something to write.
        options: what the files do not say.
        overwrite: make files anew that are there.
        progress: called with videos done, all, and the name of the last.

    Raises:
        UsageError: the options contradict each other or the files, or there are no features.
    """
    layout, videos = foreign_videos(source, options.layout, options.pattern)
    outcome = ImportOutcome(layout)
    for done, video in enumerate(videos, 1):
        path = output / f"{video.name}.npz"
        try:
            if path.exists() and not overwrite:
                outcome.kept.append(video.name)
            else:
                found = read_foreign(video, layout, options)
                output.mkdir(parents=True, exist_ok=True)
                save_features(path, found)
                outcome.made.append(video.name)
        except UsageError:
            raise
        except TALError as e:
            outcome.failed[video.name] = e
        if progress is not None:
            progress(done, len(videos), video.name)
    return outcome


def read_foreign(video: ForeignVideo, layout: Layout, options: ImportOptions) -> Features:
    """Read the features of one video, with a record that names what is not known of them.

    Raises:
        FeatureError: files are damaged, streams differ in length, or times do not fit the rows.
        UsageError: the options leave open what the files do not say.
    """
    streams = _streams(video, options)
    rows = {name: len(x) for name, x in streams.items()}
    count = min(rows.values())
    if max(rows.values()) - count > _MOST_CUT:
        raise FeatureError(f"{video.source}: streams differ in length: {rows}")
    duration = options.durations.get(video.name, 0.0)
    timeline, snippet = _placed(video, count, options, duration)
    record = imported(
        layout, options.encoder, {name: x.shape[1] for name, x in streams.items()}, snippet,
        ["duration"] if not duration else [],
    )  # fmt: skip
    try:
        cut = {name: np.ascontiguousarray(x[:count]) for name, x in streams.items()}
        return Features(cut, timeline, duration or float(timeline.right(count)), record)
    except FeatureError as e:
        raise FeatureError(f"{video.source}: {e}") from e


def _streams(video: ForeignVideo, options: ImportOptions) -> dict[str, NDArray[np.float32]]:
    arrays = {kind: read() for kind, read in video.arrays.items()}
    if not options.columns:
        unnamed = [kind for kind in arrays if kind == "features"]
        if not options.stream and unnamed:
            raise UsageError(
                f"{video.source}: its features have no name: give --stream NAME, or --columns rgb=0:1024 --columns "
                "flow=1024:2048"
            )
        if options.stream and len(arrays) > 1:
            raise UsageError(f"{video.source}: has {', '.join(arrays)}, which is more than one stream to name")
        return {options.stream or kind: x for kind, x in arrays.items()}
    if len(arrays) > 1:
        raise UsageError(f"{video.source}: has {', '.join(arrays)}, columns are of one array")
    (whole,) = arrays.values()
    last = max(end for _, end in options.columns.values())
    if whole.shape[1] < last:
        raise FeatureError(f"{video.source}: features are {whole.shape[1]} wide, columns end at {last}")
    return {name: whole[:, first:end] for name, (first, end) in options.columns.items()}


def _placed(
    video: ForeignVideo, count: int, options: ImportOptions, duration: float
) -> tuple[Timeline, dict[str, float]]:
    """Where in time the rows are, and what is known of their geometry."""
    if options.resized:
        if not duration:
            raise FeatureError(f"{video.source}: resized rows need the duration of {video.name}, which nothing gives")
        return Timeline(0.0, duration / count, duration / count), {}
    clock = video.clock()
    if clock.times is None:
        if not options.fps:
            raise UsageError(
                f"{video.source}: nothing says where in time its rows are: give --snippet fps=25 --snippet window=16 "
                "--snippet stride=16 as they were extracted, or --resized with --durations"
            )
        return _given(options)
    if len(clock.times) != count:
        raise FeatureError(f"{video.source}: has {count} rows and the times of {len(clock.times)}")
    found = _timed(video, clock)
    if not options.fps:
        return found
    given = _given(options)
    if abs(given[0].step - found[0].step) > _OFF * given[0].step and count > 1:
        raise FeatureError(
            f"{video.source}: rows are {found[0].step:.4g} s apart, fps and stride say {given[0].step:.4g} s"
        )
    return given


def _given(options: ImportOptions) -> tuple[Timeline, dict[str, float]]:
    known = {"fps": options.fps, "window": options.window, "stride": options.stride}
    return Timeline(0.0, options.stride / options.fps, options.window / options.fps), known


def _timed(video: ForeignVideo, clock: Clock) -> tuple[Timeline, dict[str, float]]:
    """Read the times of rows as video_features writes them: of a frame, or of the frame that ends a stack of them."""
    times = clock.times
    assert times is not None  # noqa: S101 - only called with them
    frame = 1 / clock.fps if clock.fps else 0.0
    step = float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else float(times[0]) or frame
    if not (np.isfinite(times).all() and step > 0 and times[0] >= 0):
        raise FeatureError(f"{video.source}: the times of its rows do not rise from 0 on")
    off = np.abs(times - times[0] - step * np.arange(len(times))).max()
    if off > _UNEVEN * step:
        raise FeatureError(f"{video.source}: its rows are not evenly spaced: one is {off:.3g} s off {step:.4g} s steps")
    stacked = times[0] >= step / 2
    width = float(times[0]) if stacked else frame or step
    if not clock.fps:
        return Timeline(0.0, step, width), {}
    known = {"fps": clock.fps, "window": max(round(width * clock.fps), 1), "stride": max(round(step * clock.fps), 1)}
    return Timeline(0.0, step, width), known
