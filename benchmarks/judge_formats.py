"""The tools' own libraries on our files, and us on theirs; each in an environment of its own.

    python benchmarks/judge_formats.py [--only fiftyone] [--venvs DIR] [--via CHECKOUT_OF_VIA]

For libraries that cannot be installed beside ours: they replace OpenCV, pin other versions or are large. Those that
can judge in tests/unit/annotations/formats. Each judge reads what we write at 25 and 30000/1001 frames a second, we
read what it writes: a boundary that comes out on another frame is a failure, and the exit status is 1. VIA 3 is no
package: it is judged where --via names a checkout of github.com/ox-vgg/via and node is installed.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench_formats import RATES, rows_of
from common import finish

from tal_engine.annotations.formats import Annotation, AnnotationTable, FrameClock, read, write
from tal_engine.annotations.formats.registry import named
from tal_engine.annotations.formats.table import joined

#: dcase_util takes labels with marks for lists; crowsetta puts labels into quotes, which Audacity does not know.
_PLAIN = ("sed", "audacity")
_HERE = Path(__file__).parent / "judges"


@dataclass(frozen=True)
class Judge:
    """Who judges a format.

    Attributes:
        form: the format's name.
        packages: what pip installs, the judging one first, versions pinned.
        script: in benchmarks/judges.
        file: what we write for it.
        deps: whether pip brings what the packages ask for.
    """

    form: str
    packages: tuple[str, ...]
    script: str
    file: str
    deps: bool = True


JUDGES = {
    "datumaro": Judge("cvat", ("datumaro==1.13.12",), "cvat_datumaro.py", "ours.xml"),
    "fiftyone": Judge("fiftyone", ("fiftyone==1.22.1",), "fiftyone_detections.py", "ours.json"),
    "deepethogram": Judge(
        "per-frame", ("deepethogram==0.5.0", "pandas==3.1.1", "numpy==2.4.6", "python-dateutil", "h5py==3.16.0"),
        "deepethogram_labels.py", "ours.csv", deps=False,
    ),
    "kloppy": Judge("sportscode", ("kloppy==3.19.1",), "sportscode_kloppy.py", "ours.xml"),
    "sppas": Judge("anvil", ("sppas==5.1.0",), "anvil_sppas.py", "ours.anvil"),
    "pyannote": Judge("rttm", ("pyannote.database==6.1.1", "pyannote.core==6.1.0"), "rttm_pyannote.py", "ours.rttm"),
    "sed_eval": Judge("sed", ("sed_eval==0.2.1", "dcase_util==0.2.20", "setuptools<81"), "sed_dcase.py", "ours.txt"),
    "crowsetta": Judge("audacity", ("crowsetta==5.1.2",), "audacity_crowsetta.py", "ours.txt"),
    "via": Judge("via", (), "via.mjs", "ours.json"),
}  # fmt: skip


def python_of(name: str, judge: Judge, venvs: Path) -> Path:
    """The interpreter of the judge's environment, which is built if it is not there."""
    folder = venvs / f"judge-{name}"
    python = folder / "bin" / "python"
    if not (folder / "built").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *judge.packages]
        subprocess.run(command + ([] if judge.deps else ["--no-deps"]), check=True)
        (folder / "built").touch()
    return python


def told(table: AnnotationTable, fps: float) -> list[list[Any]]:
    """Rows for a judge: label, first frame, frame after the last, seconds of both."""
    clock = FrameClock(fps)
    return [[r.label, *clock.frames(r.start or 0.0, r.end or 0.0), r.start, r.end] for r in table]


def material(form: str, fps: float) -> AnnotationTable:
    """60 segments; where the format holds overlaps, 20 more over them, with a label that XML and CSV have to escape."""
    table, clock = rows_of(60, fps), FrameClock(fps)
    if "overlaps" not in named(form).holds:
        return table
    over = []
    for r in list(table)[::3]:
        first, end = clock.frames(r.start or 0.0, r.end or 0.0)
        times = clock.seconds(max(first - 2, 0)), clock.seconds(end + 3)
        label = "läuft ab" if form in _PLAIN else 'läuft,&<"x">'
        over.append(Annotation(r.video, label, *times))
    return joined([table, AnnotationTable.of(over)])


