"""Builds the injector, starts the server of trials and asks it for single ones."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Mode(IntEnum):
    """What the injector does at the n-th call; the numbers are those of injector.c."""

    OFF = 0
    FAIL = 1
    STAY = 2
    KILL = 3
    TEAR = 4


@dataclass(frozen=True)
class Fault:
    """One fault of a trial: of the `at`-th writing call, or SIGKILL `kill_after` seconds after the start."""

    name: str
    mode: Mode = Mode.OFF
    at: int = 0
    error: int = errno.ENOSPC
    kill_after: float | None = None


NONE = Fault("none")


@dataclass(frozen=True)
class Trial:
    """What became of a command.

    status: exit status, negative for a signal. outcome: "ended", "killed" (by `kill_after`) or "hung". seen: writing
    calls that were counted; hits: those of them that failed; call: name of the first.
    """

    status: int
    outcome: str
    seconds: float
    seen: int
    hits: int
    call: str

    @property
    def killed(self) -> bool:
        return self.status == -9 and self.outcome != "hung"


def compiler() -> str | None:
    """A C compiler, where faults can be injected at all."""
    return next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None) if sys.platform == "linux" else None


def build(folder: Path) -> Path:
    """Compile the injector into a folder."""
    target, source = folder / "injector.so", Path(__file__).with_name("injector.c")
    command = [str(compiler()), "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(target), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return target


class Server:
    """A process that runs trials, one at a time, under the injector that `build` made."""

    def __init__(self, injector: Path) -> None:
        environment = os.environ | {
            "LD_PRELOAD": str(injector), "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "400", "TERM": "dumb",
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.faults.server"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._answer() != "ready\n":
            raise RuntimeError("the server of trials did not start")

    def run(
        self, argv: Sequence[str | Path], folder: Path, fault: Fault = NONE, *, prefix: Path,
        stdout: Path | None = None, limit: float = 60.0, learn: bool = False,
    ) -> Trial:  # fmt: skip
        """Run ``tal ARGV`` in `folder`; its output is appended to stdout.txt (or `stdout`) and stderr.txt there.

        learn: later trials need not import what this one has imported.
        """
        return Trial(**json.loads(self._ask({
            "argv": [str(a) for a in argv], "cwd": str(folder), "prefix": str(prefix), "mode": int(fault.mode),
            "at": fault.at, "error": fault.error, "kill_after": fault.kill_after, "limit": limit,
            "stdout": str(stdout or folder / "stdout.txt"), "stderr": str(folder / "stderr.txt"),
            "learn": str(folder / "modules.json") if learn else "",
        })))  # fmt: skip

    def warm(self, what: str, *arguments: str) -> None:
        """Do a step of `warm` in the server, for all trials after it."""
        if self._ask({"warm": what, "arguments": arguments}) != "ready\n":
            raise RuntimeError(f"the step {what} failed")

    def _ask(self, request: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
