"""What every request must pass, and what every answer carries.

The API has no login yet, so it trusts whoever reaches it and gives that person nothing to change. A browser on the same
machine is the one stranger who reaches loopback: the Host check keeps foreign pages from reading it by DNS rebinding,
the headers keep them from framing it or running anything in it.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

_REQUESTS_MOST = 64
"""Requests under way at once; more are asked to come back."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "keeld",
}


def answer(form: Any, status: int = 200) -> web.Response:
    """Give a value as JSON."""
    return web.Response(body=orjson.dumps(form), status=status, content_type="application/json")


def refusal(status: int, error: str, remedy: str = "") -> web.Response:
    """Say what is wrong with a request and what to ask instead."""
    return answer({"error": error, "remedy": remedy} if remedy else {"error": error}, status)


@web.middleware
async def headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the security headers on every answer; refusals of the router become JSON."""
    try:
        response = await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = refusal(405, f"{error.method} is not possible here", f"use {', '.join(error.allowed_methods)}")
        response.headers["Allow"] = error.headers["Allow"]
    except web.HTTPException as error:
        response = refusal(error.status, f"{request.path}: {error.reason.lower()}")
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def reads_only(socket: str) -> Middleware:
    """Refuse whatever is no reading: on TCP nobody has said who he is."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in ("GET", "HEAD"):
            return await handler(request)
        response = refusal(405, f"{request.method} is not possible on this address, which only reads", socket)
        response.headers["Allow"] = "GET, HEAD"
        return response

    return check


@web.middleware
async def local_names_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a Host that is no name of this machine's loopback."""
    host = request.headers.get("Host")
    if host is None or is_local(host):
        return await handler(request)
    return refusal(403, "this Host name does not belong to the loopback address", "open http://localhost:PORT/")


def is_local(host: str) -> bool:
    """Whether a Host header (with or without port) names loopback."""
    name = host.strip().lower()
    name = name[1 : name.find("]")] if name.startswith("[") else name.rpartition(":")[0] or name
    if name.rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def few_at_once() -> Middleware:
    """Bound the requests under way, so that a crowd of pages cannot keep keeld from polling."""
    under_way = 0

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal under_way
        if under_way >= _REQUESTS_MOST:
            response = refusal(503, "too many requests at once", "ask again in a second")
            response.headers["Retry-After"] = "1"
            return response
        under_way += 1
        try:
            return await handler(request)
        finally:
            under_way -= 1

    return check


def quiet_log() -> logging.Logger:
    """Give a logger for the server that keeps bugs and drops what strangers send to the port."""
    log = logging.getLogger("keeld.web")
    log.filters[:] = [_is_ours]
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
