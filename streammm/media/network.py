"""Opens what is not a file: streams, web addresses, cameras, standard input. Each only with the protocols it needs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import av
import av.error
from av.container import InputContainer
from av.stream import Discard

from streammm.errors import SourceError
from streammm.media.address import expand_secrets, public_name, redact, scheme
from streammm.media.pipe import PipeReader
from streammm.media.source import allowed_formats, reason

if TYPE_CHECKING:  # files need none of what talks to servers
    from streammm.media.http import Fetcher
    from streammm.media.relay import Relay

_HTTP_READ_SECONDS = 30.0
"""HLS brings nothing for up to three times the length of its segments, commonly 2 to 10 s."""

_UDP_QUERY = frozenset({"localaddr", "sources", "block", "reuse", "pkt_size", "buffer_size", "fifo_size", "ttl"})

_PROMPT = {"fflags": "nobuffer", "probesize": "1000000", "analyzeduration": "2000000"}


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What is read over a network.

    ``allowed_hosts`` are those that playlists and redirects may lead to besides the source's own. Connecting may take
    ``open_seconds``, and nothing may come for ``read_seconds``, None being the protocol's own time.
    """

    allowed_hosts: tuple[str, ...] = ()
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    open_seconds: float = 10.0
    read_seconds: float | None = None
    ca_file: str | None = None


@dataclass(slots=True)
class Opened:
    """An open container and what stands behind it; ``read_seconds`` is how long nothing may come."""

    container: InputContainer
    is_live: bool
    read_seconds: float
    behind: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Closes everything; must be called by the thread that opened it."""
        self.container.close()
        self.behind.close()


@dataclass(frozen=True, slots=True)
class _Protocol:
    """What FFmpeg is allowed and told for a scheme."""

    protocols: str
    formats: str | None
    read_seconds: float
    options: dict[str, str] = field(default_factory=dict)


_PROTOCOLS = {
    "rtsp": _Protocol("rtp,udp,tcp", "rtsp,rtp,sdp,mpegts", 4.0, _PROMPT | {"analyzeduration": "1000000"}),
    "rtsps": _Protocol("rtp,udp,tcp,tls", "rtsp,rtp,sdp,mpegts", 4.0, _PROMPT | {"analyzeduration": "1000000"}),
    "rtmp": _Protocol("rtmp,tcp", "flv,live_flv", 5.0, _PROMPT | {"analyzeduration": "5000000"}),
    "rtmps": _Protocol("rtmps,rtmp,tls,tcp", "flv,live_flv", 5.0, _PROMPT | {"analyzeduration": "5000000"}),
    "udp": _Protocol("udp", "mpegts", 5.0, _PROMPT | {"fifo_size": "50000", "overrun_nonfatal": "1"}),
    "rtp": _Protocol("rtp,udp", "rtp,sdp,mpegts", 5.0, _PROMPT),
    "tcp": _Protocol("tcp", None, 5.0, _PROMPT),
}
_OTHERS = ("http", "https", "srt", "v4l2", "pipe")


def open_network(
    source: str,
    options: NetworkOptions,
    max_pixels: int,
    pipe_fd: int | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> Opened:
    """Opens an address for demuxing.

    Args:
        source: the address, in which ``${NAME}`` stands for an environment variable.
        options: time-outs and what is allowed.
        max_pixels: pictures of more are refused.
        pipe_fd: descriptor of standard input, for ``-``.
        on_wait: called now and then while nothing comes from it.

    Raises:
        SourceError: it cannot be opened; never names a secret.
    """
    kind, name = scheme(source), public_name(source)
    if kind not in (*_PROTOCOLS, *_OTHERS):
        hint = "; give the path of a file as it is" if kind == "file" else ""
        known = ", ".join(sorted((*_PROTOCOLS, *_OTHERS[:3])))
        detail = f"addresses may be {known}, and those of stores, such as s3; not {kind}{hint}"
        raise SourceError(name, "unsupported", detail)
    with ExitStack() as behind:
        try:
            url = expand_secrets(source)
            if kind == "pipe":
                opened = _open_pipe(pipe_fd, max_pixels, on_wait)
            elif kind in ("srt", "v4l2") or urlsplit(url).path.endswith(".mpd"):
                opened = _open_bridge(url, name, options, max_pixels, behind)
            elif kind in ("http", "https"):
                opened = _open_http(url, options, max_pixels)
            else:
                opened = _open_stream(url, kind, options, max_pixels)
        except SourceError:
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _why(error, name, kind) from error
        opened.behind.push(behind.pop_all())
        return opened


def _open_stream(url: str, kind: str, options: NetworkOptions, max_pixels: int) -> Opened:
    protocol = _PROTOCOLS[kind]
    read_seconds = options.read_seconds or protocol.read_seconds
    settings = protocol.options | {
        "max_pixels": str(max_pixels),
        "protocol_whitelist": protocol.protocols,
        "format_whitelist": protocol.formats or allowed_formats(),
    }
    if kind.startswith("rtsp"):
        settings["rtsp_transport"] = options.rtsp_transport
    if kind in ("rtsps", "rtmps"):
        settings |= {"tls_verify": "1", "ca_file": options.ca_file or _ca_file()}
    if kind == "udp":
        _check_query(url)
    timeout = (options.open_seconds, read_seconds)
    container = av.open(url, options=settings, timeout=timeout, metadata_errors="replace")
    return Opened(container, True, read_seconds)


def _check_query(url: str) -> None:
    for key, _ in parse_qsl(urlsplit(url).query):
        if key not in _UDP_QUERY:
            raise SourceError(public_name(url), "bad-address", f"{key!r} is no setting of udp; there are {_UDP_QUERY}")


def _open_http(url: str, options: NetworkOptions, max_pixels: int) -> Opened:
    from streammm.media.http import Fetcher

    read_seconds = options.read_seconds or _HTTP_READ_SECONDS
    fetcher = Fetcher(url, options.allowed_hosts, options.open_seconds, options.ca_file)
    fetcher.check(url)
    settings = {
        "max_pixels": str(max_pixels),
        "format_whitelist": f"{allowed_formats()},hls",
        "http_persistent": "0",
        "http_multiple": "0",
    }
    timeout = (max(options.open_seconds, read_seconds), read_seconds)
    container = _opening(
        lambda: av.open(
            _without_secrets(url), options=settings, timeout=timeout, metadata_errors="replace", io_open=fetcher.io_open
        )
    )
    if container.format.name == "hls":
        _leave_out_variants(container)
    return Opened(container, fetcher.is_endless, read_seconds)


def _leave_out_variants(container: InputContainer) -> None:
    """Of the variants of a stream only the best is read: FFmpeg would load all that are not discarded."""
    video = container.streams.best("video")
    audio = container.streams.best("audio", related=video)
    for stream in container.streams:
        if stream.type in ("video", "audio") and stream not in (video, audio):
            stream.discard = Discard.all


def _without_secrets(url: str) -> str:
    """The address that FFmpeg gets to know: who may enter is the fetcher's business."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _open_pipe(pipe_fd: int | None, max_pixels: int, on_wait: Callable[[], None]) -> Opened:
    if pipe_fd is None:
        raise SourceError("-", "unsupported", "standard input can only be read where streammm was started, without Ray")
    settings = {"max_pixels": str(max_pixels), "format_whitelist": allowed_formats()}
    container = av.open(PipeReader(pipe_fd, on_wait=on_wait), "r", options=settings, metadata_errors="replace")
    return Opened(container, False, 0.0)


