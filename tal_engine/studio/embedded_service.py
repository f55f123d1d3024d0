"""The service inside a studio: streams, and the protocol of Label Studio, with the plans that were exported.

It is begun when something asks for it: before a plan is exported there is seldom anything to serve.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from ..engine import EMBEDDED_PLAN
from ..serve.service import Service
from ..serve.training_command import TrainingCommand
from .order import PLANS
from .project import Project
from .settings import StudioOptions
from .training import Trainer


class EmbeddedService:
    """See the module.

    Args:
        options: of the studio.
        project: whose plans are served.
        trainer: trains when Label Studio asks.
    """

    def __init__(self, options: StudioOptions, project: Project, trainer: Trainer) -> None:
        self._options, self._project, self._trainer = options, project, trainer
        self._lock, self._stack = asyncio.Lock(), AsyncExitStack()
        self._service: Service | None = None

    async def service(self) -> Service:
        """Return the service; its default plan is the one that was exported last, else the demonstration's.

        Raises:
            TALError: it cannot begin.
        """
        async with self._lock:
            if self._service is None:
                found = await asyncio.to_thread(self._made)
                await self._stack.enter_async_context(found.running())
                self._service = found
        exports = self._project.state.exports
        names = self._service.plans.names()
        last = next((e["name"] for e in reversed(exports) if e["name"] in names), None)
        self._service.plans.default = last or names[0]
        return self._service

    def _made(self) -> Service:
        plans = self._project.folder / PLANS
        plans.mkdir(exist_ok=True)
        made = Service(replace(self._options.serving(), plan=EMBEDDED_PLAN, plan_dir=plans))
        made.training = _StudioTraining(self._trainer)
        return made

    async def close(self) -> None:
        """End the service, if it was begun."""
        async with self._lock:
            await self._stack.aclose()
            self._service = None


class _StudioTraining(TrainingCommand):
    """The studio's own trainer, where a service has a command."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__("")
        self._trainer = trainer

    @property
    def configured(self) -> bool:
        """A studio can always train."""
        return True

    @property
    def running(self) -> bool:
        """Whether it trains."""
        return self._trainer.progress.state in ("features", "training", "measuring")

    @property
    def document(self) -> dict[str, Any]:
        """What came of the last time."""
        return {"configured": True, "running": self.running, **self._trainer.document}

    def start(self) -> bool:
        """Train; False: it trains already, and will again after that."""
        running = self.running
        self._trainer.start()
        return not running

    def stop(self) -> None:
        """Leave the trainer to the studio."""
