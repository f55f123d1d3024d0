"""What an edit does to labels that others may have changed meanwhile: what is applied, and what comes into conflict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .labels import Change, Label


@dataclass
class Resolved:
    """put: labels that are there afterwards. removed: ids that are not. conflicts: changes that come too late."""

    put: dict[str, Label] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    conflicts: list[tuple[Change, Label | None]] = field(default_factory=list)

    def fields(self, edit: str, video: str) -> dict[str, Any]:
        """Give them as fields of an entry of the journal."""
        conflicts = [
            {"id": f"{edit}-{k}", "video": video, "op": c.op, "mine": c.label.document,
             "theirs": None if theirs is None else theirs.document}
            for k, (c, theirs) in enumerate(self.conflicts)
        ]  # fmt: skip
        return {
            "put": [x.document for x in self.put.values()], "removed": sorted(self.removed), "conflicts": conflicts,
        }  # fmt: skip


def resolved(labels: Mapping[str, Label], changes: Sequence[Change]) -> Resolved:
    """Decide about the changes of an edit, in order.

    A change is applied if it was made on the label as it is, or says what is there anyway; others come into conflict.

    Args:
        labels: all that are there, by id.
        changes: checked.
    """
    out = Resolved()
    for change in changes:
        label = change.label
        mine = label.id in out.put or label.id in out.removed  # an earlier change of this edit made it what it is
        now = out.put.get(label.id) or (None if label.id in out.removed else labels.get(label.id))
        if change.op == "remove":
            if now is None:
                continue
            if mine or now.revision == change.base:
                out.put.pop(label.id, None)
                if label.id in labels:
                    out.removed.add(label.id)
                continue
        elif (change.op == "add") if now is None else (mine or now.revision == change.base):
            out.removed.discard(label.id)
            out.put[label.id] = label
            continue
        elif now is not None and now.same(label):
            continue
        out.conflicts.append((change, now))
    return out
