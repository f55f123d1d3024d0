"""One thing to localize: a request whose client waits, or a job."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from ..results import Localization
from .bell import Bell
from .wanted import Wanted


@dataclass(eq=False)
class Task:
    """Something to localize. job: it is stored, and nobody waits for it. until: its deadline, by `time.monotonic`."""

    wanted: Wanted
    path: Path | None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    job: bool = False
    until: float = float("inf")
    headers: dict[str, str] = field(default_factory=dict)
    #: Seconds of the video that are done, and its seconds or 0.
    progress: tuple[float, float] = (0.0, 0.0)
    running: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    #: Rings when any of this changes, and after its outcome is stored.
    bell: Bell = field(default_factory=Bell)
    result: Future[Localization] = field(default_factory=Future)
