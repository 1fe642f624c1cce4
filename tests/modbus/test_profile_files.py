"""What a user's own profile may say, and what it is told when it is wrong: a place, a fault, a remedy; no traceback."""

import json
import os
import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeld import profiles
from keeld.errors import ConfigError
from keeld.model import Group
from keeld.profiles.model import Type, Verified

GOOD = """\
title: a meter
kind: meter
points:
  - {metric: power_watts, address: 2, type: u32, unit: W}
"""


@pytest.fixture
def load(tmp_path):
    def write(text, name="own.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return profiles.load(str(path))

    return write


def problems(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.problems
    return [str(problem).replace(problem.where.rsplit(":", 2)[0], "own.yaml") for problem in caught.value.problems]


def point(more):
    return GOOD.replace("unit: W}", f"unit: W, {more}}}")


def test_every_profile_that_ships_loads_and_says_where_it_is_from():
    assert {
        "raritan_px",
        "eastron_sdm630",
        "schneider_iem3000",
        "carlo_gavazzi_em340",
        "apc_inrow_sc",
        "vertiv_icom",
        "meta_orv3_rpu",
        "eaton_rpp",
    } <= set(profiles.names())
    for name in profiles.names():
        profile = profiles.load(name)
        assert profile.name == name
        assert profile.sources
        assert not profile.link_powered
        assert profile is profiles.load(name)


def test_a_users_file_is_a_profile_and_is_read_again_when_it_changes(load, tmp_path):
    assert load(GOOD).points[0].address == 2
    assert load(GOOD.replace("address: 2", "address: 40")).points[0].address == 40
    assert profiles.load(str(tmp_path / "own.yaml")).name == "own"


def test_everything_a_profile_may_say(load):
    profile = load(
        """\
title: everything
kind: pdu
vendor: V
models: [M]
revision: r
firmware: f
verified: lab
sources: [s]
notes: [n]
link_powered: true
link: {tid_check: off, unit_check: ignore, connect_delay_ms: 100, inter_request_ms: 50, close_after_poll: true}
limits: {max_registers: 60, max_gap: 4, one_request_per_point: true, readable: {3: [[0, 300]], 4: [[0, 10]]}}
defaults: {function: 3, word_order: little, byte_order: little, sentinels: {u16: [0xFFFF], f32: [0x7FC00000]}}
identify: [{address: 0, one_of: [1, 2]}, {address: 1, range: [1, 9], optional: true}]
info: [{key: model, address: 4, type: string, length: 8, string_location: low}]
points:
  - {metric: power_watts, address: 20, unit: kW, scale: 0.1, offset: 1, sentinels: [0x8000],
     saturates: 60000, role: total_power}
  - {metric: power_watts, address: 21, unit: W, alternative: true}
  - {metric: voltage_volts, part: L1-L2, address: 22, unit: V, scale_pow2: -6, valid: [0, 1000], require_nonzero: true}
  - {metric: current_amperes, part: L1, address: 23, unit: mA, scale_register: {address: 24}, group: slow}
  - {metric: energy_watt_hours, address: 26, type: u32, unit: kWh, rollover: 1000000, group: once, verified: none}
  - {metric: breaker_state, address: 30, type: bit, bit: 3, states: {0: open, 1: closed}, doc_number: "40031"}
  - {metric: leak_state, address: 31, type: flags, length: 2, flags: [{bits: [17], state: wet}], clear: dry}
  - {metric: feed_state, part: inlet/1, address: 5, type: bit, function: 1, states: {0: dead, 1: energised}}
  - {metric: temperature_celsius, part: intake, address: 1, function: 4, type: i16, unit: degF, word_order: big}
repeats:
  - count: 3
    address_stride: 2
    unit_map: [0, 4, 9]
    points:
      - {metric: current_amperes, part: "outlet/{n}", address: 40, unit: A, optional: true,
         scale_register: {address: 41}}
"""
    )
    by_name = {f"{p.metric.name}/{p.part}": p for p in profile.points}
    power = profile.points[0]
    assert (power.numerator, power.denominator, power.offset, power.saturates) == (100.0, 1.0, 1000.0, 60000)
    assert power.sentinels == {0xFFFF, 0x8000}
    assert profile.points[1].alternative
    assert by_name["voltage_volts/L1-L2"].denominator == 64.0
    assert by_name["current_amperes/L1"].scale_address == 24
    assert by_name["current_amperes/L1"].group is Group.SLOW
    assert by_name["energy_watt_hours/"].rollover == 1e9
    assert by_name["energy_watt_hours/"].verified is Verified.NONE
    assert by_name["breaker_state/"].states == {0: 0, 1: 1}
    assert by_name["leak_state/"].flags == ((1 << 17, 1),)
    assert (by_name["feed_state/inlet/1"].function, by_name["feed_state/inlet/1"].type) == (1, Type.BIT)
    outlets = [by_name[f"current_amperes/outlet/{n}"] for n in (1, 2, 3)]
    assert [(p.address, p.scale_address, p.unit_offset) for p in outlets] == [(40, 41, 0), (42, 43, 4), (44, 45, 9)]
    assert by_name["temperature_celsius/intake"].little_words is False
    assert power.little_words
    assert profile.link_powered
    assert not profile.manners.check_transaction
    assert profile.manners.connect_delay_s == 0.1
    assert profile.proofs[0].accepted == {1, 2}
    assert profile.facts[0].string_half == "low"


WRONG = [
    (
        "metric: power_watts",
        "metric: power_wats",
        "own.yaml:4:14",
        "no metric `power_wats`; did you mean `power_watts`",
    ),
    ("unit: W", "unit: degF", "own.yaml:4:56", "`degF` is no unit of power_watts; one of mW, W, kW"),
    (", unit: W", "", "own.yaml:4:5", "`unit` is missing for power_watts"),
    ("address: 2", "adress: 2", "own.yaml:4:27", "unknown key `adress`; did you mean `address`"),
    ("address: 2", "address: 65536", "own.yaml:4:36", "`address`: "),
    ("address: 2", "address: 65535", "own.yaml:4:36", "ends behind the last register"),
    ("address: 2", "address: '2'", "own.yaml:4:36", "`address`: "),
    ("address: 2", "address: 2.5", "own.yaml:4:36", "`address`: "),
    ("address: 2", "address: .inf", "own.yaml", "`address`: "),
    ("type: u32", "type: u23", "own.yaml:4:45", "`type`: "),
    ("kind: meter", "kind: metre", "own.yaml:2:7", "`kind`: "),
    ("title: a meter\n", "", "own.yaml:1:1", "`title` is missing"),
    ("kind: meter", "kind: meter\nlink_powerd: true", "own.yaml:3:1", "did you mean `link_powered`"),
    ("kind: meter", "kind: meter\nlink_powered: yes", "own.yaml:3:15", "`link_powered`: "),
    ("kind: meter", "kind: meter\nkind: pdu", "own.yaml:3:1", "`kind` stands here twice"),
    ("kind: meter", "kind: meter\nlimits: {max_registers: 1}", "own.yaml:3:25", "longer than one request may be"),
    (
        "kind: meter",
        "kind: meter\nlimits: {readable: {3: [[0, 2]]}}",
        "own.yaml:3:20",
        "outside of every readable range",
    ),
    ("kind: meter", "kind: meter\nlimits: {readable: {3: [[9, 2]]}}", "own.yaml:3:25", "range ends at 2"),
    ("kind: meter", "kind: meter\nlimits: {readable: {6: [[0, 9]]}}", "own.yaml:3:", "`6`: Input should be"),
]


@pytest.mark.parametrize(("old", "new", "where", "says"), WRONG)
def test_a_mistake_is_shown_where_it_stands(load, old, new, where, says):
    assert old in GOOD
    found = problems(load, GOOD.replace(old, new))
    assert any(line.startswith(where) and says in line for line in found), found


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("function: 6", "`function`: "),
        ("scale: 0", "zero makes every value zero"),
        ("scale: 2, scale_pow2: 3", "exclude each other"),
        ("scale: .nan", "scale"),
        ("scale: 1e400", "no finite number"),
        ("valid: [10, 1]", "lowest value is not below"),
        ("valid: [1]", "`valid` has too few values"),
        ("sentinels: [0x1FFFFFFFF]", "does not fit type u32"),
        ("sentinels: [-1]", "`sentinels`: "),
        ("rollover: 100", "is no counter"),
        ("states: {0: dry}", "has no states"),
        ("clear: dry", "has no states"),
        ("length: 2", "has its own length"),
        ("bit: 3", "belong together"),
        ("part: 'L 1'", "`part`: "),
        ("part: 'outlet/{n}'", "stands outside of a repeat"),
        ("function: 1", "reads single bits"),
        ("group: never", "`group`: "),
        ("role: boss", "`role`: "),
        ("unit_offset: 300", "`unit_offset`: "),
        ("word_order: middle", "`word_order`: "),
    ],
)
def test_a_point_that_makes_no_sense_is_explained(load, more, says):
    assert any(says in line for line in problems(load, point(more)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{metric: leak_state, address: 1}", "write either `states:` or `flags:`"),
        ("{metric: leak_state, address: 1, states: {0: dyr}}", "`dyr` is no state of leak_state; one of dry, wet"),
        ("{metric: leak_state, address: 1, states: {a: dry}}", "no register value"),
        (
            "{metric: leak_state, address: 1, type: flags, flags: [{bits: [16], state: wet}], clear: dry}",
            "outside of 16",
        ),
        ("{metric: leak_state, address: 1, type: flags, flags: [{bits: [1], state: wet}]}", "nothing is no state"),
        ("{metric: leak_state, address: 1, flags: [{bits: [1], state: wet}], clear: dry}", "needs type flags"),
        ("{metric: leak_state, address: 1, states: {0: dry}, require_nonzero: true}", "its zero has a meaning"),
        ("{metric: power_watts, address: 1, type: string, length: 2, unit: W}", "text is no reading"),
        ("{metric: power_watts, address: 1, type: flags, unit: W}", "is for states"),
        ("{metric: power_watts, address: 1, unit: W, group: slow}", "no point is in group fast"),
    ],
)
def test_states_and_texts_that_make_no_sense_are_explained(load, text, says):
    assert any(says in line for line in problems(load, f"title: t\nkind: pdu\npoints:\n  - {text}\n"))


