#!/usr/bin/env bash
# datumaro 1.13.12 reads a CVAT track: key frames alone, and the box that ends it as a box like the others.
#
# Guess before it was run: a track with boxes at frames 3 and 6, and one that is outside at 9, shows on the frames 3 to 8.
# Seen: three items, 3, 6 and 9, a box each. What lies between key frames is not there, and the box at 9, with which CVAT
# says that nothing shows any more, is an annotation with the attribute outside=True. Who counts boxes gets 3 of 6 frames,
# and one of them is wrong. CVAT files for datumaro need a box on every frame, and readers need to look at `outside`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check datumaro==1.13.12
cat > "$work/case.py" <<'PY'
import sys

from datumaro.components.dataset import Dataset

boxes = "".join(
    f'<box frame="{frame}" outside="{outside}" occluded="0" keyframe="1" xtl="0" ytl="0" xbr="9" ybr="9" z_order="0"/>'
    for frame, outside in ((3, 0), (6, 0), (9, 1))
)
with open(sys.argv[1] + "/annotations.xml", "w") as file:
    file.write(
        "<annotations><version>1.1</version><meta><task><size>20</size><mode>interpolation</mode><labels><label>"
        "<name>a</name><attributes></attributes></label></labels><original_size><width>10</width><height>10</height>"
        f'</original_size></task></meta><track id="0" label="a">{boxes}</track></annotations>'
    )
data = Dataset.import_from(sys.argv[1] + "/annotations.xml", "cvat")
print([(int(i.attributes["frame"]), len(i.annotations), i.annotations[0].attributes["outside"]) for i in data])
PY
found=$("$python" "$work/case.py" "$work" 2>/dev/null)
echo "$found"
test "$found" = "[(3, 1, False), (6, 1, False), (9, 1, True)]"
