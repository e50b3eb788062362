"""A proxy on the loopback interface through which a bridge reads http, so that it is under the same policy as we are.

The ffmpeg program is told to send everything through it. It fetches with a `Fetcher`, which verifies certificates and
refuses other hosts; tunnels, which would hide where they lead, are not given.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from streammm.errors import SourceError
from streammm.media.http import Fetcher


class Relay:
    """Serves one source.

    Args:
        fetcher: makes the requests.
        is_secure: the source is https; what is asked for as http is fetched so then.
    """

    def __init__(self, fetcher: Fetcher, is_secure: bool) -> None:
        self.failure: SourceError | None = None
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Says nothing."""

        self._fetcher = fetcher
        self._is_secure = is_secure
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="streammm-relay", daemon=True).start()

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        url = request.path
        if self._is_secure and url.startswith("http:"):
            url = "https:" + url.removeprefix("http:")
        asked = re.match(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        try:
            with self._fetcher.get(url, int(asked[1]) if asked else 0) as response:
                request.send_response(response.status if asked else 200)
                for name in ("Content-Type", "Content-Range"):
                    if (value := response.headers.get(name)) and (asked or name == "Content-Type"):
                        request.send_header(name, value)
                request.send_header("Connection", "close")
                request.end_headers()
                if urlsplit(url).path.endswith(".mpd"):
                    request.wfile.write(response.read().replace(b"https://", b"http://"))
                    return
                left = int(asked[2]) - int(asked[1]) + 1 if asked and asked[2] else None
                while left != 0 and (block := response.read1(65536 if left is None else min(left, 65536))):
                    request.wfile.write(block)
                    left = None if left is None else left - len(block)
        except SourceError as error:
            self.failure = self.failure or error
            with suppress(OSError):
                request.send_error(403)
        except (OSError, HTTPException):
            request.close_connection = True
