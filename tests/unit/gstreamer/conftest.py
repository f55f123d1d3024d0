"""GStreamer for tests, where it is installed."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from pathlib import Path

import pytest

from tal_engine.errors import UsageError
from tal_engine.gstreamer import register

#: Where Debian's PyGObject is; it fits any CPython of the same version.
DEBIAN = Path("/usr/lib/python3/dist-packages/gi")


@pytest.fixture(scope="module")
def gst(tmp_path_factory):
    """GStreamer, by PyGObject of the environment or else Debian's; it writes nothing into the user's home."""
    os.environ.pop("GST_PLUGIN_PATH", None)
    os.environ["GST_REGISTRY"] = str(tmp_path_factory.mktemp("gst") / "registry.bin")
    if importlib.util.find_spec("gi") is None:
        suffix = f"cpython-{sys.version_info[0]}{sys.version_info[1]}-*.so"
        if not list(DEBIAN.glob(f"_gi.{suffix}")):
            pytest.skip("no PyGObject for this Python (apt-get install python3-gi gir1.2-gst-plugins-base-1.0)")
        folder = tmp_path_factory.mktemp("debian")
        (folder / "gi").symlink_to(DEBIAN)
        sys.path.append(str(folder))
    try:
        with warnings.catch_warnings():  # Debian's PyGObject is older than Python's newest ways
            warnings.simplefilter("ignore")
            register()
    except UsageError as e:
        pytest.skip(str(e))
    from tal_engine.gstreamer.introspection import Gst

    return Gst
