"""The published schema: every line that is written keeps to it, and a change of it is a new version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator, ValidationError

from streammm.alerts import Rule
from streammm.schema import FORMS, Version, json_schema, published
from streammm.types import SCHEMA_VERSION
from tests.conftest import MakeClip
from tests.sinks.told import LIVE, event_entry, quarantined, row

PUBLISHED = {1: "4e23b670cccacdfc", 2: "212ef127f175bde6"}
"""The digest of every version. What is published stays as it is: whoever changes a form adds a version."""


def check(data: Any) -> None:
    schema = published()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(data)


def test_what_is_published_is_what_the_forms_say() -> None:
    assert published() == json_schema()


def test_a_change_is_a_new_version() -> None:
    folder = resources.files("streammm") / "schemas"
    found = {int(Path(f.name).stem): hashlib.sha256(f.read_bytes()).hexdigest()[:16] for f in folder.iterdir()}
    assert found == PUBLISHED
    assert max(found) == SCHEMA_VERSION
    assert get_args(get_args(Version)[0]) == (SCHEMA_VERSION,)


@pytest.mark.parametrize("kind", sorted(FORMS))
def test_the_forms_read_what_is_written(kind: str) -> None:
    times = {"start": "2026-01-01T00:00:00.000+00:00", "end": "2026-01-01T00:00:04.000+00:00"}
    alert = Rule("door").alert({**json.loads(event_entry().text), "live": times}, 2.0)
    entries = {
        "alert": json.dumps(alert),
        "event": event_entry().text,
        "quarantine": quarantined().text,
        "row": json.dumps(row().to_json()),
    }
    data = json.loads(entries[kind])
    made = FORMS[kind].model_validate(data)
    assert made.model_dump(by_alias=True, exclude_unset=True) == data
    check(data)


def test_rows_of_every_kind_keep_to_it() -> None:
    check(row(live=LIVE).to_json())
    check(row(live=LIVE, labels=(), outage="nothing came").to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 3},
        {"id": "x"},
        {"other": 1.5},
        {"labels": [{"label": "a"}]},
        {"surprise": 1},
        {"modalities": {}},
        {"segment": -1},
    ],
)
def test_what_does_not_keep_to_it_is_found(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check(row().to_json() | change)


def test_a_real_run_keeps_to_it(streammm: Callable[..., CompletedProcess[str]], clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mkv", 4.0, cues=[(0.0, 1.0, "hello")])
    (tmp_path / "broken.mp4").write_bytes(b"nothing" * 99)
    settings = ["--set", "output.text=true", "--set", "events.open_score=0"]
    assert streammm("run", "a.mkv", "broken.mp4", "--labels", "beep", "--out", "out", *settings).returncode == 1
    lines = [
        json.loads(line)
        for name in ("results", "quarantine", "events")
        for line in (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines()
    ]
    assert [line["source"] for line in lines] == ["a.mkv", "a.mkv", "broken.mp4", *["a.mkv"] * 3]
    assert [line["state"] for line in lines[3:]] == ["open", "update", "close"]
    assert lines[0]["modalities"]["text"]["said"]
    for line in lines:
        check(line)


def test_the_command_prints_it(streammm: Callable[..., CompletedProcess[str]]) -> None:
    assert json.loads(streammm("schema").stdout) == published()
    schema = json.loads(streammm("schema", "quarantine").stdout)
    Draft202012Validator(schema).validate(json.loads(quarantined().text))
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate(row().to_json())
