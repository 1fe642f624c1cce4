"""`keeld alerts`: what is wrong at the site now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keeld.cli import config_option, json_option, print_json


@click.command("alerts")
@config_option
@json_option
@click.option("--history", "most", type=click.IntRange(1, 1000), help="Show the last so many moves instead.")
def command(config_path: Path, most: int | None, *, as_json: bool) -> None:
    """List the alarms of the running keeld: what, how sure, since when and what to do.

    An alarm is pending until its condition has held long enough, then firing, and clearing while the way back is being
    proven. It never clears because a value went missing.
    """
    from keeld.cli.running import ask

    if most is not None:
        _show_moves(ask(config_path, f"/api/v1/transitions?limit={most}"), as_json=as_json)
        return
    found = ask(config_path, "/api/v1/alerts")
    if as_json:
        print_json(found)
        return
    for alarm in found["alerts"]:
        click.echo(f"{alarm['alert_id']}  {alarm['severity']:<8} {alarm['state']:<9} {alarm['title']}{_marks(alarm)}")
        for line in alarm["text"].splitlines()[1:]:
            click.echo(f"    {line}")
    if not found["alerts"]:
        click.echo("no alarms")


def _marks(alarm: dict[str, Any]) -> str:
    """Say who has it, why it is not sent, and what follows from it."""
    said = [
        f"acknowledged by {alarm['owner']}" if alarm["owner"] else "",
        f"not sent: {alarm['quiet']}" if alarm["quiet"] else "",
        f"{alarm['children_total']} follow from it" if alarm["children_total"] else "",
        "first out" if alarm["is_first_out"] else "",
    ]
    shown = ", ".join(filter(None, said))
    return f"  [{shown}]" if shown else ""


def _show_moves(found: dict[str, list[dict[str, Any]]], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for move in found["transitions"]:
        moved = f"{move['state']['from']} -> {move['state']['to']}"
        click.echo(f"{move['time']}  {moved:<20} {move['severity']:<8} {move['title']}")
    if not found["transitions"]:
        click.echo("no moves yet")
