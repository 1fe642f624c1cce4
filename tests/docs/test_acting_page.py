"""Every command on the page on acting is one that the command line takes, and its lists are whole."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from keeld.alerts.observing import LIVE_AT_ONCE
from keeld.alerts.selector import KEYS
from keeld.alerts.work import NEVER_MUTED
from keeld.cli import keeld

PAGE = (Path(__file__).parents[2] / "docs" / "acting.md").read_text()
LINES = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]  # fmt: skip
TAUGHT = {"ack", "shelve", "close", "maintenance", "rules", "curtail", "rack-state", "drill", "record", "replay"}


def parse(command: click.Command, words: list[str], parent: click.Context | None = None) -> str:
    """Read words as the command line does, without doing anything; gives the name of the innermost command."""
    if not isinstance(command, click.Group):
        return str(command.make_context(command.name, words, parent=parent).command.name)
    context = command.make_context(command.name, words, parent=parent)
    rest = [*context._protected_args, *context.args]
    if not rest:
        return str(command.name)
    _, inner, left = command.resolve_command(context, rest)
    assert inner is not None
    return parse(inner, left, context)


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_taken(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.jsonl").touch()
    words = shlex.split(line, comments=True)

    assert words[0] == "keeld"
    assert parse(keeld, words[1:])


def test_a_wrong_command_is_not() -> None:
    with pytest.raises(click.UsageError):
        parse(keeld, shlex.split("shelve abc --fore 4h"))


def test_every_act_is_taught() -> None:
    assert {shlex.split(line)[1] for line in LINES} >= TAUGHT


def test_what_it_lists_is_what_there_is() -> None:
    (keys,) = re.findall(r"commas: (.*?)\. `all`", PAGE.replace("\n  ", " "))

    assert tuple(re.sub(r" \(.*?\)", "", keys).split(", ")) == KEYS
    assert all(f"**{rule}**" in PAGE for rule in NEVER_MUTED)
    assert all(re.search(rf"\b{rule}\b", PAGE) for rule in LIVE_AT_ONCE)


def test_the_page_is_one_page() -> None:
    assert PAGE.count("\n") < 110
