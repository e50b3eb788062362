"""What only a GPU does: a net as a graph, copies beside the computing, and the same numbers whatever is in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streammm.encoders import find
from streammm.encoders.check_input import check_segments
from streammm.encoders.graph import Graph, captured
from streammm.encoders.placement import Placement
from streammm.encoders.torch_runtime import FixedBatches
from streammm.types import Modality

GPU = Placement("torch", "cuda", "fp32")


@pytest.fixture(autouse=True)
def _gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")  # none can be installed


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize(("modality", "name"), [("video", "efficientnet_lite0"), ("audio", "yamnet")])
def test_a_graph_is_what_runs_and_no_row_depends_on_the_batch(modality: Modality, name: str, precision: str) -> None:
    encoder = find(name, modality, runtime="torch", device="cuda", precision=precision)
    encoder.setup()
    assert isinstance(encoder._run._net, Graph)  # type: ignore[attr-defined]
    segments = check_segments(modality, 70)
    together = encoder.encode(segments)
    assert len({row.tobytes() for row in together.vectors}) == 70
    for i in (0, 31, 32, 69):
        np.testing.assert_array_equal(encoder.encode(segments[i : i + 1]).vectors[0], together.vectors[i])


@pytest.mark.gpu
def test_what_cannot_be_captured_runs_as_it_is() -> None:
    class Looks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if float(x.sum()) > 0 else x  # what it does depends on the numbers, which a graph forgets

    net = Looks()
    assert captured(net, torch.ones(4, 3), GPU) is net
    run = FixedBatches(net, GPU, 4)
    ((found,),) = run([np.ones((2, 3), np.float32)])
    np.testing.assert_array_equal(found, np.full((2, 3), 2.0))


@pytest.mark.gpu
def test_what_a_graph_returned_is_not_overwritten_by_the_next_batch() -> None:
    with torch.inference_mode():
        graph = Graph(torch.nn.Identity(), torch.zeros(4, 3, device="cuda"))
        (first,) = graph(torch.ones(4, 3, device="cuda"))
        graph(torch.zeros(4, 3, device="cuda"))
        assert first.sum().item() == 12
        assert graph(torch.ones(2, 3, device="cuda"))[0].shape == (2, 3)  # of another shape
