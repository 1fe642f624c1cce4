"""A full disk: alarms and readings go on, each part says so once, and all of it heals when there is room again."""

import errno
import itertools
import subprocess
import threading
import time
from pathlib import Path

import pytest

_IN_PRIVATE = ("unshare", "--map-root-user", "--mount", "sh", "-c")
ENDS = {
    "history cannot be written": "history is written again",
    "spool cannot be written, readings wait in memory": "spool is written again",
    "state not on disk": "state on disk again",
}
"""What each part says of a disk that refuses it, and of one that takes it again."""
_MOUNT = 'mount -t tmpfs -o size=8m keeld "$1" && shift && exec "$@"'


@pytest.fixture(scope="module", autouse=True)
def private_mounts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    tried = subprocess.run([*_IN_PRIVATE, _MOUNT, "sh", str(folder), "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"THIS MACHINE ALLOWS NO PRIVATE MOUNT, so no disk can be filled: {tried.stderr.decode().strip()}")


class Filler:
    """Takes every byte of a disk that is free or becomes so, until told to give all of it back."""

    def __init__(self, path):
        self._path = path
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._fill)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join(10)
        self._path.unlink()

    def _fill(self):
        with self._path.open("ab", buffering=0) as file:
            sizes = itertools.cycle((1 << 16, 1 << 12, 1))
            size = next(sizes)
            while not self._is_over.is_set():
                try:
                    file.write(bytes(size))
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017 - anything else ends the thread and the test
                    size = next(sizes)
                    time.sleep(0.001)


@pytest.mark.slow
def test_full_disk(site, start, hook, sink, wait, tmp_path, keeld_command):
    disk = tmp_path / "disk"
    disk.mkdir()
    text = site.config.replace(f"{site.directory}/data", str(disk)).replace("keep_free: 1MiB", "keep_free: 0B")
    daemon = start(
        site,
        text=text,
        program=(*_IN_PRIVATE, _MOUNT, "sh", str(disk), *keeld_command),
        influx=[{"name": "points", "url": sink.url, "bucket": "keeld"}],
        notify=[{"kind": "webhook", "name": "hook", "url": hook.url}],
    )
    wait(daemon.is_whole, 20, "every device answers")
    seen_from_outside = Path(f"/proc/{daemon.pid}/root{disk}")
    assert (seen_from_outside / "state.db").exists()
    time.sleep(1)

    before = len(daemon.lines())
    with Filler(seen_from_outside / "filler"):
        began_ms = time.time_ns() // 1_000_000
        site.incident("g1-a", "feed-loss")
        wait(lambda: hook.told("feed_dead") == ["trigger"], 30, "the alarm goes out although it cannot be kept")
        wait(lambda: sink.times_ms("m1-1")[-1] > began_ms + 3000, 20, "readings arrive although they cannot be kept")
        time.sleep(3)
    site.clear()
    daemon.wait_for("history is written again", 20)
    said = [line["event"] for line in daemon.lines()[before:] if line["event"] != "alarm moved"]
    assert "history cannot be written" in said
    for trouble, end in ENDS.items():
        assert said.count(trouble) <= 1
        if trouble in said:
            daemon.wait_for(end, 20)
    assert set(said) <= {*ENDS, *ENDS.values(), "device lost", "device back", "oldest readings dropped"}
    assert daemon.stop() == 0
