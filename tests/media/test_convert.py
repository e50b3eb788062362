"""Pictures of known colours in every form: what comes out is upright, undistorted and of the right colour."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from streammm.media.convert import PictureConverter, is_same_planar
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from streammm.media.tone import HLG, PQ, to_sdr

CONVERT = PictureConverter(32, 32)
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "grey": (120, 120, 120)}


def flat(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    "form", ["yuv420p", "yuv422p10le", "yuv444p", "yuvj420p", "gbrp", "gbrp10le", "nv12", "rgba", "yuva420p", "bgr24"]
)
def test_colours_survive_every_pixel_format(colour: str, form: str) -> None:
    frame = av.VideoFrame.from_ndarray(flat(COLOURS[colour]), "rgb24").reformat(format=form)
    assert np.abs(CONVERT(frame).astype(int) - COLOURS[colour]).max() <= 4


@pytest.mark.parametrize("form", ["gray", "gray10le", "monow"])
def test_pictures_without_colour_are_grey(form: str) -> None:
    frame = av.VideoFrame.from_ndarray(flat((255, 255, 255)), "rgb24").reformat(format=form)
    assert CONVERT(frame).min() >= 250


@pytest.mark.parametrize(("height", "colorspace"), [(64, Colorspace.ITU601), (720, Colorspace.ITU709)])
def test_untagged_pictures_have_the_colours_of_their_size(height: int, colorspace: Colorspace) -> None:
    coded = av.VideoFrame.from_ndarray(flat(COLOURS["red"], (height, 96)), "rgb24").reformat(
        format="yuv420p", dst_colorspace=colorspace
    )
    coded.colorspace = 2
    assert np.abs(CONVERT(coded).astype(int) - COLOURS["red"]).max() <= 5


def test_full_range_is_not_stretched() -> None:
    frame = av.VideoFrame.from_ndarray(np.full((96, 64), 100, np.uint8)[:96], "yuv420p")
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    frame.color_range = ColorRange.JPEG
    assert abs(int(CONVERT(frame).mean()) - 100) <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (35, 17), (2, 2)])
def test_any_size_gives_the_encoders_picture(size: tuple[int, int]) -> None:
    frame = av.VideoFrame.from_ndarray(flat((90, 90, 90), size), "rgb24")
    picture = CONVERT(frame)
    assert picture.shape == (32, 32, 3)
    assert np.abs(picture.astype(int) - 90).max() <= 2


@pytest.mark.parametrize("form", ["yuv420p", "yuvj422p", "yuv444p", "yuv420p10le", "nv12", "gray", "rgb24", "gbrp"])
@pytest.mark.parametrize("size", [(640, 360), (426, 240), (400, 224), (300, 200), (301, 129), (161, 133)])
def test_a_quicker_way_has_the_same_numbers(size: tuple[int, int], form: str) -> None:
    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format=form)
    shown = round(width * 128 / height)
    usual = frame.reformat(shown, 128, "rgb24", interpolation="AREA")
    left = (shown - 128) // 2
    pixels = np.frombuffer(memoryview(usual.planes[0]), np.uint8).reshape(128, -1)[:, 3 * left :][:, : 3 * 128]
    assert np.array_equal(PictureConverter(128, 128)(frame), pixels.reshape(128, 128, 3))


@pytest.mark.parametrize(
    ("width", "shrinking", "is_same"),
    [
        (455, Fraction(360, 256), True),
        (454, Fraction(360, 256), False),  # two pixels of one colour
        (455, Fraction(5, 4), False),  # each line out of two
        (455, Fraction(3, 2), False),
        (455, Fraction(2), False),
        (455, Fraction(3), True),
        (455, Fraction(257, 256), False),
    ],
)
def test_when_planar_pictures_are_the_same(width: int, shrinking: Fraction, is_same: bool) -> None:
    assert is_same_planar(width, shrinking) == is_same


def test_wide_pixels_are_shown_wide() -> None:
    square = np.zeros((64, 64, 3), np.uint8)
    square[16:48, 24:40] = 255  # twice as high as wide, until its pixels are taken to be twice as wide as high
    picture = CONVERT(av.VideoFrame.from_ndarray(square, "rgb24"), pixel_aspect=2.0)[:, :, 0] > 128
    assert abs(int(picture.any(0).sum()) - int(picture.any(1).sum())) <= 2


@pytest.mark.parametrize(("size", "shape"), [((64, 128), (16, 32)), ((90, 30), (32, 11)), ((64, 64), (32, 32))])
def test_a_whole_picture_lies_over_black(size: tuple[int, int], shape: tuple[int, int]) -> None:
    frame = av.VideoFrame.from_ndarray(flat((90, 90, 90), size), "rgb24")
    picture = PictureConverter(32, 32, whole=True)(frame)
    assert picture.shape == (32, 32, 3)
    bright = (picture > 60).all(axis=2)
    assert (bright.any(1).sum(), bright.any(0).sum()) == shape
    top, left = np.argmax(bright.any(1)), np.argmax(bright.any(0))
    assert abs(2 * top + shape[0] - 32) <= 1
    assert abs(2 * left + shape[1] - 32) <= 1
    assert picture[~bright].max(initial=0) == 0


def test_what_is_transparent_is_black() -> None:
    rgba = np.dstack([flat((200, 100, 50)), np.full((64, 64), 128, np.uint8)])
    assert np.abs(CONVERT(av.VideoFrame.from_ndarray(rgba, "rgba"))[0, 0].astype(int) - (100, 50, 25)).max() <= 2


def code_of(nits: float) -> int:
    """The PQ code value of a luminance: the inverse EOTF of SMPTE ST 2084."""
    power = (nits / 10_000) ** (2610 / 16384)
    return round(255 * ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def test_light_of_high_dynamic_range_comes_out_as_on_an_ordinary_screen() -> None:
    shown = [int(to_sdr(np.full((1, 1, 3), code_of(nits), np.uint8), PQ)[0, 0, 1]) for nits in (0, 20, 203, 1000)]
    assert shown[0] == 0
    assert 70 <= shown[1] <= 95  # 20 nits, a tenth of white: sRGB has 89 for that
    assert 185 <= shown[2] <= 200  # diffuse white
    assert shown[3] >= 250
    assert int(to_sdr(np.full((1, 1, 3), 191, np.uint8), HLG)[0, 0, 1]) == pytest.approx(shown[2], abs=12)  # 75 % HLG


@pytest.mark.shared_media
def test_twins_look_alike(shared_media: Path) -> None:
    def first(name: str) -> np.ndarray:
        with SegmentReader(str(shared_media / "media" / name), DecodeOptions()) as reader:
            return next(iter(reader)).frames[0].astype(int)

    assert np.abs(first("real/rabbit320.mp4") - first("real/rabbit320.webm")).mean() < 6
    assert np.abs(first("real/toy_frog.mp4") - first("real/toy_frog.webm")).mean() < 6
