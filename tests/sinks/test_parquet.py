"""Parquet: what is in the parts, how they are named and taken back, here and in a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from pyarrow import parquet

from streammm.errors import ConfigError
from streammm.sinks.parquet import Parquet
from tests.sinks.told import LIVE, event_entry, quarantined, row, row_entry, rows
from tests.stores import Bucket


def read(folder: Path | str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ds.dataset(str(folder), partitioning="hive", **options).to_table().to_pylist()
    return found


def without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nothing(v) for key, v in value.items() if v is not None}
    return [without_nothing(v) for v in value] if isinstance(value, list) else value


def test_every_kind_is_a_data_set_of_its_own_with_all_that_was_told(tmp_path: Path) -> None:
    sink = Parquet("p", str(tmp_path))
    sink.start(0, None, "abc0")
    entries = [*rows(0, 2), row_entry(row("rtsp://a", live=LIVE, outage="gone"), 3), event_entry(4), quarantined(5)]
    sink.write(entries)
    told = {kind: [json.loads(e.text) for e in entries if e.kind == kind] for kind in ("row", "event", "quarantine")}
    assert without_nothing(read(tmp_path / "rows")) == told["row"]
    assert without_nothing(read(tmp_path / "events")) == told["event"]
    assert without_nothing(read(tmp_path / "quarantine")) == told["quarantine"]
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert names == ["part-abc0-000000000001-000000000005.parquet"] * 3
    assert str(parquet.read_schema(next((tmp_path / "rows").iterdir())).field("labels").type) == (
        "list<element: struct<label: string, score: double>>"
    )


def test_what_was_written_and_not_noted_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    sink = Parquet("p", str(tmp_path))
    for run in ("abc0", "abc1"):
        sink.start(0, None, run)
        sink.write(rows(0, 3))
        sink.write(rows(3, 5))
    (tmp_path / "rows" / ".part-abc1-000000000006-000000000009.parquet").write_bytes(b"torn")
    (tmp_path / "rows" / ".part-abc0-000000000006-000000000009.parquet").write_bytes(b"another run is at it")
    assert sink.start(3, None, "abc1") == 3
    sink.write(rows(3, 6))
    names = sorted(path.name for path in (tmp_path / "rows").iterdir())
    assert names == [
        ".part-abc0-000000000006-000000000009.parquet",
        "part-abc0-000000000001-000000000003.parquet",
        "part-abc0-000000000004-000000000005.parquet",
        "part-abc1-000000000001-000000000003.parquet",
        "part-abc1-000000000004-000000000006.parquet",
    ]


def test_parts_lie_in_directories_by_day_or_source(tmp_path: Path) -> None:
    entries = [
        row_entry(row("rtsp://a", 0, live=LIVE), 1),
        row_entry(row("b/c d.mp4"), 2),
    ]
    for by in ("date", "source"):
        sink = Parquet("p", str(tmp_path / by), partition_by=by)  # type: ignore[arg-type]
        sink.start(0, None, "abc0")
        sink.write(entries)
    assert sorted((str(r["date"]), r["source"]) for r in read(tmp_path / "date" / "rows")) == [
        ("2025-12-31", "rtsp://a"),
        ("None", "b/c d.mp4"),
    ]
    assert sorted(r["source"] for r in read(tmp_path / "source" / "rows")) == ["b/c d.mp4", "rtsp://a"]
    assert (tmp_path / "source" / "rows" / "source=b%2Fc%20d.mp4").is_dir()


def test_a_store_has_the_same_parts(bucket: Bucket, tmp_path: Path) -> None:
    address = f"{bucket.url}/out/rows"
    sink = Parquet("p", address)
    sink.start(0, None, "abc0")
    sink.write(rows(0, 2))
    sink.write(rows(2, 4))
    again = Parquet("p", address)
    assert again.start(2, None, "abc0") == 2
    again.write(rows(2, 5))
    listed = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert [found["Key"] for found in listed] == [
        "out/rows/rows/part-abc0-000000000001-000000000002.parquet",
        "out/rows/rows/part-abc0-000000000003-000000000005.parquet",
    ]
    for found in listed:
        bucket.client.download_file(bucket.name, found["Key"], str(tmp_path / Path(found["Key"]).name))
    assert [r["segment"] for r in read(tmp_path)] == [0, 1, 2, 3, 4]


def test_a_store_without_a_driver_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="needs a driver that is not installed"):
        Parquet("p", "abfs://container/rows")
