"""Pages of the site's reference, made from the code: commands, options, events, errors, names, stored results."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import tal_engine
from tal_engine import errors, events, options
from tal_engine.cli import main

ROOT = Path(__file__).parents[2]
#: Classes of options, in the order in which data flows through them.
OPTIONS = [
    options.SnippetOptions, options.ProposalOptions, options.NmsOptions, options.SegmentOptions,
    tal_engine.StreamOptions, tal_engine.LiveOptions, tal_engine.Limits,
]  # fmt: skip
#: A comment above a field, and the fields that it is about.
_COMMENTED = re.compile(r"((?:^    #:.*\n)+)((?:^    \w+:.*\n)+)", re.MULTILINE)


def pages() -> dict[str, str]:
    """Text of each page by its place in the site."""
    return {
        "reference/cli.md": _commands(),
        "reference/python.md": _python(),
        "reference/ops.md": "# Operations\n\n::: tal_engine.ops\n    options:\n      show_root_heading: false\n",
        "reference/options.md": _options(),
        "reference/events.md": _events(),
        "reference/errors.md": _errors(),
        "reference/results.md": _results(),
    }


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _commands() -> str:
    main._register()
    group = typer.main.get_command(main.app)
    lines = ["# Command line", "", "`tal COMMAND --help` prints the same.", ""]
    return "\n".join([*lines, *_of_group(group, "tal")])


def _of_group(group: Any, path: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        whole = f"{path} {name}"
        if hasattr(command, "commands"):
            yield from (f"## {whole}", "", _cell(inspect.cleandoc(command.help or "")), "")
            yield from _of_group(command, whole)
        else:
            yield from _of_command(command, whole)


def _of_command(command: Any, path: str) -> Iterator[str]:
    yield from (f"## {path}" if path.count(" ") == 1 else f"### {path}", "", inspect.cleandoc(command.help or ""), "")
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    if not shown:
        return
    yield from ("| argument or option | default | what |", "|---|---|---|")
    for p in shown:
        is_option = p.opts[0].startswith("-")
        name = ", ".join(f"`{o}`" for o in (*p.opts, *p.secondary_opts)) if is_option else f"`{p.name.upper()}`"
        default = "" if p.default in (None, (), [], False, "") or callable(p.default) else f"`{_cell(p.default)}`"
        yield f"| {name} | {'required' if p.required else default} | {_cell(getattr(p, 'help', '') or '')} |"
    yield ""


def _python() -> str:
    lines = ["# Python", "", "Names of `tal_engine`; everything else may change at any time.", ""]
    for name in sorted(tal_engine.__all__, key=str.lower):
        thing = getattr(tal_engine, name)
        if not name.startswith("__") and not (inspect.isclass(thing) and issubclass(thing, errors.TALError)):
            lines += [f"::: {thing.__module__}.{thing.__qualname__}", ""]
    return "\n".join(lines)


def _options() -> str:
    lines = ["# Options", "", "Frozen dataclasses; a plan stores those of its stages field by field.", ""]
    for kind in OPTIONS:
        meant = _comments(kind)
        lines += [f"## {kind.__name__}", "", *_example_less(kind), "| field | default | what |", "|---|---|---|"]
        lines += [f"| `{f.name}` | {_default(f)} | {meant.get(f.name, '')} |" for f in dataclasses.fields(kind)]
        lines.append("")
    return "\n".join(lines)


def _comments(kind: type) -> dict[str, str]:
    """Find what comments of a class's source say of its fields; that of several at once stands with the first."""
    meant = {}
    for match in _COMMENTED.finditer(inspect.getsource(kind)):
        first = re.match(r"    (\w+):", match[2])
        meant[first[1]] = _cell(re.sub(r"^    #:", "", match[1], flags=re.MULTILINE))
    return meant


def _example_less(kind: type) -> list[str]:
    text = inspect.cleandoc(kind.__doc__ or "").split("\n>>>")[0].split("Raises:")[0]
    return [text.strip(), ""]


def _default(f: dataclasses.Field[Any]) -> str:
    if f.default is not dataclasses.MISSING:
        return f"`{f.default!r}`"
    return f"`{f.default_factory()!r}`" if f.default_factory is not dataclasses.MISSING else "required"


def _events() -> str:
    schema = json.loads(events.SCHEMA_FILE.read_text())
    lines = ["# Events", "", _example_less(events.Event)[0], "", "The JSON Schema of a line:", "", "```json"]
    return "\n".join([*lines, json.dumps(schema, indent=2), "```", ""])


def _errors() -> str:
    lines = ["# Errors", "", "What the statuses mean: [exit statuses](../concepts.md#exit-statuses).", ""]
    lines += ["| error | is a | status | means |", "|---|---|---|---|"]
    for name, kind in sorted(vars(errors).items()):
        if inspect.isclass(kind) and issubclass(kind, errors.TALError) and not name.startswith(("_", "Missing")):
            bases = ", ".join(f"`{b.__name__}`" for b in kind.__mro__[1:] if not b.__name__.startswith("_")
                              and b not in (Exception, BaseException, object) and b.__name__ != "Generic")  # fmt: skip
            lines.append(f"| `{name}` | {bases} | {kind.exit_code} | {_cell(_example_less(kind)[0].split('. ')[0])} |")
    return "\n".join([*lines, ""])


def _results() -> str:
    lines = [
        "# Stored results", "",
        "Each file of `benchmarks/results/` keeps the command, the machine and the day of its figures; "
        "`python benchmarks/readme.py --stale` lists those that are older than the code that they measure.", "",
        "| result | day | command | machine |", "|---|---|---|---|",
    ]  # fmt: skip
    for path in sorted((ROOT / "benchmarks/results").glob("*.json")):
        d = json.loads(path.read_text())
        machine = d.get("machine", {})
        said = f"{machine.get('cpu', '')}, {machine.get('cores', '?')} cores" if machine else ""
        lines.append(f"| `{path.stem}` | {d.get('date', '')} | `{_cell(d.get('command', ''))}` | {_cell(said)} |")
    return "\n".join([*lines, ""])
