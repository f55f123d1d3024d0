"""Which head is trained, and how: a table by the kind of labels and the size of the set.

`benchmarks/bench_fit.py` measures every row against the heads that it could name instead; docs/fit.md shows both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...annotations.labels import Kind
from ...errors import UsageError
from ..methods import METHODS, Method, load_method, uses_points, uses_segments
from ..training.recipe import recipe
from ..training.training_options import TrainOptions

#: Widest embedding: a head as wide as the 1280 numbers of an image encoder takes four times as long, and differs by no
#: more than seeds do (docs/fit.md).
WIDEST = 256


@dataclass(frozen=True)
class Rule:
    """A row: for labels of `kind` in sets of at least `least` labels in all, train `head` with these settings.

    config, train: fields that differ from the head's defaults and from those of `TrainOptions`. why: what was measured.
    widest: of wider features the embedding is so wide, in heads that can; 0: as wide as the features.
    """

    kind: Kind
    least: int
    head: str
    config: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    widest: int = WIDEST

    @property
    def method(self) -> Method:
        """The head's module."""
        return load_method(self.head)

    def options(self, seed: int, **more: Any) -> TrainOptions:
        """Make the options of the training loop."""
        kept = max(1, int(self.train.get("steps", TrainOptions.steps)) // 2)  # runs are short, and writing is not free
        return TrainOptions(**{"seed": seed, "device": "auto", "save_every": kept, **self.train, **more})


#: Settings of the heads that learn from weak labels: batches of whole short videos, no pairs, a rate for small sets.
_SMALL = {"batch": 8, "pairs": 0, "length": 96, "learning_rate": 1e-3, "weight_decay": 1e-3, "steps": 150}


def _of_recipe(kind: Kind, head: str, name: str, why: str) -> Rule:
    """Make a row of a head's own recipe."""
    settings = recipe(load_method(head), name)
    return Rule(kind, 0, head, settings.config, settings.train, why)


#: The first row of a kind whose `least` the set reaches, from the largest on.
RULES: tuple[Rule, ...] = (
    Rule("video", 0, "cola", {}, _SMALL, "the best of CoLA, BaS-Net, CO2-Net and STPN (docs/fit.md)"),
    Rule("point", 0, "lacp", {}, {**_SMALL, "sampling": "full"}, "points beat labels of videos (docs/fit.md)"),
    _of_recipe("segment", "actionformer", "compact", "it reads the segments themselves (docs/methods/former.md)"),
)  # fmt: skip


#: Groups of videos in which every class has to be known by points, or by segments, for a head that reads them, and for
#: figures by them: two thirds to train on and one to measure on.
LEAST_KNOWN = 3
#: Share of its videos in which every class has to be known by points, or by segments, for a head that reads them: the
#: least that was measured (`benchmarks/bench_mixed.py`), where the stronger kind did better all the same.
LEAST_SHARE = 0.25

#: Of each kind of label and class, the groups of videos that have the class and know it so.
Known = Mapping[Kind, Mapping[str, int]]


def kind_for(known: Known) -> Kind:
    """Choose what kind of label the head reads in a set that may be mixed: the strongest that suffices.

    >>> kind_for({"video": {"run": 8}, "point": {"run": 8}, "segment": {"run": 3}})
    'segment'
    """
    return _strongest(known, LEAST_SHARE)


def truth_for(known: Known) -> Kind:
    """Choose what kind of label detections are judged by: the strongest that every class has in enough videos."""
    return _strongest(known, 0.0)


def _strongest(known: Known, share: float) -> Kind:
    """Find the strongest kind that every class has in `LEAST_KNOWN` groups and in a share of all that have it."""
    having = known["video"]
    kinds: tuple[Kind, ...] = ("segment", "point")
    for kind in kinds:
        if all(n >= min(LEAST_KNOWN, having[c]) and n >= share * having[c] for c, n in known[kind].items()):
            return kind
    return "video"


def rule_for(kind: Kind, count: int, head: str | None = None, steps: int | None = None) -> Rule:
    """Find the row for so many labels; or one head by name, with its own "demo" recipe if no row has it.

    Raises:
        UsageError: no such head, or it reads labels of another kind.
    """
    rows = sorted((r for r in RULES if r.kind == kind), key=lambda r: -r.least)
    chosen = next(r for r in rows if r.least <= count)
    if head is not None and head != chosen.head:
        chosen = next((r for r in rows if r.head == head), None) or _unlisted(kind, head)
    return chosen if steps is None else Rule(**{**vars(chosen), "train": {**chosen.train, "steps": steps}})


def _unlisted(kind: Kind, head: str) -> Rule:
    if head not in METHODS:
        raise UsageError(f"head is {head!r}, must be one of {', '.join(sorted(METHODS))}")
    method = load_method(head)
    if kind == "video" and uses_points(method):
        raise UsageError(f"head {head!r} reads points, and the labels are of whole videos; see --task")
    if kind != "segment" and uses_segments(method):
        raise UsageError(f"head {head!r} reads segments with start and end, and the labels are weaker; see --task")
    settings = recipe(method, "demo")
    train = dict(settings.train)
    if kind == "point" and "points" in train:
        train["points"] = "given"
    return Rule(kind, 0, head, settings.config, train, "chosen by name, with its recipe 'demo'")
