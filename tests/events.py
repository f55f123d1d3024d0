"""Makes events for tests of what takes them."""

from __future__ import annotations

from tal_engine.events import Event

PLAN = "sha256:" + "ab" * 32


def event(**changes):
    fields = {
        "kind": "final",
        "id": "cam/1",
        "source": "cam",
        "label": "run",
        "label_id": 0,
        "score": 0.75,
        "start": 1.0,
        "end": 2.5,
        "decided_at": 10.0,
        "pts": 10.0,
        "wall_time": "2026-01-31T12:00:02.500Z",
        "plan": PLAN,
    }
    return Event(**{**fields, **changes})


def final(name, start=1.0, end=2.5, **changes):
    return event(id=name, start=start, end=end, decided_at=end + 8, pts=end + 8, **changes)


def provisional(name, start=1.0, end=None, **changes):
    return event(kind="started", id=name, start=start, end=end, **changes)
