"""Runs fuzz targets and says what they found: python -m tests.fuzz.run [--seconds N] [TARGET ...].

The core's targets are libFuzzer programs under address and undefined-behaviour sanitizers, built with
clang; those of Python run under atheris. What is new goes to out/fuzz; `--keep` adds the inputs that
reach new places to the corpus, smallest first.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
OUT = ROOT / "out" / "fuzz"
CORE = ("proposals", "nms", "mean_ap", "recall", "boundary", "kmedoids")
PYTHON = (
    "activitynet", "bmn", "thumos", "npy", "detections_json", "detections_txt", "detections_csv", "detections_jsonl",
    "plan", "manifest", "bindings", "features", "snapshot", "event", "finals", "points", "graph",
)  # fmt: skip
SANITIZERS = "address,undefined,float-cast-overflow,fuzzer-no-link"


@dataclass(frozen=True)
class Outcome:
    """What a run of one target came to.

    corpus: inputs before and after. coverage: edges that they reach. features: edges with their counts, which is what
    decides whether an input is kept.
    """

    target: str
    runs: int
    seconds: float
    finding: str = ""
    corpus: tuple[int, int] = (0, 0)
    coverage: tuple[int, int] = (0, 0)
    features: tuple[int, int] = (0, 0)


def build(folder: Path) -> None:
    """Compile the core's targets."""
    if shutil.which("clang++") is None:
        sys.exit("the core's targets need clang: apt-get install clang libclang-rt-14-dev")
    configure = [
        "cmake",
        "-S",
        str(ROOT),
        "-B",
        str(folder),
        "-DCMAKE_CXX_COMPILER=clang++",
        "-DTAL_FUZZ=ON",
        "-DTAL_WERROR=ON",
    ]
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    subprocess.run([*configure, *generator, f"-DTAL_SANITIZE={SANITIZERS}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(folder), "--parallel", "2"], check=True, stdout=subprocess.DEVNULL)


def command(target: str, folder: Path) -> list[str]:
    """How a target is started, without libFuzzer's arguments."""
    if target in CORE:
        return [str(folder / "tests" / "fuzz" / "core" / f"fuzz_{target}")]
    return [sys.executable, "-m", "tests.fuzz.one", target]


def fuzz(target: str, seconds: int, folder: Path) -> Outcome:
    """Run a target for some seconds, from the committed corpus and what earlier runs found."""
    work, seeds = OUT / target, CORPUS / target
    (work / "corpus").mkdir(parents=True, exist_ok=True)
    limits = ["-timeout=30", "-rss_limit_mb=3000", "-max_len=8192", f"-artifact_prefix={work}/"]
    call = [*command(target, folder), f"-max_total_time={seconds}", *limits, str(work / "corpus"), str(seeds)]
    memory = Path("/dev/shm")  # a fuzzer ends without cleaning up
    with tempfile.TemporaryDirectory(prefix="tal-fuzz-", dir=memory if memory.is_dir() else None) as room:
        environment = os.environ | {"TAL_FUZZ_ROOM": room}
        done = subprocess.run(
            call, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
    log = done.stdout + done.stderr
    (work / "log.txt").write_text(log)
    ended = re.search(r"Done (\d+) runs? in (\d+) second", log)
    if done.returncode == 0 and ended:
        return Outcome(target, int(ended[1]), float(ended[2]), "", *_growth(log))
    artifact = re.search(r"Test unit written to (\S+)", log)
    return Outcome(target, 0, 0.0, artifact[1] if artifact else f"{work / 'log.txt'} (exit status {done.returncode})")


def words_of(o: Outcome) -> str:
    """One line for people."""
    if o.finding:
        return f"FOUND {o.finding}"
    (a, b), (c, d), (e, f) = o.corpus, o.coverage, o.features
    return f"{o.runs:>9} runs in {o.seconds:.0f} s, corpus {a} -> {b}, edges {c} -> {d}, features {e} -> {f}"


def _growth(log: str) -> list[tuple[int, int]]:
    """(first, last) of corpus, coverage and features, as libFuzzer tells them."""
    lines = re.findall(r"^#\d+\s+(?:INITED|NEW|REDUCE|pulse|DONE|RELOAD)\s+(.*)$", log, re.MULTILINE)
    told = [
        tuple(int(m[1]) if (m := re.search(rf"{w}: (\d+)", x)) else 0 for w in ("corp", "cov", "ft")) for x in lines
    ]
    return list(zip(told[0], told[-1], strict=True)) if told else []


def keep(target: str, folder: Path, most: int = 24, largest: int = 4200) -> None:
    """Add inputs that reach what the corpus does not: small, middle and large ones."""
    old = {p.read_bytes() for p in (CORPUS / target).iterdir()}
    found = (p for p in _reduced(target, folder).iterdir() if p.read_bytes() not in old and p.stat().st_size <= largest)
    new = sorted(found, key=lambda p: (p.stat().st_size, p.name))
    room = max(most - len(old), 0)
    for path in new if len(new) <= room else [new[k * len(new) // room] for k in range(room)]:
        shutil.copy(path, CORPUS / target / path.name[:16])


def _reduced(target: str, folder: Path) -> Path:
    """A folder of inputs of which each is needed. atheris cannot merge, but keeps only such while it runs."""
    if target in PYTHON:
        return OUT / target / "corpus"
    reduced = OUT / target / "merged"
    shutil.rmtree(reduced, ignore_errors=True)
    reduced.mkdir(parents=True)
    found = [str(CORPUS / target), str(OUT / target / "corpus")]
    subprocess.run(
        [*command(target, folder), "-merge=1", str(reduced), *found], cwd=ROOT, capture_output=True, check=True
    )
    return reduced


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(CORE + PYTHON))
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("FUZZ_SECONDS", "60")), help="a target")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "fuzz", help="where the core's are built")
    parser.add_argument("--keep", action="store_true", help="add new inputs to the corpus")
    given = parser.parse_args()
    targets = given.targets or [*CORE, *PYTHON]
    if unknown := set(targets) - {*CORE, *PYTHON}:
        parser.error(f"no target {sorted(unknown)[0]!r}")
    if set(targets) & set(CORE):
        build(given.build)
    outcomes = []
    for target in targets:
        outcome = fuzz(target, given.seconds, given.build)
        outcomes.append(outcome)
        print(f"{target:<18}{words_of(outcome)}", flush=True)
        if given.keep and not outcome.finding:
            keep(target, given.build)
    return 1 if any(o.finding for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
