"""Opens videos so that neither a name nor what a file holds makes FFmpeg open anything else.

Every call names the protocols and the container formats that it may use. A path is made absolute and read by the file
protocol, so a colon, a percent sign or a leading dash in it is only a letter. Files hold their media themselves:
playlists, which name other files or addresses, are refused unless they are asked for as ``playlist:PATH``.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import av
from av.container import InputContainer

from ..errors import UsageError, VideoError, VideoFault
from .names import PLAYLIST, ending, exists
from .redaction import redact

#: Containers, streams without one, and pictures, by FFmpeg's names; sound, so that it is called by its name.
MEDIA_FORMATS = (
    "aac,ac3,aiff,amr,apng,asf,asf_o,av1,avi,avs2,avs3,caf,cavsvideo,dhav,dirac,dnxhd,dv,eac3,evc,flac,flv,gif,gxf,"
    "h261,h263,h264,hevc,ifv,ipu,ivf,ivr,jpegxl_anim,kux,lmlm4,lxf,m4v,matroska,mjpeg,mjpeg_2000,mov,mp3,mpeg,mpegts,"
    "mpegvideo,mpjpeg,mtv,mv,mxf,mxg,nsv,nut,nuv,obu,ogg,pva,r3d,rm,rpl,smjpeg,ty,vc1,vc1test,vivo,vvc,w64,wav,webp,"
    "wtv,wv,xmv,yuv4mpegpipe,"
    "bmp_pipe,dpx_pipe,exr_pipe,gif_pipe,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,pam_pipe,pbm_pipe,pgm_pipe,"
    "png_pipe,ppm_pipe,qoi_pipe,tiff_pipe,webp_pipe"
)
#: Formats that are lists of other files.
_LISTS = "hls,dash,concat"

_HTTP = "http,https,tcp,tls,httpproxy,crypto,data"
_RTSP = "rtp,srtp,udp,tcp,tls,http,https,httpproxy"


class _Scheme(NamedTuple):
    """What FFmpeg may use for addresses of a scheme."""

    protocols: str
    formats: str = MEDIA_FORMATS


#: Live addresses, as docs/streaming.md lists them.
LIVE_SCHEMES = {
    "http": _Scheme(_HTTP, f"{MEDIA_FORMATS},hls,dash,webvtt"),
    "https": _Scheme(_HTTP, f"{MEDIA_FORMATS},hls,dash,webvtt"),
    "rtsp": _Scheme(_RTSP, f"rtsp,{MEDIA_FORMATS}"),
    "rtsps": _Scheme(_RTSP, f"rtsp,{MEDIA_FORMATS}"),
    "rtp": _Scheme("rtp,srtp,udp", f"rtp,sdp,{MEDIA_FORMATS}"),
    "rtmp": _Scheme("rtmp,tcp"),
    "rtmps": _Scheme("rtmps,rtmp,tcp,tls"),
    "srt": _Scheme("srt"),
    "tcp": _Scheme("tcp"),
    "tls": _Scheme("tls,tcp"),
    "udp": _Scheme("udp"),
}
#: Segments of a playlist may be called anything: what they are is found out by their content. Older FFmpegs know less.
_ANY_SEGMENT = {"allowed_extensions": "ALL", "allowed_segment_extensions": "ALL", "extension_picky": "0"}

#: Demuxers of pictures by ending, for names that FFmpeg would take for a pattern of many.
_PICTURES = {
    ".bmp": "bmp_pipe", ".jpeg": "jpeg_pipe", ".jpg": "jpeg_pipe", ".pgm": "pgm_pipe", ".png": "png_pipe",
    ".ppm": "ppm_pipe", ".tif": "tiff_pipe", ".tiff": "tiff_pipe", ".webp": "webp_pipe",
}  # fmt: skip
#: What `pathlib` makes of an address.
_ADDRESS_AS_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_PATTERN = set("%*?{[")

#: How lists of other files begin, and what they are called.
_BEGINNINGS = {
    b"#EXTM3U": "an HLS playlist (m3u8)",
    b"ffconcat version": "a concat list",
    b"[playlist]": "a playlist (pls)",
    b"v=0": "a session description (sdp)",
}
_HEAD_BYTES = 4096
_OPENED = {".m3u": "a playlist (m3u)", ".m3u8": "an HLS playlist (m3u8)", ".mpd": "a DASH manifest (mpd)",
           ".ffconcat": "a concat list", ".pls": "a playlist (pls)", ".sdp": "a session description (sdp)"}  # fmt: skip

#: Those that `playlist:` reads.
_READ = frozenset([_OPENED[".m3u8"], _OPENED[".mpd"], _OPENED[".ffconcat"]])

#: What FFmpeg writes to its log, and nowhere else, when it refuses a part of a source.
_REFUSALS = ("not on whitelist", "not in allowed", "nsafe file name", "ot detecting", "rror when loading first segment")
_logging = threading.Lock()


def local_url(path: str | Path) -> str:
    """Return the address of a local file, whatever characters its name has."""
    return f"file:{os.path.abspath(path)}"  # noqa: PTH100 - Path.absolute keeps ".."


def open_local(path: str | Path) -> InputContainer:
    """Open a video file of this machine, or a playlist if the path is ``playlist:PATH`` and no such file exists.

    Raises:
        VideoError: missing, no file, a playlist that was not asked for, or of no format that is read.
    """
    asked = str(path).startswith(PLAYLIST) and not exists(path)
    file = Path(str(path).removeprefix(PLAYLIST) if asked else path)
    if not exists(file):
        raise VideoError(VideoFault.MISSING, _absent(file)).missing(file)
    if not file.is_file():
        raise VideoError(VideoFault.NOT_A_VIDEO, f"{file}: not a file")
    try:
        with file.open("rb") as opened:
            kind = playlist_kind(opened.read(_HEAD_BYTES), file.name)
    except OSError as e:
        raise VideoError(VideoFault.UNREADABLE, f"{file}: cannot be read ({e.strerror})").because(e, file) from e
    if kind and not asked:
        hint = f"; {PLAYLIST}{file} reads what it lists" if kind in _READ else ""
        raise VideoError(VideoFault.NOT_A_VIDEO, f"{file}: is {kind}, not a video{hint}")
    options = {"protocol_whitelist": "file", "format_whitelist": MEDIA_FORMATS}
    if kind:
        options = {"protocol_whitelist": "file,crypto,data", "format_whitelist": f"{MEDIA_FORMATS},{_LISTS}"}
        options |= _ANY_SEGMENT
    picture = _PICTURES.get(ending(file.name).lower()) if _PATTERN & set(str(file.absolute())) else None
    try:
        return av.open(local_url(file), format=picture, options=options)
    except (av.error.FFmpegError, ValueError, OSError) as e:
        raise VideoError(VideoFault.NOT_A_VIDEO, f"{file}: cannot be read as a video ({why(e)})") from e


def _absent(file: Path) -> str:
    """Explain that a file is missing; an address turned into a path has lost a slash, and may hold a password."""
    if not _ADDRESS_AS_PATH.match(str(file)):
        return f"{file}: no such file"
    shown = redact(str(file).replace(":/", "://", 1))
    return f"{shown}: no such file; addresses are read as texts, by tal localize, tal stream and TALEngine"


def open_stream(file: IO[bytes], name: str) -> InputContainer:
    """Open a video that a Python file object gives; it may open nothing else.

    Args:
        file: opened for reading; sought in where it can be.
        name: what messages call it.

    Raises:
        VideoError: a playlist, or of no format that is read.
    """
    options = {"protocol_whitelist": "none", "format_whitelist": MEDIA_FORMATS}
    try:
        return av.open(_Nameless(file), "r", options=options)
    except (av.error.FFmpegError, ValueError, OSError) as e:
        raise VideoError(VideoFault.NOT_A_VIDEO, f"{name}: cannot be read as a video ({redact(why(e))})") from e


class _Nameless:
    """A file object without its name, from which FFmpeg would guess a format."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read
        if file.seekable():
            self.seek, self.tell = file.seek, file.tell


