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

from ..engine import TALEngine
from ..errors import SinkError, UsageError
from ..files import check_folder, write_text
from ..options import LiveOptions
from .console import complain, errors, warn
from .inputs import given, with_settings

if TYPE_CHECKING:
    from ..sinks.live import Fan
    from ..stream.scheduler import StreamScheduler


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
    plan: Annotated[Path | None, typer.Option(help="A plan; without it, the embedded demo plan.")] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="Also send events to jsonl:, csv:, srt:, vtt:PATH, webhook:URL, mqtt://, kafka://."),
    ] = None,
    sink_options: Annotated[
        list[str] | None,
        typer.Option(help="Of SinkOptions, NAME=VALUE: max_bytes, every_s, keep, fsync, dead_letters."),
    ] = None,
    provisional: Annotated[bool, typer.Option(help="Tell also of actions that are open or may change.")] = False,
    window: Annotated[float | None, typer.Option(help="Seconds that the head sees; default: the plan's.")] = None,
    step: Annotated[float | None, typer.Option(help="Seconds between two looks.")] = None,
    latency: Annotated[float | None, typer.Option(help="Seconds that a decision waits after an action's end.")] = None,
    stream_options: Annotated[list[str] | None, typer.Option(help="More of StreamOptions, NAME=VALUE.")] = None,
    realtime: Annotated[bool, typer.Option(help="Pace files as if they were live.")] = False,
    policy: Annotated[str | None, typer.Option(help="wait, drop_oldest, drop_latest or adaptive.")] = None,
    live_options: Annotated[list[str] | None, typer.Option(help="More of LiveOptions, NAME=VALUE.")] = None,
    conf: Annotated[float | None, typer.Option(help="Least score; default: the plan's operating point.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder that keeps the streams' state: a restart goes on from there.")
    ] = None,
    save_video: Annotated[Path | None, typer.Option(help="Annotated video of one stream.")] = None,
    clips: Annotated[Path | None, typer.Option(help="Folder for a clip of each final event of one stream.")] = None,
    metrics: Annotated[int | None, typer.Option(metavar="PORT", help="Serve /metrics, /healthz, /readyz.")] = None,
    metrics_host: Annotated[str, typer.Option(help="Address that they are served on.")] = "127.0.0.1",
    report: Annotated[Path | None, typer.Option(help="Write at the end what was and what was not analysed.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False,
) -> None:
    """Localize live streams: JSON Lines of final events on stdout, each within the declared latency.

    Ctrl-C decides what is open, closes everything and exits with 130; with --state open actions stay open for the next
    start.
    """
    from ..stream.scheduler import StreamScheduler
    from ..video.addresses import expand_streams

    if report is not None:
        check_folder(report.parent, f"the folder of --report {report}")
    engine = TALEngine.load(plan, device)
    ours = {"window": window, "step": step, "look_ahead": latency}
    how = with_settings(engine.plan.manifest.stream, [*given(ours), *(stream_options or [])])
    live = with_settings(
        LiveOptions(), [*given({"policy": policy, "realtime": realtime or None}), *(live_options or [])]
    )
    names = [s for text in sources for s in expand_streams(text)]
    scheduler = StreamScheduler(engine, names, how, live, provisional=provisional, min_score=conf, snapshots=state)
    with ExitStack() as stack:
        stopped = stack.enter_context(_stopping(scheduler))
        sinks = _event_sinks(sink or [], sink_options or [], state, stopped)
        fan = stack.enter_context(_all(chain(sinks, _picture_sinks(scheduler, save_video, clips)), scheduler))
        if metrics is not None:
            from ..stream.telemetry import MetricsServer

            server = stack.enter_context(MetricsServer(scheduler, metrics, metrics_host))
            errors.print(f"metrics on http://{metrics_host}:{server.port}/metrics")
        if not quiet:
            note = "no --plan given: the embedded demonstration model, not a product. " if plan is None else ""
            errors.print(
                f"{note}{engine.description}; finals at most {scheduler.declared_latency_s:.1f} s after the end"
            )
        in_vain = False
        for event in scheduler.run():
            fan.write(event)
            if in_vain := fan.none_left:
                break
    complete = _tell(scheduler, report, quiet) and not fan.failures
    if stopped:
        raise typer.Exit(128 + stopped[0])
    if in_vain:
        raise SinkError("no sink takes events any more: what was told is in their messages")
    failed = (m.error.exit_code for m in scheduler.streams if m.error is not None)
    raise typer.Exit(next(failed, 0 if complete else SinkError.exit_code))


def _event_sinks(
    texts: Sequence[str], settings: Sequence[str], state: Path | None, stopped: Sequence[int]
) -> Iterator[Any]:
    """Sinks that want events only; stdout is always among them."""
    from ..redaction import redact_address
    from ..sinks.by_name import SinkOptions, open_sink
    from ..sinks.live import JsonLines

    if twice := next((t for t in texts if texts.count(t) > 1), None):
        raise UsageError(f"--sink {redact_address(twice)!r} is given {texts.count(twice)} times, must be once")
    yield JsonLines(sys.stdout, lambda: bool(stopped))
    how = with_settings(SinkOptions(), settings)
    for text in texts:
        yield open_sink(text, how, state)


@contextmanager
def _all(opened: Iterable[Any], scheduler: StreamScheduler) -> Iterator[Fan]:
    """All sinks as one, which also sees the pictures; says at the end what they could not take."""
    from ..sinks.live import Fan

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


def _picture_sinks(scheduler: StreamScheduler, video: Path | None, clips: Path | None) -> Iterator[Any]:
    """Sinks that want to see the pictures."""
    wait = scheduler.declared_latency_s
    if (video or clips) and len(scheduler.streams) > 1:
        raise UsageError(f"--save-video and --clips are for one stream, there are {len(scheduler.streams)}")
    if video is not None:
        from ..sinks.overlay import LiveOverlay

        yield LiveOverlay(video, 2 * wait)
    if clips is not None:
        from ..sinks.clips import LiveClips

        yield LiveClips(clips, scheduler.streams[0].state.options.window + wait)


@contextmanager
def _stopping(scheduler: StreamScheduler) -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM ends the streams in order, the second at once; which one came."""
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
