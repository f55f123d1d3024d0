"""``python -m tal_engine.gstreamer`` prints the folder for GST_PLUGIN_PATH."""

from __future__ import annotations

from . import plugin_folder

if __name__ == "__main__":
    print(plugin_folder())
