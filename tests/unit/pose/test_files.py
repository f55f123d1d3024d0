"""Skeleton files: right against slow twins, and clear errors of malformed ones."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

from tal_engine.errors import DataError, UsageError
from tal_engine.pose.files import read_skeleton
from tal_engine.pose.skeleton import JOINTS, LAYOUTS, J, canonical
from tal_engine.pose.skeleton_options import SkeletonOptions
from tests.reference import skeletons as slow

SPIN = ("Zrotation", "Xrotation", "Yrotation")
#: Names of a scheme: pelvis, neck, head, then shoulder, elbow, wrist, hip, knee, ankle of both sides.
SCHEMES = {
    "mixamo": ("mixamorig:Hips", "mixamorig:Neck", "mixamorig:Head", *(
        f"mixamorig:{s}{n}" for s in ("Left", "Right") for n in ("Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot"))),
    "poser": ("Hips", "Neck", "Head", *(
        f"{s}{n}" for s in ("Left", "Right") for n in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle"))),
    "smpl": ("pelvis", "neck", "head", *(
        f"{s}_{n}" for s in ("left", "right") for n in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))),
    "biped": ("Bip01 Pelvis".replace(" ", "_"), "Bip01_Neck", "Bip01_Head", *(
        f"Bip01_{s}_{n}" for s in "LR" for n in ("UpperArm", "Forearm", "Hand", "Thigh", "Calf", "Foot"))),
}  # fmt: skip
OURS = ("pelvis", "neck", "head", *(
    f"{n}_{s}" for s in "lr" for n in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")))  # fmt: skip


def tree_of(scheme):
    """Joints of a body in a naming scheme, with a tip of the head, and a joint that is also moved."""
    pelvis, neck, head, *limbs = SCHEMES[scheme]
    rng = np.random.default_rng(1)
    tree = [(pelvis, None, (0, 0, 0), ("Xposition", "Yposition", "Zposition", *SPIN))]
    tree += [
        (neck, pelvis, (0, 5, 0), ("Xposition", "Yposition", "Zposition", *SPIN[::-1])),
        (head, neck, (0, 1, 0), SPIN),
    ]
    tree.append(("tip", head, (0, 2, 0), ()))
    for side in (0, 6):
        for first, parent in ((0, neck), (3, pelvis)):
            for k in range(3):
                name = limbs[side + first + k]
                tree.append(
                    (name, parent if k == 0 else limbs[side + first + k - 1], tuple(rng.normal(size=3).round(3)), SPIN)
                )
    # A file lists children right after their parent.
    order, todo = [], [pelvis]
    while todo:
        order.append(next(j for j in tree if j[0] == todo[0]))
        todo = [j[0] for j in tree if j[1] == todo[0]] + todo[1:]
    return order


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_joints_of_a_bvh_are_those_of_the_slow_twin(scheme, tmp_path):
    tree = tree_of(scheme)
    width = sum(len(channels) for *_, channels in tree)
    frames = np.random.default_rng(2).normal(scale=40, size=(3, width)).round(6)
    path = tmp_path / "a.bvh"
    path.write_text(slow.bvh_text(tree, frames, 0.05))
    poses = read_skeleton(path)
    np.testing.assert_allclose(poses.times, [0, 0.05, 0.1])
    for t, frame in enumerate(frames):
        places = slow.bvh_places(tree, frame)
        for ours, theirs in zip(OURS, SCHEMES[scheme], strict=True):
            wanted = places[theirs] if ours != "head" else (places[theirs] + places["tip"]) / 2
            np.testing.assert_allclose(poses.joints[t, J[ours]], wanted * [1, -1, -1], atol=1e-4)


def cmu_body():
    """A skeleton with CMU's names: parent, direction, length, axis and degrees of freedom."""
    rng = np.random.default_rng(3)
    bones = {}
    for name, parent in (
        ("lhipjoint", "root"), ("lfemur", "lhipjoint"), ("ltibia", "lfemur"), ("rhipjoint", "root"),
        ("rfemur", "rhipjoint"), ("rtibia", "rfemur"), ("lowerback", "root"), ("lowerneck", "lowerback"),
        ("head", "lowerneck"), ("lclavicle", "lowerback"), ("lhumerus", "lclavicle"), ("lradius", "lhumerus"),
        ("rclavicle", "lowerback"), ("rhumerus", "rclavicle"), ("rradius", "rhumerus"),
    ):  # fmt: skip
        dof = [(), ("rx",), ("rx", "rz"), ("rx", "ry", "rz")][rng.integers(4)]
        direction, axis = rng.normal(size=3).round(4), rng.uniform(-180, 180, 3).round(3)
        bones[name] = (parent, direction.tolist(), round(float(rng.uniform(1, 5)), 3), axis.tolist(), dof)
    return bones


