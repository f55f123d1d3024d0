"""Videos to feature files: composes decoding, snippets, flow and encoders, for one video or for many."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import FeatureError, TALError, UsageError
from .features import EncoderGraph, check_contract, contract_of, encode, load_features, save_features
from .options import SnippetOptions
from .pipeline import read_ahead
from .records import Features
from .video import cut, open_video
from .video.flow import FlowSource, with_flow

#: Called with a video and its share that is done, 0..1 (0 where its length is not known); from several threads.
Progress = Callable[[Path, float], None]


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

    def __call__(
        self,
        path: Path,
        progress: Callable[[float], None] | None = None,
        warn: Callable[[Sequence[str]], None] | None = None,
    ) -> Features:
        """Features of a video; memory does not grow with its length.

        Args:
            path: the video.
            progress: called with the share that is done, where the length is known.
            warn: called at the end with what was lost or guessed, if anything was.

        Raises:
            VideoError: it cannot be read.
            FlowError: its stored flow is missing or does not belong to it.
            MissingExtraError: the flow takes an OpenCV that is not installed.
        """
        with open_video(path) as video:
            total = video.duration or 0.0
            report = None if progress is None or not total else (lambda done: progress(min(done / total, 1.0)))
            snippets = cut(video, self.snippet)
            if self.flow is None or self.snippet.flow == "none":
                snippets = with_flow(snippets, self.snippet)
            else:
                snippets = self.flow(snippets, self.snippet, video)
            found = encode(read_ahead(snippets), self.encoders, self.contract, lambda: video.seen, report)
            if warn is not None and video.warnings:
                warn(video.warnings)
            return found


@dataclass
class Outcome:
    """What became of each video of a batch of work."""

    made: list[Path] = field(default_factory=list)
    #: Files that were there already, made of the same.
    kept: list[Path] = field(default_factory=list)
    failed: dict[Path, TALError] = field(default_factory=dict)
    #: What was lost or guessed of videos that were read.
    warnings: dict[Path, Sequence[str]] = field(default_factory=dict)


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
    outcome, stop = Outcome(), threading.Event()

    def one(video: Path) -> bool:
        target = output / f"{video.stem}.npz"
        if not overwrite and target.exists():
            _same(target, extractor)
            return False
        if stop.is_set():
            raise FeatureError(f"{video}: not begun, the run was stopped")
        report = None if progress is None else (lambda done: progress(video, done))
        save_features(target, extractor(video, report, lambda notes: outcome.warnings.update({video: list(notes)})))
        return True

    with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="tal-extract") as pool:
        futures = {pool.submit(one, v): v for v in videos}
        try:
            for future in as_completed(futures):
                video = futures[future]
                try:
                    (outcome.made if future.result() else outcome.kept).append(video)
                except TALError as e:
                    outcome.failed[video] = e
                if progress is not None:
                    progress(video, 1.0)
        except BaseException:  # Ctrl-C, or a disk that is full: what has not begun is not begun
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return outcome


def _same(path: Path, extractor: Extractor) -> None:
    """A file that is there was made of what would make it now.

    Raises:
        FeatureError: it is not whole, says nothing of its origin, or was made of something else.
    """
    found = load_features(path)
    try:
        unknown = check_contract(found.contract, extractor.contract, str(path))
    except FeatureError as e:
        raise FeatureError(f"{e}; it is kept, --overwrite makes it anew") from e
    by, wanted = (c.get("flow_by") for c in (found.contract, extractor.contract))
    if found.contract and by != wanted:
        raise FeatureError(f"{path}: flow_by is {by!r}, not {wanted!r}; it is kept, --overwrite makes it anew")
    missing = [e.spec.stream for e in extractor.encoders if e.spec.stream not in found.streams]
    if unknown or missing:
        why = unknown[0] if unknown else f"{path}: has no stream {missing[0]!r}"
        raise FeatureError(f"{why}; it is kept, --overwrite makes it anew")
