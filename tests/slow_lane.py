"""The fast lane: tests on the list of slow ones get the marker `slow`, so that ``-m "not slow"`` leaves them out.

``pytest --store-slow`` runs what it is told to and writes the list anew from how long each test took.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

LIST = Path(__file__).parent / "slow_tests.txt"
#: Seconds of all cases of a test together, from which on it is slow.
SLOW_S = 0.6


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store-slow", action="store_true", help=f"Write {LIST.name} from how long tests took.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = set(LIST.read_text().split("\n")) if LIST.exists() else set()
    for item in items:
        if function_of(item.nodeid) in slow:
            item.add_marker(pytest.mark.slow)


def function_of(nodeid: str) -> str:
    """Path and name of a test without its parameters."""
    return nodeid.split("[", 1)[0]


class Durations:
    """Seconds of each test; only where the results of all workers come together."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[function_of(report.nodeid)] += report.duration  # type: ignore[assignment]

    def pytest_sessionfinish(self) -> None:
        slow = sorted(name for name, seconds in self.seconds.items() if seconds >= SLOW_S)
        LIST.write_text("".join(f"{name}\n" for name in slow))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--store-slow") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(), "durations")
