"""Videos to features: the one way through decoding, snippets, flow and encoders, for one video or for many files."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .._util.concurrency import Stopwatch, read_ahead
from .._util.files import check_outputs, clear_unfinished
from .._util.names import file_names
from ..errors import FeatureError, TALError
from ..features import SnippetEncoder, check_contract, contract_of, encode, load_features, save_features
from ..limits import Limits
from ..options import DEVICE_PIXELS, SnippetOptions
from ..records import Features, Snippets
from ..video import VideoSource, cut, open_video
from ..video.flow import FlowSource, needs_flow, with_flow
from ..video.flow_rules import flow_rules
from ..video.flow_vectors import with_vectors
from ..video.planes import cut_planes

if TYPE_CHECKING:
    from ..backends.card_tensor import CardTensor
    from ..features.on_card import CardPath
    from ..features.pixel_conversion import Conversion, Conversions
    from ..pose.encoder import PoseFeatures
    from ..pose.people import FoundPeople

#: Called with a video and its share that is done, 0..1 (0 where its length is not known); from several threads.
Progress = Callable[[Path, float], None]

#: Whose versions are recorded, by module; of those that are loaded once features are made.
_LIBRARIES = {"tal_engine": "tal_engine", "av": "av", "cv2": "opencv", "onnxruntime": "onnxruntime"}


#: Temporary files of killed runs that were not written to for so long are removed; others may be at work in the folder.
_ABANDONED_S = 3600.0
#: What is said of a file that is not taken.
_ANEW = "it is kept: delete it, or tal features extract --overwrite, to make it anew"


@dataclass(frozen=True)
class Extraction:
    """Features of one video and what it took to make them.

    seconds: "decode", "snippets" (pixels, resize, cut), "flow" and "poses", of the thread that reads, and "encode", of
    the one that runs the graphs meanwhile, without what it waits. warnings: what was lost or guessed of the video.
    on_card: where the features lie on the card, [N, dim] by stream, if the extractor has a `CardPath`.
    """

    features: Features
    seconds: dict[str, float]
    warnings: list[str]
    on_card: dict[str, CardTensor] | None = None


@dataclass(frozen=True)
class Extractor:
    """Encoders, ready to run, on snippets of one geometry. Safe to share between threads."""

    snippet: SnippetOptions
    encoders: Sequence[SnippetEncoder]
    #: Another way to the flow that `snippet` names, such as `video.stored_flow.FlowFiles` or `nn.tvl1.TorchTvl1`.
    flow: FlowSource | None = None
    limits: Limits = field(default_factory=Limits)
    #: The same encoders on one card, whose features stay there; instead of `encoders` where it is given.
    card: CardPath | None = None
    #: Takes frames as they are stored, where a video has such, and makes pictures of them on the encoders' device; a
    #: named difference in the record. Only where no encoder reads flow.
    conversions: Conversions | None = None

    @property
    def contract(self) -> dict[str, Any]:
        """What makes these features; where flow comes by another way, its name is in it."""
        specs = [e.spec for e in self.encoders]
        poses = "" if self.poses is None else self.poses.spec.poses
        if self.flow is not None:
            return contract_of(self.snippet, specs, poses=poses) | {"flow_by": self.flow.name}
        reads_flow = any(e.reads == "flow" for e in specs)
        return contract_of(self.snippet, specs, flow=flow_rules(self.snippet.flow) if reads_flow else "", poses=poses)

    @property
    def poses(self) -> PoseFeatures | None:
        """The encoder that reads poses, if there is one."""
        found = next((e for e in self.encoders if e.spec.reads == "pose"), None)
        return cast("PoseFeatures | None", found)

    def __call__(self, path: Path, progress: Callable[[float, float], None] | None = None) -> Extraction:
        """`encode` of a video file.

        Raises:
            VideoError: it cannot be read.
        """
        with open_video(path, limits=self.limits) as video:
            return self.encode(video, progress)

    def encode(
        self,
        video: VideoSource,
        progress: Callable[[float, float], None] | None = None,
        batch: int = 8,
        found: FoundPeople | None = None,
    ) -> Extraction:
        """Compute the features of an opened video; memory does not grow with its length.

        Args:
            video: read to its end.
            progress: called with (seconds done, seconds in total or 0 if unknown).
            batch: snippets per call of the encoders.
            found: gets everybody who is found, where an encoder reads poses.

        Raises:
            VideoError: the video cannot be read.
            FlowError: its stored flow is missing or does not belong to it, or it has no motion vectors.
            MissingExtraError: the flow needs an OpenCV with contrib modules.
        """
        total = video.duration or 0.0
        if all(e.spec.reads == "pose" for e in self.encoders):
            batch = 1  # whole frames are large, and calls of the graphs are by picture
        reading, running = Stopwatch(), Stopwatch()
        video.frames = reading.pull("decode", video.frames)
        snippets, convert = self._cut(video, batch)
        snippets = reading.pull("snippets", snippets)
        # Where frames are converted later, no encoder reads flow; nor where a plan keeps one stream of several.
        idle = self.flow is None and not needs_flow(self.snippet, [e.spec.reads for e in self.encoders])
        if convert is not None:
            pass
        elif idle:
            snippets = reading.pull("flow", snippets)  # nothing is added, and reports keep the stage
        elif self.flow is None and self.snippet.flow == "vectors":
            snippets = reading.pull("flow", with_vectors(snippets, self.snippet, video))
        elif self.flow is None or self.snippet.flow == "none":
            snippets = reading.pull("flow", with_flow(snippets, self.snippet))
        else:
            snippets = reading.pull("flow", self.flow(snippets, self.snippet, video))
        if self.poses is not None:
            snippets = reading.pull("poses", self.poses.of_video(snippets, video.warnings, found))
        report = None if progress is None else (lambda done: progress(done, max(total, done) if total else 0.0))
        features, on_card = running.run("encode", lambda: self._encoded(snippets, video, running, report, convert))
        record = {"libraries": _libraries(self.flow)} | ({} if convert is None else {"pixels": DEVICE_PIXELS})
        features = replace(features, contract=features.contract | record)
        return Extraction(features, {**reading.seconds, "encode": running.seconds["encode"]}, video.warnings, on_card)

    def _cut(self, video: VideoSource, batch: int) -> tuple[Iterator[Snippets], Conversion | None]:
        """Cut snippets of images, or of stored frames together with their conversion."""
        if self.conversions is not None:
            stored = cut_planes(video, self.snippet, batch)
            if stored is not None:
                return stored[1], self.conversions(stored[0])
            video.warnings.append("frames are not stored as 8-bit 4:2:0 YUV that is shown as it is: converted here")
        return cut(video, self.snippet, batch), None

    def _encoded(
        self,
        snippets: Iterator[Snippets],
        video: VideoSource,
        running: Stopwatch,
        report: Callable[[float], None] | None,
        convert: Conversion | None,
    ) -> tuple[Features, dict[str, CardTensor] | None]:
        """Compute the features of snippets that another thread produces; it has stopped when this returns."""
        if self.card is None:
            with closing(read_ahead(snippets)) as waiting:
                waited = running.pull("waiting", waiting)
                if convert is not None:
                    waited = map(convert, waited)
                return encode(waited, self.encoders, self.contract, lambda: video.seen, report), None
        expected = math.ceil((video.duration or 0.0) * self.snippet.fps / self.snippet.stride) + 1
        card = replace(self.card, convert=convert)
        with closing(read_ahead(card.placed(snippets))) as sent:
            placed = running.pull("waiting", sent)
            return card.encode(placed, self.contract, lambda: video.seen, expected if video.duration else 0, report)


def _libraries(flow: FlowSource | None) -> dict[str, str]:
    """Return the versions of the libraries that made features, for their record."""
    names = _LIBRARIES | ({"torch": "torch"} if flow is not None and flow.name == "torch" else {})
    versions = {name: str(sys.modules[module].__version__) for module, name in names.items() if module in sys.modules}
    return versions | ({"ffmpeg": str(sys.modules["av"].ffmpeg_version_info)} if "av" in versions else {})


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

    NAME is the video's file name without its ending; of videos that share it, as many folders before it as tell them
    apart (``OUTPUT/DAY/NAME.npz``). What is there already and made of the same is kept, so an interrupted run goes on
    where it was. One video that fails does not stop the others.

    Raises:
        UsageError: two videos cannot be told apart, or one file would be an input.
        OSError: a file cannot be written (a full disk): nothing after it would fare better.
    """
    work = Work(feature_files(videos, output), extractor, overwrite, progress)
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


