"""Schemathesis over the API of a service, from the description that it gives of itself."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx
from serve_load import clip_of, served

from tal_engine.client import Client

#: Identifiers of things that are there: without them most requests end with 404, with them alone nothing else is tried.
_KNOWN = """
[[operations]]
include-path-regex = "^/v1/plans/"
parameters = { "path.name" = "demo" }
[[operations]]
include-path-regex = "^/v1/streams/"
parameters = { "path.name" = "door" }
[[operations]]
include-path-regex = "^/v1/jobs/"
parameters = { "path.id" = "JOB" }
[[operations]]
include-path-regex = "^/v2/models/"
parameters = { "path.model" = "demo_head", "path.version" = "1" }
"""


def fuzz(python: Path | None, examples: int) -> dict[str, Any]:
    """Run it twice, with identifiers that it makes up and with some that are there."""
    if python is None:
        raise SystemExit("--schemathesis PYTHON: a Python that has schemathesis; pip install schemathesis")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder / "state", "--allow-source", f"door={clip_of(folder)}", "--streams", 4) as one:
            runs = [_run(python, one.base, examples, folder)]
            with Client(one.base) as client:
                client.start_stream("door")
                job = client.submit(clip_of(folder)).id
            (folder / "schemathesis.toml").write_text(_KNOWN.replace("JOB", job))
            runs.append(_run(python, one.base, examples, folder))
            metrics = httpx.get(f"{one.base}/metrics").text
            alive = httpx.get(f"{one.base}/healthz").status_code == 200
            memory = one.memory_mib()
    statuses: dict[str, int] = {}
    for status, count in re.findall(r'tal_http_request_seconds_count\{[^}]*status="(\d+)"\} ([\d.e+]+)', metrics):
        statuses[status] = statuses.get(status, 0) + int(float(count))
    return {
        "schemathesis": _version(python), "examples_of_each": examples, "requests": sum(statuses.values()),
        "statuses": dict(sorted(statuses.items())), "memory_mib": memory, "alive": alive, "runs": runs,
        "server_errors": sum(n for s, n in statuses.items() if s.startswith("5")),
    }  # fmt: skip


def _run(python: Path, base: str, examples: int, folder: Path) -> dict[str, Any]:
    words = [
        "run", f"{base}/openapi.json", "--max-examples", str(examples), "--generation-deterministic", "--workers", "1",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance", "--request-timeout", "30",
        "--exclude-path-regex", "/events$|/doctor$",
    ]  # fmt: skip
    program = python.parent / "schemathesis"
    done = subprocess.run([str(program), *words], capture_output=True, text=True, check=False, cwd=folder)
    said = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines() if line.strip()]
    cases = next((line for line in said if re.match(r"\d+ generated", line)), "")
    return {"exit_status": done.returncode, "cases": cases, "said": [] if done.returncode == 0 else said[-60:]}


def _version(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('schemathesis'))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
