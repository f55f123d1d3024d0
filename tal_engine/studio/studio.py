"""The parts of a studio, which its routes share: project, videos, copies of videos, training, events, a service."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request

from ..annotations.labels.label_files import video_files
from ..errors import DataError, TALError
from ..serve.event_log import EventLog
from ..serve.problems import ProblemError
from ..serve.service import Places
from . import held_out
from .classes import with_classes
from .embedded_service import EmbeddedService
from .findings import Findings
from .frame_times import kept_times
from .importing import import_labels
from .library import Library, Video, added, copies_of, library_of
from .order import Order, order_of
from .project import Project
from .proxies import Proxies
from .settings import StudioOptions
from .subjects import Skeletons, name_subjects
from .training import Trainer
from .watching import Watch

log = logging.getLogger("tal_engine")

#: Changes that heads learn from, or are measured by.
_LEARNED = ("edit", "settled", "watched", "classes", "held_out")
#: Pages that may listen at the same time.
_LISTENERS = 64


@dataclass(frozen=True)
class StudioEvent:
    """Something that pages are told: its kind, and fields ready for JSON."""

    kind: str
    fields: Mapping[str, Any]


class Studio:
    """What a studio is made of. `running` starts and ends it; a studio runs once.

    Args:
        options: of the studio.

    Raises:
        UsageError: the project is open elsewhere, or is none.
        DataError: no videos, labels that cannot be read, or a damaged project.
        OSError: the project cannot be written.
    """

    def __init__(self, options: StudioOptions) -> None:
        self.options = options
        video_files(options.videos)  # without videos there is no project to make
        if options.skeletons is not None and not options.skeletons.is_dir():
            raise DataError(f"{options.skeletons}: no such folder of skeleton files").missing(options.skeletons)
        self.log: EventLog[StudioEvent] = EventLog()
        self.listeners = Places(_LISTENERS, "pages")
        self.hurry = False
        is_new = not options.folder.exists()
        self.project = Project(options.folder, options.videos.resolve().name)
        try:
            self.library: Library = library_of(options.videos, self.project)
            self.import_problem = self._begin()
        except BaseException:
            self.project.close()
            if is_new:  # nobody has worked in it yet
                shutil.rmtree(options.folder, ignore_errors=True)
            raise
        self.skeletons = Skeletons(options.skeletons, options.videos)
        self.media = self.project.folder / "media"
        self.media.mkdir(exist_ok=True)
        self.proxies: Proxies | None = None
        self._watch: Watch | None = None
        self.findings = Findings(self.project.folder)
        self.trainer = Trainer(
            self.project, self.order, self._trained, auto=options.auto_train, settle=options.settle_seconds
        )
        self.serving = EmbeddedService(options, self.project, self.trainer)
        self.project.told = self._changed

    def _begin(self) -> str:
        """Take classes and labels that were given, and hold videos out; return what is wrong with the labels."""
        problem = ""
        with_classes(self.project, self.options.classes)
        name_subjects(self.project, self.options.subjects)
        if self.options.labels is not None:
            try:
                import_labels(self.options.labels, self.library, self.project)
            except TALError as e:
                if not self.project.state.labels:
                    raise
                problem = str(e)
        if not self.project.state.held_out_why:
            self._hold_out()
        self._hold_copies()
        self.project.write_files()  # videos may be called otherwise here
        return problem

    def _hold_out(self) -> None:
        state, usable = self.project.state, self.library.usable()
        labels = {v.id: {x.label for x in state.of_video(v.id) if x.label} | {*state.videos[v.id].told} for v in usable}
        seconds = {v.id: v.duration for v in usable}
        first: dict[str, str] = {}  # of files that are the same one stands for all
        for i in labels:
            first[i] = min(copies_of([i], self.project) & set(labels))
        once = {i: set().union(*(labels[j] for j in labels if first[j] == i)) for i in set(first.values())}
        ids, why = held_out.chosen(once, seconds, self.options.held_out, self.options.seed)
        self.project.note("held_out", videos=sorted(copies_of(ids, self.project)), why=why)

    def _hold_copies(self) -> None:
        """Hold out what has the same content as a video that is: else heads would learn what they are measured on."""
        state = self.project.state
        held = copies_of(state.held_out, self.project)
        if held != set(state.held_out):
            self.project.note("held_out", videos=sorted(held), why=state.held_out_why)

    def take_in(self, files: list[Path]) -> None:
        """Take in videos that came into the folder: they are listed, told, copied where need be, and learned from.

        Args:
            files: whole ones, in the folder of the videos.

        Raises:
            OSError: the project cannot be written.
        """
        few = len(self.library.usable()) < held_out.LEAST_VIDEOS
        videos = added(self.library, files, self.project)
        with self.project.lock:
            if few and not self.project.state.held_out:
                self._hold_out()
            self._hold_copies()
            self.project.write_files()
            learns = bool(self.project.state.labels)
        if self.proxies is not None:
            self.proxies.add([v for v in videos if v.problem is None and not v.playable])
        self.tell("videos", {"added": [v.name for v in videos]})
        self.trainer.came(learns)

    def _known(self) -> dict[Path, int]:
        """Return the files that are videos of the library as they are; with another size they are looked at anew."""
        stay = [v for v in self.library.videos.values() if v.path is not None]
        with self.project.lock:
            labelled = {v.id for v in stay if v.problem is None or self.project.state.of_video(v.id)}
        return {v.path: _size_now(v) if v.id in labelled else v.size for v in stay if v.path is not None}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run from here to the end of the block."""
        need = [v for v in self.library.usable() if not v.playable]
        self.proxies = Proxies(need, self.media, lambda fields: self.tell("proxy", fields))
        self.trainer.begin()
        self._watch = Watch(
            self.options.videos, self.project.folder, self._known, self.take_in, self.options.look_seconds
        )
        try:
            yield
        finally:
            await self.drain(0.0)
            await self.serving.close()
            await asyncio.to_thread(self.close)

    async def drain(self, seconds: float) -> None:
        """Tell pages that nothing more comes, and requests that wait for the trainer that it ends."""
        self.log.close()
        await asyncio.to_thread(self.trainer.close)

    def close(self) -> None:
        """End what runs, and let others have the project; closing twice is harmless."""
        if self._watch is not None:
            self._watch.close()
        if self.proxies is not None:
            self.proxies.close()
        self.trainer.close()
        self.project.close()

    def tell(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Tell all pages something."""
        self.log.add(StudioEvent(kind, fields))

    def _changed(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Tell pages what changed in the project."""
        told = {"revision": self.project.state.revision, "author": fields.get("author", "")}
        if kind in ("edit", "settled"):
            self.tell("labels", {**told, "video": fields["video"]})
        else:
            self.tell("project", {**told, "what": kind})
        if kind in _LEARNED:
            self.trainer.edited()
        if self.project.files_problem:
            self.tell("problem", {"title": "Files of labels are old", "detail": self.project.files_problem})

    def video(self, video: str) -> Video:
        """Return a video.

        Raises:
            ProblemError: there is none of this id.
        """
        found = self.library.videos.get(video)
        if found is None:
            raise ProblemError("not-found", f"there is no video {video[:100]!r}")
        return found

    def times(self, video: Video) -> list[float]:
        """Return the seconds at which frames of a video are shown.

        Raises:
            ProblemError: it is not there.
            VideoError: it cannot be read.
        """
        if video.path is None:
            raise ProblemError("not-found", f"{video.name} is not there")
        times: list[float] = kept_times(video.path, self.media / f"{video.id}.times.npy").tolist()
        return times

    def order(self) -> Order:
        """Make an order of the project as it is."""
        o = self.options
        paths = {v.id: (str(v.path.resolve()), v.duration) for v in self.library.usable() if v.path is not None}
        with self.project.lock:
            return order_of(self.project.state, paths, encoders=o.encoders, steps=o.steps, heads=o.heads, seed=o.seed)

    def _trained(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Tell pages what the trainer does; what it found is read, and its figures are kept."""
        if kind == "training":
            self.tell("training", fields)
            return
        self.findings.read()
        if (figures := fields.get("measures")) is not None:
            kept = {k: v for k, v in figures.items() if k not in ("thresholds", "advice")}
            try:
                kept["date"] = self.project.note("measured", figures=kept)["at"]
            except (OSError, TALError) as e:
                self.tell("problem", {"title": "The figures cannot be stored", "detail": str(e)})
            self.tell("measures", {k: kept.get(k) for k in ("labels", "mAP", "false_alarms", "revision")})
        self.tell("suggestions", {"revision": self.findings.revision})

    def about_training(self) -> dict[str, Any]:
        """Return what is trained."""
        known = self.findings.result
        return {
            "encoder": self.options.encoders or known.get("encoders", ""), "task": known.get("kind", "point"),
            "head": known.get("head", ""), "failed": known.get("failed", {}),
        }  # fmt: skip

    def problems(self) -> list[str]:
        """Return what is odd about videos, labels and files; the project's lock is held."""
        imported = [f"{i['file']}: {p}" for i in self.project.state.imported.values() for p in i["problems"]]
        return [*self.library.problems, *imported, *(p for p in (self.import_problem, self.project.files_problem) if p)]

    def suggested(self, video: str) -> int:
        """Return how many suggestions of a video reach their threshold; the project's lock is held."""
        return self.findings.count(video, self.project.state)

    def hidden(self) -> dict[str, str]:
        """Return paths that pages are not told, each with what is said instead."""
        o, files = self.options, {}
        if o.skeletons is not None:
            files = {str(o.skeletons.resolve()): "SKELETONS"}
        return {str(o.videos.resolve()): "VIDEOS", str(self.project.folder.resolve()): "PROJECT", **files}


def _size_now(video: Video) -> int:
    """Return the size of a video's file, -1 where it is gone: a file that was replaced is told, and not taken in."""
    try:
        return video.path.stat().st_size if video.path is not None else -1
    except OSError:
        return -1


def studio_of(request: Request) -> Studio:
    """Return the studio of a request; what routes depend on."""
    found: Studio = request.app.state.studio
    return found
