"""The direction of imports, and what importing the package must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "cuda",
    "cv2",
    "av",
    "matplotlib",
    "scipy",
    "pydantic",
)

# Rooms by floor, ground floor first. A room may import from lower floors and, where it is not in
# SIBLINGS, from its own floor.
FLOORS = [
    {
        "errors",
        "timeline",
        "vocabulary",
        "files",
        "extras",
        "pipeline",
        "hardware",
        "protobuf",
        "graph_contents",
        "redaction",
    },
    {"options", "_core", "ops", "records", "events", "tables", "annotations"},
    {"manifest", "plan", "backends"},
    {"video", "features", "localize", "sinks", "metrics", "operating_point", "demo"},
    {"stages", "engine", "extraction", "stream", "diagnosis", "doctor", "cold_start", "benching"},
    {"nn"},
    {"heads"},
    {"methods"},
    {"data"},
    {"train"},
    {"export"},
    {"cli"},
]
TRAINING = {"nn", "heads", "methods", "data", "train", "export"}
SIBLINGS = {"video", "features", "localize", "sinks", "metrics", "operating_point", "demo"}
#: Command modules that are themselves only imported when their command runs.
TRAINING_COMMANDS = {"tal_engine.cli.demo_plan"}
#: Upward imports that are wanted: a result knows how to write itself.
ALLOWED = {("records", "sinks")}


def floor(room):
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def modules():
    for folder, package in ((ROOT / "tal_engine", "tal_engine"), (ROOT / "export", "tal_engine.export")):
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *(p for p in inner if p != "__init__")])
            yield name, path, path.name == "__init__.py"


def type_checking_blocks(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from ast.walk(ast.Module(node.body, []))


def imported_rooms(name, path, is_package):
    """(room, inside a function?) of every import of this package."""
    tree = ast.parse(path.read_text())
    skipped = set(map(id, type_checking_blocks(tree)))
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        targets = []
        if isinstance(node, ast.Import):
            targets = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            targets = [stem] if node.module and stem != "tal_engine" else [f"{stem}.{a.name}" for a in node.names]
        for t in targets:
            parts = t.split(".")
            if parts[0] == "tal_engine" and len(parts) > 1 and any(parts[1] in rooms for rooms in FLOORS):
                yield parts[1], id(node) in inside


EDGES = [
    (name, room, lazy)
    for name, path, is_package in modules()
    if name != "tal_engine"
    for room, lazy in imported_rooms(name, path, is_package)
]


def test_every_room_has_a_floor():
    rooms = {name.split(".")[1] for name, _, _ in modules() if "." in name}
    assert rooms <= set().union(*FLOORS)
    assert len(EDGES) > 100


@pytest.mark.parametrize(("name", "room", "lazy"), EDGES)
def test_imports_go_down(name, room, lazy):
    own = name.split(".")[1]
    if room == own or (own, room) in ALLOWED:
        return
    assert floor(room) <= floor(own), f"{name} imports {room}, which is above it"
    assert not (own in SIBLINGS and room in SIBLINGS), f"{name} imports its sibling {room}"
    if own not in TRAINING | {"cli"}:
        assert room not in TRAINING, f"{name} is runtime and imports {room}"
    if own == "cli" and room in TRAINING and name not in TRAINING_COMMANDS:
        assert lazy, f"{name} imports {room} at its top: the command line would need torch"


def test_runtime_never_imports_torch():
    for name, path, _ in modules():
        if name.split(".")[1:2] and name.split(".")[1] not in TRAINING:
            tree = ast.parse(path.read_text())
            found = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            found |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
            assert not found & {"torch", "onnx", "safetensors"}, name


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light():
    code = f"import sys, tal_engine; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_import_is_quick():
    code = "import time; t = time.perf_counter(); import tal_engine; print(time.perf_counter() - t)"
    assert min(float(run(code)) for _ in range(5)) < 0.150


def test_engine_and_command_line_do_not_load_torch():
    code = "from tal_engine import TALEngine; from tal_engine.cli import main; main._register()"
    assert run(f"import sys; {code}; print('torch' in sys.modules)").strip() == "False"
