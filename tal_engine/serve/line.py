"""What waits to be localized, and whose turn it is."""

from __future__ import annotations

from collections import deque

from .task import Task


class Line:
    """Requests and jobs in the order of their coming. Not safe to share: its owner locks.

    Args:
        alone: one worker takes all: then it takes requests and jobs in turns, so that neither keep the others waiting
            for ever. Where there are more, one takes requests only, and the others take jobs first.
    """

    def __init__(self, *, alone: bool) -> None:
        self.requests: deque[Task] = deque()
        self.jobs: deque[Task] = deque()
        self._alone, self._job_next = alone, False

    def __len__(self) -> int:
        return len(self.requests) + len(self.jobs)

    def next(self, requests_only: bool) -> Task | None:
        """Take what comes next; None where nothing waits.

        Args:
            requests_only: of the worker that asks.
        """
        first, second = self.jobs, self.requests
        if requests_only:
            first = second
        elif self._alone and not self._job_next:
            first, second = second, first
        line = first or second
        if not line:
            return None
        task = line.popleft()
        self._job_next = not task.job
        return task
