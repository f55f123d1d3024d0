"""Many cameras on one engine: python examples/many_rtsp.py door=rtsp://cam/1 yard=rtsp://cam/2.

Cameras that go away come back by themselves; what was not analysed is told at the end, by reason.
"""

import sys

from tal_engine import TALEngine


def main(*sources, plan=None):
    with TALEngine.load(plan) as engine, engine.watch(sources) as scheduler:
        try:
            for event in scheduler:
                print(event.to_json())
        except KeyboardInterrupt:
            scheduler.stop()
        for stream in scheduler.streams:
            print(stream.name, stream.frames, "frames, not analysed:", stream.unanalysed(), file=sys.stderr)
            if stream.error is not None:
                print(stream.name, "failed:", stream.error, file=sys.stderr)
        return {stream.name: stream.finals for stream in scheduler.streams}


if __name__ == "__main__":
    main(*sys.argv[1:])
