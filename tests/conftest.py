"""Shared by all tests: which real engines are here, and processes that own the port they answer on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ENGINE_PLACES = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"


def engine_path(name: str) -> str | None:
    """Where a real engine is, on PATH or in /usr/sbin."""
    return shutil.which(name, path=ENGINE_PLACES)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("engine"):
        name = mark.args[0]
        if engine_path(name) is None:
            pytest.skip(f"ENGINE MISSING: {name} is not on PATH nor in /usr/sbin")


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def owns_port(pid: int, port: int) -> bool:
    """Whether the process (not another one that was there before) listens on the port."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(fields[9])
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            return True
    return False


class Engine:
    """A real server started for one test; `port` is its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
        self.process = process
        self.port = port
        self.directory = directory

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Start a server and wait until it, and nobody else, listens: `start_engine(argv, port)`."""
    started: list[Engine] = []

    def start(argv: list[str], port: int, *, deadline_s: float = 20.0) -> Engine:
        log = (tmp_path / f"engine-{port}.log").open("ab")
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=tmp_path)
        log.close()
        engine = Engine(process, port, tmp_path)
        started.append(engine)
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            if owns_port(process.pid, port):
                return engine
            time.sleep(0.05)
        output = (tmp_path / f"engine-{port}.log").read_text(errors="replace")[-2000:]
        raise AssertionError(f"{argv[0]} does not own port {port}: {output}")

    yield start
    for engine in started:
        if engine.process.poll() is None:
            engine.process.terminate()
            try:
                engine.process.wait(10)
            except subprocess.TimeoutExpired:
                engine.kill()
