"""The artefact: one uncompressed zip with its manifest first. Reads, verifies and writes it.

Knows files and hashes; what the manifest says is in `manifest`. Knows nothing of how graphs run.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .errors import PlanError, PlanFault
from .files import whole_file
from .manifest import MANIFEST, EngineRecord, Manifest, Member, Schema, parse_manifest
from .vocabulary import Vocabulary

#: Names that stay in the folder into which a plan is unpacked.
_NAME = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True)
class Plan:
    """A plan in memory: its manifest, its files, and the manifest as it is stored.

    The stored text is kept: a field that a later version adds must not change the plan's hash.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    document: bytes

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Class names in the order of the label ids."""
        return Vocabulary(self.manifest.vocabulary)

    @property
    def engines(self) -> list[tuple[EngineRecord, bytes]]:
        """Engines that are inside, each with its record."""
        return [(record, self.files[record.member]) for record in self.manifest.engines]

    @cached_property
    def sha256(self) -> str:
        """Hash of the manifest, which holds the hashes of everything else."""
        return hashlib.sha256(self.document).hexdigest()


def read_plan(path: str | Path) -> Plan:
    """Read and verify a plan.

    Raises:
        PlanError: the file is not a sound plan; `fault` says in which way and the message names
            the field or the member.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PlanError(PlanFault.MISSING_FILE, f"{path}: no such plan") from None
    except OSError as e:
        raise PlanError(PlanFault.MISSING_FILE, f"{path}: cannot be read ({e.strerror})") from e
    return parse_plan(data, str(path))


def parse_plan(data: bytes, name: str = "plan") -> Plan:
    """Read and verify a plan from bytes; see `read_plan`."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as e:
        raise PlanError(PlanFault.NOT_A_PLAN, f"{name}: not a plan, the zip structure is broken ({e})") from e
    with archive:
        names = archive.namelist()
        if not names or names[0] != MANIFEST:
            raise PlanError(PlanFault.NOT_A_PLAN, f"{name}: not a plan, its first member is not {MANIFEST}")
        document = _member(archive, MANIFEST, name)
        manifest = parse_manifest(document, name)
        extra = sorted(set(names[1:]) - set(manifest.members)) + sorted({n for n in names if names.count(n) > 1})
        if extra:
            raise PlanError(PlanFault.UNLISTED_MEMBER, f"{name}: member {extra[0]!r} is not in the manifest")
        files = {}
        for member, expected in manifest.members.items():
            if not _NAME.fullmatch(member):
                allowed = "letters, digits, _, - and . in plain names, so that a plan is unpacked into its folder only"
                raise PlanError(PlanFault.BAD_VALUE, f"{name}: member is called {member!r}, must be {allowed}")
            if member not in names:
                raise PlanError(PlanFault.MISSING_MEMBER, f"{name}: member {member!r} is missing")
            content = _member(archive, member, name)
            if hashlib.sha256(content).hexdigest() != expected.sha256:
                raise PlanError(PlanFault.WRONG_HASH, f"{name}: member {member!r} was changed, its hash is wrong")
            files[member] = content
    for what, members in (("graph", manifest.graphs), ("engine", manifest.engines)):
        for found in members:
            if found.member not in files:
                raise PlanError(PlanFault.MISSING_MEMBER, f"{name}: {what} {found.member!r} is not among the members")
    return Plan(manifest, files, document)


def _member(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    # Stored members only: a compressed one could grow without bounds before its hash is looked at.
    if archive.getinfo(member).compress_type != zipfile.ZIP_STORED:
        raise PlanError(PlanFault.NOT_A_PLAN, f"{name}: not a plan, member {member!r} is compressed")
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError, RuntimeError) as e:
        raise PlanError(PlanFault.WRONG_HASH, f"{name}: member {member!r} is damaged ({e})") from e


def with_members(manifest: Manifest, files: Mapping[str, bytes]) -> Plan:
    """A plan of these files, their sizes and hashes entered into the manifest."""
    members = {n: Member(bytes=len(b), sha256=hashlib.sha256(b).hexdigest()) for n, b in files.items()}
    whole = manifest.model_copy(update={"members": members})
    return Plan(whole, dict(files), whole.to_json().encode())


def with_engines(plan: Plan, engines: Sequence[tuple[EngineRecord, bytes]]) -> Plan:
    """A plan that holds these engines too; one of the same name is replaced."""
    new = {record.member for record, _ in engines}
    kept = [e for e in plan.manifest.engines if e.member not in new]
    records = [*kept, *(record for record, _ in engines)]
    manifest = plan.manifest.model_copy(update={"engines": records, "schema_": Schema()})
    return with_members(manifest, {**plan.files, **{record.member: engine for record, engine in engines}})


def write_plan(path: str | Path, plan: Plan) -> None:
    """Write a plan; the file is whole or not there.

    The same plan gives the same bytes: entries carry a fixed date.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(plan_bytes(plan))


def plan_bytes(plan: Plan) -> bytes:
    """The plan as the bytes of its file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {MANIFEST: plan.document, **plan.files}.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
