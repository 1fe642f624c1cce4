"""Listen on loopback for readers, and on a unix socket for those who may change something."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from keeld.errors import ConfigError, Problem
from keeld.web import guard
from keeld.web.routes import Routes
from keeld.web.source import Source

_SOCKET_MODE = 0o660
_STOP_S = 2.0


class Server:
    """Serves one source on the addresses of its settings, from `start` to `stop`."""

    def __init__(self, source: Source) -> None:
        self._settings = source.settings.http
        self._routes = Routes(source)
        self._runners: list[web.AppRunner] = []
        self.port = self._settings.port
        """The port in use; the system's choice where the settings say 0."""

    @property
    def url(self) -> str:
        """Address of the status page, for people."""
        host = self._settings.host
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    async def start(self) -> None:
        """Listen; raise ConfigError where an address cannot be had."""
        try:
            await self._listen_tcp()
            if self._settings.socket is not None:
                await self._listen_unix(self._settings.socket)
        except ConfigError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening; requests under way have 2 s to end."""
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()

    async def _listen_tcp(self) -> None:
        host, port = self._settings.host, self._settings.port
        runner = await self._run(self._reading_app())
        try:
            site = web.TCPSite(runner, host, port, reuse_address=True)
            await site.start()
        except (OSError, OverflowError) as error:
            remedy = "stop what listens there or write another http.listen"
            raise ConfigError([Problem(f"http.listen {host}:{port}", _words(error), remedy)]) from None
        self.port = runner.addresses[0][1]

    async def _listen_unix(self, path: Path) -> None:
        runner = await self._run(self._changing_app())
        try:
            _clear(path)
            await web.UnixSite(runner, str(path)).start()
            _open_to_group(path)
        except OSError as error:
            remedy = "make its folder writable for keeld or write another http.socket"
            raise ConfigError([Problem(f"http.socket {path}", _words(error), remedy)]) from None

    def _reading_app(self) -> web.Application:
        socket_hint = self._settings.socket or "a unix socket"
        where = f"use {socket_hint}"
        checks: list[Middleware] = [guard.headers, guard.few_at_once(), guard.reads_only(where)]
        if is_loopback(self._settings.host):
            checks.append(guard.local_names_only)
        app = web.Application(middlewares=checks, client_max_size=1024)
        app.add_routes(self._routes.readings())
        return app

    def _changing_app(self) -> web.Application:
        app = web.Application(middlewares=[guard.headers, guard.few_at_once()], client_max_size=65536)
        app.add_routes(self._routes.readings() + self._routes.changes())
        return app

    async def _run(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=guard.quiet_log(),
            keepalive_timeout=15.0,
            shutdown_timeout=_STOP_S,
        )
        await runner.setup()
        self._runners.append(runner)
        return runner


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _clear(path: Path) -> None:
    """Take away the socket that a killed keeld left; refuse to take one that somebody answers on."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise FileExistsError(17, "another keeld answers on it")


def _open_to_group(path: Path) -> None:
    path.chmod(_SOCKET_MODE)


def _words(error: OSError | OverflowError) -> str:
    number = getattr(error, "errno", None)
    if isinstance(error, FileExistsError) and error.strerror:
        return error.strerror
    return os.strerror(number) if number else str(error)
