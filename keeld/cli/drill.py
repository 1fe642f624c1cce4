"""`keeld drill RULE TARGET`: a marked test through the whole delivery path."""

from __future__ import annotations

from pathlib import Path

import click

from keeld.cli import config_option, json_option, print_json


@click.command("drill")
@click.argument("rule")
@click.argument("target")
@config_option
@json_option
@click.option("--escalate", is_flag=True, help="Fire at the rule's mildest severity, then at its worst.")
@click.option("--hold", default="10s", show_default=True, help="Time between two messages: 10s, 5m.")
def command(rule: str, target: str, config_path: Path, hold: str, *, escalate: bool, as_json: bool) -> None:
    """Send a marked test (DRILL) of RULE at TARGET, as rack:r07, and resolve it.

    The running keeld commits it, sends it to every channel that the rule's severity reaches and records it, as it does
    with an alarm; nothing is judged and no alarm moves. See `keeld rules` for rules and their targets.
    """
    from keeld.cli.running import change
    from keeld.config.scalars import seconds

    hold_s = seconds(hold)
    if hold_s is None:
        raise click.BadParameter(f"'{hold}' is no span; write 10s or 5m", param_hint="--hold")
    asked = {"rule": rule, "target": target, "escalate": escalate, "hold_s": hold_s}
    begun = change(config_path, "/api/v1/drill", asked)
    if as_json:
        print_json(begun)
        return
    for number, said in enumerate(begun["says"]):
        click.echo(f"{begun['alert_id']}  after {number * hold_s:g} s: {said['notice']} {said['severity']}")
