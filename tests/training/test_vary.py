"""What is varied in training says the same: it stays where, what and about as much as it was."""

from __future__ import annotations

import math

import pytest
import torch

from streammm.encoders.founding import FILLING, UNKNOWN
from streammm.training.vary import other_pictures, other_sounds, other_words


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_a_spot_moves_a_little_and_alike_in_all_frames_of_a_segment() -> None:
    frames = torch.zeros(50, 2, 64, 64, 3)
    frames[:, :, 28:36, 28:36] = 200.0
    varied = other_pictures(frames)
    assert varied.shape == frames.shape
    assert torch.equal(varied[:, 0], varied[:, 1])
    grey = varied[:, 0, :, :, 0]
    at = torch.arange(64.0)
    centres = torch.stack([(grey.sum(1) * at).sum(1), (grey.sum(2) * at).sum(1)], 1) / grey.sum((1, 2))[:, None]
    moved = (centres - 31.5).abs()
    assert 3 < moved.max() < 6  # an eighth of half the side, a little more where it is stretched
    assert centres.std(0).min() > 1
    sizes = (grey > 100).float().sum((1, 2))
    assert 40 < sizes.min() < 60 < 70 < sizes.max() < 95


def test_contrast_varies_and_pixels_stay_in_their_range() -> None:
    frames = torch.zeros(50, 1, 64, 64, 3)
    frames[:, :, :, 32:] = 255.0
    varied = other_pictures(frames)
    assert (varied.min(), varied.max()) == (0.0, 255.0)
    assert varied.amax((1, 2, 3, 4)).min() < 250


def test_a_tone_stays_a_tone_at_about_its_pitch() -> None:
    tone = 0.1 * torch.sin(2 * math.pi * 1000.0 * torch.arange(16_000) / 16_000)
    varied = other_sounds(tone.repeat(100, 1))
    assert varied.shape == (100, 16_000)
    spectra = torch.fft.rfft(varied).abs()
    pitches = spectra.argmax(1).float()
    loudest = spectra.amax(1) > 200  # the others are those whose tone lies in the hidden band
    assert 0.8 < loudest.float().mean() < 1
    assert pitches[loudest].min() > 1000 / 1.12
    assert pitches[loudest].max() < 1000 * 1.12
    assert pitches[loudest].std() > 30


def test_only_a_share_of_a_sound_is_hidden() -> None:
    varied = other_sounds(torch.randn(50, 16_000))
    hidden = (varied.abs() < 0.02).float().mean(1)
    assert hidden.max() < 0.3
    assert hidden.min() < 0.05
    assert hidden.std() > 0.02


def test_a_sound_may_be_of_one_sample_and_silence_stays_quiet() -> None:
    assert other_sounds(torch.zeros(3, 1)).shape == (3, 1)
    assert other_sounds(torch.zeros(3, 1600)).abs().max() < 0.02


def test_some_words_are_unknown_and_what_fills_up_stays() -> None:
    numbers = torch.tensor([[5, 6, 7, FILLING]]).repeat(1000, 1)
    varied = other_words(numbers)
    assert (varied[:, 3] == FILLING).all()
    assert 0.07 < (varied[:, :3] == UNKNOWN).float().mean() < 0.13
    assert ((varied == numbers) | (varied == UNKNOWN)).all()
