"""A Config's fields with their defaults, choices and the `#:` comments above them, as a table."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from pages import table


@dataclass
class Group:
    """Fields in a row that one comment is about."""

    words: str
    fields: list[ast.AnnAssign] = field(default_factory=list)


def config_table(config: type[Any]) -> str:
    """The table; a comment is about all fields below it, up to the next comment.

    Raises:
        ValueError: a field has no comment above it.
    """
    rows = []
    for group in groups(config):
        names = "<br>".join(f"`{ast.unparse(f.target)}`" for f in group.fields)
        defaults = "<br>".join(f"`{default(f)}`" for f in group.fields)
        rows.append([escaped(names), escaped(defaults), escaped(group.words)])
    return "\n".join(table(["field", "default (choices)", "what it is, and whose choice"], rows))


def groups(config: type[Any]) -> list[Group]:
    """Comments with the fields they are about, in order; those of the classes that it builds on come first."""
    kinds = [kind for kind in reversed(config.__mro__) if is_dataclass(kind)]
    return [group for kind in kinds for group in _own_groups(kind)]


def _own_groups(config: type[Any]) -> list[Group]:
    source = textwrap.dedent(inspect.getsource(config))
    body = ast.parse(source).body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(f"{config.__name__} is not a class")
    fields = {node.lineno: node for node in body.body if isinstance(node, ast.AnnAssign)}
    found: list[Group] = []
    comment: list[str] = []
    for number, line in enumerate(source.splitlines(), 1):
        if line.strip().startswith("#:"):
            comment.append(line.strip().removeprefix("#:").strip())
        elif number in fields:
            if comment:
                found.append(Group(" ".join(comment)))
                comment = []
            if not found:
                raise ValueError(f"{config.__name__}.{ast.unparse(fields[number].target)} has no comment above it")
            found[-1].fields.append(fields[number])
    return found


def default(node: ast.AnnAssign) -> str:
    """A field's default, and what else it may be."""
    value = "" if node.value is None else ast.unparse(node.value)
    if value.startswith("field(default_factory="):
        value = {"dict": "{}", "list": "[]"}.get(value.removeprefix("field(default_factory=").removesuffix(")"), value)
    if isinstance(node.annotation, ast.Subscript) and ast.unparse(node.annotation.value) == "Literal":
        choices = node.annotation.slice
        names = choices.elts if isinstance(choices, ast.Tuple) else [choices]
        others = [text for c in names if (text := ast.unparse(c)) != value]
        return f"{value} ({', '.join(others)})"
    return value


def escaped(text: str) -> str:
    """Text for a cell."""
    return text.replace("|", "\\|")
