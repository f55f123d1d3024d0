"""A timeline as a fragment of HTML without scripts: what a notebook shows of a result."""

from __future__ import annotations

from html import escape

from ...records import VideoSegments

#: Classes that are drawn, those with the best scores first, and segments of each.
CLASSES, SEGMENTS = 12, 200
_ROW_PX, _LABEL_PX, _WIDTH_PX = 22, 150, 640


def timeline_html(result: VideoSegments) -> str:
    """Render the segments of one video as bars [start, end), a row for each class; scores are opacity.

    Shows the best `CLASSES` classes and `SEGMENTS` segments of each, and says how many are left out. Texts are escaped.
    """
    rows: dict[str, list[str]] = {}
    length = max(result.info.duration, max((s.end for s in result), default=0.0)) or 1.0
    best = max((s.score for s in result), default=0.0)
    shown = 0
    for s in sorted(result, key=lambda s: -s.score):
        row = rows.setdefault(s.label, []) if len(rows) < CLASSES or s.label in rows else None
        if row is None or len(row) >= SEGMENTS:
            continue
        row.append(_bar(s.start / length, (s.end - s.start) / length, s.score / best if best > 0 else 1.0,
                        f"{s.label}: {s.start:.2f} to {s.end:.2f} s, score {s.score:.3f}"))  # fmt: skip
        shown += 1
    head = f"<b>{escape(result.info.source)}</b>: {len(result)} segments in {result.info.duration:.2f} s"
    if shown < len(result):
        head += f", {shown} of them shown"
    if result.info.domain is not None:
        head += f", domain {result.info.domain:.3f}"
    notes = "".join(f"<div>&#9888; {escape(w)}</div>" for w in result.info.warnings)
    return f'<div style="font:13px sans-serif">{head}{notes}{"".join(_row(n, bars) for n, bars in rows.items())}</div>'


def _row(name: str, bars: list[str]) -> str:
    label = f'<div style="width:{_LABEL_PX}px;overflow:hidden;text-overflow:ellipsis">{escape(name)}</div>'
    track = (
        f'<div style="position:relative;width:{_WIDTH_PX}px;height:{_ROW_PX - 6}px;background:rgba(128,128,128,.15)">'
        f"{''.join(bars)}</div>"
    )
    return f'<div style="display:flex;height:{_ROW_PX}px;align-items:center">{label}{track}</div>'


def _bar(left: float, width: float, strength: float, text: str) -> str:
    opacity = 0.25 + 0.75 * min(max(strength, 0.0), 1.0)
    place = f"left:{100 * left:.3f}%;width:max(2px,{100 * width:.3f}%);opacity:{opacity:.2f}"
    return f'<div title="{escape(text)}" style="position:absolute;height:100%;background:#0072b2;{place}"></div>'
