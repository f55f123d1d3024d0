"""Cameras of this machine (Video4Linux): which they are, what they are asked for, what is wrong. Opens none."""

from __future__ import annotations

import errno
from pathlib import Path

from ..options import LiveOptions
from .addresses import is_url
from .inputs import parse_raw

#: What ffmpeg calls them.
FORMAT = "v4l2"

#: Said by devices that give no pictures, and of folders.
_NO_CAMERA = frozenset([errno.ENOTTY, errno.EINVAL, errno.ENODEV, errno.ENXIO, errno.ENOSYS, errno.EISDIR])


def is_camera(where: str) -> bool:
    """A camera of this machine: its number, or its device, by any name."""
    if where.isdecimal() or where.startswith(("/dev/video", "/dev/v4l/")):
        return True
    try:
        return not is_url(where) and Path(where).is_char_device()
    except (OSError, ValueError):  # no name that a file could have
        return False


def device_of(where: str) -> str:
    """The device of a camera."""
    return f"/dev/video{where}" if where.isdecimal() else where


def camera_options(options: LiveOptions) -> dict[str, str]:
    """What ffmpeg is told: the size and rate to ask for, if any.

    Raises:
        UsageError: `options.camera` makes no sense.
    """
    if not options.camera:
        return {}
    width, height, fps = parse_raw(options.camera, "camera")
    return {"video_size": f"{width}x{height}", "framerate": f"{fps:.10g}"}


def trouble_with(where: str, error: Exception, said: str) -> tuple[str, bool]:
    """What is wrong with a camera that cannot be opened, and whether trying again will hardly help."""
    device, number = device_of(where), getattr(error, "errno", None)
    if number == errno.ENOENT:
        return f"there is no camera {device} ({said})", True
    if number in _NO_CAMERA:
        return f"{device} is no camera ({said})", True
    if number in (errno.EACCES, errno.EPERM):
        return f"the camera {device} may not be read ({said}); its device belongs to a group, mostly 'video'", True
    if number is None:
        return f"the camera {device} cannot be read ({said}); cameras are read on Linux only", True
    return f"the camera {device} cannot be read ({said})", False
