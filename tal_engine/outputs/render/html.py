"""Parts of pages that are one HTML file with their pictures inside, readable without a network."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #111827; max-width: 980px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; } td, th { padding: .2rem .8rem; text-align: right; }
th { border-bottom: 1px solid #9ca3af; } td:first-child, th:first-child { text-align: left; }
svg { max-width: 100%; height: auto; } p.small { color: #6b7280; }
"""


def html(title: str, body: str) -> str:
    """Render the page."""
    head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html>\n<html lang=en>{head}\n{body}</html>\n"


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
