"""`keeld check`: everything that is wrong with the configuration, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keeld.cli import EXIT_CONFIG, config_option, json_option, print_json

if TYPE_CHECKING:
    from keeld.config import Checked
    from keeld.errors import Problem


@click.command("check")
@config_option
@json_option
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the configuration, for editors, and stop.")
@click.pass_context
def command(context: click.Context, config_path: Path, *, as_json: bool, schema: bool) -> None:
    """Check the configuration and print everything wrong with it.

    Each problem is one line: file:line:col: what is wrong; what to write. Nothing is polled and nothing is changed.
    Exit code 0 means that `keeld run` takes it, 2 that it does not; warnings alone leave it at 0.
    """
    from keeld.config import check, json_schema

    if schema:
        click.echo(_pretty(json_schema()))
        return
    checked = check(config_path)
    if as_json:
        print_json(_document(config_path, checked))
    else:
        _print(config_path, checked)
    context.exit(0 if checked.settings is not None else EXIT_CONFIG)


def _pretty(schema: dict[str, Any]) -> str:
    import orjson

    return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode()


def _print(path: Path, checked: Checked) -> None:
    for problem in checked.problems:
        click.echo(str(problem), err=True)
    for warning in checked.warnings:
        click.echo(_as_warning(warning), err=True)
    if checked.settings is None:
        click.echo(f"{path}: {_counted(len(checked.problems), 'error')}, not usable", err=True)
        return
    things = ", ".join(_counted(count, name) for name, count in _counts(checked).items())
    click.echo(f"{path}: ok: {things}")


def _as_warning(problem: Problem) -> str:
    return str(problem._replace(wrong=f"warning: {problem.wrong}"))


def _counted(count: int, name: str) -> str:
    noun = name.replace("_", " ").removesuffix("s")
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _counts(checked: Checked) -> dict[str, int]:
    if checked.settings is None:
        return {}
    site = checked.settings.site
    return {
        "racks": len(site.racks),
        "devices": len(site.devices),
        "power_nodes": len(site.power),
        "cooling_nodes": len(site.cooling),
        "warnings": len(checked.warnings),
    }


def _document(path: Path, checked: Checked) -> dict[str, Any]:
    return {
        "config": str(path),
        "ok": checked.settings is not None,
        "counts": _counts(checked),
        "problems": [problem._asdict() for problem in checked.problems],
        "warnings": [warning._asdict() for warning in checked.warnings],
    }
