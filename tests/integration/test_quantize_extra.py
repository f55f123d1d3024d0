"""Plans in eight bits where only the runtime and onnx are installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tal_engine.plan.archive import read_plan

CODE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from tal_engine.cli.main import run
run()
"""
TRAINING = ("torch", "torchvision", "onnxscript", "safetensors", "open_clip", "yaml", "tensorboard")


def build(absent, *args):
    code = CODE.format(absent=tuple(absent))
    command = [sys.executable, "-c", code, "plan", "build", "--backend", "onnxruntime", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def args(clip, tmp_path):
    return ["--precision", "int8", "--calibration", clip, "-o", tmp_path / "int8.plan"]


def test_int8_needs_onnx_and_no_torch(args, tmp_path):
    done = build(TRAINING, *args)
    assert done.returncode == 0, done.stderr
    assert read_plan(tmp_path / "int8.plan").manifest.precision == "int8"


def test_what_is_missing_is_named_with_its_extra(args):
    done = build([*TRAINING, "onnx"], *args)
    assert done.returncode == 1
    assert "onnx is not installed: pip install 'tal-engine[quantize]'" in done.stderr
    assert "Traceback" not in done.stderr
