"""Fixtures: small real video files, a tiny plan, the shared data."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is loaded: tests run side by side, and waiting threads of one would take the cores of the other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from tal_engine._util.instructions import instructions
from tests.makers import moving_square, tiny_plan, write_mp4
from tests.slow_lane import pytest_addoption, pytest_collection_modifyitems, pytest_configure

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure"]  # hooks


def pytest_report_header() -> str:
    """What the results of 8-bit graphs may depend on."""
    return f"instructions: {instructions()}"


def _shared() -> Path:
    root = Path(os.environ.get("TAL_SHARED", Path(__file__).parents[2] / "shared"))
    return root / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the project."""
    if not _shared().is_dir():
        pytest.skip(f"no shared data at {_shared()}; set TAL_SHARED to the folder that holds data/")
    return _shared()


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """Four seconds of a moving square, 25 fps, 96 x 64."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_mp4(path, moving_square(100, 64, 96))
    return path


@pytest.fixture(scope="session")
def plan_path(tmp_path_factory) -> Path:
    """A plan with a random head and small random encoders; 3 classes."""
    path = tmp_path_factory.mktemp("plan") / "tiny.plan"
    tiny_plan(path)
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def text():
    """A small random text tower that knows the class names of the training tests."""
    import torch

    from tal_engine.lab.nn.tiny import TinyText

    torch.manual_seed(0)
    return TinyText(["run", "jump", "sit", "down"]).eval().requires_grad_(False)
