"""A run directory read from Python: rows, sources, what was given up, Arrow and pandas."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas
import pyarrow.compute
import pytest

import streammm
from streammm.columns import SCHEMA
from streammm.config import load
from streammm.errors import ConfigError
from streammm.journal import Journal, JournalError
from streammm.runs import Run
from streammm.types import Classification
from tests.kept_runs import made_source, write_run
from tests.postgres import Postgres


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    sources = {
        "a.mp4": made_source("a.mp4", 20),
        "rtsp://camera/live": made_source("rtsp://camera/live", 10, outage_at=4, seed=1),
        "broken.mp4": made_source("broken.mp4", 3, given_up="undecodable", seed=2),
        "going_on.mp4": made_source("going_on.mp4", 9, seed=3).first(4),
    }
    write_run(path, load(labels="music,speech"), sources, skipped=["short.mp4"])
    return path


@pytest.fixture
def run(path: Path) -> Iterator[Run]:
    with streammm.open_run(path) as run:
        yield run


def test_rows_are_those_of_the_journal_in_order(run: Run) -> None:
    rows = list(run.rows())
    assert all(isinstance(row, Classification) for row in rows)
    assert len(rows) == 20 + 10 + 3 + 4
    assert [row.segment for row in run.rows("a.mp4")] == list(range(20))
    assert [row.outage for row in run.rows("rtsp://camera/live") if row.outage] == ["the camera was off"]
    assert list(run.rows("nobody")) == list(run.events("nobody")) == []


def test_sources_and_status_say_how_it_stands(run: Run) -> None:
    states = {s.name: (s.status, s.reason, s.counted.num_segments) for s in run.sources()}
    assert states == {
        "a.mp4": ("done", "", 20),
        "rtsp://camera/live": ("done", "", 10),
        "broken.mp4": ("quarantined", "undecodable", 3),
        "going_on.mp4": ("todo", "", 4),
        "short.mp4": ("skipped", "filtered", 0),
    }
    assert run.status()["sources"] == {"todo": 1, "done": 2, "quarantined": 1, "skipped": 1}
    assert run.status()["is_running"] is False
    given_up = [(g["source"], g["reason"], g.get("segment")) for g in run.quarantine()]
    assert ("broken.mp4", "undecodable", None) in given_up
    assert ("a.mp4", "decoder-died", 3) in given_up


def test_a_table_has_the_same_typed_columns_whatever_is_in_it(tmp_path: Path, run: Run) -> None:
    table = run.to_arrow()
    assert table.schema == SCHEMA
    assert table.num_rows == 37
    rows = list(run.rows())
    assert table["id"].to_pylist() == [row.id for row in rows]
    assert table["labels"].to_pylist() == [[{"label": k, "score": s} for k, s in row.labels] for row in rows]
    assert table["video_frames"].to_pylist() == [row.modalities["video"].amount for row in rows]
    assert table["text_from"].null_count == 37
    outage = table.filter(pyarrow.compute.is_valid(table["outage"])).to_pylist()[0]
    assert (outage["label"], outage["score"], outage["labels"], outage["video_status"]) == (None, None, [], "absent")
    start = datetime.datetime.fromtimestamp(1_700_000_008, datetime.UTC)
    assert (outage["live_start"], outage["live_reconnects"]) == (start, 4)
    write_run(tmp_path / "nothing", load(labels="music"), {})
    with streammm.open_run(tmp_path / "nothing") as empty:
        assert (empty.to_arrow().schema, empty.to_arrow().num_rows) == (SCHEMA, 0)


def test_a_data_frame_has_numbers_as_numbers(run: Run) -> None:
    frame = run.to_pandas()
    assert len(frame) == 37
    kinds = {name: str(frame[name].dtype) for name in ("segment", "start_seconds", "video_weight", "live_start")}
    assert kinds == {
        "segment": "int64",
        "start_seconds": "float64",
        "video_weight": "float64",
        "live_start": "datetime64[ms, UTC]",
    }
    assert list(frame["label"].dropna()) == [row.labels[0][0] for row in run.rows() if row.labels]
    assert frame["score"].isna().sum() == 1
    assert frame["labels"][0][0].keys() == {"label", "score"}
    assert isinstance(frame, pandas.DataFrame)


def test_batches_are_as_large_as_asked_for(run: Run) -> None:
    assert [batch.num_rows for batch in run.to_batches(10)] == [10, 10, 10, 7]
    assert {batch.schema for batch in run.to_batches(10)} == {SCHEMA}
    with pytest.raises(ValueError, match="at least 1, got 0"):
        run.to_batches(0)


def test_a_run_that_goes_on_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    made = made_source("a", 30)
    write_run(tmp_path / "run", load(labels="music"), {"a": made.first(8)})
    with streammm.open_run(tmp_path / "run") as run:
        assert len(list(run.rows())) == 8
        rows = run.rows()
        next(rows)
        write_run(tmp_path / "run", load(labels="music"), {"a": made})
        assert len(list(run.rows())) == 30
        assert 7 <= len(list(rows)) <= 29


def test_events_are_read_as_they_were_told(tmp_path: Path) -> None:
    config = load(labels="music", settings=["events.open_score=0.01", "events.close_score=0"])
    write_run(tmp_path / "run", config, {"a": made_source("a", 9), "b": made_source("b", 9, seed=1)})
    with streammm.open_run(tmp_path / "run") as run:
        told = [(event["source"], event["label"], event["state"]) for event in run.events("b")]
        assert (told[0], told[-1]) == (("b", "music", "open"), ("b", "music", "close"))
        assert {event["source"] for event in run.events()} == {"a", "b"}


def test_a_run_with_its_journal_in_postgresql_is_opened_by_its_directory(tmp_path: Path, postgres: Postgres) -> None:
    config = load(labels="music", settings=[f"output.journal={postgres.url}"])
    path = tmp_path / f"run_{abs(hash(tmp_path))}"
    write_run(path, config, {"a": made_source("a", 12)})
    with streammm.open_run(path) as run:
        assert [row.segment for row in run.rows()] == list(range(12))
        assert run.to_arrow().num_rows == 12


def test_what_is_no_run_and_what_is_damaged_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        streammm.open_run(tmp_path)
    write_run(tmp_path / "run", load(labels="music"), {"a": made_source("a", 2)})
    with closing(Journal(f"sqlite:///{tmp_path}/run/journal.sqlite")) as journal, journal._begin() as connection:
        connection.exec_driver_sql("update entries set text = '{}' where segment = 1 and kind = 'row'")
    with streammm.open_run(tmp_path / "run") as run, pytest.raises(JournalError, match="is damaged"):
        list(run.rows())


@pytest.mark.parametrize(("missing", "call"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow")])
def test_what_is_not_installed_is_said(path: Path, missing: str, call: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import streammm\n"
        "from streammm.errors import ConfigError\n"
        f"try: streammm.open_run({str(path)!r}).{call}()\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    extra = {"pandas": "pandas", "pyarrow": "parquet"}[missing]
    assert f'pip install "streammm[{extra}]"' in done.stdout, done.stderr
