"""What became of a student: its plan, its figures, and what is to be said of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...plan.archive import Plan


@dataclass(frozen=True)
class DistillReport:
    """A student's plan and how it was measured.

    figures: "agreement", "teacher" and "student" in percent (`measuring.measured`), "unexplained" (share of the
    features' variance), "training_cpu_seconds", "videos" held out, "trained_on" videos and snippets, "seconds" of the
    stages. warnings: videos that were left out, and what else is to be known.
    """

    output: Path
    plan: Plan
    figures: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())

    @property
    def table(self) -> str:
        """The figures, a line each."""
        f = self.figures
        lines = [
            f"trained on       {f['trained_on']['videos']} videos, {f['trained_on']['snippets']} snippets",
            f"held out         {f['videos']} videos",
            f"unexplained      {100 * f['unexplained']:.1f} % of the features' variance",
            f"against teacher  {_percent(f['agreement'])} mAP@0.1:0.7, what it shows taken for true",
        ]
        if f["student"] is not None:
            lines.append(f"against truth    {_percent(f['student'])} mAP@0.1:0.7, teacher {_percent(f['teacher'])}")
        return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "none shown," if value is None else f"{value:.1f}"
