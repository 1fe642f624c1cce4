"""The real processes, seen from outside: a simulated site, a daemon, and who receives its messages and its points."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

KEELD = [sys.executable, "-m", "keeld"]
SITE = Path(__file__).parent / "site.yaml"
PLANT = Path(__file__).parent / "plant.yaml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], within_s: float, what: str) -> Any:
    """Wait until `true()` gives something true, and give that."""
    end_s = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
    return found


class Site:
    """`keeld simulate` as a process."""

    def __init__(self, directory: Path, text: str) -> None:
        source, target = directory / "site.yaml", directory / "derived.yaml"
        source.write_text(text)
        self._errors = (directory / "simulator.err").open("w+")
        self._totals: dict[str, Any] = {}
        self._record = directory / "record.jsonl"
        files = ["--site", str(source), "--script", str(PLANT), "--write-config", str(target)]
        files += ["--record", str(self._record)]
        self.process = subprocess.Popen(
            [*KEELD, "simulate", *files, "--with-parent", "--json"],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        line = self.process.stdout.readline() if self.process.stdout else ""
        assert line, self.errors()
        self.ready = json.loads(line)
        self.prefix = self.ready["subnet"].removesuffix("0.0/16")
        self.directory = Path(self.ready["directory"])
        self.config = target.read_text()

    def tell(self, **request: Any) -> dict[str, Any]:
        host, port = self.ready["control"].split(":")
        with socket.create_connection((host, int(port)), 5) as link, link.makefile("rwb") as lines:
            lines.write(json.dumps(request).encode() + b"\n")
            lines.flush()
            said: dict[str, Any] = json.loads(lines.readline())
        assert "error" not in said, said
        return said

    def fault(self, target: str, kind: str, **more: Any) -> None:
        self.tell(do="fault", target=target, kind=kind, **more)

    def incident(self, target: str, kind: str, **more: Any) -> None:
        self.tell(do="incident", target=target, kind=kind, **more)

    def clear(self, target: str = "") -> None:
        self.tell(do="clear", target=target)

    def requests(self, device: str, what: str, *, before_ms: float) -> int:
        """How often a device was asked that; complete once the site has ended."""
        lines = map(json.loads, self._record.read_text().splitlines())
        return sum(
            line["device"] == device and line["what"] == what and line["time"] * 1000 < before_ms for line in lines
        )

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def end(self) -> dict[str, Any]:
        """Stop it and give what it received; whatever a test did, only reads may have come."""
        if self._totals:
            return self._totals
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=15)
        assert self.errors() == ""
        self._errors.close()
        totals: dict[str, Any] = json.loads(output.splitlines()[-1])
        assert totals["writes"] == 0, totals
        self._totals = totals
        return totals


class Daemon:
    """`keeld run` as a process."""

    def __init__(
        self, config: Path, url: str, *, environment: dict[str, str] | None = None, program: tuple[str, ...] = ()
    ) -> None:
        """`program` replaces `python -m keeld run --config` by another command, which ends in the configuration."""
        self.config = config
        self.url = url
        self.log_path = config.with_suffix(".log")
        self._seen_bytes = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._last_byte: int | None = None
        self.started_ms = time.time_ns() // 1_000_000
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*(program or (*KEELD, "run", "--config")), str(config)],
                stderr=log,
                start_new_session=True,
                env=os.environ | (environment or {}),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=5) as response:
            said: dict[str, Any] = json.load(response)
        return said

    def status(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and answer, whatever they are."""
        try:
            return 200, self.ask(path)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def balance(self) -> dict[str, Any]:
        books: dict[str, Any] = self.ask("api/v1/site")["balance"]
        return books

    def device(self, name: str) -> dict[str, Any]:
        return self.ask(f"api/v1/devices/{name}")

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.text()
        try:
            self.ask("livez")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def is_whole(self) -> bool:
        """Whether every device has answered and none is out."""
        return self.is_up() and all(device["is_out"] is False for device in self.ask("api/v1/devices")["devices"])

    def text(self) -> str:
        """What this process (not one before it) has logged."""
        return self.log_path.read_bytes()[self._seen_bytes : self._last_byte].decode()

    def lines(self, *events: str, **fields: Any) -> list[dict[str, Any]]:
        """Log lines of these events, with these fields."""
        found = [json.loads(line) for line in self.text().splitlines()]
        return [
            line
            for line in found
            if (not events or line["event"] in events) and all(line.get(key) == fields[key] for key in fields)
        ]

    def troubles(self) -> list[str]:
        """The events of all lines that ask for attention, in their order."""
        return [line["event"] for line in self.lines() if line["level"] in {"warning", "error"}]

    def wait_for(self, event: str, within_s: float = 10.0, **fields: Any) -> dict[str, Any]:
        line: dict[str, Any] = until(lambda: self.lines(event, **fields), within_s, f"{event} {fields}\n{self.text()}")[
            -1
        ]
        return line

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self._wait(10)

    def stop(self, within_s: float = 10.0) -> int:
        """End it as systemd would and give the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self._wait(within_s)

    def _wait(self, within_s: float) -> int:
        code = self.process.wait(within_s)
        if self._last_byte is None:
            self._last_byte = self.log_path.stat().st_size
        return code

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def children(self) -> list[int]:
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def ports_towards(self, host: str, port: int) -> set[int]:
        """Local ports of this host's established connections to an address: a new connection has another one."""
        peer = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[2] == peer and row[3] == "01"}


