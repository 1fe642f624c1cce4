"""`keeld ack`: somebody has an alarm in hand."""

from __future__ import annotations

from pathlib import Path

import click

from keeld.cli import config_option


@click.command("ack")
@click.argument("alert")
@click.option("--owner", default="", help="Who has it in hand; the user who asks, if left out.")
@config_option
def command(config_path: Path, alert: str, owner: str) -> None:
    """Say that you have an alarm in hand: its pager stops calling, and everybody sees who has it.

    ALERT is its id as `keeld alerts` shows it, or the first letters of it. An alarm that gets worse calls again.
    """
    from urllib.parse import quote

    from keeld.cli.running import change

    done = change(config_path, f"/api/v1/alerts/{quote(alert, safe='')}/acknowledge", {"owner": owner})
    click.echo(done["done"])
