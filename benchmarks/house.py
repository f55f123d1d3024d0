"""The state of the code for those who carry it on: sizes, circles, repetition, docstrings; and how long tests take.

    python benchmarks/house.py [--label NAME] [--revision REV] [--suite SECONDS --fast SECONDS]

Counts the package (tal_engine/ and export/) of the checkout, or of a revision of it, and keeps the figures under NAME
(default: the commit). docs/development.md shows all that are kept. Seconds of the suite and of the fast lane are given,
since they are measured by running them.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import store, stored
from pages import ROOT, table

NAME = "house"
#: Lines of a run that counts as repeated, without blank lines, comments and imports.
RUN = 6


def sources(root: Path) -> dict[str, tuple[Path, ast.Module]]:
    """Dotted name -> file and syntax tree of every module of the package."""
    found = {}
    for folder, package in ((root / "tal_engine", "tal_engine"), (root / "export", "tal_engine.export")):
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder).with_suffix("").parts
            if (package, *inner[:1]) != ("tal_engine", "export"):  # the link of later versions
                name = ".".join([package, *(p for p in inner if p != "__init__")])
                found[name] = (path, ast.parse(path.read_text()))
    return found


def functions(trees: list[ast.Module]) -> list[int]:
    """Lines of every function."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [n.end_lineno - n.lineno + 1 for t in trees for n in ast.walk(t) if isinstance(n, kinds) and n.end_lineno]


def docstrings(trees: list[ast.Module]) -> Counter[str]:
    """Public functions and classes, those with a docstring, and those whose docstring has an example."""
    found: Counter[str] = Counter()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, kinds) and not node.name.startswith("_"):
                text = ast.get_docstring(node) or ""
                found += Counter(public=1, documented=int(bool(text)), examples=int(">>>" in text))
    return found


def imported(name: str, path: Path, tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Modules of the package that a module imports, wherever it does."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{stem}.{alias.name}"
                if inner in known:
                    yield inner
                elif stem in known and inner != "tal_engine._core":
                    yield stem


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other."""
    reach = {n: set(inner) for n, inner in graph.items()}
    for _ in graph:
        more = {n: inner.union(*(reach[m] for m in inner)) for n, inner in reach.items()}
        if more == reach:
            break
        reach = more
    groups = {frozenset(m for m in reach[n] if n in reach[m]) for n in graph if n in reach[n]}
    return sorted(sorted(g) for g in groups)


def repeated(paths: list[Path]) -> int:
    """Pairs of places that share `RUN` lines or more: runs of equal lines, each counted once at its start."""
    places: dict[str, list[tuple[int, int]]] = {}
    for number, path in enumerate(paths):
        lines = [x.strip() for x in path.read_text().splitlines()]
        lines = [x for x in lines if len(x) > 1 and not x.startswith(("#", "import ", "from ", '"""'))]
        for i in range(len(lines) - RUN + 1):
            key = hashlib.sha256("\n".join(lines[i : i + RUN]).encode()).hexdigest()
            places.setdefault(key, []).append((number, i))
    pairs = {(a, b) for same in places.values() for k, a in enumerate(same) for b in same[k + 1 :]}
    return sum(((f, i - 1), (g, j - 1)) not in pairs for (f, i), (g, j) in pairs)


def figures(root: Path) -> dict[str, Any]:
    """All that is counted of a tree."""
    found = sources(root)
    paths, trees = [p for p, _ in found.values()], [t for _, t in found.values()]
    lengths = functions(trees)
    files = [len(p.read_text().splitlines()) for p in paths]
    graph = {n: set(imported(n, p, t, set(found))) - {n} for n, (p, t) in found.items()}
    names = Counter(p.stem for p in paths if p.stem != "__init__")
    top = [p for p in (root / "tal_engine").glob("*.py") if p.name != "__init__.py"]
    return {
        "files": len(files),
        "lines": sum(files),
        "files over 300 lines": sum(n > 300 for n in files),
        "functions": len(lengths),
        "lines of a function, median": statistics.median(lengths),
        "lines of a function, 90th percentile": statistics.quantiles(lengths, n=10)[-1],
        "functions over 40 lines": sum(n > 40 for n in lengths),
        "functions over 70 lines": sum(n > 70 for n in lengths),
        "modules on the top level": len(top),
        "file names that occur more than once": sum(n > 1 for n in names.values()),
        "import circles": len(circles(graph)),
        f"pairs of places that share {RUN} lines": repeated(paths),
        **dict(docstrings(trees)),
    }


def at(revision: str | None) -> dict[str, Any]:
    """Figures of the checkout, or of one of its revisions."""
    if revision is None:
        return figures(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        parts = ["tal_engine", "export"]
        packed = subprocess.run(["git", "archive", revision, *parts], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=packed, check=True)
        return figures(Path(folder))


def section() -> str:
    """The table of docs/development.md."""
    kept: dict[str, dict[str, Any]] = stored(NAME)["figures"]
    rows = dict.fromkeys(key for f in kept.values() for key in f)
    cells = [[row, *(f"{f[row]:g}" if row in f else "" for f in kept.values())] for row in rows]
    return "\n".join(table(["", *kept], cells))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--label")
    options.add_argument("--revision")
    options.add_argument("--suite", type=float)
    options.add_argument("--fast", type=float)
    args = options.parse_args()
    label = (
        args.label
        or subprocess.run(
            ["git", "rev-parse", "--short", args.revision or "HEAD"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    found = at(args.revision)
    seconds = {"whole suite, s": args.suite, "fast lane, s": args.fast}
    found |= {name: value for name, value in seconds.items() if value is not None}
    store(NAME, {**stored(NAME).get("figures", {}), label: found})
    print(*(f"{k}: {v:g}" for k, v in found.items()), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
