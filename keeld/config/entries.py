"""The sections that list many things (power, cooling, racks, network, devices), unfolded to one entry each.

A section is a mapping by id or a list with `name`; ranges and CSV files unfold here, so that everything after this
knows single entries only, each with the place it came from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keeld.config.document import Origin, YamlOrigin
from keeld.config.ranges import MOST, RangeError, spread
from keeld.config.report import Report
from keeld.config.tables import read_table
from keeld.text import clean

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ID_REMEDY = "write 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit; free text goes into `label`"


@dataclass(slots=True)
class Entry:
    """One thing of a section: its values without the name, and where they stand."""

    id: str
    values: dict[str, Any]
    origin: Origin
    damaged: bool = False
    """A key was dropped because it was wrong, so what is missing now may not be missing in truth."""


Entries = dict[str, Entry]


def is_id(text: str) -> bool:
    """Whether the text can be a stable id: a tag, part of an alert's key, a word in a command."""
    return _ID.fullmatch(text) is not None


@dataclass(slots=True)
class Unfolder:
    """Unfolds sections of one document; counts entries over all of them."""

    report: Report
    folder: Path
    """Where a CSV file's relative name is looked up."""
    broken: set[str] = field(default_factory=set)
    """Sections of which something could not be unfolded, so that what they lack may have been written."""
    _left: int = MOST

    def unfold(self, name: str, section: Any, origin: YamlOrigin, *, keys: frozenset[str]) -> Entries:
        """Give a section's entries by id; `keys` are what an entry may have beside its name."""
        before = self.report.errors
        entries: Entries = {}
        if isinstance(section, dict):
            self._unfold_mapping(section, origin, keys=keys, into=entries)
        elif isinstance(section, list):
            for at, item in enumerate(section):
                self._unfold_item(item, origin.below(at), into=entries)
        elif section is not None:
            self.report.error(
                origin.at(), "a section that is neither mapping nor list", "write one entry a line below its key"
            )
        if self.report.errors > before:
            self.broken.add(name)
        return entries

    def _unfold_mapping(
        self, section: dict[str, Any], origin: YamlOrigin, *, keys: frozenset[str], into: Entries
    ) -> None:
        defaults: dict[str, Any] = {}
        if isinstance(section.get("csv"), str):
            defaults = {key: value for key, value in section.items() if key in keys and not isinstance(value, dict)}
            self._unfold_table(section["csv"], defaults, origin, into=into)
        for key, values in section.items():
            if key in defaults or (key == "csv" and isinstance(values, str)):
                continue
            if isinstance(values, dict):
                self._unfold_values({**values, "name": key}, origin.below(key), into=into)
            else:
                self.report.error(
                    origin.at(key), f"`{clean(key)}` has no keys", f"write `{clean(key)}: {{key: value}}`"
                )

    def _unfold_item(self, item: Any, origin: YamlOrigin, *, into: Entries) -> None:
        if not isinstance(item, dict):
            self.report.error(origin.at(), "an entry that is no mapping", "write `- {name: ..., ...}`")
        elif isinstance(item.get("csv"), str):
            defaults = {key: value for key, value in item.items() if key != "csv"}
            self._unfold_table(item["csv"], defaults, origin, into=into)
        elif isinstance(item.get("name"), str):
            self._unfold_values(item, origin, into=into)
        elif "name" in item:
            self.report.error(origin.at("name"), "the name is no text", 'put it in quotes: name: "7"')
        else:
            self.report.error(origin.at(), "an entry without `name`", "give it a name: it is its id everywhere")

    def _unfold_table(self, file: str, defaults: dict[str, Any], origin: YamlOrigin, *, into: Entries) -> None:
        if "name" in defaults:
            self.report.error(origin.at("name"), "`name` beside `csv`", "names stand in the table's column `name`")
            return
        place = origin.at("csv")
        for values, row in read_table(self.folder / file, place, defaults=origin, report=self.report):
            if "name" in values:
                self._unfold_values(defaults | values, row, into=into)
            else:
                self.report.error(row.at(), "a row without `name`", "give it a name, or begin the line with #")

    def _unfold_values(self, values: dict[str, Any], origin: Origin, *, into: Entries) -> None:
        if self._left <= 0:
            self._note_flood(origin)
            return
        try:
            steps = spread(values)
        except RangeError as error:
            self.report.error(origin.at(*error.path), error.wrong, error.remedy)
            return
        if len(steps) > self._left:
            self._left = 0
            self._note_flood(origin)
            return
        self._left -= len(steps)
        for step in steps:
            self._add(step, origin, into=into)

    def _note_flood(self, origin: Origin) -> None:
        self.report.error(origin.at(), f"more than {MOST} entries in one site", "split the site, or shorten the range")

    def _add(self, values: dict[str, Any], origin: Origin, *, into: Entries) -> None:
        name = str(values["name"])
        values = {key: value for key, value in values.items() if key != "name"}
        if not is_id(name):
            self.report.error(origin.at(), f"{clean(name, 80)!r} cannot be an id", ID_REMEDY)
        elif name in into:
            first = into[name].origin.at()
            same = first == origin.at()
            remedy = "give the name the same range as the rest" if same else "give each its own name"
            self.report.error(origin.at(), f"{name!r} is already used at {first}", remedy)
        else:
            into[name] = Entry(name, values, origin)
