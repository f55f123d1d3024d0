"""The plans of a service, by name, and their engines: loaded with the first request, a few kept."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.files import cache_folder
from ..backends import DynamicBatchingBackend
from ..diagnostics.doctor import examine
from ..engine import TALEngine
from ..errors import PlanError, UsageError
from ..plan.archive import Plan
from ..pose.plans import PEOPLE_PLAN, open_plan, plan_path
from .problems import ProblemError
from .settings import ServeOptions

log = logging.getLogger("tal_engine")

#: Engines that stay loaded; those that streams and requests use stay beside them.
_KEPT = 4


@dataclass
class Model:
    """A loaded plan. `head` runs rows of several requests in one call."""

    name: str
    path: Path
    engine: TALEngine
    head: DynamicBatchingBackend

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.engine.plan

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run the head on features [B, T, D] by stream; requests that wait meanwhile share the next call."""
        return self.head.run(feeds)


class Plans:
    """The plans of a file and of a folder; what is in the folder now counts, so plans can be added and replaced.

    Args:
        options: of the service.

    Raises:
        UsageError: no plan.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._options, self._lock = options, threading.Lock()
        self._loaded: OrderedDict[str, tuple[tuple[int, int], Model]] = OrderedDict()
        self._read: OrderedDict[str, tuple[tuple[int, int], Plan]] = OrderedDict()
        self._doctor, self._examined = threading.Lock(), dict[str, tuple[tuple[int, int], dict[str, Any]]]()
        self._locks: dict[str, threading.Lock] = {}
        named = options.plan
        if named is None and options.plan_dir is None:
            named = PEOPLE_PLAN
        elif named is not None:
            named = plan_path(named)
        self._named = named
        if options.plan_dir is not None and not options.plan_dir.is_dir():
            raise UsageError(f"{options.plan_dir}: not a folder, must be one with plans (NAME.plan)")
        if not (names := self.names()):
            raise UsageError(f"{options.plan_dir}: no plan, must have at least one NAME.plan")
        self._checking, self._faults = threading.Lock(), dict[str, tuple[tuple[int, int], str]]()
        unusable = {} if len(names) == 1 else self.unusable()
        #: The plan that was named, else the first of the folder that can be read.
        self.default = names[0] if named is not None else next((n for n in names if n not in unusable), names[0])

    def _paths(self) -> dict[str, Path]:
        """Return the plans by name; the one that was named is the first."""
        found: dict[str, Path] = {}
        if self._named is not None:
            found[self._named.stem] = self._named
        if self._options.plan_dir is not None:
            with suppress(OSError):
                for path in sorted(self._options.plan_dir.glob("*.plan")):
                    if not path.name.startswith(".") and path.is_file():
                        found.setdefault(path.stem, path)
        return found

    def names(self) -> list[str]:
        """Return the names of all plans, the default first."""
        return list(self._paths())

    def unusable(self) -> dict[str, str]:
        """Return the plans that cannot be read, each with the reason; a file is looked at again when it is replaced."""
        found = {}
        with self._checking:
            for name, path in self._paths().items():
                stamp = _stamp(path)
                if name not in self._faults or self._faults[name][0] != stamp:
                    self._faults[name] = stamp, self._fault(name, path)
                if fault := self._faults[name][1]:
                    found[name] = fault
        return found

    def _fault(self, name: str, path: Path) -> str:
        """Return why a plan cannot be read, "" if it can; the operator is told as well."""
        try:
            open_plan(path, key=self._options.key)
        except PlanError as e:
            log.warning("plan %s is left out: %s", name, e)
            return str(e).replace(str(path), name)
        return ""

    def path(self, name: str | None) -> tuple[str, Path]:
        """Return name and file of a plan; None for the default.

        Raises:
            ProblemError: there is no such plan.
        """
        wanted = name or self.default
        if (path := self.find(wanted)) is None:
            known = ", ".join(self._paths()) or "none"
            raise ProblemError("not-found", f"plan is {wanted[:100]!r}, must be one of {known}")
        return wanted, path

    def find(self, name: str) -> Path | None:
        """Return the file of a plan, None if there is none; looks at this file only, however many are in the folder."""
        if self._named is not None and name == self._named.stem:
            return self._named
        folder, file = self._options.plan_dir, f"{name}.plan"
        if folder is None or file.startswith(".") or "/" in name or os.sep in name:
            return None
        try:
            return folder / file if (folder / file).is_file() else None
        except OSError:  # of a name that is too long
            return None

    def manifest(self, name: str | None) -> tuple[str, Plan]:
        """Return name and content of a plan, without loading its graphs.

        Raises:
            ProblemError: there is no such plan.
            PlanError: it cannot be used.
        """
        known, path = self.path(name)
        return known, self.manifest_at(known, path)

    def manifest_at(self, known: str, path: Path) -> Plan:
        """Return the content of a plan whose file was found.

        Args:
            known: its name.
            path: its file.

        Raises:
            PlanError: it cannot be used.
        """
        with self._lock_of(known):
            stamp = _stamp(path)
            with self._lock:  # others, of other names, put in and take out meanwhile
                loaded, read = self._loaded.get(known), self._read.get(known)
            if loaded is not None and loaded[0] == stamp:
                return loaded[1].plan
            if read is None or read[0] != stamp:
                read = stamp, open_plan(path, key=self._options.key)
                with self._lock:
                    self._read[known] = read
                    while len(self._read) > _KEPT:
                        self._read.popitem(last=False)
            return read[1]

    def model(self, name: str | None) -> Model:
        """Return a loaded plan, loading it if it is not, or if its file was replaced.

        Raises:
            ProblemError: there is no such plan.
            PlanError, BackendError: it cannot be used.
        """
        known, path = self.path(name)
        return self.model_at(known, path)

    def model_at(self, known: str, path: Path) -> Model:
        """Return the loaded plan of a file that was found.

        Args:
            known: its name.
            path: its file.

        Raises:
            PlanError, BackendError: it cannot be used.
        """
        with self._lock_of(known):
            stamp = _stamp(path)
            with self._lock:
                found = self._loaded.get(known)
            if found is None or found[0] != stamp:
                found = stamp, self._open(known, path)
            with self._lock:
                self._loaded[known] = found
                self._loaded.move_to_end(known)
                while len(self._loaded) > _KEPT:
                    self._loaded.popitem(last=False)  # whoever uses it holds it
            return found[1]

    def _open(self, name: str, path: Path) -> Model:
        o = self._options
        engine = TALEngine.load(path, o.device, threads=o.threads, timeout=o.timeout, key=o.key, limits=o.limits)
        return Model(name, path, engine, DynamicBatchingBackend(engine.head, 64))

    def examine(self, name: str) -> dict[str, Any]:
        """Return what `tal plan doctor` finds of a plan; one is examined at a time, each file once.

        Raises:
            ProblemError: there is no such plan.
        """
        known, path = self.path(name)
        with self._doctor:
            stamp = _stamp(path)
            if known not in self._examined or self._examined[known][0] != stamp:
                report = examine(path, self._options.device, key=self._options.key).document
                hidden = {str(path): known, str(cache_folder()): "CACHE", str(Path.home()): "~"}
                self._examined[known] = stamp, {**_without(report, hidden), "path": known}
            return self._examined[known][1]

    def hidden(self) -> dict[str, str]:
        """Return paths that clients are not told, each with what is said instead."""
        return {str(path): name for name, path in self._paths().items()}

    def _lock_of(self, name: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())


def _without(value: Any, hidden: Mapping[str, str]) -> Any:
    """Replace texts within a document."""
    if isinstance(value, str):
        for secret, said in hidden.items():
            value = value.replace(secret, said)
        return value
    if isinstance(value, dict):
        return {k: _without(v, hidden) for k, v in value.items()}
    return [_without(v, hidden) for v in value] if isinstance(value, list | tuple) else value


def _stamp(path: Path) -> tuple[int, int]:
    """Return what changes when a file is replaced; (0, 0) where it is not there."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
