"""`keeld curtail`: tell keeld of an order to draw less, so that it watches that it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keeld.cli import config_option, json_option, print_json
from keeld.cli.headroom import Power


@click.group("curtail")
def command() -> None:
    """Orders to draw less: give one, list them, cancel one.

    keeld switches nothing. While an order stands it pages when the load has not come down, and takes the low load of
    the racks that it concerns as what was meant.
    """


@command.command("order")
@click.argument("target")
@click.option("--most", type=Power(), required=True, help="What may be drawn, with its unit: 8MW, 350kW.")
@click.option("--until", "ends", required=True, help="When it ends: 2h from now, or 2026-11-22T17:00:00-05:00.")
@click.option("--by", "met_by", help="When the load must be down; now, if left out.")
@click.option("--from", "begins", help="When the load may begin to fall; now, if left out.")
@click.option("--id", "order_id", help="Id of the order; a new one with the same id replaces it.")
@click.option("--source", help="Who ordered it; you, if left out.")
@click.option("--note", help="Anything that whoever is paged should know.")
@config_option
@json_option
def order(target: str, most: float, config_path: Path, *, as_json: bool, **words: str | None) -> None:
    """Give an order for TARGET: site, node:ID, rack:ID, row:ID or tenant:ID."""
    from keeld.cli.running import change

    words["id"] = words.pop("order_id")
    given = {key: word for key, word in words.items() if word is not None}
    done = change(config_path, "/api/v1/curtail", {"target": target, "most_watts": most} | given)
    _say(done, "stands", as_json=as_json)


@command.command("list")
@config_option
@json_option
def show(config_path: Path, *, as_json: bool) -> None:
    """List the orders, and how the load stands to each."""
    from keeld.cli.running import ask

    found = ask(config_path, "/api/v1/curtail")
    if as_json:
        print_json(found)
        return
    for each in found["orders"]:
        click.echo(_line(each))
    if not found["orders"]:
        click.echo("no orders")


@command.command("cancel")
@click.argument("order_id")
@config_option
@json_option
def cancel(order_id: str, config_path: Path, *, as_json: bool) -> None:
    """Cancel an order; its alarm is withdrawn."""
    from urllib.parse import quote

    from keeld.cli.running import change

    done = change(config_path, f"/api/v1/curtail/{quote(order_id, safe='')}", {}, method="DELETE")
    _say(done, "is cancelled", as_json=as_json)


def _line(order: dict[str, Any]) -> str:
    target, drawn = order["target"], order["draw_watts"]["best"]
    now = "unknown" if drawn is None else f"{drawn / 1e3:.1f} kW"
    return (
        f"{order['id']:<10} {target['kind']} {target['id']}: {now}, at most {order['most_watts'] / 1e3:.1f} kW, "
        f"{order['compliance']}; by {order['met_by']}, until {order['ends']}; {order['source']}"
    )


def _say(done: dict[str, Any], what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    click.echo(f"order {done['id']} {what}")
    if not done["is_kept"]:
        click.echo("keeld cannot write this down now; it tries again until it ends", err=True)
