"""TensorRT and TensorRT-RTX: one interface under two module names, and the few ways in which they differ."""

from __future__ import annotations

import logging
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from ..._util.extras import need
from ...errors import BackendError, require

log = logging.getLogger("tal_engine")

Name = Literal["tensorrt", "tensorrt-rtx"]
FLAVOURS: tuple[Name, ...] = ("tensorrt", "tensorrt-rtx")


@dataclass(frozen=True)
class Flavour:
    """One of the two libraries, loaded."""

    name: Name
    module: ModuleType

    @property
    def version(self) -> str:
        """Of the library; engines run under the version that built them."""
        return str(self.module.__version__)

    @property
    def title(self) -> str:
        """For people: "TensorRT-RTX 1.7.1.116"."""
        return f"{'TensorRT-RTX' if self.name == 'tensorrt-rtx' else 'TensorRT'} {self.version}"

    @property
    def targets(self) -> list[str]:
        """Compute capabilities it builds for without a card of that kind; none: only for the card at hand."""
        if not hasattr(self.module, "ComputeCapability"):
            return []
        names = [n.lower() for n in dir(self.module.ComputeCapability) if re.fullmatch(r"SM\d+", n)]
        return sorted(names, key=lambda n: int(n[2:]))

    @property
    def has_timing_cache(self) -> bool:
        """TensorRT keeps what it timed while building.

        TensorRT-RTX times nothing then: it compiles at run time, and keeps that in a runtime cache.
        """
        return self.name == "tensorrt"


def load_flavour(name: str) -> Flavour:
    """Import a flavour.

    Raises:
        UsageError: neither of the two.
        MissingExtraError: it is not installed.
        BackendError: it is installed and cannot be loaded.
    """
    require(name in FLAVOURS, "TensorRT flavour", name, " or ".join(FLAVOURS))
    flavour: Name = "tensorrt" if name == "tensorrt" else "tensorrt-rtx"
    try:
        module = need(flavour.replace("-", "_"))
    except (OSError, RuntimeError) as e:  # its shared libraries
        raise BackendError(f"{flavour} is installed and cannot be loaded ({e})") from e
    if not hasattr(module, "Builder"):
        raise BackendError(f"the installed {flavour.replace('-', '_')} is an empty package, without the library")
    return Flavour(flavour, module)


def this_platform() -> str:
    """Return operating system and processor, to which engines are bound: "linux-x86_64"."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}-{machine}"


def make_logger(module: ModuleType, minimum: str = "WARNING") -> Any:
    """Create a logger of the library that keeps its messages, and passes warnings and errors on to ours.

    Its `lines` are (severity, message); it keeps messages from `minimum` on.
    """
    severities = module.ILogger

    class Logger(module.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[tuple[Any, str]] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(getattr(severities, minimum)):
                self.lines.append((severity, message))
            # Errors are raised with what they say, so here they are only for those who asked.
            log.debug("%s: %s", module.__name__, message)

        def complaints(self) -> str:
            """Join the errors so far in one line."""
            bad = [m for s, m in self.lines if int(s) <= int(severities.ERROR)]
            return "; ".join(" ".join(m.split()) for m in bad) or "it does not say why"

    return Logger()


def check_targets(flavour: Flavour, targets: Sequence[str], card: str | None) -> list[str]:
    """Compute capabilities that can be built for.

    Args:
        flavour: what builds.
        targets: as asked, such as "sm89"; empty: the card at hand.
        card: that of this machine's card, if it has one.

    Raises:
        UsageError: not something that this flavour can build for.
        BackendError: it needs a card, and there is none.
    """
    if not targets:
        if card is None:
            hint = f" or name targets: {', '.join(flavour.targets)}" if flavour.targets else ""
            raise BackendError(f"{flavour.title} builds for the NVIDIA card at hand, and there is none; add one{hint}")
        return [card]
    allowed = flavour.targets or ([card] if card else [])
    for target in targets:
        if not allowed:
            raise BackendError(f"{flavour.title} builds on a card of the kind it builds for; this machine has none")
        require(target in allowed, "target", target, f"one of {', '.join(allowed)} ({flavour.title})")
    return list(dict.fromkeys(targets))
