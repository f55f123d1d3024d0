#!/usr/bin/env bash
# pympi-ling 1.71 shifts an ELAN file: what two annotations share moves twice, and what is cut at zero keeps its old end.
#
# Guess before it was run: shift_annotations(t) moves each annotation by t; one that would begin before zero begins at
# zero and ends t earlier too.
# Seen: it moves the time slots of each annotation in turn. ELAN lets annotations share a slot, as a parent and its parts
# in a tier of type Time_Subdivision do, and such a slot moves once for each annotation that names it: shifted by 500, a
# parent 1000..3000 and its two halves lie at 2000..4000, while a neighbour with slots of its own has moved by 500. And
# 200..900 shifted by -500 becomes 0..900, not 0..400: the end of what is cut at zero stays.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check pympi-ling==1.71
cat > "$work/case.py" <<'PY'
import sys

from pympi.Elan import Eaf

SLOTS = (1000, 2000, 3000, 5000, 6000)
ROWS = {"act": (("a1", 1, 3, "reach"), ("a2", 4, 5, "rest")), "part": (("a3", 1, 2, "lift"), ("a4", 2, 3, "put"))}


def tier(name, more):
    rows = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{key}" TIME_SLOT_REF1="ts{a}" TIME_SLOT_REF2="ts{b}">'
        f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
        for key, a, b, text in ROWS[name]
    )
    return f'<TIER TIER_ID="{name}" {more}>{rows}</TIER>'


slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{k}" TIME_VALUE="{t}"/>' for k, t in enumerate(SLOTS, 1))
path = sys.argv[1] + "/a.eaf"
with open(path, "w") as file:
    file.write(
        '<?xml version="1.0" encoding="UTF-8"?><ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" '
        'FORMAT="3.0" VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd"><HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>'
        f"<TIME_ORDER>{slots}</TIME_ORDER>"
        + tier("act", 'LINGUISTIC_TYPE_REF="free"')
        + tier("part", 'LINGUISTIC_TYPE_REF="parts" PARENT_REF="act"')
        + '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="free" TIME_ALIGNABLE="true" GRAPHIC_REFERENCES="false"/>'
        '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="parts" TIME_ALIGNABLE="true" GRAPHIC_REFERENCES="false" '
        'CONSTRAINTS="Time_Subdivision"/>'
        '<CONSTRAINT STEREOTYPE="Time_Subdivision" DESCRIPTION="Parts without gaps"/></ANNOTATION_DOCUMENT>'
    )


def rows(eaf, name):
    return sorted(row[:2] for row in eaf.get_annotation_data_for_tier(name))


shared = Eaf(path)
print("read", rows(shared, "act"), rows(shared, "part"))
shared.shift_annotations(500)
print("+500", rows(shared, "act"), rows(shared, "part"))

cut = Eaf()
cut.add_tier("t")
cut.add_annotation("t", 200, 900, "x")
cut.add_annotation("t", 2000, 3000, "y")
cut.shift_annotations(-500)
print("-500", rows(cut, "t"))
PY
found=$("$python" "$work/case.py" "$work")
echo "$found"
test "$found" = "read [(1000, 3000), (5000, 6000)] [(1000, 2000), (2000, 3000)]
+500 [(2000, 4000), (5500, 6500)] [(2000, 3000), (3000, 4000)]
-500 [(0, 900), (1500, 2500)]"
