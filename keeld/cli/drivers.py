"""`keeld drivers`: the protocol families."""

from __future__ import annotations

import click

from keeld.cli import json_option, print_json


@click.command("drivers")
@json_option
def command(*, as_json: bool) -> None:
    """List the protocol families keeld speaks; the name goes into a device's `driver:`."""
    from keeld import drivers

    rows = [{"name": name, "title": drivers.load(name).title} for name in drivers.names()]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']:<14} {row['title']}")
