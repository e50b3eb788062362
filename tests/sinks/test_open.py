"""Addresses of sinks: what they lead to, which are refused, and that no secret stays anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streammm.config import load
from streammm.errors import ConfigError
from streammm.sinks.open import open_outlets, with_sinks


def opened(*sinks: Any) -> list[Any]:
    return open_outlets(with_sinks(load(sinks=list(sinks))))


@pytest.mark.parametrize(
    ("address", "kind", "name"),
    [
        ("-", "StandardOutput", "-"),
        ("rows.jsonl", "JsonLines", "jsonl:{here}/rows.jsonl"),
        ("jsonl:/x/rows", "JsonLines", "jsonl:/x/rows"),
        ("rows.csv", "Csv", "csv:{here}/rows.csv"),
        ("parquet:out", "Parquet", "parquet:{here}/out"),
        ("parquet:s3://bucket/out", "Parquet", "parquet:s3://bucket/out"),
        ("webvtt:out", "WebVtt", "webvtt:{here}/out"),
        ("srt:out", "Srt", "srt:{here}/out"),
        ("edl:out", "Edl", "edl:{here}/out"),
        ("sqlite:///rows.db", "Sql", "sqlite:///{here}/rows.db"),
        ("postgresql://me@host/db", "Sql", "postgresql://me@host/db"),
        ("postgresql+psycopg://me:${PW}@host/db", "Sql", "postgresql+psycopg://me:${PW}@host/db"),
        ("kafka://a:9092,b:9092/t", "Kafka", "kafka://a:9092,b:9092/t"),
        ("kafkas://me:${PW}@a:9092/t", "Kafka", "kafkas://me:${PW}@a:9092/t"),
        ("mqtts://me:${PW}@a/t/u", "Mqtt", "mqtts://me:${PW}@a/t/u"),
        ("https://a/${PW}?key=${PW}", "Webhook", "https://a/${PW}?key=${PW}"),
    ],
)
def test_a_scheme_names_a_sink(
    address: str, kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PW", "s3cr/et")
    (outlet,) = opened(address)
    assert (type(outlet).__name__, outlet.name) == (kind, name.replace("{here}", str(tmp_path)))


@pytest.mark.parametrize(
    ("sink", "words"),
    [
        ("nonsense", "sinks.0: there is no sink for 'nonsense'; known are jsonl:PATH"),
        ("ftp://host/x", "there is no sink"),
        ("csv:s3://b/x", "csv is written to a path"),
        ("sqlite://", "sqlite:///PATH"),
        ("postgresql://me:secret@host/db", "write ${NAME} for a secret"),
        ("kafkas://me:secret@host/t", "write ${NAME} for a secret"),
        ("https://secret@host/t", "write ${NAME} for a secret"),
        ("https://host/t?token=secret", "write ${NAME} for a secret"),
        ("parquet:ftp://me:secret@host/t", "write ${NAME} for a secret"),
        ("https://host/${NOT_SET}", "environment variable NOT_SET"),
        ("mqtt://host:port/t", "sinks.0: port could not be cast to integer"),
        ("https://host:port/", "sinks.0: https://host:port/: invalid port"),
        ({"to": "https://host/", "secret": "secret"}, "sinks.0.secret: write ${NAME} for a secret"),
        ({"to": "https://host/", "secret": "${NOT_SET}"}, "environment variable NOT_SET"),
        ({"to": "kafka://host/t", "partition_by": "date"}, "sinks.0.partition_by is not for kafka://host/t"),
        ({"to": "x.csv", "kinds": ["event"]}, "sinks.0.kinds is not for csv:"),
        ({"to": "x.csv", "name": "files"}, "another sink named files"),
    ],
)
def test_a_mistake_is_named_and_no_secret_shown(sink: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(sink)
    assert words.lower() in str(caught.value).lower()
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("sink", "words"),
    [
        ({}, "sinks.0.to: field required"),
        ({"to": "-", "kinds": ["rows"]}, "sinks.0.kinds.0: input should be 'row', 'event' or 'quarantine'"),
        ({"to": "-", "kind": "row"}, "unknown key sinks.0.kind"),
        ({"to": "edl:x", "timecode": "1"}, "sinks.0.timecode"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(sink: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(sinks=[sink])
    assert words in str(caught.value)


def test_sinks_are_kept_in_the_configuration_with_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = with_sinks(load(settings=["sinks=[rows.csv, {to: 'edl:out', frames_per_second: 24}]"]), ["rows.csv", "-"])
    assert [sink.to for sink in config.sinks] == [f"csv:{tmp_path}/rows.csv", f"edl:{tmp_path}/out", "-"]
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert load(tmp_path / "c.yaml") == config
    monkeypatch.chdir("/")
    assert with_sinks(load(tmp_path / "c.yaml")) == config


def test_two_sinks_at_one_address_need_names(tmp_path: Path) -> None:
    address = f"jsonl:{tmp_path}/a"
    with pytest.raises(ConfigError, match="another sink named"):
        opened(address, {"to": address, "kinds": ["event"]})
    assert [sink.name for sink in opened(address, {"to": address, "name": "other"})] == [address, "other"]


def test_the_secret_of_webhooks_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMMM_WEBHOOK_SECRET", "one")
    monkeypatch.setenv("OTHER", "tw-o")
    one, other = opened("https://a/", {"to": "https://b/", "secret": "${OTHER}"})
    assert (one._secret, other._secret) == (b"one", b"tw-o")
    config = load(sinks=[{"to": "https://b/", "secret": "${OTHER}"}])
    assert "tw-o" not in config.to_yaml()
