"""What `TALEngine` has besides: localizing in an event loop, and the names of version 0.1."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .errors import require
from .options import LiveOptions, StreamOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .inference.parts import EncodedPart
    from .live.live_source import LiveSource
    from .plan.archive import Plan
    from .pose.tracking import Person
    from .results import Localization
    from .streaming import StreamingLocalizer, StreamScheduler
    from .streaming.models import Models
    from .video.source import Part

    #: What a stream is read from, beside texts.
    LiveInput = Path | LiveSource


class _CancelledError(Exception):
    """Ends a localization whose task was cancelled; never leaves this module."""


class AsyncLocalize:
    """`alocalize`, for a class that has `localize`."""

    localize: Any

    async def alocalize(self, source: Any, **options: Any) -> Localization:
        """Localize in a thread of the event loop's executor; arguments, result and errors are those of `localize`.

        If the task is cancelled, the thread ends after its current batch of snippets.

        >>> result = await engine.alocalize("my.mp4")  # doctest: +SKIP
        """
        import asyncio  # with ssl and sockets, for who awaits and so has it; commands do without

        cancelled, own = threading.Event(), options.pop("progress", None)

        def progress(done: float, total: float) -> None:
            if cancelled.is_set():
                raise _CancelledError
            if own is not None:
                own(done, total)

        try:
            result: Localization = await asyncio.to_thread(self.localize, source, progress=progress, **options)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return result


class OpensStreams:
    """`open_stream` and `watch`, for a class that runs graphs."""

    _stages: Any

    def open_stream(
        self,
        name: str = "stream",
        options: StreamOptions | None = None,
        *,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
        calibrated: bool = True,
        people: int = 0,
    ) -> StreamingLocalizer:
        """Open one stream whose frames you push.

        Args:
            name: name of the stream, which its events carry.
            options: of streaming; None takes the plan's.
            provisional: also emit events of actions that are open or may still change.
            min_score: leave out segments below it; None takes the plan's operating point.
            top_k: keep at most this many segments of a window; None takes the plan's, 0 keeps all.
            calibrated: scores are in [0, 1] where the plan carries their calibration; False gives raw scores.
            people: follow up to so many people (1 to 16) and decide for each by itself: events have a `subject`. 0
                follows the main person. For plans that read poses; such streams have no snapshots.

        Raises:
            UsageError: the name is a file or an address, which `watch` reads.
            StateError: the engine is closed.

        >>> import numpy as np
        >>> from tal_engine import TALEngine
        >>> engine = TALEngine.load()
        >>> with engine.open_stream("door") as stream:
        ...     events = [event for i in range(32) for event in stream.push(np.zeros((120, 160, 3), np.uint8), i / 25)]
        ...     events += stream.flush()
        >>> [(event.label, event.start, event.end) for event in events if event.is_final]
        []
        """
        from .streaming import StreamingLocalizer
        from .streaming.stream_names import check_name

        self._stages  # noqa: B018 - a closed engine is refused
        check_name(name)
        _check(options, StreamOptions, "options")
        choices = {"provisional": provisional, "min_score": min_score, "top_k": top_k, "calibrated": calibrated}
        choices["people"] = people
        return StreamingLocalizer(cast("Models", self), name, options, **choices)  # type: ignore[arg-type]

    def watch(
        self,
        sources: str | LiveInput | Iterable[str | LiveInput],
        options: StreamOptions | None = None,
        live: LiveOptions | None = None,
        *,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
        calibrated: bool = True,
        people: int = 0,
    ) -> StreamScheduler:
        """Read live sources and yield their events; iterate with ``for`` or ``async for``.

        A source that cannot be read, now or later, ends alone: the `error` of its entry in `streams` says why.

        Args:
            sources: files, addresses (``NAME=ADDRESS`` names the stream), paths, or opened sources.
            options: of streaming; None takes the plan's.
            live: how sources are read.
            provisional: also emit events of actions that are open or may still change.
            min_score: leave out segments below it; None takes the plan's operating point.
            top_k: keep at most this many segments of a window; None takes the plan's, 0 keeps all.
            calibrated: scores are in [0, 1] where the plan carries their calibration; False gives raw scores.
            people: follow up to so many people (1 to 16) and decide for each by itself: events have a `subject`. 0
                follows the main person. For plans that read poses; such streams have no snapshots.

        Raises:
            UsageError: no source, two sources of one name, or a malformed source.
            StateError: the engine is closed.

        >>> with engine.watch(["door=rtsp://cam/1", "yard=rtsp://cam/2"]) as events:  # doctest: +SKIP
        ...     for event in events:
        ...         print(event.source, event.label, event.start, event.end)
        """
        from .streaming import StreamScheduler
        from .streaming.stream_names import sources_of

        self._stages  # noqa: B018 - a closed engine is refused
        choices = {"provisional": provisional, "min_score": min_score, "top_k": top_k, "calibrated": calibrated}
        choices["people"] = people
        _check(options, StreamOptions, "options")
        _check(live, LiveOptions, "live")
        given = [sources] if isinstance(sources, str) else sources_of(sources)
        return StreamScheduler(cast("Models", self), given, options, live, **choices)  # type: ignore[arg-type]


class WorksInParts:
    """`split`, `encode_part` and `localize_parts`, for a class that runs graphs."""

    plan: Plan
    _stages: Any
    _rule: Any

    def split(self, source: str | Path, count: int) -> list[Part]:
        """Split a video file into parts that can be encoded apart, on several machines, at no cost in accuracy.

        Each part is decoded from the start of the file; what comes after decoding (pixels, flow, encoders) is not.

        Args:
            source: a video file or address.
            count: as many parts or fewer. One where the file does not say how long it is, or people are followed.

        Raises:
            VideoError, UsageError: the source cannot be used.
            StateError: the engine is closed.

        >>> parts = engine.split("my.mp4", 4)  # doctest: +SKIP
        >>> engine.localize_parts([engine.encode_part("my.mp4", part) for part in parts])  # doctest: +SKIP
        """
        from .inference.parts import split
        from .video import open_video

        stages, manifest = self._stages, self.plan.manifest
        if manifest.pose_encoder is not None:
            count = 1
        with open_video(source, limits=stages.limits) as video:
            return split(video.duration, manifest.snippet, count, stages.batch)

    def encode_part(self, source: str | Path, part: Part) -> EncodedPart:
        """Compute the features of a part of a video.

        Args:
            source: the video.
            part: of `split`.

        Raises:
            VideoError: the source cannot be used, or ends before the part: it is shorter than it claims.
            StateError: the engine is closed.
        """
        from .inference.parts import EncodedPart

        found = self._stages.prepare(source, None, False, None, part=part)
        return EncodedPart(part, found.features, found.info, found.seconds)

    def localize_parts(
        self,
        parts: Sequence[EncodedPart],
        *,
        min_score: float | None = None,
        top_k: int | None = None,
        calibrated: bool = True,
    ) -> Localization:
        """Localize a video whose parts were encoded; the result equals that of `localize`.

        Args:
            parts: all of the video, in any order.
            min_score: see `TALEngine.localize`.
            top_k: see `TALEngine.localize`.
            calibrated: see `TALEngine.localize`.

        Raises:
            UsageError: a part is missing, or one is there twice.
            StateError: the engine is closed.
        """
        from .inference.parts import joined

        result: Localization = self._stages.finish(joined(parts), self._rule(min_score, top_k, calibrated))
        return result


class SeesPeople:
    """`people_finder`, for a class that runs graphs."""

    _stages: Any

    def people_finder(self, most: int = 4) -> Callable[[NDArray[np.uint8], float], list[Person]] | None:
        """Return what finds the people of the pictures of one video, by the plan's graphs; None where it has none.

        The function takes a picture [H, W, 3] uint8 RGB and its seconds, in order, and returns people whose numbers
        stay; annotated videos draw them.

        Args:
            most: people that are followed, largest first; at most 16.

        Raises:
            UsageError: `most` is out of range.
            StateError: the engine is closed.

        >>> from tal_engine import TALEngine
        >>> TALEngine.load("demo").people_finder() is None  # the drawn figure's plan reads no poses
        True
        """
        from .pose.tracking import PoseOptions, PoseTracker

        poses, tracker = self._stages.poses, PoseTracker(PoseOptions(most))
        return None if poses is None else lambda image, seconds: tracker(poses.estimator, image, seconds)


class Renamed:
    """Names of version 0.1, for one more minor version."""

    localize_batch: Any
    open_stream: Any
    watch: Any

    def localize_many(self, sources: Iterable[Any], **options: Any) -> Iterator[tuple[Any, Any]]:
        """Use ``localize_batch(..., on_error="return")``."""
        _renamed("localize_many", 'localize_batch(..., on_error="return")')
        results: Iterator[tuple[Any, Any]] = self.localize_batch(sources, on_error="return", **options)
        return results

    def stream(self, source: Any = "stream", options: Any = None, **more: Any) -> Any:
        """Use `open_stream` for frames that you push, `watch` for sources that are read."""
        if isinstance(source, str):
            _renamed("stream", "open_stream")
            return self.open_stream(source, options, **more)
        _renamed("stream", "watch")
        return self.watch(source, options, **more)


def _check(value: object, kind: type[Any], what: str) -> None:
    require(value is None or isinstance(value, kind), what, value, f"a {kind.__name__} or None")


def _renamed(old: str, new: str) -> None:
    warnings.warn(f"TALEngine.{old} is now {new}; the old name goes with version 0.3", DeprecationWarning, stacklevel=3)
