"""What to look at next, against its twin; what was answered stays answered; how far people agree."""

from __future__ import annotations

import numpy as np
import pytest

from tal_engine.studio.agreement import SLOT_S, agreement, kappa, matched
from tal_engine.studio.labels import Label
from tal_engine.studio.marked import Mark
from tal_engine.studio.questions import Answered, Heard, questions, rare_classes
from tests.reference import studio as twin

CLASSES = ("run", "sit", "jump")


def segments(rng, count):
    starts = rng.uniform(0, 50, count)
    return [[float(s), float(s + rng.uniform(0.5, 8)), str(rng.choice(CLASSES)), float(rng.uniform())] for s in starts]


def video(rng):
    first = segments(rng, 8)
    near = [[s + rng.normal(0, 0.8), e + rng.normal(0, 0.8), c, x] for s, e, c, x in first[:5]]
    other = [o for o in near if o[1] > o[0]] + segments(rng, 3)
    action = np.repeat(rng.uniform(size=12), 8)
    return Heard(first, other, action.tolist(), 0.32, 0.64)


@pytest.mark.parametrize("seed", range(8))
def test_questions_come_in_the_order_of_the_twin(seed):
    rng = np.random.default_rng(seed)
    heard = {f"v{k}": video(rng) for k in range(4)}
    marks = {"v1": [Mark(5.0, 5.0, "run"), Mark(20.0, 28.0, "")], "v2": [Mark(1.0, 9.0, "sit")]}
    answered = {
        "v0": [Answered(10.0, 14.0, ""), Answered(30.0, 36.0, "sit")],
        "v3": [Answered(0.0, 61.44, "", True)],
    }
    thresholds, counts = {"run": 0.4, "sit": 0.7}, {"run": 19, "sit": 2, "jump": 14}
    mine = questions(heard, marks, answered, thresholds, counts, 15)
    assert len(mine) == 15
    theirs = twin.ranked(heard, marks, answered, thresholds, counts, 15)
    assert [(x.video, x.label, x.reason) for x in mine] == [(v, c, why) for v, _, _, c, why in theirs]
    assert [(x.start, x.end) for x in mine] == [pytest.approx(t[1:3]) for t in theirs]
    assert {x.video for x in mine if x.reason == "unfinished"} <= {"v0", "v1", "v2"}
    assert len({x.id for x in mine}) == 15


def test_reasons_are_those_of_the_case():
    def asked(other=(), action=(0.0,), score=0.9, counts=None):
        heard = {
            "v": Heard([[2.0, 4.0, "run", score]], other if other is None else list(other), list(action), 0.5, 1.0)
        }
        found = questions(heard, {}, {}, {}, counts or {"run": 19, "sit": 19})
        return {x.reason: x.text for x in found if x.reason != "unfinished"}

    assert "does not find it" in asked()["disagreement"]
    assert "calls it 'sit'" in asked([[2.0, 4.0, "sit", 0.8]])["disagreement"]
    assert "begins or ends" in asked([[3.0, 4.5, "run", 0.8]])["boundary"]
    assert asked([[2.0, 4.0, "run", 0.8]]) == {}
    assert asked(None) == {}
    assert "few labels" in asked([[2.0, 4.0, "run", 0.8]], counts={"run": 1, "sit": 19})["rare"]
    assert "near the threshold" in asked([[2.0, 4.0, "run", 0.8]], score=0.55)["likely_false"]
    assert "no class" in asked([[2.0, 4.0, "run", 0.8]], [0] * 6 + [0.9] * 3)["likely_miss"]
    assert rare_classes({}) == {}


