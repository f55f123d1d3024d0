"""Videos to features: the one way through decoding, snippets, flow and encoders, for one video or for many files."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import FeatureError, TALError, UsageError
from .features import EncoderGraph, check_contract, contract_of, encode, load_features, save_features
from .options import SnippetOptions
from .pipeline import Stopwatch, read_ahead
from .records import Features
from .video import VideoSource, cut, open_video
from .video.flow import FlowSource, with_flow

#: Called with a video and its share that is done, 0..1 (0 where its length is not known); from several threads.
Progress = Callable[[Path, float], None]

#: Whose versions are recorded, by module; of those that are loaded once features are made.
_LIBRARIES = {"tal_engine": "tal_engine", "av": "av", "cv2": "opencv", "onnxruntime": "onnxruntime"}


#: What is said of a file that is not taken.
_ANEW = "it is kept: delete it, or tal features extract --overwrite, to make it anew"


@dataclass(frozen=True)
class Extraction:
    """Features of one video and what it took to make them.

    seconds: "decode", "snippets" (pixels, resize, cut) and "flow", of the thread that reads, and "encode", of the one
    that runs the graphs meanwhile, without what it waits. warnings: what was lost or guessed of the video.
    """

    features: Features
    seconds: dict[str, float]
    warnings: list[str]


@dataclass(frozen=True)
class Extractor:
    """Encoders, ready to run, on snippets of one geometry. Safe to share between threads."""

    snippet: SnippetOptions
    encoders: Sequence[EncoderGraph]
    #: Another way to the flow that `snippet` names, such as `video.stored_flow.FlowFiles` or `nn.tvl1.TorchTvl1`.
    flow: FlowSource | None = None

    @property
    def contract(self) -> dict[str, Any]:
        """What makes these features; where flow comes by another way, its name is in it."""
        by = {} if self.flow is None else {"flow_by": self.flow.name}
        return contract_of(self.snippet, [e.spec for e in self.encoders]) | by

    def __call__(self, path: Path, progress: Callable[[float, float], None] | None = None) -> Extraction:
        """`encode` of a video file.

        Raises:
            VideoError: it cannot be read.
        """
        with open_video(path) as video:
            return self.encode(video, progress)

    def encode(
        self, video: VideoSource, progress: Callable[[float, float], None] | None = None, batch: int = 8
    ) -> Extraction:
        """Features of an opened video; memory does not grow with its length.

        Args:
            video: read to its end.
            progress: called with (seconds done, seconds in total or 0 if unknown).
            batch: snippets that go to the encoders at a time.

        Raises:
            VideoError: it cannot be read.
            FlowError: its stored flow is missing or does not belong to it.
            MissingExtraError: the flow takes an OpenCV that is not installed.
        """
        total = video.duration or 0.0
        reading, running = Stopwatch(), Stopwatch()
        video.frames = reading.pull("decode", video.frames)
        snippets = reading.pull("snippets", cut(video, self.snippet, batch))
        if self.flow is None or self.snippet.flow == "none":
            snippets = reading.pull("flow", with_flow(snippets, self.snippet))
        else:
            snippets = reading.pull("flow", self.flow(snippets, self.snippet, video))
        report = None if progress is None else (lambda done: progress(done, max(total, done) if total else 0.0))
        with closing(read_ahead(snippets)) as made:  # the reader has stopped before the video is closed
            waited = running.pull("waiting", made)
            found = running.run(
                "encode", lambda: encode(waited, self.encoders, self.contract, lambda: video.seen, report)
            )
        found = replace(found, contract=found.contract | {"libraries": _libraries(self.flow)})
        return Extraction(found, {**reading.seconds, "encode": running.seconds["encode"]}, video.warnings)


def _libraries(flow: FlowSource | None) -> dict[str, str]:
    """Versions of what has made features, for their record."""
    names = _LIBRARIES | ({"torch": "torch"} if flow is not None and flow.name == "torch" else {})
    found = {name: str(sys.modules[module].__version__) for module, name in names.items() if module in sys.modules}
    return found | ({"ffmpeg": str(sys.modules["av"].ffmpeg_version_info)} if "av" in found else {})


@dataclass
class Outcome:
    """What became of each video of a batch of work."""

    made: list[Path] = field(default_factory=list)
    #: Files that were there already, made of the same.
    kept: list[Path] = field(default_factory=list)
    failed: dict[Path, TALError] = field(default_factory=dict)
    #: What was lost or guessed of videos that were read.
    warnings: dict[Path, Sequence[str]] = field(default_factory=dict)
    #: By stage, of all videos that were made; see `Extraction`.
    seconds: dict[str, float] = field(default_factory=dict)


def extract_all(
    videos: Sequence[Path],
    output: Path,
    extractor: Extractor,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Write ``OUTPUT/NAME.npz`` of each video, several at a time; a file is whole or not there.

    What is there already and made of the same is kept, so an interrupted run goes on where it was. One video
    that fails does not stop the others.

    Raises:
        UsageError: two videos of one name.
        OSError: a file cannot be written (a full disk): nothing after it would fare better.
    """
    twice = [name for name, n in Counter(v.stem for v in videos).items() if n > 1]
    if twice:
        raise UsageError(f"{len(twice)} names belong to several videos, such as {twice[0]!r}: extract them separately")
    work = _Work(output, extractor, overwrite, progress)
    with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="tal-extract") as pool:
        futures = {pool.submit(work.one, v): v for v in videos}
        try:
            for future in as_completed(futures):
                work.done(futures[future], future)
        except BaseException:  # Ctrl-C, or a disk that is full: what has not begun is not begun
            work.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return work.outcome


