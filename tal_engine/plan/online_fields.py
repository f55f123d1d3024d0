"""Options of plans whose head reads a stream snippet by snippet: what it waits for, and when an action is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..errors import UsageError

#: The lowest threshold of starts that is asked for: half of one below would be held by what is no action at all.
LEAST_START = 0.3
#: Far beyond what makes sense, in snippets.
_MOST = 10_000
#: The same of weights.
_HEAVIEST = 1000.0


def _require(ok: bool, what: str, value: object, allowed: str) -> None:
    if not ok:
        raise UsageError(f"{what} is {value!r}, must be {allowed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartEvidence:
    """How sure one is that a class has begun: a logistic function of log-odds that the head gave lately.

    now: weight of the class at the newest snippet; before: one snippet before; seen: the delayed activation that came
    with the newest snippet; rival: the likeliest other class at the newest snippet. See `inference.start_evidence`.

    >>> from tal_engine.plan.online_fields import StartEvidence
    >>> StartEvidence(now=1.0, rival=-0.5).offset
    0.0
    """

    now: float = 1.0
    before: float = 0.0
    seen: float = 0.0
    rival: float = 0.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("now", "before", "seen", "rival", "offset"):
            _require(abs(getattr(self, name)) <= _HEAVIEST, name, getattr(self, name), f"in -{_HEAVIEST}..{_HEAVIEST}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineOptions:
    """How activations that come snippet by snippet become events; see `inference.online_machine` for the rules.

    All times are whole snippets, so that no clock moves a decision.

    >>> from tal_engine.plan.online_fields import OnlineOptions
    >>> OnlineOptions(look_ahead=2, start=(0.5, 0.7)).patience
    2
    """

    #: Snippets that the head sees beyond the one that its delayed outputs are of: it was trained so.
    look_ahead: int
    #: The activation, by label id, from which an action is told to have started.
    start: tuple[float, ...]
    #: While it is above this share of that, the start goes on; below it for long enough, another one may be told.
    hold: float = 0.5
    #: A delayed activation of at least `floor` opens an action; it lasts while it is at least `share` of its peak, and
    #: another opens once the activation has fallen to less than `share` of what it rises to.
    floor: float = 0.05
    share: float = 0.1
    #: Other shares at which the same action is told once more, as another final: guesses that mAP over all overlaps
    #: rewards. Each has `discount` times the score that the one before would have.
    guesses: tuple[float, ...] = ()
    discount: float = 0.5
    #: Snippets below that an action outlasts.
    confirm: int = 1
    #: Snippets of the past in which the moment is sought at which an activation rose.
    rise: int = 8
    #: Snippets by which a started event may be later than the onset that it tells.
    backdate: int = 3
    #: Snippets that a start waits for its action to open before it is withdrawn.
    patience: int = 2
    #: The head's hazard is of actions that end within so many seconds.
    horizon_s: float = 2.0
    #: What thresholds of starts are compared with. None: `now`, and the delayed activation by itself.
    evidence: StartEvidence | None = None

    def starting_at(self, score: float) -> OnlineOptions:
        """Return the same rules with one threshold of starts for all classes, from `LEAST_START` to 1."""
        return replace(self, start=(min(max(score, LEAST_START), 1.0),) * len(self.start))

    def __post_init__(self) -> None:
        for name in ("look_ahead", "confirm", "patience"):
            _require(0 <= getattr(self, name) <= _MOST, name, getattr(self, name), f"in 0..{_MOST}")
        _require(2 <= self.rise <= _MOST, "rise", self.rise, f"in 2..{_MOST}")
        _require(1 <= self.backdate <= _MOST, "backdate", self.backdate, f"in 1..{_MOST}")
        _require(len(self.start) >= 1 and all(0 < v <= 1 for v in self.start), "start", self.start, "numbers in (0, 1]")
        _require(len(self.guesses) <= 8, "guesses", self.guesses, "8 shares or fewer")
        _require(all(0 < v <= 1 for v in self.guesses), "guesses", self.guesses, "shares in (0, 1]")
        for name in ("hold", "floor", "share", "discount"):
            _require(0 < getattr(self, name) <= 1, name, getattr(self, name), "in (0, 1]")
        _require(0 < self.horizon_s < math.inf, "horizon_s", self.horizon_s, "positive and finite")
