"""``tal stream``: live sources in, final events out, until they end or somebody stops it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._util.files import check_folder, check_outputs, write_text
from .._util.repeats import repeated
from ..engine import TALEngine
from ..errors import SinkError, UsageError
from ..options import LiveOptions
from .console import complain, errors, warn
from .inputs import given, stream_settings, with_settings
from .shared import (
    Classes,
    Conf,
    Device,
    FormerLatency,
    Key,
    LookAhead,
    MoreStreamOptions,
    PlanOption,
    Quiet,
    RawScores,
    Step,
    Timeout,
    Window,
    default_note,
)

#: Sinks that are files.
_FILE_SINKS = ("jsonl:", "csv:", "srt:", "vtt:")

if TYPE_CHECKING:
    from ..outputs.sinks.registry import Source
    from ..outputs.sinks.sink import Fan
    from ..streaming.scheduler import StreamScheduler


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stream")(stream)


def stream(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders of pictures, rtsp:// or http:// addresses, cameras (0), - (stdin), *.streams lists; "
            "NAME=SOURCE gives a name."
        ),
    ],
    plan: PlanOption = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(
            help="Also send events to jsonl:, csv:, srt:, vtt:PATH, webhook:URL, mqtt://, kafka://.",
            rich_help_panel="Outputs",
        ),
    ] = None,
    sink_options: Annotated[
        list[str] | None,
        typer.Option(
            help="Of SinkOptions, NAME=VALUE: max_bytes, every_s, keep, fsync, dead_letters, layout, discovery, "
            "off_after.",
            rich_help_panel="Outputs",
        ),
    ] = None,
    provisional: Annotated[
        bool, typer.Option(help="Tell also of actions that are open or may change.", rich_help_panel="What is found")
    ] = False,
    window: Window = None,
    step: Step = None,
    look_ahead: LookAhead = None,
    latency: FormerLatency = None,
    stream_options: MoreStreamOptions = None,
    realtime: Annotated[bool, typer.Option(help="Pace files as if they were live.", rich_help_panel="Sources")] = False,
    policy: Annotated[
        str | None, typer.Option(help="wait, drop_oldest, drop_latest or adaptive.", rich_help_panel="Sources")
    ] = None,
    live_options: Annotated[
        list[str] | None, typer.Option(help="More of LiveOptions, NAME=VALUE.", rich_help_panel="Sources")
    ] = None,
    classes: Classes = None,
    conf: Conf = None,
    raw_scores: RawScores = False,
    people: Annotated[
        int,
        typer.Option(
            min=0,
            max=16,
            help="Follow up to so many people and say whose each action is; 0: the main person. Not with --state.",
            rich_help_panel="What is found",
        ),
    ] = 0,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps the streams' state: a restart goes on from there.", rich_help_panel="Sources"
        ),
    ] = None,
    save_video: Annotated[
        Path | None, typer.Option(help="Annotated video of one stream.", rich_help_panel="Outputs")
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(help="Folder for a clip of each final event of one stream.", rich_help_panel="Outputs"),
    ] = None,
    metrics: Annotated[
        int | None, typer.Option(metavar="PORT", help="Serve /metrics, /healthz, /readyz.", rich_help_panel="Outputs")
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(help="Address that they are served on.", rich_help_panel="Outputs")
    ] = "127.0.0.1",
    report: Annotated[
        Path | None,
        typer.Option(help="Write at the end what was and what was not analysed.", rich_help_panel="Outputs"),
    ] = None,
    device: Device = "auto",
    timeout: Timeout = 0.0,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Localize live streams: JSON Lines of final events on stdout, each within the declared latency.

    Ctrl-C decides what is open, closes everything and exits with 130; with --state open actions stay open for the next
    start.
    """
    from ..live.addresses import expand_streams
    from ..outputs.sinks.registry import Source
    from ..streaming.scheduler import StreamScheduler

    if report is not None and (report.is_file() or not report.exists()):
        check_folder(report.resolve().parent, f"the folder of --report {report}")
    engine = TALEngine.load(plan, device, timeout=timeout, key=key, classes=classes)
    how = stream_settings(engine.plan.manifest.stream, window, step, look_ahead, latency, stream_options)
    live = with_settings(
        LiveOptions(), [*given({"policy": policy, "realtime": realtime or None}), *(live_options or [])]
    )
    names = [s for text in sources for s in expand_streams(text)]
    _check_outputs(sources, names, sink or [], {f"--report {report}": report, f"--save-video {save_video}": save_video})
    scheduler = StreamScheduler(
        engine, names, how, live, provisional=provisional, min_score=conf, calibrated=not raw_scores, snapshots=state,
        people=people,
    )  # fmt: skip
    with ExitStack() as stack:
        stopped = stack.enter_context(_stopping(scheduler))
        source = Source(streams=[m.name for m in scheduler.streams], labels=list(engine.plan.manifest.vocabulary))
        sinks = _event_sinks(sink or [], sink_options or [], state, stopped, source)
        fan = stack.enter_context(_all(chain(sinks, _picture_sinks(engine, scheduler, save_video, clips)), scheduler))
        if metrics is not None:
            from ..streaming.metrics_server import MetricsServer

            server = stack.enter_context(MetricsServer(scheduler, metrics, metrics_host))
            errors.print(f"metrics on http://{metrics_host}:{server.port}/metrics")
        if not quiet:
            promise = f"finals at most {scheduler.declared_latency_s:.1f} s after the end"
            if provisional and scheduler.declared_start_latency_s is not None:
                promise += f", starts {scheduler.declared_start_latency_s:.1f} s after the onset"
            errors.print(f"{default_note(plan)}{engine.description}; {promise}")
        in_vain = False
        for event in scheduler.run():
            fan.write(event)
            if in_vain := fan.none_left:
                break
    complete = _tell(scheduler, report, quiet) and not fan.failures and not fan.undelivered
    if stopped:
        raise typer.Exit(128 + stopped[0])
    if in_vain:
        raise SinkError("no sink takes events any more: what was told is in their messages")
    failed = (m.error.exit_code for m in scheduler.streams if m.error is not None)
    raise typer.Exit(next(failed, 0 if complete else SinkError.exit_code))


