"""The element, as pipelines call it, and the name of its messages and of the metadata of frames."""

from __future__ import annotations

ELEMENT, MESSAGE = "talocalize", "tal-event"
