"""What the parts of gpu_day share: their notebook, their clock, and how a call is timed on a card or here."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

ROOT = Path(__file__).parents[1]
T = TypeVar("T")


class Day:
    """One part of the day while it runs: where its rows go, how long it may take, on what it runs.

    Rows are on disk as soon as they are known, so a part that is cut keeps those before the cut.

    Args:
        path: the part's file.
        seconds: after so many no further row is begun.
        rehearse: small sizes on the CPU.
        earlier: rows of a run of this part that was cut; they are not measured again.
    """

    def __init__(
        self, path: Path, seconds: float, rehearse: bool, earlier: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.path, self.rehearse, self.figures = path, rehearse, dict(earlier)
        self._end = time.monotonic() + seconds
        #: What was left out, with the reason.
        self.skipped: dict[str, str] = {}
        self._began = time.monotonic()
        self.write("cut")

    @property
    def device(self) -> str:
        """Device of torch and of the engine."""
        return "cpu" if self.rehearse else "cuda"

    @property
    def left(self) -> float:
        """Seconds that are left for rows."""
        return self._end - time.monotonic()

    def pick(self, full: T, small: T) -> T:
        """A size: of the day on a card, or of the rehearsal."""
        return small if self.rehearse else full

    def keep(self, row: str, value: Any) -> None:
        """Store a row."""
        self.figures[row] = value
        self.write("cut")

    def skip(self, row: str, reason: object) -> None:
        """Say that a row was left out, and why."""
        self.skipped[row] = " ".join(str(reason).split())[:400]
        self.write("cut")

    def row(self, name: str, work: Callable[[], Any], needs: Sequence[str] = (), least: float = 1.0) -> Any:
        """Measure a row unless a package is missing or less than `least` seconds are left; errors become its reason."""
        if name in self.figures:
            return self.figures[name]
        if lacking := missing(needs):
            return self.skip(name, f"not installed: {', '.join(lacking)}")
        if self.left < least:
            return self.skip(name, f"no time: {max(self.left, 0):.0f} s were left")
        try:
            value = work()
        except Exception as e:  # one row must not cost the others
            return self.skip(name, f"{type(e).__name__}: {e}")
        self.keep(name, value)
        return value

    def write(self, status: str, why: str = "") -> None:
        """Write the file; "cut" is what it says if nothing is written after."""
        document = {"status": status, "seconds": round(time.monotonic() - self._began, 2), "figures": self.figures}
        document |= {"cpu_s": round(time.process_time(), 1), "skipped": self.skipped} | ({"why": why} if why else {})
        part = self.path.with_suffix(".tmp")
        part.write_text(json.dumps(document, indent=1, default=str) + "\n")
        part.replace(self.path)


class Absent:
    """Makes packages look as if they were not installed: what a bare machine would say, asked here."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in self._names or name in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def prepare(without: Sequence[str]) -> None:
    """Make tal_engine and its export package importable from the clone where they are not installed."""
    if without:
        sys.meta_path.insert(0, Absent(without))
    if missing(["tal_engine"]):
        sys.path.insert(0, str(ROOT))
    if missing(["tal_engine.export"]):
        at = ROOT / "export"
        spec = importlib.util.spec_from_file_location(
            "tal_engine.export", at / "__init__.py", submodule_search_locations=[str(at)]
        )
        if spec is not None and spec.loader is not None:
            sys.modules["tal_engine.export"] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)


def library_path() -> dict[str, str]:
    """An environment in which ONNX Runtime finds torch's CUDA libraries, wherever the two are installed."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return {}
    folders = sorted({str(p.parent) for p in Path(found.origin).parents[1].glob("nvidia/**/lib/*.so*")})
    before = os.environ.get("LD_LIBRARY_PATH", "")
    return {"LD_LIBRARY_PATH": ":".join([*folders, *([before] if before else [])])} if folders else {}


def missing(names: Sequence[str]) -> list[str]:
    """Those of the modules that are not installed."""
    return [n for n in names if not _there(n)]


def _there(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def finish_work(device: str) -> None:
    """Until the card has done all that it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def latency(work: Callable[[], Any], day: Day, seconds: float, most: int = 300) -> dict[str, Any]:
    """p50 and p99 of a call, ms: at least 3 calls after 2 of warm-up, then as many as fit into the seconds.

    A rehearsal makes one call, and one before it.
    """
    warm, least = day.pick((2, 3), (1, 1))
    for _ in range(warm):
        work()
    finish_work(day.device)
    taken: list[float] = []
    end = time.perf_counter() + day.pick(seconds, 0.0)
    while len(taken) < least or (len(taken) < most and time.perf_counter() < end):
        began = time.perf_counter()
        work()
        finish_work(day.device)
        taken.append(time.perf_counter() - began)
    half, last = (1e3 * float(x) for x in np.percentile(taken, [50, 99]))
    return {"p50_ms": round(half, 4), "p99_ms": round(last, 4), "calls": len(taken)}


def rate(work: Callable[[], Any], count: int, day: Day, seconds: float) -> float:
    """Things a second of a call that does `count` of them: by the median of as many calls as fit."""
    return round(count / max(latency(work, day, seconds)["p50_ms"] / 1e3, 1e-9), 2)
