"""Every published detection file of ``shared/data``, the rules it is scored by, and what its source says comes out.

A figure is a text as its source prints it, and is reached if ours rounds to it. "published": printed by who made the
detections, or asserted by the evaluator's own tests. "recomputed": what public evaluators gave here on the file (the
README of ``shared/data``); nobody published that figure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tal_engine.metrics import PROTOCOLS, WTAL_TIOUS, Protocol
from tal_engine.options import linspace

_ANET = PROTOCOLS["activitynet"]
#: All rules of the ActivityNet toolkit, whose order of equal scores is that of numpy's unstable sort.
_TOOLKIT = replace(_ANET, ties="argsort")
_DATA = "shared/data/README.md"


@dataclass(frozen=True)
class Claim:
    """Figures of one source for one set of rules: texts as printed, by overlap, and their mean if it is printed."""

    rules: Protocol
    kind: str
    source: str
    by_tiou: tuple[str, ...]
    average: str | None = None
    #: Printed figures are per cent, or shares.
    percent: bool = True


@dataclass(frozen=True)
class Gold:
    """A detection file with its truth (paths in ``shared/data``)."""

    file: str
    truth: str
    subset: str
    claims: tuple[Claim, ...] = ()
    #: Protocols that it is scored by as well, on `official` if there is such a truth.
    protocols: tuple[str, ...] = ("activitynet",)
    official: str | None = None


#: Protocols of THUMOS14; the others are for ActivityNet.
THUMOS = ("thumos14-official", "thumos14-evalkit", "wtal-snippet", "wtal-seconds", "opentad", "actionformer")
_OFFICIAL = "thumos14/official"

_STPN_RULES = _TOOLKIT.with_tious(linspace(0.1, 0.9, 9))
_STPN = (
    Claim(
        _STPN_RULES, "published", "bellos1203/STPN, README, row \"Reproduced\"",
        ("52.1", "44.2", "34.7", "26.1", "17.7", "10.1", "4.9", "1.3", "0.1"), "21.3",
    ),
    Claim(
        _STPN_RULES, "recomputed", _DATA,
        ("52.12", "44.20", "34.70", "26.06", "17.70", "10.09", "4.99", "1.34", "0.10"),
    ),
)  # fmt: skip

GOLD = (
    Gold("stpn_thumos14/results.json", "detections/stpn_thumos14/gt.json", "test", _STPN, THUMOS, _OFFICIAL),
    Gold("stpn_thumos14/results.txt", "detections/stpn_thumos14/gt.json", "test", _STPN, THUMOS, _OFFICIAL),
    Gold(
        "pmil_co2net_proposals/detection_result_base_test.json", "thumos14/points/gt.json", "test",
        (
            Claim(
                _TOOLKIT.with_tious(WTAL_TIOUS), "recomputed", _DATA,
                ("69.09", "63.13", "54.24", "44.59", "33.94", "23.28", "12.47"), "42.96",
            ),
        ),
        THUMOS, _OFFICIAL,
    ),
    Gold(
        "pmil_co2net_proposals/detection_result_base_train.json", "thumos14/points/gt.json", "train",
        (), ("wtal-snippet", "wtal-seconds", "opentad", "actionformer"), _OFFICIAL,
    ),
    Gold(
        "anet_evaluation/sample_detection_prediction.json", "activitynet/v1.3/anet_anno_action.json", "validation",
        (
            Claim(replace(_ANET, ties="listed", nan_hit=True), "recomputed", _DATA, ("0.9774",) * 10, percent=False),
        ),
    ),
    Gold(
        "mmaction2_eval_localization/result.json", "detections/mmaction2_eval_localization/gt.json", "validation",
        (
            Claim(
                replace(_ANET, ties="listed"), "published", "open-mmlab/mmaction2, tests/test_accuracy.py",
                ("0.71428571", "0.71428571", "0.71428571", "0.6875", "0.6875", "0.59722222",
                 "0.52083333", "0.52083333", "0.52083333", "0.5"), "0.6177579365079365", percent=False,
            ),
        ),
    ),
)  # fmt: skip

#: Folder of ``detections/gtea_tcn_frame_predictions`` -> share of right frames of each split, as recomputed.
FRAMES = {
    "video_ED-TCN_L2_C25": {"1": "0.6258", "2": "0.6004", "3": "0.6761"},
    "video_DilatedTCN_L5_B2": {"1": "0.6056", "2": "0.6090", "3": "0.6260"},
    "video_SVM": {"1": "0.5186", "2": "0.5427", "3": "0.5337"},
    "video_tCNN_C30": {"2": "0.5834"},
}
FRAMES_SOURCE = _DATA


def reached(ours: float, printed: str) -> bool:
    """Whether a figure rounds to what is printed; in doubles, so beyond 12 places nothing is compared."""
    places = len(printed.partition(".")[2])
    return abs(ours - float(printed)) <= 0.5 * 10.0**-places + 1e-12
