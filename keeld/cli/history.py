"""`keeld history KIND ID`: the last hours of a rack, a node or a meter, from this host's own memory."""

from __future__ import annotations

from pathlib import Path

import click

from keeld.cli import EXIT_FAILED, config_option, json_option, print_json

_KINDS = ("rack", "power_node", "cooling_node", "site", "pdu", "meter", "ups", "cooling")


@click.command("history")
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("name", metavar="ID")
@config_option
@json_option
@click.option("--metric", default="power_watts", show_default=True, help="A quantity of the catalogue.")
@click.option("--part", default="", help="A part, as L1 or supply; the whole where none is given.")
@click.option("--since", default="1h", show_default=True, help="How far back: 90s, 15m, 6h, 3d.")
@click.pass_context
def command(
    ctx: click.Context, kind: str, name: str, config_path: Path, metric: str, part: str, since: str, *, as_json: bool
) -> None:
    """Show the minutes of a rack, node or meter that the running keeld remembers (72 h).

    A minute in which nothing was measured is missing: nothing is filled in.
    """
    from urllib.parse import urlencode

    from keeld.cli.running import ask

    query = urlencode({"kind": kind, "id": name, "metric": metric, "part": part, "since": since})
    found = ask(config_path, f"/api/v1/history?{query}")
    if as_json:
        print_json(found)
    elif "error" in found:
        click.echo(f"keeld: {found['error']}", err=True)
    else:
        _show(found)
    ctx.exit(EXIT_FAILED if "error" in found else 0)


def _show(found: dict[str, list[dict[str, float | str]]]) -> None:
    for minute in found["minutes"]:
        click.echo(
            f"{minute['time']}  min {minute['min']:>10.6g}  mean {minute['mean']:>10.6g}  max {minute['max']:>10.6g}"
        )
    if not found["minutes"]:
        click.echo("nothing was measured in that time")