@dataclass
class _Work:
    """What is done with each video of a batch, and what became of all."""

    output: Path
    extractor: Extractor
    overwrite: bool
    progress: Progress | None
    outcome: Outcome = field(default_factory=Outcome)
    stop: threading.Event = field(default_factory=threading.Event)

    def one(self, video: Path) -> dict[str, float] | None:
        """Seconds by stage; None where a file is kept. The features are on disk and do not stay in memory."""
        target = self.output / f"{video.stem}.npz"
        if not self.overwrite and target.exists():
            kept(target, self.extractor)
            return None
        if self.stop.is_set():
            raise FeatureError(f"{video}: not begun, the run was stopped")
        report = self.progress
        made = self.extractor(video, report and (lambda done, total: report(video, done / total if total else 0.0)))
        save_features(target, made.features)
        if made.warnings:
            self.outcome.warnings[video] = made.warnings
        return made.seconds

    def done(self, video: Path, future: Future[dict[str, float] | None]) -> None:
        """Enter what became of a video; errors that are not of this video alone are raised."""
        try:
            seconds = future.result()
            (self.outcome.kept if seconds is None else self.outcome.made).append(video)
            for stage, s in (seconds or {}).items():
                self.outcome.seconds[stage] = self.outcome.seconds.get(stage, 0.0) + s
        except TALError as e:
            self.outcome.failed[video] = e
        if self.progress is not None:
            self.progress(video, 1.0)


def kept(path: Path, extractor: Extractor) -> Features:
    """The features of a file that is there, if it was made of what would make it now.

    Raises:
        FeatureError: it is not whole, says nothing of its origin, or was made of something else.
    """
    found = load_features(path)
    try:
        unknown = check_contract(found.contract, extractor.contract, str(path))
    except FeatureError as e:
        raise FeatureError(f"{e}; {_ANEW}") from e
    by, wanted = (c.get("flow_by") for c in (found.contract, extractor.contract))
    if found.contract and by != wanted:
        raise FeatureError(f"{path}: flow_by is {by!r}, not {wanted!r}; {_ANEW}")
    missing = [e.spec.stream for e in extractor.encoders if e.spec.stream not in found.streams]
    if unknown or missing:
        why = unknown[0] if unknown else f"{path}: has no stream {missing[0]!r}"
        raise FeatureError(f"{why}; {_ANEW}")
    return found
