"""Cameras of this machine (Video4Linux): names, ffmpeg options, and explanations of errors. Opens none."""

from __future__ import annotations

import errno
from pathlib import Path

from ..options import LiveOptions
from .addresses import is_url
from .raw_input import parse_raw

#: ffmpeg's name of the format.
FORMAT = "v4l2"

#: Errors of devices without images, and of folders.
_NO_CAMERA = frozenset([errno.ENOTTY, errno.EINVAL, errno.ENODEV, errno.ENXIO, errno.ENOSYS, errno.EISDIR])


def is_camera(where: str) -> bool:
    """Return whether the source is a camera of this machine: its number, or any name of its device."""
    if where.startswith(("/dev/video", "/dev/v4l/")) or (where.isdecimal() and not Path(where).is_file()):
        return True
    try:
        return not is_url(where) and Path(where).is_char_device()
    except (OSError, ValueError):  # no name that a file could have
        return False


def device_of(where: str) -> str:
    """Return the device of a camera."""
    return f"/dev/video{where}" if where.isdecimal() else where


def camera_options(options: LiveOptions) -> dict[str, str]:
    """Return ffmpeg's options for the size and rate to request, if any.

    Raises:
        UsageError: `options.camera` is malformed.
    """
    if not options.camera:
        return {}
    width, height, fps = parse_raw(options.camera, "camera")
    return {"video_size": f"{width}x{height}", "framerate": f"{fps:.10g}"}


def trouble_with(where: str, error: Exception, said: str) -> tuple[str, bool]:
    """Explain why a camera cannot be opened, and return whether retrying is unlikely to help."""
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
