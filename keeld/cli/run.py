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
    import sys

    # structlog imports rich where it finds it, for a display that keeld never uses: 6 MB the service need not carry.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # None is how a module is declared absent

    from keeld import config, logs
    from keeld.app import App

    settings = config.load(config_path)
    logs.configure()
    asyncio.run(App(settings).run())
