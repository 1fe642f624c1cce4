"""`keeld profiles`: the Modbus devices that are known as data."""

from __future__ import annotations

import click

from keeld.cli import json_option, print_json


@click.command("profiles")
@json_option
def command(*, as_json: bool) -> None:
    """List the Modbus devices keeld knows; the name goes into a device's `profile:`.

    `verified` says on what: none (as published, nothing tried), doc (the maker's own text), lab or field (a real one).
    """
    from keeld import profiles

    rows = [
        {"name": name, "kind": profile.kind, "title": profile.title, "verified": profile.verified}
        for name, profile in ((name, profiles.load(name)) for name in profiles.names())
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']:<22} {row['kind']:<8} verified: {row['verified']:<6} {row['title']}")
