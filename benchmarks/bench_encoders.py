"""Encoders by name and classes given as text.

    python benchmarks/bench_encoders.py [--parts names speed ...] [--seconds 400]

names      every name of open_clip: its image tower is built, exported and run; parity is the gate's, pixels are held to
           open_clip's own transform on two pictures. Towers of more than 45 million parameters are built with two
           blocks, unless they cannot be. The part goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from common import finish, stored

NAME = "encoders"


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["names"])
    parser.add_argument("--seconds", type=float, default=1e9, help="of a part that goes on where it was stopped")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    for part in options.parts:
        figures = {"names": names_part}[part](options.seconds)
        finish(NAME, figures, part)


if __name__ == "__main__":
    main()
