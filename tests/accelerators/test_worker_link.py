"""The link against workers that misbehave: each is a few lines of Python in a real process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from keeld.errors import Outage, PollError
from keeld.links.worker import Patience, WorkerLink, worker_argv

GOOD = """
hello()
while True:
    q = ask()
    say(id=q["id"], read=q["read"], memory=q["memory"], pid=os.getpid())
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nhello()\nask()\ntime.sleep(60)\n"
QUICK = Patience(answer_s=1.5, opening_s=5.0, restart_least_s=0.05, restart_most_s=0.2, kill_after_s=0.3, leave_s=0.5)


@pytest.fixture
async def connect(script):
    links = []

    def start(body: str, patience: Patience = QUICK) -> WorkerLink:
        links.append(WorkerLink(script(body), "unused", patience))
        return links[-1]

    yield start
    for link in links:
        await link.close()


async def refused(link: WorkerLink) -> PollError:
    with pytest.raises(PollError) as caught:
        await link.ask("fast")
    return caught.value


def test_argv_of_addresses() -> None:
    assert worker_argv("local", "a.b") == [sys.executable, "-P", "-m", "a.b"]
    assert worker_argv("exec:ssh 'gpu 3' python3 -m x; rm", "a.b") == ["ssh", "gpu 3", "python3", "-m", "x;", "rm"]
    for wrong in ("", "exec", "exec:", "tcp://x", "exec:'open quote"):
        with pytest.raises(ValueError, match=r"exec|quotation"):
            worker_argv(wrong, "a.b")


async def test_one_process_answers_every_question(connect) -> None:
    link = connect(GOOD)
    answers = [await link.ask(group) for group in ("fast", "slow", "fast")]
    assert [answer["read"] for answer in answers] == ["fast", "slow", "fast"]
    assert {answer["pid"] for answer in answers} == {link.pid}


async def test_memory_goes_back_as_it_came_and_survives_the_process(connect) -> None:
    link = connect("hello()\nq = ask(); say(id=q['id'], memory={'n': (q['memory'] or {'n': 0})['n'] + 1})\n")
    assert (await link.ask("fast"))["memory"] == {"n": 1}
    await asyncio.sleep(0.2)
    assert (await refused(link)).outage is Outage.UNREACHABLE
    assert (await link.ask("fast"))["memory"] == {"n": 2}


async def test_a_cancelled_poll_never_gives_its_answer_to_the_next(connect) -> None:
    link = connect("hello()\nwhile True:\n    q = ask(); time.sleep(0.3); say(id=q['id'], read=q['read'])\n")
    await link.ask("once")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await link.ask("slow")
        answer = await link.ask("fast")
        assert answer["read"] == "fast"


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ("print('Traceback \\x1b[31m', flush=True)", "no answer: Traceback [31m"),
        ("sys.stdout.buffer.write(b'\\xff\\x00{{\\n'); sys.stdout.flush()", "no answer"),
        ("print('[]', flush=True)", "no answer"),
        ("say(id=99)", "nobody asked"),
        ("say(id=None)", "nobody asked"),
        ("say(refused='busy')", "nobody asked"),
        ("sys.stdout.write('x' * 3_000_000); sys.stdout.flush()", "longer than 1024 KiB"),
        ("say(id=1, more='x' * 3_000_000)", "1024 KiB"),
    ],
)
async def test_garbage_is_an_outage_and_a_new_process(connect, noise: str, words: str) -> None:
    link = connect(f"hello()\nask()\n{noise}\ntime.sleep(60)\n")
    error = await refused(link)
    assert error.outage is Outage.GARBLED
    assert words in error.detail
    assert "\x1b" not in error.detail
    await ended(link.pid)
    assert (await refused(link)).outage is Outage.GARBLED, "the next process is as bad"


async def test_endless_stderr_neither_blocks_nor_grows(connect) -> None:
    link = connect("hello()\nwhile True:\n    q = ask(); sys.stderr.write('e' * 500_000); say(id=q['id'])\n")
    for _ in range(5):
        await link.ask("fast")
    await asyncio.sleep(0.1)
    assert len(link._process._words) <= 2048


async def test_last_words_come_from_stderr_cleaned(connect) -> None:
    link = connect("sys.stderr.write('first\\nno \\x1b[1mlicence\\n'); sys.exit(9)\n")
    error = await refused(link)
    assert error.outage is Outage.UNREACHABLE
    assert error.detail == "worker ended with exit code 9: no [1mlicence"


@pytest.mark.parametrize(("said", "outage"), [("lost", Outage.LOST), ("made_up", Outage.DRIVER_DOWN)])
async def test_fatal_words_are_the_reason(connect, said: str, outage: Outage) -> None:
    link = connect(f"say(fatal={said!r}, detail='gone\\n' + 'x' * 999); sys.exit(3)\n")
    error = await refused(link)
    assert error.outage is outage
    assert error.detail.startswith("gone xxx")
    assert len(error.detail) <= 160


