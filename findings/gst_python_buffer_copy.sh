#!/usr/bin/env bash
# PyGObject 3.42 with GStreamer 1.22 (Debian 12): Gst.Buffer.copy() is the same buffer once more.
#
# Guess before it was run: copy() is gst_buffer_copy: another buffer, whose time can be set without touching the first.
# Seen: copy() is that of boxed types, and for buffers that is a reference. The time that is set on the "copy" is the
# first buffer's from then on, and neither can be written any more, as two hold it: add_*_meta on it fails with a
# critical message and None. Another buffer over the same memory is
# copy_region(FLAGS | TIMESTAMPS | META | MEMORY, 0, 2**64 - 1); copy_deep() also copies the memory.
# Needs: apt-get install python3-gi gir1.2-gstreamer-1.0
set -euo pipefail
found=$(/usr/bin/python3 - 2>&1 <<'PY'
import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

Gst.init(None)
first = Gst.Buffer.new_allocate(None, 10, None)
first.pts = 1
copy, deep = first.copy(), first.copy_deep()
copy.pts, deep.pts = 7, 9
flags = Gst.BufferCopyFlags
region = first.copy_region(flags.FLAGS | flags.TIMESTAMPS | flags.META | flags.MEMORY, 0, 2**64 - 1)
region.pts = 8
print(Gst.version()[:2], hash(copy) == hash(first), hash(region) == hash(first), first.pts, region.pts, deep.pts)
PY
)
echo "$found"
case "$found" in *"True False 7 8 9") ;; *) exit 1 ;; esac
