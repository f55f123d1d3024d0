"""What `doctor.examine` finds: plain records, and the document that machines read. Looks at nothing itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .._util.hardware import Machine

#: Form of `Diagnosis.document`; fields may be added under the same name.
SCHEMA = "tal.doctor/1"

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something to know. error: the plan does not run here as asked. fix: a command or advice; "" if there is none."""

    level: Level
    what: str
    fix: str = ""


@dataclass(frozen=True)
class GraphReport:
    """A graph of the plan: its weights by precision, and what came of running it.

    numbers: stored constants by precision. load_ms, run_ms: first and only call, on the small input `ran_on`.
    """

    member: str
    role: str
    bytes: int
    precision: str
    numbers: dict[str, int]
    runs_on: str = ""
    ran_on: dict[str, list[int]] = field(default_factory=dict)
    load_ms: float | None = None
    run_ms: float | None = None
    error: str = ""
    #: 0 fine, 1 the graph is not what the manifest says, 4 it does not run here.
    status: int = 0


@dataclass(frozen=True)
class DeviceReport:
    """Whether a device is installed here, why not, and the command that installs it.

    experimental: its code has never run on a card.
    """

    device: str
    installed: bool
    why: str = ""
    fix: str = ""
    experimental: bool = False


@dataclass(frozen=True)
class EngineReport:
    """An engine of this plan, inside of it or in the user's cache, and why it does not fit this machine."""

    member: str
    where: Literal["plan", "cache"]
    flavour: str
    version: str
    targets: list[str]
    profile: dict[str, tuple[int, int, int]]
    layers: dict[str, int]
    bytes: int
    why_not: list[str]
    fix: str = ""

    @property
    def fits(self) -> bool:
        """It can be used here."""
        return not self.why_not


@dataclass
class Diagnosis:
    """All that was found."""

    path: str
    machine: Machine
    asked: str
    plan: dict[str, Any] = field(default_factory=dict)
    graphs: list[GraphReport] = field(default_factory=list)
    devices: list[DeviceReport] = field(default_factory=list)
    engines: list[EngineReport] = field(default_factory=list)
    #: What graphs are opened on in the end, "" if nothing works.
    device: str = ""
    findings: list[Finding] = field(default_factory=list)
    #: 0 fine, 1 the plan is damaged, 4 it does not run here.
    status: int = 0

    @property
    def document(self) -> dict[str, Any]:
        """For machines: every field by its name, with the schema's."""
        document = {"schema": SCHEMA, **asdict(self)}
        for record, engine in zip(document["engines"], self.engines, strict=True):
            record["fits"] = engine.fits
        return document
