"""`streammm forget`: no byte of a source is left, all else is as it was, and a run that goes on does without it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import dataset

from streammm.config import Config, load
from streammm.encoders.cache import CACHE_VARIABLE
from streammm.errors import ConfigError
from streammm.forget import forget
from streammm.journal import Journal
from streammm.kept import Kept
from streammm.retention import Retention
from streammm.run_directory import RunDirectory, earlier, journal_of
from streammm.sinks.open import open_outlets, with_sinks
from streammm.sinks.removing import Forgets
from streammm.training.features import FeatureCache, Features
from streammm.types import Cue
from streammm_workers import engine, reading, shard
from streammm_workers.engine import Place
from tests.report.conftest import row, write_run
from tests.workers.light import LABELS, LightEncodeWorker, MadeUpDecoder
from tests.workers.test_run import Recorder

GONE, STAYS = "hushcam:12", "other:9"
TO = ("rows.jsonl", "csv:rows.csv", "parquet:parts", "sqlite:///rows.sqlite", "webvtt:tracks")


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stages that load at once, and a cache of the test's own."""
    monkeypatch.setattr(reading, "DecodeWorker", MadeUpDecoder)
    monkeypatch.setattr(shard, "EncodeWorker", LightEncodeWorker)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def config_of(*settings: str, to: Sequence[str] = ()) -> Config:
    return with_sinks(load(settings=["events.open_score=0.1", *settings], labels=LABELS), to)


def run(folder: Path, config: Config, sources: Sequence[str], named: Sequence[str] = ()) -> RunDirectory:
    """What `streammm run` does, with sources that it has found, and those that a user named one by one."""
    directory = RunDirectory(folder, config)
    try:
        place = Place(
            (directory.url, directory.schema, directory.owner),
            [directory.files()],
            lambda: directory.begin(named),
            open_outlets(config),
            retention=Retention.of(folder, config.retention),
        )
        assert engine.run(config, directory.without_forgotten(sources, named), Recorder(), None, place)
    finally:
        directory.close()
    return directory


