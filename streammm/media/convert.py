"""Decoded picture -> the small RGB picture that an image encoder wants. The only place that touches pixels' layout."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from streammm.media.tone import HLG, PQ, to_sdr

_UNTAGGED = 2
"""The colour space that H.264 and its kin call unspecified (ITU-T H.273, matrix coefficients)."""

_LONGEST_SIDE = 4096
"""A picture a thousand times wider than high is squeezed to this width rather than blown up without bound."""

_LEAST_SHRINKING = Fraction(6, 5)
"""What is shrunk by less may be made of two lines everywhere, which libswscale adds up in a way of its own."""


class PictureConverter:
    """Scales pictures so that the shorter side is ``shorter_side`` and cuts ``crop`` x ``crop`` out of the middle.

    With ``whole`` the longer side becomes ``crop``, and the picture is laid over a black square of that size.

    Rotation and pixel aspect are applied, so the result is upright and undistorted. Shrinking averages over areas,
    enlarging is bicubic. Untagged pictures of 720 lines or more are taken as BT.709, as their makers meant them. High
    dynamic range is mapped to that of ordinary screens, and what is transparent lies over black, as players show it.
    """

    def __init__(self, shorter_side: int, crop: int, whole: bool = False) -> None:
        if not 0 < crop <= shorter_side:
            raise ValueError(f"crop must be in (0, shorter_side={shorter_side}], got {crop}")
        self.shorter_side = shorter_side
        self.crop = crop
        self.whole = whole
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, pixel_aspect: float = 1.0) -> npt.NDArray[np.uint8]:
        """One picture.

        Args:
            frame: a decoded picture of any size and pixel format.
            pixel_aspect: width of a pixel over its height.

        Returns:
            uint8 [crop, crop, 3], RGB.
        """
        width, height = self._scaled_size(frame, pixel_aspect)
        shrinks = width <= frame.width and height <= frame.height
        untagged_hd = frame.colorspace == _UNTAGGED and frame.height >= 720
        has_alpha = any(component.is_alpha for component in frame.format.components)
        is_planar = not has_alpha and is_same_planar(width, Fraction(frame.height, height))
        small = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="gbrp" if is_planar else "rgba" if has_alpha else "rgb24",
            src_colorspace=Colorspace.ITU709 if untagged_hd else None,
            interpolation=Interpolation.AREA if shrinks else Interpolation.BICUBIC,
            threads=1,  # more of them take longer to wake than a picture takes
        )
        top, left = (height - self.crop) // 2, (width - self.crop) // 2  # below zero: over the square's edge
        channels = 1 if is_planar else 4 if has_alpha else 3
        planes = [_pixels(plane, height, width, channels) for plane in small.planes]
        if not self.whole:
            planes = [plane[top : top + self.crop, left : left + self.crop] for plane in planes]
        picture = np.concatenate([planes[2], planes[0], planes[1]], axis=-1) if is_planar else planes[0]
        if self.whole:
            square = np.zeros((self.crop, self.crop, picture.shape[-1]), np.uint8)
            square[-top : height - top, -left : width - left] = picture
            picture = square
        if has_alpha:
            picture = (picture[:, :, :3].astype(np.uint16) * picture[:, :, 3:] // 255).astype(np.uint8)
        if frame.color_trc in (PQ, HLG):
            picture = to_sdr(picture, int(frame.color_trc))
        quarter_turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(picture, quarter_turns))

    def _scaled_size(self, frame: av.VideoFrame, pixel_aspect: float) -> tuple[int, int]:
        shown_width = frame.width * pixel_aspect
        if self.whole:
            scale = self.crop / max(shown_width, frame.height)
            return max(1, round(shown_width * scale)), max(1, round(frame.height * scale))
        scale = self.shorter_side / min(shown_width, frame.height)
        width = min(max(round(shown_width * scale), self.shorter_side), _LONGEST_SIDE)
        height = min(max(round(frame.height * scale), self.shorter_side), _LONGEST_SIDE)
        return width, height


def is_same_planar(width: int, shrinking: Fraction) -> bool:
    """Whether planar RGB, which libswscale makes in less than half the time, has the numbers of packed RGB.

    Two neighbours in packed RGB of an even width get the same colour. And where no line is made of three or more, as
    when 5 become 4 or 3 become 2, they are added up with other rounding.
    """
    odd = width % 2 == 1
    return odd and shrinking >= _LEAST_SHRINKING and shrinking.numerator - shrinking.denominator >= 2


def _pixels(plane: av.video.plane.VideoPlane, height: int, width: int, channels: int) -> npt.NDArray[np.uint8]:
    """uint8 [height, width, channels], a view; lines are longer in memory."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[:height, : width * channels].reshape(height, width, channels)
