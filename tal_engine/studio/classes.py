"""The classes of a project: names, the keys that mark them, and what renaming and removing does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import UsageError
from .project import Project
from .state import COLORS, ClassItem

#: Keys in the order in which new classes get them.
KEYS = "1234567890qwertzuiopasdfghyxcvbnm"
_MOST, _LONGEST = 200, 200


def with_classes(project: Project, names: Sequence[str]) -> None:
    """Add classes that a project does not have."""
    have = project.state.classes
    new = [n for n in dict.fromkeys(names) if n not in project.state.class_names]
    if new:
        set_classes(project, [*({"name": c.name, "key": c.key} for c in have), *({"name": n} for n in new)])


def set_classes(project: Project, wanted: Sequence[Mapping[str, str]]) -> None:
    """Set the classes of a project.

    Args:
        project: changed.
        wanted: name, key ("" or none: a free one) and former (the class that has this name from now on) of each.

    Raises:
        UsageError: names or keys that are not different, or a class with labels would go.
        OSError: the project cannot be written.
    """
    with project.lock:
        before = {c.name: c for c in project.state.classes}
        names = [str(w.get("name", "")).strip() for w in wanted]
        if len(names) > _MOST:
            raise UsageError(f"classes are {len(names)}, must be at most {_MOST}")
        if odd := [n for n in names if not n or len(n) > _LONGEST or not n.isprintable()]:
            raise UsageError(f"class is {odd[0][:100]!r}, must be a name of 1 to {_LONGEST} printable characters")
        if twice := [n for k, n in enumerate(names) if n in names[:k]]:
            raise UsageError(f"class {twice[0]!r} is there twice, must be different names")
        renamed = {w["former"]: n for w, n in zip(wanted, names, strict=True) if w.get("former") not in (None, "", n)}
        if unknown := sorted(set(renamed) - set(before)):
            raise UsageError(f"former is {unknown[0]!r}, must be one of {', '.join(before) or 'none'}")
        _check_used(project, {renamed.get(n, n) for n in before} - set(names), renamed)
        keys = _keys(wanted, names, before)
        back = {new: old for old, new in renamed.items()}
        colors = {n: before[back.get(n, n)].color for n in names if back.get(n, n) in before}
        free = [c for c in COLORS if c not in colors.values()] or list(COLORS)
        for k, name in enumerate(n for n in names if n not in colors):
            colors[name] = free[k % len(free)]
        items = [ClassItem(n, keys[n], colors[n]).document for n in names]
        project.set("classes", classes=items, renamed=renamed)


def _check_used(project: Project, gone: set[str], renamed: Mapping[str, str]) -> None:
    used = {renamed.get(x.label, x.label) for x in project.state.labels.values()} & gone
    if used:
        raise UsageError(f"class {sorted(used)[0]!r} has labels: remove them or rename it")


def _keys(wanted: Sequence[Mapping[str, str]], names: list[str], before: Mapping[str, ClassItem]) -> dict[str, str]:
    given: dict[str, str] = {}
    for w, name in zip(wanted, names, strict=True):
        former = before.get(w.get("former") or name)
        key = w.get("key") or (former.key if former is not None else "")
        if len(key) > 1:
            raise UsageError(f"key is {key[:20]!r}, must be one character")
        if key and key in given.values():
            if w.get("key"):
                raise UsageError(f"key {key!r} is given to two classes, must be different ones")
            key = ""
        given[name] = key
    free = (k for k in KEYS if k not in given.values())
    return {n: k or next(free, "") for n, k in given.items()}
