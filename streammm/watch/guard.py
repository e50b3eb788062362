"""Who may talk to the page: asked of every request before anything else is done with it.

The dangers are other sites in the same browser (requests across sites, names that are rebound to this address, pages in
frames) and, where the page is bound to more than this machine, whoever reaches it.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SAFE = ("GET", "HEAD")
_MAX_BODY_BYTES = 16 * 1024

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


class Guard:
    """Lets through what the page itself, or a program that holds the token, asks for.

    Args:
        app: what is guarded.
        hosts: names by which the page is reached; addresses of the network are taken as well where it has a token.
        port: where it listens.
        token: what has to be known; "" for nothing, on this machine alone.
    """

    def __init__(self, app: App, hosts: Collection[str], port: int, token: str) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._port = port
        self._token = token
        self._cookie = f"streammm_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        if refused := self._refusal(scope, headers):
            await _answer(send_guarded, refused[0], json.dumps({"detail": refused[1]}), "application/json")
        elif self._is_opened(scope):
            await self._let_in(send_guarded)
        elif not self._knows_token(headers):
            await self._turn_away(scope, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """The status and the reason of a request that is not answered, whoever sends it."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "this page is not known by that name; open it by the one that it was given with --listen"
        fetched_from = headers.get("sec-fetch-site", "")
        if scope["method"] in _SAFE:
            opens = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            return None if fetched_from in ("", "none", "same-origin") or opens else (403, "asked for by another site")
        if fetched_from not in ("", "same-origin"):
            return 403, "asked for by another site"
        # A browser that says where the request is from is believed: behind a proxy the page has another origin.
        if not fetched_from and "origin" in headers and urlsplit(headers["origin"]).netloc.lower() != host.lower():
            return 403, "asked for by another site"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "the content type must be application/json"
        size = headers.get("content-length", "")
        if "transfer-encoding" in headers or (size and not size.isdigit()):
            return 411, "the length must be told"
        if int(size or 0) > _MAX_BODY_BYTES:
            return 413, f"more than {_MAX_BODY_BYTES} bytes"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if parts.netloc != host or port != self._port:
            return False
        return name in self._hosts or (bool(self._token) and _is_numeric(name))

    def _is_opened(self, scope: Scope) -> bool:
        """Whether this is the link with the token, as it was printed."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return scope["path"] == "/" and scope["method"] == "GET" and bool(self._token) and _same(given, self._token)

    def _knows_token(self, headers: dict[str, str]) -> bool:
        if not self._token:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return _same(given.strip(), self._token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self._token)

    async def _let_in(self, send: Send) -> None:
        """Remembers the token in a cookie that no script reads, and goes on to the page without it in the address.

        By a page rather than a redirection: a strict cookie is not sent along where the link was on another site.
        """
        text = '<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>streammm</title><a href="/">Open</a>'
        cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
        await _answer(send, 200, text, "text/html; charset=utf-8", {"set-cookie": cookie})

    async def _turn_away(self, scope: Scope, send: Send) -> None:
        more = {"www-authenticate": "Bearer"}
        if scope["path"].startswith("/api/"):
            await _answer(send, 401, json.dumps({"detail": "the token is wanted"}), "application/json", more)
            return
        what = html.escape("Open the link that streammm printed where it was started: it holds the token.")
        text = f'<!doctype html><html lang="en"><title>streammm</title><p>{what}</p></html>'
        await _answer(send, 401, text, "text/html; charset=utf-8", more)


def _same(given: str, token: str) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), token.encode())


def _is_numeric(host: str) -> bool:
    """Whether a host is an address of the network, which no name server can turn to another."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _answer(send: Send, status: int, text: str, kind: str, more: dict[str, str] | None = None) -> None:
    body = text.encode()
    headers = {"content-type": kind, "content-length": str(len(body)), **(more or {})}
    found = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body})
