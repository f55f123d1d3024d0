"""The element itself; imports PyGObject. What it does with frames is `analysis`'s.

A transform in place that changes nothing: caps, allocation, latency and quality of service are those of its neighbours.
Frames are held up while a model runs: in a live pipeline a leaky queue goes before it. A frame that carries events is a
copy of the buffer's head, not of its picture.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import BackendError, PlanError, TALError, UsageError
from ..events import Event
from ..video.source import Image
from .analysis import Analysis, Settings, fields
from .introspection import GLib, GObject, Gst, GstBase, GstVideo
from .names import ELEMENT, MESSAGE

_CAPS = "video/x-raw,format=RGB,width=[1,2147483647],height=[1,2147483647],framerate=[0/1,2147483647/1]"
#: "As in the plan", where every number a user would give means something.
_PLAN_S, _PLAN_K, _PLAN_SCORE = 0.0, -1, -sys.float_info.max
_SHALLOW = (
    Gst.BufferCopyFlags.FLAGS | Gst.BufferCopyFlags.TIMESTAMPS | Gst.BufferCopyFlags.META | Gst.BufferCopyFlags.MEMORY
)
_ALL = 2**64 - 1
_FLAGS = GObject.ParamFlags.READWRITE
#: Fields of messages that are unsigned, as GStreamer's times are.
_TIMES = ("start", "end")
#: name: (type, nick, blurb, [minimum, maximum,] default, flags)
_PROPERTIES: dict[str, tuple[Any, ...]] = {
    "plan": (str, "Plan", "File of the plan; none: the embedded demonstration model", None, _FLAGS),
    "device": (str, "Device", "Where models run: auto, cpu, cuda, ...", "auto", _FLAGS),
    "threads": (int, "Threads", "Threads of the models; 0: as many as cores", 0, 1024, 0, _FLAGS),
    "stream": (str, "Stream", "Name in events; none: the element's", None, _FLAGS),
    "provisional": (bool, "Provisional", "Tell also of actions that are open or may change", False, _FLAGS),
    "min-score": (float, "Least score", "Of segments; the least number: the plan's",
                  -sys.float_info.max, sys.float_info.max, _PLAN_SCORE, _FLAGS),
    "top-k": (int, "Most segments", "Of a window; 0: all, -1: the plan's", -1, 2**31 - 1, _PLAN_K, _FLAGS),
    "raw-scores": (bool, "Raw scores", "Scores as the method gives them", False, _FLAGS),
    "window": (float, "Window", "Seconds; 0: the plan's", 0.0, 1e9, _PLAN_S, _FLAGS),
    "step": (float, "Step", "Seconds; 0: the plan's", 0.0, 1e9, _PLAN_S, _FLAGS),
    "look-ahead": (float, "Look-ahead", "Seconds; 0: the plan's", 0.0, 1e9, _PLAN_S, _FLAGS),
    "meta": (bool, "Metadata", "Frames carry the events that they decided", True, _FLAGS),
    "declared-latency": (GObject.TYPE_UINT64, "Declared latency", "From an action's end to its event at most, ns; 0 "
                         "before the element runs", 0, 2**64 - 1, 0, GObject.ParamFlags.READABLE),
    "refused": (GObject.TYPE_UINT64, "Refused", "Frames whose time was not after the last one's", 0, 2**64 - 1, 0,
                GObject.ParamFlags.READABLE),
}  # fmt: skip


def _pad(name: str, direction: Any) -> Any:
    return Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(_CAPS))


class TalLocalize(GstBase.BaseTransform):  # type: ignore[misc] # PyGObject has no types
    """Finds actions in the video that passes through.

    Messages of the bus are element messages `tal-event` (see `analysis.fields`). A frame on which something was decided
    carries a region of interest of this type for each event, which is the whole picture and whose parameter `tal-event`
    has the same fields; they are numbered from 0. (Of Gst.CustomMeta Python gets a copy: nothing can be put into it.)
    """

    __gtype_name__ = "TalLocalize"
    __gstmetadata__ = (
        "Temporal action localization", "Filter/Analyzer/Video", "Finds which actions happen when", "tal_engine",
    )  # fmt: skip
    __gsttemplates__ = (_pad("src", Gst.PadDirection.SRC), _pad("sink", Gst.PadDirection.SINK))
    __gproperties__ = _PROPERTIES

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Any] = {n: p[-2] for n, p in _PROPERTIES.items()}
        self._lock = threading.Lock()  # a flush may come from another thread than frames
        self._analysis: Analysis | None = None
        self._info: Any = None
        self._told: list[Event] = []
        self.set_passthrough(True)
        self.set_in_place(True)
        self.srcpad.add_probe(Gst.PadProbeType.BUFFER, self._with_meta)

    # -- properties ------------------------------------------------------------------------------------

    def do_get_property(self, prop: Any) -> Any:
        """Return a property."""
        if prop.name == "declared-latency":
            return 0 if self._analysis is None else round(self._analysis.declared_latency_s * Gst.SECOND)
        if prop.name == "refused":
            return 0 if self._analysis is None else self._analysis.refused
        return self._values[prop.name]

    def do_set_property(self, prop: Any, value: Any) -> None:
        """Set a property; it counts from the next start on."""
        self._values[prop.name] = value

    def _settings(self) -> Settings:
        v = self._values
        times = {n.replace("-", "_"): v[n] or None for n in ("window", "step", "look-ahead")}
        return Settings(
            plan=v["plan"], device=v["device"] or "auto", threads=v["threads"], name=v["stream"] or self.get_name(),
            provisional=v["provisional"], min_score=None if v["min-score"] == _PLAN_SCORE else v["min-score"],
            top_k=None if v["top-k"] == _PLAN_K else v["top-k"], calibrated=not v["raw-scores"], **times,
        )  # fmt: skip

    # -- life ------------------------------------------------------------------------------------------

    def do_start(self) -> bool:
        """Load the plan."""
        return self._safely(self._open) is not None

    def _open(self) -> bool:
        self._analysis, self._told = Analysis(self._settings()), []
        return True

    def do_stop(self) -> bool:
        """Let go of the plan; what is open is not told."""
        with self._lock:
            found, self._analysis = self._analysis, None
        if found is not None:
            found.close()
        return True

    def do_set_caps(self, incaps: Any, _outcaps: Any) -> bool:
        """Take another size or rate, at the start or on the way."""
        self._info = GstVideo.VideoInfo.new_from_caps(incaps)
        if self._info is None or self._analysis is None:
            return False
        self._analysis.caps((self._info.fps_n, self._info.fps_d))
        return True

    def do_sink_event(self, event: Any) -> bool:
        """Decide what is open at the end, and where the stream goes on at another place."""
        match event.type:
            case Gst.EventType.EOS | Gst.EventType.FLUSH_STOP:
                self._safely(self._end)
            case Gst.EventType.SEGMENT:
                self._segment(event.parse_segment())
            case _:
                pass
        passed: bool = GstBase.BaseTransform.do_sink_event(self, event)
        return passed

    def _segment(self, segment: Any) -> None:
        """Note that stream time may go on at another place."""
        if segment.rate < 0:
            self._warn("the video plays backwards, which is not analysed")
        with self._lock:
            if self._analysis is not None:
                self._analysis.moved()

    def do_transform_ip(self, buffer: Any) -> Any:
        """Look at a frame."""
        if self.segment.rate < 0:
            return Gst.FlowReturn.OK
        stamp = None
        if buffer.pts != Gst.CLOCK_TIME_NONE and self.segment.format == Gst.Format.TIME:
            stamp = self.segment.to_stream_time(Gst.Format.TIME, buffer.pts)
            if stamp in (Gst.CLOCK_TIME_NONE, -1):  # before the segment: it is not shown
                return Gst.FlowReturn.OK
        return Gst.FlowReturn.ERROR if self._safely(self._frame, buffer, stamp) is None else Gst.FlowReturn.OK

    def _frame(self, buffer: Any, stamp: int | None) -> bool:
        with self._lock:
            found = self._analysis
            if found is None:
                return True
            before = found.refused
            events = found.frame(_image(buffer, self._info), stamp)
            if found.refused > before == 0:
                self._warn("frames whose time is not after the last one's are skipped (property refused counts them)")
            self._told += events
        self._tell(events)
        return True

    def _end(self) -> bool:
        with self._lock:
            events = [] if self._analysis is None else self._analysis.end()
            self._told.clear()  # there is no frame for them
        self._tell(events)
        return True

    # -- what is told ----------------------------------------------------------------------------------

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            self.post_message(Gst.Message.new_element(self, _structure(event)))

    def _with_meta(self, pad: Any, info: Any) -> Any:
        """Send a frame with the events that it decided in its place."""
        events, self._told = self._told, []
        if not events or not self._values["meta"]:
            return Gst.PadProbeReturn.OK
        frame = info.get_buffer().copy_region(_SHALLOW, 0, _ALL)  # copy() is the same buffer once more
        for number, event in enumerate(events):
            whole = (0, 0, self._info.width, self._info.height)
            meta = GstVideo.buffer_add_video_region_of_interest_meta(frame, MESSAGE, *whole)
            meta.id = number
            meta.add_param(_structure(event))
        pad.push(frame)  # comes by here again, with nothing to tell; what it returns, the next frame's push does
        return Gst.PadProbeReturn.DROP

    def _safely(self, do: Callable[..., bool], *arguments: Any) -> bool | None:
        """Call, and post what goes wrong as an error of the element; nothing may reach GStreamer as an exception."""
        try:
            return do(*arguments)
        except Exception as e:
            domain, code = _error_of(e)
            text = str(e) if isinstance(e, TALError) else f"{type(e).__name__}: {e}"
            error = GLib.Error.new_literal(domain, text, code)
            self.post_message(Gst.Message.new_error(self, error, f"{type(e).__module__}.{type(e).__name__}"))
            return None

    def _warn(self, text: str) -> None:
        error = GLib.Error.new_literal(Gst.StreamError.quark(), text, Gst.StreamError.FAILED)
        self.post_message(Gst.Message.new_warning(self, error, ""))


def _structure(event: Event) -> Any:
    found = Gst.Structure.new_empty(MESSAGE)
    for name, value in fields(event).items():
        found.set_value(name, GObject.Value(GObject.TYPE_INT64, value) if name in _TIMES else value)
    return found


def _error_of(e: Exception) -> tuple[int, int]:
    """Return domain and code of GStreamer for an error."""
    if isinstance(e, FileNotFoundError):
        return Gst.ResourceError.quark(), Gst.ResourceError.NOT_FOUND
    if isinstance(e, PlanError):
        return Gst.ResourceError.quark(), Gst.ResourceError.READ
    if isinstance(e, UsageError):
        return Gst.LibraryError.quark(), Gst.LibraryError.SETTINGS
    if isinstance(e, BackendError):
        return Gst.LibraryError.quark(), Gst.LibraryError.FAILED
    return Gst.StreamError.quark(), Gst.StreamError.FAILED


def _image(buffer: Any, info: Any) -> Callable[[], Image]:
    """Return what copies a frame's picture, row by row where rows are padded; it holds the buffer so long."""

    def image() -> Image:
        meta = GstVideo.buffer_get_video_meta(buffer)
        offset, stride = (info.offset[0], info.stride[0]) if meta is None else (meta.offset[0], meta.stride[0])
        ok, mapped = buffer.map(Gst.MapFlags.READ)
        if not ok:
            raise UsageError("a frame's memory cannot be read; convert it: videoconvert")
        try:
            shape, strides = (info.height, info.width, 3), (stride, 3, 1)
            return np.ndarray(shape, np.uint8, mapped.data, offset, strides).copy()
        finally:
            buffer.unmap(mapped)

    return image


FACTORY = (ELEMENT, Gst.Rank.NONE, TalLocalize)


def register() -> None:
    """Make the element known in this process, in the place of one that GST_PLUGIN_PATH leads to; twice is harmless."""
    Gst.Element.register(None, *FACTORY)
