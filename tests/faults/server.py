"""Runs `tal` commands, each in a forked child, so that Python and torch start once for hundreds of trials.

What the first trial of a command imports is imported here too, so that those after it find it.

Reads one JSON object a line on stdin and answers each with one on stdout; `client.Server` is the other end. The
process must run with the injector preloaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from typing import Any

from tests.faults import warm


class Injector:
    """The functions of the preloaded injector."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._arm, self._last = library.tal_fault_arm, library.tal_fault_last
        self._seen, self._hits = library.tal_fault_seen, library.tal_fault_hits
        self._arm.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int)
        self._arm.restype, self._last.restype = None, ctypes.c_char_p
        self._seen.restype = self._hits.restype = ctypes.c_long

    def arm(self, prefix: str, mode: int, at: int, error: int) -> None:
        self._arm(os.fsencode(prefix), mode, at, error)

    def counts(self) -> dict[str, Any]:
        """Calls that were counted, calls that failed, and the name of the first of them."""
        return {"seen": self._seen(), "hits": self._hits(), "call": (self._last() or b"").decode()}


def main() -> None:
    injector = Injector()
    _prepare()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing but answers may come there
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "warm" in request:
            getattr(warm, request["warm"])(*request["arguments"])
            print("ready", file=answers, flush=True)
            continue
        injector.arm(request["prefix"], 0, 0, 0)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _trial(request, injector)
        status, outcome = _wait(child, request["kill_after"], request["limit"])
        if request["learn"] and status == 0:
            _learn(request["learn"])
        told = {"status": status, "outcome": outcome, "seconds": time.monotonic() - began, **injector.counts()}
        print(json.dumps(told), file=answers, flush=True)
    os._exit(0)  # thousands of modules would be taken apart one by one


def _prepare() -> None:
    """Build the command line once."""
    import typer.main

    from tal_engine.cli import main as cli

    cli._register()
    command: Any = typer.main.get_command(cli.app)
    cli._register, cli.app = (lambda _=None: None), command


def _learn(path: str) -> None:
    """Import what a trial has imported, for those after it."""
    with open(path) as names:  # noqa: PTH123
        for name in json.load(names):
            if name not in sys.modules:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


def _wait(child: int, kill_after: float | None, limit: float) -> tuple[int, str]:
    """Exit status (negative: the signal), and whether the trial ended by itself, was killed as asked, or hung."""
    handle = os.pidfd_open(child)
    ready, _, _ = select.select([handle], [], [], limit if kill_after is None else kill_after)
    outcome = "ended" if ready else "hung" if kill_after is None else "killed"
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), outcome


def _trial(request: dict[str, Any], injector: Injector) -> None:
    """In the child: become the command; does not return."""
    os.chdir(request["cwd"])
    os.setsid()
    for number, name in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        opened = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (open(n, m, closefd=False) for n, m in ((0, "r"), (1, "w"), (2, "w")))  # noqa: SIM115
    sys.argv = ["tal", *request["argv"]]
    injector.arm(request["prefix"], request["mode"], request["at"], request["error"])
    code = _exit_code()
    if request["learn"]:
        with open(request["learn"], "w") as names:  # noqa: PTH123
            json.dump([n for n in list(sys.modules) if n != "__main__"], names)
    os._exit(code)


def _exit_code() -> int:
    """What the interpreter would exit with."""
    from tal_engine.cli.main import run

    code: object = 0
    try:
        run()
    except SystemExit as e:
        code = e.code
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return 120
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    main()
