"""A folder of wheels for a CUDA machine without a network, in parts that can be carried in several trips.

    python benchmarks/gpu_wheels.py prepare DIR [--python 3.12] [--part-mib 60] [--only NAME ...]
    bash DIR/install.sh SITE [PYTHON]           there, with all parts in DIR or in folders beside each other

prepare  resolves what gpu_day can use for that Python on 64-bit x86 Linux, downloads it without what is there already
         (torch, numpy and what torch brought), builds the project's own wheel with that Python if it is on this
         machine, else packs the sources with what builds them there, and cuts it all into DIR/trip-N/ folders of at
         most --part-mib. What cannot be had is named and left out. DIR/manifest.json lists it all with checksums.
install  joins the pieces, checks every wheel's SHA-256, installs them into SITE without dependencies, and says which
         modules can be imported. Nothing is fetched. Then: PYTHONPATH=SITE python benchmarks/gpu_day.py

Each trip carries its folder; folders may also be joined into one. A trip that is missing costs the wheels that have a
piece in it, which install.sh names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: What gpu_day can use, most wanted first; each is resolved alone, so that one that is missing costs no other.
WANTED = (
    "pydantic", "typer", "rich", "av", "opencv-contrib-python-headless", "onnxruntime-gpu", "onnx", "onnxscript",
    "safetensors", "nvidia-ml-py", "psutil", "filelock", "pytest", "hypothesis", "open_clip_torch",
    "jsonschema", "cuda-bindings>=13,<14",
)  # fmt: skip
#: Resolved without the others: PyPI's torch, which is not carried, asks for one of another CUDA.
APART = ("cuda-bindings",)
#: There already, with all that begins so: torch brought its own CUDA.
PRESENT = re.compile(
    r"(torch|torchvision|numpy|triton|nvidia-(?!ml-py)\w.*|sympy|mpmath|networkx|jinja2|fsspec|markupsafe)$"
)
#: The newest platforms first; pip matches the number exactly.
PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (34, 31, 28, 27, 24, 17)] + ["manylinux2014_x86_64"]
#: What joins and installs it all there.
SCRIPT = Path(__file__).with_name("gpu_install.sh")
#: What builds the project's wheel from its sources; ziglang is a C++ compiler where there is none.
BUILDERS = ("scikit-build-core", "pybind11", "cmake", "ninja", "ziglang")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["prepare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--part-mib", type=float, default=60.0)
    parser.add_argument("--only", nargs="*", help="These packages, instead of all; none of them: the project alone.")
    args = parser.parse_args()
    if args.folder.exists() and any(args.folder.iterdir()):
        sys.exit(f"{args.folder} is not empty")
    # Beside the parts and kept after an interruption: what is downloaded once is not downloaded again.
    wheels = args.folder.with_name(args.folder.name + ".wheels")
    wheels.mkdir(parents=True, exist_ok=True)
    missing = download(WANTED if args.only is None else args.only, wheels, args.python)
    missing |= build(wheels, args.python)
    manifest = pack(sorted(p for p in wheels.iterdir() if p.is_file()), args.folder, int(args.part_mib * 2**20))
    manifest |= {"python": args.python, "missing": missing}
    text = json.dumps(manifest, indent=1)
    (args.folder / "manifest.json").write_text(text + "\n")
    trips = sorted({piece["trip"] for f in manifest["files"] for piece in f["pieces"]})
    said = {"files": len(manifest["files"]), "mib": round(sum(f["bytes"] for f in manifest["files"]) / 2**20, 1)}
    print(json.dumps({**said, "trips": len(trips), "missing": missing}))


def download(names: Sequence[str], wheels: Path, python: str) -> dict[str, str]:
    """Wheels of the packages and of all that they need; why there are none of the others.

    All but `APART` are resolved together, so that their versions fit; where that fails, each alone.
    """
    if not names:
        return {}
    own = [name for name in names if _key(name) in map(_key, APART)]
    if own and len(own) < len(names):
        rest = [name for name in names if name not in own]
        # First, so that what the others bring along finds them there.
        return {k: v for part in (*([o] for o in own), rest) for k, v in download(part, wheels, python).items()}
    try:
        fetch(resolved(names, python), wheels, python)
    except subprocess.CalledProcessError as e:
        if len(names) == 1:
            return {names[0]: " ".join(e.stderr.split())[-300:]}
        return {k: v for name in names for k, v in download([name], wheels, python).items()}
    return {}


def fetch(needed: Sequence[str], wheels: Path, python: str) -> None:
    """Download NAME==VERSION, but for what is there already."""
    have = {_key(p.name) for p in wheels.iterdir()}
    for one in needed:
        if not PRESENT.match(one.split("==")[0]) and _key(one) not in have:
            pip("download", "--no-deps", "-d", str(wheels), *target(python), one)


def _key(name: str) -> str:
    """A distribution's name alone, in one spelling."""
    own = name.split("-")[0] if name.endswith(".whl") else re.split("[=<>!~]", name)[0]
    return re.sub(r"[-_.]+", "_", own).lower()


