"""What heads found, as the studio reads it from the trainer's file: suggestions, what to look at next, figures."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from ..errors import TALError
from .order import RESULT, read_json
from .questions import Answered, Heard, Mark, Question, questions
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
            self.result = found

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
        """Rank what to look at next, by the labels as they are now; a state's lock is held."""
        open_ = [v for v in state.videos.values() if v.id not in state.held_out and not v.done]
        heard = {v.id: _heard(of) for v in open_ if (of := self.result.get("videos", {}).get(v.id)) is not None}
        marks, counts = defaultdict[str, list[Mark]](list), Counter(dict.fromkeys(state.class_names, 0))
        for x in state.labels.values():
            marks[x.video].append(Mark(x.start, x.end, x.label))
            if x.label and x.video not in state.held_out:
                counts[x.label] += 1
        answered = defaultdict[str, list[Answered]](list)
        for a in state.answered.values():
            answered[a["video"]].append(Answered(a["start"], a["end"], a["label"]))
        return questions(heard, marks, answered, self.thresholds(state), counts)


def _heard(of: dict[str, Any]) -> Heard:
    action = of["curves"][-1] if of["curves"] else []
    return Heard(of["segments"], of["other"], action, of["start"], of["step"])
