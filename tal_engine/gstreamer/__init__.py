"""The GStreamer element `talocalize`: video passes through, events come as messages on the bus and as metadata.

This package is imported without GStreamer; `register` needs PyGObject (Debian: python3-gi,
gir1.2-gst-plugins-base-1.0).

>>> from tal_engine.gstreamer import plugin_folder
>>> [path.name for path in plugin_folder().glob("python/*.py")]
['talocalize.py']
"""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from .names import ELEMENT, MESSAGE

__all__ = ["ELEMENT", "MESSAGE", "plugin_folder", "register"]


def plugin_folder() -> Path:
    """Return what GST_PLUGIN_PATH has to hold, so that GStreamer's loader of Python plugins finds the element."""
    return Path(__file__).parent


def register() -> None:
    """Make the element known to the GStreamer of this process, without the loader of Python plugins.

    Raises:
        UsageError: PyGObject or GStreamer's typelibs are not installed.

    """
    try:
        from . import element
    except (ImportError, ValueError) as e:
        raise UsageError(
            f"the element {ELEMENT} needs PyGObject and GStreamer ({e}); Debian: apt-get install python3-gi "
            "gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base"
        ) from e
    element.register()
