"""E-mail by SMTP: plain text, over TLS, one message for each word on an alarm, in one thread per alarm.

`smtps://` is TLS from the start (port 465), `smtp://` begins in the clear (port 587) and goes on only with STARTTLS,
except to this host itself. Certificates are checked. The work is done in a thread of its own, because the library
blocks; after the deadline its connection is cut. The Message-ID is made of the message's id, so that a repeat shows.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ipaddress
import smtplib
import socket
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

import structlog
from yarl import URL

from keeld.errors import DeliveryError
from keeld.model import Severity
from keeld.notify import words
from keeld.settings import ChannelSettings
from keeld.state import Outgoing
from keeld.text import clean

_log = structlog.get_logger()

_TOTAL_S = 12.0
_STEP_S = 8.0
_PORTS = {"smtp": 587, "smtps": 465}
_TEXT_MOST = 20_000
_PERMANENT = 500
"""Answers from here on do not change by repeating."""


def open_channel(settings: ChannelSettings, site: str) -> Email:
    """Make the channel; each message opens a connection of its own."""
    return Email(settings, site)


class Email:
    """One mail server and the people it brings our messages to."""

    def __init__(self, settings: ChannelSettings, site: str) -> None:
        self._settings = settings
        self._site = site
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mail")
        self._delivery: _Delivery | None = None
        self._refused: frozenset[str] = frozenset()

    async def send(self, outgoing: Outgoing) -> None:
        """Send the message once to everybody; it is delivered when the server took it for at least one of them."""
        delivery = self._delivery = _Delivery(self._settings, compose(outgoing, self._settings, self._site))
        try:
            async with asyncio.timeout(_TOTAL_S):
                refused = await asyncio.get_running_loop().run_in_executor(self._thread, delivery.run)
        except TimeoutError:
            raise DeliveryError(f"{delivery.shown}: no answer within {_TOTAL_S:g} s") from None
        finally:
            delivery.cut()
        if refused and refused != self._refused:
            _log.warning("mail refused for some", channel=self._settings.name, recipients=sorted(refused))
        self._refused = refused

    async def close(self) -> None:
        """Cut what is under way."""
        if self._delivery is not None:
            self._delivery.cut()
        self._thread.shutdown(wait=False, cancel_futures=True)


def compose(outgoing: Outgoing, settings: ChannelSettings, site: str) -> EmailMessage:
    """Write the mail; raise DeliveryError where an address in the configuration is none."""
    move = outgoing.transition
    message = EmailMessage(policy=SMTP)
    try:
        sender = Address(addr_spec=settings.options["sender"])
        message["From"] = Address("keeld", addr_spec=sender.addr_spec)
        message["To"] = [Address(addr_spec=text) for text in settings.options["to"].split(", ")]
    except (ValueError, LookupError):
        raise DeliveryError("its sender or a recipient is no mail address") from None
    message["Subject"] = f"{words.headline(outgoing)} ({clean(site)})"
    message["Date"] = datetime.fromtimestamp(move.time_ns // 1_000_000_000, UTC)
    message["Message-ID"] = f"<{outgoing.id}@{sender.domain}>"
    message["References"] = f"<{move.alert_id}.{move.since_ns}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if move.severity is Severity.CRITICAL and not move.ended:
        message["Importance"] = "high"
    message.set_content(words.cut(move.text, _TEXT_MOST) + "\n")
    return message


class _Delivery:
    """One conversation with the server, run in a thread and cut from outside."""

    def __init__(self, settings: ChannelSettings, message: EmailMessage) -> None:
        self._settings = settings
        self._message = message
        self._url = URL(settings.options.get("server", ""))
        self._client: smtplib.SMTP | None = None
        self._is_cut = False

    @property
    def shown(self) -> str:
        """The server, for errors."""
        return f"{self._url.scheme}://{clean(self._url.host or '')}"

    def run(self) -> frozenset[str]:
        """Deliver the message; give the recipients that were refused while others were not. Raises DeliveryError."""
        try:
            return self._converse()
        except smtplib.SMTPRecipientsRefused:
            raise DeliveryError(f"{self.shown}: refuses every recipient") from None
        except smtplib.SMTPDataError as error:
            permanent = error.smtp_code >= _PERMANENT
            raise DeliveryError(f"{self.shown}: {self._words(error)}", permanent=permanent) from None
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(f"{self.shown}: {self._words(error)}") from None
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(f"{self.shown}: its certificate is refused: {clean(error.verify_message)}") from None
        except smtplib.SMTPServerDisconnected:
            raise DeliveryError(f"{self.shown}: connection closed") from None
        except smtplib.SMTPNotSupportedError:
            raise DeliveryError(f"{self.shown}: it cannot take a login or these addresses") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise DeliveryError(f"{self.shown}: {clean(reason, 120)}") from None

    def cut(self) -> None:
        """End the conversation wherever it is; harmless when it is over."""
        self._is_cut = True
        connection = self._client.sock if self._client else None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _converse(self) -> frozenset[str]:
        tls = ssl.create_default_context()
        is_tls = self._url.scheme == "smtps"
        client = smtplib.SMTP_SSL(timeout=_STEP_S, context=tls) if is_tls else smtplib.SMTP(timeout=_STEP_S)
        self._client = client
        try:
            self._connect(client)
            if not is_tls:
                self._secure(client, tls)
            self._log_in(client)
            if self._is_cut:
                raise smtplib.SMTPServerDisconnected
            refused = client.send_message(self._message)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()  # the message is taken: what follows changes nothing
            return frozenset(refused)
        finally:
            client.close()

    def _connect(self, client: smtplib.SMTP) -> None:
        host = self._url.host or ""
        # The name that TLS checks is set by the constructor alone, and only together with connecting there and then.
        client._host = host  # type: ignore[attr-defined] # undeclared # noqa: SLF001 - see above
        code, said = client.connect(host, self._url.explicit_port or _PORTS[self._url.scheme])
        if code != 220:  # noqa: PLR2004 - RFC 5321: ready
            raise smtplib.SMTPConnectError(code, said)
        if client.sock is not None:
            own = client.sock.getsockname()[0]
            # An address literal needs no look-up of this host's name.
            client.local_hostname = f"[IPv6:{own}]" if ":" in own else f"[{own}]"
        client.ehlo_or_helo_if_needed()

    def _secure(self, client: smtplib.SMTP, tls: ssl.SSLContext) -> None:
        if client.has_extn("starttls"):
            client.starttls(context=tls)
            client.ehlo()
        elif not _is_loopback(client):
            raise DeliveryError(f"{self.shown}: offers no STARTTLS: use smtps:// or a server on this host")

    def _log_in(self, client: smtplib.SMTP) -> None:
        password = self._settings.secrets.get("password")
        if password is None:
            return
        if not isinstance(client.sock, ssl.SSLSocket):
            raise DeliveryError(f"{self.shown}: offers no STARTTLS, and a password is not sent in the clear")
        client.login(self._settings.options.get("username", ""), password.reveal())

    def _words(self, error: smtplib.SMTPResponseException) -> str:
        said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        password = self._settings.secrets.get("password")
        if password:
            said = said.replace(password.reveal(), "***")
        return f"{error.smtp_code} {clean(said, 120)}"


def _is_loopback(client: smtplib.SMTP) -> bool:
    return client.sock is not None and ipaddress.ip_address(client.sock.getpeername()[0].partition("%")[0]).is_loopback
