"""`keeld shelve`: keep alarms quiet for a while, with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keeld.cli import config_option, json_option, print_json


@click.command("shelve")
@click.argument("alert", required=False)
@click.option("--select", "selector", help="Shelve all that this means, as rack=r07 or rule=source_stale,row=c.")
@click.option("--for", "span", help="How long, at most 24h.")
@click.option("--reason", help="Why; everybody who looks at the alarms sees it.")
@click.option("--owner", default="", help="Who says so; the user who asks, if left out.")
@click.option("--end", "shelf", help="Take the shelf of this id away before its time.")
@click.option("--list", "is_list", is_flag=True, help="List the shelves that stand.")
@config_option
@json_option
def command(config_path: Path, *, is_list: bool, as_json: bool, shelf: str | None, **words: str | None) -> None:
    """Keep an alarm quiet for a while: it is judged, stored and shown as before, and comes back by itself.

    ALERT is its id as `keeld alerts` shows it. Overloads and leaks can be shelved one by one only.
    """
    from urllib.parse import quote

    from keeld.cli.running import change

    if is_list:
        _show(config_path, as_json=as_json)
        return
    if shelf is not None:
        click.echo(change(config_path, f"/api/v1/shelves/{quote(shelf, safe='')}", {}, method="DELETE")["done"])
        return
    alert, selector, span, reason = (words.get(name) or "" for name in ("alert", "selector", "span", "reason"))
    if not span or not reason or bool(alert) == bool(selector):
        raise click.UsageError("write ALERT or --select SELECTOR, and --for and --reason")
    form = {"for": span, "reason": reason, "owner": words.get("owner") or ""}
    if alert:
        done = change(config_path, f"/api/v1/alerts/{quote(alert, safe='')}/shelve", form)
    else:
        done = change(config_path, "/api/v1/shelves", form | {"selector": selector})
    click.echo(f"{done['done']}; keeld shelve --end {done['id']} takes it back")


def _show(config_path: Path, *, as_json: bool) -> None:
    from keeld.cli.running import ask

    found = ask(config_path, "/api/v1/shelves")
    if as_json:
        print_json(found)
        return
    for shelf in found["shelves"]:
        click.echo(_line(shelf))
    if not found["shelves"]:
        click.echo("no shelves")


def _line(shelf: dict[str, Any]) -> str:
    quiet = f"{len(shelf['alerts'])} quiet now"
    return f"{shelf['id']}  until {shelf['ends']}  {shelf['about']}  {quiet}  {shelf['owner']}: {shelf['reason']}"
