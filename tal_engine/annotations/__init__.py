"""Annotation and detection files of the field, read into one form.

    read_annotations(path)   ActivityNet-style JSON (ActivityNet, ActionFormer, OpenTAD, LACP, GTEA,
                             BEOID), BMN's JSON, the folder of THUMOS14's text files, the folder of
                             the W-TALC npy layout (with allow_pickle)
    read_detections(path)    ActivityNet result JSON, THUMOS14 text, our CSV and JSON Lines

Nothing is unpickled unless asked for, and then only arrays, lists, numbers and texts.
"""

from .detections import align_names, read_detections
from .readers import read_annotations
from .truth import AnnotatedVideo, Annotations

__all__ = ["AnnotatedVideo", "Annotations", "align_names", "read_annotations", "read_detections"]
