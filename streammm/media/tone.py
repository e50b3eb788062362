"""Pictures of high dynamic range -> what an ordinary screen shows, which is what image encoders were trained on."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273: SMPTE ST 2084 and ARIB STD-B67."""

_WHITE_NITS = 203.0
"""Diffuse white of HDR programmes (ITU-R BT.2408)."""

_PEAK_NITS = 1000.0
"""The brightest light that is still told from white."""

_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
"""Linear RGB of BT.2020 -> of BT.709 (ITU-R BT.2087)."""


def to_sdr(picture: npt.NDArray[np.uint8], transfer: int) -> npt.NDArray[np.uint8]:
    """Maps a picture to BT.709.

    Light is made linear, moved to the primaries of BT.709 and compressed by Reinhard's extended curve, by which
    diffuse white comes out a little darker than white and 1000 nits as white.

    Args:
        picture: uint8 [H, W, 3], RGB with the primaries of BT.2020.
        transfer: `PQ` or `HLG`.

    Returns:
        uint8 [H, W, 3].
    """
    light = np.maximum(_linear(transfer)[picture] @ _TO_709.T, 0.0)
    peak = _PEAK_NITS / _WHITE_NITS
    mapped = light * (1 + light / peak**2) / (1 + light)
    steps = np.minimum(mapped * 4095, 4095).astype(np.int32)
    shown: npt.NDArray[np.uint8] = _encoded()[steps]
    return shown


@functools.cache
def _linear(transfer: int) -> npt.NDArray[np.float32]:
    """float32 [256]: light, 1 at diffuse white, of each code value."""
    code = np.arange(256) / 255
    if transfer == PQ:  # the EOTF of SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = code ** (1 / m2)
        nits = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    else:  # the inverse OETF of ITU-R BT.2100, and its OOTF of gamma 1.2 by channel
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        nits = _PEAK_NITS * scene**1.2
    return (nits / _WHITE_NITS).astype(np.float32)


@functools.cache
def _encoded() -> npt.NDArray[np.uint8]:
    """uint8 [4096]: the code value of each step of light, by the sRGB curve (IEC 61966-2-1)."""
    light = np.arange(4096) / 4095
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(code * 255).astype(np.uint8)
