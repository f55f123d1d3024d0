"""The record of what made a feature: kept beside features and in plans, compared field by field.

Stored features also carry `libraries`, the versions that they were made with, and heads and plans those of the
features that they were trained on. No head asks for them: they refuse nothing, and may explain why two files differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from ..errors import FeatureError
from ..options import NEAR_PIXELS, PIXELS, SnippetOptions
from ..plan.fields import Encoder, PoseEncoder

#: Parts that records of older versions do not have: there they are not compared, and nothing is said of it.
_ADDED = ("pixels", "libraries", "flow", "poses")

#: What is known, and what is not, of features that another extractor made; see `imported`.
IMPORTED = "imported"

#: Parts that change features a little: where they differ that is a warning, and features are taken.
_SLIGHT = ("flow", "poses", "snippet.resize_of")

#: Snippet options that older records lack. What they were made with is the default.
_LATER = ("interpolation", "flow_of", "resize_of")


class Difference(NamedTuple):
    """A field in which two records differ, and what each says; None where one says nothing of it."""

    field: str
    found: Any
    wanted: Any


def contract_of(
    snippet: SnippetOptions,
    encoders: Iterable[Encoder | PoseEncoder],
    pixels: str = PIXELS,
    flow: str = "",
    poses: str = "",
) -> dict[str, Any]:
    """Record what these encoders make of these snippets.

    Args:
        snippet: how frames become snippets.
        encoders: the encoders, one for each stream.
        pixels: name of the pixel rules; default: those of this version.
        flow: implementation of the flow, see `video.flow_rules`; "" if unknown or if there is no flow.
        poses: what found the poses, `PoseEncoder.poses`; "" if unknown or if there are none.
    """
    records = {
        e.stream: {"name": e.name, "weights_sha256": e.weights_sha256, "dim": e.dim, **e.preprocess} for e in encoders
    }
    known = {name: by for name, by in (("flow", flow), ("poses", poses)) if by}
    return {"snippet": asdict(snippet), "encoders": records, "pixels": pixels, **known}


def imported(
    layout: str, encoder: str, dims: Mapping[str, int], snippet: Mapping[str, float], unknown: Sequence[str]
) -> dict[str, Any]:
    """Record features that another extractor made.

    Args:
        layout: of the files they came in.
        encoder: what made them, if somebody said so; "": the layout and the stream.
        dims: width of each stream.
        snippet: what is known of the geometry of rows.
        unknown: what else is not known.

    >>> record = imported("video_features", "", {"rgb": 1024}, {"fps": 25, "window": 64, "stride": 64}, ())
    >>> record["imported"]["unknown"]
    ['encoders.rgb.weights_sha256', 'encoders.rgb.preprocess', 'snippet.resize', 'snippet.crop', 'pixels']
    """
    encoders = {s: {"name": encoder or f"{layout}:{s}", "dim": dim} for s, dim in dims.items()}
    missing = [f"encoders.{s}.{field}" for s in dims for field in ("weights_sha256", "preprocess")]
    missing += [f"snippet.{name}" for name in ("fps", "window", "stride") if name not in snippet]
    missing += ["snippet.resize", "snippet.crop", *(["flow"] if "flow" in dims else []), "pixels", *unknown]
    about = {"layout": layout, "unknown": missing}
    return {"snippet": dict(snippet), "encoders": encoders, IMPORTED: about}


def for_features(own: Mapping[str, Any], trained: Mapping[str, Any], streams: Iterable[str]) -> dict[str, Any]:
    """Return what a plan without encoders wants of features: its own record with the encoders it was trained on.

    Args:
        own: what the plan's manifest says.
        trained: the record of the features that its head was trained on; {} if there is none.
        streams: what the head reads.

    Of imported features nothing is claimed that nobody knew.
    """
    encoders = trained.get("encoders", {})
    known = {s: encoders[s] for s in streams if s in encoders} if isinstance(encoders, Mapping) else {}
    base = {k: v for k, v in trained.items() if k != "libraries"} if not_known(trained) else own
    return {**base, "encoders": known}


def not_known(record: Mapping[str, Any]) -> list[str]:
    """List what is not known of imported features; nothing of others."""
    about = record.get(IMPORTED, {})
    unknown = about.get("unknown", ()) if isinstance(about, Mapping) else ()
    return [str(u) for u in unknown] if isinstance(unknown, list | tuple) else []


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Difference]:
    """List the fields of `wanted` that `found` lacks or has with another value; extra fields of `found` are ignored."""
    recorded = dict(_flat(_completed(found)))
    needed = _flat({k: v for k, v in _completed(wanted).items() if k != IMPORTED})
    asked = [(n, v) for n, v in needed if n in recorded or n.partition(".")[0] not in _ADDED]
    return [Difference(name, recorded.get(name), value) for name, value in asked if recorded.get(name) != value]


def check_contract(
    found: Mapping[str, Any], wanted: Mapping[str, Any], source: str, *, force: bool = False
) -> list[str]:
    """Compare the record of stored features with what is needed.

    Streams that are not needed are ignored.

    Args:
        found: of the features.
        wanted: of what the head was trained on.
        source: their name in messages.
        force: take features that differ, and say so.

    Returns:
        Warnings: what could not be compared because it is not recorded, and what differs if that is forced.

    Raises:
        FeatureError: naming the first field that differs and both values.
    """
    if not found:
        return [f"{source}: carries no record of its origin; nothing proves that it matches the head"]
    unknown = sorted(set(wanted["encoders"]) - set(found.get("encoders", {})))
    warnings = [f"{source}: stream {stream!r} carries no record of its encoder" for stream in unknown]
    recorded = {s: e for s, e in wanted["encoders"].items() if s not in unknown}
    if open_ := not_known(found):
        warnings.append(f"{source}: made by another extractor; not known, so not compared: {', '.join(open_)}")
    elif open_ := not_known(wanted):
        what = "the head was trained on features of another extractor"
        warnings.append(f"{source}: {what}; not known of them, so not compared: {', '.join(open_)}")
    for field, other, value in differences(found, {**wanted, "encoders": recorded}):
        if other is None and not_known(found):
            continue  # said above, once
        if other is None:
            warnings.append(f"{source}: carries no record of {field}, the head was trained on {value!r}")
        elif field in _SLIGHT or (field == "pixels" and {other, value} <= NEAR_PIXELS):
            warnings.append(f"{source}: {field} is {other!r}, the head was trained on {value!r}: scores may be off")
        elif force:
            warnings.append(f"{source}: forced: {field} is {other!r}, the head was trained on {value!r}")
        else:
            raise FeatureError(f"{source}: {field} is {other!r}, the head was trained on {value!r}")
    return warnings


def merged(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the records of streams from several files: all encoders, and every other field that all have in common.

    Empty if one of them has no record, since nothing then proves that they belong together.
    """
    if len(records) == 1 or not all(records):
        return dict(records[0]) if len(records) == 1 else {}
    whole = [_completed(r) for r in records]
    same = {k: v for k, v in whole[0].items() if all(r.get(k) == v for r in whole)}
    return same | {"encoders": {s: e for r in records for s, e in r.get("encoders", {}).items()}}


def _completed(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the default of each option that is younger than the record."""
    if "snippet" not in record or IMPORTED in record:
        return record
    default = SnippetOptions()
    return {**record, "snippet": {**{name: getattr(default, name) for name in _LATER}, **record["snippet"]}}


def _flat(record: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the fields of nested mappings as (a.b.c, value)."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
