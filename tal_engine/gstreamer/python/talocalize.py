"""What GStreamer's loader of Python plugins reads: GST_PLUGIN_PATH names the folder above."""

from __future__ import annotations

from tal_engine.gstreamer import element

__gstelementfactory__ = element.FACTORY
