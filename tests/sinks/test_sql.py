"""SQLite and PostgreSQL: one line an id, and a line that is not taken keeps nobody else out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from streammm.errors import ConfigError
from streammm.journal import Entry
from streammm.sinks.base import UnreachableError
from streammm.sinks.sql import Sql
from tests.sinks.told import event_entry, quarantined, row, row_entry, rows


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rows.sqlite"
    found: str = request.getfixturevalue("postgres").url
    query(found, "DROP TABLE IF EXISTS streammm_rows, streammm_events, streammm_quarantine", has_answer=False)
    return found


def query(url: str, words: str, has_answer: bool = True) -> list[tuple[Any, ...]]:
    engine = create_engine(url)
    with engine.begin() as connection:
        done = connection.execute(text(words))
        found = [tuple(line) for line in done] if has_answer else []
    engine.dispose()
    return found


def test_what_is_told_twice_is_there_once(url: str) -> None:
    sink = Sql("s", url)
    for _ in range(2):
        assert sink.start(0, None, "run") == 0
        assert sink.write([*rows(0, 3), event_entry(4), quarantined(5)]).refused == {}
        sink.close()
    sink.start(5, None, "run")
    sink.write([event_entry(6, state="update"), event_entry(7, state="close")])
    sink.close()
    found = query(url, "SELECT id, source, segment, start_seconds, label, score FROM streammm_rows ORDER BY segment")
    assert found == [(row(segment=n).id, "a.mp4", n, 2.0 * n, "music", 0.75) for n in range(3)]
    assert query(url, "SELECT label, state, start_seconds FROM streammm_events") == [("music", "close", 2.0)]
    assert query(url, "SELECT source, reason, segment FROM streammm_quarantine") == [("b.mp4", "torn", None)]
    ((data,),) = query(url, "SELECT data FROM streammm_rows WHERE segment = 1")
    assert (json.loads(data) if isinstance(data, str) else data) == row(segment=1).to_json()


def test_a_row_that_is_not_taken_is_set_aside_alone(postgres: Any) -> None:
    sink = Sql("s", postgres.url)
    sink.start(0, None, "run")
    bad = row_entry(row(source="nul\0.mp4"), 2)
    written = sink.write([*rows(0, 1), bad, *rows(2, 3)])
    assert list(written.refused) == [2]
    assert "NUL" in written.refused[2] or "\\u0000" in written.refused[2]
    assert query(postgres.url, "SELECT count(*) FROM streammm_rows WHERE source LIKE 'nul%'") == [(0,)]
    sink.close()


def test_a_table_that_somebody_changed_sets_rows_aside(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rows.sqlite"
    sink = Sql("s", url, kinds=("row",))
    sink.start(0, None, "run")
    query(url, "CREATE TRIGGER no BEFORE INSERT ON streammm_rows WHEN NEW.segment = 1 "
          "BEGIN SELECT RAISE(ABORT, 'not this one'); END", has_answer=False)  # fmt: skip
    assert sink.write(rows(0, 3)).refused == {2: "not this one"}
    assert query(url, "SELECT segment FROM streammm_rows ORDER BY segment") == [(0,), (2,)]
    sink.close()


def test_a_database_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    sink = Sql("s", f"sqlite:///{tmp_path}/nowhere/rows.sqlite")
    with pytest.raises(UnreachableError, match="unable to open"):
        sink.start(0, None, "run")


@pytest.mark.parametrize("address", ["mysql+pymysql://a/b", "postgresql+nodriver://a/b", "postgresql+psycopg://host"])
def test_a_database_that_cannot_be_meant_is_a_mistake(address: str) -> None:
    with pytest.raises(ConfigError):
        Sql("s", address)


def test_one_id_twice_in_a_batch_is_the_last(url: str) -> None:
    sink = Sql("s", url)
    sink.start(0, None, "run")
    one, other = row_entry(row(), 1), row_entry(row(labels=(("bird", 0.5),)), 2)
    assert isinstance(one, Entry)
    sink.write([one, other])
    assert query(url, "SELECT label FROM streammm_rows") == [("bird",)]
    sink.close()
