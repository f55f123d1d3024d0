"""What each command writes, and what must be true of it after a fault and after the same command ran again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tal_engine.events import Event


@dataclass(frozen=True)
class Place:
    """The folder of one trial; what counts as output lies in `out`."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def stdout(self) -> str:
        return _text(self.folder / "stdout.txt")

    @property
    def stderr(self) -> str:
        return _text(self.folder / "stderr.txt")


@dataclass
class Work:
    """A command under test.

    Args:
        name: in tables.
        argv: the command's arguments for an output folder.
        old: puts an earlier result into the folder; trials are run without and with it.
        sound: what is wrong with the folder after a fault, before anything is repaired; None compares whole files.
        same: what differs from an undisturbed run's folder after the command ran again; None compares all files.
        told: what the command says on stdout is output as well.
        warm: a step of `warm` and its arguments, done before the trials.
    """

    name: str
    argv: Callable[[Path], Sequence[str | Path]]
    old: Callable[[Path], None] | None = None
    sound: Callable[[Place, Place, Path | None], list[str]] | None = None
    same: Callable[[Place, Place], list[str]] | None = None
    told: bool = False
    warm: Sequence[str] = ()


def files_of(folder: Path) -> dict[str, bytes]:
    """Whole content of a folder, by relative name; leftovers of killed writers are not in it."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if not p.name.startswith(".")}


def leftovers(folder: Path) -> list[Path]:
    """Temporary files."""
    return [p for p in folder.rglob(".*") if p.is_file()]


def whole_files(place: Place, wanted: Place, old: Path | None) -> list[str]:
    """Each file is the old one, the new one, or absent where it was absent."""
    new, before = files_of(wanted.out), files_of(old) if old else {}
    out = []
    for name, content in files_of(place.out).items():
        if name not in new and name not in before:
            out.append(f"{name}: a file that no run writes")
        elif content not in (new.get(name), before.get(name)):
            out.append(f"{name}: neither the old file nor the new one ({len(content)} bytes)")
    return out + [f"{name}: the old file is gone" for name in before if not (place.out / name).exists()]


def same_files(place: Place, wanted: Place) -> list[str]:
    """What differs from the undisturbed run."""
    ours, theirs = files_of(place.out), files_of(wanted.out)
    return [
        f"{n}: differs from the undisturbed run's" for n in sorted({*ours, *theirs}) if ours.get(n) != theirs.get(n)
    ]


def localize(form: str, videos: Sequence[Path], plan: Path | None, *more: str) -> Work:
    """``tal localize -o`` in one form; `more` are names of a picture and a video that are written beside it."""
    options = {".png": "--plot", ".mp4": "--save-video"}

    def argv(out: Path) -> list[str | Path]:
        beside = [a for name in more for a in (options[Path(name).suffix], out / name)]
        chosen = ["--plan", plan] if plan else []
        return [
            "localize",
            *videos,
            *chosen,
            "-o",
            out / f"r.{form}",
            *beside,
            "--device",
            "cpu",
            "--threads",
            "1",
            "-q",
            "--overwrite",
        ]

    def old(out: Path) -> None:
        for name in (f"r.{form}", *more):
            (out / name).write_bytes(b"an earlier result\n" * 50)

    return Work(f"localize -o .{form}{' --plot --save-video' if more else ''}", argv, old)


def features(videos: Path, encoders: str = "tiny") -> Work:
    """``tal features extract`` of a folder of videos."""

    def argv(out: Path) -> list[str | Path]:
        return ["features", "extract", videos, "-o", out, "--encoders", encoders, "--device", "cpu"]

    return Work("features extract", argv, warm=("features", encoders))


def export(checkpoint: Path) -> Work:
    """``tal export`` of a checkpoint to a plan that reads features."""

    def argv(out: Path) -> list[str | Path]:
        return ["export", checkpoint, "--encoders", "none", "-o", out / "x.plan"]

    return Work("export", argv, _old_plan, warm=("export", str(checkpoint)))


def plan_build(plan: Path) -> Work:
    """``tal plan build`` of a half-precision plan."""

    def argv(out: Path) -> list[str | Path]:
        return ["plan", "build", plan, "--backend", "onnxruntime", "--precision", "fp16", "-o", out / "x.plan"]

    return Work("plan build", argv, _old_plan, warm=("plan_build", str(plan)))


def train(data: Path, method: str, earlier: Path, *settings: str) -> Work:
    """``tal train`` that goes on from a checkpoint where one is there.

    earlier: a checkpoint of fewer steps of the same run.
    """

    def argv(out: Path) -> list[str | Path]:
        resume = ["--resume"] if (out / "checkpoint.json").exists() else []
        changes = [a for s in settings for a in ("--train-options", s)]
        return ["train", method, "--data", data, "-o", out, "--device", "cpu", *changes, *resume]

    def old(out: Path) -> None:
        shutil.copytree(earlier, out, dirs_exist_ok=True)

    return Work("train", argv, old, _loads, _same_run)


def _loads(place: Place, wanted: Place, old: Path | None) -> list[str]:
    """A checkpoint that was there once can be loaded at every moment, and never goes back."""
    from tal_engine.errors import TALError
    from tal_engine.lab.training import checkpoint

    if not (place.out / "checkpoint.json").exists():
        return ["the earlier checkpoint is gone"] if old else []
    try:
        step = checkpoint.load(place.out).step
        checkpoint.load(place.out).network()
    except TALError as e:
        return [f"the checkpoint cannot be loaded: {e}"]
    before = checkpoint.load(old).step if old else 0
    return [f"the checkpoint is of step {step}, before it was of {before}"] if step < before else []


def _without_command(files: dict[str, bytes]) -> dict[str, bytes]:
    if "report.json" not in files:
        return files
    report = {k: v for k, v in json.loads(files["report.json"]).items() if k != "command"}
    return {**files, "report.json": json.dumps(report).encode()}


def _same_run(place: Place, wanted: Place) -> list[str]:
    """Weights, the optimizer's state and the report are those of the run that nothing disturbed, bit for bit.

    But for the command in the report, which names the folder and whether the run went on.
    """
    ours, theirs = (_without_command(files_of(p.out)) for p in (place, wanted))
    names = sorted(n for n in {*ours, *theirs} if "tensorboard" not in n)
    return [f"{n}: differs from the undisturbed run's" for n in names if ours.get(n) != theirs.get(n)]


def stream(video: Path, plan: Path | None, settings: Sequence[str], *, rotate: int = 0) -> Work:
    """``tal stream --state`` into stdout and files."""
    sinks = ("jsonl:{}/e.jsonl",) if rotate else ("jsonl:{}/e.jsonl", "csv:{}/e.csv", "srt:{}/e.srt", "vtt:{}/e.vtt")

    def argv(out: Path) -> list[str | Path]:
        chosen = ["--plan", plan] if plan else []
        given = [a for s in sinks for a in ("--sink", s.format(out))]
        given += ["--sink-options", f"max_bytes={rotate}"] if rotate else []
        chosen += ["--device", "cpu", "-q"]
        return [
            "stream",
            f"c={video}",
            *chosen,
            *settings,
            *given,
            "--state",
            out / "state",
            "--report",
            out / "r.json",
        ]

    name = "stream --state, rotated" if rotate else "stream --state"
    return Work(name, argv, None, _events_so_far, _same_events, told=True)


def end_lines(place: Place) -> None:
    """Cut off the line of stdout that a crash tore: who reads it sees the process end there."""
    path = place.out / "stdout.jsonl"
    path.write_bytes(path.read_bytes()[: path.read_bytes().rfind(b"\n") + 1])


def _lines(path: Path) -> tuple[list[str], str]:
    """Whole lines, and a torn rest."""
    *whole, rest = _text(path).split("\n")
    return whole, rest


def _streams_of(out: Path) -> dict[str, list[Path]]:
    """Files that hold events as JSON Lines, in the order of writing, by sink."""
    rotated = sorted(out.glob("e.0*.jsonl"))
    return {"e.jsonl": [*rotated, *out.glob("e.jsonl")], "stdout": [*out.glob("stdout.jsonl")]}


def _ids(paths: Sequence[Path], problems: list[str]) -> list[str]:
    """Ids of the events in the files; what is not whole is a problem, but for the end of the last file."""
    found = []
    for path in paths:
        whole, rest = _lines(path)
        for line in whole:
            try:
                found.append(Event.from_json(line).id)
            except Exception as e:
                problems.append(f"{path.name}: a line is no event ({e})")
        if rest and path is not paths[-1]:
            problems.append(f"{path.name}: its last line is torn, and it is not the newest")
    return found


def _events_so_far(place: Place, wanted: Place, old: Path | None) -> list[str]:
    """Files hold whole events of the undisturbed run, each once; the report is whole or not there."""
    problems: list[str] = []
    for name, paths in _streams_of(place.out).items():
        ids, all_ids = _ids(paths, problems), _ids(_streams_of(wanted.out)[name], [])
        if foreign := set(ids) - set(all_ids):
            problems.append(f"{name}: {len(foreign)} events that the undisturbed run does not have")
        if len(set(ids)) < len(ids):
            problems.append(f"{name}: {len(ids) - len(set(ids))} events twice")
    for name in ("e.csv", "e.srt", "e.vtt"):
        if (place.out / name).exists() and not _text(wanted.out / name).startswith(_text(place.out / name)):
            problems.append(f"{name}: not the beginning of the undisturbed run's")
    if (report := place.out / "r.json").exists():
        json.loads(report.read_text())
    return problems


def _same_events(place: Place, wanted: Place) -> list[str]:
    """Files hold all finals once, in order; stdout, which nobody can look into, each at least once."""
    problems: list[str] = []
    for name, paths in _streams_of(place.out).items():
        ids, all_ids = _ids(paths, problems), _ids(_streams_of(wanted.out)[name], [])
        if name == "stdout":
            ids = list(dict.fromkeys(ids))
        if ids != all_ids:
            missing = len(set(all_ids) - set(ids))
            problems.append(f"{name}: {len(ids)} events, must be {len(all_ids)}; {missing} are missing")
    for name in ("e.csv", "e.srt", "e.vtt"):
        if _text(place.out / name) != _text(wanted.out / name):
            problems.append(f"{name}: differs from the undisturbed run's")
    return problems


def clear(stderr: str) -> list[str]:
    """What is wrong with the words of a command that failed."""
    if "Traceback" in stderr:
        last = [line for line in stderr.splitlines() if line.strip()][-1]
        return [f"a traceback: {last}"]
    return [] if re.search(r"(?m)^(error|.*cannot be)", stderr) else [f"no clear error: {stderr[-200:]!r}"]


def _old_plan(out: Path) -> None:
    (out / "x.plan").write_bytes(b"an earlier plan\n" * 50)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
