"""`keeld status`: how the running keeld itself is doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keeld.cli import EXIT_FAILED, config_option, json_option, print_json


@click.command("status")
@config_option
@json_option
@click.pass_context
def command(ctx: click.Context, config_path: Path, *, as_json: bool) -> None:
    """Show the books of the running keeld: what was polled, stored, queued and sent, and which devices are out.

    Exit code 1 when something keeps keeld from doing its work.
    """
    from keeld.cli.running import ask

    site = ask(config_path, "/api/v1/site")
    devices = ask(config_path, "/api/v1/devices")["devices"]
    out = [device for device in devices if device["is_out"]]
    if as_json:
        told = {name: site[name] for name in ("balance", "findings", "not_ready")}
        print_json(told | {"devices_out": out})
    else:
        _show(site, out)
    ctx.exit(EXIT_FAILED if site["not_ready"] else 0)


def _show(site: dict[str, Any], out: list[dict[str, Any]]) -> None:
    balance = site["balance"]
    stored = ", ".join(f"{count} in {sink}" for sink, count in balance["points_stored"].items()) or "no database"
    click.echo(f"{site['site']}, up {balance['uptime_s']:.0f} s: {balance['devices']} devices, {len(out)} out")
    click.echo(f"polled   {balance['polls']} polls, {balance['outages']} outages, {balance['readings']} readings")
    click.echo(f"stored   {stored}; {balance['points_in_history']} in local history")
    click.echo(
        f"spool    {balance['points_acknowledged']} acknowledged, {balance['spool_points']} waiting, "
        f"{balance['points_dead']} refused, {balance['points_evicted']} dropped"
    )
    click.echo(
        f"messages {balance['messages_sent']} sent, {balance['messages_waiting']} waiting, "
        f"{balance['messages_dead']} given up"
    )
    for device in out[:20]:
        click.echo(f"out      {device['id']}: {device['outage_reason']} {device['outage_detail'] or ''}".rstrip())
    if len(out) > 20:  # noqa: PLR2004 - a screenful
        click.echo(f"out      and {len(out) - 20} more")
    for finding in site["findings"]:
        click.echo(f"finding  {finding}")
    for reason in site["not_ready"]:
        click.echo(f"trouble  {reason}")
