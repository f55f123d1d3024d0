"""docs/sandbox.sh keeps what it says it keeps, where bubblewrap can run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tal_engine
from tests.makers import moving_square, tiny_plan, write_mp4

SCRIPT = Path(__file__).parents[2] / "docs" / "sandbox.sh"
VENV = Path(sys.prefix)

PROBE = """
import json, os, socket
def tried(f):
    try:
        f()
    except (OSError, MemoryError) as e:
        return type(e).__name__
    return "worked"
print(json.dumps({
    "network": tried(lambda: socket.create_connection(("127.0.0.1", PORT), 2)),
    "writes to /in": tried(lambda: open("/in/x", "w")),
    "writes to /usr": tried(lambda: open("/usr/x", "w")),
    "reads /etc/passwd": tried(lambda: open("/etc/passwd")),
    "10 GiB": tried(lambda: bytearray(10 << 30)),
    "writes to /out": tried(lambda: open("/out/x", "w")),
    "processes": len([p for p in os.listdir("/proc") if p.isdigit()]),
}))
"""


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    works = shutil.which("bwrap") and shutil.which("prlimit")
    if not works or subprocess.run(["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"], check=False).returncode:
        pytest.skip("bubblewrap is not installed, or user namespaces are not allowed here")
    packages = {str(Path(m.__file__).resolve().parents[1]) for m in (tal_engine, pytest)}
    monkeypatch.setenv("TAL_SANDBOX_READ", " ".join(sorted(packages)))
    for name in ("in", "out"):
        (tmp_path / name).mkdir()

    def run(*command):
        call = [SCRIPT, VENV, tmp_path / "in", tmp_path / "out", *command]
        return subprocess.run([*map(str, call)], capture_output=True, text=True, check=False, timeout=120)

    return run


def test_what_is_shut_out(sandbox):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:  # reachable from outside of the sandbox
        done = sandbox("python", "-c", PROBE.replace("PORT", str(server.getsockname()[1])))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("processes") <= 3
    assert found.pop("writes to /out") == "worked"
    assert "worked" not in found.values(), found


def test_a_video_is_localized_inside(sandbox, tmp_path):
    tiny_plan(tmp_path / "in" / "x.plan")
    write_mp4(tmp_path / "in" / "clip.mp4", moving_square(50, 48, 64))
    done = sandbox("tal", "localize", "/in/clip.mp4", "--plan", "/in/x.plan", "--timeout", "60", "-o", "/out/r.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "r.json").read_text())["results"]
