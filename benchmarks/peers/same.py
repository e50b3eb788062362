"""Whether all do the same work: the same pictures and sound of the same segments, and the labels that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import Bench

TIME_ERROR, LEVEL_ERROR, LOUDNESS_ERROR = 0.002, 2.0, 0.02
"""Seconds; of 255; share. Those who convert differently may differ by rounding."""

Rows = dict[tuple[str, int], Mapping[str, Any]]


def check_same_work(bench: Bench, clips: Sequence[Path]) -> None:
    """Ends the benchmark unless all sample the same pictures and hear the same; compares the labels they give then."""
    first, *others = bench.peers
    wanted = _keyed(first.probed(bench.run(first, clips, probe=True)))
    labels = _keyed(first.rows(bench.run(first, clips)))
    print(f"{first.name}: {len(wanted)} segments, {sum(len(row['seconds']) for row in wanted.values())} pictures")
    for peer in others:
        found = _keyed(peer.probed(bench.run(peer, clips, probe=True)))
        if found.keys() != wanted.keys():
            raise SystemExit(f"{peer.name} has other segments than {first.name}: {sorted(found)}, {sorted(wanted)}")
        for key, row in found.items():
            if not _is_same(row, wanted[key]):
                raise SystemExit(f"{peer.name} does other work than {first.name}:\n{row}\n{wanted[key]}")
        rows = _keyed(peer.rows(bench.run(peer, clips)))
        same = sum(rows[key]["labels"][0]["label"] == labels[key]["labels"][0]["label"] for key in labels)
        print(f"{peer.name}: the same pictures and sound; {same} of {len(labels)} segments have the same top label")
        bench.result.add(f"{peer.name}/same top label", "%", [100 * same / len(labels)], "more")


def _keyed(rows: Sequence[Mapping[str, Any]]) -> Rows:
    return {(Path(row["source"]).name, row["segment"]): row for row in rows}


def _is_same(this: Mapping[str, Any], that: Mapping[str, Any]) -> bool:
    if len(this["seconds"]) != len(that["seconds"]):
        return False
    times = zip(this["seconds"], that["seconds"], strict=True)
    levels = [
        pair
        for these, those in zip(this["quarters"], that["quarters"], strict=True)
        for pair in zip(these, those, strict=True)
    ]
    return (
        all(abs(a - b) <= TIME_ERROR for a, b in times)
        and all(abs(a - b) <= LEVEL_ERROR for a, b in levels)
        and abs(this["rms"] - that["rms"]) <= LOUDNESS_ERROR * max(0.01, that["rms"])
    )
