from __future__ import annotations

import errno
import gzip
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keeld.errors import ConfigError
from keeld.health import Health
from keeld.spool import Lane, Limits, Spool
from keeld.spool.parcel import DamagedError, Ticket, frame, unframe

BIG = 6000


def open_spool(
    directory: Path, *sinks: str, now_s: float = 0.0, health: Health | None = None, **limits: float
) -> Spool:
    chosen = {"keep_free_bytes": 0, **limits}
    spool = Spool(directory, sinks or ("main",), limits=Limits(**chosen), health=health or Health())
    spool.open(now_s)
    return spool


def drain(spool: Spool, sink: str = "main", now_s: float = 0.0) -> list[bytes]:
    taken = []
    while (parcel := spool.take(sink)) is not None:
        taken.append(parcel.body)
        spool.confirm(sink, parcel, now_s=now_s)
    return taken


def waiting(directory: Path, sink: str = "main") -> list[Path]:
    return sorted((directory / sink / "queue").iterdir())


def test_live_goes_newest_first_and_a_backlog_oldest_first(tmp_path):
    spool = open_spool(tmp_path)
    for number in range(100):
        spool.append(b"%d" % number, 1, now_s=0.0)
    order = [int(body) for body in drain(spool)]
    assert order[0] == 99
    assert order[30:] == list(range(70))
    assert spool.tally("main").stored == 100


def test_a_parcel_given_back_comes_again_and_one_confirmed_never(tmp_path):
    spool = open_spool(tmp_path)
    spool.append(b"a", 1, now_s=0.0)
    parcel = spool.take("main")
    assert spool.take("main") is None
    spool.give_back("main", parcel)
    assert drain(spool) == [b"a"]
    assert drain(spool) == []


def test_the_linger_ends_only_when_the_sink_answers(tmp_path):
    spool = open_spool(tmp_path, linger_s=60)
    spool.append(b"a", 1, now_s=0.0)
    drain(spool, now_s=0.0)
    spool.tend(1e6)
    assert len(list((tmp_path / "main/sent").iterdir())) == 1
    spool.append(b"b", 1, now_s=1e6)
    drain(spool, now_s=1e6)
    assert [Ticket.parse(path.name).seq for path in (tmp_path / "main/sent").iterdir()] == [2]


def test_recall_sends_the_linger_again_without_counting_it_again(tmp_path):
    spool = open_spool(tmp_path)
    spool.append(b"a", 3, now_s=0.0)
    drain(spool)
    spool.recall("main")
    parcel = spool.take("main")
    assert (parcel.body, parcel.lane) == (b"a", Lane.RESEND)
    spool.confirm("main", parcel, now_s=0.0)
    assert spool.tally("main").stored == 3
    assert spool.tally("main").difference == 0


def test_sequence_numbers_are_not_used_twice(tmp_path):
    spool = open_spool(tmp_path)
    spool.append(b"a", 1, now_s=0.0)
    spool.confirm("main", spool.take("main"), now_s=0.0, refusals=[("no", b"a\n")])
    spool.close()
    shutil.rmtree(tmp_path / "main/sent")
    again = open_spool(tmp_path)
    again.append(b"b", 1, now_s=0.0)
    assert waiting(tmp_path)[0].name.startswith("00000000002-")
    again.close()


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "foreign", "header", "directory", "gone"])
def test_a_damaged_file_costs_its_own_parcel_and_no_more(tmp_path, damage):
    spool = open_spool(tmp_path)
    for number in range(20):
        spool.append(b"%d" % number * 40, 2, now_s=0.0)
    spool.close()
    victim = waiting(tmp_path)[7]
    data = bytearray(victim.read_bytes())
    if damage == "flip":
        data[50] ^= 4
    changed = {"flip": bytes(data), "truncate": bytes(data[:-9]), "empty": b"", "foreign": b"x" * 99, "header": b"KLDB"}
    health = Health()
    again = open_spool(tmp_path, health=health)
    victim.unlink()
    if damage == "directory":
        victim.mkdir()
    elif damage != "gone":
        victim.write_bytes(changed[damage])
    assert len(drain(again)) == 19
    assert again.tally("main").difference == 0
    assert health.points_evicted == {"damaged": 2}
    assert not victim.exists()
    again.close()


