"""What a labelling set-up of Label Studio says of videos and their timeline: names, rate, labels."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import UsageError

#: Frames a second of <Video> without a frameRate, whatever the video's are (tag Video of Label Studio).
USUAL_RATE = 24.0
_LONGEST = 1 << 20


@dataclass(frozen=True)
class LabellingConfig:
    """from_name, to_name: of the tags <TimelineLabels> and <Video>. data: field of a task with its video."""

    from_name: str
    to_name: str
    data: str
    fps: float
    labels: frozenset[str]


def parse_config(text: str) -> LabellingConfig:
    """Read a labelling set-up.

    Args:
        text: XML; no entities, and nothing is fetched.

    Raises:
        UsageError: not XML, or without a timeline of a video.

    >>> from tal_engine.serve.labelling_config import parse_config
    >>> parse_config('<View><TimelineLabels name="what" toName="v"><Label value="jump"/></TimelineLabels>'
    ...              '<Video name="v" value="$film" frameRate="25"/></View>').data
    'film'
    """
    if len(text) > _LONGEST:
        raise UsageError(f"the labelling set-up has {len(text)} characters, at most {_LONGEST}")
    try:
        root = fromstring(text)
    except (ParseError, DefusedXmlException, ValueError) as e:
        raise UsageError(f"the labelling set-up is no XML ({e})") from e
    lines = root.find(".//TimelineLabels")
    videos = {v.get("name", ""): v for v in root.iter("Video")}
    if lines is None or (video := videos.get(lines.get("toName", ""))) is None:
        raise UsageError("the labelling set-up has no <TimelineLabels> whose toName is a <Video>")
    labels = frozenset(label.get("value", "") for label in lines.iter("Label"))
    rate = video.get("frameRate", "")
    return LabellingConfig(
        lines.get("name", ""),
        video.get("name", ""),
        video.get("value", "$video").removeprefix("$"),
        _rate(rate),
        labels,
    )


def _rate(text: str) -> float:
    if not text or text.startswith("$"):
        return USUAL_RATE
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1000:
        raise UsageError(f"frameRate is {text[:40]!r}, must be in (0, 1000]")
    return rate