def scheme_of(where: str) -> str:
    """Return the scheme of an address in lower case, such as "rtsp"; "" if there is none."""
    scheme, separator, _ = where.partition("://")
    return scheme.lower() if separator and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum() else ""


def live_options(where: str) -> dict[str, str]:
    """Return the options of `av.open` that restrict what FFmpeg may open for a live address, or for stdin (``-``).

    Raises:
        UsageError: an address of another scheme; the message lists those that are supported.
    """
    if where == "-":
        return {"protocol_whitelist": "pipe", "format_whitelist": MEDIA_FORMATS}
    scheme = scheme_of(where)
    if scheme not in LIVE_SCHEMES:
        raise UsageError(f"Protocol not found: {scheme}://; live are {', '.join(sorted(LIVE_SCHEMES))}, each with ://")
    allowed = LIVE_SCHEMES[scheme]
    segments = _ANY_SEGMENT if "hls" in allowed.formats.split(",") else {}
    return {"protocol_whitelist": allowed.protocols, "format_whitelist": allowed.formats, **segments}


def refused_part(url: str, options: dict[str, str], timeout: float) -> str:
    """Open an address once more and return what FFmpeg's log says it refused, without passwords; "" for nothing."""
    with _logging:  # the level is the whole process's: only for the moment of this call
        level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture(local=False) as logs, suppress(av.error.FFmpegError, OSError, ValueError):
                av.open(url, options=options, timeout=timeout).close()
        finally:
            av.logging.set_level(level)
    said = dict.fromkeys(text.strip() for _, _, text in logs if any(part in text for part in _REFUSALS))
    return redact("; ".join(said))


def playlist_kind(head: bytes, name: str) -> str:
    """Name the kind of playlist that begins with `head`; "" if it is unknown."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for beginning, kind in _BEGINNINGS.items():
        if text.startswith(beginning) and (beginning != b"v=0" or b"\nm=" in text):
            return kind
    if text.startswith(b"<") and b"<MPD" in text:
        return "a DASH manifest (mpd)"
    is_text = b"\0" not in head
    return _OPENED.get(ending(name).lower(), "") if is_text else ""


def why(e: Exception) -> str:
    """Return what went wrong, without the name of the file or the address that was opened."""
    return str(getattr(e, "strerror", None) or e).strip()
