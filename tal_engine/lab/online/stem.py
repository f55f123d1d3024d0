"""What an online head reads of a snippet: what the teacher says of the last few.

A teacher knows classes from more videos than a student is shown. Its head, unchanged and looking at no more than the
last `window` snippets, is the student's first layer; what is learnt is what to make of its words over time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...backends import Backend, open_backend
from ...errors import UsageError, require
from ...options import ProposalOptions
from ...plan.archive import Plan
from ...records import Features

#: Windows in one call of a teacher's head.
_BATCH = 256


class TeacherStem:
    """What a teacher's head says of the newest snippet and of the one `ahead` before it, from the last `window` alone.

    Of each: how likely every class goes on, times its attention, and the attention: [2, C + 1].

    Args:
        plan: its head gives activations of classes.
        window: the teacher's snippets; before a stream begins there are zeros.
        ahead: snippets that are read.
        overlap: a snippet that is read begins so many times while one of the teacher's lasts; the teacher sees every
            so many-th.

    Raises:
        UsageError: the window does not hold the snippet that is `ahead` before the newest, snippets would begin between
            frames, or the head finds boundaries or moments, and gives no activations of classes.
    """

    def __init__(self, plan: Plan, window: int, ahead: int, overlap: int = 1) -> None:
        manifest = plan.manifest
        require(
            overlap >= 1 and manifest.snippet.stride % overlap == 0,
            "overlap",
            overlap,
            f"a divisor of the {manifest.snippet.stride} frames between two snippets of plan {manifest.name}",
        )
        require(ahead % overlap == 0, "ahead", ahead, f"a multiple of the overlap, {overlap}")
        least = ahead // overlap + 1
        require(least <= window <= 1000, "window", window, f"in {least}..1000 snippets, as {ahead} are looked ahead")
        self.plan, self.window, self.ahead, self.overlap = plan, window, ahead, overlap
        #: Geometry of the snippets that are read, and how many of the past a window reaches back to.
        self.snippet = replace(manifest.snippet, stride=manifest.snippet.stride // overlap)
        self.before = (window - 1) * overlap
        if not isinstance(manifest.proposal, ProposalOptions):
            raise UsageError(
                f"plan {manifest.name} ({manifest.method.name}) gives no activations of classes: an online student is "
                "taught by a head that does"
            )
        self.streams = dict(manifest.streams)
        self.classes = len(manifest.vocabulary)
        self.sigmoid = manifest.proposal.class_score == "sigmoid"
        self._head: Backend = open_backend(
            plan.files[manifest.head.member], manifest.head.member, "cpu", threads=1, spec=manifest.head
        )

    @property
    def positions(self) -> tuple[int, int]:
        """Places in the window that are read: the newest, and `ahead` before it."""
        return self.window - 1, self.window - 1 - self.ahead // self.overlap

    def __call__(self, features: Features, ahead: int) -> NDArray[np.float32]:
        """Read a video of T snippets, and `ahead` of zeros behind it: [T + ahead, 2, C + 1]."""
        count = len(features) + ahead
        padded = {n: np.pad(features.streams[n], ((self.before, ahead), (0, 0))) for n in self.streams}
        out = []
        for first in range(0, count, _BATCH):
            last = min(first + _BATCH, count)
            at = np.arange(first, last)[:, None] + np.arange(self.window) * self.overlap
            out.append(self._said(self._head.run({n: x[at] for n, x in padded.items()})))
        return np.concatenate(out)

    def _said(self, out: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        places = list(self.positions)
        cas = out["cas"][:, places].astype(np.float64)
        if self.sigmoid:
            likely = 1 / (1 + np.exp(-cas))
        else:
            likely = np.exp(cas - cas.max(axis=2, keepdims=True))
            likely /= likely.sum(axis=2, keepdims=True)
        attention = out["attention"][:, places, None] if "attention" in out else np.ones((*cas.shape[:2], 1))
        return np.concatenate([likely[..., : self.classes] * attention, attention], axis=2).astype(np.float32)
