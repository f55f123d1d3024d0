#!/usr/bin/env bash
# kloppy 3.19.1 reads Sportscode's XML: a code that looks like a number or a truth value comes back under another name.
#
# Guess before it was run: codes are text, and a file that is loaded and saved has the same codes.
# Seen: the reader takes codes from lxml.objectify, which gives every text the type that it looks like, and turns them
# back into text: "007" is 7, "1.50" is 1.5, "true" is True; texts of labels become numbers likewise. Players' numbers and
# numbered behaviours are codes that people have: they lose their zeros, and "1.50" and "1.5" become one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check kloppy==3.19.1
cat > "$work/case.py" <<'PY'
import sys

from kloppy import sportscode

CODES = ("Shot", "007", "1.50", "true", "10")
rows = "".join(
    f"<instance><ID>{k}</ID><start>{k}</start><end>{k + 1}</end><code>{code}</code>"
    f"<label><group>player</group><text>007</text></label></instance>" for k, code in enumerate(CODES)
)
path = sys.argv[1] + "/x.xml"
with open(path, "w") as file:
    file.write(f"<file><ALL_INSTANCES>{rows}</ALL_INSTANCES></file>")
data = sportscode.load(path)
sportscode.save(data, sys.argv[1] + "/y.xml")
saved = open(sys.argv[1] + "/y.xml").read()
print([c.code for c in data.records], data.records[0].labels, "<code>007</code>" in saved)
PY
found=$("$python" "$work/case.py" "$work")
echo "$found"
test "$found" = "['Shot', '7', '1.5', 'True', '10'] {'player': 7} False"