@pytest.mark.parametrize("skeleton", ["13.asf", "13_29.asf", "other.asf"])
def test_joints_of_an_amc_are_those_of_the_slow_twin(skeleton, tmp_path):
    bones, rng = cmu_body(), np.random.default_rng(4)
    frames = []
    for _ in range(3):
        frame = {"root": rng.normal(scale=30, size=6).round(4)}
        frames.append(frame | {n: rng.uniform(-90, 90, len(b[4])).round(4) for n, b in bones.items() if b[4]})
    (tmp_path / skeleton).write_text(slow.asf_text(bones, 0.45))
    path = tmp_path / "13_29.amc"
    path.write_text(slow.amc_text(frames))
    poses = read_skeleton(path, SkeletonOptions(fps=60.0))
    np.testing.assert_allclose(poses.times, np.arange(3) / 60)
    np.testing.assert_allclose(read_skeleton(path).times, np.arange(3) / 120)
    for t, frame in enumerate(frames):
        places = slow.amc_places(bones, frame)
        for ours, ((theirs,),) in LAYOUTS["cmu31"].where.items():
            wanted = places[theirs] * [1, -1, -1] * 0.0254 / 0.45
            np.testing.assert_allclose(poses.joints[t, J[ours]], wanted, atol=1e-4)