def _check_outputs(
    sources: Sequence[str], names: Sequence[str], sinks: Sequence[str], outputs: dict[str, str | Path | None]
) -> None:
    """Refuse files to write that are sources, or one file under two names; a video that is there is kept."""
    from ..live.addresses import address_of

    files = {f"--sink {text}": text.partition(":")[2] for text in sinks if text.startswith(_FILE_SINKS)}
    check_outputs(outputs | {what: path for what, path in files.items() if path not in ("", "-")},
                  [*sources, *(address_of(n).uri for n in names)])  # fmt: skip


def _event_sinks(
    texts: Sequence[str], settings: Sequence[str], state: Path | None, stopped: Sequence[int], source: Source
) -> Iterator[Any]:
    """Open the sinks that take events only; stdout is always among them."""
    from .._util.redaction import redact_address
    from ..outputs.sinks.registry import SinkOptions, open_sink
    from ..outputs.sinks.sink import JsonLines

    if twice := repeated(texts):
        times = texts.count(twice[0])
        raise UsageError(f"--sink {redact_address(twice[0])!r} is given {times} times, must be once")
    yield JsonLines(sys.stdout, lambda: bool(stopped))
    how = with_settings(SinkOptions(), settings)
    for text in texts:
        yield open_sink(text, how, state, source)


@contextmanager
def _all(opened: Iterable[Any], scheduler: StreamScheduler) -> Iterator[Fan]:
    """Combine all sinks, which also receive the frames; report at the end what they could not take."""
    from ..outputs.sinks.sink import Fan

    sinks: list[Any] = []
    with ExitStack() as stack:
        for one in opened:
            sinks.append(one)
            stack.callback(one.close)
        stack.pop_all()
    fan = Fan(sinks)
    scheduler.owing = lambda: fan.owing
    for member in scheduler.streams if fan.takes_frames else ():
        member.show = fan.push
    try:
        yield fan
    except (KeyboardInterrupt, SystemExit):
        fan.hurry()
        raise
    finally:
        fan.close()
        for name, count in fan.failures.items():
            warn(f"{name}: {count} events or pictures could not be taken")
        for told in fan.undelivered:
            warn(told)


def _picture_sinks(
    engine: TALEngine, scheduler: StreamScheduler, video: Path | None, clips: Path | None
) -> Iterator[Any]:
    """Open the sinks that receive frames."""
    wait = scheduler.declared_latency_s
    if (video or clips) and len(scheduler.streams) > 1:
        raise UsageError(f"--save-video and --clips are for one stream, there are {len(scheduler.streams)}")
    if video is not None:
        from ..outputs.render.overlay import LiveOverlay

        yield LiveOverlay(video, 2 * wait, people=engine.people_finder())
    if clips is not None:
        from ..outputs.sinks.clips import LiveClips

        yield LiveClips(clips, scheduler.streams[0].state.options.window + wait)


@contextmanager
def _stopping(scheduler: StreamScheduler) -> Iterator[list[int]]:
    """End the streams in order at the first Ctrl-C or SIGTERM, at once at the second; lend the list of signals."""
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if came:
            raise SystemExit(128 + number)
        came.append(number)
        scheduler.stop()

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(scheduler: StreamScheduler, report: Path | None, quiet: bool) -> bool:
    """Write the report and say what became of each stream; False: the report could not be written."""
    told = {m.name: m.report() for m in scheduler.streams}
    for name, of in told.items() if not quiet else ():
        missed = ", ".join(f"{k} {v:.1f} s" for k, v in of["coverage"]["not_analysed"].items() if v) or "nothing"
        errors.print(
            f"{name}: {of['frames']} frames, {of['finals']} finals, slowest {of['worst_latency_s']:.1f} s after its "
            f"end; not analysed: {missed}"
        )
    document = {"plan": scheduler.plan, "declared_latency_s": scheduler.declared_latency_s, "streams": told}
    try:
        if report is not None:
            write_text(report, json.dumps(document, indent=1) + "\n")
    except OSError as e:
        complain(f"{report}: the report cannot be written ({e.strerror})")
        return False
    return True