def holding(folder: Path, *texts: str) -> list[str]:
    """The files below a folder that hold one of some texts, in their content or their name."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        for text in texts
        if text in path.name or (path.is_file() and text.encode() in path.read_bytes())
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_no_byte_of_a_source_is_left_in_the_run_and_its_sinks(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, config_of(to=TO), [GONE, STAYS])
    held_before = {name.partition("/")[0] for name in holding(tmp_path, "hushcam")}
    assert held_before == {"run", "rows.jsonl", "rows.csv", "parts", "rows.sqlite", "tracks"}
    before = [row for row in lines(folder / "results.jsonl") if row["source"] == STAYS]
    assert len(before) == 9

    found = forget(folder, [GONE])

    assert holding(tmp_path, "hushcam") == []
    assert found.remaining == []
    assert (found.removed["journal"]["source"], found.removed["journal"]["row"]) == (1, 12)
    assert found.removed[f"jsonl:{tmp_path}/rows.jsonl"] == {"entries": 12}
    assert found.removed[f"webvtt:{tmp_path}/tracks"] == {"file": 1}
    assert lines(folder / "results.jsonl") == lines(tmp_path / "rows.jsonl") == before
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 10
    assert dataset.dataset(tmp_path / "parts" / "rows").count_rows() == 9
    with sqlite3.connect(tmp_path / "rows.sqlite") as database:
        assert database.execute("select distinct source from streammm_rows").fetchall() == [(STAYS,)]


def test_a_forgotten_source_comes_again_only_if_it_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = config_of(to=TO)
    run(folder, config, [GONE, STAYS], named=[GONE, STAYS])
    forget(folder, [GONE])
    assert earlier(folder)[1] == [STAYS]

    assert run(folder, config, [GONE, STAYS, "new:5"]).num_forgotten == 1
    for path in (folder / "results.jsonl", tmp_path / "rows.jsonl"):
        assert sorted(row["source"] for row in lines(path)) == ["new:5"] * 5 + [STAYS] * 9
    assert holding(folder, "hushcam") == []

    assert run(folder, config, [GONE, STAYS, "new:5"], named=[GONE]).num_forgotten == 0
    for path in (folder / "results.jsonl", tmp_path / "rows.jsonl"):
        assert sorted(row["source"] for row in lines(path)) == [GONE] * 12 + ["new:5"] * 5 + [STAYS] * 9
    assert dataset.dataset(tmp_path / "parts" / "rows").count_rows() == 26


def test_a_run_begun_anew_still_leaves_it_out(tmp_path: Path) -> None:
    run(tmp_path / "run", config_of(), [GONE, STAYS])
    forget(tmp_path / "run", [GONE])
    directory = RunDirectory(tmp_path / "run", config_of(), fresh=True)
    directory.begin()
    assert list(directory.without_forgotten([GONE, STAYS], [])) == [STAYS]
    directory.close()


def test_words_reports_and_what_was_set_aside_go_as_well(tmp_path: Path) -> None:
    said = (Cue(0.5, 1.0, "the password is swordfish"),)
    rows = {"a.mp4": [row("a.mp4", 0, {"music": 1.0}, said=said)], "b.mp4": [row("b.mp4", 0, {"speech": 1.0})]}
    folder = write_run(tmp_path / "run", rows)
    (folder / "report.html").write_text("a.mp4: swordfish")
    old = [json.dumps(rows[name][0].to_json()) for name in rows]
    (folder / "results.20260101-000000.jsonl").write_text("\n".join(old) + "\n")
    (folder / "mine.txt").write_text("look at a.mp4")
    assert len(holding(folder, "swordfish")) >= 3

    found = forget(folder, ["a.mp4"])

    assert holding(folder, "swordfish") == []
    assert holding(folder, "a.mp4") == ["mine.txt"]
    assert [text.partition(":")[0] for text in found.remaining] == [str(folder / "mine.txt")]
    assert (folder / "results.20260101-000000.jsonl").read_text() == old[1] + "\n"


def test_a_dry_run_tells_the_same_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, config_of(to=TO), [GONE, STAYS])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.suffix in (".jsonl", ".csv", ".parquet")}
    told = forget(folder, [GONE], dry_run=True)
    assert {path: path.read_bytes() for path in before} == before
    assert lines(folder / "results.jsonl")
    assert told.removed == forget(folder, [GONE]).removed


def test_alerts_and_what_was_delivered_later_are_not_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    alerts = 'alerts=[{labels: [dark], command: ["true"], cooldown_seconds: 5}]'
    run(folder, config_of(alerts), [GONE, STAYS])
    journal = Journal(f"sqlite:///{folder / 'journal.sqlite'}")
    assert GONE in json.dumps(journal.sink("alert dark")[1])
    journal.sink("https://127.0.0.1:1/hook")  # as `streammm deliver --to` leaves it
    journal.close()

    found = forget(folder, [GONE])

    assert [text.partition(": ")[0] for text in found.remaining] == ["alert dark", "https://127.0.0.1:1/hook"]
    assert holding(folder, "hushcam") == []


def test_a_run_that_works_there_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path / "run", config_of(), [GONE])
    directory = RunDirectory(tmp_path / "run", config_of())
    with pytest.raises(ConfigError, match="a run works in"):
        forget(tmp_path / "run", [GONE])
    directory.close()
    assert holding(tmp_path / "run", "hushcam")


def test_what_training_has_kept_goes_by_content(tmp_path: Path) -> None:
    run(tmp_path / "run", config_of(), [GONE])
    for name, content in (("a.mp4", b"one"), ("b.mp4", b"two")):
        (tmp_path / name).write_bytes(content)
    caches = [FeatureCache({"encoder": number}) for number in range(2)]
    vectors: Any = {"video": np.ones(4, np.float32)}
    for cache in caches:
        for name in ("a.mp4", "b.mp4"):
            cache.put(Features.of(name, [Kept(name, 0, 0.0, 2.0, vectors, {})]))
    found = forget(tmp_path / "run", ["a.mp4"])
    assert found.removed == {str(tmp_path / "cache" / "features"): {"features": 2}}
    assert [("a.mp4" in cache, "b.mp4" in cache) for cache in caches] == [(False, True)] * 2

    (tmp_path / "b.mp4").unlink()
    assert "b.mp4" in forget(tmp_path / "run", ["b.mp4"]).remaining[0]


def test_the_command_says_what_it_did(tmp_path: Path, streammm: Callable[..., Any]) -> None:
    run(tmp_path / "run", config_of(), [GONE, STAYS])
    wrong = streammm("forget", "hushcam:1", "--run", "run")
    assert (wrong.returncode, "did you mean hushcam:12?" in wrong.stderr) == (2, True)
    done = streammm("forget", GONE, "--run", "run")
    assert done.returncode == 0, done.stderr
    assert "journal: removed 1 source, " in done.stdout
    again = streammm("forget", GONE, "--run", "run")
    assert (again.returncode, again.stdout) == (0, "")


def test_partitions_named_after_a_source_go_with_it(tmp_path: Path) -> None:
    settings = "sinks=[{to: 'parquet:parts', partition_by: source}]"
    run(tmp_path / "run", config_of(settings), [GONE, STAYS])
    assert holding(tmp_path / "parts", "hushcam")
    forget(tmp_path / "run", [GONE])
    assert holding(tmp_path / "parts", "hushcam") == []
    assert dataset.dataset(tmp_path / "parts" / "rows").count_rows() == 9


def test_journal_and_sink_in_postgresql_forget_as_well(tmp_path: Path, postgres: Any) -> None:
    to = postgres.url.replace("+psycopg", "")
    run(tmp_path / "forgets", config_of(f"output.journal={postgres.url}", to=[to]), [GONE, STAYS])
    found = forget(tmp_path / "forgets", [GONE])
    assert found.remaining == []
    assert (found.removed["journal"]["source"], found.removed["journal"]["row"]) == (1, 12)
    assert found.removed[to]["entries"] > 12
    config, journal = journal_of(tmp_path / "forgets")
    with closing(journal):
        assert [state.name for state in journal.sources()] == [STAYS]
        assert len(journal.read(0, kind="row")) == 9
    (outlet,) = open_outlets(config)
    assert isinstance(outlet, Forgets)
    assert outlet.forget([GONE], None, dry_run=True)[0] == 0
    assert outlet.forget([STAYS], None)[0] >= 9
    outlet.close()
