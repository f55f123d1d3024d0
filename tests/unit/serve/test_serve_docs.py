"""What docs/serve.md shows works: its calls of curl and its Python, against a service."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service needs [serve]")
pytest.importorskip("uvicorn", reason="the service needs [serve]")
pytest.importorskip("httpx", reason="the service needs [serve]")

from tal_engine import TALEngine, save_features
from tests.makers import moving_square, tiny_plan
from tests.serving import running
from tests.waiting import LONG_S

PAGE = Path(__file__).parents[3] / "docs" / "serve.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_page_s_examples_run(tmp_path, clip, monkeypatch):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    monkeypatch.chdir(tmp_path)
    tiny_plan(tmp_path / "mine.plan")
    shutil.copy(clip, "my.mp4")
    save_features("features.npz", TALEngine.load("mine.plan").features(clip))
    blocks = [(m[1], m[2]) for m in BLOCK.finditer(PAGE.read_text())]
    shell = "".join(text for kind, text in blocks if kind == "sh" and "curl" in text)
    assert shell.count("curl ") >= 13
    with running(tmp_path / "state", plan=Path("mine.plan"), sources=(f"door={clip}",)) as one:
        here = f"set -eo pipefail\n{shell}".replace("http://127.0.0.1:8765", one.base)
        done = subprocess.run(["bash", "-c", here], capture_output=True, text=True, timeout=LONG_S, check=False)
        assert done.returncode == 0, done.stderr
        for part in (
            '"source": "my.mp4"',
            "video,label,start,end,score",
            '"cas"',
            "event: end",
            "WEBVTT",
            '"platform"',
        ):
            assert part in done.stdout
        space = {"camera": [(frame, i / 25) for i, frame in enumerate(moving_square(40, 48, 64))]}
        (python,) = [text for kind, text in blocks if kind == "python"]
        exec(compile(python.replace("http://127.0.0.1:8765", one.base), str(PAGE), "exec"), space)  # its own document
    assert Path("my.vtt").read_text().startswith("WEBVTT")
