from __future__ import annotations

import pytest

from keeld.errors import Outage
from keeld.metrics import ENERGY, POWER
from keeld.model import Batch, Group, RackBudget, Reading

MEAN_WATTS = 7_500.0


def swing(at_s):
    """Polls fall mostly on the peaks of this load: they show 9 kW or 6 kW in turn and 9 kW more often."""
    return 9_000.0 if int(at_s / 10) % 4 else 6_000.0


class Counting:
    """PDUs that show power by the poll and energy once a minute, in steps of `step` Wh."""

    def __init__(self, kit, *, step=1.0, watts=MEAN_WATTS, level=swing):
        self.kit, self.step, self.watts, self.level = kit, step, watts, level
        site = kit.site(racks=1, miners=0, budget=RackBudget(power_watts=16_000.0))
        self.drive = kit.drive(site)
        self.energy = 1_234_000.0
        self.counts = True

    def run(self, minutes, poll=None):
        for minute in range(minutes):
            if self.counts:
                self.give()
            self.drive.run(60, poll or self.poll)
            self.energy += self.watts / 60 + minute * 2 % 5 - 2  # no load is the same in every minute
        return self

    def poll(self, device, at_s):
        return (Reading(POWER, self.level(at_s)),) if device.kind == "pdu" else None

    def give(self):
        now = self.kit.at(self.drive.now_s)
        shown = self.energy // self.step * self.step
        for device in self.drive.site.devices.values():
            if device.kind == "pdu":
                readings = (Reading(ENERGY, shown),)
                batch = Batch(device, now.wall_ns, now.mono_ns, readings, group=Group.SLOW, interval_s=60.0)
                self.drive.watch.feed(batch, now)

    def power(self):
        (view,) = self.drive.watch.view(self.kit.at(self.drive.now_s)).racks
        (judged,) = (item for item in view.judgements if item.constraint == "power")
        return judged.value


def test_a_swinging_load_is_told_by_the_counter(kit):
    value = Counting(kit).run(20).power()
    assert value.best == pytest.approx(2 * MEAN_WATTS, rel=0.001)
    assert value.lo < 2 * MEAN_WATTS < value.hi
    assert value.provenance == "energy counter of pdu-r01-a+pdu-r01-b"


def test_no_page_for_a_budget_that_only_the_spot_readings_exceed(kit):
    counting = Counting(kit).run(60)
    assert [page.rule for page in counting.drive.pages if page.severity == "critical"] == []


def test_a_page_for_a_budget_that_the_spot_readings_miss(kit):
    counting = Counting(kit, watts=8_600.0, level=lambda at_s: 7_600.0 if int(at_s / 10) % 3 else 8_000.0)
    counting.run(40)
    assert "rack_density_power" in [page.rule for page in counting.drive.pages]


def test_a_steady_load_is_told_by_its_readings(kit):
    value = Counting(kit, watts=9_000.0, level=lambda _: 9_000.0).run(20).power()
    assert "energy counter" not in value.provenance


def test_a_coarse_counter_is_left_alone(kit):
    assert "energy counter" not in Counting(kit, step=1000.0).run(30).power().provenance


def test_a_counter_that_is_scaled_wrongly_is_not_believed(kit):
    assert "energy counter" not in Counting(kit, watts=MEAN_WATTS / 10).run(30).power().provenance


def test_a_reset_ends_the_mean_until_there_is_a_new_one(kit):
    counting = Counting(kit).run(20)
    counting.energy = 0.0
    counting.run(1)
    assert "energy counter" not in counting.power().provenance
    assert "energy counter" in counting.run(8).power().provenance


def test_a_counter_that_falls_silent_tells_nothing_any_more(kit):
    counting = Counting(kit).run(20)
    counting.counts = False
    assert "energy counter" not in counting.run(3).power().provenance


def test_a_dead_meter_tells_nothing_any_more(kit):
    counting = Counting(kit).run(20)
    counting.counts = False
    counting.run(3, lambda device, _: Outage.TIMEOUT if device.kind == "pdu" else None)
    assert "energy counter" not in counting.power().provenance


def test_a_reload_keeps_what_was_counted(kit):
    counting = Counting(kit).run(20)
    counting.drive.watch.reload(counting.drive.site, {}, kit.at(counting.drive.now_s))
    counting.run(2)
    assert "energy counter" in counting.power().provenance
