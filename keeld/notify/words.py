"""What channels for people make of a message: a headline that says how bad it is, the facts under it, the links."""

from __future__ import annotations

from keeld.model import Notice, Transition
from keeld.state import Outgoing
from keeld.text import clean

_TITLE_MOST = 200
_POINTERS = ("Runbook", "Page", "Dashboard")
"""What the last lines of a message point to, by the word before the colon."""


def title(move: Transition) -> str:
    """Give the title as one clean line, never empty."""
    return clean(move.title, _TITLE_MOST) or f"{move.rule} {move.target_kind} {move.target_id}"


def headline(outgoing: Outgoing) -> str:
    """Give the title behind its severity, or behind the word of its end."""
    return f"[{word(outgoing)}] {title(outgoing.transition)}"


def word(outgoing: Outgoing) -> str:
    """Say the severity, that somebody has it, or how it ended: RESOLVED, UNVERIFIABLE, WITHDRAWN."""
    move = outgoing.transition
    if outgoing.notice is Notice.ACKNOWLEDGE:
        return "ACKNOWLEDGED"
    if outgoing.notice is Notice.RESOLVE:
        return (move.ended or "resolved").upper()
    return move.severity.upper()


def is_all_clear(outgoing: Outgoing) -> bool:
    """Whether the condition is proven to be over; an end for want of evidence is no all-clear."""
    return outgoing.notice is Notice.RESOLVE and outgoing.transition.ended in ("", "resolved")


def facts(outgoing: Outgoing, most: int) -> str:
    """Give the text in clean lines and at most `most` characters, without a first line that only repeats the title."""
    first, _, rest = outgoing.transition.text.partition("\n")
    repeats = bool(rest and outgoing.transition.title) and first.endswith(outgoing.transition.title)
    lines = (rest if repeats else outgoing.transition.text).split("\n")
    text = "\n".join(clean(line, most + 1) for line in lines).strip()
    return cut(text, most) or title(outgoing.transition)


def links(move: Transition) -> dict[str, str]:
    """Find what the last lines of the text point to: word to address, as far as a browser opens it."""
    found: dict[str, str] = {}
    for line in reversed(move.text.splitlines()):
        name, mark, link = line.partition(": ")
        if not mark or name not in _POINTERS or name in found:
            break
        found[name] = link.strip()
    return {name: found[name] for name in _POINTERS if _is_link(found.get(name, ""))}


def cut(text: str, most: int) -> str:
    """Shorten a text to `most` characters, at a line's end where one is near, and show that it was cut."""
    if len(text) <= most:
        return text
    kept = text[: most - 1]
    line, mark, _ = kept.rpartition("\n")
    return f"{line}{mark}…" if len(line) * 2 > most else f"{kept}…"


def cut_bytes(text: str, most: int) -> str:
    """Shorten a text to `most` bytes of UTF-8 and show that it was cut."""
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= most else raw[: most - 3].decode("utf-8", "ignore") + "…"


def _is_link(text: str) -> bool:
    is_plain = text.isascii() and not any(letter in ' <>|"\\' for letter in text)
    return is_plain and text.startswith(("https://", "http://"))
