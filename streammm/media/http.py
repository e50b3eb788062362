"""All reading over http and https: playlists, their segments and keys, and plain files, through one policy.

FFmpeg's own client does not verify certificates of what a playlist names and follows redirects to anywhere. Here every
request goes through Python: certificates are verified, and only the source's own host and those that are allowed are
ever spoken to.
"""

from __future__ import annotations

import base64
import email.message
import fnmatch
import io
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from streammm.errors import SourceError
from streammm.media.address import public_name, redact

_MAX_REDIRECTS = 5
_MAX_RETRIES = 3
_MAX_PLAYLIST_BYTES = 4 * 2**20
_SKIP_BY_READING = 256 * 1024
"""A seek ahead by less is done by reading on: a new request takes longer."""


class Fetcher:
    """Makes the requests of one source.

    Args:
        address: where it begins; user and password in it are sent to its own host only.
        allowed_hosts: further hosts, such as ``cdn.example.org`` or ``*.example.org``.
        timeout_seconds: how long connecting, and waiting for the next bytes, may take.
        ca_file: certificates to trust; by default those of the system.

    Attributes:
        is_endless: True once a media playlist without an end, or a body of no known length, was seen.
    """

    def __init__(
        self, address: str, allowed_hosts: Sequence[str], timeout_seconds: float, ca_file: str | None = None
    ) -> None:
        self.name = public_name(address)
        self.is_endless = False
        self._home = urlsplit(address)
        self._allowed_hosts = tuple(host.lower() for host in allowed_hosts)
        self._timeout_seconds = timeout_seconds
        self._opener = urllib.request.OpenerDirector()
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=_tls(ca_file)),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            _Redirects(self),
        ]
        for handler in handlers:
            self._opener.add_handler(handler)

    def io_open(self, url: str, flags: int, options: dict[str, str]) -> IO[bytes]:
        """What FFmpeg calls for everything that it opens: the address itself, and whatever that names."""
        if flags & 2:
            raise self.refuse("something in it asks for writing")
        return self.file(url)

    def file(self, url: str) -> IO[bytes]:
        """Opens an address for reading; the result seeks where the server can.

        Raises:
            SourceError: refused by the policy or the server, or not reached.
        """
        response = self.get(url, 0)
        if (playlist := self._as_playlist(url, response)) is not None:
            return io.BytesIO(playlist)
        if response.headers.get("Content-Range") or response.headers.get("Accept-Ranges") == "bytes":
            size = _size(response)
            if size is not None:
                return io.BufferedReader(_HttpFile(self, url, response, size), 64 * 1024)
        self.is_endless = self.is_endless or response.headers.get("Content-Length") is None
        return _HttpStream(response)  # type: ignore[return-value]

    def get(self, url: str, start: int) -> HTTPResponse:
        """Requests an address from a byte on."""
        self.check(url)
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        request = urllib.request.Request(  # noqa: S310 - checked above to be http or https
            urlunsplit((parts.scheme, host, parts.path, parts.query, "")),
            headers={"User-Agent": "streammm", "Range": f"bytes={start}-", "Accept": "*/*"},
        )
        if self._home.username is not None and host.lower() == self._home.netloc.rpartition("@")[2].lower():
            pair = f"{unquote(self._home.username)}:{unquote(self._home.password or '')}"
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        try:
            response: HTTPResponse = self._opener.open(request, timeout=self._timeout_seconds)
        except urllib.error.HTTPError as error:
            reason = "unauthorised" if error.code in (401, 403) else "unreachable"
            raise SourceError(self.name, reason, f"the server answers {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLError):
                raise self.refuse(f"its certificate is not to be trusted: {error.reason}") from error
            raise SourceError(self.name, "unreachable", f"cannot be reached: {redact(str(error.reason))}") from error
        except (OSError, HTTPException) as error:
            raise SourceError(self.name, "unreachable", f"cannot be reached: {redact(str(error))}") from error
        return response

    def check(self, url: str) -> None:
        """Refuses what must not be read.

        Raises:
            SourceError: it is no http address, on a host that is not allowed, or leaves https.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise self.refuse(f"it leads to {redact(url)[:80]}, which is not http or https")
        if self._home.scheme == "https" and parts.scheme == "http":
            raise self.refuse(f"it leads from https to http, at {parts.hostname}")
        host = (parts.hostname or "").lower()
        allowed = (self._home.hostname or "").lower(), *self._allowed_hosts
        if not any(host == pattern or ("*" in pattern and fnmatch.fnmatch(host, pattern)) for pattern in allowed):
            raise self.refuse(f"it leads to another host, {host}; network.allowed_hosts can allow that")

    def refuse(self, why: str) -> SourceError:
        """The error that says why something is not read."""
        return SourceError(self.name, "refused", why)

    def _as_playlist(self, url: str, response: HTTPResponse) -> bytes | None:
        """The body, if it is an HLS playlist."""
        kind = response.headers.get("Content-Type", "").lower()
        if not ("mpegurl" in kind or urlsplit(url).path.endswith((".m3u8", ".m3u"))):
            return None
        with response:
            body = response.read(_MAX_PLAYLIST_BYTES)
        if re.search(rb"^#EXTINF", body, re.MULTILINE) and b"#EXT-X-ENDLIST" not in body:
            self.is_endless = True
        return body


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _MAX_REDIRECTS

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: email.message.Message[str, str],
        newurl: str,
    ) -> urllib.request.Request | None:
        self._fetcher.check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


class _HttpFile(io.RawIOBase):
    """A file on a server that gives any part of it: read where it is needed, never whole."""

    def __init__(self, fetcher: Fetcher, url: str, response: HTTPResponse, size: int) -> None:
        self._fetcher = fetcher
        self._url = url
        self._size = size
        self._response: HTTPResponse | None = response
        self._at = self._wanted = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._wanted

    def seek(self, offset: int, whence: int = 0) -> int:
        self._wanted = max(0, offset + (0, self._wanted, self._size)[whence])
        return self._wanted

    def readinto(self, buffer: Any) -> int:
        if self._wanted >= self._size:
            return 0
        for attempt in range(_MAX_RETRIES):
            try:
                self._go()
                assert self._response is not None
                count: int = self._response.readinto(buffer)
                if count:
                    self._at += count
                    self._wanted = self._at
                    return count
            except (OSError, HTTPException):
                if attempt + 1 == _MAX_RETRIES:
                    raise
            self._response = None
        return 0

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
        super().close()

    def _go(self) -> None:
        """Brings the response to where reading goes on."""
        ahead = self._wanted - self._at
        if self._response is not None and 0 < ahead <= _SKIP_BY_READING:
            self._at += len(self._response.read(ahead))
        if self._response is None or self._at != self._wanted:
            if self._response is not None:
                self._response.close()
            self._response = self._fetcher.get(self._url, self._wanted)
            self._at = self._wanted


class _HttpStream:
    """A body that can only be read on; it has no ``seek``, by which FFmpeg knows."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response

    def read(self, size: int) -> bytes:
        return self._response.read1(size)

    def close(self) -> None:
        self._response.close()


def _size(response: HTTPResponse) -> int | None:
    found = re.match(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    length = found[1] if found else response.headers.get("Content-Length")
    return int(length) if length and length.isdigit() else None


def _tls(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
