"""EfficientNet-Lite0: pictures in, class probabilities and features out; the net behind ``image.py``.

Input: uint8 [B, 224, 224, 3]. Output: ImageNet probabilities [B, 1000] and pooled features [B, 1280].
The architecture is EfficientNet's (Tan and Le, arXiv:1905.11946) without squeeze-and-excitation and with
ReLU6 in place of swish, as in TensorFlow's ``efficientnet/lite``. Batch normalisation is folded into the
convolutions, and the padding that TensorFlow calls SAME is fixed for 224 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammm.encoders.shapes import IMAGE_CLASSES, IMAGE_FEATURES

_STEM_CHANNELS = 32
_BATCH_NORM_EPS = 1e-3
_STAGES = (  # kernel, stride, expansion, output channels, number of blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class _Conv(nn.Module):
    """A convolution with a bias, TensorFlow's SAME padding for inputs of even size, and an optional ReLU6."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        total = kernel - stride  # on an even size a stride of two leaves an odd total: the extra pixel goes last
        before = total // 2
        self.pad = (before, total - before) * 2 if total % 2 else None
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, 0 if self.pad else before, groups=groups, bias=True
        )
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        if self.pad is not None:
            x = functional.pad(x, self.pad)
        x = self.conv(x)
        return functional.relu6(x) if self.relu else x


class _Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; with a shortcut where input and output have one shape."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        widen = [_Conv(channels_in, wide, 1)] if expansion > 1 else []
        self.body = nn.Sequential(
            *widen, _Conv(wide, wide, kernel, stride, groups=wide), _Conv(wide, channels_out, 1, relu=False)
        )
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y + x if self.shortcut else y


class EfficientNetLite(nn.Module):
    """The classifier with its normalisation and softmax, so that bytes go in and probabilities come out.

    Shape:
        - pictures: uint8 [B, 224, 224, 3], RGB
        - output: probabilities float32 [B, 1000], features float32 [B, 1280]
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_Conv(3, _STEM_CHANNELS, 3, stride=2)]
        channels = _STEM_CHANNELS
        for kernel, stride, expansion, channels_out, num_blocks in _STAGES:
            for i in range(num_blocks):
                layers.append(_Block(channels, channels_out, kernel, stride if i == 0 else 1, expansion))
                channels = channels_out
        layers.append(_Conv(channels, IMAGE_FEATURES, 1))
        self.body = nn.Sequential(*layers)
        self.classifier = nn.Linear(IMAGE_FEATURES, IMAGE_CLASSES)

    def logits(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Scores before the softmax [B, 1000], and features [B, 1280], both in the precision of the weights."""
        x = pictures.permute(0, 3, 1, 2).to(self.classifier.weight.dtype)
        features = self.body((x - 127.0) / 128.0).mean((2, 3))
        return self.classifier(features), features

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = self.logits(pictures)
        return logits.float().softmax(-1), features.float()


def fold_batch_norm(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of an ``EfficientNetLite`` from the published one, each batch normalisation in its convolution.

    The published names are those of ``efficientnet_lite_pytorch``: ``_blocks.3._depthwise_conv.weight``.
    """
    convs = list(_published_convs())
    ours = [name for name, module in EfficientNetLite().named_modules() if isinstance(module, nn.Conv2d)]
    state = {"classifier.weight": published["_fc.weight"], "classifier.bias": published["_fc.bias"]}
    for name, (conv, norm) in zip(ours, convs, strict=True):
        scale = published[f"{norm}.weight"].double() / torch.sqrt(
            published[f"{norm}.running_var"].double() + _BATCH_NORM_EPS
        )
        bias = published[f"{norm}.bias"].double() - published[f"{norm}.running_mean"].double() * scale
        state[f"{name}.weight"] = (published[f"{conv}.weight"].double() * scale[:, None, None, None]).float()
        state[f"{name}.bias"] = bias.float()
    return state


def _published_convs() -> Iterator[tuple[str, str]]:
    """Published names of every convolution and of the batch normalisation behind it, in the order of use."""
    yield "_conv_stem", "_bn0"
    index = 0
    for _, _, expansion, _, num_blocks in _STAGES:
        for _ in range(num_blocks):
            if expansion > 1:
                yield f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0"
            yield f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1"
            yield f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2"
            index += 1
    yield "_conv_head", "_bn1"
