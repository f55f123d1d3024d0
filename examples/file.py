"""Segments of one video: python examples/file.py my.mp4 [my.plan]."""

import sys

from tal_engine import TALEngine, TALError


def main(video, plan=None):
    with TALEngine.load(plan) as engine:
        result = engine.localize(video)
    for segment in result.by_time():
        print(f"{segment.start:8.2f} {segment.end:8.2f}  {segment.score:.2f}  {segment.label}")
    return result


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except TALError as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
