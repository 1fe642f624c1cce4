"""What the demo shows: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

Form = dict[str, Any]

_STYLES = {"OVER": "bold white on red", "CAN'T TELL": "black on yellow", "OK": "green"}


def kilowatts(interval: Form | None) -> str:
    """Show an interval in kW: one number where it is known, both ends where it is not, `?` where nothing is."""
    if interval is None:
        return "-"
    lo, hi = interval["lo"] / 1000, interval["hi"] / 1000
    if interval["best"] is not None and hi - lo < max(0.05, 0.01 * hi):
        return f"{interval['best'] / 1000:.1f}"
    return f"{lo:.1f}..{hi:.1f}"


def binding(rack: Form) -> str:
    """Say what binds a rack and how far it is loaded, with the base of the percentage."""
    judged = rack["binding"]
    if judged is None:
        return "no limit configured"
    ratio = "?" if judged["load_ratio"] is None else f"{judged['load_ratio']:.0%}"
    scale, unit = (1000, "kW") if judged["unit"] == "W" else (1, judged["unit"])
    return f"{judged['constraint']} {ratio} of {judged['limit'] / scale:.4g} {unit} {judged['base']}"


def live(site: Form, url: str, messages: Sequence[str]) -> Group:
    """Give the whole screen: racks, alarms, messages, keeld's books."""
    racks = Table(title=heading(site, url), title_justify="left", expand=True)
    for name in ("row", "rack", "state", "kW", "air kW", "liquid kW", "verdict", "what binds", "why"):
        racks.add_column(name, justify="right" if name.endswith("kW") else "left")
    for rack in site["racks"]:
        racks.add_row(
            rack["row"] or "",
            rack["id"],
            rack["state"],
            kilowatts(rack["draw_watts"]),
            kilowatts(rack["air_heat_watts"]),
            kilowatts(rack["liquid_heat_watts"]),
            Text(rack["verdict"], style=_STYLES.get(rack["verdict"], "")),
            binding(rack),
            rack["why"],
        )
    alarms = Table(title="alarms", title_justify="left", expand=True)
    for name in ("id", "severity", "state", "what"):
        alarms.add_column(name)
    for alarm in site["alerts"]:
        alarms.add_row(alarm["alert_id"], alarm["severity"], alarm["state"], Text(alarm["title"]))
    said = Text("\n".join(f"sent  {message}" for message in messages[-5:]))
    return Group(racks, alarms, said, Text(books(site)))


def heading(site: Form, url: str) -> str:
    """Give the first line: whose site, when, and where its page is."""
    note = f" ({site['timings_note']})" if site["timings_note"] else ""
    return f"{site['site']}{note}  {site['time']}  {url}"


def books(site: Form) -> str:
    """Say in one line what came in and where it went."""
    balance = site["balance"]
    stored = sum(balance["points_stored"].values()) or balance["points_in_history"]
    return (
        f"{balance['devices']} devices  {balance['polls']} polls  {balance['outages']} outages  "
        f"{stored} points stored  {balance['messages_sent']} messages sent"
    )


def plain(site: Form) -> list[str]:
    """Give the lines for a pipe: every rack in one, then the books."""
    lines = [
        f"{site['time']} {rack['id']:<8} {rack['verdict']:<10} {kilowatts(rack['draw_watts']):>12} kW  {binding(rack)}"
        + (f"  ({rack['why']})" if rack["why"] else "")
        for rack in site["racks"]
    ]
    return [*lines, f"{site['time']} {books(site)}"]
