"""Meters that show more, or less, than their machines report and lose."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keeld.budgets.validity import LEARN_S
from keeld.errors import Outage
from keeld.metrics import POWER, POWER_ESTIMATE
from keeld.model import Device, Reading
from keeld.watch.mismatch import MeterMismatch

MINUTE = 60.0
LEARNT = {"mismatch/bands": json.dumps({"r01": [0.94, 0.01, LEARN_S], "gone": [0.9, 0.0, 5.0]}).encode()}


@pytest.fixture
def metered(kit):
    """One rack whose machine reports its own power."""
    site = kit.site(racks=1, miners=0)
    machine = Device(
        id="gpu-r01", site="s", kind="server", driver="redfish", address="g", rack="r01", nameplate_watts=33_000.0
    )
    return replace(site, devices={**site.devices, "gpu-r01": machine})


def answers(kit, pdu_watts, machine_watts, metric=POWER):
    def poll(device, at_s):
        return (
            kit.pdu(pdu_watts / 2 + at_s % 5) if device.kind == "pdu" else (Reading(metric, machine_watts + at_s % 3),)
        )

    return poll


def told(drive):
    return [move for _, move in drive.moves if move.rule == "meter_mismatch" and move.notice is not None]


def learnt(kit, site):
    drive = kit.drive(site)
    drive.watch.recall(LEARNT, kit.at(0.0))
    return drive


def band(drive):
    duty = next(duty for duty in drive.watch._state.duties if isinstance(duty, MeterMismatch))
    return duty._comparisons["r01"].band


def test_load_that_is_not_in_the_configuration_is_told_with_its_size(kit, metered):
    drive = learnt(kit, metered).run(30 * MINUTE, answers(kit, 20_000.0, 15_400.0))
    assert [(move.target_id, move.severity.value) for move in told(drive)] == [("r01", "info")]
    assert "machines that are not in the configuration" in told(drive)[0].text
    assert "The meters show 20.00 kW where 16.38 kW would be usual" in told(drive)[0].text


def test_machines_beyond_their_meter_are_a_wrong_mapping_or_scale(kit, metered):
    drive = learnt(kit, metered).run(30 * MINUTE, answers(kit, 12_000.0, 15_400.0))
    assert "machines that hang elsewhere, or a wrong scale" in told(drive)[0].text


def test_within_the_tolerance_nothing_is_said(kit, metered):
    assert told(learnt(kit, metered).run(60 * MINUTE, answers(kit, 16_900.0, 15_400.0))) == []


def test_before_a_week_nothing_is_said(kit, metered):
    drive = kit.drive(metered).run(60 * MINUTE, answers(kit, 20_000.0, 15_400.0))
    assert told(drive) == []
    assert 0.0 < band(drive).learnt_s < 3600.0


@pytest.mark.parametrize("poll", ["estimated", "silent", "idle"])
def test_what_is_not_measured_is_never_compared(kit, metered, poll):
    found = {
        "estimated": answers(kit, 20_000.0, 15_400.0, POWER_ESTIMATE),
        "silent": lambda device, at_s: kit.pdu(10_000.0) if device.kind == "pdu" else Outage.TIMEOUT,
        "idle": answers(kit, 3_000.0, 1_000.0),
    }[poll]
    drive = learnt(kit, metered).run(60 * MINUTE, found)
    assert told(drive) == []
    assert band(drive).learnt_s == LEARN_S


def test_a_mismatch_is_not_learnt_away(kit, metered):
    drive = learnt(kit, metered).run(8 * 60 * MINUTE, answers(kit, 20_000.0, 15_400.0))
    assert band(drive).mean == pytest.approx(0.94, abs=1e-3)


def test_what_was_learnt_survives_a_restart_and_a_reload(kit, metered):
    drive = learnt(kit, metered).run(10 * MINUTE, answers(kit, 16_400.0, 15_400.0))
    note = drive.watch.memory()["mismatch/bands"]
    mean, _, seconds = json.loads(note)["r01"]
    assert mean == pytest.approx(0.94, abs=0.001)
    assert seconds == LEARN_S
    drive.watch.reload(metered, {}, kit.at(drive.now_s))
    assert band(drive).is_learnt
    more = replace(metered.devices["gpu-r01"], id="gpu-2", address="h")
    drive.watch.reload(replace(metered, devices={**metered.devices, "gpu-2": more}), {}, kit.at(drive.now_s))
    assert not band(drive).is_learnt


@pytest.mark.parametrize(
    "note",
    [b"", b"{", b"[]", b'{"r01": 1}', b'{"r01": [1, 2]}', b'{"r01": ["a", 0, 0]}', b'{"r01": [NaN, 0, 0]}',
     b'{"r01": [Infinity, 0, 0]}', b'{"r01": [0.9, -1, 0]}', b'{"r01": [0.9, 0, 1e300]}', b'{"r01": [true, 0, 0]}'],
)  # fmt: skip
def test_a_note_that_makes_no_sense_is_left_out(kit, metered, note):
    drive = kit.drive(metered)
    drive.watch.recall({"mismatch/bands": note}, kit.at(0.0))
    assert band(drive).learnt_s == 0.0


def test_an_end_comes_with_agreement(kit, metered):
    drive = learnt(kit, metered).run(30 * MINUTE, answers(kit, 20_000.0, 15_400.0))
    drive.run(60 * MINUTE, answers(kit, 16_400.0, 15_400.0))
    assert [move.ended for move in told(drive)[1:]] == ["resolved"]
