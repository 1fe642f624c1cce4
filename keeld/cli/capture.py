"""`keeld capture DEVICE`: a device's answers as a fixture that is safe to publish."""

from __future__ import annotations

from pathlib import Path

import click

from keeld.cli import EXIT_FAILED, config_option


@click.command("capture")
@click.argument("device")
@config_option
@click.pass_context
def command(ctx: click.Context, device: str, config_path: Path) -> None:
    """Poll DEVICE once and print its answers as JSON, with serials, addresses, accounts and names taken out.

    The output is a test fixture: with it, keeld can be taught a device that its maintainers have never seen.
    """
    import orjson

    from keeld.cli.poll import find_device, inspect, report_outage
    from keeld.errors import PollError

    found = find_device(config_path, device)
    try:
        inspection = inspect(found)
    except PollError as error:
        report_outage(found, error, as_json=False)
        ctx.exit(EXIT_FAILED)
    click.echo(orjson.dumps(inspection.fixture, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())
