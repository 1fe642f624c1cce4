"""Which alarms something is about: patterns over the words of a rule and its target, as `rule=leak, rack=r0*`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keeld.errors import KeeldError

KEYS = (
    "rule", "rack", "row", "class", "state", "tenant", "device", "node", "under", "feed", "cooling", "switch", "kind",
    "id",
)  # fmt: skip
"""What can be selected by. `under` is any power node above; `kind` and `id` are those of the target, whatever it is."""
EVERYTHING = ("all", "*")
_LONGEST = 200


class SelectorError(KeeldError):
    """A text is no selector; carries what is wrong and what to write."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(f"{wrong}; {remedy}")
        self.wrong = wrong
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Selector:
    """Key to pattern (`*`, `?`, `[ab]`), in the order of KEYS; all of them must match, none selects everything."""

    patterns: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return ",".join(f"{key}={pattern}" for key, pattern in self.patterns) or EVERYTHING[0]

    def matches(self, rule: str, tags: Iterable[str]) -> bool:
        """Whether a rule is meant at a target with these tags (`rack:r07`)."""
        return all(
            is_like(rule, pattern) if key == "rule" else any(is_like(tag, f"{key}:{pattern}") for tag in tags)
            for key, pattern in self.patterns
        )

    def pattern(self, key: str) -> str | None:
        """Give the pattern of a key; None where it says nothing of it."""
        return next((pattern for name, pattern in self.patterns if name == key), None)


def is_like(word: str, pattern: str) -> bool:
    """Whether a word matches a pattern, case and all."""
    return word == pattern or fnmatch.fnmatchcase(word, pattern)


def select(patterns: Mapping[str, str]) -> Selector:
    """Make a selector of a mapping; raises SelectorError for a key that nothing has."""
    for key, pattern in patterns.items():
        if key not in KEYS:
            raise SelectorError(f"nothing is selected by {key!r}", f"write one of {', '.join(KEYS)}")
        if not pattern or len(pattern) > _LONGEST:
            raise SelectorError(f"{key!r} without a pattern", f"write {key}=NAME, with * for any letters")
    return Selector(tuple((key, patterns[key]) for key in KEYS if key in patterns))


def parse(text: str) -> Selector:
    """Read `rack=r07`, `rule=leak,row=c` or `all`; raises SelectorError."""
    if text.strip() in EVERYTHING:
        return Selector()
    patterns: dict[str, str] = {}
    for word in text.replace(",", " ").split():
        key, mark, pattern = word.partition("=")
        if not mark:
            raise SelectorError(f"{word!r} selects nothing", f"write KEY=NAME, as rack={word}, or all")
        if key in patterns:
            raise SelectorError(f"{key!r} stands twice", "use * for several names, as rack=r0*")
        patterns[key] = pattern
    if not patterns:
        raise SelectorError("an empty selector", "write KEY=NAME, as rack=r07, or all")
    return select(patterns)
