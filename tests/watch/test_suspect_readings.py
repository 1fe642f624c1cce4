"""Readings that cannot be believed: refused, doubted or noted, and always shown."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from keeld.budgets.source import HELD
from keeld.errors import Outage
from keeld.metrics import CURRENT, POWER, POWER_FACTOR, TEMPERATURE, VOLTAGE
from keeld.model import Batch, Device, Moment, Reading
from keeld.views import Verdict
from keeld.watch.validity import Validity

MINUTE = 60.0


@pytest.fixture
def small(kit):
    return kit.site(racks=2, miners=2)


def suspects(kit, drive, *, is_active=True):
    found = drive.watch.view(kit.at(drive.now_s)).suspects
    return [(each.device, each.check) for each in found if each.is_active is is_active]


def reason(kit, drive):
    return drive.watch.view(kit.at(drive.now_s)).suspects[0].reason


def rack(kit, drive, name="r01"):
    return next(view for view in drive.watch.view(kit.at(drive.now_s)).racks if view.rack.id == name)


def told(drive, rule="sensor_suspect"):
    return [move for _, move in drive.moves if move.rule == rule and move.notice is not None]


def noisy(kit, watts=10_000.0, *, noise=40.0, **others):
    """Loads with a little noise; `others` replaces the answers of some devices (dashes as underscores)."""
    dice = random.Random(7)

    def poll(device, at_s):
        special = others.get(device.id.replace("-", "_"))
        if special is not None:
            return special(at_s)
        if device.kind == "pdu":
            return kit.pdu(watts + dice.gauss(0.0, noise))
        return kit.steady(watts)(device, at_s)

    return poll


def electrical(watts, *, amperes=None, factor=0.98, volts=240.0):
    line = watts / 3 / volts / factor if amperes is None else amperes
    return (
        Reading(POWER, watts),
        Reading(POWER_FACTOR, factor),
        *(Reading(CURRENT, line, phase) for phase in ("L1", "L2", "L3")),
        *(Reading(VOLTAGE, volts, phase) for phase in ("L1", "L2", "L3")),
    )


def test_an_honest_site_has_no_suspects(kit, small):
    drive = kit.drive(small).run(40 * MINUTE, noisy(kit, 14_000.0))
    assert drive.watch.view(kit.at(drive.now_s)).suspects == ()
    assert told(drive) == []


def test_a_power_that_cannot_be_is_as_if_unmeasured_and_shown(kit, small):
    drive = kit.drive(small).run(5 * MINUTE, noisy(kit))
    drive.run(5 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: kit.pdu(6_553_500.0)))
    view = rack(kit, drive)
    assert suspects(kit, drive) == [("pdu-r01-a", "range")]
    assert "last of 6553500 W on a circuit of 43128 W" in reason(kit, drive)
    assert view.draw.hi < 100_000.0
    assert view.draw.coverage < 1.0
    assert view.draw.lost == ("pdu-r01-a",)
    assert told(drive, "rack_density_power") == []


def test_one_absurd_sample_reaches_no_mean(kit, small):
    drive = kit.drive(small).run(10 * MINUTE, noisy(kit))
    device = small.devices["pdu-r01-a"]
    drive.give(device, kit.pdu(6_553_500.0))
    drive.run(MINUTE, noisy(kit))
    assert rack(kit, drive).judgements[0].value.hi < 21_000.0


def test_a_real_overload_that_the_currents_confirm_is_believed(kit, small):
    """A breaker configured too small: 1.7 times its rating, and power and currents agree."""
    drive = kit.drive(small).run(5 * MINUTE, noisy(kit))
    drive.run(15 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: electrical(73_000.0)))
    assert suspects(kit, drive) == []
    assert rack(kit, drive).verdict is Verdict.OVER
    assert rack(kit, drive).draw.lo > 73_000.0
    assert "breaker_overload" in {move.rule for move in drive.pages}


def test_a_limit_that_was_agreed_refutes_no_meter(kit, small):
    """A site that draws twice its contract: its meter is right, and the contract broken."""
    meter = Device(id="main", site="s", kind="meter", driver="modbus", address="tcp://10.8.0.1:502", node="utility")
    power = {**small.power, "utility": replace(small.power["utility"], limit_watts=1e6)}
    site = replace(small, power=power, devices={**small.devices, "main": meter})
    drive = kit.drive(site).run(10 * MINUTE, noisy(kit, main=lambda at_s: (Reading(POWER, 2e6 + at_s % 9),)))
    assert suspects(kit, drive) == []
    node = next(view for view in drive.watch.view(kit.at(drive.now_s)).nodes if view.id == "utility")
    assert node.verdict is Verdict.OVER


def test_currents_are_believed_however_high_for_the_breaker(kit, small):
    drive = kit.drive(small).run(5 * MINUTE, noisy(kit))
    drive.run(2 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: kit.pdu(120_000.0)))
    assert "breaker_overload" in {move.rule for move in drive.pages}


def test_a_machine_far_over_its_nameplate_is_refused(kit, small):
    drive = kit.drive(small).run(3 * MINUTE, noisy(kit, m_01=lambda at_s: (Reading(POWER, 65_535.0),)))
    assert suspects(kit, drive) == [("m-01", "range")]
    assert rack(kit, drive, "r21").draw.hi <= 7_000.0


def test_power_that_contradicts_volts_and_amperes_is_doubted_and_its_excess_is_not(kit, small):
    drive = kit.drive(small).run(5 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: electrical(10_000.0)))
    assert suspects(kit, drive) == []
    drive.run(5 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: electrical(10_000.0, amperes=40.0)))
    view = rack(kit, drive)
    assert suspects(kit, drive) == [("pdu-r01-a", "identity")]
    assert view.draw.lo >= 19_800.0
    assert view.draw.hi == pytest.approx(10_000.0 + 3 * 240.0 * 40.0 * 0.98, rel=0.02)
    assert view.draw.coverage == 1.0


def test_power_and_current_of_different_polls_are_not_compared(kit, small):
    drive = kit.drive(small)
    device = small.devices["pdu-r01-a"]

    def swing(at_s):
        drive.give(device, electrical(20_000.0 if int(at_s / 10) % 2 else 5_000.0)[2:], age_s=4.0)
        return electrical(5_000.0 if int(at_s / 10) % 2 else 20_000.0)[:2]

    drive.run(10 * MINUTE, noisy(kit, pdu_r01_a=swing))
    assert [check for _, check in suspects(kit, drive) if check == "identity"] == []


def ramp(start, stop, begin_s, span_s):
    return lambda at_s: start + (stop - start) * min(1.0, max(0.0, (at_s - begin_s) / span_s))


def test_a_frozen_power_is_stuck_once_its_own_currents_have_moved(kit, small):
    amperes = ramp(20.0, 32.0, 12 * MINUTE, 4 * MINUTE)
    frozen = lambda at_s: electrical(14_000.0, amperes=amperes(at_s))[:1] + electrical(0.0, amperes=amperes(at_s))[2:5]  # noqa: E731 - short and used once
    drive = kit.drive(small).run(14 * MINUTE, noisy(kit, pdu_r01_a=frozen))
    before = rack(kit, drive).draw
    drive.run(3 * MINUTE, noisy(kit, pdu_r01_a=frozen))
    after = rack(kit, drive).draw
    assert suspects(kit, drive) == [("pdu-r01-a", "stuck")]
    assert after.hi > before.hi
    assert after.lo == pytest.approx(before.lo, rel=0.02)


def test_a_still_load_without_a_witness_is_not_stuck(kit, small):
    steady = lambda at_s: kit.pdu(14_000.0)  # noqa: E731 - short and used twice
    drive = kit.drive(small).run(60 * MINUTE, noisy(kit, noise=0.0, pdu_r01_a=steady, pdu_r01_b=steady))
    assert suspects(kit, drive) == []


def test_a_coarse_meter_at_22_amperes_is_not_stuck(kit, small):
    dice = random.Random(3)

    def coarse(at_s):
        watts = 15_500.0 + dice.gauss(0.0, 60.0)
        return (Reading(POWER, watts), *(Reading(CURRENT, 22.0, phase) for phase in ("L1", "L2", "L3")))

    drive = kit.drive(small).run(60 * MINUTE, noisy(kit, pdu_r01_a=coarse))
    assert suspects(kit, drive) == []


def test_a_frozen_agent_is_found_by_its_sibling(kit, small):
    other = ramp(10_000.0, 24_000.0, 12 * MINUTE, 4 * MINUTE)
    drive = kit.drive(small).run(
        18 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: kit.pdu(14_000.0), pdu_r01_b=lambda at_s: kit.pdu(other(at_s)))
    )
    assert ("pdu-r01-a", "stuck") in suspects(kit, drive)


def test_a_stuck_meter_that_moves_again_is_believed_at_once_and_stays_listed(kit, small):
    amperes = ramp(20.0, 32.0, 12 * MINUTE, 4 * MINUTE)
    frozen = lambda at_s: electrical(14_000.0, amperes=amperes(at_s))[:1] + electrical(0.0, amperes=amperes(at_s))[2:5]  # noqa: E731 - short and used once
    drive = kit.drive(small).run(18 * MINUTE, noisy(kit, pdu_r01_a=frozen))
    drive.run(2 * MINUTE, noisy(kit))
    assert suspects(kit, drive) == []
    assert ("pdu-r01-a", "stuck") in suspects(kit, drive, is_active=False)
    assert rack(kit, drive).draw.hi < 21_000.0
    drive.run(35 * MINUTE, noisy(kit))
    assert drive.watch.view(kit.at(drive.now_s)).suspects == ()


def test_a_spike_is_noted_and_a_step_is_not(kit, small):
    drive = kit.drive(small).run(5 * MINUTE, noisy(kit))
    drive.run(10.0, noisy(kit, pdu_r01_a=lambda at_s: kit.pdu(18_000.0)))
    drive.run(MINUTE, noisy(kit))
    assert suspects(kit, drive, is_active=False) == [("pdu-r01-a", "spike")]
    later = kit.drive(small).run(5 * MINUTE, noisy(kit)).run(5 * MINUTE, noisy(kit, 18_000.0))
    assert suspects(kit, later) == []


def test_what_stays_wrong_is_told_once_as_an_information_and_ends_by_itself(kit, small):
    drive = kit.drive(small).run(5 * MINUTE, noisy(kit))
    wrong = lambda at_s: electrical(10_000.0, amperes=40.0)  # noqa: E731 - short and used twice
    drive.run(30 * MINUTE, noisy(kit, pdu_r01_a=wrong, pdu_r02_a=wrong))
    first = told(drive)
    assert [(move.severity.value, move.notice.value) for move in first] == [("info", "trigger")]
    assert "volts and amperes make" in first[0].text
    right = lambda at_s: electrical(10_500.0 + at_s % 13)  # noqa: E731 - short and used twice
    drive.run(40 * MINUTE, noisy(kit, pdu_r01_a=right, pdu_r02_a=right))
    assert [move.ended for move in told(drive)[1:]] == ["resolved"]


def test_a_suspect_makes_nobody_blind(kit, small):
    drive = kit.drive(small).run(30 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: electrical(10_000.0, amperes=40.0)))
    assert not {"blind", "source_stale", "possible_breach", "rack_density_power"} & {
        move.rule for _, move in drive.moves
    }


def with_sensors(site, count=2):
    made = {
        f"t-{number}": Device(
            id=f"t-{number}", site="s", kind="sensor", driver="modbus", address=f"tcp://10.9.0.{number}:502", rack="r01"
        )
        for number in range(1, count + 1)
    }
    return replace(site, devices={**site.devices, **made})


def probes(kit, **celsius):
    base = noisy(kit)

    def poll(device, at_s):
        if device.kind != "sensor":
            return base(device, at_s)
        found = celsius.get(device.id.replace("-", "_"), lambda at_s: 22.0 + 0.1 * math.sin(at_s))(at_s)
        return (Reading(TEMPERATURE, found, "intake"),)

    return poll


def test_a_temperature_that_jumps_is_doubted_and_its_excess_is_not(kit, small):
    drive = kit.drive(with_sensors(small)).run(5 * MINUTE, probes(kit, t_1=lambda at_s: 31.0))
    drive.run(15.0, probes(kit, t_1=lambda at_s: 19.0))
    assert ("t-1", "rate") in suspects(kit, drive)
    source = drive.watch._state.topology.intakes["t-1"].sources[TEMPERATURE, "intake"]
    assert source.at(source.mono_ns, 1e9) == (19.0, 19.0, 31.0, HELD)


def test_a_temperature_that_stands_still_while_its_neighbour_moves_is_stuck(kit, small):
    warm = ramp(22.0, 30.0, 12 * MINUTE, 4 * MINUTE)
    drive = kit.drive(with_sensors(small)).run(17 * MINUTE, probes(kit, t_1=lambda at_s: 22.0, t_2=warm))
    assert suspects(kit, drive) == [("t-1", "stuck")]
    source = drive.watch._state.topology.intakes["t-1"].sources[TEMPERATURE, "intake"]
    assert source.at(source.mono_ns, 1e9).lo == 22.0
    assert source.at(source.mono_ns, 1e9).hi > 28.0


def test_a_cold_aisle_that_stands_still_is_not_stuck(kit, small):
    drive = kit.drive(with_sensors(small)).run(60 * MINUTE, probes(kit, t_1=lambda at_s: 22.0, t_2=lambda at_s: 21.5))
    assert suspects(kit, drive) == []


def two_corded(kit, a_watts, b_watts):
    return noisy(
        kit, pdu_r01_a=lambda at_s: kit.pdu(a_watts + at_s % 7), pdu_r01_b=lambda at_s: kit.pdu(b_watts + at_s % 9)
    )


def test_feeds_that_share_worse_than_70_to_30_for_half_an_hour_are_noted(kit, small):
    drive = kit.drive(small).run(25 * MINUTE, two_corded(kit, 16_000.0, 4_000.0))
    assert suspects(kit, drive) == []
    drive.run(15 * MINUTE, two_corded(kit, 16_000.0, 4_000.0))
    assert suspects(kit, drive) == [("pdu-r01-b", "split")]
    assert "feed b carries only 20 %" in reason(kit, drive)
    drive.run(10 * MINUTE, two_corded(kit, 12_000.0, 9_000.0))
    assert suspects(kit, drive) == []


def test_a_split_of_60_to_40_is_fine(kit, small):
    drive = kit.drive(small).run(60 * MINUTE, two_corded(kit, 12_000.0, 8_000.0))
    assert suspects(kit, drive) == []


def test_a_sender_whose_clock_is_ahead_is_noted(kit, small):
    drive = kit.drive(small)
    device, now = small.devices["gpu-r01"], kit.at(0.0)
    drive.watch.feed(Batch(device, now.wall_ns + 4_000_000_000, now.mono_ns, (Reading(POWER, 5_000.0),)), now)
    assert suspects(kit, drive) == [("gpu-r01", "clock")]
    later = Moment(now.wall_ns + 10_000_000_000, now.mono_ns + 10_000_000_000)
    drive.watch.feed(Batch(device, later.wall_ns, later.mono_ns, (Reading(POWER, 5_000.0),)), later)
    assert suspects(kit, drive) == []


def test_a_reload_keeps_what_is_doubted_and_drops_what_is_gone(kit, small):
    wrong = lambda at_s: electrical(10_000.0, amperes=40.0)  # noqa: E731 - short and used once
    drive = kit.drive(small).run(5 * MINUTE, noisy(kit, pdu_r01_a=wrong, pdu_r02_a=wrong))
    assert suspects(kit, drive) == [("pdu-r01-a", "identity"), ("pdu-r02-a", "identity")]
    kept = {name: device for name, device in small.devices.items() if name != "pdu-r02-a"}
    drive.watch.reload(replace(small, devices=kept), {}, kit.at(drive.now_s))
    assert suspects(kit, drive) == [("pdu-r01-a", "identity")]


def test_a_silent_device_stays_listed_and_is_judged_when_it_is_back(kit, small):
    drive = kit.drive(small).run(5 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: electrical(10_000.0, amperes=40.0)))
    drive.run(10 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: Outage.TIMEOUT))
    assert ("pdu-r01-a", "identity") in suspects(kit, drive)
    drive.run(3 * MINUTE, noisy(kit, pdu_r01_a=lambda at_s: electrical(10_000.0)))
    assert suspects(kit, drive) == []


def test_the_list_is_bounded(kit, small):
    duty = next(duty for duty in kit.drive(small).watch._state.duties if isinstance(duty, Validity))
    for number in range(5_000):
        duty.doubts.accuse(f"d-{number}", POWER, "", "range", "absurd", kit.at(0.0))
    assert len(duty.suspects) == 2_000
