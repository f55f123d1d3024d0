"""What a student needs of the room above the lab: a plan of its network and its teacher's head.

`tal_engine.export` builds on the lab, so the lab looks it up by name, as `fitting.tools` does.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

from torch import nn

from ...options import SnippetOptions
from ...plan.archive import Plan


class _Students(Protocol):
    STREAM: str

    def make_student_plan(self, teacher: Plan, net: nn.Module, snippet: SnippetOptions, **options: Any) -> Plan: ...


def _students() -> _Students:
    return cast("_Students", importlib.import_module("tal_engine.export.student_plan"))


def stream_of_students() -> str:
    """Name the stream of a student's features."""
    return _students().STREAM


def make_student_plan(teacher: Plan, net: nn.Module, snippet: SnippetOptions, **options: Any) -> Plan:
    """Put a student before its teacher's head; see ``tal_engine.export.student_plan.make_student_plan``."""
    return _students().make_student_plan(teacher, net, snippet, **options)
