"""The two commands of the README on a machine where something is missing or half done."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

CREATES = """#!/bin/sh
echo "$@" >> created
mkdir -p .venv/bin && printf '#!/bin/sh\\necho "$@" >> installed\\n' > .venv/bin/python && chmod +x .venv/bin/python
"""


@pytest.fixture
def clone(tmp_path, root):
    """A folder with the Makefile, the locks and a Python that only notes what it is asked."""
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    shutil.copy(root / "Makefile", tmp_path)
    shutil.copytree(root / "requirements", tmp_path / "requirements")
    (tmp_path / "pyproject.toml").touch()
    creates = tmp_path / "creates"
    creates.write_text(CREATES)
    creates.chmod(0o755)
    return tmp_path


def make(clone, target):
    alone = {"PATH": os.environ["PATH"]}  # not what an outer make says
    command = ["make", target, "PYTHON=./creates"]
    done = subprocess.run(command, cwd=clone, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_environment_is_made_once(clone):
    make(clone, ".venv/.dev")
    assert (clone / "created").read_text() == "-m venv --clear .venv\n"
    installs = [line for line in (clone / "installed").read_text().splitlines() if "install" in line]
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    make(clone, ".venv/.dev")
    assert (clone / "created").read_text().count("\n") == 1
    assert [line for line in (clone / "installed").read_text().splitlines() if "install" in line] == installs


def test_an_environment_without_pip_is_made_again(clone):
    """What `python3 -m venv` leaves behind on a Debian that lacks python3-venv."""
    half = clone / ".venv" / "bin" / "python"
    half.parent.mkdir(parents=True)
    half.write_text("#!/bin/sh\nexit 1\n")
    half.chmod(0o755)
    make(clone, ".venv/.runtime")
    assert (clone / "created").exists()
    assert "install" in (clone / "installed").read_text()


def test_a_changed_lock_installs_again(clone):
    make(clone, ".venv/.runtime")
    before = (clone / "installed").read_text()
    lock = clone / "requirements" / "runtime.txt"
    stamp_s = (clone / ".venv" / ".runtime").stat().st_mtime
    os.utime(lock, (stamp_s + 10, stamp_s + 10))
    make(clone, ".venv/.runtime")
    assert len((clone / "installed").read_text()) > len(before)
