"""A log line is one line, whatever is in it, and a log that cannot be written ends nothing."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from keeld import logs

HOSTILE = 'pdu\x1b[31m\x9b1m\r\n{"level":"info","event":"forged"}\u2028\u202e\ud800'


@pytest.fixture(autouse=True)
def _as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(**settings) -> tuple[io.StringIO, structlog.stdlib.BoundLogger]:
    stream = io.StringIO()
    logs.configure(stream=stream, **settings)
    return stream, structlog.get_logger()


def test_a_pipe_gets_json():
    stream, log = lines()
    log.warning("device lost", device="pdu-1", waited_s=3.5, reason=None)
    written = json.loads(stream.getvalue())
    assert list(written) == ["time", "level", "event", "device", "waited_s", "reason"]
    assert (written["level"], written["event"], written["waited_s"]) == ("warning", "device lost", 3.5)
    assert written["time"].endswith("Z")


@given(st.text(), st.text())
def test_json_is_one_line_of_ascii_and_cannot_be_forged(event, value):
    stream, log = lines()
    log.info(event, device=value + HOSTILE, level="debug", time="never")
    text = stream.getvalue()
    assert text.isascii()
    assert text.count("\n") == 1
    assert all(character.isprintable() for character in text[:-1])
    assert json.loads(text)["device"] == value + HOSTILE
    assert json.loads(text)["level"] == "info"


@given(st.text(), st.text())
def test_a_terminal_is_given_nothing_to_obey(event, value):
    stream, log = lines(as_json=False)
    log.info(event, device=value + HOSTILE, more=[value, b"\x1b"])
    text = stream.getvalue()
    assert all(character.isprintable() for character in text[:-1])
    assert text[-1] == "\n"


def test_an_exception_on_a_terminal_obeys_too():
    stream, log = lines(as_json=False)
    try:
        int(HOSTILE)
    except ValueError:
        log.exception("bug")
    assert "\x1b" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_levels_below_the_threshold_are_silent():
    stream, log = lines(level="warning")
    log.info("polled")
    assert stream.getvalue() == ""


def test_libraries_speak_through_the_same_log_and_pymodbus_is_quiet():
    stream, _ = lines()
    logging.getLogger("some.library").warning("odd %s", "thing")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("pymodbus.logging").error("no response")
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["logger"]) for line in written] == [("odd thing", "some.library")]


def test_a_closed_stream_ends_nothing():
    stream, log = lines()
    stream.close()
    log.error("nobody hears")
    read, write = os.pipe()
    os.close(read)
    broken = os.fdopen(write, "w")
    logs.configure(stream=broken)
    structlog.get_logger().error("nobody hears")
    with pytest.raises(BrokenPipeError):
        broken.close()


def test_journald_is_told_the_level(tmp_path):
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
        try:
            logs.configure(stream=journal)
            structlog.get_logger().error("disk full")
            structlog.get_logger().info("disk well")
        finally:
            del os.environ["JOURNAL_STREAM"]
        journal.seek(0)
        first, second = journal.read().splitlines()
    assert first.startswith("<3>{")
    assert second.startswith("<6>{")


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colour_at_a_terminal_unless_it_is_refused(environment, is_coloured):
    program = "import structlog; from keeld import logs; logs.configure(); structlog.get_logger().info('started')"
    leader, follower = pty.openpty()
    variables = {"PATH": os.environ["PATH"], **environment}
    subprocess.run([sys.executable, "-c", program], stderr=follower, env=variables, check=True)
    os.close(follower)
    shown = os.read(leader, 4096).decode()
    os.close(leader)
    assert "started" in shown
    assert ("\x1b[" in shown) is is_coloured
