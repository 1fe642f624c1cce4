"""CSV files of racks, power nodes and devices: one row an entry, one column a key, dots for what lies deeper.

`name,rack,feeds.a,budget.power_kw` is a header. The delimiter (comma, semicolon, tab) is the header's; empty cells are
keys not given; lines that begin with # are comments.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeld.config.document import Origin, read_text
from keeld.config.report import Place, Report
from keeld.text import clean


class Cell(str):
    """A cell's text: unlike a YAML string it may stand for a number, because CSV has no other way to write one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a table and what stands between them."""

    columns: tuple[str, ...]
    delimiter: str


class RowOrigin:
    """Values of one CSV row; keys that are not among its columns come from the entry that named the file."""

    __slots__ = ("_defaults", "_file", "_header", "_line", "_number")

    def __init__(self, header: Header, defaults: Origin, *, file: str, line: str, number: int) -> None:
        self._header = header
        self._defaults = defaults
        self._file = file
        self._line = line
        self._number = number

    def at(self, *path: str | int) -> Place:
        """Give the place of the value under `path`, or of the nearest thing above it that is written down."""
        if not path:
            return Place(self._file, self._number, 1)
        column = self._column(".".join(str(step) for step in path), str(path[0]))
        if column is not None:
            return Place(self._file, self._number, _offset(self._line, column, self._header.delimiter) + 1)
        inherited = self._defaults.at(*path)
        return inherited if inherited != self._defaults.at() else self.at()

    key = at

    def _column(self, dotted: str, first: str) -> int | None:
        columns = self._header.columns
        if dotted in columns:
            return columns.index(dotted)
        return next((at for at, name in enumerate(columns) if name == first or name.startswith(f"{first}.")), None)


def _offset(line: str, column: int, delimiter: str) -> int:
    """Find where a cell begins; quoted cells may hold delimiters."""
    offset = quotes = 0
    for character in line:
        if column == 0:
            break
        offset += 1
        quotes += character == '"'
        if character == delimiter and quotes % 2 == 0:
            column -= 1
    return offset


def read_table(path: Path, place: Place, *, defaults: Origin, report: Report) -> list[tuple[dict[str, Any], RowOrigin]]:
    """Read the rows of a CSV file as mappings; every problem is reported where it stands."""
    text = read_text(path, place, report)
    if text is None:
        return []
    file = str(path)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if _is_row(line)]
    if not lines:
        report.error(Place(file), "the table is empty", "write the column names in its first line")
        return []
    header = _header(lines[0][1])
    if not _is_header_sound(header.columns, Place(file, lines[0][0], 1), report):
        return []
    rows = []
    for number, line in lines[1:]:
        cells = _cells(line, header.delimiter)
        if len(cells) > len(header.columns):
            wrong = f"{len(cells)} cells under {len(header.columns)} columns"
            report.error(Place(file, number, 1), wrong, "put a text with the delimiter in it between quotes")
            continue
        origin = RowOrigin(header, defaults, file=file, line=line, number=number)
        rows.append((_nested(header.columns, cells), origin))
    return rows


def _header(line: str) -> Header:
    delimiter = max(",;\t", key=line.count)
    return Header(tuple(_cells(line, delimiter)), delimiter)


def _is_row(line: str) -> bool:
    stripped = line.strip(" \t,;")
    return bool(stripped) and not stripped.startswith("#")


def _cells(line: str, delimiter: str) -> list[str]:
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)]
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def _is_header_sound(columns: tuple[str, ...], place: Place, report: Report) -> bool:
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        report.error(place, f"column `{clean(repeated[0])}` stands here twice", "give every column its own name")
    elif "name" not in columns:
        report.error(place, "the table has no column `name`", "name the columns in the first line, `name` among them")
    else:
        clash = next((name for name in columns if any(other.startswith(f"{name}.") for other in columns)), None)
        if clash is None:
            return True
        report.error(place, f"columns `{clean(clash)}` and `{clean(clash)}.…` exclude one another", "keep one of them")
    return False


def _nested(columns: tuple[str, ...], cells: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=False):
        if not cell:
            continue
        *above, last = name.split(".")
        inner = values
        for step in above:
            inner = inner.setdefault(step, {})
        inner[last] = Cell(cell)
    return values
