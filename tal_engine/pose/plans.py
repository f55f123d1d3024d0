"""The plans that ship with the package: which one is taken where none is named, and the graphs that find people.

The rule is the same everywhere: no plan, or the name ``people``, is the plan for people; the name ``demo`` is the plan
of the drawn figure, which tests and demonstrations use. A file that is called so comes first; a folder is no plan.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import PlanError, PlanFault
from ..plan.archive import Plan, read_plan, with_members
from .features import STREAM, pose_record

#: The plan for people. The file has no graphs that find them: those of the package are smaller, compressed.
PEOPLE_PLAN = Path(__file__).parents[1] / "assets" / "people.plan"
#: The plan of the drawn figure, which knows twelve exercises as procedural videos show them.
DEMO_PLAN = PEOPLE_PLAN.with_name("demo.plan")
#: Plans that ship, by name.
SHIPPED = {"people": PEOPLE_PLAN, "demo": DEMO_PLAN}


def plan_path(plan: str | Path | None = None) -> Path:
    """Return the file of a plan: of one that ships if none or its name is given.

    Args:
        plan: None or "people", "demo", or a path.

    >>> from tal_engine.pose.plans import plan_path
    >>> plan_path().name, plan_path("demo").name, plan_path("mine.plan").name
    ('people.plan', 'demo.plan', 'mine.plan')
    """
    if plan is None:
        return PEOPLE_PLAN
    path = Path(plan)
    return path if path.exists() and not path.is_dir() else SHIPPED.get(str(plan), path)


def open_plan(plan: str | Path | None = None, *, key: str | Path | None = None) -> Plan:
    """Read a plan; see `plan_path`. That for people gets the graphs that find them.

    Args:
        plan: None or "people", "demo", or a path.
        key: public key, or a file with one, whose signature the plan must carry.

    Raises:
        PlanError: the file is damaged, not a plan, or not signed by `key`.

    >>> from tal_engine.pose.plans import open_plan
    >>> open_plan().manifest.name, open_plan("demo").manifest.name
    ('people', 'demo')
    """
    path = plan_path(plan)
    found = read_plan(path, key=key)
    return with_pose(found) if path == PEOPLE_PLAN else found


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
    from .encoder import pose_encoder  # it loads OpenCV, which heads of features do without

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
