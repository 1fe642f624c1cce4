"""`keeld maintenance`: announce work, see what it would do, and say when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keeld.cli import config_option, json_option, print_json


@click.group("maintenance")
def command() -> None:
    """Announce work: what it takes out of service is quiet meanwhile, and its other path is watched harder.

    Overloads, severe heat and leaks are never quiet. Work that is not over in time is warned of.
    """


@command.command("begin")
@click.argument("target")
@click.option("--for", "span", help="How long, as 2h.")
@click.option("--until", "ends", help="Its end, as 2026-11-23T04:00:00-05:00, in place of --for.")
@click.option("--at", "begins", default="", help="Its begin, if not now.")
@click.option("--every", "every_days", type=click.IntRange(1, 366), help="Again every so many days, 7 for weekly.")
@click.option("--reason", required=True, help="What is done.")
@click.option("--owner", default="", help="Who does it; the user who asks, if left out.")
@click.option("--yes", is_flag=True, help="Do not ask after showing what it would do.")
@config_option
def begin(config_path: Path, target: str, *, every_days: int | None, yes: bool, **words: str | None) -> None:
    """Announce work on TARGET: node=ups-a, feed=r07/a, cooling=cdu-1, switch=sw-c1, device=..., rack=..., tenant=...

    First it shows what would happen with that path dead, and asks.
    """
    from keeld.cli.running import change

    if bool(words.get("span")) == bool(words.get("ends")):
        raise click.UsageError("write --for or --until")
    preview = change(config_path, "/api/v1/maintenance/preview", {"selector": target})["failover"]
    click.echo(preview["text"] if preview else f"{target}: nothing would take anything over")
    if not yes:
        click.confirm("announce it?", abort=True)
    form = {
        "selector": target,
        "for": words.get("span") or "",
        "ends": words.get("ends") or "",
        "begins": words.get("begins") or "",
        "reason": words.get("reason") or "",
        "owner": words.get("owner") or "",
        "every_days": every_days or 0,
    }
    done = change(config_path, "/api/v1/maintenance", form)
    click.echo(f"{done['done']}; keeld maintenance end {done['id']} says that it is over")


@command.command("end")
@click.argument("work")
@click.option("--for-good", is_flag=True, help="Of repeated work: not only this time.")
@config_option
def end(config_path: Path, work: str, *, for_good: bool) -> None:
    """Say that work is over: what still stands is told now."""
    from urllib.parse import quote

    from keeld.cli.running import change

    path = f"/api/v1/maintenance/{quote(work, safe='')}{'?for_good=1' if for_good else ''}"
    click.echo(change(config_path, path, {}, method="DELETE")["done"])


@command.command("list")
@config_option
@json_option
def show(config_path: Path, *, as_json: bool) -> None:
    """List work that goes on or is to come."""
    from keeld.cli.running import ask

    found = ask(config_path, "/api/v1/maintenance")
    if as_json:
        print_json(found)
        return
    for work in found["maintenance"]:
        click.echo(_line(work))
    if not found["maintenance"]:
        click.echo("no work is announced")


def _line(work: dict[str, Any]) -> str:
    when = "now, until" if work["is_now"] else f"{work['begins']} to"
    again = f", every {work['every_days']} days" if work["every_days"] else ""
    quiet = f"{len(work['alerts'])} quiet" if work["is_now"] else "to come"
    return f"{work['id']}  {when} {work['ends']}{again}  {work['about']}  {quiet}  {work['owner']}: {work['reason']}"
