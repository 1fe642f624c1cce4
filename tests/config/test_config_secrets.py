from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from keeld.config import Checked
from keeld.credentials import Secret, credential_path
from keeld.errors import ConfigError

Check = Callable[..., Checked]
PAGER = "site: {name: s}\nnotify: [{kind: pagerduty, routing_key_file: %s}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("hunter2\n")
    path.chmod(0o600)
    return path


def test_secret_shows_nowhere(file: Path) -> None:
    secret = Secret.from_file(file)
    assert secret.reveal() == "hunter2"
    assert [repr(secret), str(secret), f"{secret}", f"{secret!r:>3}"] == ["***"] * 4
    assert bool(secret)
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="stays in its process"):
        copy.deepcopy(secret)


def test_secrets_are_equal_by_place_and_value(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("hunter2")
    assert Secret.from_file(file) == Secret.from_file(file)
    assert Secret.from_file(file) != Secret.from_file(other)
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret.from_file(file), Secret.from_file(file)}) == 1


def test_rotated_secret_is_read_again(file: Path, tmp_path: Path) -> None:
    secret = Secret.from_file(file)
    (tmp_path / "new").write_text("correct-horse\r\n")
    (tmp_path / "new").replace(file)
    assert secret.reveal() == "correct-horse"
    stamp = file.stat()
    (tmp_path / "new").write_text("battery-stapl")
    os.utime(tmp_path / "new", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (tmp_path / "new").replace(file)
    assert secret.reveal() == "battery-stapl"


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"\xff\xfe", b"x" * 70_000, b"a\x00b"])
def test_unusable_rotation_keeps_the_last_value(file: Path, content: bytes) -> None:
    secret = Secret.from_file(file)
    file.write_bytes(content)
    assert secret.reveal() == "hunter2"
    file.unlink()
    assert secret.reveal() == "hunter2"
    file.write_text("new")
    assert secret.reveal() == "new"


UNUSABLE = [
    (b"", "it is empty"),
    (b"two\nlines", "it has more than one line or control characters"),
    (b"caf\xe9", "not UTF-8 text"),
    (b"x" * 70_000, "larger than any secret"),
]


@pytest.mark.parametrize(("content", "reason"), UNUSABLE)
def test_unusable_secret_is_refused_without_showing_it(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Secret.from_file(file)
    assert reason in str(caught.value)
    assert "caf" not in str(caught.value)


def test_secret_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path, "it is a directory"),
        (tmp_path / "no", "no such file"),
        (tmp_path / "pipe", "no regular"),
    ):
        with pytest.raises(ConfigError, match=reason):
            Secret.from_file(path)


def test_bare_name_belongs_to_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/keeld.service")
    assert credential_path("token", Path("/etc/keeld")) == Path("/run/credentials/keeld.service/token")
    assert credential_path("./token", Path("/etc/keeld")) == Path("/etc/keeld/token")
    assert credential_path("/root/token", Path("/etc/keeld")) == Path("/root/token")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert credential_path("token", Path("/etc/keeld")) == Path("/etc/keeld/token")


def test_bare_name_outside_systemd_warns_a_check_and_stops_a_run(check_text: Check) -> None:
    checked = check_text(PAGER % "pd-key")
    assert checked.settings is not None
    assert any("LoadCredential=pd-key" in warning.remedy for warning in checked.warnings)
    assert check_text(PAGER % "pd-key", credentials_required=True).settings is None


def test_missing_credential_under_systemd_is_an_error(
    check_text: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    (problem,) = check_text(PAGER % "pd-key").problems
    assert problem.where == "k.yaml:2:46"
    assert str(tmp_path / "credentials" / "pd-key") in problem.remedy


@pytest.mark.parametrize("name", ["./nope", "./", "/proc/self/mem", "./a/b"])
def test_file_that_is_no_secret_is_one_problem(check_text: Check, name: str) -> None:
    (problem,) = check_text(PAGER % name).problems
    assert problem.wrong.startswith("secret cannot be read: ")


def test_world_readable_secret_is_a_warning(check_text: Check, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("hunter2")
    key.chmod(0o644)
    (warning,) = (
        each for each in check_text(PAGER % "./key").warnings if "secret" not in each.wrong and "key" in each.wrong
    )
    assert warning.remedy == "chmod 600 key"
    key.chmod(0o600)
    assert not any("every user" in each.wrong for each in check_text(PAGER % "./key").warnings)
