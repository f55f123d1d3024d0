"""Events of the first camera, until Ctrl-C: python examples/webcam.py [0 | /dev/video2 | rtsp://cam/1] [my.plan]."""

import sys

from tal_engine import LiveOptions, TALEngine, TALError


def main(source="0", plan=None):
    # "adaptive": a machine that is too slow looks at fewer frames, and says how many.
    options = LiveOptions(policy="adaptive")
    with TALEngine.load(plan) as engine, engine.watch(f"camera={source}", live=options, provisional=True) as events:
        for event in events:
            until = "now" if event.end is None else f"{event.end:.1f} s"
            print(f"{event.kind:9} {event.label}: {event.start:.1f} s to {until} ({event.score:.2f})")
        camera = events.streams[0]
        if camera.error is not None:
            raise camera.error
        return camera.report()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TALError as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
