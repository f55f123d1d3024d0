"""What heads found, as the studio reads it from the trainer's file: suggestions, what to look at next, figures."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from ..errors import TALError
from .marked import Mark
from .order import RESULT, read_json
from .questions import MOST, Answered, Heard, Question, in_turn, of_video, rare_classes
from .state import State

#: A class without a threshold has this one.
THRESHOLD = 0.5


class Findings:
    """The last result of a trainer. Safe to share between threads.

    Args:
        folder: of the project.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self.result: dict[str, Any] = {}
        #: Questions of each video, beside all that they follow from.
        self._asked: dict[str, tuple[tuple[Any, ...], list[Question]]] = {}
        self.read()

    def read(self) -> None:
        """Read the file anew; without one, or with a damaged one, there is nothing."""
        found: dict[str, Any] = {}
        if (self._folder / RESULT).exists():
            try:
                found = read_json(self._folder / RESULT, "result of a trainer")
            except TALError:
                found = {}
        with self._lock:
            self.result, self._asked = found, {}

    @property
    def revision(self) -> int:
        """Of the labels that were learned from; 0 before there is a result."""
        return int(self.result.get("revision", 0))

    def thresholds(self, state: State) -> dict[str, float]:
        """Return the threshold of each class: what somebody set, else what was fitted."""
        fitted = (self.result.get("measures") or {}).get("thresholds", {})
        names = [*state.class_names, *(c for c in self.result.get("classes", []) if c not in state.class_names)]
        return {c: state.thresholds.get(c, fitted.get(c, {}).get("threshold", THRESHOLD)) for c in names}

    def suggestions(self, video: str) -> dict[str, Any]:
        """Return the suggestions of a video and its curves, "action" is of any action."""
        of = self.result.get("videos", {}).get(video)
        if of is None:
            return {"revision": self.revision, "segments": [], "curves": {"times": []}, "calibrated": False}
        names, curves = self.result["classes"], of["curves"]
        count = len(curves[0]) if curves else 0
        times = [round(of["start"] + i * of["step"], 4) for i in range(count)]
        by_class = dict(zip([*names, "action"], curves, strict=True))
        segments = [{"start": s, "end": e, "label": c, "score": x, "subject": ""} for s, e, c, x in of["segments"]]
        return {
            "revision": self.revision, "segments": segments, "curves": {"times": times, **by_class},
            "calibrated": bool(self.result.get("calibrated")),
        }  # fmt: skip

    def count(self, video: str, state: State) -> int:
        """Return how many suggestions of a video reach their threshold."""
        least = self.thresholds(state)
        segments = self.result.get("videos", {}).get(video, {}).get("segments", [])
        return sum(s[3] >= least.get(s[2], THRESHOLD) for s in segments)

    def queue(self, state: State) -> list[Question]:
        """Rank what to look at next, by the labels as they are now; a state's lock is held.

        Only videos whose labels changed are looked at anew.
        """
        counts = Counter(dict.fromkeys(state.class_names, 0))
        counts.update(x.label for x in state.labels.values() if x.label and x.video not in state.held_out)
        least, rare = self.thresholds(state), rare_classes(counts)
        answered = defaultdict[str, list[Answered]](list)
        for a in state.answered.values():
            answered[a["video"]].append(Answered(a["start"], a["end"], a["label"], a["reason"] == "unfinished"))
        with self._lock:
            found = list[Question]()
            for v in state.videos.values():
                of = self.result.get("videos", {}).get(v.id)
                if of is None or v.done or v.id in state.held_out:
                    continue
                marks = tuple(Mark(x.start, x.end, x.label) for x in state.of_video(v.id))
                known = (marks, tuple(answered[v.id]), tuple(least.items()), tuple(rare.items()))
                if v.id not in self._asked or self._asked[v.id][0] != known:
                    self._asked[v.id] = known, of_video(v.id, _heard(of), marks, known[1], least, rare)
                found += self._asked[v.id][1]
        return in_turn(found, MOST)


def _heard(of: dict[str, Any]) -> Heard:
    action = of["curves"][-1] if of["curves"] else []
    return Heard(of["segments"], of["other"], action, of["start"], of["step"])
