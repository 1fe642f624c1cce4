"""A configuration whose every value is valid by itself, before anything is checked against anything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from keeld.config.document import YamlOrigin
from keeld.config.entries import Entries, Unfolder
from keeld.config.report import Place, Report
from keeld.config.service_schema import UNFOLDED, Document
from keeld.config.wording import explain

_PLACEHOLDER_SITE = {"name": "site"}


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
    keys = {section: frozenset(model.model_fields) for section, model in UNFOLDED.items()}
    entries = {
        section: unfolder.unfold(values.get(section), origin.below(section), keys=keys[section]) for section in UNFOLDED
    }
    rest = {key: value for key, value in values.items() if key not in UNFOLDED}
    if isinstance(rest.get("influx"), dict):
        rest["influx"] = [rest["influx"]]
    document = _validate(rest, entries, _Faults(entries, origin, unfolder.report))
    return None if document is None else Draft(document, entries, origin)


@dataclass(slots=True)
class _Faults:
    entries: dict[str, Entries]
    origin: YamlOrigin
    report: Report

    def note(self, error: ErrorDetails) -> None:
        fault = explain(error)
        origin, path = self._locate(error["loc"])
        self.report.error(origin.key(*path) if fault.at_key else origin.at(*path), fault.wrong, fault.remedy)

    def _locate(self, path: tuple[int | str, ...]) -> tuple[Any, tuple[int | str, ...]]:
        section = path[0] if path else ""
        if section in UNFOLDED and len(path) > 1:
            return self.entries[str(section)][str(path[1])].origin, path[2:]
        if section == "notify":
            # Behind the index pydantic names the alternative it chose, which is no key of the file.
            return self.origin, (*path[:2], *path[3:])
        return self.origin, path


def _validate(rest: dict[str, Any], entries: dict[str, Entries], faults: _Faults) -> Document | None:
    """Validate, drop the keys that are wrong, validate again, drop what lacks a key then; None when that is not enough."""
    dropped: set[tuple[str, str]] = set()
    for drop in (_drop_key, _drop_whole, None):
        try:
            return Document.model_validate(rest | dict(_sections(entries, dropped)))
        except ValidationError as error:
            errors = error.errors(include_url=False)
        if drop is _drop_key:
            for details in errors:
                faults.note(details)
        if drop is not None:
            for path in _deepest_first(errors):
                drop(path, rest, entries=entries, dropped=dropped)
    return None


def _sections(entries: dict[str, Entries], dropped: set[tuple[str, str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for section, by_id in entries.items():
        yield section, {name: entry.values for name, entry in by_id.items() if (section, name) not in dropped}


def _deepest_first(errors: list[ErrorDetails]) -> list[tuple[int | str, ...]]:
    """Order paths so that removing one member of a list does not move another that is still to be removed."""
    return sorted(
        (error["loc"] for error in errors), key=lambda path: [str(step).zfill(9) for step in path], reverse=True
    )


def _drop_key(
    path: tuple[int | str, ...], rest: dict[str, Any], *, entries: dict[str, Entries], dropped: set[tuple[str, str]]
) -> None:
    if not path or path[0] not in UNFOLDED or len(path) < 3:  # noqa: PLR2004 - section, id and key
        _drop_whole(path, rest, entries=entries, dropped=dropped)
        return
    entry = entries[str(path[0])][str(path[1])]
    entry.damaged = True
    entry.values = {key: value for key, value in entry.values.items() if key != path[2]}


def _drop_whole(
    path: tuple[int | str, ...], rest: dict[str, Any], *, entries: dict[str, Entries], dropped: set[tuple[str, str]]
) -> None:
    section = str(path[0]) if path else ""
    if section in UNFOLDED:
        if len(path) > 1:
            dropped.add((section, str(path[1])))
    elif section == "site":
        rest["site"] = _PLACEHOLDER_SITE
    elif isinstance(rest.get(section), list) and len(path) > 1:
        rest[section] = [member for at, member in enumerate(rest[section]) if at != path[1]]
    else:
        rest.pop(section, None)
