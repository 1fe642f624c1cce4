"""The way to services that only Apprise knows: a stand-in for the library, and the library itself where it is."""

from __future__ import annotations

import sys
import types

import orjson
import pytest

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.model import Notice, Severity
from keeld.notify import apprise
from keeld.settings import ChannelSettings


def channel(url: str = "json://127.0.0.1"):
    return apprise.open_channel(ChannelSettings(kind="apprise", name="it", url=Secret(url)), "dal1")


@pytest.fixture
def library(monkeypatch):
    """Notes what it is asked to send; knows one scheme and says no to `refuse`."""
    sent = []

    class Library:
        def add(self, url: str) -> bool:
            self.url = url
            return url.startswith("json://")

        async def async_notify(self, **message) -> bool:
            sent.append(message)
            return "refuse" not in self.url

    monkeypatch.setitem(sys.modules, "apprise", types.SimpleNamespace(Apprise=Library))
    return sent


async def test_a_message_says_how_bad_it_is(library, message):
    for one in (
        message(),
        message(severity=Severity.WARNING),
        message(Notice.RESOLVE),
        message(Notice.RESOLVE, ended="unverifiable"),
    ):
        await channel().send(one)
    assert [sent["notify_type"] for sent in library] == ["failure", "warning", "success", "info"]
    assert library[0]["title"].startswith("[CRITICAL] ")
    assert "Where: " in library[0]["body"]


async def test_what_was_not_delivered_is_a_failure(library, message):
    with pytest.raises(DeliveryError, match="could not deliver"):
        await channel("json://refuse").send(message())
    with pytest.raises(DeliveryError, match="none that apprise knows"):
        await channel("what://127.0.0.1/secret").send(message())


async def test_without_the_library_it_says_what_to_install(monkeypatch, message):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(DeliveryError, match=r'pip install "keeld\[apprise\]"'):
        await channel().send(message())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the library's own, on this Python
async def test_the_library_itself_delivers(receiver, message):
    pytest.importorskip("apprise", reason="the extra keeld[apprise] is not installed")
    await channel(f"json://127.0.0.1:{receiver.port}/hook").send(message())
    ((_, body),) = receiver.received
    assert orjson.loads(body)["type"] == "failure"
