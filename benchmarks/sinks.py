"""How many rows a second each sink takes: a journal on disk is filled, then delivered to one address after the other.

benchmarks/sinks.py jsonl:/tmp/a csv:/tmp/b parquet:/tmp/c sqlite:////tmp/d kafka://127.0.0.1:9092/rows
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from streammm.config import load
from streammm.journal import Cursor, Entry, Journal
from streammm.sinks.open import open_outlets, with_sinks
from streammm.types import Classification, Modality, ModalityResult, Status
from streammm_workers.delivery import deliver

NUM_ROWS = 20_000
SOURCES = 20
LABELS = tuple((f"label {n}", 0.9 / (n + 1)) for n in range(10))


def entries(source: str, count: int) -> list[Entry]:
    """Rows as large as real ones, ten labels in all and by modality."""
    found = ModalityResult(Status.OK, 0.3, LABELS, 4)
    modalities: dict[Modality, ModalityResult] = {"audio": found, "text": found, "video": found}
    rows = (
        Classification(source, n, 2.0 * n, 2.0 * n + 2, LABELS[n % 3 :], 0.0, modalities, "made up", 0.1)
        for n in range(count)
    )
    return [Entry(source, row.segment, "row", json.dumps(row.to_json())) for row in rows]


def main(addresses: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder)}/journal.sqlite"
        journal = Journal(url)
        for source in (f"films/{n}.mp4" for n in range(SOURCES)):
            journal.register([source])
            lease = journal.lease(source)
            assert lease is not None
            count = NUM_ROWS // SOURCES
            journal.commit(source, lease.epoch, entries(source, count), Cursor(count), is_done=True)
        size = sum(len(entry.text) for entry in journal.read(0, 1000)) / 1000
        journal.close()
        print(f"{NUM_ROWS} rows of {size:.0f} bytes\n{'rows a second':>13}  sink")
        for address in addresses:
            outlets = open_outlets(with_sinks(load(sinks=[address])))
            started = time.perf_counter()
            left = deliver((url,), outlets, 10.0, lambda states: None)
            seconds = time.perf_counter() - started
            print(f"{NUM_ROWS / seconds:13.0f}  {address}" + (f", {sum(left.values())} left" if left else ""))


if __name__ == "__main__":
    main(sys.argv[1:])
