"""Plans whose classes are texts: embed texts by the plan's own tower, and make the plan of some classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.untrusted import listed
from ..backends import open_backend
from ..errors import PlanError, PlanFault, UsageError
from ..options import SegmentOptions
from ..plan.archive import Plan, with_members
from ..plan.fields import Method
from ..plan.manifest import Schema, parse_manifest
from ..plan.text_fields import TextTower
from .classes import TextClass, checked
from .head import MEMBER, head_graph, nms_options, proposal_options
from .spoken import spoken
from .tokenizer import open_tokenizer, rows_of

#: The method of such plans, in results and manifests.
METHOD = "text"
#: The class of a plan that was made without any; such a plan has to be given some.
UNNAMED = "any action"
#: Least score of a segment: the best F1 at tIoU 0.3 on procedural validation videos, not on held-out classes.
MIN_SCORE = 0.3
#: Texts that the tower reads at a time.
_BATCH = 32


class TextEmbedder:
    """The text tower of a plan, opened; on the CPU, whatever the plan runs on.

    Raises:
        PlanError: the plan has no text tower, or it cannot be used.
        MissingExtraError: the library of its tokenizer is not installed.
    """

    def __init__(self, plan: Plan) -> None:
        self.tower = tower_of(plan)
        name, tokenizer = plan.manifest.name, self.tower.tokenizer
        self._tokenizer = open_tokenizer(tokenizer, plan.files[tokenizer.member], name)
        self._graph = open_backend(plan.files[self.tower.member], self.tower.member, "cpu")

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as vectors [N, D] of length 1.

        Raises:
            UsageError: a text has no words.
        """
        rows = rows_of(self._tokenizer, [spoken(t) for t in texts], self.tower.context)
        parts = [self._graph.run({"tokens": rows[i : i + _BATCH]})["vector"] for i in range(0, len(rows), _BATCH)]
        return _unit(np.concatenate(parts))

    def classes(self, classes: Sequence[TextClass]) -> NDArray[np.float32]:
        """Embed classes as vectors [C, D] of length 1: the mean over a class's texts and the plan's prompts."""
        said = [[p.replace("{}", t) for t in c.texts for p in self.tower.head.prompts] for c in classes]
        found = self([text for texts in said for text in texts])
        ends = np.cumsum([len(texts) for texts in said])
        return _unit(np.stack([part.mean(0) for part in np.split(found, ends[:-1])]))

    def background(self) -> NDArray[np.float32]:
        """Embed the plan's background texts as vectors [K, D] of length 1."""
        return self(self.tower.head.background)


def check_classes(plan: Plan) -> None:
    """Refuse a plan that still has to be given its classes.

    Raises:
        UsageError: it was made without any.
    """
    if plan.manifest.texts is not None and list(plan.manifest.vocabulary) == [UNNAMED]:
        raise UsageError(
            f"plan {plan.manifest.name} has no classes yet: give them as texts, by --classes 'a person doing push-ups; "
            "opening a door' or TALEngine.load(classes=...), or write a plan of them by `tal plan classes`"
        )


def tower_of(plan: Plan) -> TextTower:
    """Return the record of a plan's text tower.

    Raises:
        PlanError: it has none.
    """
    if plan.manifest.texts is None:
        m = plan.manifest
        known = listed(list(m.vocabulary))
        if m.method.name == METHOD:
            why = f"was written without its text tower: its classes stay {known}"
            then = "`tal plan classes` writes other ones from the plan that it was made of"
        else:
            why = f"carries no text tower: its classes are those it was trained on, {known}"
            then = "`tal export texts` makes a plan with one"
        raise PlanError(PlanFault.NO_TEXTS, f"plan {m.name} {why}. Leave --classes out; {then}")
    return plan.manifest.texts


def with_classes(plan: Plan, classes: Sequence[TextClass | str], *, keep_tower: bool = True) -> Plan:
    """Make the plan that localizes these classes, by the text tower of a plan and without training.

    The new plan reads the tower's stream alone. What belongs to the former classes is left out: calibration, least
    scores, domain, engines.

    Args:
        plan: with a text tower.
        classes: texts, or `TextClass`.
        keep_tower: False leaves the tower out: the plan is smaller, and its classes stay as they are.

    Raises:
        PlanError: the plan has no text tower.
        UsageError: no class, one without words, or two of one name.
        MissingExtraError: the library of its tokenizer is not installed.

    Example:
        >>> from tal_engine import TALEngine
        >>> made = with_classes(read_plan("zs.plan"), ["a person doing push-ups"])  # doctest: +SKIP
        >>> TALEngine(made).localize("v.mp4")  # doctest: +SKIP
    """
    wanted, embedder = checked(classes), TextEmbedder(plan)
    return plan_of(plan, wanted, embedder.classes(wanted), embedder.background(), keep_tower=keep_tower)


def plan_of(
    plan: Plan,
    classes: Sequence[TextClass],
    embeddings: NDArray[np.float32],
    background: NDArray[np.float32],
    *,
    keep_tower: bool = True,
) -> Plan:
    """Make the plan of classes whose embeddings [C, D] are known; see `with_classes`."""
    m, tower = plan.manifest, tower_of(plan)
    content, graph = head_graph(tower.stream, embeddings, background, tower.head)
    encoders = [e for e in m.encoders if e.stream == tower.stream]
    members = {e.graph.member for e in m.graph_encoders if e.stream == tower.stream}
    members |= set(tower.members) if keep_tower else set()
    files = {MEMBER: content, **{n: plan.files[n] for n in sorted(members)}}
    config = {"classes": {c.name: list(c.texts) for c in classes}, **tower.head.model_dump(mode="json")}
    update: dict[str, Any] = {
        "schema_": Schema(),
        "method": Method(name=METHOD, config=config),
        "vocabulary": [c.name for c in classes],
        "encoders": encoders,
        "streams": {tower.stream: tower.dim},
        "head": graph,
        "evaluator": None,
        "proposal": proposal_options(),
        "nms": nms_options(),
        "segment": SegmentOptions(min_score=MIN_SCORE),
        "calibration": None,
        "thresholds": None,
        "domain": None,
        "texts": tower if keep_tower else None,
        "engines": [],
        "provenance": {**_contract(m.provenance, tower.stream), "classes_of": plan.sha256},
        "parity": {k: v for k, v in m.parity.items() if k in ("texts", *members)},
    }
    made = with_members(m.model_copy(update=update), files)
    parse_manifest(made.document, m.name)
    return made


def _contract(provenance: dict[str, Any], stream: str) -> dict[str, Any]:
    """Keep of a record of features what is said of one stream."""
    contract = provenance.get("contract")
    if not isinstance(contract, dict) or "encoders" not in contract:
        return {}
    encoders = {s: e for s, e in contract["encoders"].items() if s == stream}
    return {"contract": {**contract, "encoders": encoders}}


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return scaled
