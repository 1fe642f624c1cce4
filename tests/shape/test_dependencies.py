"""What keeld installs: the same names in every list, locked by hash, under licences that go with Apache-2.0."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

import pytest

PERMISSIVE = {"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "PSF-2.0", "ISC", "0BSD"}
FILE_BOUND = {"MPL-2.0"}
"""Binds changes to its own files only; keeld changes and copies none of them, they come from the package index."""
SAID_OTHERWISE = {
    "Apache 2.0": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
LOCKED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)(?: ;.*)? \\$", re.MULTILINE)


def pytest_generate_tests(metafunc):
    if "locked" in metafunc.fixturenames:
        from pathlib import Path

        text = (Path(__file__).parents[2] / "requirements" / "runtime.txt").read_text()
        metafunc.parametrize("locked", [name for name, _ in LOCKED.findall(text)])


def licence(name: str) -> set[str]:
    """The licences a package names, each once: its SPDX expression, else its licence field or classifiers.

    Of two that it offers, keeld takes the one that goes with its own.
    """
    facts = importlib.metadata.metadata(name)
    expression = facts.get("License-Expression")
    offered = expression.split(" OR ") if expression else []
    if set(offered) & PERMISSIVE:
        return set(offered) & PERMISSIVE
    if expression:
        return set(re.split(r"[ ()]+(?:AND|OR|WITH)?[ ()]*", expression)) - {"", "AND", "OR"}
    classifiers = [text.rpartition(" :: ")[2] for text in facts.get_all("Classifier") or [] if "License ::" in text]
    said = classifiers or [facts.get("License") or "says nothing"]
    return {SAID_OTHERWISE.get(text, text) for text in said}


def test_every_dependency_may_be_distributed_beside_apache_2(locked):
    assert licence(locked) - PERMISSIVE - FILE_BOUND == set()


@pytest.mark.parametrize("name", ["runtime", "build", "dev"])
def test_every_locked_package_has_its_hashes(root, name):
    text = (root / "requirements" / f"{name}.txt").read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) >= 3
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_what_the_wheel_asks_for_is_what_is_locked(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = (root / "requirements" / "runtime.in").read_text().splitlines()
    assert sorted(project["dependencies"]) == sorted(wanted)
    text = (root / "requirements" / "runtime.txt").read_text()
    locked = {name for name, _ in LOCKED.findall(text)}
    assert {re.split(r"[<>=]", line)[0].lower() for line in wanted} <= locked


def test_the_runtime_lock_is_part_of_the_development_lock(root):
    """Else installing for tests would change what was installed for the demo."""
    runtime, dev = (
        set(LOCKED.findall((root / "requirements" / f"{name}.txt").read_text())) for name in ("runtime", "dev")
    )
    assert len(runtime) > 10
    assert runtime - dev == set()


def test_the_projects_own_licence_is_whole(root):
    text = (root / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"
