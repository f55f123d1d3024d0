"""Pictures with captions, as the web has them: what an image-text pair learns from.

A caption may name the exercise, the objects around, both or neither; a picture from a pause may
carry the name of the exercise that surrounds it. Nothing in it tells when an exercise starts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .exercises import ACTIONS
from .render import render_joints
from .scene import Image
from .script import PROPS, Script, write_script
from .skeleton import JOINT, Array

_SUBJECTS = ("a person", "a man", "a woman", "someone", "an athlete")
_PLACES = ("in a gym", "in a room", "at home", "")


def vocabulary() -> list[str]:
    """List all words that captions are made of."""
    texts = [*_SUBJECTS, *_PLACES, *ACTIONS, *PROPS, "doing with next to and a an photo frame of standing walking",
             "arms up crouching bending forward sitting exercise workout video"]  # fmt: skip
    return sorted({w for t in texts for w in t.split()})


def captioned(count: int, seed: int, size: int, a_video: int = 6) -> Iterator[tuple[Image, str]]:
    """`count` pictures [size, size, 3] with a caption each; `a_video` come from the same scene."""
    count_so_far, number = 0, 0
    while count_so_far < count:
        rng = np.random.default_rng([seed, 104729, number])
        script = write_script("caption", [seed, 104729, number, 1], duration=(20.0, 40.0), instances=(2, 4))
        joints = script.joints()
        take = np.sort(rng.choice(len(joints), size=min(a_video, count - count_so_far), replace=False))
        side = int(size * 4 / 3)
        pictures = render_joints(
            joints[take], view=script.view, person_m=script.body.height, girth=script.body.girth,
            props=script.props, seed=script.scene_seed, fps=script.fps, height=size, width=side,
        )  # fmt: skip
        left = (side - size) // 2
        for i, picture in zip(take, pictures, strict=True):
            yield np.ascontiguousarray(picture[:, left : left + size]), _caption(script, joints[i], i / script.fps, rng)
        count_so_far += len(take)
        number += 1


def _caption(script: Script, joints: Array, t: float, rng: np.random.Generator) -> str:
    words = [str(rng.choice(_SUBJECTS))]
    now = [label for start, end, label in script.instances() if start <= t < end]
    around = [label for _, _, label in script.instances()]
    chance = rng.random()
    if now and chance < 0.6:
        words.append(f"doing {now[0]}")
    elif not now and chance < 0.25:
        words.append(f"doing {rng.choice(around)}")
    elif chance < 0.85:
        words.append(_posture(joints))
    props = [p for p in script.props if rng.random() < 0.6]
    if props:
        words.append("next to " + " and ".join(f"a {p}" for p in props))
    words.append(str(rng.choice(_PLACES)))
    return " ".join(w for w in words if w)


def _posture(joints: Array) -> str:
    """Describe a pose in a few words, as a passer-by would."""
    height = joints[JOINT["head"], 1] - min(joints[JOINT["toe_l"], 1], joints[JOINT["toe_r"], 1])
    hands = max(joints[JOINT["wrist_l"], 1], joints[JOINT["wrist_r"], 1])
    hips = joints[JOINT["pelvis"], 1] - min(joints[JOINT["ankle_l"], 1], joints[JOINT["ankle_r"], 1])
    if joints[JOINT["head"], 1] < joints[JOINT["pelvis"], 1] + 0.35:
        return "bending forward"
    if hips < 0.3 * height + 0.15:
        return "crouching"
    if hands > joints[JOINT["head"], 1]:
        return "with arms up"
    return "standing"
