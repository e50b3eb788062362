"""One at a time equals all at once, for every way to join and to remember, whatever is missing."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from safetensors import torch as safetensors
from torch import Tensor

from streammm.fusion.join import JOINS
from streammm.fusion.learned import LearnedFusion, State, time_features
from streammm.fusion.memory import MEMORIES, Attention
from streammm.types import MODALITIES, Modality

DIMS: dict[Modality, int] = {"audio": 7, "text": 5, "video": 6}
BATCH, LENGTH, CLASSES = 3, 12, 4
UNIX = 1_790_000_000.0


def sequence(length: int = LENGTH, origin: float = 0.0, dims: dict[Modality, int] = DIMS) -> tuple:
    """Random vectors, parts of them missing, at irregular times with gaps."""
    draw = torch.Generator().manual_seed(length)
    inputs = {m: torch.randn(BATCH, length, d, generator=draw) for m, d in dims.items()}
    present = torch.rand(BATCH, length, len(MODALITIES), generator=draw) > 0.35
    durations = 0.5 + 2 * torch.rand(BATCH, length, generator=draw, dtype=torch.float64)
    gaps = torch.where(torch.rand(BATCH, length, generator=draw) > 0.8, 40.0, 0.0).double()
    ends = origin + (durations + gaps).cumsum(1)
    return inputs, present, ends - durations, ends


def net(
    join: str = "gated", memory: str = "ssm", look_ahead: int = 0, dims: dict[Modality, int] = DIMS
) -> LearnedFusion:
    torch.manual_seed(0)
    made = LearnedFusion(dims, CLASSES, width=16, join=join, memory=memory, look_ahead=look_ahead).eval()
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


def stepped(model: LearnedFusion, sequence: tuple) -> tuple[Tensor, Tensor, Tensor, State]:
    """What `step` and `flush` say of a whole sequence, as `forward` would: fused, alone, weights."""
    inputs, present, starts, ends = sequence
    state = model.init_state(BATCH)
    fused, alone, weights = [], [], []
    for t in range(present.shape[1]):
        one, is_answered, state = model.step(
            {m: x[:, t] for m, x in inputs.items()}, present[:, t], starts[:, t], ends[:, t], state
        )
        assert bool(is_answered.all()) == (t >= model.look_ahead)
        fused += [one.fused] if t >= model.look_ahead else []
        alone.append(one.by_modality)
        weights.append(one.weights)
    rest, is_there = model.flush(state)
    assert is_there.all()
    return torch.cat([torch.stack(fused, 1), rest], 1), torch.stack(alone, 1), torch.stack(weights, 1), state


USED = [("audio", "text", "video"), ("audio", "video"), ("text",)]


@pytest.mark.parametrize(("join", "memory", "look_ahead"), list(product(JOINS, MEMORIES, (0, 2))))
@torch.inference_mode()
def test_one_segment_at_a_time_equals_all_at_once(join: str, memory: str, look_ahead: int) -> None:
    for used in USED:
        dims = {m: DIMS[m] for m in used}
        model, given = net(join, memory, look_ahead, dims), sequence(dims=dims)
        logits, after = model(*given)
        fused, alone, weights, state = stepped(model, given)
        torch.testing.assert_close(fused, logits.fused, atol=1e-5, rtol=0)
        torch.testing.assert_close(alone, logits.by_modality, atol=1e-5, rtol=0)
        torch.testing.assert_close(weights, logits.weights, atol=1e-5, rtol=0)
        for name in after.keys() - {"waiting", "num_waiting"}:
            torch.testing.assert_close(state[name], after[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("memory", MEMORIES)
@torch.inference_mode()
def test_a_sequence_may_be_cut_anywhere_and_its_state_saved(memory: str) -> None:
    model, (inputs, present, starts, ends) = net(memory=memory), sequence()
    whole, _ = model(inputs, present, starts, ends)
    first, state = model({m: x[:, :5] for m, x in inputs.items()}, present[:, :5], starts[:, :5], ends[:, :5])
    saved = safetensors.load(safetensors.save(state))
    assert all(torch.equal(saved[name], value) or value.isnan().all() for name, value in state.items())
    second, _ = model({m: x[:, 5:] for m, x in inputs.items()}, present[:, 5:], starts[:, 5:], ends[:, 5:], saved)
    torch.testing.assert_close(torch.cat([first.fused, second.fused], 1), whole.fused, atol=1e-5, rtol=0)


@pytest.mark.parametrize("memory", MEMORIES)
@torch.inference_mode()
def test_a_source_without_a_new_segment_stays_as_it_is(memory: str) -> None:
    model, (inputs, present, starts, ends) = net(memory=memory, look_ahead=1), sequence()
    state = model.init_state(BATCH)
    alone = model.init_state(BATCH)
    for t in range(4):
        now = {m: x[:, t] for m, x in inputs.items()}, present[:, t], starts[:, t], ends[:, t]
        active = torch.tensor([True, t % 2 == 0, True])
        one, is_answered, state = model.step(*now, state, active)
        if t % 2 == 0:
            other, was_answered, alone = model.step(*now, alone)
            torch.testing.assert_close(one.fused[1], other.fused[1], atol=1e-6, rtol=0)
            assert is_answered[1] == was_answered[1]
        assert is_answered.tolist() == [t >= 1, t >= 1 and t % 2 == 0, t >= 1]
    for name, value in state.items():
        torch.testing.assert_close(value[1], alone[name][1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("memory", MEMORIES)
@torch.inference_mode()
def test_sequences_of_uneven_length_do_not_see_what_fills_them(memory: str) -> None:
    model, (inputs, present, starts, ends) = net(memory=memory, look_ahead=2), sequence()
    lengths = torch.tensor([LENGTH, 5, 1])
    found, _ = model(inputs, present, starts, ends, lengths=lengths)
    for b, n in enumerate(lengths.tolist()):
        alone, _ = model(
            {m: x[b : b + 1, :n] for m, x in inputs.items()},
            present[b : b + 1, :n],
            starts[b : b + 1, :n],
            ends[b : b + 1, :n],
        )
        torch.testing.assert_close(found.fused[b, :n], alone.fused[0], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_source_shorter_than_the_look_ahead_is_answered_at_its_end() -> None:
    model, (inputs, present, starts, ends) = net(look_ahead=3), sequence(2)
    whole, _ = model(inputs, present, starts, ends)
    state = model.init_state(BATCH)
    for t in range(2):
        _, is_answered, state = model.step(
            {m: x[:, t] for m, x in inputs.items()}, present[:, t], starts[:, t], ends[:, t], state
        )
        assert not is_answered.any()
    rest, is_there = model.flush(state)
    assert is_there.tolist() == [[False, True, True]] * BATCH
    torch.testing.assert_close(rest[:, 1:], whole.fused, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("join", "memory"), list(product(JOINS, MEMORIES)))
@torch.inference_mode()
def test_what_is_absent_does_not_matter(join: str, memory: str) -> None:
    model, (inputs, present, starts, ends) = net(join, memory), sequence()
    found, _ = model(inputs, present, starts, ends)
    spoilt = {m: torch.where(present[..., i, None], inputs[m], float("nan")) for i, m in enumerate(MODALITIES)}
    other, _ = model(spoilt, present, starts, ends)
    torch.testing.assert_close(other.fused, found.fused)
    missing, _ = model({"video": inputs["video"]}, present, starts, ends)
    masked, _ = model(inputs, present & torch.tensor([False, False, True]), starts, ends)
    torch.testing.assert_close(missing.fused, masked.fused)
    sums = found.weights.sum(-1)
    torch.testing.assert_close(sums, present.any(-1).float(), atol=1e-5, rtol=0)
    assert not found.weights[~present].any()
    assert not found.by_modality[~present].any()


@pytest.mark.parametrize("memory", MEMORIES)
@torch.inference_mode()
def test_a_stream_that_has_run_for_weeks_gives_what_a_file_gives(memory: str) -> None:
    model = net(memory=memory)
    early, _ = model(*sequence())
    late, _ = model(*sequence(origin=UNIX))
    torch.testing.assert_close(late.fused, early.fused, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_states_stay_bounded_over_many_segments() -> None:
    for memory in MEMORIES:
        model, (inputs, present, starts, ends) = net(memory=memory), sequence()
        state, size = None, None
        for n in range(40):
            shift = n * float(ends.max())
            logits, state = model(inputs, present, starts + shift, ends + shift, state)
            size = size or sum(value.numel() for value in state.values())
        assert sum(value.numel() for value in state.values()) == size
        assert logits.fused.isfinite().all()
        assert all(value.abs().max() < 1e5 for value in state.values() if value.dtype == torch.float32)


@torch.inference_mode()
def test_attention_forgets_what_is_behind_its_window() -> None:
    model = net(memory="attn")
    inputs, present, starts, ends = sequence(2 * Attention.window + 40)
    present[:] = True
    one, _ = model(inputs, present, starts, ends)
    inputs = {m: x.clone() for m, x in inputs.items()}
    for x in inputs.values():
        x[:, 0] += 5.0
    other, _ = model(inputs, present, starts, ends)
    changed = (one.fused - other.fused).abs().amax((0, 2)) > 0
    reach = 2 * (Attention.window - 1)  # two layers
    assert changed[0]
    assert not changed[reach + 1 :].any()


@torch.inference_mode()
def test_a_gap_decays_what_is_remembered_as_much_as_time_that_passes() -> None:
    model = net(memory="ema", dims={"video": 6})
    x = {"video": torch.randn(1, 2, 6)}
    starts, ends = torch.tensor([[0.0, 1e7]]).double(), torch.tensor([[1.0, 1e7 + 1.0]]).double()
    _, state = model(x, torch.ones(1, 2, 3, dtype=torch.bool), starts, ends)
    fresh = {"video": x["video"][:, 1:]}
    time, elapsed = time_features(starts[:, 1:], ends[:, 1:], ends[:, 0])
    assert elapsed.item() == pytest.approx(1e7)
    assert time[0, 0].tolist() == pytest.approx([torch.log(torch.tensor(2.0)).item(), 16.118, 0.0], rel=1e-3)
    _, other = model(fresh, torch.ones(1, 1, 3, dtype=torch.bool), ends[:, 1:] - 1e7, ends[:, 1:])
    torch.testing.assert_close(state["memory.average"], other["memory.average"])  # all that was before has gone


def test_a_wrong_choice_is_shown() -> None:
    for wrong, words in (
        ({"join": "sum"}, "join must be one of .* got 'sum'"),
        ({"memory": "lstm"}, "memory must be one of .* got 'lstm'"),
        ({"look_ahead": -1}, "no negative look_ahead"),
        ({"width": 18, "memory": "attn"}, "divisible by 4"),
    ):
        with pytest.raises(ValueError, match=words):
            LearnedFusion(DIMS, CLASSES, **wrong)
    with pytest.raises(ValueError, match="dims must give"):
        LearnedFusion({}, CLASSES)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_step_can_be_exported(memory: str) -> None:
    """With torch.export: a program of plain operators that gives the same as the module."""
    model, (inputs, present, starts, ends) = net(memory=memory), sequence()

    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs, present, starts, ends, state):
            logits, is_answered, after = self.model.step(inputs, present, starts, ends, state)
            return logits.fused, is_answered, after

    state = model.init_state(BATCH)
    now = {m: x[:, 0] for m, x in inputs.items()}, present[:, 0], starts[:, 0], ends[:, 0]
    with torch.no_grad():
        program = torch.export.export(Step(), (*now, state)).module()
        for t in range(3):
            now = {m: x[:, t] for m, x in inputs.items()}, present[:, t], starts[:, t], ends[:, t]
            fused, _, exported = program(*now, state)
            wanted, _, state = model.step(*now, state)
            torch.testing.assert_close(fused, wanted.fused, atol=1e-5, rtol=0)
            for name, value in state.items():
                torch.testing.assert_close(exported[name], value, atol=1e-5, rtol=0)
