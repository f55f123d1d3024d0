"""Detection mAP and average recall over temporal IoU. A protocol is a named value printed with every score."""

from .detection import Counts, Evaluation, evaluate, evaluate_tables
from .explain import Step, explain
from .masks import MaskOverlap, mask_overlap, truth_mask
from .protocols import PROTOCOLS, WTAL_TIOUS, Protocol, protocol
from .recall import RecallCurve, average_recall

__all__ = [
    "PROTOCOLS",
    "WTAL_TIOUS",
    "Counts",
    "Evaluation",
    "MaskOverlap",
    "Protocol",
    "RecallCurve",
    "Step",
    "average_recall",
    "evaluate",
    "evaluate_tables",
    "explain",
    "mask_overlap",
    "protocol",
    "truth_mask",
]
