"""The example of Ray Train: its two processes end with the weights of torchrun's two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray.train.torch", reason="pip install 'ray[train]'")
pytest.importorskip("torch", reason="pip install '.[train]'")

ROOT = Path(__file__).parents[3]
STEPS = "4"


def run(*words, **more):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_ADDRESS": "local", **more}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ray_train_ends_with_the_weights_of_torchrun(tmp_path):
    sim = tmp_path / "sim" / "data.yaml"
    run("-m", "tal_engine", "data", "simulate", "-o", sim.parent, "--videos", "12", "--test", "4", "--classes", "3")
    run(ROOT / "examples" / "ray_train.py", sim, tmp_path / "by_ray", "2", STEPS)
    by_torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tal_engine")
    run(*by_torchrun, "train", "co2", "--data", sim, "-o", tmp_path / "torchrun", "--steps", STEPS)
    ours, theirs = ((tmp_path / way / "weights.safetensors").read_bytes() for way in ("by_ray", "torchrun"))
    assert ours == theirs
