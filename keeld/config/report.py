"""What is wrong in a configuration, gathered in one run and given in the order of the file."""

from __future__ import annotations

from typing import NamedTuple

from keeld.errors import Problem

_MOST_AT_ONE_PLACE = 3


class Place(NamedTuple):
    """A spot in a file, line and column from 1; line 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Render as editors and terminals understand it."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Report:
    """Problems and warnings of one run.

    One entry with a range can be wrong a thousand times at one place: the first three are kept, the rest counted.
    """

    def __init__(self) -> None:
        self._errors: dict[Place, list[tuple[str, str]]] = {}
        self._warnings: dict[Place, list[tuple[str, str]]] = {}
        self.errors = 0
        """How many were noted, repeated ones included."""

    def error(self, place: Place, wrong: str, remedy: str) -> None:
        """Note something that makes the configuration unusable."""
        self.errors += 1
        _note(self._errors, place, (wrong, remedy))

    def warn(self, place: Place, wrong: str, remedy: str) -> None:
        """Note something that is allowed and probably not meant."""
        _note(self._warnings, place, (wrong, remedy))

    @property
    def problems(self) -> list[Problem]:
        """Every error, in the order of the file."""
        return _listed(self._errors)

    @property
    def warnings(self) -> list[Problem]:
        """Every warning, in the order of the file."""
        return _listed(self._warnings)


def _note(notes: dict[Place, list[tuple[str, str]]], place: Place, note: tuple[str, str]) -> None:
    here = notes.setdefault(place, [])
    if note not in here[:_MOST_AT_ONE_PLACE]:
        here.append(note)


def _listed(notes: dict[Place, list[tuple[str, str]]]) -> list[Problem]:
    listed = []
    for place in sorted(notes):
        here = notes[place]
        listed += [Problem(str(place), *note) for note in here[:_MOST_AT_ONE_PLACE]]
        if len(here) > _MOST_AT_ONE_PLACE:
            more = len(here) - _MOST_AT_ONE_PLACE
            listed.append(Problem(str(place), f"and {more} more like this from the same entry", "mend this one first"))
    return listed
