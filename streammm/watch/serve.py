"""Where the page listens, under which names and with which token; it is served beside the run, in its event loop."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from streammm.errors import ConfigError
from streammm.media.listing import ListingOptions
from streammm.watch.cards import Cards

if TYPE_CHECKING:
    import uvicorn

    from streammm.watch.app import Run

PORT = 8420
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LEAST_TOKEN = 16
_TOKEN = "STREAMMM_TOKEN"  # noqa: S105 - its name
_END_SECONDS = 2.0


class Page:
    """The page of a run. It listens at once, so that a mistake is said before anything starts.

    Args:
        address: ``HOST:PORT`` or ``PORT``; on loopback by default.
        cards: what is shown.
        options: how sources are listed that are added.
        with_pictures: whether the last picture of each source is shown.

    Raises:
        ConfigError: it cannot listen there, a library is missing, or the token is too short.
    """

    def __init__(self, address: str, cards: Cards, options: ListingOptions, with_pictures: bool) -> None:
        try:
            import fastapi  # noqa: F401
            import uvicorn  # noqa: F401
        except ImportError as error:
            raise ConfigError(f'the page needs a library: pip install "streammm[watch]" ({error})') from error
        self._cards = cards
        self._options = options
        self._with_pictures = with_pictures
        self._host, port = _parts(address)
        self.token = _token(is_wanted=self._host not in _LOOPBACK)
        self._socket = _listen(self._host, port, address)
        self._port = self._socket.getsockname()[1]

    @property
    def link(self) -> str:
        """What is opened in a browser."""
        host = socket.gethostname() if self._host in ("0.0.0.0", "::") else self._host  # noqa: S104 - only read
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self._port}/" + (f"?token={self.token}" if self.token else "")

    async def attend(self, run: Run) -> None:
        """Serves the page as long as the run goes on."""
        from streammm.watch.app import keep_asking, make_app
        from streammm.watch.guard import Guard

        app = make_app(self._cards, run, self._options)
        hosts = {*_LOOPBACK, self._host} if not self.token else {*_LOOPBACK, self._host, *_names()}
        server = _server(Guard(app, hosts, self._port, self.token))
        asking = keep_asking(self._cards, run, app, self._with_pictures)
        serving = asyncio.create_task(server.serve([self._socket]))
        try:
            await asking
        finally:
            self._cards.close()  # whoever watches is told that it is over
            server.should_exit = True
            with suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_END_SECONDS):
                    await asyncio.shield(serving)
            serving.cancel()

    def close(self) -> None:
        """Listens no more."""
        self._socket.close()


def _server(app: Any) -> uvicorn.Server:
    """A server that leaves signals to the run."""
    import uvicorn

    class Beside(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    settings = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=128,
        timeout_keep_alive=30,
    )
    return Beside(settings)


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"--listen has the form HOST:PORT or PORT, got {address!r}")
    return host.strip("[]") or _LOOPBACK[0], int(port)


def _token(is_wanted: bool) -> str:
    given = os.environ.get(_TOKEN, "")
    if given and not re.fullmatch(rf"[A-Za-z0-9_-]{{{_LEAST_TOKEN},}}", given):
        raise ConfigError(f"{_TOKEN} must be at least {_LEAST_TOKEN} letters, digits, - and _")
    return given or (secrets.token_urlsafe(24) if is_wanted else "")


def _listen(host: str, port: int, address: str) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(128)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(f"the page cannot listen at {address}: {error.strerror or error}") from error
    listening.setblocking(False)
    return listening


def _names() -> set[str]:
    """By what this machine is known to others."""
    return {socket.gethostname().lower(), socket.getfqdn().lower()}