def feature_files(videos: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Return the file of each video's features below a folder, and remove what killed runs have left there.

    Args:
        videos: their paths.
        output: the folder.

    Raises:
        UsageError: two videos cannot be told apart, or one file would be an input.
    """
    names = file_names(videos, folders=True)
    targets = {video: output / f"{name}.npz" for video, name in zip(videos, names, strict=True)}
    check_outputs({f"the features {t}": t for t in targets.values()}, videos)
    clear_unfinished(output, _ABANDONED_S)
    return targets


@dataclass
class Work:
    """What is done with each video of a batch, and what became of all."""

    targets: Mapping[Path, Path]
    extractor: Extractor
    overwrite: bool
    progress: Progress | None
    outcome: Outcome = field(default_factory=Outcome)
    stop: threading.Event = field(default_factory=threading.Event)

    def one(self, video: Path) -> dict[str, float] | None:
        """Extract one file; return seconds by stage, None if the file is kept. Features stay on disk only."""
        target = self.targets[video]
        if not self.overwrite and target.exists():
            kept(target, self.extractor)
            return None
        if self.stop.is_set():
            raise FeatureError(f"{video}: not begun, the run was stopped")
        report = self.progress
        extraction = self.extractor(
            video, report and (lambda done, total: report(video, done / total if total else 0.0))
        )
        save_features(target, extraction.features)
        if extraction.warnings:
            self.outcome.warnings[video] = extraction.warnings
        return extraction.seconds

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
    """Load an existing feature file if it was made from what would make it now.

    Raises:
        FeatureError: the file is damaged, has no record, or was made from something else.
    """
    features = load_features(path)
    try:
        unknown = check_contract(features.contract, extractor.contract, str(path))
    except FeatureError as e:
        raise FeatureError(f"{e}; {_ANEW}") from e
    by, wanted = (c.get("flow_by") for c in (features.contract, extractor.contract))
    if features.contract and by != wanted:
        raise FeatureError(f"{path}: flow_by is {by!r}, not {wanted!r}; {_ANEW}")
    missing = [e.spec.stream for e in extractor.encoders if e.spec.stream not in features.streams]
    if unknown or missing:
        why = unknown[0] if unknown else f"{path}: has no stream {missing[0]!r}"
        raise FeatureError(f"{why}; {_ANEW}")
    return features
