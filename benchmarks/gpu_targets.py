"""What gpu_day measures against; read without torch, where the page is written."""

from __future__ import annotations

#: THUMOS14's test videos: how many, their snippets together, those of the longest.
VIDEOS, SNIPPETS, LONGEST = 212, 71_694, 2614
#: Paper 002, Table 12: seconds for this test set on an RTX 3090, feature extraction left out; and what is aimed at.
PUBLISHED_S, TARGET_S = (7.20, 7.82), 0.5
#: Training is to be so many times as fast as two cores.
TRAINING_TIMES = 30.0
