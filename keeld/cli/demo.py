"""`keeld demo`: see keeld work, with nothing but this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import asyncio

    from keeld.demo import Running


@click.command("demo")
@click.option("--seconds", type=click.FloatRange(min=1), help="Stop by itself after so long; otherwise until Ctrl-C.")
def command(seconds: float | None) -> None:
    """Run keeld against the simulated site and show what happens.

    The site answers over Modbus TCP, the miners' JSON API and NVIDIA's library interface, all on loopback. Within three
    minutes a feed dies, one rack passes its power budget and another what its air can carry away; each alarm fires,
    is sent to a local webhook, and resolves. The last line is JSON with the totals.
    """
    import asyncio

    asyncio.run(_show(seconds))


async def _show(seconds: float | None) -> None:
    import asyncio
    import json
    import signal

    from keeld import demo

    click.echo("starting the simulated site and keeld ...", err=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with demo.running() as started:
        await demo.wait_until_up(started)
        click.echo(f"status page: {started.url}")
        stored_s = await demo.wait_until_stored(started)
        click.echo(f"first reading stored {stored_s:.1f} s after the daemon's start")
        try:
            async with asyncio.timeout(seconds):
                await _follow(started, stop)
        except TimeoutError:
            pass
        totals = await demo.end(started)
    click.echo(json.dumps(totals))


async def _follow(started: Running, stop: asyncio.Event) -> None:
    """Show the site until told to stop: a live table on a terminal, lines elsewhere."""
    import asyncio
    import contextlib
    import sys

    from rich.console import Console
    from rich.live import Live

    from keeld.demo import table

    console = Console()
    shown = 0
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as screen:
        for second in range(sys.maxsize):
            site = await started.ask("api/v1/site")
            if screen is not None:
                screen.update(table.live(site, started.url, started.receiver.titles), refresh=True)
            else:
                new = started.receiver.count - shown
                shown = started.receiver.count
                for title in started.receiver.titles[-new:] if new else ():
                    click.echo(f"{site['time']} sent {title}")
                for line in table.plain(site) if second % 10 == 0 else ():
                    click.echo(line)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await stop.wait()
                return
