#!/usr/bin/env bash
# otio-fcpx-xml-adapter 1.0.0 (OpenTimelineIO 0.18.1): it cannot read what it wrote itself at 29.97 frames a second, and
# moves markers by a frame at 25.
#
# Guess before it was run: times are fractions in FCPXML, so a timeline comes back as it was, at every rate.
# Seen: at 29.97 the format that it writes has no frameDuration, and reading ends with a ValueError. At whole rates it
# turns fractions into floats and cuts them: of 1,000 markers, one on each of the first frames, 69 come back a frame early
# at 25 frames a second, 18 at 30, none at 24.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check opentimelineio==0.18.1 otio-fcpx-xml-adapter==1.0.0
cat > "$work/case.py" <<'PY'
import opentimelineio as otio


def part(rate, first, length):
    time = otio.opentime.RationalTime
    return otio.opentime.TimeRange(time(first, rate), time(length, rate))


def early(rate):
    clip = otio.schema.Clip("v", otio.schema.ExternalReference("v.mp4", part(rate, 0, 5000)), part(rate, 0, 5000))
    for frame in range(1000):
        clip.markers.append(otio.schema.Marker(str(frame), part(rate, frame, 1)))
    timeline = otio.schema.Timeline("t")
    timeline.tracks.append(otio.schema.Track("V", [clip], kind="Video"))
    text = otio.adapters.write_to_string(timeline, "fcpx_xml")
    try:
        back = otio.adapters.read_from_string(text, "fcpx_xml")
    except ValueError:
        return "ValueError"
    return sum(int(m.name) - 1 == m.marked_range.start_time.value for m in back.find_clips()[0].markers)


print(*(early(rate) for rate in (24.0, 25.0, 30.0, 30000 / 1001)))
PY
found=$("$python" "$work/case.py")
echo "$found"
test "$found" = "0 69 18 ValueError"
