"""`keeld poll DEVICE`: what a device answers, raw and decoded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keeld.cli import EXIT_FAILED, config_option, json_option, print_json

if TYPE_CHECKING:
    from keeld.drivers import Inspection
    from keeld.model import Device


@click.command("poll")
@click.argument("device")
@config_option
@json_option
@click.pass_context
def command(ctx: click.Context, device: str, config_path: Path, *, as_json: bool) -> None:
    """Poll DEVICE once and show what it answered beside what keeld makes of it.

    Sends reads only and changes nothing, neither on the device nor in keeld. Works beside a running keeld, except with
    devices that take one connection at a time.
    """
    from keeld.errors import PollError

    found = find_device(config_path, device)
    try:
        inspection = inspect(found)
    except PollError as error:
        report_outage(found, error, as_json=as_json)
        ctx.exit(EXIT_FAILED)
    if as_json:
        print_json(as_dict(found, inspection))
    else:
        _show(inspection)
    if inspection.answer.outage is not None and not inspection.answer.readings:
        ctx.exit(EXIT_FAILED)


def _show(inspection: Inspection) -> None:
    from keeld.errors import PollError

    for exchange in inspection.exchanges:
        click.echo(f"> {exchange.request}")
        click.echo(f"< {_shown(exchange.raw)}")
    click.echo()
    for reading in inspection.answer.readings:
        part = f"/{reading.part}" if reading.part else ""
        click.echo(f"{reading.metric.name + part:<44} {reading.value:g}")
    for name, value in inspection.answer.info:
        click.echo(f"{name:<44} {value}")
    if inspection.answer.outage is not None:
        click.echo(f"outage: {PollError(inspection.answer.outage, inspection.answer.detail)}")


def find_device(config_path: Path, name: str) -> Device:
    """Give the configured device; raise a usage error that names the nearest one where there is none."""
    import difflib

    from keeld import config

    devices = config.load(config_path).site.devices
    if name in devices:
        return devices[name]
    nearest = difflib.get_close_matches(name, devices, n=1)
    remedy = f"did you mean '{nearest[0]}'?" if nearest else f"{config_path} names {len(devices)} devices"
    raise click.UsageError(f"no device '{name}'; {remedy}")


def inspect(device: Device) -> Inspection:
    """Poll the device once over its own link, with the deadline of the first poll after a start."""
    import asyncio

    from keeld import drivers
    from keeld.errors import Outage, PollError

    if device.driver not in drivers.names():
        raise click.UsageError(f"{device.id} reports by itself (driver {device.driver}); there is nothing to poll")
    driver = drivers.load(device.driver)

    async def once() -> Inspection:
        link = driver.open_link(device)
        try:
            async with asyncio.timeout(max(30.0, device.timeout_s)):
                return await driver.inspect(link, device)
        except TimeoutError:
            raise PollError(Outage.TIMEOUT, "no complete answer in time") from None
        finally:
            await link.close()

    return asyncio.run(once())


def report_outage(device: Device, error: Exception, *, as_json: bool) -> None:
    """Say why the device gave nothing."""
    if as_json:
        print_json(
            {"device": device.id, "outage": str(getattr(error, "outage", "")), "detail": getattr(error, "detail", "")}
        )
        return
    click.echo(f"{device.id} at {device.address}: {error}", err=True)


def as_dict(device: Device, inspection: Inspection) -> dict[str, object]:
    """Give the inspection as JSON values: readings by `metric/part`."""
    return {
        "device": device.id,
        "exchanges": [{"request": exchange.request, "raw": exchange.raw} for exchange in inspection.exchanges],
        "readings": {
            reading.metric.name + (f"/{reading.part}" if reading.part else ""): reading.value
            for reading in inspection.answer.readings
        },
        "info": dict(inspection.answer.info),
        "outage": None if inspection.answer.outage is None else str(inspection.answer.outage),
        "detail": inspection.answer.detail,
    }


def _shown(raw: object) -> str:
    if isinstance(raw, list):
        return " ".join(f"{word:04x}" for word in raw)
    # What a device sends is shown, never interpreted: no control character reaches the terminal.
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in str(raw))
