"""What a judge is told and says: rows.json is read, the last line of stdout is the answer.."""

import json
import sys
from pathlib import Path


def rows():
    """Label, first frame, frame after the last, seconds of both."""
    return json.loads((Path(sys.argv[1]) / "rows.json").read_text())


def rate():
    """Frames a second."""
    return float(sys.argv[2])


def answer(frames=None, seconds=None, wrote=None, notes=()):
    """Say what the tool read: [label, first, end) in frames, or [label, start, end] in seconds; and what it wrote."""
    print(json.dumps({"frames": frames, "seconds": seconds, "wrote": wrote, "notes": list(notes)}))
