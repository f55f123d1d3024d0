"""How much the last seconds of a stream are like what its plan was trained on."""

from __future__ import annotations

import logging

from ..inference.domain import DomainModel
from ..records import Features

log = logging.getLogger("tal_engine")

#: Windows of fewer snippets say too little, such as those of the first seconds.
LEAST_SNIPPETS = 16


class DomainWatch:
    """Looks at the windows of one stream; without a model, at nothing.

    share: of videos like the plan's training videos that are less usual than the last window; None where it is not
    known. A stream that becomes unlike all of them is logged once, and again after it was like them in between.
    """

    def __init__(self, model: DomainModel | None, source: str, plan: str) -> None:
        self._model, self._source, self._plan = model, source, plan
        self._unlike = False
        self.share: float | None = None

    def look(self, window: Features) -> None:
        """Take the features of a window."""
        if self._model is None or len(window) < LEAST_SNIPPETS:
            return
        self.share = self._model.share(window.streams)
        before, self._unlike = self._unlike, self._model.unlike(self.share)
        if self._unlike and not before:
            log.warning("%s: %s", self._source, self._model.warning(self.share, self._plan))
