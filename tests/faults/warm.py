"""Steps of commands that write nothing and take most of their time: done once, before trials are forked.

Each replaces a function of a command's module by one that gives what was made here; the rest of the command is the
product's own.
"""

from __future__ import annotations

from pathlib import Path


def features(encoders: str) -> None:
    """The encoders of ``tal features extract --encoders SPEC`` as graphs."""
    from tal_engine.cli import features as command

    made = command.encoders_of(encoders)
    command.encoders_of = lambda *_: made  # type: ignore[assignment]


def export(checkpoint: str) -> None:
    """The plan that ``tal export --encoders none`` is about to write, which has passed its gate."""
    from tal_engine.export import bundle
    from tal_engine.lab.training.checkpoint import load

    made = bundle.make_plan(load(checkpoint), None, name="x")
    bundle.make_plan = lambda *_, **__: made  # type: ignore[assignment]


def plan_build(plan: str) -> None:
    """The variant that ``tal plan build --precision fp16`` is about to write, which has passed its gate."""
    from tal_engine.cli import plan_build as command
    from tal_engine.plan.archive import read_plan

    made = command._in_precision(read_plan(Path(plan)), command.Precision.FP16, [])
    command._in_precision = lambda *_: made  # type: ignore[assignment]
