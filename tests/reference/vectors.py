"""Motion vectors to flow, pixel by pixel and picture by picture: the slow twin of `video.flow_vectors`."""

from __future__ import annotations

from itertools import pairwise

import av
import numpy as np

CELL = 4


def decoded(path):
    """(seconds, type, size, vectors) of each picture, in order of presentation; vectors None where there are none."""
    out = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"export_side_data": "mvs"}
        for frame in container.decode(stream):
            data = frame.side_data.get("MOTION_VECTORS")
            vectors = None if data is None else [v.item() for v in data.to_ndarray()]
            out.append((float(frame.time), int(frame.pict_type), (frame.height, frame.width), vectors))
    return out


def velocity(vectors, size, back, ahead):
    """[h, w, 2] of cells: each vector is added to every cell of its block, then divided by how many there were."""
    high, wide = -(-size[0] // CELL), -(-size[1] // CELL)
    total, count = np.zeros((high, wide, 2)), np.zeros((high, wide))
    for source, w, h, _, _, x, y, _, motion_x, motion_y, scale in vectors:
        distance = back if source < 0 else ahead
        if distance == 0:
            continue
        sign = -1 if source < 0 else 1
        for row in range((y - h // 2) // CELL, (y - h // 2 + h) // CELL):
            for column in range((x - w // 2) // CELL, (x - w // 2 + w) // CELL):
                if 0 <= row < high and 0 <= column < wide:
                    total[row, column] += sign * np.array([motion_x, motion_y]) / scale / distance
                    count[row, column] += 1
    return np.where(count[..., None] > 0, total / np.maximum(count, 1)[..., None], 0)


def velocities(pictures):
    """Of every picture; those without vectors keep the ones of the picture before."""
    anchors = [i for i, (_, kind, _, _) in enumerate(pictures) if kind not in (3, 7)]
    out = []
    for i, (_, _, size, vectors) in enumerate(pictures):
        if vectors is None:
            out.append(out[-1] if out else np.zeros((-(-size[0] // CELL), -(-size[1] // CELL), 2)))
            continue
        back = max(i - max([a for a in anchors if a < i], default=0), 1)
        later = [a for a in anchors if a > i] if i not in anchors else [i]
        out.append(velocity(vectors, size, back, later[0] - i if later else 0))
    return out


def slot_flow(path, slots, fps):
    """Cells [slots - 1, h, w, 2] between the pictures that neighbouring slots show."""
    pictures = decoded(path)
    each = velocities(pictures)
    shown = []
    for slot in range(slots):
        before = [i for i, p in enumerate(pictures) if p[0] <= (slot + 0.5) / fps]
        shown.append(before[-1] if before else 0)
    still = np.zeros_like(each[0])
    return [sum(each[a + 1 : b + 1], still) for a, b in pairwise(shown)]
