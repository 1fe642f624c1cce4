"""The package as text and as syntax, read once."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Source(NamedTuple):
    """One module: its dotted name, its path below the root, its text and its syntax."""

    module: str
    path: str
    text: str
    tree: ast.Module


def _read(path: Path) -> Source:
    below = path.relative_to(ROOT)
    text = path.read_text(encoding="utf-8")
    module = ".".join(below.with_suffix("").parts).removesuffix(".__init__")
    return Source(module, str(below), text, ast.parse(text, str(below)))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def sources() -> tuple[Source, ...]:
    """Every module of the package."""
    found = tuple(_read(path) for path in sorted((ROOT / "keeld").rglob("*.py")))
    assert len(found) > 100  # the package was found, so that no test passes over nothing
    return found
