"""``tal plan keygen`` and ``tal plan sign``: say who made a plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..plan.archive import parse_plan, read_plan_bytes
from ..plan.signatures import PASSWORD, generate, sign


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("keygen")(keygen)
    app.command("sign")(sign_plan)


def keygen(
    name: Annotated[Path, typer.Argument(help="NAME.key, to keep secret, and NAME.pub, to hand out, are written.")],
    password: Annotated[
        bool, typer.Option("--password", help=f"Encrypt the private key; asks, or takes {PASSWORD}.")
    ] = False,
) -> None:
    """Make a pair of keys to sign plans with (ed25519)."""
    private, public = Path(f"{name}.key"), Path(f"{name}.pub")
    secret = os.environ.get(PASSWORD, "")
    if password and not secret:
        secret = typer.prompt("Password of the private key", hide_input=True, confirmation_prompt=True)
    generate(private, public, secret)
    kept = "encrypted" if secret else "not encrypted"
    typer.echo(f"{private}: the private key, {kept}: keep it to yourself; {public}: the public key")


def sign_plan(
    plan: Annotated[Path, typer.Argument(help="A plan.")],
    key: Annotated[Path, typer.Option(help="The private key, NAME.key of tal plan keygen.")],
) -> None:
    """Sign a plan: writes PLAN.minisig beside it. A password of the key is taken from TAL_KEY_PASSWORD."""
    data = read_plan_bytes(plan)
    parse_plan(data, str(plan))  # nobody puts a name to a plan that nobody can read
    typer.echo(f"{sign(plan, data, key, os.environ.get(PASSWORD, ''))}: the signature of {plan}")
