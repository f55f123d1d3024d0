#!/usr/bin/env bash
# PyGObject 3.42 with GStreamer 1.22 (Debian 12): what Python puts into a Gst.CustomMeta is lost.
#
# Guess before it was run: add_custom_meta(NAME).get_structure() is the metadata's structure, as in C, and set_value on
# it is seen by who reads the buffer later.
# Seen: get_structure() gives Python a copy; set_value succeeds, and the metadata stays empty. No error says so. What
# works from Python is a region of interest: buffer_add_video_region_of_interest_meta(...).add_param(structure).
# Needs: apt-get install python3-gi gir1.2-gst-plugins-base-1.0
set -euo pipefail
found=$(/usr/bin/python3 - 2>&1 <<'PY'
import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo

Gst.init(None)
Gst.Meta.register_custom("FindingMeta", [], None, None)
buffer = Gst.Buffer.new_allocate(None, 10, None)
buffer.add_custom_meta("FindingMeta").get_structure().set_value("label", "run")
custom = buffer.get_custom_meta("FindingMeta").get_structure().get_value("label")
given = Gst.Structure.new_empty("event")
given.set_value("label", "run")
GstVideo.buffer_add_video_region_of_interest_meta(buffer, "event", 0, 0, 1, 1).add_param(given)
region = GstVideo.buffer_get_video_region_of_interest_meta_id(buffer, 0).get_param("event").get_value("label")
print(custom, region)
PY
)
echo "$found"
test "$found" = "None run"
