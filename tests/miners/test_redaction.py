"""What may be shown of an answer, and what may be published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.miners.redaction import anonymise, hide_secrets


@pytest.mark.parametrize(
    "raw",
    [
        '{"User":"SECRET"}',
        '{"user" : "SECRET"}',
        '{"USER":"a\\"SECRET"}',
        '{"Pass":"SECRET","x":1}',
        '{"url":"stratum+tcp://SECRET:x@pool:3333"}',
        '{"Msg":"pool stratum+ssl://u:SECRET@pool is dead"}',
        '{"User":"SECRET',
        '{"salt":"SECRET"}{"b":',
        '{"account":SECRET1234}'.replace("SECRET1234", "9991234"),
    ],
)
def test_accounts_never_show(raw: str) -> None:
    shown = hide_secrets(raw.encode())
    assert "SECRET" not in shown
    assert "9991234" not in shown
    assert "redacted" in shown


@pytest.mark.parametrize(
    "raw",
    [
        '{"MAC":"C6:07:20:00:12:34"}',
        '{"x":"at C6-07-20-00-12-34."}',
        '{"minersn":"C6:07:20:00:12:34"}',
        '{"IPAddr":"192.168.86.46"}',
        '{"note":"seen from 192.168.86.46:80"}',
        '{"PCB SN":"192.168.86.46"}',
    ],
)
def test_a_fixture_names_no_machine(raw: str) -> None:
    published = anonymise(raw.encode())
    assert "C6" not in published
    assert "192.168.86.46" not in published


def test_what_matters_for_decoding_stays_byte_for_byte() -> None:
    raw = '{"STATS":[{"Type":"Antminer S7"}{"fan1":4200,"GHS 5s":5130.11,"POOL":0,"temp_chip1":"78-50-69-70"}]}'
    assert anonymise(raw.encode()) == raw


def test_text_for_a_terminal_has_no_control_characters() -> None:
    assert hide_secrets(b"\x1b[2Jx\xff\x00\r\n\te\xe2\x80\xae") == "\\u001b[2Jx\ufffd\\u0000\\u000d\n\te\\u202e"


@given(st.binary(max_size=300))
def test_any_bytes_can_be_shown(raw: bytes) -> None:
    text = anonymise(raw)
    assert all(character.isprintable() or character in "\n\t" for character in text)