def test_two_points_may_not_claim_one_reading_nor_one_role(load):
    twice = GOOD + "  - {metric: power_watts, address: 8, unit: W}\n"
    assert any("power_watts stands here twice" in line for line in problems(load, twice))
    roles = point("role: total_power") + "  - {metric: power_watts, part: a, address: 8, unit: W, role: total_power}\n"
    assert any("role total_power is given to" in line for line in problems(load, roles))


def test_all_mistakes_are_told_at_once(load):
    text = (
        GOOD + "  - {metric: voltage_vots, address: 8, unit: V}\n  - {metric: current_amperes, address: 9, unit: V}\n"
    )
    assert len(problems(load, text)) == 2


@pytest.mark.parametrize(
    ("repeat", "says"),
    [
        ("points: [{metric: power_watts, part: 'o/{n}', address: 1, unit: W}]", "either `count` or `count_register`"),
        (
            "count: 9\n    unit_map: [1]\n    points: [{metric: power_watts, part: 'o/{n}', address: 1, unit: W}]",
            "1 units",
        ),
        (
            "count: 2\n    address_stride: 1\n    points: [{metric: power_watts, part: o, address: 8, unit: W}]",
            "stands here twice",
        ),
        (
            (
                "count: 500\n    address_stride: 200\n"
                "    points: [{metric: power_watts, part: 'o/{n}', address: 1, unit: W}]"
            ),
            "behind the last register",
        ),
        ("count: 0\n    points: [{metric: power_watts, part: 'o/{n}', address: 1, unit: W}]", "`count`: "),
        ("count: 2\n    points: [{metric: power_watts, part: 'o/{n}', address: 8, unit: W}]", "the same registers"),
        (
            "count: 2\n    unit_map: [4, 4]\n    points: [{metric: power_watts, part: 'o/{n}', address: 8, unit: W}]",
            "the same registers",
        ),
        (
            (
                "count: 2\n    address_stride: 1\n"
                "    points: [{metric: power_watts, part: 'o/{n}', address: 8, type: f32, unit: W}]"
            ),
            "a value of 2 registers reaches into the next repeat, 1 further",
        ),
        (
            (
                "count: 2\n    first: 99999999999999999999\n    unit_stride: 1\n"
                "    points: [{metric: power_watts, part: 'o/{n}', address: 8, unit: W}]"
            ),
            "`first`: ",
        ),
    ],
)
def test_repeats_that_make_no_sense_are_explained(load, repeat, says):
    assert any(says in line for line in problems(load, f"{GOOD}repeats:\n  - {repeat}\n"))


