"""`keeld run`: the service."""

from __future__ import annotations

from pathlib import Path

import click

from keeld.cli import config_option


@click.command("run")
@config_option
def command(config_path: Path) -> None:
    """Watch the site until SIGTERM or SIGINT.

    SIGHUP reads the configuration again: it takes effect as a whole, or not at all when anything in it is wrong.
    """
    import asyncio

    from keeld import config, logs
    from keeld.app import App

    settings = config.load(config_path)
    logs.configure()
    asyncio.run(App(settings).run())
