"""Files that are broken, hostile or not what they seem: one clear line, never a traceback."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeld.config import Checked, check
from keeld.config.known import Known
from keeld.config.scalars import duration, resolve, seconds, size_bytes
from keeld.errors import Problem

Problems = Callable[..., list[str]]

BROKEN = [
    (b"", "k.yaml: the file is empty; write at least"),
    (b"# nothing\n", "k.yaml: the file is empty;"),
    (b"- a\n", "k.yaml:1:1: the file is not a mapping; begin with `site:`"),
    (b"hello", "k.yaml:1:1: the file is not a mapping;"),
    ("site: {name: s, label: Montr\xe9al}".encode("latin-1"), "k.yaml:1:29: not UTF-8 text; save the file as UTF-8"),
    ("site: {name: s}".encode("utf-16"), "k.yaml:1:1: UTF-16 text; save the file as UTF-8"),
    (b"site: {name: s}\nx: \x00", "k.yaml:2:4: control character '\\x00'; remove it;"),
    (b"site: {name: s}\nx: \x1b[31m", "k.yaml:2:4: control character '\\x1b'; remove it;"),
    (b"site:\n  name: s\n\tlabel: x", "k.yaml:3:1: a character that cannot stand here; indent with spaces, not tabs"),
    (b"site: {name: s", "k.yaml:2:1: not valid YAML: did not find expected ',' or '}'; check quotes, brackets"),
    (b"site: 's", "k.yaml:1:9: not valid YAML: found unexpected end of stream;"),
    (b"site: name: s", "k.yaml:1:11: a `:` where no key can stand; check the indentation"),
    (b"site: {name: s}\n---\nsite: {}", "k.yaml:2:1: a second document begins here; keep one"),
    (b"site: *nobody", "k.yaml:1:7: this alias has no anchor;"),
    (b"site: {name: s, name: t}", "k.yaml:1:17: `name` stands here twice, first at line 1; keep one of them"),
    (b"site: {name: s}\nsite: {name: t}", "k.yaml:2:1: `site` stands here twice, first at line 1;"),
    (b"site: {name: s}\n? [a]\n: 1", "k.yaml:2:3: a key that is no word; write `name: value`"),
    (b"site: {name: !!python/object:os.system s}", "k.yaml:1:14: tag !!python/object:os.system; remove it"),
    (b"site: {name: !secret s}", "k.yaml:1:14: tag !secret; remove it"),
    (b"site: {name: s}\nx: " + b"[" * 100_000, "k.yaml:2:66: nested too deeply; at most 64 levels"),
    (b"site: {name: s}\nx: &a [*a]", "k.yaml:1:1: its aliases (*) unfold to more than 10 times the file"),
    (b"site: &a {<<: *a, name: s}\nx: &b {<<: [*b, *b]}", "k.yaml:1:1: its aliases (*) unfold to more"),
    (b"site: {<<: 3, name: s}", "k.yaml:1:12: `<<` takes mappings only; write `<<: *anchor`"),
    (b"x" * (17 << 20), "k.yaml: larger than 16 MiB;"),
]


@pytest.mark.parametrize(("raw", "line"), BROKEN, ids=[line[:40] for _, line in BROKEN])
def test_broken_file_is_one_clear_line(problems_of: Problems, raw: bytes, line: str) -> None:
    lines = problems_of(raw)
    assert any(found.startswith(line) for found in lines), lines


def test_alias_bomb_ends_at_once(problems_of: Problems) -> None:
    levels = ["x0: &x0 [a, a, a, a, a, a, a, a, a]"]
    levels += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12)]
    (line,) = problems_of("site: {name: s}\n" + "\n".join(levels))
    assert "unfold to more than 10 times the file" in line


def test_anchors_and_merge_keys_are_understood(check_text: Callable[..., Checked]) -> None:
    checked = check_text("site: {name: s}\npower:\n  u: &u {limit_kw: 900, label: up}\n  v: {<<: *u, label: down}\n")
    assert checked.settings is not None
    power = checked.settings.site.power
    assert (power["v"].limit_watts, power["v"].label) == (900_000.0, "down")


def test_fault_in_a_merged_key_stands_where_it_is_written(problems_of: Problems) -> None:
    text = "site: {name: s}\npower:\n  u: &u {limit_kw: 900, labl: x}\n  v: {<<: *u}\n"
    assert problems_of(text) == ["k.yaml:3:25: unknown key `labl`; did you mean `label`?"]


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda path: path.mkdir(), "is a directory"),
        (lambda _path: None, "cannot be read: No such file or directory"),
    ],
)
def test_file_that_cannot_be_read(tmp_path: Path, known: Known, make: Callable[[Path], Any], wrong: str) -> None:
    path = tmp_path / "k.yaml"
    make(path)
    (problem,) = check(path, known=known).problems
    assert wrong in problem.wrong
    assert problem.where == str(path)


def test_file_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so a mode alone would test nothing
    (problem,) = check(Path("k.yaml")).problems
    assert str(problem) == "k.yaml: cannot be read: Permission denied; check the path and its permissions"


def test_byte_order_mark_and_windows_lines_are_fine(check_text: Callable[..., Checked]) -> None:
    assert check_text(b"\xef\xbb\xbfsite:\r\n  name: s\r\n").settings is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("no", "no"), ("yes", "yes"), ("y", "y"), ("N", "N"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("010", 10), ("0o17", 15), ("0x1F", 31), ("10:30", "10:30"), ("1_000", "1_000"), ("1e3", 1000.0),
        (".5", 0.5), ("5.", 5.0), ("+12", 12), ("-0.0", -0.0), ("2026-11-22", "2026-11-22"), ("1.2.3", "1.2.3"),
        ("-", "-"), ("+", "+"), (".", "."), ("00:11:22:33:44:55", "00:11:22:33:44:55"), ("0b1", "0b1"),
    ],
)  # fmt: skip
def test_bare_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "length_s"),
    [("10s", 10.0), ("5m", 300.0), ("72h", 259200.0), ("250ms", 0.25), ("1h30m", 5400.0), ("1.5d", 129600.0),
     ("2w", 1209600.0), ("10", None), ("", None), ("s", None), ("-5s", None), ("10 s", None), ("10sec", None),
     ("1e3s", None), ("5m" * 50, None)],
)  # fmt: skip
def test_durations(text: str, length_s: float | None) -> None:
    assert seconds(text) == length_s


@given(st.integers(1, 10**7), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_durations_are_written_as_they_are_read(count: int, unit: str) -> None:
    length_s = seconds(f"{count}{unit}")
    assert length_s is not None
    assert seconds(duration(length_s)) == pytest.approx(length_s, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 << 30),
        ("500 MB", 500_000_000),
        ("1.5KiB", 1536),
        ("0B", 0),
        ("4G", None),
        ("4gib", None),
        ("-1B", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert size_bytes(text) == size


def test_rule_keys_on_and_off_need_no_quotes(check_text: Callable[..., Checked]) -> None:
    checked = check_text("site: {name: s}\nrules:\n  rack_density_power: {window: 5m, on: 5m, off: 15m}\n")
    assert checked.settings is not None, checked.problems
    rule = checked.settings.rules["rack_density_power"]
    assert (rule.window_s, rule.on_s, rule.off_s) == (300.0, 300.0, 900.0)


def test_sections_with_every_line_commented_out_are_absent(check_text: Callable[..., Checked]) -> None:
    checked = check_text("site: {name: s}\nnotify:\n#  - {kind: webhook}\nrules:\npower:\ninflux:\nmqtt:\n")
    assert checked.settings is not None, checked.problems


KEYS = ["site", "name", "power", "racks", "devices", "feeds", "a", "csv", "rules", "notify", "influx", "kind", "url",
        "driver", "address", "measures", "cords", "psus", "limit_kw", "r1", "poll", "<<", "options",
        "network"]  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["antminer", "webhook", "r1", "[1-3]", "m-[1-2]", "[2-1]", "10s", "tcp://h", "k.csv", "2N", "/"]),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=30,
)
SECTIONS = st.dictionaries(st.sampled_from(KEYS), TREES, max_size=8)
FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _is_settled(checked: Checked) -> bool:
    assert (checked.settings is None) == bool(checked.problems)
    assert all(isinstance(problem, Problem) and problem.wrong and problem.remedy for problem in checked.problems)
    return True


@FUZZ
@given(st.text(max_size=300) | st.text(alphabet="[]{}:,-&*!<\n a1'\"#?|>%", max_size=80))
def test_no_text_is_a_traceback(check_text: Callable[..., Checked], text: str) -> None:
    assert _is_settled(check_text(text.encode("utf-8", "surrogatepass")))


@FUZZ
@given(SECTIONS)
def test_no_structure_is_a_traceback(check_text: Callable[..., Checked], tree: dict[str, Any]) -> None:
    assert _is_settled(check_text(yaml.safe_dump({"site": {"name": "s"}, **tree}, allow_unicode=True)))


@FUZZ
@given(st.data())
def test_no_value_in_a_sound_site_is_a_traceback(
    site: str, check_text: Callable[..., Checked], data: st.DataObject
) -> None:
    tree: Any = yaml.safe_load(site + "notify: [{kind: webhook, url: 'http://h'}]\nrules: {blind: {window: 5m}}\n")
    spot = tree
    while isinstance(spot, dict | list) and spot:
        step = data.draw(st.sampled_from(list(spot) if isinstance(spot, dict) else list(range(len(spot)))))
        if not isinstance(spot[step], dict | list) or data.draw(st.booleans()):
            spot[step] = data.draw(TREES)
            break
        spot = spot[step]
    assert _is_settled(check_text(yaml.safe_dump(tree)))


@FUZZ
@given(st.text(max_size=200))
def test_no_table_is_a_traceback(site: str, check_text: Callable[..., Checked], rows: str) -> None:
    table = "name,address\n" + rows.encode("utf-8", "replace").decode()
    checked = check_text(site + "  - {csv: m.csv, driver: antminer, rack: r1, feed: a}\n", m_csv=table)
    assert _is_settled(checked)
