from __future__ import annotations

from collections.abc import Callable

import pytest

from keeld.config import Checked

Check = Callable[..., Checked]
TABLE = "  - {csv: m.csv, driver: antminer, rack: r1, feed: a}\n"


def test_rows_are_devices_and_the_entry_gives_their_defaults(site: str, check_text: Check) -> None:
    header = "name,address,nameplate_w,rack,label,identity.serial\n"
    rows = header + "m-1,10.1.1.1,3500,,first,0012\n\n# gone\nm-2,10.1.1.2,,r1,,\n"
    checked = check_text(site + TABLE, m_csv=rows)
    assert checked.settings is not None, checked.problems
    first, second = (checked.settings.site.devices[name] for name in ("m-1", "m-2"))
    assert (first.nameplate_watts, first.rack, first.label) == (3500.0, "r1", "first")
    assert first.identity.serial == "0012"
    assert (second.nameplate_watts, second.driver, second.label) == (None, "antminer", "")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_is_that_of_the_header(site: str, check_text: Check, delimiter: str) -> None:
    rows = "\ufeff" + "\r\n".join(delimiter.join(row) for row in [("name", "address"), ("m-1", "10.1.1.1")])
    checked = check_text(site + TABLE, m_csv=rows)
    assert checked.settings is not None, checked.problems
    assert checked.settings.site.devices["m-1"].address == "10.1.1.1:4028"


def test_racks_and_power_nodes_come_from_tables_too(check_text: Check) -> None:
    checked = check_text(
        "site: {name: s}\n"
        "power: {u: {limit_kw: 900}, csv: p.csv, parent: u, phases: 3}\n"
        "racks: {csv: r.csv, redundancy: 2N, row: c}\n"
        "cooling: {csv: z.csv, kind: air}\n"
        'devices: [{name: "m-[1-2]", driver: antminer, address: "h[1-2]", rack: "r[1-2]", feed: a}]\n',
        p_csv='name,breaker_a,voltage_v,derate\n"f[1-4]",60,415,0.8\n',
        r_csv="name,feeds.a,feeds.b,budget.power_kw\nr1,f1,f2,33\nr2,f3,f4,\n",
        z_csv="name,units_kw\nz,60; 60\n",
    )
    assert checked.settings is not None, checked.problems
    site = checked.settings.site
    assert site.power["f4"].breaker_amperes == 60.0
    assert site.power["f4"].parent == "u"
    assert site.racks["r1"].budget.power_watts == 33000.0
    assert (site.racks["r2"].feeds, site.racks["r2"].row) == ({"a": "f3", "b": "f4"}, "c")
    assert site.cooling["z"].units_watts == (60000.0, 60000.0)


PROBLEMS = [
    ("name,address\nm-1,10.1.1.999\n", "m.csv:2:5: 'm-1': '10.1.1.999' is no host name or IP address;"),
    ('name,label,address\nm-1,"a, b",10.1.1.999\n', "m.csv:2:12: 'm-1': '10.1.1.999' is no host"),
    ("name,address\nM 1,10.1.1.9\n", "m.csv:2:1: 'M 1' cannot be an id;"),
    ("name,address\nm-1,h1\nm-1,h2\n", "m.csv:3:1: 'm-1' is already used at m.csv:2:1; give each its own name"),
    ("name,address\n,h1\n", "m.csv:2:1: a row without `name`;"),
    ("name,address\nm-1,h1,x\n", "m.csv:2:1: 3 cells under 2 columns;"),
    ("name,addres\nm-1,h1\n", "m.csv:2:5: unknown key `addres`; did you mean `address`?"),
    ("address\nh1\n", "m.csv:1:1: the table has no column `name`;"),
    ("name,name\nm,m\n", "m.csv:1:1: column `name` stands here twice;"),
    ("name,feeds,feeds.a\nm,m,m\n", "m.csv:1:1: columns `feeds` and `feeds.…` exclude one another;"),
    ("name,address,nameplate_w\nm-1,h1,3.5kW\n", "m.csv:2:8: `nameplate_w`: '3.5kW' is no number;"),
    ("name,address,nameplate_w\nm-1,h1,inf\n", "m.csv:2:8: `nameplate_w`: 'inf' is no number;"),
    ("name,address,nameplate_w\nm-1,h1,.inf\n", "m.csv:2:8: `nameplate_w`: a number that is not finite;"),
    ("name,address,interval\nm-1,h1,10\n", "m.csv:2:8: `interval`: '10' is no duration; write 10s"),
    ("name,address,rack\nm-1,h1,r9\n", "m.csv:2:8: `rack` of 'm-1' is 'r9', which is no rack;"),
    ("", "m.csv: the table is empty;"),
]


@pytest.mark.parametrize(("rows", "line"), PROBLEMS, ids=[line[:30] for _, line in PROBLEMS])
def test_problem_stands_at_its_cell(site: str, problems_of: Callable[..., list[str]], rows: str, line: str) -> None:
    lines = problems_of(site + TABLE, m_csv=rows)
    assert any(found.startswith(line) for found in lines), lines


def test_fault_in_a_default_stands_where_the_default_is_written(
    site: str, problems_of: Callable[..., list[str]]
) -> None:
    lines = problems_of(site + TABLE.replace("rack: r1", "rack: r9"), m_csv="name,address\nm-1,h1\n")
    assert lines == ["k.yaml:12:42: `rack` of 'm-1' is 'r9', which is no rack; there is r1"]


@pytest.mark.parametrize("name", ["nope.csv", ".", "a\0b"])
def test_table_that_cannot_be_read_is_named_at_its_mention(
    site: str, problems_of: Callable[..., list[str]], name: str
) -> None:
    text = site + TABLE.replace("m.csv", '"' + name.replace("\0", "\\0") + '"')
    (line,) = problems_of(text)
    assert line.startswith("k.yaml:12:11: ")


def test_name_beside_csv_is_refused(site: str, problems_of: Callable[..., list[str]]) -> None:
    (line,) = problems_of(site + "  - {csv: m.csv, name: x}\n", m_csv="name\nx\n")
    assert line == "k.yaml:12:24: `name` beside `csv`; names stand in the table's column `name`"
