"""How much the last seconds of a stream are like what its plan was trained on."""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from ..inference.domain import DomainModel
from ..records import Features

log = logging.getLogger("tal_engine")

#: Windows of fewer snippets say too little, such as those of the first seconds.
LEAST_SNIPPETS = 16
#: Newest snippets that are looked at of a stream that is read snippet by snippet.
LAST_SNIPPETS = 48


class DomainWatch:
    """Looks at the windows of one stream; without a model, at nothing.

    share: of videos like the plan's training videos that are less usual than the last window; None where it is not
    known, as after a snapshot, which carries none of this. A stream that becomes unlike all of them is logged once, and
    again after it was like them in between.
    """

    def __init__(self, model: DomainModel | None, source: str, plan: str) -> None:
        self._model, self._source, self._plan = model, source, plan
        self._unlike = False
        self._away: deque[float] = deque(maxlen=LAST_SNIPPETS)
        self.share: float | None = None

    def look(self, window: Features) -> None:
        """Take the features of a window."""
        if self._model is None or len(window) < LEAST_SNIPPETS:
            return
        self._tell(self._model, self._model.share(window.streams))

    def read(self, snippets: Features) -> None:
        """Take the next snippets of a stream that is read snippet by snippet: its last ones count as a window."""
        if self._model is None:
            return
        self._away.extend(self._model.distances(snippets.streams).tolist())
        if len(self._away) >= LEAST_SNIPPETS:
            self._tell(self._model, self._model.share_of(np.array(self._away)))

    def _tell(self, model: DomainModel, share: float) -> None:
        """Keep a share, and warn where the stream becomes unlike what the plan knows."""
        self.share = share
        before, self._unlike = self._unlike, model.unlike(share)
        if self._unlike and not before:
            log.warning("%s: %s", self._source, model.warning(share, self._plan))
