"""`keeld simulate`: a site that is not there, served over the real protocols."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keeld.cli import json_option

if TYPE_CHECKING:
    from keeld.simulate.run import Ready

_FILE = click.Path(path_type=Path)


@click.command("simulate")
@click.option("--site", "site_path", type=_FILE, help="Configuration to serve, with addresses in 127.77.0.0/16.")
@click.option("--fleet", help="Serve so many devices instead: pdus=500,antminers=1000,whatsminers=1000.")
@click.option("--script", "script_path", type=_FILE, help="Incidents and faults, as config/demo/plant.yaml.")
@click.option("--write-config", "config_path", type=_FILE, help="Where to write the configuration keeld should use.")
@click.option("--record", "record_path", type=_FILE, help="Write every request received, one JSON line each.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after so long; otherwise run until SIGTERM.")
@click.option("--until-eof", is_flag=True, help="Stop when standard input ends.")
@click.option("--with-parent", is_flag=True, help="Stop when the process that started this one ends.")
@json_option
@click.pass_context
def command(  # each parameter is one option of the command line
    ctx: click.Context,
    site_path: Path | None,
    fleet: str | None,
    script_path: Path | None,
    config_path: Path | None,
    record_path: Path | None,
    seconds: float | None,
    *,
    until_eof: bool,
    with_parent: bool,
    as_json: bool,
) -> None:
    """Serve a simulated site: PDUs, meters and plant on Modbus TCP, miners on port 4028, GPUs through the worker.

    Each run takes a free 127.A.0.0/16 and writes a configuration that points there:

    \b
      keeld simulate --site config/demo/keeld.yaml \\
          --script config/demo/plant.yaml --write-config /tmp/demo.yaml
      keeld run --config /tmp/demo.yaml

    When it is ready it prints where everything is, and at its end what it received: reads, and anything else.
    """  # noqa: D301  click looks for the control character itself
    if (site_path is None) == (fleet is None):
        raise click.UsageError("give either --site FILE or --fleet COUNTS", ctx)
    from keeld.simulate.run import Order, simulate

    order = Order(
        site=site_path,
        fleet=fleet,
        script=script_path,
        config=config_path,
        record=record_path,
        duration_s=seconds,
        until_eof=until_eof,
        with_parent=with_parent,
    )
    totals = simulate(order, lambda ready: _announce(ready, as_json=as_json))
    _sum_up(totals, as_json=as_json)


def _announce(ready: Ready, *, as_json: bool) -> None:
    import json

    if as_json:
        click.echo(json.dumps({"ready": True, **ready.as_dict()}))
    else:
        click.echo(f"{ready.devices} devices on {ready.subnet}; configuration for keeld: {ready.config}")
        click.echo(f"steer it with JSON lines at {ready.control}")


def _sum_up(totals: dict[str, object], *, as_json: bool) -> None:
    import json

    if as_json:
        click.echo(json.dumps({"ended": True, **totals}))
    else:
        click.echo(f"{totals['requests']} requests received: {totals['reads']} reads, {totals['writes']} writes")
