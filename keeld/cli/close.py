"""`keeld close`: end an alarm by hand."""

from __future__ import annotations

from pathlib import Path

import click

from keeld.cli import config_option


@click.command("close")
@click.argument("alert")
@click.option("--reason", required=True, help="Why it is over; the next shift reads it.")
@click.option("--owner", default="", help="Who says so; the user who asks, if left out.")
@config_option
def command(config_path: Path, alert: str, reason: str, owner: str) -> None:
    """End an alarm by hand: a leak that was mopped up, or one that nothing can prove any more.

    It comes back if its condition still holds.
    """
    from urllib.parse import quote

    from keeld.cli.running import change

    form = {"reason": reason, "owner": owner}
    click.echo(change(config_path, f"/api/v1/alerts/{quote(alert, safe='')}/close", form)["done"])
