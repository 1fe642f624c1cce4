"""What keeps keeld from starting is one clear line and exit code 2; two keelds never share a storage directory."""

import re
import socket

import pytest


@pytest.fixture(scope="module")
def daemon(site, start):
    return start(site)


def test_second_daemon_on_one_storage_directory_is_refused(daemon, site, start, keeld):
    moved = start.write("second", site.config.replace("127.0.0.1:9780", "127.0.0.1:0"))
    done = keeld("run", "--config", moved)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r".*/data: another keeld is running here; stop that one, .*\n", done.stderr)
    assert daemon.is_up()


def test_taken_port_is_one_line(site, start, keeld, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = site.config.replace("127.0.0.1:9780", address).replace(f"{site.directory}/data", str(tmp_path / "data"))
        done = keeld("run", "--config", start.write("taken", text))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert address in done.stderr
    assert "in use" in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"", "empty"),
        (b"site: [", "not valid YAML"),
        (b"\xff\xfe\x00s", "UTF-8"),
        (b"site: {name: a}\nsites: 1\n", "did you mean `site`"),
    ],
)
def test_unusable_configuration_is_exit_code_2(content, says, tmp_path, keeld):
    path = tmp_path / "keeld.yaml"
    if content is not None:
        path.write_bytes(content)
    done = keeld("run", "--config", path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert str(path) in done.stderr
    assert says in done.stderr, done.stderr


def test_directory_as_configuration(tmp_path, keeld):
    done = keeld("run", "--config", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "is a directory; name the file in it" in done.stderr


def test_storage_that_cannot_be_a_directory(site, start, keeld, tmp_path):
    (tmp_path / "file").write_text("")
    text = site.config.replace(f"{site.directory}/data", str(tmp_path / "file"))
    done = keeld("run", "--config", start.write("file", text))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be used for storage" in done.stderr
