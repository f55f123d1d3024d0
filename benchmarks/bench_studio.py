"""What `tal studio` is worth: mAP over clicks with and without its queue, and that kills lose nothing.

    python benchmarks/bench_studio.py --part clicks --seeds 0 1 2 --videos DIR --features DIR
    python benchmarks/bench_studio.py --part kills --videos DIR

clicks   ten procedural videos; a simulated annotator clicks as the truth says: it answers the studio's queue, looks at
         moments by chance, or watches video after video. mAP@0.5 on videos that the studio never sees. A round of
         training follows each `ROUND` clicks, as it does beside the page. Every answer is a click, also "nothing".
kills    the real server, kill -9 at random moments amid edits.
fluid    the page in headless Chromium: milliseconds from a key to the painted frame.
page     the page in headless Chromium: from a folder of ten videos to a plan by scripted keys and clicks.
planted  as clicks, on planted actions: features of `tal data simulate` (studio_planted.py); --seeds 210 211 212.
motion   the same with real movement: skeletons of MSRC-12 as stick figures, beside all labels (studio_motion.py).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish, stored
from studio_annotator import Annotator, learned, world
from studio_kills import kills

NAME, PAGE = "bench_studio", "bench_studio_page"
#: Clicks between two trainings, and in all: ten a class.
ROUND, MOST, COUNT = 9, 50, 10
ARMS = ("queue", "random", "watching")
GOALS = (60, 80)


def curve(arm: str, seed: int, videos: Path, features: Path) -> list[list[float]]:
    """mAP@0.5 by the number of clicks, one training after the other; and seconds of each training."""
    with tempfile.TemporaryDirectory() as folder:
        w = world(videos, features, COUNT, Path(folder), 2 if arm == "queue" else 1, seed)
        somebody = Annotator(w, seed)
        act = {"queue": somebody.answer, "random": somebody.anywhere, "watching": somebody.watch}[arm]
        out = []
        if arm != "watching":
            somebody.first()
        else:
            act(5)
        while True:
            began = time.monotonic()
            found = learned(w)
            out.append([somebody.clicks, round(100 * found, 2), round(time.monotonic() - began, 1)])
            print(arm, seed, out[-1], flush=True)
            if somebody.clicks >= MOST:
                break
            before = somebody.clicks
            act(min(ROUND, MOST - before))
            if somebody.clicks == before:
                break
        w.studio.close()
    return out


def clicks_to(points: list[list[float]], goal: float) -> float | None:
    """Clicks at which a curve first reaches a goal, between its points by a line."""
    last = None
    for n, found, *_ in points:
        if found >= goal:
            if last is None or found == last[1]:
                return n
            return round(last[0] + (n - last[0]) * (goal - last[1]) / (found - last[1]), 1)
        last = (n, found)
    return None


def summary(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of each arm the mean at the end, and the clicks to the goal of each seed."""
    out = {}
    for arm, by_seed in runs.items():
        ends = [points[-1][1] for points in by_seed.values()]
        out[arm] = {
            "mAP@0.5 at the end": {"mean": round(float(np.mean(ends)), 2), "values": ends},
            **{f"clicks to {goal}": {s: clicks_to(points, goal) for s, points in by_seed.items()} for goal in GOALS},
            "longest training, s": max(p[2] for points in by_seed.values() for p in points),
        }
        if arm != "random" and "random" in runs:
            ends = {s: runs["random"][s][-1][1] for s in by_seed if s in runs["random"]}
            out[arm]["clicks to the end of random"] = {s: clicks_to(by_seed[s], end) for s, end in ends.items()}
    return out


def planted(seeds: list[int], arms: Sequence[str]) -> None:
    """The queue beside other ways to click on planted actions; answers beside the curves."""
    from studio_planted import curve as planted_curve

    before = stored(NAME).get("figures", {}).get("planted", {})
    runs: dict[str, Any] = before.get("runs", {})
    answers: dict[str, Any] = before.get("answers", {})
    for seed in seeds:
        for arm in arms:
            with tempfile.TemporaryDirectory() as folder:
                runs.setdefault(arm, {})[str(seed)], answers.setdefault(arm, {})[str(seed)] = planted_curve(
                    arm, seed, Path(folder), MOST, ROUND
                )
            finish(NAME, {"runs": runs, "summary": summary(runs), "answers": answers}, "planted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("clicks", "planted", "kills", "fluid", "page", "motion"), required=True)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--add", action="store_true", help="Add kills to those that are stored.")
    given = parser.parse_args()
    if given.part in ("fluid", "page", "motion"):
        from studio_page import fluid, morning

        with tempfile.TemporaryDirectory() as folder:
            if given.part == "fluid":
                finish(PAGE, fluid(Path(folder)), "fluid")
            elif given.part == "motion":
                from studio_motion import motion

                runs = stored(PAGE).get("figures", {}).get("motion", {})
                for seed in given.seeds:
                    runs[str(seed)] = motion(Path(folder, str(seed)), seed, round_=12)
                    finish(PAGE, runs, "motion")
            else:
                runs = stored(PAGE).get("figures", {}).get("page", {})
                for seed in given.seeds:
                    runs[str(seed)] = morning(given.videos, given.features, Path(folder, str(seed)), seed=seed)
                finish(PAGE, runs, "page")
        return
    if given.part == "kills":
        with tempfile.TemporaryDirectory() as folder:
            mine = Path(folder, "videos")
            mine.mkdir()
            for path in sorted(given.videos.glob("*.mp4"))[:COUNT]:
                os.link(path, mine / path.name)
            found = kills(mine, Path(folder, "p"), given.kills)
        before = stored(NAME).get("figures", {}).get("kills") if given.add else None
        finish(NAME, found if before is None else {k: round(v + before[k], 1) for k, v in found.items()}, "kills")
        return
    torch.set_num_threads(1)
    if given.part == "planted":
        planted(given.seeds, given.arms)
        return
    runs: dict[str, Any] = stored(NAME).get("figures", {}).get("clicks", {}).get("runs", {})
    for seed in given.seeds:
        for arm in given.arms:
            runs.setdefault(arm, {})[str(seed)] = curve(arm, seed, given.videos, given.features)
            finish(NAME, {"runs": runs, "summary": summary(runs)}, "clicks")


if __name__ == "__main__":
    main()
