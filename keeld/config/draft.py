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
_LISTS = ("influx", "notify")
_MEMBER_DEPTH = dict.fromkeys((*UNFOLDED, *_LISTS, "rules"), _ENTRY_DEPTH)
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
    written: dict[str, list[int]]
    """For sections that are lists: where each member of the document stood in the file's list."""
    broken: frozenset[str]
    """Sections of which something could not be unfolded."""

    def member(self, section: str, at: int) -> Loc:
        """Give the path in the file of a list section's member."""
        return section, self.written[section][at]

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
        section: unfolder.unfold(
            section, values.get(section), origin.below(section), keys=frozenset(model.model_fields)
        )
        for section, model in UNFOLDED.items()
    }
    # A section whose lines are all commented out is left with nothing, which means the same as leaving it out.
    rest = {key: value for key, value in values.items() if key not in UNFOLDED and (value is not None or key == "site")}
    if isinstance(rest.get("influx"), dict):
        rest["influx"] = [rest["influx"]]
    validation = _Validation(rest, entries, origin, unfolder.report)
    document = validation.run()
    if document is None:
        return None
    return Draft(document, entries, origin, validation.written, frozenset(unfolder.broken))


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
    written: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        lists = {section: self.rest.get(section) for section in _LISTS}
        self.written = {
            section: list(range(len(found))) if isinstance(found, list) else [] for section, found in lists.items()
        }

    def run(self) -> Document | None:
        """Validate; drop the keys that are wrong; validate again; drop what is wrong still; None if even that fails."""
        faults = self._faults()
        for fault in faults:
            self._note(fault)
        self._drop([_as_written(fault["loc"]) for fault in faults])
        for path in sorted({_as_written(fault["loc"])[:2] for fault in self._faults()}, key=_order, reverse=True):
            self._drop_whole(path)
        try:
            return self._validate()
        except ValidationError:
            return None

    def _faults(self) -> list[ErrorDetails]:
        try:
            self._validate()
        except ValidationError as error:
            return error.errors(include_url=False)
        return []

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
        return self.origin, _as_written(path)

    def _drop(self, paths: list[Loc]) -> None:
        """Take every wrong key out of the member that holds it; the whole member where the key is not there."""
        whole: set[Loc] = set()
        for path in {path[: _depth(path) + 1] for path in paths}:
            member = self._member(path[: _depth(path)])
            if len(path) > _depth(path) and isinstance(member, dict) and path[-1] in member:
                del member[path[-1]]
                self._mark_damaged(path)
            else:
                whole.add(path[:2])
        # From the last, so that no member of a list moves before its turn.
        for path in sorted(whole, key=_order, reverse=True):
            self._drop_whole(path)

    def _mark_damaged(self, path: Loc) -> None:
        if _is_in_entry(path):
            self.entries[str(path[0])][str(path[1])].damaged = True

    def _member(self, path: Loc) -> Any:
        if _is_in_entry(path):
            return self.entries[str(path[0])][str(path[1])].values
        member: Any = self.rest
        for step in path:
            member = member.get(step) if isinstance(member, dict) else member[int(step)]
        return member

    def _drop_whole(self, path: Loc) -> None:
        section = str(path[0]) if path else ""
        members = self.rest.get(section)
        if _is_in_entry(path):
            self.dropped.add((section, str(path[1])))
        elif section == "site":
            self.rest["site"] = _PLACEHOLDER_SITE
        elif section in _LISTS and isinstance(members, list) and len(path) > 1:
            del members[int(path[1])], self.written[section][int(path[1])]
        elif section == "rules" and isinstance(members, dict) and len(path) > 1:
            members.pop(path[1], None)
        else:
            self.rest.pop(section, None)


def _is_in_entry(path: Loc) -> bool:
    return len(path) >= _ENTRY_DEPTH and path[0] in UNFOLDED


def _as_written(path: Loc) -> Loc:
    """Give a validation error's path as the file has it: of a channel, pydantic also names the kind it chose."""
    return (*path[:2], *path[3:]) if path[:1] == ("notify",) else path


def _depth(path: Loc) -> int:
    """Give how far it is to the mapping whose keys can go one by one."""
    return _MEMBER_DEPTH.get(str(path[0]), 1) if path else 0


def _order(path: Loc) -> tuple[tuple[int, str], ...]:
    return tuple((step, "") if isinstance(step, int) else (0, step) for step in path)
