"""Plans of pose features, with the graphs that ship with the package: what names people's actions in videos."""

from __future__ import annotations

from pathlib import Path

from ..errors import PlanError, PlanFault
from ..plan.archive import Plan, read_plan, with_members
from .encoder import pose_encoder
from .features import pose_record
from .windows import STREAM

#: The head that ships with the package. It has no graphs of its own: those of the package are smaller, compressed.
PEOPLE_PLAN = Path(__file__).parents[1] / "assets" / "people.plan"


def with_pose(plan: Plan, variant: str = "lite") -> Plan:
    """Give a plan that reads pose features the graphs that find people, so that it takes videos.

    Args:
        plan: its head reads the stream "pose" alone. Its encoders, if it has some, are replaced.
        variant: of the landmark network, "lite" or "full".

    Raises:
        PlanError: it reads other streams, or features of other rules.
        UsageError: another variant.
    """
    manifest = plan.manifest
    if dict(manifest.streams) != {STREAM: pose_record()["dim"]}:
        raise PlanError(
            PlanFault.BAD_VALUE, f"plan {manifest.name} reads {manifest.streams}, not the {pose_record()['features']}"
        )
    spec, members = pose_encoder(variant)
    return with_members(manifest.model_copy(update={"encoders": [spec]}), {**plan.files, **members})


def people_plan(variant: str = "lite") -> Plan:
    """Load the plan for people that ships with the package: 18 everyday actions and exercises; see docs/people.md.

    Args:
        variant: of the landmark network, "lite" or "full".

    >>> from tal_engine import TALEngine
    >>> engine = TALEngine(people_plan(), "cpu")
    >>> list(engine.plan.vocabulary)[:4]
    ['arm circle', 'bend', 'clap', 'jog']
    """
    return with_pose(read_plan(PEOPLE_PLAN), variant)