def test_repeats_that_differ_by_unit_may_read_the_same_addresses(load):
    points = "points: [{metric: power_watts, part: 'o/{n}', address: 8, type: f32, unit: W}]"
    profile = load(f"{GOOD}repeats:\n  - count: 3\n    unit_stride: 1\n    {points}\n")
    assert [(point.part, point.unit_offset) for point in profile.points[1:]] == [("o/1", 0), ("o/2", 1), ("o/3", 2)]


def test_more_points_than_any_device_has_are_refused_before_they_are_laid_out(load):
    one = "{metric: power_watts, part: 'p%d/{n}', address: 8, unit: W}"
    repeat = "  - {count: 512, unit_stride: 1, points: [" + ", ".join(one % number for number in range(10)) + "]}\n"
    started_s = time.process_time()
    found = problems(load, GOOD + "repeats:\n" + repeat * 100)
    assert found == [found[0]]
    assert "512001 points are more than 4096" in found[0]
    assert time.process_time() - started_s < 2  # it was 20 s and 400 MB


@pytest.mark.parametrize("metric", ["up", "outage_reason", "coverage_ratio", "power_hi_watts", "headroom_watts"])
def test_what_keeld_concludes_cannot_come_from_a_register(load, metric):
    assert f"{metric} is what keeld concludes" in problems(load, GOOD.replace("power_watts", metric))[0]


