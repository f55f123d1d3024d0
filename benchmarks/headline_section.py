"""README's one table of results, from the stored results of five benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pages import plus_minus, table


def section(stored: Callable[[str], Any]) -> str:
    """Five rows: what was asked, what was measured, where more stands.

    Args:
        stored: gives the result of a benchmark by its name.
    """
    light, stream, people = (stored(n)["figures"] for n in ("first_light", "bench_stream", "bench_people"))
    person, unknown = (
        people["skeletons"]["subject13"]["cameras"]["map_50"],
        people["named"]["utd_mhad"]["foreign_named"],
    )
    rows = [
        ["The plan for people, on a person of CMU's motion capture that it never saw",
         f"mAP@0.5 {plus_minus(person)}; of clips of other actions (UTD-MHAD) {unknown:.0f} % get a name",
         _link("people.md", "people")],
        _fitted(stored("bench_fit")["figures"]["tiny"]["rows"]),
        ["A drawn figure's plan (`--plan demo`), from labels of videos, on held-out procedural videos",
         f"mean mAP@0.1:0.7 {light['embedded']['map_10_70']:.1f}", _link("measured.md", "accuracy")],
        ["A file, 320x240, without a card",
         f"the plan for people {people['live']['file']['real_time_of_one_core']:.1f}x real time a core, `demo` "
         f"{light['speed']['times_real_time']['median']:.0f}x on two cores", _link("measured.md", "speed")],
        _live(stream),
    ]  # fmt: skip
    return "\n".join(table(["what", "measured", "more"], rows))


def _link(page: str, words: str) -> str:
    return f"[{words}](docs/{page})"


def _fitted(rows: dict[str, Any]) -> list[str]:
    """From clicks beside what full times of the same videos give."""
    points, segments = (rows[key]["summary"]["mAP@0.1:0.7"] for key in ("point: lacp", "segment: actionformer"))
    said = f"mean mAP@0.1:0.7 {plus_minus(points)} from clicks, {plus_minus(segments)} from full times"
    return ["`tal fit` on 23 procedural videos of five actions, held out in folds", said, _link("fit.md", "fit")]


def _live(stream: dict[str, Any]) -> list[str]:
    found = stream["lateness"]["sets"].values()
    late = max(x["lateness_s"]["max"] for x in found)
    said = (
        f"{stream['streams']['sustained']} streams with nothing dropped; longest wait for a final {late:.1f} s of "
        f"{stream['rtsp']['declared_s']:.1f} s declared"
    )
    return ["Live, `--plan demo`, 320x240 at 25 fps, on two cores", said, _link("streaming.md", "streams")]
