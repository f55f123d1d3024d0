"""What ``tal localize`` writes for each video besides its result: pictures and annotated videos."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .._util.files import check_free, check_outputs, check_writable
from .._util.names import file_names
from ..records import Segment
from ..results import Localization

if TYPE_CHECKING:
    from ..outputs.render.skeletons import FindsPeople


@dataclass(frozen=True)
class Targets:
    """Pictures and videos that are written for each source; of several sources, each with its own name."""

    paths: list[str | Path]
    plot: Path | None
    save_video: Path | None

    @cached_property
    def plots(self) -> dict[str | Path, Path]:
        return self._one_each(self.plot)

    @cached_property
    def videos(self) -> dict[str | Path, Path]:
        return self._one_each(self.save_video)

    def _one_each(self, target: Path | None) -> dict[str | Path, Path]:
        if target is None or len(self.paths) == 1:
            return dict.fromkeys(self.paths, target) if target is not None else {}
        cut = len(target.name) - len(target.suffix)
        own = zip(self.paths, file_names(self.paths), strict=True)
        return {p: target.with_name(f"{target.name[:cut]}-{name}{target.suffix}") for p, name in own}

    def check(self, output: Path | None, inputs: list[str | Path], *, replace: bool) -> None:
        """Refuse to overwrite an input or another output, or what is there without `replace`, before anything runs."""
        outputs: dict[str, str | Path | None] = {f"--output {output}": output}
        outputs |= {f"--plot {t}": t for t in self.plots.values()}
        outputs |= {f"--save-video {t}": t for t in self.videos.values()}
        check_outputs(outputs, inputs)
        for what, path in outputs.items():
            if path is not None:
                check_free(path, overwrite=replace, resume=output is not None)
                check_writable(Path(path), f"the file of {what.split()[0]}")

    def there(self, path: str | Path) -> bool:
        """Return whether all files of a source exist already."""
        return all(t.exists() for of in (self.plots, self.videos) if (t := of.get(path)) is not None)

    def write(
        self, path: str | Path, result: Localization, truth: list[Segment] | None, people: FindsPeople | None = None
    ) -> None:
        """Write what was asked for of a source; `people` finds those that annotated videos draw."""
        if path in self.plots:
            result.plot(self.plots[path], truth)
        if path in self.videos:
            _save_video(self.videos[path], path, result, people)


def _save_video(target: Path, source: str | Path, result: Localization, people: FindsPeople | None) -> None:
    from ..outputs.render.overlay import write
    from ..video import open_video

    with open_video(source) as video:
        write(target, result, ((f.pts_seconds, f.image()) for f in video.frames), video.fps, people)
