"""The examples of the page on channels load, and every channel that sends has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keeld.config import check
from keeld.notify import BUILT, open_channel

PAGE = Path(__file__).parents[2] / "docs" / "channels.md"


def examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", examples())
async def test_an_example_loads_and_its_channel_opens(example, tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for name in re.findall(r"_file: \./([a-z-]+)", example):
        (tmp_path / name).write_text("https://receiver.example/secret")
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "keeld.yaml"
    file.write_text(f"site: {{name: dal1}}\n{example}")
    checked = check(file)
    assert checked.settings is not None, checked.problems
    assert [problem.wrong for problem in checked.warnings if "device" not in problem.wrong] == []
    for settings in checked.settings.channels:
        await open_channel(settings, "dal1").close()


def test_every_channel_that_sends_has_an_example():
    assert {kind for example in examples() for kind in re.findall(r"kind: (\w+)", example)} == set(BUILT)
