"""The `keeld` command. Each subcommand is one file here, imported only when it is called, so that help comes at once.

Exit codes: 0 done, 1 it did not work (a device is silent, a service is missing), 2 the configuration or the
call is wrong.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from keeld import __version__
from keeld.errors import ConfigError, KeeldError

EXIT_FAILED = 1
EXIT_CONFIG = 2
DEFAULT_CONFIG = "/etc/keeld/keeld.yaml"

# Name -> the one line in `keeld --help`, so that listing the commands imports none of them.
COMMANDS = {
    "run": "Watch the site: poll, store, judge, alert (what the service runs).",
    "check": "Check the configuration and print everything wrong with it.",
    "poll": "Poll one device once and show raw answers beside the readings.",
    "capture": "Poll one device once and print its answers as a redacted fixture.",
    "alerts": "List the alarms of the running keeld.",
    "ack": "Say that you have an alarm in hand.",
    "shelve": "Keep an alarm quiet for a while, with a reason.",
    "close": "End an alarm by hand.",
    "maintenance": "Announce work, see what it would do, say when it is over.",
    "rules": "List the rules: where each is judged, and why nowhere.",
    "audit": "List who asked keeld for what.",
    "status": "Show how the running keeld is doing.",
    "headroom": "Show what may still be added to each rack, and what binds it.",
    "curtail": "Give, list and cancel orders to draw less.",
    "rack-state": "Put a rack into another state, or show the states it went through.",
    "history": "Show the last hours of a rack, a node or a meter.",
    "drill": "Send a marked test through the whole delivery path.",
    "record": "Write readings into a file that can be replayed.",
    "replay": "Judge recorded readings by a configuration, in simulated time.",
    "drivers": "List the protocol families keeld speaks.",
    "profiles": "List the Modbus devices keeld knows, and how well each was verified.",
    "simulate": "Serve a simulated site over the real protocols.",
    "demo": "Run keeld against the simulated site and show what happens.",
}


class Commands(click.Group):
    """A group that knows its commands' names and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of `COMMANDS`: the daily ones first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command; None lets click answer for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name.replace("-", "_")
        command: click.Command = importlib.import_module(f"keeld.cli.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of that name."""
        import difflib

        name = args[0]
        if name not in COMMANDS:
            nearest = difflib.get_close_matches(name, COMMANDS, n=1)
            remedy = f"did you mean '{nearest[0]}'?" if nearest else "see 'keeld --help'"
            raise click.UsageError(f"no command '{name}'; {remedy}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Turn keeld's own errors into lines and exit codes; a bug still shows as one."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(str(problem), err=True)
            ctx.exit(EXIT_CONFIG)
        except KeeldError as error:
            click.echo(f"keeld: {error}", err=True)
            ctx.exit(EXIT_FAILED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_FAILED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="keeld")
def keeld() -> None:
    """Watch power and cooling where bitcoin mines become AI data centers.

    keeld polls PDUs, meters, miners, accelerators and cooling plant, stores every reading and says which rack is about
    to exceed what its power or its cooling can carry.

    \b
    Start here:
      keeld demo                      see it work on a simulated site
      keeld check --config FILE       is my configuration right?
      keeld poll DEVICE --config FILE what does this device answer?
      keeld run --config FILE         watch the site
    """  # noqa: D301 - click looks for the control character itself


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config`, with the place where the service looks as its default."""
    return click.option(
        "--config",
        "-c",
        "config_path",
        type=click.Path(path_type=Path),
        envvar="KEELD_CONFIG",
        default=DEFAULT_CONFIG,
        show_default=True,
        help="The site's configuration (or $KEELD_CONFIG).",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`: the same facts for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def print_json(value: object) -> None:
    """Print one JSON document on one line."""
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())
