"""The map of the code leads to files that are there, and its layers are those that a machine checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
LAYERS = next(
    contract["layers"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers"
)


def test_every_path_it_names_is_there() -> None:
    paths = set(re.findall(r"`((?:keeld|tests)/[\w/.]*)`", PAGE))

    assert len(paths) > 40
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_every_package_of_the_core_is_on_the_map() -> None:
    core = ("alerts", "budgets", "watch", "replay", "state", "spool", "notify", "drivers", "links", "config", "cli")

    assert [name for name in core if f"`keeld/{name}" not in PAGE] == []


def test_layers_are_those_that_are_checked() -> None:
    table = PAGE.partition("## Layers")[2].partition("\n## ")[0]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in row]

    assert named == sorted(named, key=_depth)
    assert set(named) == {name for layer in LAYERS for name in layer.split(" | ")}


def _depth(name: str) -> int:
    return next(depth for depth, layer in enumerate(LAYERS) if name in layer.split(" | "))
