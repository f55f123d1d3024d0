"""Parts of pages that are one HTML file with their pictures inside, readable without a network."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #111827; --quiet: #6b7280; --line: #9ca3af; --field: #f9fafb;
  --hover: #eef2ff; --focus: #2563eb; }
@media (prefers-color-scheme: dark) { :root { --page: #111827; --ink: #e5e7eb; --quiet: #9ca3af; --line: #4b5563;
  --field: #1f2937; --hover: #1e293b; --focus: #60a5fa; } a { color: #93c5fd; } svg { background: #fff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 980px;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; } td, th { padding: .2rem .8rem; text-align: right; }
th { border-bottom: 1px solid var(--line); } td:first-child, th:first-child { text-align: left; }
svg { max-width: 100%; height: auto; } .small { color: var(--quiet); }
"""


def html(title: str, body: str, *, style: str = "", policy: str = "") -> str:
    """Render the page, in light or dark as the reader's system asks for.

    Args:
        title: of the window.
        body: HTML.
        style: further CSS.
        policy: what the page may fetch (Content-Security-Policy); "": whatever it names.
    """
    guard = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">' if policy else ""
    head = f'<meta charset=utf-8>{guard}<meta name=viewport content="width=device-width"><title>{escape(title)}</title>'
    return f"<!doctype html>\n<html lang=en>{head}<style>{_STYLE}{style}</style>\n{body}</html>\n"


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Render a table of texts and numbers."""

    def cells(tag: str, values: list[Any]) -> str:
        return "".join(f"<{tag}>{escape(str(v))}</{tag}>" for v in values)

    return f"<table><tr>{cells('th', head)}</tr>" + "".join(f"<tr>{cells('td', r)}</tr>" for r in rows) + "</table>"


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure; sizes in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def svg(figure: Figure) -> str:
    """Render the figure as SVG, to put into a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
