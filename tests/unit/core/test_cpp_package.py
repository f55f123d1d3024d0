"""The core without Python: installed, found by a project outside of the tree, called from C++ and C."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tal_engine import _core
from tal_engine.ops import native_nms_options, native_proposal_options
from tal_engine.options import NmsOptions, ProposalOptions, SourceOptions

ROOT = Path(__file__).parents[3]

#: The dev extra has cmake and ninja; `make test` runs Python without its folder on the path.
TOOLS = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
CMAKE, NINJA = (shutil.which(tool, path=TOOLS["PATH"]) for tool in ("cmake", "ninja"))

needs_cmake = pytest.mark.skipif(CMAKE is None, reason="no cmake; it is in the dev extra")


def cmake(*words):
    done = subprocess.run([CMAKE, *map(str, words)], capture_output=True, text=True, check=False, env=TOOLS)
    assert done.returncode == 0, done.stdout + done.stderr


def configure(source, build, *words):
    # Neither optimised nor cloned for processors: the same numbers, compiled in less time.
    ninja = ["-G", "Ninja"] if NINJA else []
    quick = ["-DTAL_WERROR=ON", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS=-DTAL_NO_CLONES -g0"]
    cmake("-S", source, "-B", build, *ninja, *quick, *words)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The example programs, built against an installed library from a copy of their sources."""
    room = tmp_path_factory.mktemp("package")
    configure(ROOT, room / "library", f"-DCMAKE_INSTALL_PREFIX={room / 'prefix'}")
    cmake("--build", room / "library", "--parallel", "2")
    cmake("--install", room / "library")
    shutil.copytree(ROOT / "csrc" / "examples", room / "examples")
    configure(room / "examples", room / "programs", f"-DCMAKE_PREFIX_PATH={room / 'prefix'}")
    cmake("--build", room / "programs")
    return room


def wanted():
    """What the examples compute, by way of Python: segments and average precision."""
    t = np.arange(48)
    ripple = (t * 7 % 5) / 16
    cas = np.stack([ripple + 3.0 * ((t >= 10) & (t < 20)), ripple + 2.5 * ((t >= 28) & (t < 40))], 1).astype(np.float32)
    source = SourceOptions(of="cas", thresholds=(0.1, 0.3, 0.5, 0.7, 0.9), scale="minmax", score_scale="minmax",
                           scoring="contrast", outer_ratio=0.25, class_weight=0.2)  # fmt: skip
    options = ProposalOptions(
        sources=(source,), class_score="sigmoid", class_threshold=0.2, class_fallback=True, topk_ratio=8,
        min_length=1, upsample=1, background=False,
    )  # fmt: skip
    start, end, score, label, _ = _core.propose(cas, None, [0, 48], native_proposal_options(options))
    nms = NmsOptions(kind="gaussian", sigma=0.3, threshold=0.1)
    index, score, _ = _core.suppress(start, end, score, label, [0, len(start)], native_nms_options(nms))
    rule = _core.ApOptions(
        thresholds=[0.5, 0.95], matching=_core.Matching.best_free, rule=_core.ApRule.interpolated, inclusive=True,
        ties=_core.Ties.ranked,
    )  # fmt: skip
    ap = _core.average_precision(
        truth_video=[0, 0], truth_label=[0, 1], truth_start=[9.0, 27.0], truth_end=[20.0, 41.0],
        video=np.zeros(len(index), np.int32), label=label[index], start=start[index], end=end[index], score=score,
        classes=2, videos=1, options=rule,
    )  # fmt: skip
    return np.stack([start[index], end[index], label[index], score], 1), ap.ravel()


@pytest.mark.slow
@needs_cmake
@pytest.mark.parametrize("program", ["localize_cpp", "localize_c"])
def test_examples_print_what_python_computes(examples, program):
    done = subprocess.run([examples / "programs" / program], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    segments = np.array([[float(v) for v in row[1:]] for row in lines if row[0] == "segment"])
    ap = np.array([float(row[1]) for row in lines if row[0] == "ap"])
    wanted_segments, wanted_ap = wanted()
    assert len(segments) >= 2
    np.testing.assert_allclose(segments, wanted_segments, rtol=1e-12)
    np.testing.assert_allclose(ap, wanted_ap, rtol=1e-12)


@pytest.mark.slow
@needs_cmake
def test_what_is_installed(examples):
    prefix = examples / "prefix"
    headers = {p.name for p in (ROOT / "csrc" / "include" / "tal").iterdir()}
    assert {p.name for p in (prefix / "include" / "tal").iterdir()} == headers
    assert "tal.h" in headers
    names = {p.name for p in prefix.rglob("*.cmake")}
    assert {"talConfig.cmake", "talConfigVersion.cmake", "talTargets.cmake"} <= names
    assert len(list(prefix.rglob("libtal.a")) + list(prefix.rglob("tal.lib"))) == 1
    for text in prefix.rglob("*.cmake"):
        assert str(ROOT) not in text.read_text(), f"{text.name} points into the source tree"


def test_c_header_covers_every_function():
    """A function that a .hpp declares and tal.h forgets would be out of reach for C."""
    header = (ROOT / "csrc" / "include" / "tal" / "tal.h").read_text()
    names = {"boundary_pairs": "tal_find_boundary_pairs"}
    offered = [n for n in dir(_core) if not n.startswith("_") and callable(getattr(_core, n)) and n.islower()]
    assert len(offered) == 10
    for name in offered:
        assert f"tal_status {names.get(name, f'tal_{name}')}(" in header
