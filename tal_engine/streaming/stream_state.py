"""A stream without its models: frames in, snippets out; features in, windows out; proposals in, events out.

The owner of the models, for one stream or for many, runs encoders on the snippets and the head on the windows, in
order. It may wait in order to batch those of several streams: the events do not depend on when models run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, require
from ..events import Event
from ..features import contract_of
from ..inference.domain import DomainModel
from ..inference.online_scoring import Reading, no_memory, nothing
from ..inference.score_rule import ScoreRule
from ..options import StreamOptions
from ..plan.manifest import Manifest
from ..records import Proposals, Snippets
from ..video.snippet import grid_of
from ..video.source import Image
from ..vocabulary import Vocabulary
from .domain_watch import DomainWatch
from .finalizer import Finalizer
from .marks import GAPS_KEPT, Cut, Gap, PendingSnippet, PendingStamp
from .online_finalizer import OnlineFinalizer
from .restore import check_state
from .window import FeatureRing, FeatureVector, OnlineTiming, Recollection, StreamTiming, Window

if TYPE_CHECKING:
    from ..pose.follow import FollowedPoses
    from .people_of_stream import PeopleOfStream, SeenPeople


class StreamState:
    """One stream. Not safe to share between threads; memory does not depend on the stream's length.

    Call, in this order and as often as there is data: `push` or `flush`; then `add` the features of every snippet that
    they returned; then take the `windows` and `finalize` each with its proposals.

    The state is up to date when a call returns. An image that cannot be decoded raises its error from `push` or `flush`
    before anything has changed, so the call may be repeated; refused features likewise. Snippets and windows that were
    taken and then dropped, because a model failed on them, cannot be taken again: end such a stream with `cut`, or
    begin another one.
    """

    def __init__(
        self,
        manifest: Manifest,
        plan: str,
        source: str,
        options: StreamOptions | None = None,
        model: DomainModel | None = None,
        people: int = 0,
    ) -> None:
        """Begin.

        Args:
            manifest: of the plan.
            plan: its hash, for events.
            source: name of the stream, for events.
            options: None takes the plan's.
            model: what the plan's training features looked like; None: the stream's `domain` is not known.
            people: follow up to so many people and decide for each by itself; 0: the main person.

        Raises:
            UsageError: `people`, and the plan reads no poses, or its head is online; windows for an online head.
        """
        self._watch = DomainWatch(model, source, manifest.name)
        self.manifest, self.plan, self.source = manifest, plan, source
        self.options = manifest.stream if options is None else options
        self._rule = ScoreRule.of(manifest)
        named = Vocabulary(manifest.vocabulary), source, f"sha256:{plan.removeprefix('sha256:')}"
        #: What was decided, how late, and what is open.
        self.finalizer: Finalizer | OnlineFinalizer
        self._recollection: Recollection | None = None
        if (online := manifest.online) is None:
            self.timing: StreamTiming = StreamTiming.of(self.options, manifest.snippet)
            self.finalizer = Finalizer(self.timing, self.options, self._rule, *named)
        else:
            check_online(manifest, self.options, people)
            self.timing = timing = OnlineTiming.of_online(online, manifest.snippet)
            self.finalizer = OnlineFinalizer(timing, self.options, online, self._rule, *named)
            self._recollection = Recollection(no_memory(manifest), no_memory(manifest))
        self._ring = FeatureRing(self.timing, manifest.streams, contract_of(manifest.snippet, manifest.encoders))
        self._grid = grid_of(self.manifest.snippet)
        self._people = self._apart(people) if people else None
        self._recorder: SeenPeople | None = None
        self._followed: FollowedPoses | None = None
        self._followed = self._unfollowed()
        self._live = False  # a frame came since the last cut
        self._origin = 0.0  # its seconds
        self._pts, self._interval = 0.0, 0.0  # of the newest frame, and seconds between the last two
        self._wall: float | None = None
        self._given = self._added = 0  # snippets so far
        self._from = 0  # snippets given before this grid
        self._of_rows = False
        self._stamps: deque[PendingStamp] = deque()
        self._cuts: deque[Cut] = deque()
        self._windows: deque[Window] = deque()
        #: Number of skipped frames, whose time was not finite or not after the last one's.
        self.refused = 0
        self.gaps: deque[Gap] = deque(maxlen=GAPS_KEPT)
        self.unanalysed_s = 0.0

    @property
    def declared_latency_s(self) -> float:
        """Longest time from the end of an action to its final event, in seconds of the stream's clock.

        Look-ahead (or gap, if longer), step, a snippet, and one frame, since a snippet is complete once the next frame
        arrives. If frames are more than a slot apart, the time between the last two is added.
        """
        return self.timing.max_latency_s

    @property
    def declared_start_latency_s(self) -> float | None:
        """Longest time from the onset that is told to its started event, in seconds of the stream's clock.

        None where nothing is promised: a head that sees windows tells of actions as it finds them.
        """
        return self.timing.max_start_latency_s if isinstance(self.timing, OnlineTiming) else None

    @property
    def domain(self) -> float | None:
        """Share of videos like the training videos that are less usual than the last window; None: not known."""
        return self._watch.share

    @property
    def open_actions(self) -> int:
        """How many actions are known and not final, of everybody."""
        return self.finalizer.open_actions if self._people is None else self._people.open_actions

    def set_session_id(self, session: str) -> None:
        """Make ids differ from those of other streams of its name: for sources whose frames never come again."""
        self.finalizer.set_session(session)
        if self._people is not None:
            self._people.session = session

    @property
    def newest(self) -> float | None:
        """Seconds of the newest frame; None at the start and after a cut."""
        return self._pts if self._live else None

    def resumed(self, wall: float) -> float:
        """Return the stream's seconds at a wall-clock time after a restart: it follows the clock, never back."""
        soonest = self._pts + 1.0 / self.manifest.snippet.fps
        return soonest if self._wall is None else max(wall - self._wall, soonest)

    def push(self, image: Callable[[], Image], pts: float, wall: float | None = None) -> list[PendingSnippet]:
        """Take a frame that is on screen from `pts` seconds on; return the snippets that it completes.

        A frame whose time is not finite or not after the last one's is skipped and counted. After `max_still` seconds
        without a frame the stream is cut: open actions are decided and the clock restarts at this frame.

        Args:
            image: returns the image, [H, W, 3] uint8 RGB; called when a slot shows it.
            pts: seconds, as the source counts.
            wall: wall clock of the frame, seconds since 1970.

        Raises:
            UsageError: see `check_frames`.
        """
        self.check_frames()
        if not math.isfinite(pts) or (self._live and pts <= self._pts):
            self.refused += 1
            return []
        ready: list[PendingSnippet] = []
        if self._live and pts - self._pts > self.options.max_still:
            end = self._end()
            ready += self._finish(end)
            self.gaps.append(Gap(end, pts))
            self.unanalysed_s += pts - end
        origin = self._origin if self._live else pts
        # The frame's own time counts only once its predecessor's image is decoded, which is what can fail.
        complete = self._grid.push(pts - origin, image)
        self._interval = pts - self._pts if self._live else 0.0
        self._live, self._origin, self._pts = True, origin, pts
        self._wall = None if wall is None else wall - pts
        return ready + [self._ready(window) for window in complete]

    def flush(self, end: float | None = None) -> list[PendingSnippet]:
        """End the stream and return its last snippets. The next frame begins another stream.

        Args:
            end: seconds where the last frame leaves the screen; None: it stays as long as the one before it.

        Raises:
            UsageError: see `check_end`.
        """
        self.check_end(end)
        return self._finish(self._end() if end is None else end) if self._live else []

    def check_frames(self) -> None:
        """Refuse frames where features were pushed, and where flow is read of files.

        Raises:
            UsageError: this is a stream of features, or the plan's flow is that of a file's codec.
        """
        if self._of_rows:
            raise UsageError(f"{self.source}: a frame was pushed into a stream of features")
        if self.manifest.snippet.flow == "vectors" and any(e.reads == "flow" for e in self.manifest.encoders):
            raise UsageError(
                f"{self.source}: plan {self.manifest.name} reads flow 'vectors' of video files, a stream has none: "
                "build it with --flow dis"
            )

    def check_end(self, end: float | None) -> None:
        """Refuse an end that `flush` cannot use.

        Raises:
            UsageError: `end` is not after the newest frame's time, or within the newest row's own or later.
        """
        if self._live and end is not None:
            newest = self._pts - min(self.timing.timeline.step, self.timing.timeline.width) * self._of_rows
            require(newest < end < math.inf, "end", end, f"seconds after the newest frame ({newest})")

    def release(self) -> None:
        """Drop images, features and windows; the stream cannot continue, its counts stay readable."""
        self._grid = grid_of(self.manifest.snippet)
        self._followed = self._unfollowed()
        self._ring.begin(0.0)
        if self._people is not None:
            self._people = self._apart(self._people.most)
            self._followed = self._unfollowed()
        for waiting in (self._stamps, self._cuts, self._windows):
            waiting.clear()

    def _end(self) -> float:
        if self._of_rows:
            return self._pts
        return self._pts + min(self._interval or 1.0 / self.manifest.snippet.fps, self.timing.timeline.width)

    def _finish(self, end: float) -> list[PendingSnippet]:
        ready = [self._ready(window) for window in self._grid.finish(end - self._origin)]
        self._close(end)
        return ready

    def cut(self) -> None:
        """End the stream without its last, incomplete snippet, whose images cannot be decoded."""
        if self._live:
            self._close(self._end())

    def _close(self, end: float) -> None:
        if self._given > self._from:
            self._cuts.append(Cut(self._given, end, self._pts, self._wall))
        self._grid, self._live, self._from, self._of_rows = grid_of(self.manifest.snippet), False, self._given, False
        self._followed = self._unfollowed()
        self._at_cut()

    def _ready(self, window: list[Image]) -> PendingSnippet:
        time, stamp = self.timing.timeline, PendingStamp(self._given - self._from, self._origin, self._pts, self._wall)
        end = float(time.right(stamp.first + 1))
        followed = () if self._followed is None else ((self._followed, stamp.first),)
        snippets = Snippets(np.stack(window)[None], None, stamp.first, time, end, followed=followed)
        ready = PendingSnippet(snippets, stamp.pts, stamp.wall)
        self._stamps.append(stamp)
        if self._people is not None and self._recorder is not None:
            self._people.expect(self._recorder)
        self._given += 1
        return ready

    def _unfollowed(self) -> FollowedPoses | None:
        """Begin to follow the stream's person anew, if an encoder reads poses; a snapshot does not keep it."""
        if self.manifest.pose_encoder is None:
            return None
        from ..pose.follow import FollowedPoses  # plans without poses load nothing of them

        before = None if self._followed is None else self._followed.counts
        self._recorder = None if self._people is None else self._people.recorder()
        return FollowedPoses(self.manifest.snippet, before, self._recorder)

    def _apart(self, most: int) -> PeopleOfStream:
        manifest = self.manifest
        if manifest.pose_encoder is None:
            raise UsageError(f"people={most}: plan {manifest.name} reads no poses, it tells no one apart")
        from ..pose.tracking import MOST_PEOPLE
        from .people_of_stream import PeopleOfStream

        require(1 <= most <= MOST_PEOPLE, "people", most, f"in 1..{MOST_PEOPLE}")

        def make(name: str) -> StreamState:
            return StreamState(manifest, self.plan, name, self.options)

        return PeopleOfStream(manifest.snippet, most, make, self.source)

    @property
    def notes(self) -> list[str]:
        """What poses of this stream are not to be trusted for, by what was seen so far; else none."""
        encoder = self.manifest.pose_encoder
        if self._followed is None or encoder is None or not self._followed.counts.pictures:
            return []
        from ..pose.follow import notes_of

        return notes_of(self._followed.counts, encoder.name)

    def push_row(self, row: FeatureVector, wall: float | None = None) -> None:
        """Take the features of the next snippet of a stream that has no frames; its clock begins at 0.

        Args:
            row: stream name -> [D].
            wall: wall clock where the snippet ends, seconds since 1970.

        Raises:
            UsageError: frames were pushed: their features are added with `add`.
            FeatureError: see `FeatureRing.check`; nothing was taken.
        """
        if self._live and not self._of_rows:
            raise UsageError(f"{self.source}: features were pushed into a stream of frames")
        if self._people is not None:
            raise UsageError(f"{self.source}: features were pushed into a stream that tells people apart")
        self._ring.check(row)
        self._live, self._origin, self._of_rows = True, 0.0, True
        number = self._given - self._from
        self._pts = float(self.timing.timeline.right(number + 1))
        self._wall = None if wall is None else wall - self._pts
        self._stamps.append(PendingStamp(number, 0.0, self._pts, self._wall))
        self._given += 1
        self.add(row)

    def add(self, row: FeatureVector) -> None:
        """Take the features of the oldest snippet that has none yet.

        Raises:
            UsageError: every snippet has its features.
            FeatureError: see `FeatureRing.check`; nothing was taken.
        """
        if not self._stamps:
            raise UsageError(f"{self.source}: features were added and no snippet waits for them")
        self._ring.check(row)
        stamp = self._stamps.popleft()
        if stamp.first == 0:
            self._ring.begin(stamp.origin)
        self._added += 1
        if self._people is not None:
            self._people.add(stamp, self.timing.timeline)
        elif self._ring.add(row):
            self._due(self._ring.window(stamp.pts, stamp.wall))
        self._at_cut()

    def _at_cut(self) -> None:
        while self._cuts and self._cuts[0].after == self._added:
            cut = self._cuts.popleft()
            if self._people is not None:
                self._people.cut(cut.end)
                continue
            self._due(self._ring.window(cut.pts, cut.wall, cut.end))

    def _due(self, window: Window) -> None:
        """Note that the head has to run; an online one reads the newest snippet, and at the end what it looks ahead."""
        if self._recollection is not None:
            ahead = self.timing.look_ahead_snippets
            rows = nothing(self.manifest, ahead) if window.last else window.features.streams
            window = replace(window, recollection=self._recollection, rows=rows)
        self._windows.append(window)

    def windows(self) -> list[Window]:
        """Take the windows on which the head has to run; each is returned once and must be finalized in this order."""
        if self._people is not None:
            return self._people.windows()
        due = list(self._windows)
        self._windows.clear()
        return due

    def finalize(self, window: Window, found: Proposals | Reading) -> list[Event]:
        """Decide, in order, the events of the oldest pending window.

        Args:
            window: of `windows`.
            found: proposals, suppressed and best first, or what an online head gave. Their scores are raw; events have
                calibrated ones where the plan calibrates.
        """
        if isinstance(self.finalizer, OnlineFinalizer):
            assert isinstance(found, Reading)  # noqa: S101 - `head_run` gives what the plan's head does
            if not window.last:  # what comes after the end is no snippet of the stream
                self._watch.read(window.features)
            return self.finalizer.finalize(window, found)
        assert isinstance(found, Proposals)  # noqa: S101 - likewise
        return self._finalize_window(window, found, self.finalizer)

    def _finalize_window(self, window: Window, proposals: Proposals, finalizer: Finalizer) -> list[Event]:
        self._watch.look(window.features)
        if self._people is not None:
            events = self._people.finalize(window, proposals)
            finalizer.late_events = self._people.late_events
            finalizer.worst_latency_s = self._people.worst_latency_s
            return events
        return finalizer.finalize(window, self._rule.shown(proposals))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return numbers, ready for JSON, and arrays that `restore` needs to resume.

        Raises:
            UsageError: snippets wait for features, or windows for the head; or people are told apart.
        """
        if self._people is not None:
            raise UsageError(f"{self.source}: a stream that tells people apart is not saved")
        waiting = self._given - self._added + len(self._windows)
        if waiting:
            raise UsageError(f"{self.source}: cannot be saved now, {waiting} snippets or windows are pending")
        grid, pictures = self._grid.state()
        ring, rows = self._ring.state()
        numbers = {name: getattr(self, f"_{name}") for name in _NUMBERS} | {name: getattr(self, name) for name in _OPEN}
        numbers |= {
            "gaps": [list(g) for g in self.gaps],
            "grid": grid,
            "ring": ring,
            "settler" if self._recollection is None else "online": self.finalizer.state(),
        }
        kept = {} if self._recollection is None else {"memory": self._recollection.memory}
        return numbers, {**pictures, **kept, **{f"rows.{name}": values for name, values in rows.items()}}

    def restore(self, numbers: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Resume from a `state` of a stream of the same plan and options.

        Raises:
            SnapshotError: the state is malformed or of another stream; nothing was changed.
        """
        check_state(numbers, arrays, self.manifest, self.timing)
        for name in _NUMBERS:
            setattr(self, f"_{name}", numbers[name])
        for name in _OPEN:
            setattr(self, name, numbers[name])
        self._added = self._given
        self.gaps = deque((Gap(*g) for g in numbers["gaps"]), maxlen=GAPS_KEPT)
        self._grid.restore(numbers["grid"], arrays)
        rows = {name.removeprefix("rows."): a for name, a in arrays.items() if name.startswith("rows.")}
        self._ring.restore(numbers["ring"], rows)
        if self._recollection is None:
            self.finalizer.restore(numbers["settler"])
        else:
            self.finalizer.restore(numbers["online"])
            self._recollection.memory = arrays["memory"]


def check_online(manifest: Manifest, options: StreamOptions, people: int) -> None:
    """Refuse what an online head cannot do.

    Raises:
        UsageError: people are told apart, or another window, step or look-ahead is asked for than it was trained with.
    """
    name = f"plan {manifest.name} reads a stream snippet by snippet"
    if people:
        raise UsageError(f"people={people}: {name}, it tells no one apart")
    for field in ("window", "step", "look_ahead"):
        asked, has = getattr(options, field), getattr(manifest.stream, field)
        require(asked == has, field, asked, f"{has}, as {name} and was trained so")


#: Numbers of a `StreamState` that are saved, by their attributes' names.
_NUMBERS = ("live", "origin", "pts", "interval", "wall", "given", "from", "of_rows")
_OPEN = ("refused", "unanalysed_s")
