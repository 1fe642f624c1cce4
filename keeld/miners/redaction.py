"""Take what identifies its owner out of a raw answer, so that it can be shown, or published as a fixture.

Works on the text and not on the parsed answer: a fixture must keep the very bytes that made a firmware hard to read.
"""

from __future__ import annotations

import re

_ACCOUNT_KEYS = "user|username|pass|passwd|password|worker|workername|account|token|salt|url|stratum url"
_OWNER_KEYS = (
    "mac|macaddr|mac_address|serial|serialnumber|serial_no|serial_number|serinum|sn|dev_sn|minersn|miner-sn|miner_sn|"
    "pcb sn|pcbsn[0-9]*|psu_serial_no|miner_id|dna|hostname|ip|ipaddr|ipaddress|gateway|bcastaddr|dns|dns servers|"
    "dnsservers|pool|wifi|ssid"
)
# "DevFee" is not the owner's pool: decoding leaves it out by that name.
_VALUE = r'(?!"DevFee")(?:"(?:[^"\\]++|\\.|\\$)*+"?|-?[0-9][^,}\]\s]*+)'


def _pairs(keys: str) -> re.Pattern[str]:
    return re.compile(rf'("(?:{keys})"\s*+:\s*+){_VALUE}', re.IGNORECASE | re.DOTALL)


_ACCOUNTS = _pairs(_ACCOUNT_KEYS)
_OWNER = _pairs(_OWNER_KEYS)
_URL = re.compile(r"\b([a-z][a-z0-9+.]{1,20}://)[^\s\"',}\]]++", re.IGNORECASE)
_MAC = re.compile(r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9.])")


def hide_secrets(raw: bytes) -> str:
    """Give an answer as printable text without accounts, passwords and pool addresses (which can hold both)."""
    text = _printable(raw.decode("utf-8", errors="replace"))
    return _URL.sub(r"\1redacted", _ACCOUNTS.sub(r'\1"redacted"', text))


def anonymise(raw: bytes) -> str:
    """Give an answer as printable text that also names no machine, address or owner."""
    text = _OWNER.sub(_blank, hide_secrets(raw))
    return _IPV4.sub("192.0.2.1", _MAC.sub("02:00:00:00:00:00", text))


def _blank(match: re.Match[str]) -> str:
    value = match[0][len(match[1]) :]
    # A number keeps its type, and "POOL": 0 is the pool's position.
    return match[0] if value.isdigit() and len(value) <= 2 else f'{match[1]}"redacted"'  # noqa: PLR2004  # two digits


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() or character in "\n\t" else f"\\u{ord(character):04x}"
        for character in text
    )
