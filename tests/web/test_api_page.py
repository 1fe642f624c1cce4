"""The page on the API against the routes, and the rule that a number's unit stands in its name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keeld.drills import Begun
from keeld.web.routes import Routes

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
ROW = re.compile(r"^\| `(GET|POST|DELETE) (\S+)` \| ([^|]+) \| `([^`|]+)` \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())
READ = [(path, example) for method, path, _, example in ROWS if method == "GET"]
CHANGED = [(method, path, example) for method, path, _, example in ROWS if method != "GET"]
UNITS = ("watts", "_s", "_ratio", "_bytes", "_total", "_days")
BARE = {"value", "limit", "headroom", "lo", "best", "hi"}
"""Beside a unit, or below a name that has one."""
COUNTS = {"racks"}


def test_every_route_stands_in_the_table_and_nothing_else(source):
    routes = Routes(source)
    files = re.compile(r"/|/[a-z]+\.(js|css|svg)")
    known = [(route.method, route.path) for route in (*routes.readings(), *routes.changes())]
    assert sorted((method, path) for method, path, _, _ in ROWS) == sorted(
        each for each in known if not files.fullmatch(each[1])
    )


@pytest.mark.parametrize(("path", "example"), READ)
async def test_a_reading_example_is_answered(local, path, example):
    pattern = re.sub(r"\\{id\\}", "[^/]+", re.escape(path))
    assert re.fullmatch(pattern, example.partition("?")[0])
    async with local.get(example) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(("method", "path", "example"), CHANGED)
async def test_a_changing_example_is_understood(local, source, method, path, example):
    async def take(*_: Any, **__: Any) -> bool:
        return True

    source.curtail = source.cancel_order = source.move_rack = take
    source.drill = lambda *args, **words: Begun("k", "a", ())
    async with local.request(method, path.replace("{id}", "r08"), json=json.loads(example)) as answer:
        assert answer.status in (200, 201), await answer.text()


@pytest.mark.parametrize("path", ["/api/v1/site", "/api/v1/racks/r08", "/api/v1/headroom", "/api/v1/alerts"])
async def test_every_number_has_its_unit_in_its_name(client, busy, path):
    async with client.get(path) as answer:
        form = await answer.json()
    form.pop("balance", None)
    found = set(numbers(form))
    assert len(found) > 3
    assert {"/".join(names) for names, is_in_unit in found if not has_unit(names, is_in_unit=is_in_unit)} == set()


def numbers(
    form: Any, names: tuple[str, ...] = (), *, is_in_unit: bool = False
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Give the way to each number, and whether `unit` stands beside it or above it."""
    if isinstance(form, dict):
        for name, value in form.items():
            yield from numbers(value, (*names, name), is_in_unit=is_in_unit or "unit" in form)
    elif isinstance(form, list):
        for value in form:
            yield from numbers(value, names, is_in_unit=is_in_unit)
    elif isinstance(form, int | float) and not isinstance(form, bool):
        yield names, is_in_unit


def has_unit(names: tuple[str, ...], *, is_in_unit: bool) -> bool:
    above, last = names[:-1], names[-1].partition("/")[0]
    if last.endswith(UNITS) or last in COUNTS or above[-1:] == ("alerts_total",):
        return True
    return last in BARE and (is_in_unit or any(name.endswith(UNITS) for name in above))
