"""Every claim of the page on budgets names a test, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "budgets.md").read_text()
NAMED = re.findall(r"`(test_\w+)`", PAGE)


def test_every_test_it_names_exists_once() -> None:
    source = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))

    assert len(NAMED) > 50
    assert [name for name in NAMED if len(re.findall(rf"def {name}\b", source)) != 1] == []


def test_every_section_names_its_tests() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]

    assert [section.splitlines()[0] for section in sections if len(re.findall(r"`test_", section)) < 1] == []


def test_the_page_is_short() -> None:
    assert len(PAGE.split()) < 2200
