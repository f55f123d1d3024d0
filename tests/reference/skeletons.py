"""Joints of BVH and of AMC with ASF by 4 x 4 matrices, one frame and one joint at a time."""

from __future__ import annotations

import math

import numpy as np


def rotation(axis, degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        "x": [[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]],
        "y": [[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]],
        "z": [[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    }
    return np.array(rows[axis], float)


def translation(vector):
    out = np.eye(4)
    out[:3, 3] = vector
    return out


def bvh_places(tree, frame):
    """Where joints are in a frame of a BVH: name -> [3].

    tree: (name, parent or None, offset, channels) of each joint, parents first. frame: the values of all channels.
    """
    world, out, at = {}, {}, 0
    for name, parent, offset, channels in tree:
        place, turn = list(offset), np.eye(4)
        for channel in channels:
            if channel.endswith("position"):
                place["xyz".index(channel[0].lower())] = frame[at]
            else:
                turn = turn @ rotation(channel[0].lower(), frame[at])
            at += 1
        above = np.eye(4) if parent is None else world[parent]
        world[name] = above @ translation(place) @ turn
        out[name] = world[name][:3, 3]
    return out


def bvh_text(tree, frames, step):
    """A BVH file of a tree of joints; a joint without channels is an End Site."""
    lines = ["HIERARCHY"]

    def write(name, depth):
        _, parent, offset, channels = next(j for j in tree if j[0] == name)
        word = "ROOT" if parent is None else "JOINT"
        lines.append("  " * depth + (f"{word} {name}" if channels else "End Site"))
        lines.append("  " * depth + "{")
        lines.append("  " * depth + "  OFFSET " + " ".join(map(str, offset)))
        if channels:
            lines.append("  " * depth + f"  CHANNELS {len(channels)} " + " ".join(channels))
        for child in tree:
            if child[1] == name:
                write(child[0], depth + 1)
        lines.append("  " * depth + "}")

    write(tree[0][0], 0)
    rows = [" ".join(f"{v:.6f}" for v in frame) for frame in frames]
    return "\n".join([*lines, "MOTION", f"Frames: {len(frames)}", f"Frame Time: {step}", *rows, ""])


def amc_places(bones, frame):
    """Far ends of bones in a frame of an AMC: name -> [3].

    bones: name -> (parent, direction, length, axis in degrees (x, y, z), {dof: degrees of the frame's key}); the frame
    has "root" (tx ty tz rx ry rz) and the values of each bone's dof, all in degrees.
    """
    tx, ty, tz, rx, ry, rz = frame["root"]
    world = {"root": translation([tx, ty, tz]) @ rotation("z", rz) @ rotation("y", ry) @ rotation("x", rx)}
    out = {"root": np.array([tx, ty, tz])}
    for name, (parent, direction, length, axis, dof) in bones.items():
        own = rotation("z", axis[2]) @ rotation("y", axis[1]) @ rotation("x", axis[0])
        turn = np.eye(4)
        for d, value in zip(dof, frame.get(name, ()), strict=True):
            turn = rotation(d[1], value) @ turn
        unit = np.array(direction) / np.linalg.norm(direction)
        world[name] = world[parent] @ own @ turn @ np.linalg.inv(own) @ translation([0, 0, 0])
        world[name] = world[name] @ translation(unit * length)
        out[name] = world[name][:3, 3]
    return out


def asf_text(bones, unit):
    lines = [":version 1.10", ":name test", ":units", "  mass 1.0", f"  length {unit}", "  angle deg", ":documentation",
             "  by hand", ":root", "  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0",
             ":bonedata"]  # fmt: skip
    for number, (name, (_, direction, length, axis, dof)) in enumerate(bones.items(), 1):
        lines += ["  begin", f"    id {number}", f"    name {name}", "    direction " + " ".join(map(str, direction)),
                  f"    length {length}", "    axis " + " ".join(map(str, axis)) + "  XYZ"]  # fmt: skip
        if dof:
            lines += ["    dof " + " ".join(dof), "    limits (-180 180)", *["           (-180 180)"] * (len(dof) - 1)]
        lines.append("  end")
    lines += [":hierarchy", "  begin", *(f"    {b[0]} {name}" for name, b in bones.items()), "  end", ""]
    return "\n".join(lines)


def amc_text(frames):
    lines = ["#!OML:ASF by hand", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, 1):
        lines += [str(number), *(f"{name} " + " ".join(f"{v:.6f}" for v in of) for name, of in frame.items())]
    return "\n".join([*lines, ""])
