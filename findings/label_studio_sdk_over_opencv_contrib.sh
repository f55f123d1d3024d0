#!/usr/bin/env bash
# label-studio-sdk 2.1.2 installed beside opencv-contrib-python-headless 5.0.0.93: pip replaces cv2 without a word.
#
# Guess before it was run: cv2 5 satisfies whoever asks for OpenCV, and stays.
# Seen: the SDK asks for opencv-python-headless, another distribution with the same folder cv2/. pip installs an older one
# over the contrib files, takes numpy back to fit it, leaves both distributions listed as installed, and `pip check`
# finds nothing wrong. cv2 then says 4.12.0, and its TV-L1 optical flow, which only the contrib files have, is gone:
# features that were made with the flow of 5.0 cannot be made in this environment any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check opencv-contrib-python-headless==5.0.0.93 numpy==2.4.6
show() {
  "$python" -c 'import cv2, numpy
print(cv2.__version__, numpy.__version__, hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create"))'
}
before=$(show)
"$python" -m pip install --quiet --disable-pip-version-check label-studio-sdk==2.1.2
after=$(show)
listed=$("$python" -m pip list --disable-pip-version-check 2>/dev/null | grep -c '^opencv-')
check=$("$python" -m pip check 2>&1 || true)
echo "before: $before; after: $after; opencv distributions listed: $listed; pip check: $check"
test "$before" = "5.0.0 2.4.6 True"
test "$after" = "4.12.0 2.2.6 False"
test "$listed" = 2
test "$check" = "No broken requirements found."
