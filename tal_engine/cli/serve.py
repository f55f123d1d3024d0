"""``tal serve``: an engine as a service, until somebody stops it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .._util.extras import need
from .console import errors
from .shared import Device, Key, PlanOption, Quiet, Threads, Timeout

_FOUND, _LISTEN, _WHO, _LIMITS, _STATE = "What is found", "Where it listens", "Who may ask for what", "Limits", "Jobs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    plan: PlanOption = None,
    plan_dir: Annotated[
        Path | None, typer.Option(help="Folder of plans, each by its file's name.", rich_help_panel=_FOUND)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.", rich_help_panel=_LISTEN)] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.", rich_help_panel=_LISTEN)] = 8765,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM).", rich_help_panel=_LISTEN)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).", rich_help_panel=_LISTEN)] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Tokens that clients may use, one a line; also in TAL_SERVE_TOKENS.", rich_help_panel=_WHO),
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open-to-all", help="Listen on a network without tokens.", rich_help_panel=_WHO)
    ] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name that clients call the service by.", rich_help_panel=_WHO)
    ] = None,
    allow_source: Annotated[
        list[str] | None,
        typer.Option(
            help="How addresses of sources may begin, or NAME=SOURCE, which is asked for by its name.",
            rich_help_panel=_WHO,
        ),
    ] = None,
    label_studio: Annotated[
        str, typer.Option(help="Address of a Label Studio; its key: LABEL_STUDIO_API_KEY.", rich_help_panel=_WHO)
    ] = "",
    fit_command: Annotated[
        str, typer.Option(help="Command that trains a plan anew when Label Studio asks.", rich_help_panel=_WHO)
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Videos at a time.", rich_help_panel=_LIMITS)] = 2,
    queue: Annotated[int, typer.Option(min=1, help="What waits at most.", rich_help_panel=_LIMITS)] = 64,
    max_body: Annotated[int, typer.Option(min=1, help="MiB of an upload.", rich_help_panel=_LIMITS)] = 2048,
    max_spool: Annotated[int, typer.Option(min=1, help="MiB of all uploads.", rich_help_panel=_LIMITS)] = 16384,
    max_duration: Annotated[float, typer.Option(help="Seconds of a video.", rich_help_panel=_LIMITS)] = 21600.0,
    sync_seconds: Annotated[float, typer.Option(help="Longer videos become jobs.", rich_help_panel=_LIMITS)] = 60.0,
    deadline: Annotated[
        float, typer.Option(help="Seconds that a request waits for its result.", rich_help_panel=_LIMITS)
    ] = 300.0,
    streams: Annotated[int, typer.Option(min=1, help="Live streams.", rich_help_panel=_LIMITS)] = 16,
    connections: Annotated[int, typer.Option(min=1, help="Connections.", rich_help_panel=_LIMITS)] = 1000,
    drain: Annotated[
        float, typer.Option(help="Seconds to finish what runs on SIGTERM.", rich_help_panel=_LIMITS)
    ] = 30.0,
    state: Annotated[
        Path | None, typer.Option(help="Folder of jobs; default: in the user's state.", rich_help_panel=_STATE)
    ] = None,
    keep_hours: Annotated[float, typer.Option(help="Finished jobs are kept so long.", rich_help_panel=_STATE)] = 24.0,
    device: Device = "auto",
    threads: Threads = 0,
    timeout: Timeout = 0.0,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Serve plans over HTTP: uploads, jobs, live streams, pushed frames, tensors (docs/serve.md).

    The first SIGTERM or Ctrl-C lets running work finish; jobs that wait go on with the next start.
    """
    for module in ("fastapi", "uvicorn", "httpx", "websockets", "python_multipart", "prometheus_client"):
        need(module)
    from ..serve.server import check_tls, listen
    from ..serve.server import serve as run
    from ..serve.service import Service
    from ..serve.settings import ServeOptions, read_tokens

    options = ServeOptions(
        plan=plan, plan_dir=plan_dir, device=device, threads=threads, timeout=timeout, key=key, host=host, port=port,
        tls_cert=tls_cert, tls_key=tls_key, tokens=read_tokens(token_file), open_to_all=open_to_all,
        hosts=tuple(allow_host or ()), state=state, sources=tuple(allow_source or ()), workers=workers, queue=queue,
        max_body_mib=max_body, max_spool_mib=max_spool, max_duration=max_duration, sync_seconds=sync_seconds,
        deadline=deadline, streams=streams, connections=connections, keep_hours=keep_hours, drain_seconds=drain,
        label_studio=label_studio, label_studio_key=os.environ.get("LABEL_STUDIO_API_KEY", ""), fit_command=fit_command,
    )  # fmt: skip
    check_tls(options)
    with listen(options) as listening:
        service = Service(options)
        if not quiet:
            where, port = listening.getsockname()[:2]
            shown = f"[{where}]" if ":" in where else where
            scheme = "http" if tls_cert is None else "https"
            plans = ", ".join(service.plans.names())
            errors.print(f"{plans} on {scheme}://{shown}:{port}; Ctrl-C stops", soft_wrap=True)
        run(service, listening)