@pytest.mark.parametrize(
    ("proof", "says"),
    [
        ("pattern: '('", "not a regular expression"),
        ("pattern: '(a+)+b'", "none behind a group"),
        ("pattern: '(a|aa)*b'", "none behind a group"),
        ("pattern: '.*a.*b.*c.*d'", "a pattern may have 3"),
        ("range: [5, 1]", "the lowest value is above the highest"),
    ],
)
def test_no_identity_can_be_asked_with_a_proof_that_never_ends_or_never_holds(load, proof, says):
    found = problems(load, GOOD + f"identify: [{{address: 1, type: string, length: 2, {proof}}}]\n")
    assert any(says in line for line in found)


@pytest.mark.parametrize("pattern", ["PX[23]-[0-9]{4}.*", r"\(c\)\+\+\*\*", "(EM330|EM340)(-D)?", "[*+{)]x", ""])
def test_plain_patterns_are_taken(load, pattern):
    proof = f"identify: [{{address: 1, type: string, length: 2, pattern: '{pattern}'}}]\n"
    assert load(GOOD + proof).proofs[0].pattern == pattern


def test_a_text_is_compared_as_text(load):
    proofs = load(GOOD + "identify: [{address: 1, type: string, length: 2, one_of: [12, EM]}]\n").proofs
    assert proofs[0].accepted == {"12", "EM"}


