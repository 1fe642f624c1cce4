"""The real worker with the real nvidia-ml-py, on a fake driver that the dynamic linker finds."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keeld.errors import Outage
from keeld.links.worker import Patience
from keeld.model import Group

pytestmark = pytest.mark.engine("gcc")


async def test_every_fast_value_of_an_h100(driver, attach) -> None:
    driver.h100s(1)
    values = await attach().values()
    assert values == {
        "up/gpu/0": 1,
        "power_watts/gpu/0": 629.45,
        "power_limit_watts/gpu/0": 700,
        "temperature_celsius/gpu/0": 59,
        "temperature_celsius/gpu/0/memory": 77,
        "temperature_margin_celsius/gpu/0": 26,
        "throttle_power_seconds/gpu/0": 12.5,
        "throttle_thermal_seconds/gpu/0": 4,
        "throttle_brake_seconds/gpu/0": 0,
        "utilisation_ratio/gpu/0": 0.97,
        "clock_hertz/gpu/0": 1.755e9,
        "accelerators_found": 1,
    }


async def test_every_slow_value_of_an_h100(driver, attach) -> None:
    driver.h100s(1)
    driver.gpu(0, links_up=17)
    assert await attach().values(Group.SLOW) == {
        "up/gpu/0": 1,
        "energy_watt_hours/gpu/0": 2000,
        "ecc_corrected_errors/gpu/0": 12,
        "ecc_uncorrected_errors/gpu/0": 2,
        "rows_remap_pending/gpu/0": 0,
        "rows_remap_failed/gpu/0": 0,
        "recovery_action/gpu/0": 0,
        "pcie_replays/gpu/0": 9,
        "pcie_width_lanes/gpu/0": 16,
        "links_up/gpu/0": 17,
        "memory_used_bytes/gpu/0": 70 << 30,
        "accelerators_found": 1,
    }


async def test_what_a_gpu_says_of_itself_is_cleaned(driver, attach) -> None:
    driver.h100s(1)
    driver.gpu(0, name="Evil\x1b[31m GPU", vbios="\xff\xfe")
    info = dict((await attach().poll(Group.ONCE)).info)
    assert info["driver"] == "570.86.10"
    assert info["gpu/0 model"] == "Evil [31m GPU"
    assert info["gpu/0 serial"] == "1650000"
    assert info["gpu/0 power"] == "average over 1 s"
    assert "\x1b" not in str(info)


async def test_a_poor_profile_leaves_out_what_it_cannot_tell(driver, attach) -> None:
    driver.change(count=1)
    driver.gpu(0, bus=1, name="NVIDIA GeForce RTX 2080 SUPER", temp=41, util=0, clock=300, fans=2, fan=33, f186=21740)
    host = attach()
    assert await host.values() == {
        "up/gpu/0": 1,
        "power_watts/gpu/0": 21.74,
        "temperature_celsius/gpu/0": 41,
        "utilisation_ratio/gpu/0": 0,
        "clock_hertz/gpu/0": 3e8,
        "accelerators_found": 1,
    }
    slow = await host.values(Group.SLOW)
    assert slow == {
        "up/gpu/0": 1,
        "fan_duty_ratio/gpu/0/fan/0": 0.33,
        "fan_duty_ratio/gpu/0/fan/1": 0.34,
        "accelerators_found": 1,
    }


async def test_an_old_driver_is_read_by_its_old_calls(driver, attach) -> None:
    driver.build("-DOLD_DRIVER")
    driver.change(count=1)
    driver.gpu(0, bus=1, temp=70, memory=1 << 30, power=250000, limit=300000, f75=2_000_000_000)
    host = attach()
    fast = await host.values()
    assert fast["power_watts/gpu/0"] == 250
    assert fast["power_limit_watts/gpu/0"] == 300
    assert fast["temperature_celsius/gpu/0"] == 70
    assert fast["throttle_thermal_seconds/gpu/0"] == 2
    assert (await host.values(Group.SLOW))["memory_used_bytes/gpu/0"] == (1 << 30) + (1 << 20)


async def test_a_call_spoiled_by_one_unknown_field_is_made_field_by_field(driver, attach) -> None:
    driver.h100s(1)
    driver.gpu(0, batch=2, e271=2)
    values = await attach().values()
    assert values["power_watts/gpu/0"] == 629.45
    assert "throttle_brake_seconds/gpu/0" not in values


async def test_mig_leaves_utilisation_and_remap_out(driver, attach) -> None:
    driver.h100s(1)
    driver.drop("0.util", "0.f144", "0.f145")
    host = attach()
    assert "utilisation_ratio/gpu/0" not in await host.values()
    slow = await host.values(Group.SLOW)
    assert not any(name.startswith("rows_remap") for name in slow)
    driver.gpu(0, util=50)
    assert "utilisation_ratio/gpu/0" not in await host.values(), "asked again before it may have changed"
    await host.poll(Group.ONCE)
    assert (await host.values())["utilisation_ratio/gpu/0"] == 0.5


async def test_a_module_is_kept_apart_from_its_gpu(driver, attach) -> None:
    driver.h100s(1)
    driver.gpu(0, **{"f185.1": 812000, "f186.1": 830000})
    values = await attach().values()
    assert values["power_watts/gpu/0"] == 629.45
    assert values["power_watts/module/0"] == 812


async def test_union_members_follow_the_type(driver, attach) -> None:
    driver.h100s(1)
    driver.gpu(0, t185=0, f185="640500.5", t82=5, f82=-3, t190=99)
    values = await attach().values()
    assert values["power_watts/gpu/0"] == 640.5005
    assert values["temperature_celsius/gpu/0/memory"] == -3
    assert "power_limit_watts/gpu/0" not in values


async def test_one_field_that_fails_now_is_absent_now(driver, attach) -> None:
    driver.h100s(1)
    host = attach()
    await host.poll()
    driver.gpu(0, e185=999, e269=999)
    values = await host.values()
    assert "power_watts/gpu/0" not in values, "another source would be another quantity"
    assert "throttle_thermal_seconds/gpu/0" not in values, "half a sum would look like a reset"
    driver.gpu(0, e185=0, e269=0)
    assert (await host.values())["power_watts/gpu/0"] == 629.45


async def test_a_counter_that_starts_again_is_passed_on(driver, attach) -> None:
    driver.h100s(1)
    host = attach()
    assert (await host.values(Group.SLOW))["energy_watt_hours/gpu/0"] == 2000
    driver.gpu(0, f83=3_600_000)
    assert (await host.values(Group.SLOW))["energy_watt_hours/gpu/0"] == 1


@pytest.mark.parametrize(
    ("code", "outage"), [(15, Outage.LOST), (16, Outage.LOST), (8, Outage.UNIT_DOWN), (28, Outage.LOST)]
)
async def test_one_gpu_that_fails_leaves_the_others(driver, attach, code: int, outage: Outage) -> None:
    driver.h100s(3)
    host = attach()
    assert (await host.poll()).outage is None
    driver.gpu(1, err=code)
    answer = await host.poll()
    assert answer.outage is Outage.PARTIAL
    assert answer.detail.startswith("1 of 3 GPUs failed: gpu/1 (")
    values = {f"{r.metric.name}/{r.part}": r.value for r in answer.readings}
    assert values["up/gpu/1"] == 0
    assert values["outage_reason/gpu/1"] == outage.code
    assert values["power_watts/gpu/0"] == values["power_watts/gpu/2"] == 629.45
    assert "power_watts/gpu/1" not in values
    driver.gpu(1, err=0)
    assert (await host.poll()).outage is None


async def test_a_gpu_that_refuses_everything_is_not_up(driver, attach) -> None:
    driver.h100s(2)
    host = attach()
    await host.poll()
    driver.gpu(1, err=999)
    answer = await host.poll()
    assert answer.detail == "1 of 2 GPUs failed: gpu/1 (Unknown Error)"
    driver.gpu(1, err=0)
    assert (await host.poll()).outage is None


async def test_a_gpu_that_cannot_be_opened_keeps_its_place(driver, attach) -> None:
    driver.h100s(3)
    driver.gpu(1, open=8)
    driver.gpu(2, f185=111000)
    host = attach()
    values = await host.values()
    assert values["up/gpu/1"] == 0
    assert values["outage_reason/gpu/1"] == Outage.UNIT_DOWN.code
    assert values["power_watts/gpu/2"] == 111
    driver.gpu(1, open=0)
    assert (await host.poll(Group.SLOW)).outage is None


async def test_rank_follows_the_pci_address_not_the_index(driver, attach) -> None:
    driver.h100s(2)
    driver.gpu(0, bus=0x90, f185=900000)
    driver.gpu(1, bus=0x10, f185=100000)
    values = await attach().values()
    assert values["power_watts/gpu/0"] == 100
    assert values["power_watts/gpu/1"] == 900


async def test_a_gpu_that_vanishes_from_the_list_moves_no_other(driver, attach) -> None:
    driver.h100s(3)
    host = attach()
    await host.poll()
    driver.gpu(0, bus=0x18, f185=100000)
    driver.gpu(1, bus=0x1A, f185=300000)
    driver.change(count=2)
    for _ in range(2):
        values = await host.values()
        assert values["accelerators_found"] == 2
        assert values["up/gpu/1"] == 0
        assert values["power_watts/gpu/2"] == 300
        os.kill(host.link.pid, signal.SIGKILL)  # the next worker has to learn it from the link
        await asyncio.sleep(0.1)
        await host.recovered()


async def test_all_gpus_lost_is_an_outage_and_a_new_process(driver, attach) -> None:
    driver.h100s(2)
    host = attach()
    await host.poll()
    first = host.link.pid
    driver.gpu(0, err=15)
    driver.gpu(1, err=15)
    lost = await host.outage()
    assert lost.outage is Outage.LOST
    assert lost.detail == "2 of 2 GPUs failed: gpu/0 (GPU is lost), gpu/1 (GPU is lost)"
    driver.gpu(0, open=15)
    driver.gpu(1, open=15)
    assert (await host.outage(Group.SLOW)).outage is Outage.LOST
    driver.gpu(0, err=0, open=0)
    driver.gpu(1, err=0, open=0)
    assert (await host.recovered()).outage is None
    assert host.link.pid != first


async def test_no_gpu_is_an_outage(driver, attach) -> None:
    driver.change(count=0)
    assert (await attach().outage()).outage is Outage.LOST


@pytest.mark.parametrize(
    ("code", "words"), [(12, "was not found"), (9, "not loaded"), (18, "differ in version"), (999, "Unknown Error")]
)
async def test_a_driver_that_is_down_is_named_and_heals(driver, attach, code: int, words: str) -> None:
    driver.h100s(1)
    driver.change(init=code)
    host = attach()
    error = await host.outage()
    assert error.outage is Outage.DRIVER_DOWN
    assert words in error.detail
    driver.change(init=0)
    assert (await host.recovered()).outage is None


async def test_a_driver_that_goes_while_running_is_an_outage_and_heals(driver, attach) -> None:
    driver.h100s(1)
    host = attach()
    await host.poll()
    driver.change(err=1)
    assert (await host.outage()).outage is Outage.DRIVER_DOWN
    driver.change(err=0)
    assert (await host.recovered()).outage is None


async def test_no_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attach) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    error = await attach().outage()
    assert error.outage is Outage.DRIVER_DOWN
    assert "libnvidia-ml.so.1 was not found" in error.detail


async def test_a_replaced_library_is_seen_by_the_next_process_only(driver, attach) -> None:
    driver.h100s(1)
    host = attach()
    assert dict((await host.poll(Group.ONCE)).info)["driver"] == "570.86.10"
    driver.build('-DDRIVER_VERSION="580.1"')
    assert dict((await host.poll(Group.ONCE)).info)["driver"] == "570.86.10"
    driver.change(err=18)
    error = await host.outage()
    assert "differ in version" in error.detail
    driver.change(err=0)
    assert dict((await host.recovered(Group.ONCE)).info)["driver"] == "580.1"


async def test_a_hung_call_is_an_outage_and_leaves_the_loop_alone(driver, attach) -> None:
    driver.h100s(2)
    host = attach(patience=Patience(answer_s=0.3, restart_least_s=0.05, kill_after_s=5.0, leave_s=0.05))
    await _ready(host)
    pid = host.link.pid
    driver.gpu(1, hang_ms=60_000)
    ticks, ticking = [], True

    async def tick() -> None:
        while ticking:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    task = asyncio.create_task(tick())
    for _ in range(3):
        assert (await host.outage()).outage is Outage.HUNG
    ticking = False
    await task
    assert max(later - earlier for earlier, later in itertools.pairwise(ticks)) < 0.2
    driver.gpu(1, hang_ms=0)
    assert (await host.recovered()).outage is None
    assert host.link.pid != pid
    assert not is_alive(pid)


async def test_a_slow_call_answers_late_and_the_late_answer_is_thrown_away(driver, attach) -> None:
    driver.h100s(1)
    host = attach(patience=Patience(answer_s=0.4, misses=9, leave_s=0.05))
    await _ready(host)
    pid = host.link.pid
    driver.gpu(0, hang_ms=250)  # about six calls a poll
    assert (await host.outage()).outage is Outage.HUNG
    driver.gpu(0, hang_ms=0, f185=123000)
    answer = await host.recovered()
    assert [r.value for r in answer.readings if r.metric.name == "power_watts"] == [123]
    assert host.link.pid == pid


async def test_an_xid_is_told_once_with_the_gravest_first(driver, attach) -> None:
    driver.h100s(2)
    host = attach()
    assert "xid/gpu/1" not in await host.values()
    driver.change(xids=3, xid1="1 79", xid2="1 31", xid3="0 13")
    await asyncio.sleep(0.2)
    values = await host.values()
    assert values["xid/gpu/1"] == 79
    assert values["xid/gpu/0"] == 13
    assert not any(name.startswith("xid") for name in await host.values())


async def test_an_xid_in_an_answer_that_never_arrived_is_told_again(driver, attach) -> None:
    driver.h100s(1)
    host = attach(patience=Patience(answer_s=0.4, misses=9, leave_s=0.05))
    await _ready(host)
    driver.change(xids=1, xid1="0 48", **{"0.hang_ms": 60})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await host.poll()
    driver.gpu(0, hang_ms=0)
    await asyncio.sleep(0.8)
    assert (await host.values())["xid/gpu/0"] == 48


async def test_a_lost_gpu_still_tells_its_xid(driver, attach) -> None:
    driver.h100s(2)
    host = attach()
    await host.poll()
    driver.change(xids=1, xid1="0 79", **{"0.err": 15})
    await asyncio.sleep(0.2)
    answer = await host.poll()
    assert answer.detail == "1 of 2 GPUs failed: gpu/0 (GPU is lost, XID 79)"
    assert [r.value for r in answer.readings if r.metric.name == "xid"] == [79]


async def test_identity_is_checked(driver, attach) -> None:
    driver.h100s(2)
    assert (await attach(serial="1650001").poll()).outage is None
    assert (await attach(serial="GPU-0000").poll()).outage is None
    assert (await attach(serial="1650009").outage()).outage is Outage.IDENTITY


async def test_kill_9_is_one_outage_and_heals(driver, attach) -> None:
    driver.h100s(1)
    host = attach()
    await host.poll()
    os.kill(host.link.pid, signal.SIGKILL)
    await asyncio.sleep(0.2)
    error = await host.outage()
    assert (error.outage, error.detail) == (Outage.UNREACHABLE, "worker was ended from outside by SIGKILL")
    assert (await host.poll()).outage is None


PARENT = """
import subprocess, sys, time
argv = [sys.executable, "-P", "-m", "keeld.workers.nvml"]
worker = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
worker.stdin.write(b'{"id": 1, "read": "fast"}\\n'); worker.stdin.flush()
print(worker.pid, worker.stdout.readline(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("hang_ms", [0, 60_000])
def test_a_worker_does_not_outlive_its_parent(driver, hang_ms: int) -> None:
    driver.h100s(1)
    driver.gpu(0, hang_ms=0)
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    driver.gpu(0, hang_ms=hang_ms)
    parent.kill()
    parent.wait(5)
    parent.stdout.close()
    _wait_until(lambda: not is_alive(pid), within_s=5)


def test_it_starts_fast_and_small(driver) -> None:
    driver.h100s(8)
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "keeld.workers.nvml"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdin is not None
        assert worker.stdout.readline() == b'{"id":0}\n'
        took_s = time.monotonic() - began
        status = Path(f"/proc/{worker.pid}/status").read_text()
        maps = Path(f"/proc/{worker.pid}/maps").read_text()
        worker.stdin.close()
        assert worker.wait(5) == 0
    rss_kb = int(status.split("VmRSS:")[1].split()[0])
    assert rss_kb < 40_000
    assert "pydantic" not in maps
    assert took_s < 1.5, "far above the usual 0.1 s, for a busy machine"


def test_a_request_that_is_none_is_refused_and_changes_nothing(driver) -> None:
    driver.h100s(1)
    odd = b'{"id": 2, "read": "fast", "memory": {"buses": [7, "x"], "seen": "y"}}'
    lines = b'nonsense\n[1]\n{"id": 1, "read": "write"}\n' + odd + b"\n"
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "keeld.workers.nvml"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(lines)
        worker.stdin.flush()
        said = [worker.stdout.readline() for _ in range(5)]
        worker.terminate()
        assert worker.wait(5) == 0
    assert sum(b"refused" in line for line in said) == 3
    assert sum(b'"id":2,"read":"fast"' in line and b"629450" in line for line in said) == 1


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def _ready(host) -> None:
    await host.recovered()
    await host.poll(Group.FAST)


def _wait_until(holds: Callable[[], bool], *, within_s: float) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