def test_files_that_are_no_parcels_are_set_aside_at_the_start(tmp_path):
    open_spool(tmp_path).close()
    (tmp_path / "main/queue/notes.txt").write_text("hello")
    (tmp_path / "main/queue/99999999999-9999999-99999.batch").write_text("too large a number")
    (tmp_path / "00000000009.tmp").write_text("torn")
    spool = open_spool(tmp_path)
    assert sorted(path.name for path in (tmp_path / "damaged").iterdir()) == [
        "99999999999-9999999-99999.batch",
        "notes.txt",
    ]
    assert not (tmp_path / "00000000009.tmp").exists()
    assert spool.tally("main").found == 0
    spool.close()


def test_the_byte_cap_drops_the_oldest_and_counts_every_line(tmp_path):
    health = Health()
    spool = open_spool(tmp_path, health=health, max_bytes=40 * 8192)
    for number in range(100):
        spool.append(b"%03d" % number + bytes(BIG), 10, now_s=0.0)
    assert spool.kept_bytes <= 40 * 8192
    assert sum(path.stat().st_size for path in waiting(tmp_path)) <= 40 * 8192
    assert sorted(int(body[:3]) for body in drain(spool)) == list(range(60, 100))
    assert health.points_evicted == {"bytes": 600}
    assert spool.tally("main").difference == 0


def test_what_was_confirmed_goes_before_what_waits(tmp_path):
    spool = open_spool(tmp_path, max_bytes=40 * 8192)
    for _ in range(20):
        spool.append(bytes(BIG), 1, now_s=0.0)
    drain(spool)
    for _ in range(40):
        spool.append(bytes(BIG), 1, now_s=0.0)
    assert spool.tally("main").evicted == {}
    assert list((tmp_path / "main/sent").iterdir()) == []


def test_the_age_cap_goes_by_elapsed_time(tmp_path):
    health = Health()
    spool = open_spool(tmp_path, health=health, max_age_s=3600)
    for hour in range(4):
        spool.append(b"%d" % hour, 5, now_s=hour * 3600.0)
    spool.tend(3.5 * 3600)
    assert health.points_evicted == {"age": 15}
    assert drain(spool) == [b"3"]


def test_a_clock_that_jumps_by_years_evicts_nothing(tmp_path):
    spool = open_spool(tmp_path, max_age_s=3600)
    for number in range(3):
        spool.append(b"%d" % number, 1, now_s=0.0)
    for path in waiting(tmp_path):
        os.utime(path, (1_000_000, 1_000_000))  # written, it seems, in 1970
    spool.close()
    again = open_spool(tmp_path, max_age_s=3600)
    again.tend(10.0)
    assert sorted(drain(again)) == [b"0", b"1", b"2"]
    again.close()


def test_the_space_that_is_to_stay_free_stays_free(tmp_path, monkeypatch):
    free = 100 * 4096
    monkeypatch.setattr("keeld.spool.files.free_bytes", lambda _: free - 8192 * len(waiting(tmp_path)))
    health = Health()
    spool = open_spool(tmp_path, health=health, keep_free_bytes=80 * 4096)
    for _ in range(50):
        spool.append(bytes(BIG), 1, now_s=0.0)
    assert len(waiting(tmp_path)) <= 10
    assert health.points_evicted["disk"] == 50 - len(waiting(tmp_path))
    assert spool.tally("main").difference == 0


@pytest.fixture
def failing_disk(monkeypatch) -> Iterator[dict[str, int | None]]:
    fault: dict[str, int | None] = {"errno": None}
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        if fault["errno"] is not None:
            raise OSError(fault["errno"], os.strerror(fault["errno"]))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    yield fault
    fault["errno"] = None