def test_arrays_say_what_they_are_or_are_told(tmp_path):
    points = np.random.default_rng(5).normal(size=(4, 17, 3))
    path = tmp_path / "a.npz"
    np.savez(path, keypoints=points, fps=10.0, scores=np.full((4, 17), 0.5))
    with pytest.raises(DataError, match=r"17 points a frame are coco17, h36m17; say which"):
        read_skeleton(path)
    poses = read_skeleton(path, SkeletonOptions(layout="h36m17", axes="+x-z+y"))
    joints, _ = canonical(points, layout="h36m17", axes="+x-z+y")
    np.testing.assert_array_equal(poses.joints, joints)
    assert (poses.visibility == 0.5).all()
    np.savez(path, joints=np.zeros((4, 33, 4)), times=[0.0, 0.1, 0.3, 0.4], layout="mediapipe")
    poses = read_skeleton(path)
    assert (poses.visibility == 0).all()  # the fourth number
    np.testing.assert_allclose(poses.times, [0, 0.1, 0.3, 0.4])
    np.savez(path, joints=np.zeros((4, 33, 3)))
    with pytest.raises(DataError, match="does not say its frame rate"):
        read_skeleton(path)
    for arrays, what in (
        ({"rgb": np.zeros((3, 4))}, r"needs joints \[T, K, 2, 3 or 4\], it has rgb \[3, 4\]"),
        ({"joints": np.zeros((4, 33, 3)), "times": [0, 1, 1, 2]}, "finite and increasing"),
        ({"joints": np.zeros((4, 33, 3)), "fps": np.nan}, "does not say its frame rate"),
        ({"joints": np.zeros((4, 33, 3)), "fps": 5.0, "layout": "nine"}, "layout is 'nine'"),
        ({"joints": np.zeros((4, 33, 3)), "fps": 5.0, "scores": np.zeros(4)}, r"visibility is \[4\]"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=what):
            read_skeleton(path)


def wide(names, points):
    lines = ["time," + ",".join(f"{n}_{a}" for n in names for a in ("x", "y", "z", "visibility"))]
    for t, frame in enumerate(points):
        lines.append(f"{t / 10}," + ",".join(f"{v:.5f}" for p in frame for v in (*p, 0.9)))
    return "\n".join(lines)


def test_tables_of_landmarks_in_their_usual_forms_give_the_same(tmp_path):
    points = np.random.default_rng(6).normal(size=(3, 33, 3)).round(5)
    names = LAYOUTS["mediapipe"].names
    theirs = [
        ("LEFT_" if n.endswith("_l") else "RIGHT_" if n.endswith("_r") else "")
        + n.removesuffix("_l").removesuffix("_r").upper()
        for n in names
    ]
    long = ["frame,landmark,x,y,z,visibility"]
    long += [
        f"{t},{k}," + ",".join(map(str, p)) + ",0.9" for t, frame in enumerate(points) for k, p in enumerate(frame)
    ]
    numbered = [",".join(f"{a}{k + 1}" for k in range(33) for a in "xyzv")]
    numbered += [",".join(str(v) for p in frame for v in (*p, 0.9)) for frame in points]
    wanted, _ = canonical(points)
    for name, text in {
        "own": wide(names, points), "theirs": wide(theirs, points), "long": "\n".join(long),
        "numbered": "\n".join(numbered),
    }.items():  # fmt: skip
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        poses = read_skeleton(path, SkeletonOptions(fps=0.0 if name in ("own", "theirs") else 10.0))
        np.testing.assert_allclose(poses.joints, wanted, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(poses.times, [0, 0.1, 0.2])
        assert poses.visibility.min() == pytest.approx(0.9)


def test_frames_without_a_row_are_a_time_without_the_person(tmp_path):
    names, numbers = LAYOUTS["coco17"].names, [0, 1, 300]
    points = np.random.default_rng(7).normal(size=(3, 17, 3)).round(5)
    long = ["frame,landmark,x,y,z"]
    long += [f"{n},{k}," + ",".join(map(str, p)) for n, f in zip(numbers, points, strict=True) for k, p in enumerate(f)]
    lines = wide(names, points).replace("time,", "frame,", 1).split("\n")
    rows = [f"{n},{line.partition(',')[2]}" for n, line in zip(numbers, lines[1:], strict=True)]
    for text in ("\n".join(long), "\n".join([lines[0], *rows])):
        (tmp_path / "a.csv").write_text(text)
        poses = read_skeleton(tmp_path / "a.csv", SkeletonOptions(fps=30.0, layout="coco17"))
        np.testing.assert_allclose(poses.times, [0, 1 / 30, 10])


def test_malformed_tables_name_the_line(tmp_path):
    path = tmp_path / "a.csv"
    good = wide(LAYOUTS["coco17"].names, np.zeros((2, 17, 3)))
    for text, what in (
        ("", "has no rows"),
        (good.replace("0.00000", "nought", 1), r"line 2: nose_x is 'nought', must be a number"),
        (good.replace("nose_x", "tail_x"), "of no layout that is known"),
        (good.replace("nose_x", "nose_y"), "is there twice"),
        (good.replace("0.1,", "0.0,"), "finite and increasing"),
        (good.replace("0.1,", "nan,"), "finite and increasing"),
        ("subject,frame,landmark,x,y\n1,0,0,0,0\n2,0,0,0,0", r"shows 2 persons \(1, 2\): say which"),
        ("landmark,x,y\n0,0,0", "needs a column time or frame"),
        ("a,b\n1,2", "of no layout"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=what):
            read_skeleton(path)
    path.write_text(good.replace("0.00000", "", 1))  # an empty value is a point that was not seen
    assert read_skeleton(path).visibility[0, J["head"]] > 0


def hostile_bvhs():
    good = slow.bvh_text(tree_of("poser"), np.zeros((2, 51)), 0.1)
    head, tail = good.split("MOTION")
    return {
        "not a BVH file": ("MOTION" + tail, "PNG", "\x00" * 100, ""),
        "has no MOTION": (head,),
        "not closed": (head.replace("}", "", 1) + "MOTION" + tail,),
        "is no word": (head.replace("OFFSET", "OFFSIDE", 1) + "MOTION" + tail,),
        "second ROOT": (head.replace("JOINT", "ROOT", 1) + "MOTION" + tail,),
        "must be 0 to 6": (good.replace("CHANNELS 3", "CHANNELS 7", 1), good.replace("CHANNELS 3", "CHANNELS -3", 1)),
        "has channel": (good.replace("Zrotation", "Wrotation", 1),),
        "2 frames of 51 values and has": (good.rsplit("\n", 2)[0], good + " 1 2 3"),
        "Frame Time is": (good.replace("0.1\n", "0\n"), good.replace("0.1\n", "nan\n"), good.replace("0.1\n", "-1\n")),
        "must be 1 frame to": (good.replace("Frames: 2", "Frames: 999999999"), good.replace("Frames: 2", "Frames: -2")),
        "not finite": (good.replace("0.000000", "inf", 1),),
        "no joint has channels": (re.sub(r"CHANNELS .*", "CHANNELS 0", good.rpartition("0.1\n")[0]) + "0.1\n",),
        "no joint is named like 'shoulder_l'": (good.replace("LeftShoulder", "Fin"),),
        "more than 1000 joints": ("HIERARCHY ROOT a { " + "JOINT b { " * 2000 + "MOTION",),
    }  # fmt: skip


@pytest.mark.parametrize(("what", "texts"), hostile_bvhs().items())
def test_malformed_bvhs_are_refused(what, texts, tmp_path):
    path = tmp_path / "a.bvh"
    for text in texts:
        path.write_text(text)
        with pytest.raises(DataError, match=what):
            read_skeleton(path)


def test_malformed_amcs_are_refused(tmp_path):
    bones = cmu_body()
    asf, path = tmp_path / "13.asf", tmp_path / "13_29.amc"
    frame = {"root": np.zeros(6)} | {n: np.zeros(len(b[4])) for n, b in bones.items() if b[4]}
    good, amc = slow.asf_text(bones, 0.45), slow.amc_text([frame] * 2)
    path.write_text(amc)
    with pytest.raises(DataError, match=r"needs its skeleton 13\.asf beside it, there is none"):
        read_skeleton(path)
    for text, what in (
        (":version", "it has no :root"),
        (good.replace("lradius", "fin"), "has no bone 'lradius'"),
        (good.replace("length 0.45", "length 0"), "unit of length is 0.0"),
        (good.replace("root lhipjoint", "lfoot lhipjoint"), "which does not fit its bones"),
        (good.replace("  end\n", "", 1), "not an ASF file|does not fit"),
        (good.replace("XYZ\n", "XXZ\n").replace("axis XXZ", "axis XYZ", 1), "axis order 'xxz'"),
    ):
        asf.write_text(text)
        with pytest.raises(DataError, match=what):
            read_skeleton(path)
    asf.write_text(good)
    for text, what in (
        ("", "has no frames"),
        (amc.replace("root 0", "root 0 0", 1), "is not what frame 1 needs"),
        (amc.replace("0.000000", "inf", 1), "not finite"),
        (amc.replace("root", "boot"), "is not what frame 1 needs"),
        (amc.rpartition("root")[0], "has 1 of 2 frames"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=what):
            read_skeleton(path)


def test_what_is_no_skeleton_says_so(tmp_path):
    with pytest.raises(DataError, match="not a skeleton file, which end in"):
        read_skeleton(tmp_path / "a.fbx")
    with pytest.raises(DataError, match="no such BVH file"):
        read_skeleton(tmp_path / "a.bvh")
    for broken in ({"layout": "x"}, {"fps": -1.0}, {"fps": float("nan")}, {"axes": "+x+y"}):
        with pytest.raises(UsageError):
            SkeletonOptions(**broken)
    (tmp_path / "a.npz").write_bytes(io.BytesIO(b"PK\x03\x04junk").getvalue())
    with pytest.raises(DataError):
        read_skeleton(tmp_path / "a.npz")
    assert len(JOINTS) == 15