def frames_of(rows: list[list[Any]], fps: float) -> Counter[tuple[Any, ...]]:
    clock = FrameClock(fps)
    return Counter((label, *clock.frames(start, end)) for label, start, end in rows)


def judged(name: str, judge: Judge, fps: float, folder: Path, command: list[str]) -> dict[str, Any]:
    """Both ways at one rate: frames that came out otherwise, and milliseconds where the tool says seconds."""
    table = material(judge.form, fps)
    losses = write(table, folder / judge.file, judge.form)
    (folder / "rows.json").write_text(json.dumps(told(table, fps)))
    (folder / "v.mp4").touch()
    home = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}  # some keep files there
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=home)
    if done.returncode:
        raise SystemExit(f"{name}: its judge ended with status {done.returncode}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    wanted = Counter(tuple(row[:3]) for row in told(table, fps))
    found = Counter(map(tuple, said["frames"])) if said["frames"] is not None else frames_of(said["seconds"], fps)
    out: dict[str, Any] = {
        "rows": len(table),
        "reads_otherwise": sum((wanted - found).values()),
        "losses": list(losses),
    }
    out["invents"] = sum((found - wanted).values())
    out |= {"notes": said["notes"]} if said["notes"] else {}
    wrote = [said["wrote"]] if isinstance(said["wrote"], str) else said["wrote"] or []
    for file in wrote:
        form = None if judge.form == "via" else judge.form  # VIA's tables are told by their first bytes
        rows = [[r.label, r.start, r.end] for r in read(folder / file, form, fps=fps)]
        back = frames_of(rows, fps)
        out[f"we_read_otherwise {file}"] = sum((wanted - back).values()) + sum((back - wanted).values())
    return out


def version_of(python: Path, judge: Judge) -> str:
    package = judge.packages[0].partition("==")[0]
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return f"{package} " + subprocess.check_output([str(python), "-c", code], text=True).strip()


def one(name: str, judge: Judge, venvs: Path, via: Path | None) -> dict[str, Any] | None:
    """All that a judge says; None where it cannot be had here."""
    script = str(_HERE / judge.script)
    if name == "via":
        if via is None:
            return None
        revision = subprocess.run(["git", "-C", str(via), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
        start, who = ["node", script], f"VIA 3 at {revision.strip()[:12] or 'an unknown revision'}"
    else:
        python = python_of(name, judge, venvs)
        start, who = [str(python), script], version_of(python, judge)
    out: dict[str, Any] = {"format": judge.form, "judge": who, "date": datetime.now(UTC).date().isoformat()}
    for rate, fps in RATES.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [*start, folder, str(fps), *([str(via)] if name == "via" else [])]
            out[rate] = judged(name, judge, fps, Path(folder), command)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=sorted(JUDGES), help="default: all")
    parser.add_argument("--venvs", type=Path, help="where environments are kept; default: built anew")
    parser.add_argument("--via", type=Path, help="checkout of github.com/ox-vgg/via")
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as fresh:
        for name in args.only or JUDGES:
            said = one(name, JUDGES[name], args.venvs or Path(fresh), args.via)
            if said is None:
                print(f"{name}: left out, needs --via", file=sys.stderr)
                continue
            found[name] = said
            print(f"{name}: {said}", file=sys.stderr, flush=True)
    finish("judge_formats", {"judges": found})
    wrong = [n for n, said in found.items() for r in RATES for k, v in said[r].items() if "otherwise" in k and v]
    if wrong:
        raise SystemExit(f"other frames: {', '.join(sorted(set(wrong)))}")


if __name__ == "__main__":
    main()
