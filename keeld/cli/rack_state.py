"""`keeld rack-state`: take a rack from mining to AI, and back, while keeld runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keeld.cli import config_option, json_option, print_json

_STATES = ("mining", "emptying", "empty", "commissioning", "ai")


@click.command("rack-state")
@click.argument("rack")
@click.argument("state", required=False, type=click.Choice(_STATES))
@click.option("--reason", default="", help="Why; kept with the rack's history.")
@config_option
@json_option
def command(rack: str, state: str | None, reason: str, config_path: Path, *, as_json: bool) -> None:
    """Put RACK into STATE, or show the states it went through.

    The state chooses the rack's rules and budget. Its alarms are withdrawn and judged anew; what was measured stays.
    The state holds over restarts, until it is changed again, here or in the configuration.
    """
    from urllib.parse import quote

    from keeld.cli.running import ask, change

    path = f"/api/v1/racks/{quote(rack, safe='')}"
    if state is None:
        _show(ask(config_path, f"{path}/states"), as_json=as_json)
        return
    if not reason:
        raise click.UsageError("say why with --reason: a rack's history is read years later")
    done = change(config_path, f"{path}/state", {"state": state, "reason": reason})
    if as_json:
        print_json(done)
        return
    click.echo(f"{rack} is {state}")
    if not done["is_kept"]:
        click.echo("keeld cannot write this down now; it tries again until it ends", err=True)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    from keeld.errors import DeliveryError

    if "error" in found:
        raise DeliveryError(found["error"])
    if as_json:
        print_json(found)
        return
    for move in found["states"]:
        click.echo(f"{move['time']}  {move['from']} -> {move['to']}  {move['owner']}: {move['reason']}")
    if not found["states"]:
        click.echo(f"{found['rack']} is as configured: its state was never changed while keeld ran")
