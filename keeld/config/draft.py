"""A configuration whose every value is valid by itself, before anything is checked against anything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from keeld.config.document import Origin, YamlOrigin
from keeld.config.entries import Entries, Unfolder
from keeld.config.report import Place, Report
from keeld.config.service_schema import UNFOLDED, Document
from keeld.config.wording import explain

_ENTRY_DEPTH = 2
"""Section and id lead to an entry."""
_PLACEHOLDER_SITE = {"name": "site"}

Loc = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """The valid part of a document, and where each of its values stands.

    `entries` also names what is not in `document` because it was wrong: a reference to it is no second error.
    """

    document: Document
    entries: dict[str, Entries]
    origin: YamlOrigin

    def place(self, section: str, entry_id: str, *path: str | int) -> Place:
        """Give the place of an entry's value."""
        return self.entries[section][entry_id].origin.at(*path)

    def key(self, section: str, entry_id: str, *path: str | int) -> Place:
        """Give the place of an entry's key."""
        return self.entries[section][entry_id].origin.key(*path)

    def is_whole(self, section: str, entry_id: str) -> bool:
        """Whether nothing of the entry was dropped, so that what it lacks was never written."""
        return not self.entries[section][entry_id].damaged


def draft(values: dict[str, Any], origin: YamlOrigin, *, unfolder: Unfolder) -> Draft | None:
    """Unfold and validate a document; report every fault, then go on with what is left of it."""
    entries = {
        section: unfolder.unfold(values.get(section), origin.below(section), keys=frozenset(model.model_fields))
        for section, model in UNFOLDED.items()
    }
    rest = {key: value for key, value in values.items() if key not in UNFOLDED}
    if isinstance(rest.get("influx"), dict):
        rest["influx"] = [rest["influx"]]
    document = _Validation(rest, entries, origin, unfolder.report).run()
    return None if document is None else Draft(document, entries, origin)


@dataclass(slots=True)
class _Validation:
    """A document on its way to validity: what is wrong is reported once, then taken out."""

    rest: dict[str, Any]
    """The sections that do not unfold."""
    entries: dict[str, Entries]
    origin: YamlOrigin
    report: Report
    dropped: set[tuple[str, str]] = field(default_factory=set)
    """(section, id) of entries that lack a key they cannot do without."""

    def run(self) -> Document | None:
        """Validate; drop the keys that are wrong; validate again; drop what is wrong still; None if even that fails."""
        try:
            return self._validate()
        except ValidationError as error:
            faults = error.errors(include_url=False)
        for fault in faults:
            self._note(fault)
        for path in _last_first(faults):
            self._drop_key(path)
        try:
            return self._validate()
        except ValidationError as error:
            faults = error.errors(include_url=False)
        for path in _last_first(faults):
            self._drop_whole(path)
        try:
            return self._validate()
        except ValidationError:
            return None

    def _validate(self) -> Document:
        unfolded = {
            section: {name: entry.values for name, entry in by_id.items() if (section, name) not in self.dropped}
            for section, by_id in self.entries.items()
        }
        return Document.model_validate(self.rest | unfolded)

    def _note(self, error: ErrorDetails) -> None:
        fault = explain(error)
        origin, path = self._locate(error["loc"])
        self.report.error(origin.key(*path) if fault.at_key else origin.at(*path), fault.wrong, fault.remedy)

    def _locate(self, path: Loc) -> tuple[Origin, Loc]:
        if _is_in_entry(path):
            return self.entries[str(path[0])][str(path[1])].origin, path[2:]
        if path[:1] == ("notify",):
            # Behind the index pydantic names the alternative it chose, which is no key of the file.
            return self.origin, (*path[:2], *path[3:])
        return self.origin, path

    def _drop_key(self, path: Loc) -> None:
        if not _is_in_entry(path) or len(path) == _ENTRY_DEPTH:
            self._drop_whole(path)
            return
        entry = self.entries[str(path[0])][str(path[1])]
        entry.damaged = True
        entry.values = {key: value for key, value in entry.values.items() if key != path[2]}

    def _drop_whole(self, path: Loc) -> None:
        section = str(path[0]) if path else ""
        members = self.rest.get(section)
        if _is_in_entry(path):
            self.dropped.add((section, str(path[1])))
        elif section == "site":
            self.rest["site"] = _PLACEHOLDER_SITE
        elif isinstance(members, list) and len(path) > 1:
            self.rest[section] = [member for at, member in enumerate(members) if at != path[1]]
        else:
            self.rest.pop(section, None)


def _is_in_entry(path: Loc) -> bool:
    return len(path) >= _ENTRY_DEPTH and path[0] in UNFOLDED


def _last_first(errors: list[ErrorDetails]) -> list[Loc]:
    """Order paths so that taking one member out of a list does not move another that is still to go."""
    paths = {error["loc"][:2] if error["loc"][:1] in {("notify",), ("influx",)} else error["loc"] for error in errors}
    return sorted(paths, key=lambda path: [str(step).zfill(9) for step in path], reverse=True)
