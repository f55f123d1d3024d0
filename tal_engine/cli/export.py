"""``tal export``: a checkpoint in, a plan out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import UsageError
from ..options import SegmentOptions, SnippetOptions, StreamOptions
from .console import errors
from .inputs import Weights, named_files, with_settings
from .texts import export_texts

if TYPE_CHECKING:
    from ..export.encoder_graphs import EncoderSet
    from ..lab.training.checkpoint import Checkpoint


class Precision(StrEnum):
    """What `--precision` takes."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


class _CheckpointFirst(TyperGroup):
    """A group whose first command needs no name: ``tal export CKPT`` is ``tal export checkpoint CKPT``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name in front where none is given."""
        named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named or not args else ["checkpoint", *args])


app = typer.Typer(
    cls=_CheckpointFirst,
    help="A checkpoint in, a plan out; a plan of texts; or a plan for a server.",
    no_args_is_help=True,
)


app.command("texts")(export_texts)


@app.command("triton")
def triton(
    plan: Annotated[Path, typer.Argument(help="A plan.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must not exist.")],
    max_batch: Annotated[int, typer.Option(help="Most snippets, or videos, in one call of a graph.")] = 64,
    delay_us: Annotated[
        int, typer.Option(help="Microseconds that a request waits for others to share a batch.")
    ] = 2000,
) -> None:
    """Write a plan as a model repository of Triton Inference Server."""
    from ..export.triton import write_repository
    from ..pose.plans import open_plan

    names = write_repository(open_plan(plan), output, max_batch=max_batch, delay_us=delay_us)
    errors.print(f"{output}: {', '.join(names)}")


@app.command("checkpoint")
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The plan to write.", rich_help_panel="The plan")],
    name: Annotated[
        str | None, typer.Option(help="Name in the manifest; default: the file's name.", rich_help_panel="The plan")
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Encoders to embed, such as i3d, i3d:rgb+clip:ViT-B-32, lite0; none: the plan reads features. "
            "Default: tiny, if the head was trained on it.",
            rich_help_panel="Encoders",
        ),
    ] = None,
    weights: Weights = None,
    conf: Annotated[
        float,
        typer.Option(help="Operating point: segments below this score are not reported.", rich_help_panel="The plan"),
    ] = float("-inf"),
    stream_options: Annotated[
        list[str] | None,
        typer.Option(
            help="How streams are localized, NAME=VALUE of StreamOptions, such as window=30, step=1 or look_ahead=4: "
            "the lateness that the plan promises follows.",
            rich_help_panel="The plan",
        ),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(help="Of the graphs; fp16 halves the plan, bf16 is for TensorRT.", rich_help_panel="The plan"),
    ] = Precision.FP32,
) -> None:
    """Freeze a checkpoint into a plan, behind the parity gate."""
    stream = with_settings(StreamOptions(), stream_options or [])
    from ..export import bundle
    from ..lab.training.checkpoint import load

    found = load(checkpoint)
    plan = bundle.export(
        found,
        _encoders(found, encoders, named_files(weights or [])),
        output,
        name=name or output.name.removesuffix(".plan"),
        segment=SegmentOptions(min_score=conf),
        stream=stream,
        precision=precision.value,
    )
    parity = plan.manifest.parity["head"]
    errors.print(
        f"{output}: {plan.manifest.precision}, {output.stat().st_size / 1e6:.1f} MB; "
        f"gate: tensors within {parity['tensor']:.1e}, "
        f"{parity['segments_changed']} of {parity['segments']} segments changed"
    )


def _encoders(found: Checkpoint, spec: str | None, weights: dict[str, Path]) -> EncoderSet | None:
    """Open the encoders of the streams that inference reads, on the snippets that the head was trained on."""
    from ..export.encoder_graphs import open_encoders

    contract = found.provenance.get("contract", {})
    trained = {str(e.get("name", "")) for e in contract.get("encoders", {}).values()}
    if spec is None and trained and all(n.startswith("tiny-") for n in trained):
        spec = "tiny"
    if spec is None:
        of = f"was trained on features of {', '.join(sorted(trained))}" if trained else "does not record its encoders"
        raise UsageError(
            f"{found.folder}: {of}: name them with --encoders (and --weights), or say --encoders none for a plan that "
            "reads features"
        )
    if spec == "none":
        if weights:
            raise UsageError(f"--weights {next(iter(weights))} with --encoders none: nothing takes them")
        return None
    if not trained:
        errors.print(
            f"{found.folder}: does not record its encoders; nothing proves that {spec} is what it was trained on"
        )
    snippet = contract.get("snippet")
    streams = found.method.inference_streams(found.config)
    return open_encoders(spec, weights, streams=streams, snippet=SnippetOptions(**snippet) if snippet else None)
