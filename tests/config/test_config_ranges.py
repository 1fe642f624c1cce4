from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.config import Checked
from keeld.config.ranges import MOST, RangeError, expand, has_range, spread

Check = Callable[..., Checked]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("m-[1-3]", ["m-1", "m-2", "m-3"]),
        ("m-[08-11]", ["m-08", "m-09", "m-10", "m-11"]),
        ("m-[001-002]", ["m-001", "m-002"]),
        ("m-[9-11]", ["m-9", "m-10", "m-11"]),
        ("m-[098-101]", ["m-098", "m-099", "m-100", "m-101"]),
        ("m-[1,3,7-8]", ["m-1", "m-3", "m-7", "m-8"]),
        ("pdu-[a-c]", ["pdu-a", "pdu-b", "pdu-c"]),
        ("r[1-2]-[a-b]", ["r1-a", "r1-b", "r2-a", "r2-b"]),
        ("[1-2].x", ["1.x", "2.x"]),
        ("plain", ["plain"]),
        ("tcp://[::1]:502", ["tcp://[::1]:502"]),
        ("[fe80::1-2]", ["[fe80::1-2]"]),
    ],
)
def test_range_stands_for_names(text: str, names: list[str]) -> None:
    assert expand(text) == names


@pytest.mark.parametrize("text", ["[::1]", "[1..3]", "[1:3]", "[1-]", "[a-3]", "[]", "m-1]", "[x"])
def test_bracket_that_is_no_range_stays(text: str) -> None:
    assert not has_range(text)


@pytest.mark.parametrize("text", ["[3-1]", "[c-a]", "[1-200000]", "[1-400]x[1-400]", "[1-60000,1-60000]"])
def test_impossible_range_is_refused_at_once(text: str) -> None:
    with pytest.raises(RangeError):
        expand(text)


@given(st.integers(0, 2000), st.integers(0, 300), st.integers(0, 4))
def test_numbers_come_back_in_order_with_their_zeros(first: int, more: int, zeros: int) -> None:
    start = "0" * zeros + str(first)
    names = expand(f"x[{start}-{first + more}]y")
    assert [int(name[1:-1]) for name in names] == list(range(first, first + more + 1))
    assert names[0] == f"x{start}y"
    assert len(set(names)) == len(names)


@given(st.text(alphabet="ab01-[],.", max_size=20))
def test_no_text_breaks_expansion(text: str) -> None:
    try:
        names = expand(text)
    except RangeError:
        assert has_range(text)
    else:
        assert 1 <= len(names) <= MOST


def test_texts_advance_together_and_single_ones_repeat() -> None:
    steps = spread({"name": "m-[01-03]", "address": "10.0.[1-1].[7-9]", "rack": "r1", "feeds": {"a": "f[1-3]"}})
    assert [step["name"] for step in steps] == ["m-01", "m-02", "m-03"]
    assert [step["address"] for step in steps] == ["10.0.1.7", "10.0.1.8", "10.0.1.9"]
    assert [step["feeds"]["a"] for step in steps] == ["f1", "f2", "f3"]
    assert {step["rack"] for step in steps} == {"r1"}


def test_ranges_in_inner_keys_unfold_inside() -> None:
    (only,) = spread({"name": "bcm", "measures": {"branch/[1-3]": "c-[01-03]", "branch/[8-9]": "d"}})
    expected = {"branch/1": "c-01", "branch/2": "c-02", "branch/3": "c-03", "branch/8": "d", "branch/9": "d"}
    assert only["measures"] == expected


@pytest.mark.parametrize(
    "values",
    [
        {"name": "m-[1-3]", "address": "h[1-2]"},
        {"name": "m-[1-3]", "feeds": {"a": "f[1-2]"}},
        {"name": "m", "measures": {"branch/[1-3]": "c-[1-2]"}},
    ],
)
def test_unequal_ranges_are_refused_with_the_path_of_one(values: dict[str, object]) -> None:
    with pytest.raises(RangeError, match="unequal length") as caught:
        spread(values)
    assert caught.value.path


def test_racks_feeds_nodes_and_devices_take_ranges(check_text: Check) -> None:
    checked = check_text(
        "site: {name: s}\n"
        "power:\n"
        "  u: {limit_kw: 5000}\n"
        '  "a-[01-12]": {parent: u, breaker_a: 60, voltage_v: 415, phases: 3, label: "panel A, breaker [01-12]"}\n'
        "  b-[01-12]: {parent: u, breaker_a: 60, voltage_v: 415, phases: 3}\n"
        "racks:\n"
        '  "r[01-12]": {feeds: {a: "a-[01-12]", b: "b-[01-12]"}, redundancy: 2N}\n'
        "devices:\n"
        '  - {name: "p-r[01-12]-[a-b]", driver: modbus, profile: raritan_px,'
        ' address: "tcp://10.0.[1-12].[1-2]", rack: "r[01-12]", feed: a}\n'
    )
    assert [problem.wrong for problem in checked.problems] == [
        "ranges of unequal length: p-r01-a to p-r12-b is 24, r01 to r12 is 12"
    ]
    checked = check_text(
        "site: {name: s}\n"
        "power:\n"
        "  u: {limit_kw: 5000}\n"
        '  "a-[01-12]": {parent: u, breaker_a: 60, voltage_v: 415, phases: 3, label: "panel A, breaker [01-12]"}\n'
        "racks:\n"
        '  "r[01-12]": {feeds: {a: "a-[01-12]"}}\n'
        "devices:\n"
        '  - {name: "p-r[01-12]", driver: modbus, profile: raritan_px, address: "tcp://h[1-12]", rack: "r[01-12]"}\n'
    )
    assert checked.settings is not None
    site = checked.settings.site
    assert site.power["a-07"].label == "panel A, breaker 07"
    assert site.racks["r12"].feeds == {"a": "a-12"}
    assert site.devices["p-r03"].address == "tcp://h3:502"
    assert site.devices["p-r03"].feed == "a"


def test_flood_of_entries_is_one_problem(check_text: Check) -> None:
    rows = "\n".join(f'  - {{name: "m{n}-[1-90000]", driver: antminer, address: "h{n}-[1-90000]"}}' for n in range(3))
    checked = check_text(f"site: {{name: s}}\ndevices:\n{rows}\n")
    assert any("more than 100000 entries" in problem.wrong for problem in checked.problems)


def test_name_without_the_range_of_its_entry(site: str, check_text: Check) -> None:
    checked = check_text(site + '  - {name: m, driver: antminer, address: "10.0.0.[2-4]", rack: r1, feed: a}\n')
    assert {problem.remedy for problem in checked.problems} == {"give the name the same range as the rest"}
