"""All videos of a folder, a JSON file beside each: python examples/folder.py videos/ [my.plan].

One that cannot be read stops no other.
"""

import sys
from pathlib import Path

from tal_engine import TALEngine, TALError
from tal_engine.errors import UsageError

VIDEOS = {".mp4", ".mkv", ".mov", ".avi", ".webm"}


def main(folder, plan=None):
    videos = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in VIDEOS)
    if not videos:
        raise UsageError(f"{folder}: no such folder, or no videos in it")
    failed = []
    with TALEngine.load(plan) as engine:
        # Results come one by one, in order, while others are worked on.
        for video, result in engine.localize_batch(videos, on_error="return"):
            if isinstance(result, TALError):
                failed.append(video)
                print(f"{video}: {result}", file=sys.stderr)
            else:
                result.save(video.with_suffix(".json"))
                print(f"{video}: {len(result)} segments")
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        sys.exit(1 if main(*sys.argv[1:]) else 0)
    except TALError as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
