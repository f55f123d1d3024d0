"""``tal studio``: a page to label videos in, and a plan that learns from the labels meanwhile."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .._util.extras import missing, need
from .console import errors
from .shared import Quiet

_LABELS, _LISTEN, _TRAINED, _TOOLS = "Labels", "Where it listens", "What is trained", "Label Studio"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("studio")(studio)


def studio(
    videos: Annotated[Path, typer.Argument(help="Folder of videos.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels that there are already, of any format (docs/formats.md).", rich_help_panel=_LABELS),
    ] = None,
    classes: Annotated[str, typer.Option(help="Names of classes, separated by commas.", rich_help_panel=_LABELS)] = "",
    subjects: Annotated[
        str, typer.Option(help="Names of people to label, separated by commas.", rich_help_panel=_LABELS)
    ] = "",
    skeletons: Annotated[
        Path | None,
        typer.Option(help="Folder of skeletons of several persons; default: beside videos.", rich_help_panel=_LABELS),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(help="Folder of labels and training; default: VIDEOS.studio.", rich_help_panel=_LABELS),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.", rich_help_panel=_LISTEN)] = 8766,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; others than this machine's own for several people.", rich_help_panel=_LISTEN
        ),
    ] = "127.0.0.1",
    encoders: Annotated[
        str | None, typer.Option(help="Such as lite0; default: the best that is installed.", rich_help_panel=_TRAINED)
    ] = None,
    auto_train: Annotated[bool, typer.Option(help="Train by itself after edits.", rich_help_panel=_TRAINED)] = True,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.", rich_help_panel=_LISTEN)] = True,
    allow_source: Annotated[
        list[str] | None,
        typer.Option(help="How addresses of videos of Label Studio may begin.", rich_help_panel=_TOOLS),
    ] = None,
    label_studio: Annotated[
        str, typer.Option(help="Address of a Label Studio; its key: LABEL_STUDIO_API_KEY.", rich_help_panel=_TOOLS)
    ] = "",
    quiet: Quiet = False,
) -> None:
    """Label videos by single clicks while a plan learns from them; all stays on this machine (docs/studio.md)."""
    for module in ("fastapi", "uvicorn", "httpx", "websockets", "python_multipart", "prometheus_client"):
        need(module)
    if find_spec("torch") is None:  # looked for only: the trainer loads it, in a process of its own
        raise missing("torch")
    if encoders is not None:  # a name that nobody knows would fail in the page, long after
        from ..lab.nn.encoders import parse

        parse(encoders)
    from ..studio.running import run
    from ..studio.settings import StudioOptions

    options = StudioOptions(
        videos=videos, labels=labels, classes=_names(classes), subjects=_names(subjects), skeletons=skeletons,
        project=project, port=port, encoders=encoders,
        auto_train=auto_train, host=host, sources=tuple(allow_source or ()), label_studio=label_studio,
        label_studio_key=os.environ.get("LABEL_STUDIO_API_KEY", ""),
    )  # fmt: skip
    run(options, browser=browser, say=None if quiet else lambda text: errors.print(text, soft_wrap=True))


def _names(text: str) -> tuple[str, ...]:
    """Split names at commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
