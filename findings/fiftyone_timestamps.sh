#!/usr/bin/env bash
# fiftyone 1.22.1: a temporal detection from seconds has other frames than those that the seconds name.
#
# Guess before it was run: at 25 frames a second [5.0, 7.5] s are the frames 126 to 187 (from 1, last one inside), and the
# way back gives 5.0 and 7.5 again.
# Seen: [125, 188], and back [4.98, 7.51]. The conversion stretches the video's duration over one step fewer than it has
# frames, so nearly nothing falls on its frame: of 87 segments that begin and end on frames, 84 get other ones, and times
# that go there and back move by up to 20 ms, half a frame. Give `support` instead of timestamps.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" FIFTYONE_DO_NOT_TRACK=1
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check fiftyone==1.22.1
cat > "$work/case.py" <<'PY'
import fiftyone
import fiftyone.core.labels as labels

metadata = fiftyone.VideoMetadata(frame_rate=25.0, total_frame_count=250, duration=10.0)
sample = fiftyone.Sample(filepath="v.mp4", metadata=metadata)
made = labels.TemporalDetection.from_timestamps([5.0, 7.5], sample=sample)
other = total = 0
for first in range(0, 200, 7):
    for length in (1, 5, 25):
        d = labels.TemporalDetection.from_timestamps([first / 25, (first + length) / 25], sample=sample)
        other += d.support != [first + 1, first + length]
        total += 1
print(made.support, [round(t, 2) for t in made.to_timestamps(sample)], other, total)
PY
found=$("$python" "$work/case.py" 2>/dev/null | tail -1)
echo "$found"
test "$found" = "[125, 188] [4.98, 7.51] 84 87"