NINEFOLD = b"".join(b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % (name - 1)] * 9)) for name in b"bcdefgh")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"[1, 2]",
        b"just text",
        b"42",
        b"a: [",
        b"a: b: c",
        b"\x00",
        b"title: \xff\xfe",
        "title: ä".encode("utf-16"),
        b"title: !!python/object/apply:os.system [id]",
        b"title: !!int '3'",
        b"? [a, b]\n: c",
        b"a: &x [*x]",
        b"a: &a [1,1,1,1,1,1,1,1,1]\n" + NINEFOLD,
        b"a: " + b"[" * 5000,
        b"a: " + b"{b: " * 100 + b"1" + b"}" * 100,
        b"a: *nobody",
        b"--- a\n--- b\n",
        b"<<: {title: x}\n",
        b"title: 99999999999999999999999999999999999999999999\n",
        b"points: [{address: 99999999999999999999999999999999999999999999}]",
        b"x" * (2 << 20),
        b'title: "\\ud800"\n',
        b"\xef\xbb\xbftitle: only a title\n",
        b"title: t\nkind: pdu\npoints: [null]\n",
        b"title: t\nkind: pdu\npoints: {a: 1}\n",
        b"title: t\nkind: pdu\npoints: []\n",
    ],
)
def test_what_is_no_profile_is_said_in_one_line_each(load, content):
    with pytest.raises(ConfigError) as caught:
        load(content)
    assert all("\n" not in str(problem) and "Traceback" not in str(problem) for problem in caught.value.problems)
    assert all(problem.where.startswith("/") and problem.wrong for problem in caught.value.problems)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "own.yaml")
    with pytest.raises(ConfigError, match="this is no file"):
        profiles.load(str(tmp_path / "own.yaml"))


def test_a_profile_that_is_not_there_is_said(tmp_path):
    for name in (
        str(tmp_path),
        str(tmp_path / "no.yaml"),
        "nope",
        "raritan",
        "../x",
        "",
        "a\0b.yaml",
        "x" * 5000 + ".yaml",
    ):
        with pytest.raises(ConfigError) as caught:
            profiles.load(name)
        assert len(caught.value.problems) == 1
    with pytest.raises(ConfigError, match="did you mean `raritan_px`"):
        profiles.load("raritan_xp")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="this is no file"):
        profiles.load(str(tmp_path / "folder.yaml"))


words = st.sampled_from(["on", "off", "no", "10:30", "1e3", "0x10", "power_watts", "u16", "W", "{n}", "~", "-1", "3"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
KEYS = """
title kind points repeats metric address type unit limits readable defaults info identify states flags scale count link
key valid sentinels 3 x
"""
keys = st.sampled_from(KEYS.split())
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_any_structure_is_a_profile_or_a_list_of_problems(load, tree):
    with pytest.raises(ConfigError) as caught:  # title, kind and points by chance is beyond chance
        load(yaml.safe_dump(tree, allow_unicode=True))
    assert caught.value.problems


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_profile_or_a_list_of_problems(load, content):
    with pytest.raises(ConfigError):
        load(content)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(keys, scalars, max_size=8), base=st.sampled_from(["point", "top"]))
def test_a_good_profile_with_anything_more_is_a_profile_or_a_list_of_problems(load, tree, base):
    content = {"title": "t", "kind": "pdu", "points": [{"metric": "power_watts", "address": 1, "unit": "W"}]}
    (content["points"][0] if base == "point" else content).update(tree)
    try:
        points = len(load(yaml.safe_dump(content, allow_unicode=True)).points)
    except ConfigError as error:
        points = len(error.problems)
    assert points


def test_the_schema_is_json_and_knows_every_key():
    schema = profiles.schema()
    assert json.loads(json.dumps(schema)) == schema
    assert {"title", "kind", "points", "repeats", "link_powered"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
