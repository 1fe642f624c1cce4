"""`keeld audit`: who asked keeld for what."""

from __future__ import annotations

from pathlib import Path

import click

from keeld.cli import config_option, json_option, print_json


@click.command("audit")
@click.option("--last", "most", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@config_option
@json_option
def command(config_path: Path, most: int, *, as_json: bool) -> None:
    """List what people asked the running keeld for, newest first: who, what, when and what came of it."""
    from keeld.cli.running import change

    found = change(config_path, f"/api/v1/audit?limit={most}", {}, method="GET")
    if as_json:
        print_json(found)
        return
    for entry in found["audit"]:
        word = "" if entry["was_done"] else "REFUSED "
        click.echo(f"{entry['time']}  {entry['who']:<12} {entry['act']:<15} {word}{entry['result']}")
    if not found["audit"]:
        click.echo("nobody asked for anything yet")