def resolved(names: Sequence[str], python: str) -> list[str]:
    """What pip would install for packages there: NAME==VERSION."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip(
            "install",
            "--dry-run",
            "--ignore-installed",
            "--target",
            folder,
            "--report",
            str(report),
            *target(python),
            *names,
        )
        found = json.loads(report.read_text())["install"]
    return [f"{i['metadata']['name'].lower()}=={i['metadata']['version']}" for i in found]


def target(python: str) -> list[str]:
    """Options of pip for wheels of that Python on Linux."""
    platforms = [x for p in PLATFORMS for x in ("--platform", p)]
    return ["--only-binary", ":all:", "--python-version", python, "--implementation", "cp", *platforms]


def pip(*args: str) -> None:
    """Run pip; its complaints are in the error."""
    print("pip", args[0], *[a for a in args[1:] if "==" in a], file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", *args, "--quiet", "--disable-pip-version-check"]
    subprocess.run(command, capture_output=True, text=True, check=True)


def build(wheels: Path, python: str) -> dict[str, str]:
    """The project's wheel for that Python; where this machine has none, its sources and what builds them."""
    interpreter, why = interpreter_of(python), f"no python{python} here"
    if interpreter:
        with tempfile.TemporaryDirectory() as folder:
            try:
                subprocess.run([interpreter, "-m", "venv", folder], capture_output=True, text=True, check=True)
                command = [f"{folder}/bin/python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels)]
                # The C++ library of this machine may be newer than that of the other.
                static = "--config-settings=cmake.define.CMAKE_MODULE_LINKER_FLAGS=-static-libstdc++ -static-libgcc"
                subprocess.run([*command, static, str(ROOT)], capture_output=True, text=True, check=True)
            except subprocess.CalledProcessError as e:
                why = f"python{python} cannot build it: {' '.join(e.stderr.split())[-300:]}"
            else:
                return {}
    missing = {"the project's wheel": f"{why}: its sources are packed instead"}
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    names = [f for f in files if f and not f.startswith(("benchmarks/results", "tests/", "docs/", "findings/"))]
    subprocess.run(["tar", "czf", str(wheels / "tal_engine_sources.tar.gz"), *names], cwd=ROOT, check=True)
    return missing | download(BUILDERS, wheels, python)


def interpreter_of(python: str) -> str | None:
    """A Python of that version that starts; the names that pyenv puts on the path need not."""
    homes = sorted(Path.home().glob(f".pyenv/versions/{python}*/bin/python{python}"))
    for found in [*(Path(p) for p in [shutil.which(f"python{python}")] if p), *homes]:
        done = subprocess.run([str(found), "-c", "import sys"], capture_output=True, check=False)
        if done.returncode == 0:
            return str(found)
    return None


def pack(files: list[Path], folder: Path, most: int) -> dict[str, Any]:
    """Cut files into folders trip-1, trip-2, ... of at most `most` bytes each, in order; what lies where."""
    folder.mkdir(parents=True, exist_ok=True)
    room = most - beside(files, most)
    if room <= 0:
        sys.exit(f"parts of {most} bytes have no room beside their list of files: take larger ones")
    trip, left, listed = 1, room, []
    for path in files:
        content, pieces, at = path.read_bytes(), [], 0
        while at < len(content) or not pieces:
            if left == 0:
                trip, left = trip + 1, room
            piece = content[at : at + left]
            name = f"{path.name}.{len(pieces):03d}"
            (folder / f"trip-{trip}").mkdir(exist_ok=True)
            (folder / f"trip-{trip}" / name).write_bytes(piece)
            pieces.append({"trip": trip, "name": name})
            at, left = at + len(piece), left - len(piece)
        listed.append(
            {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pieces": pieces}
        )
    sums = "".join(f"{f['sha256']}  {f['name']}\n" for f in listed)
    needs = "".join(f"{f['name']} {' '.join(p['name'] for p in f['pieces'])}\n" for f in listed)
    for n in range(1, trip + 1):  # each trip can be the first
        place = folder / f"trip-{n}"
        (place / "SHA256SUMS").write_text(sums)
        (place / "PIECES").write_text(needs)
        (place / SCRIPT.name.removeprefix("gpu_")).write_text(SCRIPT.read_text())
    shutil.copy(SCRIPT, folder / SCRIPT.name.removeprefix("gpu_"))
    return {"files": listed}


def beside(files: list[Path], most: int) -> int:
    """Bytes at most of what lies in a trip beside the pieces: checksums, the list of pieces, the script."""
    names = sum(len(p.name) for p in files)
    pieces = sum((len(p.name) + 5) * (p.stat().st_size // (most // 2) + 2) for p in files)
    return SCRIPT.stat().st_size + 67 * len(files) + 2 * names + 2 * len(files) + pieces


if __name__ == "__main__":
    main()
