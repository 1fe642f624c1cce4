from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld import config
from keeld.errors import ConfigError
from keeld.simulate.effects import NOTHING
from keeld.simulate.faults import Fault, FaultKind
from keeld.simulate.plant import Plant
from keeld.simulate.quantities import measure
from keeld.simulate.script import Cause, Incident, IncidentKind, PlannedFault, load, parse_fault, parse_incident
from keeld.simulate.timeline import Timeline, effects_of

DEMO = Path(__file__).parents[2] / "config" / "demo"


def read(tmp_path, site, text):
    path = tmp_path / "plant.yaml"
    path.write_text(text)
    return load(path, site)


def problems(tmp_path, site, text):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, site, text)
    assert all(problem.remedy for problem in error.value.problems)
    return [f"{problem.where}: {problem.wrong}".removeprefix(f"{tmp_path}/") for problem in error.value.problems]


def test_a_whole_script(tmp_path, quiet_site):
    script = read(
        tmp_path,
        quiet_site,
        """
seed: 9
step: 500ms
pace: {miner_boot: 5s}
old_firmware: [ant-3]
incidents:
  - {kind: miner-row-stop, target: m, start: 10s, duration: 1m, cause: pool}
faults:
  - {kind: delay, target: pdu-a, start: 0s, duration: 5s, amount: 0.5}
""",
    )
    assert (script.seed, script.step_s, script.pace.miner_boot_s, script.old_firmware) == (9, 0.5, 5, {"ant-3"})
    assert script.incidents == (
        Incident(kind=IncidentKind.MINER_ROW_STOP, target="m", start_s=10, duration_s=60, cause=Cause.POOL),
    )
    assert script.faults == (PlannedFault(fault=Fault(FaultKind.DELAY, 0.5), target="pdu-a", start_s=0, duration_s=5),)


def test_every_error_has_its_place_and_its_remedy(tmp_path, quiet_site):
    found = problems(
        tmp_path,
        quiet_site,
        """incidents:
  - {kind: feed-lost, target: g-a, start: 1s, duration: 1s}
  - {kind: feed-loss, target: g-a, begin: 1s, start: 1s, duration: 1s}
  - {kind: feed-loss, target: g-a, start: 1, duration: 1s, amount: 2}
sead: 3
""",
    )
    assert found == [
        "plant.yaml:2:12: `kind`: not known here",
        "plant.yaml:3:36: unknown key `begin`",
        "plant.yaml:4:43: `start`: '1' is no duration",
        "plant.yaml:4:68: `amount` must be at most 1",
        "plant.yaml:5:1: unknown key `sead`",
    ]


def test_targets_must_be_of_the_right_sort(tmp_path, quiet_site):
    found = problems(
        tmp_path,
        quiet_site,
        """incidents:
  - {kind: crah-failure, target: loop, start: 1s, duration: 1s}
  - {kind: gpu-ramp, target: g2, start: 1s, duration: 1s}
faults:
  - {kind: silence, target: pdu-c, start: 1s, duration: 1s}
  - {kind: drip, target: node, start: 1s, duration: 1s}
old_firmware: [what-1]
""",
    )
    assert found == [
        "plant.yaml:2:34: crah-failure: there is no air zone 'loop'",
        "plant.yaml:3:30: gpu-ramp: there is no rack or GPU node 'g2'",
        "plant.yaml:5:29: silence: there is no device 'pdu-c'",
        "plant.yaml:6:12: node is read by a worker and cannot do drip",
        "plant.yaml:7:16: there is no Antminer 'what-1'",
    ]


@pytest.mark.parametrize("text", ["", "- a", "incidents: 3", "incidents: [3]", "pace: x", "\0", "a: &a [*a]"])
def test_what_is_no_script_is_one_clear_error(tmp_path, quiet_site, text):
    assert problems(tmp_path, quiet_site, text)


def test_a_script_that_is_not_there(tmp_path, quiet_site):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml", quiet_site)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_a_request_is_an_incident_or_an_error(entry):
    site = config.load(DEMO / "keeld.yaml").site if not _CACHE else _CACHE[0]
    _CACHE[:] = [site]
    for parse in (parse_incident, parse_fault):
        with pytest.raises(ConfigError):
            parse(entry, site)


_CACHE: list = []


def test_what_is_active_when():
    early = Incident(kind=IncidentKind.FEED_LOSS, target="a", start_s=5, duration_s=10)
    late = Incident(kind=IncidentKind.FEED_LOSS, target="b", start_s=10, duration_s=10)
    fault = PlannedFault(fault=Fault(FaultKind.SILENCE), target="d", start_s=1, duration_s=2)
    timeline = Timeline([early, late], [fault])
    assert [timeline.incidents_at(t) for t in (4.9, 5, 10, 15, 20)] == [(), (early,), (early, late), (late,), ()]
    assert [timeline.faults_at(t) for t in (0.9, 1, 3)] == [{}, {"d": Fault(FaultKind.SILENCE)}, {}]
    timeline.clear("a")
    assert timeline.incidents_at(12) == (late,)
    timeline.clear()
    assert timeline.incidents_at(12) == ()


def incident(kind, target, **fields):
    return Incident(**({"kind": kind, "target": target, "start_s": 0, "duration_s": 1} | fields))


