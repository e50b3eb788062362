"""Roboflow's InferencePipeline following cameras with the picture net of streammm; it has no sound. Run by live.py.

It is given a file of the net, since it runs in an environment of its own, and writes a row for each picture: what the
net makes of it, and when the pipeline says that it came.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ |= {"OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp", "METRICS_ENABLED": "False"}

import cv2
import numpy as np
import openvino
from inference import InferencePipeline
from inference.core.interfaces.stream.sinks import VideoFrame

PICTURES_PER_SECOND = 2


class Net:
    """The net, on the pictures of a batch of streams."""

    def __init__(self, path: Path, precision: str) -> None:
        hints = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        hints["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[precision]
        self._request = openvino.Core().compile_model(str(path), "CPU", hints).create_infer_request()

    def __call__(self, frames: list[VideoFrame]) -> list[list[int]]:
        """The best classes of each picture."""
        pictures = np.stack([picture(frame.image) for frame in frames])
        scores = self._request.infer([pictures], share_inputs=True).to_tuple()[0]
        best: list[list[int]] = np.argsort(-scores, axis=1)[:, :10].tolist()
        return best


def picture(image: np.ndarray) -> np.ndarray:
    """The middle of a picture, 256 pixels high."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (round(256 * width / height), 256), interpolation=cv2.INTER_AREA)
    left = (small.shape[1] - 224) // 2
    return cv2.cvtColor(small[16:240, left : left + 224], cv2.COLOR_BGR2RGB)


def main() -> None:
    """Follows the cameras until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("addresses", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--net", type=Path, required=True)
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()

    with arguments.out.open("w", buffering=1) as out:

        def write(predictions: Any, frames: Any) -> None:
            pairs = zip(predictions, frames, strict=True) if isinstance(frames, list) else [(predictions, frames)]
            for classes, frame in pairs:
                if frame is None:
                    continue
                start = frame.frame_timestamp.astimezone().isoformat()
                row = {"source": arguments.addresses[frame.source_id or 0], "classes": classes, "start": start}
                out.write(json.dumps(row) + "\n")

        pipeline = InferencePipeline.init_with_custom_logic(
            video_reference=arguments.addresses if arguments.addresses[1:] else arguments.addresses[0],
            on_video_frame=Net(arguments.net, arguments.precision),
            on_prediction=write,
            max_fps=PICTURES_PER_SECOND * len(arguments.addresses),  # which it divides by the number of sources
        )
        pipeline.start()
        pipeline.join()


if __name__ == "__main__":
    main()
