"""People: the plan on skeletons of real persons, and landmarks (a part of its own module). Stored as bench_people.json.

python benchmarks/bench_people.py --plan out/people/people.plan --parts skeletons
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import people_landmarks
import people_live
import people_noise
import people_skeletons
from common import finish

from tal_engine.pose.plans import PEOPLE_PLAN

#: Parts by name: from the plan to figures.
PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "skeletons": people_skeletons.skeletons, "named": people_skeletons.named, "noise": people_noise.measured,
    "landmarks": people_landmarks.landmarks, "live": people_live.live,
}  # fmt: skip


def main() -> None:
    """Run some of the parts and keep their figures, or judge the persons of development and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path, default=PEOPLE_PLAN)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument(
        "--development", action="store_true", help="persons that settings are chosen on; nothing is kept"
    )
    given = parser.parse_args()
    if given.development:
        print(json.dumps(people_skeletons.skeletons(given.plan, development=True), indent=1))
        return
    for part in given.parts:
        finish("bench_people", PARTS[part](given.plan), part)


if __name__ == "__main__":
    main()
