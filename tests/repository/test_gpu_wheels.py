"""Wheels for a machine without a network: cut, joined, checked, installed; and engines as artefacts."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile

import gpu_wheels
import pytest

MOST = 12_288


def wheel(folder, name, size=5000):
    """A wheel of one module that holds so many random bytes."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    content = hashlib.shake_256(name.encode()).hexdigest(size)
    files = {
        f"{name}.py": f"VALUE = {content!r}\n",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{n},,\n" for n in [*files, f"{name}-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for n, text in {**files, f"{name}-1.0.dist-info/RECORD": record}.items():
            archive.writestr(n, text)
    return path, content


@pytest.fixture
def packed(tmp_path):
    """Three wheels of 10 KB and more, cut into trips of 12 KB, script and lists included."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    made = {n: wheel(wheels, n) for n in ("tal_x", "tal_y", "tal_z")}
    found = gpu_wheels.pack([p for p, _ in made.values()], tmp_path / "out", MOST)
    return tmp_path / "out", {n: content for n, (_, content) in made.items()}, found


def install(script, site):
    command = ["bash", str(script), str(site), sys.executable]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def values(site):
    code = "import importlib, json\nfound = {}\nfor n in ('tal_x', 'tal_y', 'tal_z'):\n"
    code += "  try: found[n] = importlib.import_module(n).VALUE\n  except ImportError: pass\nprint(json.dumps(found))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(site)})  # fmt: skip
    return json.loads(done.stdout)


def test_trips_are_small_enough_and_say_what_they_hold(packed):
    out, _, found = packed
    trips = sorted(out.glob("trip-*"))
    assert len(trips) > 2
    for trip in trips:
        assert sum(p.stat().st_size for p in trip.iterdir()) <= MOST
        assert (trip / "install.sh").exists()
    for f in found["files"]:
        content = b"".join((out / f"trip-{p['trip']}" / p["name"]).read_bytes() for p in f["pieces"])
        assert hashlib.sha256(content).hexdigest() == f["sha256"]
        assert len(content) == f["bytes"]


def test_all_is_joined_and_installed(packed, tmp_path):
    out, contents, _ = packed
    done = install(out / "install.sh", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 of the wheels installed")
    assert values(tmp_path / "site") == contents


def test_trips_may_arrive_as_one_folder(packed, tmp_path):
    out, contents, _ = packed
    there = tmp_path / "there"
    there.mkdir()
    for path in out.glob("trip-*/*"):
        path.rename(there / path.name)
    assert install(there / "install.sh", tmp_path / "site").returncode == 0
    assert values(tmp_path / "site") == contents


def test_what_is_missing_or_damaged_costs_itself_alone(packed, tmp_path):
    out, contents, found = packed
    first, second, _ = found["files"]
    lost = first["pieces"][-1]
    (out / f"trip-{lost['trip']}" / lost["name"]).unlink()
    hurt = second["pieces"][-1]
    path = out / f"trip-{hurt['trip']}" / hurt["name"]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    done = install(out / "install.sh", tmp_path / "site")
    assert done.returncode == 0
    assert f"left out: {first['name']}, its piece {lost['name']} is not here" in done.stderr
    assert f"left out: {second['name']}, its checksum is wrong" in done.stderr
    assert set(values(tmp_path / "site")) == {"tal_z"}
    assert set(contents) == {"tal_x", "tal_y", "tal_z"}


def test_packages_that_share_a_folder_stay_whole(packed, tmp_path):
    """As cuda-bindings and cuda-pathfinder do; also where each comes alone, as one does not fit this Python."""
    wheels = tmp_path / "wheels"
    for name in ("left", "right"):
        with zipfile.ZipFile(wheels / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr(f"shared/{name}.py", "")
            archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: x\n")
            archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    for other, site in ((), "together"), ((wheels / "other-1.0-cp27-none-any.whl",), "alone"):
        for path in other:
            path.write_bytes(b"no wheel")
        gpu_wheels.pack(sorted(wheels.glob("*t-1.0*")) + list(other), tmp_path / f"out-{site}", 100_000)
        done = install(tmp_path / f"out-{site}" / "install.sh", tmp_path / site)
        assert done.stdout.startswith("2 of the wheels"), done.stderr
        assert {p.name for p in (tmp_path / site / "shared").glob("*.py")} == {"left.py", "right.py"}


def test_nothing_at_all_is_an_error(packed, tmp_path):
    out, _, _ = packed
    for path in out.glob("trip-*/*.000"):
        path.unlink()
    assert install(out / "install.sh", tmp_path / "site").returncode == 1


@pytest.mark.parametrize(
    ("name", "there"),
    [("torch", True), ("numpy", True), ("nvidia-cudnn-cu13", True), ("nvidia-ml-py", False), ("onnxruntime-gpu", False),
     ("torchmetrics", False), ("numpydoc", False)],
)  # fmt: skip
def test_what_the_machine_has_is_not_carried(name, there):
    assert bool(gpu_wheels.PRESENT.match(name)) is there


def test_a_wheel_is_recognised_by_its_distribution():
    assert gpu_wheels._key("cuda_bindings-13.5.0-cp312-cp312-manylinux_2_24_x86_64.whl") == "cuda_bindings"
    assert gpu_wheels._key("cuda-bindings==13.5.0") == "cuda_bindings"
    assert gpu_wheels._key("cuda-bindings>=13,<14") == "cuda_bindings"
    assert gpu_wheels._key("Nvidia.ml-py==13.0") == "nvidia_ml_py"


def test_bindings_of_another_cuda_are_not_brought_along(tmp_path, monkeypatch):
    """PyPI's torch asks for those of its own CUDA; what is carried fits the runtime."""
    fetched = []
    answers = {
        "open_clip_torch": ["open_clip_torch==3.0", "torch==2.9", "cuda-bindings==12.9.4", "timm==1.0"],
        "cuda-bindings>=13,<14": ["cuda-bindings==13.1.0", "cuda-pathfinder==1.9"],
    }

    def pip(action, *rest):
        fetched.append(rest[-1])
        (tmp_path / f"{rest[-1].replace('-', '_').replace('==', '-')}-py3-none-any.whl").touch()

    monkeypatch.setattr(gpu_wheels, "resolved", lambda names, python: [x for n in names for x in answers[n]])
    monkeypatch.setattr(gpu_wheels, "pip", pip)
    assert gpu_wheels.download(list(answers), tmp_path, "3.12") == {}
    assert fetched == ["cuda-bindings==13.1.0", "cuda-pathfinder==1.9", "open_clip_torch==3.0", "timm==1.0"]


# -- engines ------------------------------------------------------------------------------------


def test_a_graph_that_the_parser_reads_otherwise_is_noticed():
    from gpu_engines import fits

    wanted = {"rgb": [-1, -1, 4], "cas": [-1, -1, 21]}
    assert fits({"rgb": [-1, -1, 4], "cas": [-1, -1, 21]}, wanted)
    assert fits({"rgb": [-1, 7, 4], "cas": [-1, -1, 21]}, wanted)
    assert not fits({"rgb": [-1, -1, 5], "cas": [-1, -1, 21]}, wanted)
    assert not fits({"rgb": [-1, 4], "cas": [-1, -1, 21]}, wanted)
    assert not fits({"rgb": [-1, -1, 4]}, wanted)


def test_the_bytes_that_tensorrt_reads_give_what_the_plan_gives():
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    from gpu_engines import compared

    from tal_engine.backends.tensorrt.edition import load_flavour
    from tal_engine.engine import EMBEDDED_PLAN
    from tal_engine.plan.archive import read_plan

    flavour, plan = load_flavour("tensorrt-rtx"), read_plan(EMBEDDED_PLAN)
    graph = next(e.graph for e in plan.manifest.encoders if e.stream == "rgb")
    content = plan.files[graph.member]
    found = compared(flavour, content, content, graph, 1e-5)
    assert found["equal"]
    assert found["parser"]["frames"][0] == -1
    other = compared(flavour, content, content, graph.model_copy(update={"outputs": graph.inputs}), 1e-5)
    assert not other["same_io"]
