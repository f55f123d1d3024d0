"""One import rule, no circles, and what importing the package must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Rooms that need torch or onnx.
LAB = ("tal_engine.lab", "tal_engine.export")
#: Commands that are themselves only imported when they run.
LAB_COMMANDS = ("tal_engine.cli.demo_plan",)
HEAVY = (
    "torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "cuda", "cv2", "av", "matplotlib", "scipy", "pydantic",
)  # fmt: skip


def modules():
    """(dotted name, syntax tree, is a package?) of every module; the link tal_engine/export leads to export/."""
    for folder, package in ((ROOT / "tal_engine", "tal_engine"), (ROOT / "export", "tal_engine.export")):
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder).with_suffix("").parts
            if (package, *inner[:1]) != ("tal_engine", "export"):
                name = ".".join([package, *(p for p in inner if p != "__init__")])
                yield name, ast.parse(path.read_text()), path.name == "__init__.py"


TREES = {name: (tree, is_package) for name, tree, is_package in modules()}


def targets(node, name, is_package):
    """Dotted names that an import statement of the module `name` reads."""
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    package = name.split(".") if is_package else name.split(".")[:-1]
    base = package[: len(package) - node.level + 1] if node.level else []
    stem = ".".join([*base, *([node.module] if node.module else [])])
    compiled = "tal_engine._core"
    inner = [f"{stem}.{a.name}" for a in node.names if f"{stem}.{a.name}" in (*TREES, compiled)]
    return inner if len(inner) == len(node.names) else [stem, *inner]


def imports(name, at_load=False, typing=True):
    """What a module imports; `at_load`: only what is imported when the module is; `typing`: also for types alone."""
    tree, is_package = TREES[name]
    left_out = set()
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (typing_only and (at_load or not typing)) or (later and at_load):
            left_out |= set(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in left_out:
            yield from targets(node, name, is_package)


def of_the_lab(name):
    return name.startswith(LAB)


def test_all_modules_are_seen():
    assert len(TREES) > 300
    assert {"tal_engine.engine", "tal_engine.lab.methods.pvlr", "tal_engine.export.gate"} <= set(TREES)


@pytest.mark.parametrize("name", [n for n in TREES if not of_the_lab(n)])
def test_nothing_outside_the_lab_imports_the_lab(name):
    command = name.startswith("tal_engine.cli.")  # a command of the lab imports it when it runs
    if name in LAB_COMMANDS:
        return
    found = [t for t in imports(name, at_load=command) if of_the_lab(t)]
    assert not found, f"{name} imports {found}"


@pytest.mark.parametrize("name", [n for n in TREES if not of_the_lab(n)])
def test_the_runtime_never_imports_torch(name):
    assert not {t.split(".")[0] for t in imports(name)} & {"torch", "onnx", "safetensors"}


def circles(graph):
    """Groups of nodes that reach each other (Tarjan's strongly connected components of two nodes or more)."""
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in graph[node]:
            if other not in number:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.extend([sorted(group)] if len(group) > 1 else [])

    for node in graph:
        if node not in number:
            visit(node)
    return found


def test_no_modules_import_each_other_in_a_circle():
    """Not when they are loaded, not later in a function, and not for types."""
    graph = {name: sorted({t for t in imports(name) if t in TREES} - {name}) for name in TREES}
    assert not circles(graph)
    assert circles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == [["b", "c"]]


def test_rooms_import_each_other_in_one_direction():
    """Data flows one way: no room reaches back into one that builds on it, but for the types of what it is given."""
    graph = {}
    for name in TREES:
        graph.setdefault(room_of(name), set()).update(map(room_of, imports(name, typing=False)))
    del graph[""]
    for room, inner in graph.items():
        inner.intersection_update(graph)
        inner.discard(room)
    assert not circles(graph)
    assert "video" not in graph["features"]  # siblings: what composes them is above both
    assert not graph["video"] & {"features", "inference", "streaming", "live"}


def room_of(name):
    """The part of a name below the package; "" of the package itself and of what is not of it."""
    return name.split(".")[1] if name.startswith("tal_engine.") else ""


def run(code, **options):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **options)
    return done.stdout.strip()


def test_a_plain_checkout_imports_export():
    """Without an installation: mypy, editors and coverage see the same names as users."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tal_engine.export.pbtxt as m; print(m.__file__)"
    assert Path(run(code)).resolve() == ROOT / "export" / "pbtxt.py"
    assert (ROOT / "tal_engine" / "export").resolve() == ROOT / "export"


def test_import_is_light():
    assert run(f"import sys, tal_engine; print([m for m in {HEAVY!r} if m in sys.modules])") == "[]"


def test_engine_and_command_line_do_not_load_torch():
    code = "from tal_engine import TALEngine; from tal_engine.cli import main; main._register()"
    assert run(f"import sys; {code}; print('torch' in sys.modules)") == "False"
