"""What kept embeddings cost and save: a run's time with and without them, relabelling's, and the speed of searching.

    python benchmarks/relabel.py CLIP_OR_FOLDER [--copies 20] [--labels A,B,...] [--find TEXT]

The media are run with embeddings, and once more with the labels; then the first run is relabelled with the same labels,
whose rows are compared with those of the second. For relabelling and searching at length, what the run kept is put
into a journal so many times, under other names.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from streammm.find import find_like, find_text
from streammm.journal import EMBEDDINGS, Cursor, Journal
from streammm.likeness import example_of
from streammm.relabel import relabel, relabelled_config
from streammm.run_directory import RunDirectory, journal_of

PROGRAM = [sys.executable, "-c", "from streammm.cli import main; main()"]


def timed(*arguments: object) -> float:
    """Seconds that a command of ours takes."""
    started = time.perf_counter()
    done = subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: some files cannot be read
        raise SystemExit(done.stderr)
    return time.perf_counter() - started


def rows_of(run: Path) -> dict[tuple[str, int], dict[str, float]]:
    """Fused scores by source and segment."""
    rows = map(json.loads, (run / "results.jsonl").read_text().splitlines())
    return {(r["source"], r["segment"]): {e["label"]: e["score"] for e in r["labels"]} for r in rows}


def multiply(run: Path, place: Path, copies: int) -> None:
    """A run directory with what a run kept, so many times."""
    config, journal = journal_of(run)
    with closing(journal) as old, closing(RunDirectory(place, config)) as directory:
        directory.begin()
        with closing(Journal(directory.url, directory.schema, directory.owner)) as new:
            for source in old.sources():
                entries = old.read_segments(source.name, 0, 1_000_000)
                for n in range(copies):
                    name = f"{n}/{source.name}"
                    new.register([name])
                    lease = new.lease(name)
                    assert lease is not None
                    cursor = Cursor(source.counted.num_segments, None, source.counted.media_seconds)
                    new.commit(name, lease.epoch, [replace(e, source=name) for e in entries], cursor, True)


def kept_bytes(run: Path) -> tuple[int, int]:
    """Segments of a run, and bytes of their embeddings in the journal."""
    count = size = position = 0
    with closing(journal_of(run)[1]) as journal:
        while entries := journal.read(position, kind=EMBEDDINGS):
            count, size = count + len(entries), size + sum(len(e.text) for e in entries)
            position = entries[-1].position
    return count, size


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--labels", default="speech,music,dog barking,rabbit,explosion")
    parser.add_argument("--find", default="an explosion")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        kept, wanted, new, many = (Path(folder) / name for name in ("kept", "wanted", "new", "many"))
        labels = ("--labels", given.labels)
        keeping = timed("run", given.media, "--out", kept, "--set", "output.embeddings=true")
        running = timed("run", given.media, "--out", wanted, *labels)
        relabelling = timed("relabel", kept, "--out", new, *labels)
        ours, theirs = rows_of(new), rows_of(wanted)
        assert ours.keys() == theirs.keys()
        apart = max(abs(ours[key][k] - score) for key in ours for k, score in theirs[key].items() if k in ours[key])
        count, size = kept_bytes(kept)
        print(f"{count} segments, {size / count / 1000:.1f} kB of embeddings a segment")
        print(f"run with embeddings kept   {keeping:8.1f} s")
        print(f"run with the labels        {running:8.1f} s")
        print(f"relabel                    {relabelling:8.1f} s, scores at most {apart:.1e} apart")
        multiply(kept, many, given.copies)
        config = relabelled_config(many, given.labels)
        started = time.perf_counter()
        done = relabel(many, config, Path(folder) / "relabelled")
        seconds = time.perf_counter() - started
        print(f"relabel, {done.num_rows} segments: {seconds:.1f} s, {done.num_rows / seconds:,.0f} segments/s")
        find_text([kept], given.find)  # the names of classes are embedded once and kept
        for what, search in (
            ("find a text", lambda: find_text([many], given.find)),
            ("find like an example", lambda: find_like([many], *example(many))),
        ):
            started = time.perf_counter()
            found = search()
            seconds = time.perf_counter() - started
            rate = found.num_segments / seconds
            print(f"{what}, {found.num_segments} segments: {seconds:.1f} s, {rate:,.0f} segments/s")


def example(run: Path) -> tuple[str, float]:
    """The first source of which something was kept at its start."""
    with closing(journal_of(run)[1]) as journal:
        for source in journal.sources():
            if (kept := example_of(journal, source.name, 1.0)) is not None:
                return source.name, kept.start_seconds
    raise SystemExit("nothing was kept of any source's first second")


if __name__ == "__main__":
    main()
