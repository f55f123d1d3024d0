"""Modules by their names of version 0.1: they can still be imported, with a warning, until version 0.3.

Nothing imports this but the package itself. A former name gives the module of today, not a copy of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

_PACKAGE = __name__.rpartition(".")[0]

#: Former rooms and those of today; a module that is not named below kept its name in its room.
_ROOMS = {
    "data": "lab.data",
    "heads": "lab.heads",
    "localize": "inference",
    "methods": "lab.methods",
    "nn": "lab.nn",
    "sinks": "outputs",
    "stream": "streaming",
    "train": "lab.training",
}

#: Room of today -> modules by their former names, with the name of today where that is another one.
_MODULES = {
    "_util": """
        arrays extras files hardware instructions names opening pickles pipeline=concurrency redaction
        repeats untrusted
    """,
    "annotations": """
        tables
    """,
    "backends": """
        backends.base=protocol backends.cache=engine_cache backends.limit=run_limit
        backends.together=dynamic_batching
    """,
    "backends.tensorrt": """
        backends.tensorrt_build=builder backends.tensorrt_context=context backends.tensorrt_flavour=edition
        backends.tensorrt_listing=inspector backends.tensorrt_open=engines
    """,
    "demo": """
        demo.dataset=demo_set
    """,
    "diagnostics": """
        benching=benchmark cold_start diagnosis=support_report doctor stream.certify=soak_test
        stream.curve=latency_curve stream.verify=stream_check
    """,
    "features": """
        features.convert=pixel_conversion features.stored=store
    """,
    "inference": """
        card_stages extraction localize.suppress=suppression operating_point stages
    """,
    "lab.data": """
        data.convert=convert_layouts data.features=feature_reader data.public=write_public
        data.stored=feature_store
    """,
    "lab.methods.apn": """
        methods.apn.pseudo=pseudo_labels
    """,
    "lab.nn": """
        nn.hashed=hashed_text nn.lite=efficientnet_lite nn.pseudo=pseudo_snippets nn.towers=image_towers
        nn.transformer=transformer_layers
    """,
    "lab.training": """
        train.evaluation=validation train.layouts=weight_layouts train.options=training_options
        train.public=import_weights train.public_files=published_files train.report=training_report
        train.state=training_state train.tiny=pretrain_tiny
    """,
    "live": """
        video.addresses video.cameras video.clock=timestamps video.coverage video.inputs=raw_input
        video.live=live_source video.network=connection video.pieces=hls video.tally=coverage_recorder
        video.waiting=frame_queue video.wall=wall_clock
    """,
    "metrics": """
        metrics.errors=error_analysis
    """,
    "outputs.render": """
        sinks.certificate sinks.movie=video_writer sinks.overlay sinks.page=html sinks.plot=timeline_plot
        sinks.report=evaluation_report sinks.ring=frame_ring
    """,
    "outputs.sinks": """
        sinks.appending=append_log sinks.by_name=registry sinks.clips sinks.delivery sinks.kafka
        sinks.live=sink sinks.mqtt sinks.rotating sinks.undelivered=outbox sinks.webhook
    """,
    "outputs.writers": """
        sinks.activitynet sinks.jsonl sinks.subtitles sinks.table=csv_table
    """,
    "plan": """
        graph_contents graph_rules int8 manifest plan_zip=container protobuf signing=signatures
    """,
    "streaming": """
        stream.member=session stream.named=stream_names stream.restoring=restore stream.settle=finalizer
        stream.state=stream_state stream.telemetry=metrics_server stream.tracks=tracker
    """,
    "video": """
        video.convert=color_conversion video.thinning=decode_skipper
    """,
}


#: Module of today -> classes by their former names, which modules of former names have too.
_CLASSES = {
    "backends.dynamic_batching": {"TogetherBackend": "DynamicBatchingBackend"},
    "live.coverage_recorder": {"Tally": "CoverageRecorder"},
    "live.frame_queue": {"Line": "FrameQueue"},
    "live.timestamps": {"StreamClock": "TimestampNormalizer"},
    "outputs.sinks.delivery": {"Refused": "PermanentError", "Retry": "RetryableError"},
    "streaming.finalizer": {"Settler": "Finalizer"},
    "streaming.session": {"Member": "StreamSession"},
    "video.decode_skipper": {"Thinning": "DecodeSkipper"},
}

#: Folders of methods, which were packages too.
_METHODS = ("methods.apn", "methods.tsm_vlc")


def _table() -> dict[str, str]:
    rows = [(room, word.partition("=")) for room, words in _MODULES.items() for word in words.split()]
    return {old: f"{room}.{new or old.rpartition('.')[2]}" for room, (old, _, new) in rows}


#: Former name -> name of today, without the package.
MODULES = _table()


def name_of_today(name: str) -> str | None:
    """Return the current name of the module that was called `name`, both without the package; None if none was.

    >>> name_of_today("stream.settle")
    'streaming.finalizer'
    """
    if name in MODULES:
        return MODULES[name]
    room, dot, rest = name.partition(".")
    return f"{_ROOMS[room]}{dot}{rest}" if room in _ROOMS else None


class _Room(ModuleType):
    """Stands for a room, or a module with renamed classes: has its names, and takes former ones.

    Importing a module sets it as an attribute of its room. Were that the room of today, the module that was called
    `localize.suppress` would take the place of the function `inference.suppress`.
    """

    def __init__(self, name: str, today: ModuleType) -> None:
        super().__init__(name, today.__doc__)
        self._today = today

    def __getattr__(self, name: str) -> Any:
        classes = _CLASSES.get(self._today.__name__.partition(".")[2], {})
        return getattr(self._today, classes.get(name, name))


class _Former(Loader):
    """Gives the module of today under a former name."""

    def __init__(self, today: str) -> None:
        self._today = today

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._today)
        self._spec = module.__spec__
        apart = hasattr(module, "__path__") or self._today.partition(".")[2] in _CLASSES
        return _Room(spec.name, module) if apart else module

    def exec_module(self, module: ModuleType) -> None:
        if not isinstance(module, _Room):
            module.__spec__ = self._spec  # it keeps its own name; its code has run

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code that ``python -m`` runs."""
        spec = importlib.util.find_spec(self._today)
        code: CodeType | None = spec.loader.get_code(self._today) if spec and spec.loader else None  # type: ignore[attr-defined]
        return code


class FormerNames(MetaPathFinder):
    """Finds modules of this package by their former names; none of them is a name of today."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module by its former name, with a `DeprecationWarning`; None for all other names."""
        package, _, name = fullname.partition(".")
        today = name_of_today(name) if package == _PACKAGE else None
        if today is None:
            return None
        full = f"{_PACKAGE}.{today}"
        warnings.warn(f"{fullname} is now {full}; the old name goes with version 0.3", DeprecationWarning, stacklevel=2)
        return ModuleSpec(fullname, _Former(full), is_package=name in _ROOMS or name in _METHODS)


def install() -> None:
    """Let former names be found, once for each process."""
    if not any(type(finder).__name__ == FormerNames.__name__ for finder in sys.meta_path):  # also after a reload
        # First: a former room leads to a folder of today, whose files would be loaded again under former names.
        sys.meta_path.insert(0, FormerNames())
