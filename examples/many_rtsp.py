"""Many cameras on one engine: python examples/many_rtsp.py door=rtsp://cam/1 yard=rtsp://cam/2.

Cameras that go away come back by themselves; what was not analysed is told at the end, by reason.
"""

import sys

from tal_engine import TALEngine, TALError


def main(*sources, plan=None):
    with TALEngine.load(plan) as engine, engine.watch(sources) as scheduler:
        try:
            for event in scheduler:
                print(event.to_json())
        except KeyboardInterrupt:
            scheduler.stop()
        failed = [stream.error for stream in scheduler.streams if stream.error is not None]
        for stream in scheduler.streams:
            print(stream.name, stream.frames, "frames, not analysed:", stream.unanalysed(), file=sys.stderr)
        if failed:  # the others went on to their end
            raise failed[0]
        return {stream.name: stream.finals for stream in scheduler.streams}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except TALError as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