class Message(NamedTuple):
    """One webhook call."""

    at_s: float
    body: dict[str, Any]


class Receiver:
    """A server of the test's own on a port that stays the same while it is away."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: ThreadingHTTPServer | None = None

    def take(self, path: str, body: bytes) -> None:
        raise NotImplementedError

    def open(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(204)
                self.end_headers()
                self.close_connection = receiver._server is None

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Be away: connections that are open end with their next request."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


class Hook(Receiver):
    """Receives messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def take(self, path: str, body: bytes) -> None:
        self.messages.append(Message(time.monotonic(), json.loads(body)))

    def told(self, rule: str = "", target: str = "") -> list[str]:
        """The notices about a rule and a target, in their order."""
        return [
            str(message.body["notice"])
            for message in self.messages
            if rule in message.body["key"] and target in message.body["key"]
        ]


class Point(NamedTuple):
    """One stored line."""

    measurement: str
    device: str
    part: str
    fields: dict[str, str]
    time_ms: int


def parse(line: str) -> Point:
    """Read a line; of those with texts in them (alarms), only when and about what."""
    series, rest = line.split(" ", 1)
    fields, time_ms = rest.rsplit(" ", 1)
    measurement, *tags = series.split(",")
    named = dict(tag.split("=", 1) for tag in tags)
    values = dict(field.split("=", 1) for field in fields.split(",")) if '"' not in fields else {}
    return Point(measurement, named.get("device", ""), named.get("part", ""), values, int(time_ms))


class Sink(Receiver):
    """Receives points as an InfluxDB 2 does."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[Point] = []

    def take(self, path: str, body: bytes) -> None:
        self.points += map(parse, body.decode().splitlines())

    def times_ms(self, device: str) -> list[int]:
        """When a device was polled, by what was stored."""
        return sorted({point.time_ms for point in self.points if point.device == device})


class Starter:
    """Starts daemons for one module, and ends and examines them after it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[Daemon] = []

    def write(self, name: str, text: str, **sections: Any) -> Path:
        """Write a configuration; `sections` are appended as JSON, which is YAML."""
        path = self.directory / f"{name}.yaml"
        path.write_text(text + "".join(f"\n{key}: {json.dumps(value)}\n" for key, value in sections.items()))
        return path

    def __call__(
        self, site: Site, name: str = "keeld", *, text: str = "", program: tuple[str, ...] = (), **sections: Any
    ) -> Daemon:
        """Start a daemon on a site and wait until it answers."""
        port = free_port()
        listen = (text or site.config).replace("127.0.0.1:9780", f"127.0.0.1:{port}")
        return self.run(self.write(name, listen, **sections), f"http://127.0.0.1:{port}/", program=program)

    def run(self, config: Path, url: str, **options: Any) -> Daemon:
        daemon = Daemon(config, url, **options)
        self.started.append(daemon)
        until(daemon.is_up, 20, "the daemon answers")
        return daemon

    def end(self) -> None:
        try:
            for daemon in self.started:
                daemon.stop()
        finally:
            for daemon in self.started:
                if daemon.process.poll() is None:
                    os.killpg(daemon.pid, signal.SIGKILL)
        for daemon in self.started:
            assert "Traceback" not in daemon.text()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    """The small site, served; whatever the module's tests do, it may have received reads only."""
    served = Site(tmp_path_factory.mktemp("site"), SITE.read_text())
    yield served
    totals = served.end()
    assert totals["reads"] > 0


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Iterator[Starter]:
    starter = Starter(tmp_path_factory.mktemp("daemon"))
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    receiver = Hook()
    receiver.open()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    receiver = Sink()
    receiver.open()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    return until


@pytest.fixture(scope="session")
def keeld() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of keeld to its end; no operator ever sees a traceback."""

    def call(*arguments: object, within_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*KEELD, *map(str, arguments)], capture_output=True, text=True, timeout=within_s, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    return lambda count: [free_port() for _ in range(count)]


@pytest.fixture(scope="session")
def keeld_command() -> list[str]:
    """`keeld run --config`, to be put into another command."""
    return [*KEELD, "run", "--config"]
