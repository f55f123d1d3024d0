"""Mutation fuzzing of what reads files of strangers: python benchmarks/bench_fuzz.py [--minutes N] [TARGET ...].

Each target runs under atheris with coverage of the project's modules as its guide, from the committed corpus alone.
What is stored of a target stays until it is run again. Inputs that were found lie in out/fuzz.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common import store, stored

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.fuzz.run import OUT, PYTHON, Outcome, fuzz, words_of  # noqa: E402


def figures_of(outcome: Outcome, commit: str) -> dict[str, Any]:
    """What is stored of a target."""
    return {
        "runs": outcome.runs, "seconds": outcome.seconds, "finding": outcome.finding, "corpus": outcome.corpus,
        "edges": outcome.coverage, "features": outcome.features, "commit": commit,
    }  # fmt: skip


def total(targets: dict[str, Any]) -> dict[str, Any]:
    """Sums over targets."""
    return {
        "minutes": round(sum(t["seconds"] for t in targets.values()) / 60, 1),
        "runs": sum(t["runs"] for t in targets.values()),
        "escapes": sum(bool(t["finding"]) for t in targets.values()),
    }


def keep(target: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Store a target's figures beside those of the others; several processes may run at a time. The new sums."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        targets = stored("fuzz").get("figures", {}).get("targets", {}) | {target: figures}
        ordered = {t: targets[t] for t in PYTHON if t in targets}
        store("fuzz", {"atheris": version("atheris"), "targets": ordered, "total": total(ordered)})
    return total(ordered)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(PYTHON))
    parser.add_argument("--minutes", type=float, default=31.0, help="of all targets together")
    given = parser.parse_args()
    chosen = given.targets or list(PYTHON)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = 0
    for target in chosen:
        shutil.rmtree(OUT / target, ignore_errors=True)
        outcome = fuzz(target, round(60 * given.minutes / len(chosen)), ROOT)
        print(f"{target:<18}{words_of(outcome)}", flush=True)
        found += bool(outcome.finding)
        print(keep(target, figures_of(outcome, commit.stdout.strip())), flush=True)
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