def test_kappa_is_the_twins_and_boundaries_are_those_of_the_same_action(rng):
    for _ in range(5):
        first, second = (rng.choice(["", "run", "sit"], 60).tolist() for _ in range(2))
        assert kappa(first, second) == pytest.approx(twin.kappa(first, second))
    assert kappa(["a"], ["a"]) is None

    def of(author, *stretches):
        return [Label(f"{author}{k}", "v", "segment", s, e, c, author=author) for k, (s, e, c) in enumerate(stretches)]

    anna = of("anna", (1.0, 3.0, "run"), (5.0, 7.0, "sit"), (9.0, 9.5, "run"))
    ben = of("ben", (1.5, 3.0, "run"), (5.0, 7.25, "run"))
    assert [(x.id, y.id) for x, y in matched(anna, ben)] == [("anna0", "ben0")]
    [pair] = agreement([*anna, *ben], {"v": 10.0})["pairs"]
    assert (pair["only_a"], pair["only_b"], pair["both"]) == (2, 1, 1)
    assert pair["boundary_median_s"] == 0.25
    middles = (np.arange(round(10 / SLOT_S)) + 0.5) * SLOT_S
    slots = [[next((c for s, e, c in of if s <= m <= e), "") for m in middles] for of in (
        [(1, 3, "run"), (5, 7, "sit"), (9, 9.5, "run")], [(1.5, 3, "run"), (5, 7.25, "run")])]  # fmt: skip
    assert pair["kappa"] == pytest.approx(twin.kappa(*slots))


@pytest.mark.parametrize(
    ("marks", "told"),
    [
        ([Mark(6.5, 6.5, "run")], "'run' is marked 2.5 s later: reject this if it is the same action"),
        ([Mark(0.5, 0.5, "run"), Mark(30.0, 31.0, "run")], "'run' is marked 1.5 s earlier"),
        ([Mark(12.5, 12.5, "run")], ""),
        ([Mark(6.5, 6.5, "sit")], ""),
        ([Mark(6.5, 6.5, "run"), Mark(4.5, 5.5, "")], ""),
    ],
)
def test_a_question_names_a_label_that_may_be_of_the_same_action(marks, told):
    heard = {"v": Heard([[2.0, 4.0, "run", 0.9]], [], [0.0] * 20, 0.5, 1.0)}
    found = [x for x in questions(heard, {"v": marks}, {}, {}, {"run": 19, "sit": 19}) if x.reason != "unfinished"]
    assert [told in x.text for x in found] == [True]
    assert told or "is marked" not in found[0].text


def test_what_is_marked_already_is_not_asked_about_again():
    """An action that a head finds in pieces, of which one holds the click, or none does."""
    pieces = [[2.0, 4.0, "run", 0.9], [5.2, 7.0, "run", 0.6]]

    def asked(marks, action):
        heard = {"v": Heard(pieces, [], action, 0.5, 1.0)}
        found = questions(heard, {"v": marks}, {}, {}, {"run": 19, "sit": 19})
        return sorted(x.start for x in found if x.label)

    low, high = [0.1] * 30, [0.9] * 30
    assert asked([], low) == [2.0, 5.2]
    assert asked([Mark(3.0, 3.0, "run")], low) == [5.2], "2.2 s from the click, where an action usually takes 1.9 s"
    assert asked([Mark(3.0, 3.0, "run")], high) == [], "something happens all the time between"
    assert asked([Mark(4.7, 4.7, "run")], low) == [], "0.7 and 0.5 s from the click"
    assert asked([Mark(4.7, 4.7, "run"), Mark(4.3, 4.5, "")], low) == [2.0], (
        "somebody said that nothing happens between"
    )
    assert asked([Mark(3.0, 3.0, "sit")], high) == [5.2], "another action, though something happens all the time"
    assert asked([Mark(4.7, 4.7, "sit")], high) == [2.0, 5.2], "no 'sit' was found: nobody knows how long one takes"
    pieces.append([20.0, 22.4, "sit", 0.9])
    assert asked([Mark(4.7, 4.7, "sit")], high) == [20.0], "pieces of an action that heads call otherwise"


def test_short_videos_are_watched_whole_and_long_ones_are_asked_about_in_moments():
    """What takes no longer than a few questions comes first; of two, the one that heads doubt more."""
    found = [[2.0, 4.0, "run", 0.9]]

    def first(seconds, other=()):
        heard = {
            "a": Heard([], [], [0.1] * seconds, 0.5, 1.0), "b": Heard(found, list(other), [0.1] * seconds, 0.5, 1.0),
        }  # fmt: skip
        return questions(heard, {}, {}, {}, {"run": 19, "sit": 19})[0]

    assert (first(60).video, first(60).reason, first(60).end) == ("b", "unfinished", 60.0)
    assert (first(60, found).video, first(60, found).reason) == ("a", "unfinished"), "nothing is in doubt: by name"
    assert first(7200).reason == "disagreement"
