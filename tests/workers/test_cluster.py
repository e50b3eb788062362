"""How the shards of a run are laid out on a cluster."""

from __future__ import annotations

import pytest

from streammm.config import load


@pytest.mark.parametrize(
    ("nodes", "num_sources", "settings", "layout"),
    [
        ([{"CPU": 2}], 100, [], (1, 2, 0.0)),
        ([{"CPU": 8}, {"CPU": 4}], 100, [], (2, 4, 0.0)),
        ([{"CPU": 64, "GPU": 8}], 1000, [], (8, 8, 1.0)),
        ([{"CPU": 64, "GPU": 8}], 4, [], (8, 1, 1.0)),
        ([{"CPU": 4}, {"CPU": 16, "GPU": 2}], 1000, [], (2, 8, 1.0)),
        ([{"CPU": 16}], 1000, ["ray.shards=2"], (2, 8, 0.0)),
        ([{"CPU": 16, "GPU": 1}], 1000, ["ray.gpus_per_shard=0.5"], (2, 8, 0.5)),
    ],
)
def test_the_layout_fits_the_cluster(
    nodes: list[dict[str, float]], num_sources: int, settings: list[str], layout: tuple[int, int, float]
) -> None:
    from streammm_workers.cluster import _lay_out

    found = _lay_out(load(settings=settings), nodes, num_sources)
    assert (found.num_shards, found.decoders, found.gpus) == layout
