"""There is a runbook for every rule that ships, in the order of their numbers, and each says the same four things."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keeld.alerts.shipped import SHIPPED
from keeld.message_urls import RUNBOOKS, MessageUrls

ROOT = Path(__file__).parents[2]
PAGE = ROOT / RUNBOOKS
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE))


def test_every_rule_has_a_section_and_no_section_is_of_no_rule():
    assert list(SECTIONS) == [rule.name for rule in sorted(SHIPPED.values(), key=lambda rule: rule.number)]


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_section_says_what_it_means_what_to_look_at_what_to_do_and_what_makes_it_quiet(name):
    assert re.findall(r"^- \*\*(\w+)\*\*: \S.*$", SECTIONS[name], re.MULTILINE) == ["Means", "First", "Do", "Quiet"]
    assert SECTIONS[name].count("\n- ") == 3
    assert MessageUrls().runbook_of(name) == f"{RUNBOOKS}#{name}"


def test_commands_on_the_page_exist():
    named = set(re.findall(r"`keeld ([a-z-]+)", PAGE.read_text()))
    known = {path.stem.replace("_", "-") for path in (ROOT / "keeld" / "cli").glob("*.py")}
    assert named <= known, named - known
