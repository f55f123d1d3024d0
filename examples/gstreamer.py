"""The element `talocalize` in a pipeline of your own: python examples/gstreamer.py my.mp4 [my.plan].

From a shell, with GStreamer's loader of Python plugins (docs/embedding.md):

    export GST_PLUGIN_PATH=$(python -m tal_engine.gstreamer)
    gst-launch-1.0 -m filesrc location=my.mp4 ! decodebin ! videoconvert ! talocalize ! fakesink

DeepStream decodes on the card; the frames come back for the element (a sketch: it has not run here):

    gst-launch-1.0 -m nvurisrcbin uri=rtsp://cam/1 ! nvvideoconvert ! video/x-raw,format=RGBA ! videoconvert !
      queue leaky=downstream max-size-buffers=50 ! talocalize device=cuda ! fakesink
"""

import json
import sys

from tal_engine import TALError
from tal_engine.gstreamer import MESSAGE, register


def main(video, plan=None):
    register()
    from gi.repository import Gst

    pipeline = Gst.parse_launch("filesrc name=file ! decodebin ! videoconvert ! talocalize name=tal ! fakesink")
    pipeline.get_by_name("file").set_property("location", str(video))
    pipeline.get_by_name("tal").set_property("plan", None if plan is None else str(plan))
    events, bus = [], pipeline.get_bus()
    pipeline.set_state(Gst.State.PLAYING)
    try:
        while True:
            message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.ANY)
            if message.type == Gst.MessageType.ERROR:
                raise SystemExit(message.parse_error()[0].message)
            if message.type == Gst.MessageType.EOS:
                return events
            found = message.get_structure()
            if message.type == Gst.MessageType.ELEMENT and found.get_name() == MESSAGE:
                events.append(json.loads(found.get_value("json")))
                print(found.get_value("label"), found.get_value("start") / 1e9, found.get_value("end") / 1e9)
    finally:
        pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except TALError as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
