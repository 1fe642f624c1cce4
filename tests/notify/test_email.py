"""Mail goes out over TLS, once, to whoever the server takes it for, and gives no password away."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import ssl
import subprocess
import time

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.model import AlertState, Notice, Severity, Transition
from keeld.notify import email as mail
from keeld.settings import ChannelSettings
from keeld.state import Outgoing


class MailServer:
    """A small SMTP server that records; `answers` maps a command's first word (or DATA's end, `.`) to its reply."""

    def __init__(self) -> None:
        self.port = 0
        self.commands: list[str] = []
        self.mails: list[email.message.EmailMessage] = []
        self.answers: dict[str, str] = {}
        self.extensions = ["8BITMIME"]
        self.tls: ssl.SSLContext | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.say(writer, self.answers.get("greeting", "220 lab ESMTP"))
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                self.commands.append(line)
                if await self.obey(line, reader, writer):
                    break
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def say(self, writer: asyncio.StreamWriter, text: str) -> None:
        writer.write(f"{text}\r\n".encode())
        await writer.drain()

    async def obey(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        verb = line.split(maxsplit=1)[0].upper()
        answer = self.answers.get(line) or self.answers.get(verb)
        if answer == "hang":
            await asyncio.sleep(30)
        elif answer:
            await self.say(writer, answer)
        elif verb == "EHLO":
            words = ["lab", *self.extensions]
            text = "\r\n".join(f"250{' ' if n == len(words) - 1 else '-'}{word}" for n, word in enumerate(words))
            await self.say(writer, text)
        elif verb == "STARTTLS":
            await self.say(writer, "220 go on")
            await writer.start_tls(self.tls)
            self.extensions = ["AUTH PLAIN"]
        elif verb == "DATA":
            await self.say(writer, "354 go on")
            raw = await reader.readuntil(b"\r\n.\r\n")
            self.mails.append(email.message_from_bytes(raw[:-3], policy=email.policy.default))
            await self.say(writer, self.answers.get(".", "250 taken"))
        else:
            await self.say(writer, {"QUIT": "221 bye", "AUTH": "235 welcome"}.get(verb, "250 fine"))
        return verb == "QUIT"


@pytest.fixture
async def server():
    it = MailServer()
    listener = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.port = listener.sockets[0].getsockname()[1]
    yield it
    listener.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lab"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key", "-out", "cert"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def secure(server, certificate):
    server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.tls.load_cert_chain(certificate / "cert", certificate / "key")
    server.extensions = ["STARTTLS"]
    return server


def settings(port: int, scheme: str = "smtp", to: str = "noc@site.example", **changed) -> ChannelSettings:
    options = {"server": f"{scheme}://127.0.0.1:{port}", "sender": "keeld@site.example", "to": to}
    options |= changed.pop("options", {})
    return ChannelSettings(kind="email", name="mail", options=options, **changed)


@pytest.fixture
async def channel():
    opened = []

    def make(port: int, *args, **changed) -> mail.Email:
        opened.append(mail.open_channel(settings(port, *args, **changed), "dal1"))
        return opened[-1]

    yield make
    for it in opened:
        await it.close()


async def test_a_mail_is_plain_text_with_its_id_and_its_thread(server, channel, message):
    it = channel(server.port, to="noc@site.example, chief@site.example")
    await it.send(message(title="r08 über Budget\r\nBcc: all@site.example"))
    await it.send(message(Notice.RESOLVE))
    first, second = server.mails
    assert first["Subject"] == "[CRITICAL] r08 über Budget Bcc: all@site.example (dal1)"
    assert first["Bcc"] is None
    assert first["To"] == "noc@site.example, chief@site.example"
    assert first["From"] == "keeld <keeld@site.example>"
    assert first["Message-ID"] == f"<{'0f' * 16}@site.example>"
    assert first["References"] == second["References"] == "<a8.1795402020000000000@site.example>"
    assert first["Date"] == "Mon, 23 Nov 2026 02:53:00 +0000"
    assert (first["Auto-Submitted"], first["Importance"], second["Importance"]) == ("auto-generated", "high", None)
    assert first.get_content_type() == "text/plain"
    assert first.get_content().splitlines() == message().transition.text.splitlines()
    assert second["Subject"].strip().startswith("[RESOLVED] ")
    assert "ehlo [127.0.0.1]" in server.commands


async def test_a_login_goes_over_checked_tls(secure, channel, message, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    it = channel(secure.port, options={"username": "k"}, secrets={"password": Secret("s3cret")})
    await it.send(message())
    (login,) = [line for line in secure.commands if line.startswith("AUTH")]
    assert base64.b64decode(login.removeprefix("AUTH PLAIN ")) == b"\0k\0s3cret"
    assert secure.commands.index("STARTTLS") < secure.commands.index(login)
    assert len(secure.mails) == 1


async def test_an_unknown_certificate_is_refused(secure, channel, message):
    with pytest.raises(DeliveryError, match="certificate is refused"):
        await channel(secure.port).send(message())
    assert not secure.mails


async def test_tls_from_the_start(secure, channel, message, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    listener = await asyncio.start_server(secure.serve, "127.0.0.1", 0, ssl=secure.tls)
    await channel(listener.sockets[0].getsockname()[1], "smtps").send(message())
    listener.close()
    assert len(secure.mails) == 1
    assert "STARTTLS" not in secure.commands


async def test_nothing_secret_goes_in_the_clear(server, channel, message, monkeypatch):
    it = channel(server.port, options={"username": "k"}, secrets={"password": Secret("s3cret")})
    with pytest.raises(DeliveryError, match="not sent in the clear"):
        await it.send(message())
    monkeypatch.setattr(mail, "_is_loopback", lambda client: False)
    with pytest.raises(DeliveryError, match="offers no STARTTLS"):
        await channel(server.port).send(message())
    assert not server.mails


@pytest.mark.parametrize(
    ("answers", "said", "permanent"),
    [
        ({"greeting": "421 busy"}, "421 busy", False),
        ({"MAIL": "550 who"}, "550 who", False),
        ({"RCPT": "550 nobody"}, "refuses every recipient", False),
        ({".": "451 later"}, "451 later", False),
        ({".": "552 too large\x1b[31m"}, "552 too large [31m", True),
        ({"EHLO": "500 what", "HELO": "500 what"}, "500 what", False),
        ({"MAIL": "garbage"}, "connection closed|-1 ", False),
    ],
)
async def test_refusals_are_delivery_errors(server, channel, message, answers, said, permanent):
    server.answers = answers
    with pytest.raises(DeliveryError, match=said.replace("[", r"\[")) as raised:
        await channel(server.port).send(message())
    assert raised.value.permanent is permanent
    assert raised.value.__cause__ is None


async def test_a_login_that_is_refused_tells_no_password(secure, channel, message, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    secure.answers = {"AUTH": "535 no such login k s3cret"}
    it = channel(secure.port, options={"username": "k"}, secrets={"password": Secret("s3cret")})
    with pytest.raises(DeliveryError) as raised:
        await it.send(message())
    assert raised.value.detail == "smtp://127.0.0.1: 535 no such login k ***"


async def test_one_recipient_of_two_is_enough_and_the_other_is_named_once(server, channel, message):
    server.answers = {"rcpt TO:<gone@site.example>": "550 gone"}
    it = channel(server.port, to="gone@site.example, noc@site.example")
    with structlog.testing.capture_logs() as logs:
        await it.send(message())
        await it.send(message())
    assert len(server.mails) == 2
    assert [(line["event"], line["recipients"]) for line in logs] == [("mail refused for some", ["gone@site.example"])]


async def test_a_silent_server_is_cut_at_the_deadline_and_frees_its_thread(server, channel, message, monkeypatch):
    monkeypatch.setattr(mail, "_TOTAL_S", 0.3)
    server.answers = {"MAIL": "hang"}
    it = channel(server.port)
    began = time.monotonic()
    with pytest.raises(DeliveryError, match="no answer within"):
        await it.send(message())
    server.answers = {}
    await it.send(message())
    assert time.monotonic() - began < 2
    assert len(server.mails) == 1


async def test_a_closed_port_and_a_bad_address(channel, message):
    with pytest.raises(DeliveryError, match="Connection refused"):
        await channel(1).send(message())
    with pytest.raises(DeliveryError, match="no mail address"):
        await channel(1, to="a b@").send(message())


@given(title=st.text(max_size=300), text=st.text(max_size=3000))
def test_any_text_is_a_mail(title, text):
    move = Transition(
        key="k",
        alert_id="a",
        rule="leak",
        target_kind="rack",
        target_id="r1",
        before=AlertState.PENDING,
        after=AlertState.FIRING,
        severity=Severity.CRITICAL,
        title=title,
        text=text,
    )
    raw = mail.compose(Outgoing("id", "mail", Notice.TRIGGER, 1, move), settings(25), "dal1").as_bytes()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert read["To"] == "noc@site.example"
    assert read["Subject"].strip().startswith("[CRITICAL] ")
