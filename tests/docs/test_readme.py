"""The README's configuration loads, its commands and links are there, and no command is left out."""

from __future__ import annotations

import re
from pathlib import Path

from keeld.cli import COMMANDS
from keeld.config import check

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text()


def test_its_configuration_loads(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "keeld.yaml"
    file.write_text(example)

    checked = check(file)

    assert [problem.wrong for problem in checked.problems] == []
    assert checked.settings is not None
    assert len(checked.settings.site.devices) == 37


def test_every_command_is_in_its_table_once() -> None:
    table = PAGE.partition("## Commands")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"`keeld ([a-z-]+)`", table)) == sorted(COMMANDS)


def test_every_command_it_uses_exists() -> None:
    assert set(re.findall(r"`keeld ([a-z][a-z-]+)", PAGE)) <= set(COMMANDS)


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE)

    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []
