"""The command line as a whole: every command exists and explains itself; what ships as an example loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from keeld import config
from keeld.cli import COMMANDS, keeld


def test_every_command_has_its_module_and_every_module_its_command(root):
    modules = {path.stem.replace("_", "-") for path in (root / "keeld" / "cli").glob("*.py")}
    assert COMMANDS.keys() - modules == set()
    assert modules - COMMANDS.keys() == {"--init--", "running"}  # running: how commands ask the daemon


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    done = CliRunner().invoke(keeld, [name, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: keeld {name} [OPTIONS]")
    assert "\b" not in done.output
    assert "\\b" not in done.output
    undescribed = re.findall(r"^  (?:-\w, )?--[\w-]+(?: [A-Z ]+)?$", done.output, re.MULTILINE)
    assert undescribed == []


def test_help_keeps_the_lines_that_were_written_apart():
    output = CliRunner().invoke(keeld, ["--help"]).output
    assert "\\b" not in output
    lines = [line.strip() for line in output.splitlines()]
    for first in (
        "Start here:",
        "keeld demo  ",
        "keeld check --config FILE",
        "keeld poll DEVICE",
        "keeld run --config",
    ):
        assert sum(line.startswith(first.strip()) for line in lines) == 1, first
    for name, says in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(says.split()[0])}", output, re.MULTILINE)


def test_help_imports_no_command():
    code = (
        "import sys; from keeld.cli import keeld\n"
        "try: keeld(['--help'])\n"
        "except SystemExit: print(sorted(name for name in sys.modules if name.startswith('keeld')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == str(["keeld", "keeld.cli", "keeld.errors"])


@pytest.mark.parametrize("name", ["keeld.yaml", "demo/keeld.yaml"])
def test_a_shipped_configuration_loads(root, name):
    checked = config.check(root / "config" / name)
    assert checked.problems == ()
    assert checked.settings is not None
    assert checked.settings.site.devices


def test_the_shipped_schema_is_the_one_that_is_printed(root):
    assert json.loads((root / "config" / "keeld.schema.json").read_text()) == config.json_schema()
