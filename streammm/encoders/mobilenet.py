"""YAMNet's net: log-mel patches in, sound scores and embeddings out; the second half of ``audio.py``.

Input: float32 [B, 96, 64], 0.96 s each. Output: AudioSet scores [B, 521] and embeddings [B, 1024].
It is a MobileNet v1 (Howard et al., arXiv:1704.04861) as in TensorFlow's ``research/audioset/yamnet``, batch
normalisation folded. The weights lie in an ONNX file as float32; its quantise nodes are left out.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from streammm.encoders.shapes import SOUND_CLASSES, SOUND_FEATURES

_STEM_CHANNELS = 32
_LAYERS = (  # stride, output channels
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *[(1, 512)] * 5,
    (2, 1024),
    (1, 1024),
)


class MobileNet(nn.Module):
    """The classifier of patches, with its sigmoid.

    Shape:
        - patches: float32 [B, 96, 64], log-mel
        - output: scores float32 [B, 521] in [0, 1], embeddings float32 [B, 1024]
    """

    def __init__(self) -> None:
        super().__init__()
        convs = [_conv(1, _STEM_CHANNELS, 3, stride=2)]
        channels = _STEM_CHANNELS
        for stride, channels_out in _LAYERS:
            convs.append(_conv(channels, channels, 3, stride, groups=channels))
            convs.append(_conv(channels, channels_out, 1))
            channels = channels_out
        self.convs = nn.ModuleList(convs)
        self.classifier = nn.Linear(SOUND_FEATURES, SOUND_CLASSES)

    def logits(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Scores before the sigmoid [B, 521] and embeddings [B, 1024], both in the precision of the weights."""
        x = patches.to(self.classifier.weight.dtype)[:, None]
        for conv in self.convs:
            if conv.stride == (2, 2):  # TensorFlow's SAME padding on an even size: right and bottom only
                x = functional.pad(x, (0, 1, 0, 1))
            x = functional.relu(conv(x))
        embeddings = x.mean((2, 3))
        return self.classifier(embeddings), embeddings

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        logits, embeddings = self.logits(patches)
        return logits.float().sigmoid(), embeddings.float()


def read_onnx(archive: Path) -> dict[str, Tensor]:
    """The state of a ``MobileNet`` out of the zipped ONNX file, its external data beside it."""
    import onnx  # needed once: the result is cached
    from onnx import numpy_helper

    with zipfile.ZipFile(archive) as files:
        names = files.namelist()
        model = onnx.load_model_from_string(files.read(next(n for n in names if n.endswith(".onnx"))))
        data = files.read(next(n for n in names if n.endswith(".data")))
    tensors: dict[str, Tensor] = {}
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}
            offset, size_bytes = int(where["offset"]), int(where["length"])
            array = np.frombuffer(data[offset : offset + size_bytes], "<f4").reshape(tensor.dims)
        else:
            array = numpy_helper.to_array(tensor)
        tensors[tensor.name] = torch.from_numpy(array.copy())
    state = {f"classifier.{kind}": tensors[f"model.classifier.{kind}"] for kind in ("weight", "bias")}
    for i, node in enumerate(node for node in model.graph.node if node.op_type == "Conv"):
        state[f"convs.{i}.weight"] = tensors[node.input[1].removesuffix("_qdq")]
        state[f"convs.{i}.bias"] = tensors[node.input[2]]
    return state


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size, or with a stride of two expects its input padded."""
    return nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups)
