"""Run the head on what is due of one stream or of many: on windows, or on snippets with what it remembers of each."""

from __future__ import annotations

from collections.abc import Sequence

from ..inference import suppress
from ..inference.online_scoring import Reading, Step
from ..options import NmsOptions
from ..records import Proposals
from .models import Models
from .window import Window

#: What a head finds in a window: proposals before suppression, or what an online head reads.
Found = Proposals | Reading


def run_head(engine: Models, windows: Sequence[Window]) -> list[Found]:
    """Run the head on windows, a stream's in their order; all of those that can share a call do.

    Nothing is remembered of windows on which it fails, so they may be tried again.

    Args:
        engine: of one plan, to which all windows belong.
        windows: of any number of streams.
    """
    if engine.plan.manifest.online is None:
        features = [w.features for w in windows]
        return [engine.propose(features[0])] if len(features) == 1 else list(engine.propose_many(features))
    found: dict[int, Reading] = {}
    memories = {id(w.recollection): w.recollection for w in windows if w.recollection is not None}
    held = {key: one.memory for key, one in memories.items()}
    rest = list(range(len(windows)))
    while rest:
        turn: dict[int, int] = {}  # the first that is left of each stream
        for i in rest:
            turn.setdefault(id(windows[i].recollection), i)
        steps = [Step(windows[i].rows, held[key]) for key, i in turn.items()]
        for (key, i), reading in zip(turn.items(), _advanced(engine, steps), strict=True):
            found[i] = reading
            held[key] = memories[key].nothing if windows[i].last else reading.memory
        rest = [i for i in rest if i not in found]
    for key, one in memories.items():
        one.memory = held[key]
    return [found[i] for i in range(len(windows))]


def _advanced(engine: Models, steps: Sequence[Step]) -> list[Reading]:
    """Read on; what has no new snippet, at the end of a stream without look-ahead, is not run."""
    some = [s for s in steps if len(next(iter(s.rows.values())))]
    read = iter(engine.advance(some) if some else ())
    return [next(read) if len(next(iter(s.rows.values()))) else Reading({"cas": s.memory[:0]}, s.memory) for s in steps]


def suppressed(found: Found, nms: NmsOptions) -> Found:
    """Suppress proposals; what an online head gave stays as it is."""
    return found if isinstance(found, Reading) else suppress(found, nms)
