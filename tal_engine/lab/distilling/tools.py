"""What a student needs of the room above the lab: a plan of its network and its teacher's head.

`tal_engine.export` builds on the lab, so the lab looks it up by name, as `fitting.tools` does.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from ...options import SnippetOptions
from ...plan.archive import Plan
from .parts import Part


class _Students(Protocol):
    STREAMS: Mapping[str, str]

    def make_student_plan(
        self, teacher: Plan, parts: Sequence[tuple[Part, Mapping[str, int]]], snippet: SnippetOptions, **options: Any
    ) -> Plan: ...


def _students() -> _Students:
    return cast("_Students", importlib.import_module("tal_engine.export.student_plan"))


def streams_of_students() -> Mapping[str, str]:
    """Name the streams of a student's features by what its part reads."""
    return _students().STREAMS


def make_student_plan(
    teacher: Plan, parts: Sequence[tuple[Part, Mapping[str, int]]], snippet: SnippetOptions, **options: Any
) -> Plan:
    """Put a student before its teacher's head; see ``tal_engine.export.student_plan.make_student_plan``."""
    return _students().make_student_plan(teacher, parts, snippet, **options)
