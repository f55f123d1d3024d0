"""GStreamer as PyGObject gives it, in the versions that the element is written for; importing it starts GStreamer."""

from __future__ import annotations

import gi  # type: ignore[import-not-found]

for _name in ("Gst", "GstBase", "GstVideo"):
    gi.require_version(_name, "1.0")

from gi.repository import GLib, GObject, Gst, GstBase, GstVideo  # type: ignore[import-not-found] # noqa: E402

Gst.init(None)

__all__ = ["GLib", "GObject", "Gst", "GstBase", "GstVideo"]
