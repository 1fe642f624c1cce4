"""What a device said last, and whether that was an outage."""

from __future__ import annotations

import dataclasses

from keeld.errors import Outage
from keeld.live import Live
from keeld.metrics import ENERGY, POWER
from keeld.model import OWN_DRIVER, Batch, Device, Group, Reading

DEVICE = Device(id="d", site="s", kind="pdu", driver="fake", address="a")
GOOD = Batch(DEVICE, 1, 10, (Reading(POWER, 5.0),))


def test_the_last_readings_stay_beside_a_later_outage() -> None:
    live = Live([DEVICE])
    live.record(GOOD)
    live.record(Batch(DEVICE, 2, 20, outage=Outage.TIMEOUT))

    latest = live.latest["d"]
    assert latest.is_out
    assert latest.batches[Group.FAST].readings == GOOD.readings
    assert latest.batches[Group.FAST].mono_ns == GOOD.mono_ns
    live.record(dataclasses.replace(GOOD, mono_ns=30))
    assert not live.latest["d"].is_out


def test_groups_and_info_are_kept_apart() -> None:
    live = Live([DEVICE])
    live.record(GOOD)
    live.record(Batch(DEVICE, 1, 11, (Reading(ENERGY, 7.0),), group=Group.SLOW))
    live.record(Batch(DEVICE, 1, 12, group=Group.ONCE, info=(("model", "PX3"),)))

    assert set(live.latest["d"].batches) == {Group.FAST, Group.SLOW}
    assert live.latest["d"].info == {"model": "PX3"}


def test_strangers_and_keelds_own_batches_are_not_kept() -> None:
    live = Live([DEVICE])
    live.record(dataclasses.replace(GOOD, device=dataclasses.replace(DEVICE, id="x")))
    live.record(dataclasses.replace(GOOD, device=dataclasses.replace(DEVICE, driver=OWN_DRIVER)))

    assert set(live.latest) == {"d"}
    assert live.latest["d"].batches == {}


def test_a_device_that_was_changed_starts_anew() -> None:
    live = Live([DEVICE])
    live.record(GOOD)
    live.replace([DEVICE])
    assert live.latest["d"].batches

    live.replace([dataclasses.replace(DEVICE, address="b")])
    assert live.latest["d"].batches == {}


def test_devices_of_a_kind_share_what_their_numbers_are() -> None:
    other = dataclasses.replace(DEVICE, id="e")
    live = Live([DEVICE, other])
    live.record(GOOD)
    live.record(dataclasses.replace(GOOD, device=other, readings=(Reading(POWER, 7.0),)))

    first, second = (live.latest[name].batches[Group.FAST] for name in ("d", "e"))
    assert first.columns is second.columns
    assert (first.readings, second.readings) == ((Reading(POWER, 5.0),), (Reading(POWER, 7.0),))