def _open_bridge(url: str, name: str, options: NetworkOptions, max_pixels: int, behind: ExitStack) -> Opened:
    from streammm.media.bridge import Bridge

    relay: Relay | None = None
    if scheme(url) in ("http", "https"):
        from streammm.media.http import Fetcher
        from streammm.media.relay import Relay

        fetcher = Fetcher(url, options.allowed_hosts, options.open_seconds, options.ca_file)
        relay = Relay(fetcher, is_secure=scheme(url) == "https")
        behind.callback(relay.close)
        is_live = _is_live_manifest(fetcher, url)
        url = "http:" + _without_secrets(url).partition(":")[2]
    else:
        is_live = True
    bridge = Bridge(url, name, relay.url if relay else None)
    behind.callback(bridge.close)
    read_seconds = options.read_seconds or (_HTTP_READ_SECONDS if relay else 5.0)
    settings = {"max_pixels": str(max_pixels), "format_whitelist": "nut"}
    try:
        pipe = PipeReader(bridge.fd, max(options.open_seconds, read_seconds))
        container = av.open(pipe, "r", format="nut", options=settings, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        if relay is not None and relay.failure is not None:
            raise relay.failure from error
        raise SourceError(name, "unreachable", f"cannot be opened: {bridge.why()}") from error
    return Opened(container, is_live, read_seconds)


def _is_live_manifest(fetcher: Fetcher, url: str) -> bool:
    with fetcher.get(url, 0) as response:
        return b'type="dynamic"' in response.read(65536)


def _opening(open_it: Callable[[], Any]) -> InputContainer:
    """What the fetcher refuses comes out of FFmpeg as it is, or as the cause of an error of FFmpeg's."""
    try:
        container: InputContainer = open_it()
    except (av.error.FFmpegError, OSError) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, SourceError):
            raise cause from error
        raise
    return container


def _ca_file() -> str:
    import ssl

    return ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"


def _why(error: BaseException, name: str, kind: str) -> SourceError:
    said = redact(reason(error))
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return SourceError(name, "unauthorised", f"the server wants other credentials: {said}")
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return SourceError(name, "unreachable", "nothing came in time")
    if isinstance(error, (av.error.InvalidDataError, ValueError)):
        return SourceError(name, "not-media", f"cannot be opened as media: {said}")
    return SourceError(name, "unreachable", f"cannot be opened over {kind}: {said}")
