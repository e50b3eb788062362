"""Lines that are appended: what is taken back, what is left alone, and what a spreadsheet makes of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from streammm.sinks.appended import Csv, JsonLines
from streammm.sinks.standard_output import StandardOutput
from tests.sinks.told import row, row_entry, rows


@pytest.mark.parametrize("kind", [JsonLines, Csv])
def test_what_was_written_and_not_noted_is_taken_back(kind: type[JsonLines], tmp_path: Path) -> None:
    sink = kind("s", tmp_path / "f")
    assert sink.start(0, None, "run") == 0
    mark = sink.write(rows(0, 3)).mark
    sink.write(rows(3, 5))
    sink.close()
    again = kind("s", tmp_path / "f")
    assert again.start(3, mark, "run") == 3
    again.write(rows(3, 6))
    again.close()
    once = kind("s", tmp_path / "once")
    once.start(0, None, "run")
    once.write(rows(0, 6))
    once.close()
    assert (tmp_path / "f").read_bytes() == (tmp_path / "once").read_bytes()


def test_what_is_missing_is_told_again_and_what_is_of_others_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("precious\n")
    sink = JsonLines("s", path)
    assert sink.start(7, 100_000, "run") == 0
    sink.write(rows(0, 1))
    sink.close()
    assert path.read_text() == rows(0, 1)[0].text + "\n"
    (kept,) = tmp_path.glob("rows.2*.jsonl")
    assert kept.read_text() == "precious\n"


def test_a_first_write_that_fails_again_and_again_leaves_one_file(tmp_path: Path) -> None:
    sink = Csv("s", tmp_path / "f.csv")
    for _ in range(3):
        sink.start(0, None, "run")
        sink.close()
    sink.start(0, None, "run")
    sink.write(rows(0, 1))
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["f.csv"]
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 2


def test_csv_holds_what_the_table_shows(tmp_path: Path) -> None:
    sink = Csv("s", tmp_path / "f.csv")
    sink.start(0, None, "run")
    made = row(segment=3)
    sink.write([row_entry(made, 1), row_entry(row(segment=4, labels=(), outage="nothing came"), 2)])
    sink.close()
    with (tmp_path / "f.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {
        "source": "a.mp4",
        "segment": "3",
        "start_seconds": "6.0",
        "end_seconds": "8.0",
        "label": "music",
        "score": "0.75",
        "found": "music 0.75, bird 0.25",
        "seen": "bird 0.50",
        "heard": "music 0.90",
        "said": "-",
        "outage": "",
        "id": made.id,
    }
    assert (second["label"], second["score"], second["outage"]) == ("", "", "nothing came")


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(1)"])
def test_a_spreadsheet_runs_nothing(text: str, tmp_path: Path) -> None:
    sink = Csv("s", tmp_path / "f.csv")
    sink.start(0, None, "run")
    sink.write([row_entry(row(source=text, labels=((text, 0.9),)), 1)])
    sink.close()
    with (tmp_path / "f.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert (found["source"], found["label"], found["found"][:1]) == (f"'{text}", f"'{text}", "'")


def test_standard_output_has_a_line_an_entry(capsys: pytest.CaptureFixture[str]) -> None:
    sink = StandardOutput()
    assert sink.start(3, None, "run") == 3
    sink.write(rows(0, 2))
    assert capsys.readouterr().out == "".join(entry.text + "\n" for entry in rows(0, 2))
