"""Waits that do not depend on how fast the machine is, and processes that are measured on their own.

Tests run side by side on loaded machines: what they wait for has a bound that only a fault reaches, and what must not
happen is watched for a moment, which a slow machine makes weaker and never wrong. `tests/repository/test_clocks.py`
keeps other clocks out of tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Seconds that only a fault takes: more than 20 times what anything here takes on a machine that does nothing else.
LONG_S = 120.0


def until(condition, seconds=LONG_S):
    """Return what the condition gives once that is true; it fails after far longer than it can take."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not so within {seconds:g} s"
        time.sleep(0.005)
    return value


def stays(condition, seconds=0.1):
    """Say whether a condition holds for a moment: of things that must not happen, however long one waits."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(0.005)
    return bool(condition())


def nap(seconds):
    """Stand for slow work: tests hold however long it really takes."""
    time.sleep(seconds)


def within(call, seconds=LONG_S):
    """Result of a call that must not block: it is made in a thread, and fails if that does not end."""
    found, errors = [], []

    def work():
        try:
            found.append(call())
        except BaseException as e:  # handed to the test, whatever it is
            errors.append(e)

    thread = threading.Thread(target=work, name="test-within", daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"it does not return within {seconds:g} s"
    if errors:
        raise errors[0]
    return found[0]


@contextmanager
def no_thread_left(prefix="tal-"):
    """Wait at the end until no thread by such a name is left of those that were started inside."""
    before = set(threading.enumerate())
    yield
    until(lambda: not [t for t in threading.enumerate() if t not in before and t.name.startswith(prefix)])


def the_rest(child):
    """(stdout, stderr) of a child from where the test has read up to, once it has ended.

    `communicate` reads the pipe below the file object: after a `readline` it would lose what that had read ahead.
    """
    said = []
    reader = threading.Thread(target=lambda: said.append(child.stderr.read()), daemon=True)
    reader.start()
    out = within(child.stdout.read)
    reader.join(LONG_S)
    child.wait(LONG_S)
    child.stdout.close()
    child.stderr.close()
    return out, said[0]


def alone(code, *arguments, **environment):
    """What a fresh Python process prints as JSON: what it measures of itself, no other test has part in."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False,
        timeout=5 * LONG_S, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
