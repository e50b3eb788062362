"""Stores that fsspec has drivers for, such as s3:// and ftp://: their file systems, and waiting for them with an end.

Credentials are the driver's business: it takes them from the environment (``AWS_...``, ``FSSPEC_S3_...``) and from its
own files. They never pass through a configuration of ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar
from urllib.parse import unquote

from fsspec import AbstractFileSystem
from fsspec.registry import get_filesystem_class

from streammm.errors import ConfigError, SourceError
from streammm.media.address import expand_secrets, public_name, redact, refuse_chain, scheme

READ_SECONDS = 60.0
"""How long nothing may come: drivers such as s3fs try again by themselves, each time after 15 s."""

_Result = TypeVar("_Result")

_connected: dict[str, AbstractFileSystem] = {}


def connect(source: str) -> tuple[AbstractFileSystem, str]:
    """The file system that an address lies in, and its path there.

    An address names one file system: chains such as ``simplecache::s3://`` are refused, which fsspec would follow.

    Raises:
        ConfigError: its driver is not installed.
        SourceError: it is a chain, or a variable in it is not set.
        Exception: whatever a driver says that connects at once.
    """
    refuse_chain(source)
    kind = check_driver(source)
    driver = get_filesystem_class(kind)
    url = expand_secrets(source)
    options = {
        key: unquote(value) if key in ("username", "password") else value
        for key, value in driver._get_kwargs_from_urls(url).items()
        if key not in ("url_query", "url_fragment")  # parts of a name, which some drivers would take for settings
    }
    key = f"{kind} {sorted(options.items())}"
    if key not in _connected:
        # fsspec keeps instances by thread, and each call here has a thread of its own
        _connected[key] = driver(**options)
    return _connected[key], driver._strip_protocol(url)


def check_driver(source: str) -> str:
    """The scheme of an address, whose driver is installed.

    Raises:
        ConfigError: it is not.
    """
    kind = scheme(source)
    try:
        get_filesystem_class(kind)
    except (ImportError, ValueError) as error:
        hint = ': pip install "streammm[s3]"' if kind in ("s3", "s3a") else f": {error}"
        raise ConfigError(f"{kind}:// needs a driver that is not installed{hint}") from error
    return kind


def wait_for(
    function: Callable[[], _Result], seconds: float = READ_SECONDS, on_wait: Callable[[], None] = lambda: None
) -> _Result:
    """Calls a function of a driver in a thread of its own, so that one that hangs can be left behind.

    Args:
        function: what to call.
        seconds: how long it may take.
        on_wait: called every second meanwhile.

    Raises:
        TimeoutError: it took longer.
    """
    done: Future[_Result] = Future()

    def work() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=work, daemon=True, name="store").start()
    started = time.monotonic()
    while not wait([done], timeout=min(1.0, seconds)).done:
        if time.monotonic() - started >= seconds:
            _connected.clear()  # a connection that hangs would hang the next call too
            raise TimeoutError(f"nothing came for {seconds:g} s")
        on_wait()
    return done.result()


def failure(error: Exception, source: str) -> SourceError:
    """What went wrong in a driver, in our words; drivers raise whatever their libraries do."""
    name = public_name(source)
    if isinstance(error, SourceError):
        return error
    if isinstance(error, ConfigError):
        return SourceError(name, "unsupported", str(error))
    if isinstance(error, FileNotFoundError):
        return SourceError(name, "missing", "nothing of that name is in the store")
    if isinstance(error, PermissionError):
        return SourceError(name, "unauthorised", f"the store does not allow it: {words(error)}")
    if isinstance(error, TimeoutError):
        return SourceError(name, "unreachable", f"the store does not answer: {words(error)}")
    return SourceError(name, "unreachable", f"cannot be read from the store: {words(error)}")


def words(error: BaseException) -> str:
    """The first line of what an error says, without secrets."""
    lines: list[Any] = str(getattr(error, "strerror", None) or error).strip().splitlines()
    text = redact(lines[0]) if lines else type(error).__name__
    return text[:1].lower() + text[1:]
