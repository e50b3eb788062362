"""Addresses -> outlets: a scheme names a class. Text only; nothing is connected to here."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from streammm.alerts import WEEKDAYS, Hours, Rule, minutes_of
from streammm.config import Config
from streammm.config.alerts import AlertConfig
from streammm.config.sinks import SinkConfig
from streammm.errors import ConfigError, SourceError
from streammm.media.address import expand_secrets, is_address, redact
from streammm.sinks.alert import Alert
from streammm.sinks.base import Outlet
from streammm.sinks.command import Command

_FILES = {
    "jsonl": "appended:JsonLines",
    "csv": "appended:Csv",
    "webvtt": "tracks:WebVtt",
    "srt": "tracks:Srt",
    "edl": "tracks:Edl",
    "parquet": "parquet:Parquet",
}
"""What is written to a path, by the word before it; modules are imported when they are named, since libraries are."""

_SERVERS = {
    "sqlite": "sql:Sql",
    "postgresql": "sql:Sql",
    "kafka": "kafka:Kafka",
    "kafkas": "kafka:Kafka",
    "mqtt": "mqtt:Mqtt",
    "mqtts": "mqtt:Mqtt",
    "http": "webhook:Webhook",
    "https": "webhook:Webhook",
}
_EXTRAS = {"confluent_kafka": "kafka", "paho": "mqtt", "httpx": "webhook", "pyarrow": "parquet"}
_ALERTED = ("https", "http", "mqtts", "mqtt")
_COMMAND_SECONDS = 30.0
_ENDINGS = (".jsonl", ".csv")
_TAKEN = ("files", "lines", "observer")
"""Names of what belongs to a run itself."""

_OPTIONS = tuple(name for name in SinkConfig.model_fields if name not in ("to", "name"))
_SIGNS = "STREAMMM_WEBHOOK_SECRET"


def with_sinks(config: Config, more: Sequence[str] = ()) -> Config:
    """The configuration with sinks at more addresses, each once, and with whole paths: it may be read elsewhere."""
    sinks = [sink.model_copy(update={"to": _whole(sink.to)}) for sink in config.sinks]
    there = {sink.to for sink in sinks}
    sinks += [SinkConfig(to=to) for to in dict.fromkeys(map(_whole, more)) if to not in there]
    return config.model_copy(update={"sinks": tuple(sinks)})


def open_outlets(config: Config, missing_consent: str = "") -> list[Outlet]:
    """The outlets of a configuration that `with_sinks` made.

    Args:
        config: where its rows go, and its alerts.
        missing_consent: what the user has to add for commands to be run, where the configuration may be a stranger's.

    Raises:
        ConfigError: an address or an option cannot be meant, a secret is written out, a library is not installed.
    """
    outlets: dict[str, Outlet] = {}
    for number, sink in enumerate(config.sinks):
        outlet = _open(f"sinks.{number}", sink)
        if outlet.name in outlets or outlet.name in _TAKEN:
            raise ConfigError(f"sinks.{number}: there is another sink named {outlet.name}")
        outlets[outlet.name] = outlet
    for number, alert in enumerate(config.alerts):
        if alert.title in outlets or alert.title in _TAKEN:
            raise ConfigError(f"alerts.{number}: there is another named {alert.title}; give it a name")
        if alert.command is not None and missing_consent:
            program = " ".join(alert.command)
            raise ConfigError(f"alerts.{number}.command would be run: {program}; {missing_consent} allows that")
        outlets[alert.title] = _open_alert(f"alerts.{number}", alert)
    return list(outlets.values())


def _open_alert(key: str, alert: AlertConfig) -> Outlet:
    rule = Rule(
        alert.title,
        frozenset(alert.labels),
        alert.score,
        alert.duration_seconds,
        alert.cooldown_seconds,
        alert.sources,
        _hours(alert) if alert.hours or alert.weekdays else None,
    )
    target: Outlet
    if alert.command is not None:
        try:
            target = Command(alert.title, alert.command, alert.timeout_seconds or _COMMAND_SECONDS)
        except ConfigError as error:
            raise ConfigError(f"{key}.{error}") from error
    elif alert.to is None or alert.to.partition("://")[0] not in _ALERTED:
        raise ConfigError(f"{key}.to: alerts go to {', '.join(f'{name}://...' for name in _ALERTED)}, or to a command")
    else:
        options = {"secret": alert.secret, "timeout_seconds": alert.timeout_seconds}
        target = _open(key, SinkConfig(to=alert.to, name=alert.title, **options))
    return Alert(rule, target, alert.max_age_seconds)


def _hours(alert: AlertConfig) -> Hours:
    return Hours(
        tuple(map(minutes_of, alert.hours)) or ((0, 24 * 60),),
        frozenset(map(WEEKDAYS.index, alert.weekdays or WEEKDAYS)),
        None if alert.time_zone is None else ZoneInfo(alert.time_zone),
    )


def _open(key: str, sink: SinkConfig) -> Outlet:
    _refuse_secrets(key, sink.to)
    make, argument = _find(key, sink.to)
    known = inspect.signature(make).parameters
    options: dict[str, Any] = {o: getattr(sink, o) for o in _OPTIONS if getattr(sink, o) is not None}
    for option in options:
        if option not in known:
            raise ConfigError(f"{key}.{option} is not for {sink.to}")
    if "secret" in options:
        options["secret"] = _secret(f"{key}.secret", options["secret"])
    elif "secret" in known:
        options["secret"] = os.environ.get(_SIGNS, "")
    try:
        return make(sink.name or sink.to, *argument, **options)
    except (ConfigError, ValueError) as error:  # such as a port that is no number
        raise ConfigError(f"{key}: {error}") from error


def _whole(address: str) -> str:
    """An address whose path, where it is one, is whole; ``rows.jsonl`` becomes ``jsonl:/.../rows.jsonl``."""
    if not is_address(address) and address.endswith(_ENDINGS) and address.partition(":")[0] not in _FILES:
        address = f"{address.rpartition('.')[2]}:{address}"
    word, _, rest = address.partition(":")
    if word in _FILES and rest and not is_address(rest):
        return f"{word}:{Path(rest).absolute()}"
    if word == "sqlite" and rest.startswith("///") and len(rest) > 3:
        return f"sqlite:///{Path(rest[3:]).absolute()}"
    return address


def _find(key: str, address: str) -> tuple[Callable[..., Outlet], tuple[Any, ...]]:
    """The class for an address, and what it is given of it."""
    if address == "-":
        return _load(key, "standard_output:StandardOutput"), ()
    word, _, rest = address.partition(":")
    scheme = word.partition("+")[0]
    if word in _FILES and rest and not rest.startswith("//"):
        if is_address(rest) and word != "parquet":
            raise ConfigError(f"{key}: {word} is written to a path; parquet goes to stores as well")
        return _load(key, _FILES[word]), (rest if word == "parquet" else Path(rest),)
    if scheme in _SERVERS and rest.startswith("//"):
        url = address.replace(":", "+psycopg:", 1) if word == "postgresql" else address
        return _load(key, _SERVERS[scheme]), (_expanded(key, url),)
    forms = ", ".join([*(f"{name}:PATH" for name in _FILES), *(f"{name}://..." for name in _SERVERS)])
    raise ConfigError(f"{key}: there is no sink for {redact(address)!r}; known are {forms}, *.jsonl, *.csv and -")


def _load(key: str, place: str) -> Callable[..., Outlet]:
    module, _, name = place.partition(":")
    try:
        found: Callable[..., Outlet] = getattr(import_module(f"streammm.sinks.{module}"), name)
    except ImportError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0], module)
        raise ConfigError(f'{key} needs a library: pip install "streammm[{extra}]" ({error})') from error
    return found


def _refuse_secrets(key: str, address: str) -> None:
    """Refuses a secret that is written out: addresses are stored, logged and shown."""
    passwords = re.findall(r"//[^/?#:@]*:([^/?#]*)@", address)
    if address.startswith(("http:", "https:")):
        passwords = re.findall(r"//([^/?#]*)@", address)
    without_user = re.sub(r"//[^/?#]*@", "//", address)
    if any(re.sub(r"\$\{\w+\}|:", "", password) for password in passwords) or redact(without_user) != without_user:
        raise ConfigError(f"{key}: write ${{NAME}} for a secret, it is taken from the environment")


def _expanded(key: str, address: str) -> str:
    try:
        return expand_secrets(address)
    except SourceError as error:
        raise ConfigError(f"{key}: {error.detail}") from error


def _secret(key: str, text: str) -> str:
    found = re.fullmatch(r"\$\{(\w+)\}", text)
    if found is None:
        raise ConfigError(f"{key}: write ${{NAME}} for a secret, it is taken from the environment")
    if not (value := os.environ.get(found[1], "")):
        raise ConfigError(f"{key}: the environment variable {found[1]} is not set")
    return value