@pytest.mark.parametrize("reason", [errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_while_the_disk_takes_nothing_parcels_wait_in_memory_and_are_sent_from_there(tmp_path, failing_disk, reason):
    health = Health()
    spool = open_spool(tmp_path, health=health)
    failing_disk["errno"] = reason
    assert not any(spool.append(b"%d" % number, 1, now_s=0.0) for number in range(10))
    assert health.points_acknowledged == 0
    parcel = spool.take("main")
    assert parcel.body == b"9"
    spool.confirm("main", parcel, now_s=0.0)
    assert health.points_acknowledged == 1
    failing_disk["errno"] = None
    spool.tend(1.0)
    assert health.points_acknowledged == 10
    assert len(waiting(tmp_path)) == 9
    spool.close()
    again = open_spool(tmp_path)
    assert len(drain(again)) == 9
    again.close()


def test_the_ring_in_memory_has_a_bound_and_counts_what_it_drops(tmp_path, failing_disk):
    health = Health()
    spool = open_spool(tmp_path, "a", "b", health=health, memory_bytes=10_000)
    failing_disk["errno"] = errno.EIO
    for _ in range(30):
        spool.append(bytes(970), 2, now_s=0.0)
    assert health.points_evicted == {"memory": 2 * 2 * 20}
    assert spool.tally("a").difference == spool.tally("b").difference == 0
    failing_disk["errno"] = None
    spool.tend(0.0)
    assert health.points_acknowledged == 20


def test_a_full_disk_drops_the_oldest_and_heals(tmp_path):
    """A real, small file system where mounting is allowed."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("MOUNT REFUSED: a full disk is only simulated here")
    health = Health()
    try:
        spool = open_spool(small, health=health)
        ballast = small / "ballast"
        for number in range(400):
            spool.append(b"%03d" % number + random.Random(number).randbytes(BIG), 1, now_s=0.0)
        kept = len(waiting(small))
        assert health.points_acknowledged == 400
        assert 90 < kept < 130
        assert health.points_evicted == {"disk": 400 - kept}
        drain(spool)
        spool.close()
        shutil.rmtree(small / "main")
        ballast.write_bytes(bytes(os.statvfs(small).f_bavail * 4096 - 3 * 4096))
        spool = open_spool(small, health=health)
        assert not spool.append(bytes(5 * 4096), 1, now_s=0.0)
        ballast.unlink()
        spool.tend(0.0)
        assert len(waiting(small)) == 1
        assert spool.tally("main").difference == 0
        spool.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"spool cannot be used: .*; make it a directory"):
        open_spool(tmp_path / "file" / "spool")


def test_a_sink_that_was_renamed_is_told_of(tmp_path, capsys):
    spool = open_spool(tmp_path, "old")
    spool.append(b"a", 1, now_s=0.0)
    spool.close()
    open_spool(tmp_path, "new").close()
    assert "readings wait for a sink that is not configured" in capsys.readouterr().out


def test_a_sink_named_like_a_path_stays_inside(tmp_path):
    open_spool(tmp_path / "spool", "../../etc", "..", "Main DB").close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spool"]
    assert len([path for path in (tmp_path / "spool").iterdir() if path.is_dir()]) == 3


def test_a_large_backlog_starts_quickly_and_takes_little_memory(tmp_path):
    queue = tmp_path / "main/queue"
    queue.mkdir(parents=True)
    for seq in range(1, 52_001):
        os.close(os.open(queue / Ticket(seq, 5000, 47).name, os.O_CREAT | os.O_WRONLY))
    code = f"""
import resource, time
from pathlib import Path
from keeld.spool import Spool, Limits
from keeld.health import Health
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
spool = Spool(Path({str(tmp_path)!r}), ["main"], limits=Limits(max_bytes=20 << 30), health=Health())
spool.open(0.0)
print(time.perf_counter() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024, spool.kept_bytes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, megabytes, kept = map(float, done.stdout.split())
    assert kept > 9.9e9
    assert seconds < 2
    assert megabytes < 30


WRITER = """
import os, sys, gzip, itertools
from pathlib import Path
from keeld.spool import Spool, Limits
from keeld.health import Health
directory, first = Path(sys.argv[1]), int(sys.argv[2])
spool = Spool(directory, ["main", "other"], limits=Limits(keep_free_bytes=0, linger_s=0), health=Health())
spool.open(0.0)
os.write(1, b"ready\\n")
for number in itertools.count(first):
    assert spool.append(b"%d " % number * 2000, 1, now_s=0.0)
    os.write(1, b"A %d\\n" % number)
    if number % 7 == 0:
        parcel = spool.take("other")
        # said before it is done: a kill in between must not look like a loss
        os.write(1, b"C %d\\n" % int(parcel.body.split()[0]))
        spool.confirm("other", parcel, now_s=0.0)
"""


def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path):
    acknowledged: set[int] = set()
    confirmed: set[int] = set()
    luck = random.Random(7)
    for _ in range(20):
        first = max(acknowledged, default=0) + 1000
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(luck.uniform(0.005, 0.1))
            process.send_signal(signal.SIGKILL)
            for line in process.stdout.read().decode().splitlines():
                kind, _, number = line.partition(" ")
                (acknowledged if kind == "A" else confirmed).add(int(number))
    health = Health()
    spool = open_spool(tmp_path, "main", "other", health=health)
    found = {int(body.split()[0]) for body in drain(spool)}
    other = {int(body.split()[0]) for body in drain(spool, "other")}
    assert len(acknowledged) > 20  # on the slowest machine: more than one a life
    assert acknowledged - found == set()
    assert acknowledged - confirmed - other == set()
    assert not health.points_evicted
    assert not list(tmp_path.glob("*.tmp"))


@settings(max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
class SpoolMachine(RuleBasedStateMachine):
    """Every acknowledged parcel comes back, nothing else does, and damage costs one parcel each."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="keeld-spool-"))
        self.now_s = 0.0
        self.waiting: dict[int, bytes] = {}
        self.number = 0
        self.hand: list = []
        self.damaged = False
        self.spool = open_spool(self.directory, "main", "second")

    @rule(size=st.integers(0, 9000))
    def append(self, size: int) -> None:
        self.number += 1
        body = b"%d " % self.number + bytes(size)
        assert self.spool.append(body, 1 + size % 5, now_s=self.now_s)
        self.waiting[self.number] = body

    @rule(with_backlog=st.booleans())
    def take(self, *, with_backlog: bool) -> None:
        parcel = self.spool.take("main", with_backlog=with_backlog)
        if parcel is None:
            assert not with_backlog or not self.waiting or len(self.hand) == len(self.waiting)
            return
        if parcel.lane is Lane.RESEND:
            self.spool.confirm("main", parcel, now_s=self.now_s)
            return
        assert self.waiting[int(parcel.body.split()[0])] == parcel.body
        self.hand.append(parcel)

    @precondition(lambda self: self.hand)
    @rule(what=st.sampled_from(["confirm", "give_back", "postpone"]))
    def settle(self, what: str) -> None:
        parcel = self.hand.pop()
        if what == "confirm":
            self.spool.confirm("main", parcel, now_s=self.now_s)
            del self.waiting[int(parcel.body.split()[0])]
        else:
            getattr(self.spool, what)("main", parcel)

    @rule()
    def recall(self) -> None:
        self.spool.recall("main")

    @rule(elapsed_s=st.floats(0, 100))
    def tend(self, elapsed_s: float) -> None:
        self.now_s += elapsed_s
        self.spool.tend(self.now_s)

    @rule(torn=st.binary(max_size=40))
    def crash(self, torn: bytes) -> None:
        self.spool.close()
        (self.directory / "00000099999.tmp").write_bytes(torn)
        self.hand.clear()
        self.spool = open_spool(self.directory, "main", "second")

    @precondition(lambda self: not self.hand and self.waiting and not self.damaged)
    @rule(data=st.data())
    def flip_a_bit(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(waiting(self.directory)))
        content = bytearray(path.read_bytes())
        number = int(bytes(content[28:]).split()[0])
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(bytes(content))
        with pytest.raises(DamagedError):
            unframe(bytes(content), Ticket.parse(path.name).points)
        del self.waiting[number]
        self.damaged = True  # one at a time: a second flip could undo the first

    @invariant()
    def the_account_balances(self) -> None:
        for sink in ("main", "second"):
            assert self.spool.tally(sink).difference == 0

    def teardown(self) -> None:
        for parcel in self.hand:
            self.spool.give_back("main", parcel)
        bodies = []
        while (parcel := self.spool.take("main")) is not None:
            if parcel.lane is not Lane.RESEND:
                bodies.append(parcel.body)
            self.spool.confirm("main", parcel, now_s=self.now_s)
        assert sorted(bodies) == sorted(self.waiting.values())
        self.spool.close()
        shutil.rmtree(self.directory)


TestSpoolMachine = SpoolMachine.TestCase


def test_every_single_flipped_bit_is_noticed():
    framed = frame(gzip.compress(b"pdu up=1.0 1\n"), 1, created_ms=1)
    assert gzip.decompress(unframe(framed, 1)) == b"pdu up=1.0 1\n"
    for position in range(len(framed)):
        for bit in range(8):
            changed = bytearray(framed)
            changed[position] ^= 1 << bit
            with pytest.raises(DamagedError):
                unframe(bytes(changed), 1)


def test_the_header_is_as_documented():
    framed = frame(b"body", 7, created_ms=1234)
    assert struct.unpack_from("<4sHHIIIq", framed) == (
        b"KLDB",
        1,
        28,
        struct.unpack_from("<I", framed, 8)[0],
        7,
        4,
        1234,
    )