def test_effects_of_each_kind(quiet_site):
    effects = effects_of(
        [
            incident(IncidentKind.FEED_LOSS, "g-a"),
            incident(IncidentKind.GPU_RAMP, "g1", amount=0.9),
            incident(IncidentKind.CRAH_FAILURE, "hall", amount=0.5),
            incident(IncidentKind.CDU_FLOW_LOSS, "loop"),
            incident(IncidentKind.PDU_GATEWAY_SILENT, "meter"),
            incident(IncidentKind.MINER_ROW_STOP, "ant-1"),
            incident(IncidentKind.MINER_ROW_STOP, "ant-2", cause=Cause.NETWORK),
            incident(IncidentKind.MINER_ROW_STOP, "m1", cause=Cause.POOL),
            incident(IncidentKind.MINER_HALL_RESTART, "what-1"),
            incident(IncidentKind.SENSOR_STUCK, "pdu-a", metric="power_watts"),
            incident(IncidentKind.SENSOR_STUCK, "pdu-b"),
        ],
        quiet_site,
    )
    assert effects.dead_nodes == {"g-a"}
    assert effects.training_load == {"node": 0.9}
    assert (effects.failed_cooling, effects.lost_flow) == ({"hall": 0.5}, {"loop": 0.7})
    assert effects.silent == {"meter", "top", "ant-2"}
    assert effects.unpowered == {"ant-1", "what-1"}
    assert effects.poolless == {"ant-1", "ant-2", "ant-3", "what-1", "what-2"}
    assert effects.stuck == {"pdu-a": {"power_watts"}, "pdu-b": frozenset()}
    assert effects_of([], quiet_site) == NOTHING


def test_a_hall_restart_takes_all_miners_and_brings_them_back_together(quiet_site):
    plant = Plant(quiet_site)
    plant.effects = effects_of([incident(IncidentKind.MINER_HALL_RESTART, "bench")], quiet_site)
    plant.step(1)
    assert plant.taps["m1", "a"].power.watts == 0
    plant.effects = NOTHING
    for _ in range(400):
        plant.step(1)
    assert plant.taps["m1", "a"].power.watts == pytest.approx(0.96 * (3 * 3250 + 2 * 3400), rel=0.02)


def play(site, script, seconds):
    """Run the demo's script in simulated time; give what its meters show, second by second."""
    plant, timeline = Plant(site, seed=script.seed, pace=script.pace), Timeline(script.incidents, script.faults)
    shown = {rack: [] for rack in ("ai-1", "ai-2", "conv-1")}
    silent = []
    for _second in range(seconds):
        for _ in range(4):
            plant.effects = effects_of(timeline.incidents_at(plant.time_s), site)
            plant.step(0.25)
        for rack, watts in shown.items():
            pdus = [device for device in site.devices.values() if device.kind == "pdu" and device.rack == rack]
            watts.append(sum(measure(plant, pdu)["power_watts", ""] for pdu in pdus))
        silent.append({device.id for device in site.devices.values() if not plant.answers(device)})
    return shown, silent


def mean(values, first, last):
    return sum(values[first:last]) / (last - first)


def test_the_demo_in_simulated_time_passes_its_budgets_only_in_its_incidents():
    site = config.load(DEMO / "keeld.yaml").site
    script = load(DEMO / "plant.yaml", site)
    shown, silent = play(site, script, 130)
    power, air = site.racks["ai-1"].budget.power_watts, site.racks["ai-2"].budget.air_watts
    # far enough below 0.9 of the budget that the warning clears, with 3 % between
    assert mean(shown["ai-1"], 5, 25) < 0.9 * 0.97 * power
    assert mean(shown["ai-2"], 5, 40) < 0.9 * 0.97 * air
    assert mean(shown["ai-1"], 40, 75) > power
    assert mean(shown["ai-2"], 55, 90) > air
    assert mean(shown["ai-1"], 90, 130) < 0.9 * 0.97 * power
    assert mean(shown["ai-2"], 105, 130) < 0.9 * 0.97 * air
    assert max(shown["conv-1"]) < site.racks["conv-1"].budget.power_watts
    assert [second for second, names in enumerate(silent) if names] == list(range(15, 54))
    assert silent[20] == {"pdu-conv1-a"}


def test_the_demo_is_the_site_that_was_asked_for():
    site = config.load(DEMO / "keeld.yaml").site
    states = [rack.state for rack in site.racks.values()]
    assert (states.count("mining"), states.count("ai"), len(states)) == (2, 2, 6)
    kinds = [device.kind for device in site.devices.values()]
    assert (kinds.count("miner"), kinds.count("accelerator"), kinds.count("cooling")) == (120, 4, 2)
    assert {device.profile for device in site.devices.values()} >= {"raritan_px", "eastron_sdm630", "eaton_rpp"}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("sead: 3", "`seed`"),
        ("pace: {miner_boots: 3s}", "`miner_boot`"),
        ("faults: [{kind: silenc, target: pdu-a, start: 1s, duration: 1s}]", "silence"),
        ("faults: [{kind: silence, target: pdu-aa, start: 1s, duration: 1s}]", "`pdu-a`"),
    ],
)
def test_the_remedy_names_what_was_meant(tmp_path, quiet_site, text, remedy):
    (tmp_path / "plant.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "plant.yaml", quiet_site)
    assert remedy in error.value.problems[0].remedy