async def test_fatal_words_win_over_a_quick_exit(connect) -> None:
    link = connect("hello()\nask()\nsay(fatal='driver_down', detail='d'); os._exit(4)\n")
    for _ in range(3):
        assert (await refused(link)).outage is Outage.DRIVER_DOWN
        await asyncio.sleep(0.25)


async def test_fatal_words_without_an_end_are_followed_by_one(connect) -> None:
    link = connect(DEAF.replace("hello()", "say(fatal='lost', detail='d')"))
    assert (await refused(link)).outage is Outage.LOST
    pid = link.pid
    await ended(pid)


@pytest.mark.parametrize("address", ["exec:/nowhere/worker", "exec:/etc", "sideways", "exec:'"])
async def test_what_cannot_be_started_is_one_sentence(address: str) -> None:
    link = WorkerLink(address, "unused", QUICK)
    for _ in range(2):
        error = await refused(link)
        assert error.outage is Outage.UNREACHABLE
        assert error.detail.startswith("worker cannot be started: ")
    await link.close()


async def test_opening_is_busy_and_too_long_is_hung(connect) -> None:
    link = connect("time.sleep(60)\n", Patience(answer_s=0.2, opening_s=0.3, kill_after_s=5, restart_least_s=30))
    assert (await refused(link)).outage is Outage.BUSY
    for _ in range(2):
        error = await refused(link)
    assert error.outage is Outage.HUNG
    assert error.detail.endswith("the worker is being replaced")


async def test_a_worker_deaf_to_sigterm_is_killed_later_and_alone(connect) -> None:
    link = connect(DEAF, Patience(answer_s=0.1, misses=3, kill_after_s=0.6, restart_least_s=0.05, leave_s=0.1))
    while (await refused(link)).outage is Outage.BUSY:
        pass
    pid = link.pid
    assert pid is not None
    for _ in range(4):
        assert (await refused(link)).outage is Outage.HUNG
        assert link.pid == pid, "no second process beside one that does not die"
    await ended(pid)


async def test_restarts_wait_longer_each_time(connect) -> None:
    link = connect("sys.exit(1)\n", Patience(restart_least_s=100, restart_most_s=300))
    waits_s = []
    for _ in range(4):
        await refused(link)
        link._start_after_s = 0.0
        await refused(link)
        waits_s.append(link._start_after_s - time.monotonic())
        link._start_after_s = 0.0
    assert 75 < waits_s[0] <= 100
    assert waits_s[-1] > 200
    assert max(waits_s) <= 300


async def test_a_wrapper_takes_its_children_along(script) -> None:
    worker = script(GOOD).removeprefix("exec:")
    link = WorkerLink(f"exec:sh -c 'sleep 61 & exec {worker}'", "unused", QUICK)
    await link.ask("fast")
    leader = link.pid
    assert len(_group_members(leader)) == 2
    began = time.monotonic()
    await link.close()
    assert time.monotonic() - began < 1.6
    await asyncio.sleep(0.1)
    assert _group_members(leader) == []


async def test_close_is_bounded_polite_and_repeatable(connect) -> None:
    link = connect(GOOD)
    await link.ask("fast")
    pid = link.pid
    await link.close()
    await link.close()
    assert not is_alive(pid)
    assert (await link.ask("fast"))["pid"] != pid, "a closed link starts again when asked"


async def test_close_ends_a_hung_worker_in_time(connect) -> None:
    link = connect(DEAF)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await link.ask("fast")
    pid, began = link.pid, time.monotonic()
    await link.close()
    assert time.monotonic() - began < 1.6
    assert not is_alive(pid)


async def test_the_daemons_own_variables_are_withheld(connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/keeld")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    link = connect("hello()\nq = ask(); say(id=q['id'], names=list(os.environ))\ntime.sleep(60)\n")
    names = (await link.ask("fast"))["names"]
    assert "PATH" in names
    assert not {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"} & set(names)


async def test_a_stopped_process_hangs_and_is_replaced(connect) -> None:
    link = connect(GOOD, Patience(answer_s=0.3, misses=2, kill_after_s=0.2, restart_least_s=0.05, leave_s=0.2))
    first = await asked_until_answered(link)
    os.kill(first, signal.SIGSTOP)
    assert (await refused(link)).outage is Outage.HUNG
    assert await asked_until_answered(link) != first


async def asked_until_answered(link: WorkerLink) -> int:
    end = time.monotonic() + 5
    while True:
        try:
            return (await link.ask("fast"))["pid"]
        except PollError:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


async def ended(pid: int | None) -> None:
    assert pid is not None
    end = time.monotonic() + 3
    while is_alive(pid) and time.monotonic() < end:  # noqa: ASYNC110 - the kernel sends no event for it
        await asyncio.sleep(0.02)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _group_members(leader: int | None) -> list[str]:
    members = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[2] == str(leader) and fields[0] != "Z":
            members.append(status.parent.name)
    return members
