"""How sure one is, snippet by snippet, that a class has begun: what thresholds of starts are compared with.

An activation by itself is surest when most of an action was seen, and as sure of two classes that look alike. The
evidence is a logistic function of four log-odds of a class: of `now` at the newest snippet, of `now` one snippet
before, of the delayed activation that came with the newest snippet, and of `now` of the likeliest other class. Where
there is nothing before, or nothing delayed yet, `now` stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..plan.online_fields import StartEvidence

#: Activations below say the same, so that what was silent a snippet ago does not keep a sudden start waiting; those
#: above do as well, as rounding leaves nothing between them and 1.
LEAST, MOST = 0.05, 0.999


def log_odds(likely: float) -> float:
    """Return the log-odds of an activation, which counts as at least `LEAST` and at most `MOST`.

    >>> from tal_engine.inference.start_evidence import log_odds
    >>> log_odds(0.5), log_odds(0.0) == log_odds(0.05)
    (0.0, True)
    """
    p = min(max(likely, LEAST), MOST)
    return math.log(p / (1 - p))


def rivals(likely: Sequence[float]) -> list[float]:
    """Return the largest of the others, for each class; 0 where there is no other.

    >>> from tal_engine.inference.start_evidence import rivals
    >>> rivals([0.9, 0.2, 0.7])
    [0.7, 0.9, 0.9]
    """
    if len(likely) == 1:
        return [0.0]
    best = max(range(len(likely)), key=likely.__getitem__)
    second = max(v for c, v in enumerate(likely) if c != best)
    return [second if c == best else likely[best] for c in range(len(likely))]


class Evidence:
    """The evidence of one stream; remembers `now` of one snippet.

    Args:
        weights: of the log-odds.
    """

    def __init__(self, weights: StartEvidence) -> None:
        self._w = weights
        #: `now` of the snippet before, [C]; None where the stream begins.
        self.before: list[float] | None = None

    def step(self, now: Sequence[float], seen: Sequence[float]) -> list[float]:
        """Take the activations [C] of the next snippet, and the delayed ones that came with it; return evidence [C]."""
        before, w = now if self.before is None else self.before, self._w
        sure = [
            w.offset + w.now * log_odds(n) + w.before * log_odds(b) + w.seen * log_odds(s) + w.rival * log_odds(r)
            for n, b, s, r in zip(now, before, seen, rivals(now), strict=True)
        ]
        self.before = list(now)
        return [1 / (1 + math.exp(-min(max(z, -700.0), 700.0))) for z in sure]
