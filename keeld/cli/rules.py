"""`keeld rules`: which rules are active where and why, and what new ones would have sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keeld.cli import config_option, json_option, print_json


@click.group("rules", invoke_without_command=True)
@config_option
@json_option
@click.option("--would-have", is_flag=True, help="What would have been sent, had it not only been observed.")
@click.option("--offline", is_flag=True, help="By the configuration alone, without a running keeld.")
@click.pass_context
def command(ctx: click.Context, config_path: Path, *, as_json: bool, would_have: bool, offline: bool) -> None:
    """List every rule: where it is judged, or why nowhere, and whether it is only observed yet."""
    ctx.obj = config_path
    if ctx.invoked_subcommand is not None:
        return
    if would_have:
        _show_would_have(config_path, as_json=as_json)
        return
    found = _offline(config_path) if offline else _running(config_path)
    if as_json:
        print_json({"rules": found})
        return
    for rule in found:
        click.echo(_line(rule))


@command.command("live")
@click.argument("selector")
@click.option("--owner", default="", help="Who says so; the user who asks, if left out.")
@click.pass_obj
def live(config_path: Path, selector: str, owner: str) -> None:
    """Send from now on what SELECTOR means: rule=rack_density_power, rack=r07, row=c, or all."""
    from keeld.cli.running import change

    click.echo(change(config_path, "/api/v1/rules/live", {"selector": selector, "owner": owner})["done"])


def _running(config_path: Path) -> list[dict[str, Any]]:
    from keeld.cli.running import ask

    found: list[dict[str, Any]] = ask(config_path, "/api/v1/rules")["rules"]
    return found


def _offline(config_path: Path) -> list[dict[str, Any]]:
    """Give what a keeld that starts now with this configuration would judge."""
    from keeld import config
    from keeld.judge import moment_now
    from keeld.watch import Watch
    from keeld.web.acts import rule_form

    settings = config.rehearse(config_path)
    now = moment_now()
    watch = Watch(settings.site, settings.rules, now=now, observe_s=settings.observe_s)
    return [rule_form(rule) for rule in watch.desk.rules(now)]


def _line(rule: dict[str, Any]) -> str:
    number = f"{rule['number'] or '-':>3}"
    if not rule["targets"]:
        return f"{number}  {rule['name']:<24} {rule['why']}"
    where = f"{rule['targets']} targets ({', '.join(rule['examples'])}{', ...' if rule['targets'] > 3 else ''})"  # noqa: PLR2004 - examples
    facts = [", ".join(rule["severities"]), where]
    if rule["standing"]:
        facts.append(f"{rule['standing']} standing")
    if rule["observed"]:
        facts.append(f"observed at {rule['observed']} until {rule['observed_until']}")
    return f"{number}  {rule['name']:<24} {'; '.join(filter(None, (*facts, rule['why'])))}"


def _show_would_have(config_path: Path, *, as_json: bool) -> None:
    from keeld.cli.running import ask

    found = ask(config_path, "/api/v1/rules/would-have")
    if as_json:
        print_json(found)
        return
    for entry in found["would_have"]:
        children = f", {entry['children']} follow from it" if entry["children"] else ""
        cause = f"; cause: {entry['cause']}" if entry["cause"] else ""
        click.echo(
            f"{entry['count']:>4} x  {entry['severity']:<8} {entry['title']}{children}, "
            f"at most {entry['longest_s'] / 60:.0f} min{cause}\n        quiet with  rules: {{{entry['setting']}}}"
        )
    if not found["would_have"]:
        click.echo("nothing would have been sent")
