"""`keeld headroom`: what may still be added to each rack, and what binds it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from keeld.cli import EXIT_FAILED, config_option, json_option, print_json
from keeld.errors import DeliveryError

_POWER = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?([kM]?)W?", re.ASCII)
_SCALE = {"": 1.0, "k": 1e3, "M": 1e6}


class Power(click.ParamType[float]):
    """A power with its unit: 10.2kW, 850W, 1.5MW."""

    name = "power"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Give it in W."""
        found = _POWER.fullmatch(str(value).strip())
        if found is None or (not found[2] and "W" not in str(value)):
            self.fail(f"{value!r} is no power; write 10.2kW", param, ctx)
        return float(found[1]) * _SCALE[found[2]]


@click.command("headroom")
@click.argument("rack", required=False)
@click.option("--add", "added_watts", type=Power(), help="Say whether so much more fits: 10.2kW.")
@config_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, config_path: Path, rack: str | None, added_watts: float | None, *, as_json: bool
) -> None:
    """Show the load that may be added to each rack of the running keeld, tightest first.

    It is the least of the rack's budget, its feeds and all above them (with their derate, and with any other feed or
    source lost where the rack is redundant), and its cooling; on 5-minute means and on 24-hour peaks. With --add, exit
    code 1 where it does not fit.
    """
    from keeld.cli.running import ask

    query = "" if rack is None else f"?rack={quote(rack, safe='')}"
    found = ask(config_path, f"/api/v1/headroom{query}")
    if "racks" not in found:
        raise DeliveryError(f"rack {rack!r}: {found.get('error', 'no answer')}; {found.get('remedy', '')}".rstrip("; "))
    rooms = found["racks"]
    if added_watts is not None:
        rooms = [room | {"added_watts": added_watts, "fits": _fits(room, added_watts)} for room in rooms]
    if as_json:
        print_json({"racks": rooms})
    else:
        for room in rooms:
            click.echo(_line(room))
    if added_watts is not None and not any(room["fits"] for room in rooms):
        ctx.exit(EXIT_FAILED)


def _fits(room: dict[str, Any], added_watts: float) -> bool | None:
    """Whether a load may be added, at its peaks as well; None where no limit is configured."""
    if room["usable_watts"] is None:
        return None
    peak = room["usable_at_peak_watts"]
    return bool(added_watts <= min(room["usable_watts"], room["usable_watts"] if peak is None else peak))


def _line(room: dict[str, Any]) -> str:
    """Put one rack into a line: how much, at peaks, what binds."""
    if room["usable_watts"] is None:
        return f"{room['rack']:<16} no limit is configured"
    binding = room["binding"]
    words = f"{room['rack']:<16} {_kilo(room['usable_watts'])} kW, {_kilo(room['usable_at_peak_watts'])} kW at peaks"
    words += f"; binds: {binding['constraint']} of {binding['target']} ({binding['base']})"
    if room["lost"]:
        words += f"; no data from {', '.join(room['lost'][:4])}"
    if room.get("fits") is not None:
        verdict = "fits" if room["fits"] else "does NOT fit"
        words += f"; {_kilo(room['added_watts']).strip()} kW more {verdict}"
    return words


def _kilo(watts: float | None) -> str:
    return "    -" if watts is None else f"{watts / 1000.0:8.1f}"
