"""Encoders by name and classes given as text.

    python benchmarks/bench_encoders.py [--parts names speed ...] [--seconds 400]

names      every name of open_clip: its image tower is built, exported and run; parity is the gate's, pixels are held to
           open_clip's own transform on two pictures. Towers of more than 45 million parameters are built with two
           blocks, unless they cannot be. The part goes on where it was stopped.
zero_shot  classes given as text on procedural videos, four classes that no setting was chosen on, three seeds of 20
           videos; beside random directions in place of texts, and beside CoLA trained on the same features from
           video-level labels of 40 videos.
requery    milliseconds from a new text to segments in an index of 100 hours of features.
precision  image and video towers in half precision and in eight bits: whether they convert, and how far features move.
           The part goes on where it was stopped.
speed      milliseconds a snippet of image towers: eager torch and the exported graph, float32, two threads.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

from common import finish, spread, stored

NAME = "encoders"
#: What is drawn once is kept there.
WORK = Path(tempfile.gettempdir()) / "tal_encoders"
#: Of the features of the index that is asked: the small pair's, and with --widths others, such as CLIP's 512.
WIDTHS = [128]


def names_part(seconds: float) -> dict[str, Any]:
    import encoder_names

    done = dict(stored(NAME).get("figures", {}).get("names", {}).get("towers", {}))
    rows = encoder_names.table(done, seconds)
    good = [n for row in rows.values() if encoder_names.ok(row) for n in row["names"]]
    whole = [n for row in rows.values() if encoder_names.ok(row) and row["whole"] for n in row["names"]]
    fits = [n for row in rows.values() if encoder_names.ok(row) and row["fits"] for n in row["names"]]
    return {
        "names": len(encoder_names.names()),
        "exported": len(good),
        "whole": len(whole),
        "fit_a_plan": len(fits),
        "worst_parity": max((r["parity"] for r in rows.values() if encoder_names.ok(r)), default=None),
        "failed": {n: r.get("error", r) for n, r in rows.items() if not encoder_names.ok(r)},
        "towers": rows,
        "remaining": len(encoder_names.towers()) - len(rows),
    }


def zero_shot_part(seconds: float) -> dict[str, Any]:
    import text_classes

    figures = text_classes.held_out(WORK / "drawn")
    rows = {}
    for kind, found in figures.pop("rows").items():
        rows[kind] = {k: spread([r[k] for r in found]) for k in ("map_50", "map_10_70")}
    return figures | {"rows": rows}


def requery_part(seconds: float) -> dict[str, Any]:
    import text_requery

    return {"hours": text_requery.HOURS, **{str(w): text_requery.asked(w, WORK) for w in WIDTHS}}


def speed_part(seconds: float) -> dict[str, Any]:
    import encoder_speed

    return encoder_speed.table()


def precision_part(seconds: float) -> dict[str, Any]:
    import encoder_precision

    done = dict(stored(NAME).get("figures", {}).get("precision", {}).get("towers", {}))
    return encoder_precision.table(done, lambda figures: finish(NAME, figures, "precision"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["names"])
    parser.add_argument("--seconds", type=float, default=1e9, help="of a part that goes on where it was stopped")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="of features, for requery")
    options = parser.parse_args()
    WIDTHS[:] = options.widths
    logging.getLogger().setLevel(logging.ERROR)
    for part in options.parts:
        parts = {
            "names": names_part,
            "zero_shot": zero_shot_part,
            "requery": requery_part,
            "speed": speed_part,
            "precision": precision_part,
        }
        figures = parts[part](options.seconds)
        finish(NAME, figures, part)


if __name__ == "__main__":
    main()
